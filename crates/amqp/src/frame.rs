//! Protocol headers and frames (specification, parts 2.2 and 2.3).
//!
//! ```text
//! header: "AMQP" id(1) 1 0 0            id 0: AMQP, 3: SASL
//! frame:  size(4) doff(1) type(1) channel(2) [extended header] performative [payload]
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::codec::{self, Bound, DecodeError, Decoder};
use crate::performative::Performative;
use crate::sasl::SaslFrame;

/// The smallest frame size that a peer may announce.
pub const FRAME_BYTES_MIN: u32 = 512;

/// What a connection speaks next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// AMQP 1.0.
    Amqp,
    /// The SASL layer of AMQP 1.0.
    Sasl,
}

/// A frame as read.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// Says that its sender lives.
    Empty,
    /// A performative on a channel, with what follows it.
    Amqp {
        /// Channel.
        channel: u16,
        /// What it says.
        performative: Performative,
        /// The rest: a transfer's payload.
        payload: Bytes,
    },
    /// Of the SASL layer.
    Sasl(SaslFrame),
}

const AMQP: u8 = 0;
const SASL: u8 = 1;
const HEADER_BYTES: usize = 8;

/// Takes a protocol header; none until its eight bytes are there.
///
/// # Errors
/// Something else stands there, as soon as that is sure.
pub fn take_header(input: &mut BytesMut) -> Result<Option<Protocol>, DecodeError> {
    let looks_like = |protocol: Protocol| input.iter().zip(header(protocol)).all(|(&there, wanted)| there == wanted);
    let Some(protocol) = [Protocol::Amqp, Protocol::Sasl].into_iter().find(|&one| looks_like(one)) else {
        return Err(DecodeError::Foreign);
    };
    if input.len() < HEADER_BYTES {
        return Ok(None);
    }
    input.advance(HEADER_BYTES);
    Ok(Some(protocol))
}

/// Writes a protocol header.
pub fn put_header(out: &mut BytesMut, protocol: Protocol) {
    out.put_slice(&header(protocol));
}

fn header(protocol: Protocol) -> [u8; HEADER_BYTES] {
    let id = match protocol {
        Protocol::Amqp => 0,
        Protocol::Sasl => 3,
    };
    [b'A', b'M', b'Q', b'P', id, 1, 0, 0]
}

/// Takes a whole frame of at most `bytes_max`; none until all of it is there. Payload and binaries share the input's memory.
///
/// # Errors
/// It cannot be one, or is too large: the connection is of no use any more.
pub fn take_frame(input: &mut BytesMut, bytes_max: u32) -> Result<Option<Frame>, DecodeError> {
    let Some(&size) = input.first_chunk::<4>() else { return Ok(None) };
    let size = u32::from_be_bytes(size);
    if size > bytes_max {
        return Err(DecodeError::Bound(Bound::Frame));
    }
    let size = size as usize;
    if size < HEADER_BYTES {
        return Err(DecodeError::Invalid("frame size"));
    }
    let Some(&[_, _, _, _, doff, kind, high, low]) = input.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let body = usize::from(doff) * 4;
    if body < HEADER_BYTES || body > size {
        return Err(DecodeError::Invalid("frame data offset"));
    }
    if !matches!(kind, AMQP | SASL) {
        return Err(DecodeError::Invalid("frame type"));
    }
    if input.len() < size {
        return Ok(None);
    }
    let mut body_of = input.split_to(size);
    body_of.advance(body);
    read(kind, u16::from_be_bytes([high, low]), &body_of.freeze()).map(Some)
}

fn read(kind: u8, channel: u16, body: &Bytes) -> Result<Frame, DecodeError> {
    let mut decoder = Decoder::new(body);
    if kind == SASL {
        return codec::take_sasl(&mut decoder).map(Frame::Sasl);
    }
    if body.is_empty() {
        return Ok(Frame::Empty);
    }
    let performative = codec::take_performative(&mut decoder)?;
    Ok(Frame::Amqp { channel, performative, payload: decoder.rest() })
}

/// Writes a frame. The caller has seen to it that it is no larger than the peer takes.
pub fn put_frame(out: &mut BytesMut, channel: u16, performative: &Performative, payload: &[u8]) {
    put(out, AMQP, channel, |out| {
        codec::put_performative(out, performative);
        out.put_slice(payload);
    });
}

/// Writes an empty frame.
pub fn put_empty(out: &mut BytesMut) {
    put(out, AMQP, 0, |_| ());
}

/// Writes a SASL frame.
pub fn put_sasl(out: &mut BytesMut, frame: &SaslFrame) {
    put(out, SASL, 0, |out| codec::put_sasl(out, frame));
}

/// The size is known at the end.
fn put(out: &mut BytesMut, kind: u8, channel: u16, body: impl FnOnce(&mut BytesMut)) {
    let from = out.len();
    out.put_slice(&[0, 0, 0, 0, 2, kind]);
    out.put_u16(channel);
    body(out);
    let size = u32::try_from(out.len() - from).expect("a frame is no larger than the peer takes");
    out[from..from + 4].copy_from_slice(&size.to_be_bytes());
}

#[cfg(test)]
mod tests;
