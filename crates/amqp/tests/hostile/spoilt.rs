//! Random bytes, and good frames that were tampered with.

use bytes::{BufMut, BytesMut};
use proptest::prelude::*;

use super::{assert_modest, samples};

#[derive(Clone, Debug)]
enum Mutation {
    Set(usize, u8),
    Insert(usize, u8),
    Remove(usize),
    /// Four bytes, as a size or count has.
    Number(usize, u32),
    Repeat(usize, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let byte = || {
        prop_oneof![
            any::<u8>(),
            prop::sample::select(&[0x00, 0x40, 0x45, 0x53, 0xa3, 0xc0, 0xd0, 0xd1, 0xe0, 0xf0, 0xff][..])
        ]
    };
    let number = prop_oneof![0..300u32, any::<u32>(), Just(u32::MAX)];
    prop_oneof![
        3 => (any::<usize>(), byte()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        1 => (any::<usize>(), byte()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        1 => any::<usize>().prop_map(Mutation::Remove),
        1 => (any::<usize>(), number).prop_map(|(at, number)| Mutation::Number(at, number)),
        1 => (any::<usize>(), 0..40usize).prop_map(|(at, size)| Mutation::Repeat(at, size)),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
    let length = bytes.len().max(1);
    match *mutation {
        Mutation::Set(at, byte) => bytes.iter_mut().skip(at % length).take(1).for_each(|there| *there = byte),
        Mutation::Insert(at, byte) => bytes.insert(at % length, byte),
        Mutation::Remove(at) => drop(bytes.drain(at % length..(at % length + 1).min(bytes.len()))),
        Mutation::Number(at, number) => {
            bytes.iter_mut().skip(at % length).zip(number.to_be_bytes()).for_each(|(there, byte)| *there = byte);
        }
        Mutation::Repeat(at, size) => {
            let from = at % length;
            let part = bytes[from.min(bytes.len())..(from + size).min(bytes.len())].to_vec();
            bytes.splice(from..from, part);
        }
    }
}

/// A frame's size is set right again, so that the mutations get behind it.
fn with_size(mut bytes: Vec<u8>) -> Vec<u8> {
    let size = (bytes.len() as u32).to_be_bytes();
    bytes.iter_mut().zip(size).for_each(|(there, byte)| *there = byte);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..600), kind in 0..2u8, code: u8) {
        assert_modest(&bytes);
        let mut frame = BytesMut::new();
        frame.put_slice(&[0, 0, 0, 0, 2, kind, 0, 0, 0x00, 0x53, code]);
        frame.put_slice(&bytes);
        assert_modest(&with_size(frame.to_vec()));
        assert_modest(&[&[0x00, 0x53, code], &bytes[..]].concat());
    }

    #[test]
    fn spoilt_frames_and_messages_do_no_harm(
        sample in prop::sample::select(samples::all()),
        mutations in prop::collection::vec(mutation(), 1..6),
    ) {
        let mut bytes = sample;
        mutations.iter().for_each(|mutation| mutate(&mut bytes, mutation));
        assert_modest(&bytes);
        assert_modest(&with_size(bytes));
    }
}
