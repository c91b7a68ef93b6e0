//! MQTT 3.1.1 packets that a server writes.
//!
//! Promises: what is written is whole. Relies on topics and payloads of its callers being within MQTT's bounds (64 KiB and
//! 256 MiB): the hub's own are far below; a topic that is longer is cut off, not written wrongly.

use bytes::{BufMut as _, BytesMut};

/// How a CONNECT is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code(pub(super) u8);

impl Code {
    pub(super) const ACCEPTED: Self = Self(0);
    pub(super) const OTHER_VERSION: Self = Self(1);
    pub(super) const IDENTIFIER_REJECTED: Self = Self(2);
    pub(super) const UNAVAILABLE: Self = Self(3);
    pub(super) const BAD_CREDENTIALS: Self = Self(4);
    pub(super) const NOT_AUTHORIZED: Self = Self(5);
}

/// The answer for a topic that is not granted.
pub(super) const NOT_GRANTED: u8 = 0x80;

/// A message of ours: with an id it asks for a PUBACK.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub(super) topic: &'a str,
    pub(super) payload: &'a [u8],
    pub(super) id: Option<u16>,
    pub(super) is_again: bool,
}

pub(super) fn connack(out: &mut BytesMut, has_session: bool, code: Code) {
    out.put_slice(&[0x20, 2, u8::from(has_session), code.0]);
}

pub(super) fn puback(out: &mut BytesMut, id: u16) {
    out.put_slice(&[0x40, 2]);
    out.put_u16(id);
}

/// One code for each topic, at most 64 of them.
pub(super) fn suback(out: &mut BytesMut, id: u16, codes: &[u8]) {
    out.put_u8(0x90);
    length(out, 2 + codes.len());
    out.put_u16(id);
    out.put_slice(codes);
}

pub(super) fn unsuback(out: &mut BytesMut, id: u16) {
    out.put_slice(&[0xb0, 2]);
    out.put_u16(id);
}

pub(super) fn pingresp(out: &mut BytesMut) {
    out.put_slice(&[0xd0, 0]);
}

pub(super) fn publish(out: &mut BytesMut, message: &Message<'_>) {
    let qos = u8::from(message.id.is_some()) << 1;
    let topic = message.topic.as_bytes();
    let topic_bytes = u16::try_from(topic.len()).unwrap_or(u16::MAX);
    let topic = topic.get(..topic_bytes.into()).unwrap_or_default();
    out.put_u8(0x30 | qos | u8::from(message.is_again) << 3);
    length(out, 2 + topic.len() + usize::from(qos) + message.payload.len());
    out.put_u16(topic_bytes);
    out.put_slice(topic);
    if let Some(id) = message.id {
        out.put_u16(id);
    }
    out.put_slice(message.payload);
}

fn length(out: &mut BytesMut, mut length: usize) {
    loop {
        let low = u8::try_from(length & 0x7f).unwrap_or_default();
        length >>= 7;
        if length == 0 {
            return out.put_u8(low);
        }
        out.put_u8(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
        let mut out = BytesMut::new();
        write(&mut out);
        out.to_vec()
    }

    #[test]
    fn answers_are_the_bytes_of_the_standard() {
        assert_eq!(written(|out| connack(out, true, Code::ACCEPTED)), [0x20, 2, 1, 0]);
        assert_eq!(written(|out| connack(out, false, Code::NOT_AUTHORIZED)), [0x20, 2, 0, 5]);
        assert_eq!(written(|out| puback(out, 0x0102)), [0x40, 2, 1, 2]);
        assert_eq!(written(|out| suback(out, 7, &[1, NOT_GRANTED])), [0x90, 4, 0, 7, 1, 0x80]);
        assert_eq!(written(|out| unsuback(out, 7)), [0xb0, 2, 0, 7]);
        assert_eq!(written(pingresp), [0xd0, 0]);
    }

    #[test]
    fn a_message_asks_for_an_answer_when_it_has_an_id() {
        let message = Message { topic: "a/b", payload: b"x", id: None, is_again: false };
        assert_eq!(written(|out| publish(out, &message)), *b"\x30\x06\0\x03a/bx");
        let message = Message { id: Some(9), is_again: true, ..message };
        assert_eq!(written(|out| publish(out, &message)), *b"\x3a\x08\0\x03a/b\0\x09x");
    }

    #[test]
    fn a_long_message_says_its_length_in_more_bytes() {
        let message = Message { topic: "t", payload: &[b'x'; 70_000], id: None, is_again: false };
        let bytes = written(|out| publish(out, &message));
        assert_eq!(bytes[..6], [0x30, 0xf3, 0xa2, 0x04, 0, 1]);
        assert_eq!(bytes.len(), 1 + 3 + 70_003);
    }
}
