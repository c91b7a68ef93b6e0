use super::*;
use crate::codec::tests::bytes;
use crate::performative::{Close, Transfer};

fn take(text: &str, bytes_max: u32) -> Result<Option<Frame>, DecodeError> {
    take_frame(&mut BytesMut::from(&bytes(text)[..]), bytes_max)
}

#[test]
fn a_header_is_taken_when_all_of_it_is_there() {
    for (text, protocol) in [("\"AMQP\" 00 010000", Protocol::Amqp), ("\"AMQP\" 03 010000", Protocol::Sasl)] {
        let whole = bytes(text);
        for cut in 0..8 {
            assert_eq!(take_header(&mut BytesMut::from(&whole[..cut])), Ok(None));
        }
        let mut input = BytesMut::from(&whole[..]);
        input.extend_from_slice(b"more");
        assert_eq!(take_header(&mut input), Ok(Some(protocol)));
        assert_eq!(input, b"more"[..]);
        let mut out = BytesMut::new();
        put_header(&mut out, protocol);
        assert_eq!(out, whole);
    }
}

#[test]
fn a_stranger_is_known_by_its_first_wrong_byte() {
    for text in ["\"H\"", "\"AMR\"", "\"AMQP\" 01", "\"AMQP\" 02", "\"AMQP\" 00 00", "\"AMQP\" 03 01 01", "160301"] {
        assert_eq!(take_header(&mut BytesMut::from(&bytes(text)[..])), Err(DecodeError::Foreign), "{text}");
    }
}

#[test]
fn a_frame_is_taken_when_all_of_it_is_there() {
    let whole = bytes("00000017 02 00 0007 00 53 14 c0 03 02 43 43 \"payload\"");
    for cut in 0..whole.len() {
        assert_eq!(take_frame(&mut BytesMut::from(&whole[..cut]), 512), Ok(None), "{cut}");
    }
    let transfer = Transfer { delivery_id: Some(0), ..Transfer::default() };
    let performative = Performative::Transfer(transfer);
    let mut input = BytesMut::from(&whole[..]);
    input.extend_from_slice(&whole);
    for _ in 0..2 {
        let payload = Bytes::from_static(b"payload");
        let wanted = Frame::Amqp { channel: 7, performative: performative.clone(), payload };
        assert_eq!(take_frame(&mut input, 512), Ok(Some(wanted)));
    }
    assert_eq!(take_frame(&mut input, 512), Ok(None));
}

#[test]
fn an_extended_header_is_passed_over() {
    assert_eq!(take("0000000c 03 00 0000 ffffffff", 512), Ok(Some(Frame::Empty)));
    let close = Performative::Close(Close::default());
    let wanted = Frame::Amqp { channel: 0, performative: close, payload: Bytes::new() };
    assert_eq!(take("00000010 03 00 0000 ffffffff 00 53 18 45", 512), Ok(Some(wanted)));
}

#[test]
fn an_empty_frame_is_eight_bytes() {
    let mut out = BytesMut::new();
    put_empty(&mut out);
    assert_eq!(out, bytes("00000008 02 00 0000"));
    assert_eq!(take_frame(&mut out, 512), Ok(Some(Frame::Empty)));
}

#[test]
fn a_frame_that_cannot_be_is_refused_before_it_is_waited_for() {
    for (text, error) in [
        ("00000201", DecodeError::Bound(Bound::Frame)),
        ("ffffffff", DecodeError::Bound(Bound::Frame)),
        ("00000000", DecodeError::Invalid("frame size")),
        ("00000007", DecodeError::Invalid("frame size")),
        ("00000100 01 00 0000", DecodeError::Invalid("frame data offset")),
        ("0000000b 03 00 0000", DecodeError::Invalid("frame data offset")),
        ("00000100 ff 00 0000", DecodeError::Invalid("frame data offset")),
        ("00000100 02 02 0000", DecodeError::Invalid("frame type")),
        ("00000008 02 01 0000", DecodeError::Short),
        ("00000009 02 00 0000 00", DecodeError::Short),
    ] {
        assert_eq!(take(text, 512), Err(error), "{text}");
    }
    assert_eq!(take("00000200 02 00 0000", 512), Ok(None), "as large as agreed");
}
