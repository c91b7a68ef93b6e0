//! Everything that we can write is read as it was.

use proptest::prelude::*;

use super::{strategies, *};
use crate::codec::DEPTH_MAX;
use crate::frame::{self, Frame};

fn read_frame(bytes: &BytesMut) -> Frame {
    let mut input = bytes.clone();
    let frame = frame::take_frame(&mut input, u32::MAX).expect("it can be read").expect("it is all there");
    assert!(input.is_empty(), "something is left");
    frame
}

proptest! {
    #[test]
    fn a_value_is_read_as_it_was_written(value in strategies::value()) {
        let bytes = written(&value);
        let mut decoder = Decoder::new(&bytes);
        prop_assert_eq!(decoder.value(), Ok(value));
        prop_assert!(decoder.is_done());
        let mut decoder = Decoder::new(&bytes);
        prop_assert_eq!(decoder.skip(), Ok(()));
        prop_assert!(decoder.is_done(), "passing over it takes as many bytes as reading it");
    }

    #[test]
    fn a_performative_is_read_as_it_was_written(
        performative in strategies::performative(),
        channel: u16,
        payload in strategies::binary(),
    ) {
        let mut out = BytesMut::new();
        frame::put_frame(&mut out, channel, &performative, &payload);
        prop_assert_eq!(read_frame(&out), Frame::Amqp { channel, performative, payload });
    }

    #[test]
    fn a_sasl_frame_is_read_as_it_was_written(sasl in strategies::sasl()) {
        let mut out = BytesMut::new();
        frame::put_sasl(&mut out, &sasl);
        prop_assert_eq!(read_frame(&out), Frame::Sasl(sasl));
    }

    #[test]
    fn whatever_can_be_read_is_written_and_read_the_same(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let bytes = Bytes::from(bytes);
        if let Ok(value) = Decoder::new(&bytes).value() {
            let once = written(&value);
            let again = Decoder::new(&once).value();
            prop_assert_eq!(again.map(|value| written(&value)), Ok(once));
        }
    }
}

/// Found by the fuzzer after 200 million inputs: an array of empty lists below thirty descriptors was read, and what was
/// written of it was one level deeper.
#[test]
fn what_is_read_at_the_deepest_level_can_be_read_again_when_it_is_written() {
    let read = |bytes: &Bytes| Decoder::new(bytes).value();
    let mut refused = 0;
    for descriptors in 20..=DEPTH_MAX + 1 {
        let mut bytes = [0x00, 0xa3, 0x00].repeat(descriptors);
        bytes.extend([0xe0, 0x02, 0x01, 0x45]); // an array of one empty list
        match read(&Bytes::from(bytes)) {
            Ok(value) => assert_eq!(read(&written(&value)), Ok(value), "{descriptors} descriptors"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 0, "the bound was reached");
}
