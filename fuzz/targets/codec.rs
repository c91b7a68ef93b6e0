//! Bytes that claim to be frames and messages: read them, write what was read, read it again.
#![no_main]

use amqp::frame::{self, Frame};
use amqp::message::{self, Message};
use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;

mod bounds;

fuzz_target!(|data: &[u8]| {
    bounds::within(data.len(), || {
        let mut input = BytesMut::from(data);
        let _ = frame::take_header(&mut input.clone());
        while let Ok(Some(frame)) = frame::take_frame(&mut input, 65_536) {
            reread(&frame);
        }
        let payload = Bytes::copy_from_slice(data);
        let _ = message::batch(&payload);
        if let Ok(message) = Message::decode(&payload) {
            let bytes = message.to_bytes();
            let again = Message::decode(&bytes).expect("what we wrote can be read");
            assert_eq!(again.to_bytes(), bytes, "and means the same");
        }
    });
});

/// What was read can be written, and reads the same. (Compared as bytes: a NaN is not equal to itself.)
fn reread(frame: &Frame) {
    let write = |frame: &Frame, out: &mut BytesMut| match frame {
        Frame::Empty => frame::put_empty(out),
        Frame::Amqp { channel, performative, payload } => frame::put_frame(out, *channel, performative, payload),
        Frame::Sasl(sasl) => frame::put_sasl(out, sasl),
    };
    let mut first = BytesMut::new();
    write(frame, &mut first);
    let again = frame::take_frame(&mut first.clone(), u32::MAX).expect("what we wrote can be read");
    let mut second = BytesMut::new();
    write(&again.expect("all of it is there"), &mut second);
    assert_eq!(first, second, "and means the same");
}
