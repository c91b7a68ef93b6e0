//! Whatever a stranger sends: no panic, no deep stack, and no more memory than the input and a constant are worth.
//!
//! Two attacks by name, and what a fuzzer finds in a moment (`fuzz/` has more of that).

use amqp::frame::{self, Frame};
use amqp::message::{self, Body, Message};
use amqp::value::Value;
use amqp::{Bound, DecodeError};
use bytes::{Bytes, BytesMut};

use counting::counted;

mod counting; // the allocator that knows how much is held
mod samples; // frames and messages as they should be
mod spoilt; // and as they should not

/// 8192 values of 40 bytes: all that is held for one frame or message beyond what its own bytes are worth. Frame and
/// payload are two, and a reread doubles them.
const BASE_BYTES: usize = 4 * (320 << 10) + (64 << 10);
/// Texts are copied, a data section of 5 bytes is a slice of 32, and a list of slices doubles when it grows.
const BYTES_PER_BYTE: usize = 32;
const FRAME_BYTES_MAX: u32 = 128 << 10;

/// Reads it as everything that it could be. What was read can be written, and then reads the same.
fn devour(input: &[u8]) {
    let payload = Bytes::copy_from_slice(input);
    let _ = message::batch(&payload);
    reread_message(&payload);
    let _ = frame::take_header(&mut BytesMut::from(input));
    let mut stream = BytesMut::from(input);
    while let Ok(Some(frame)) = frame::take_frame(&mut stream, FRAME_BYTES_MAX) {
        reread_frame(&frame);
        if let Frame::Amqp { payload, .. } = &frame {
            reread_message(payload);
        }
    }
}

fn reread_message(payload: &Bytes) {
    if let Ok(message) = Message::decode(payload) {
        let bytes = message.to_bytes();
        let again = Message::decode(&bytes).expect("what was written can be read");
        assert_eq!(again.to_bytes(), bytes, "a NaN is not equal to itself, but its bytes are");
    }
}

fn reread_frame(frame: &Frame) {
    let write = |frame: &Frame| {
        let mut out = BytesMut::new();
        match frame {
            Frame::Empty => frame::put_empty(&mut out),
            Frame::Amqp { channel, performative, payload } => {
                frame::put_frame(&mut out, *channel, performative, payload);
            }
            Frame::Sasl(sasl) => frame::put_sasl(&mut out, sasl),
        }
        out
    };
    let bytes = write(frame);
    let again = frame::take_frame(&mut bytes.clone(), u32::MAX).expect("what was written can be read");
    assert_eq!(write(&again.expect("it is all there")), bytes);
}

fn assert_modest(input: &[u8]) {
    let ((), most, _) = counted(|| devour(input));
    assert!(most <= BASE_BYTES + BYTES_PER_BYTE * input.len(), "{most} bytes were held for {} bytes", input.len());
}

/// A value in every place where one can stand: a message's body and annotations, an open's properties, a delivery's state.
fn in_every_place(value: &[u8]) -> Vec<Vec<u8>> {
    let frame = |performative: &[u8]| {
        let size = (8 + performative.len() as u32).to_be_bytes();
        [&size[..], &[2, 0, 0, 0], performative].concat()
    };
    let list = |code: u8, before: &[u8], count: u8| {
        let size = (4 + before.len() + value.len()) as u32;
        [&[0x00, 0x53, code, 0xd0], &size.to_be_bytes()[..], &[0, 0, 0, count], before, value].concat()
    };
    let map = [&[0xd1], &(4 + 3 + value.len() as u32).to_be_bytes()[..], &[0, 0, 0, 2, 0xa3, 1, b'k'], value].concat();
    let open_map = {
        let before = [0xa1, 1, b'c', 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40];
        let size = (4 + before.len() + map.len()) as u32;
        [&[0x00, 0x53, 0x10, 0xd0], &size.to_be_bytes()[..], &[0, 0, 0, 10], &before, &map].concat()
    };
    vec![
        [&[0x00, 0x53, 0x77], value].concat(),
        [&[0x00, 0x53, 0x76], value].concat(),
        [&[0x00, 0x53, 0x72], &map[..]].concat(),
        [&[0x00, 0x53, 0x74], &map[..]].concat(),
        frame(&open_map),
        frame(&list(0x10, &[0xa1, 1, b'c', 0x40, 0x40, 0x40, 0x40, 0x40, 0x40], 8)),
        frame(&list(0x15, &[0x41, 0x43, 0x40, 0x40], 5)),
        frame(&list(0x40, &[], 1)),
        frame(value),
    ]
}

#[test]
fn a_hundred_byte_frame_cannot_make_us_allocate_gigabytes() {
    let huge = [0xff; 4];
    let mut attacks: Vec<Vec<u8>> = Vec::new();
    for variable in [0xb0, 0xb1, 0xb3] {
        attacks.push([&[variable], &huge[..], &[0; 40]].concat());
    }
    for compound in [0xd0, 0xd1] {
        attacks.push([&[compound], &huge[..], &huge, &[0x40; 40]].concat());
        attacks.push([&[compound, 0, 0, 0, 44], &huge[..], &[0x40; 40]].concat());
        attacks.push([&[compound, 0, 0, 0, 44, 0, 0, 0, 200], &[0x40; 40][..]].concat());
    }
    for element in
        [0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x50, 0x60, 0x70, 0x80, 0x98, 0xa0, 0xb0, 0xc0, 0xd0, 0xe0, 0xf0]
    {
        attacks.push([&[0xf0], &huge[..], &huge, &[element], &[0; 40]].concat());
        attacks.push([&[0xf0, 0, 0, 0, 5], &huge[..], &[element]].concat());
        attacks.push([&[0xf0, 0, 0, 0, 45], &huge[..], &[element], &[0; 40]].concat());
        attacks.push([&[0xf0, 0, 0, 0, 8], &huge[..], &[0x00, 0x53, 0x01], &[element]].concat());
        attacks.push([&[0xf0, 0, 0, 0, 5, 0, 1, 0, 0], &[element][..]].concat());
    }
    for attack in attacks {
        for input in in_every_place(&attack) {
            assert!(input.len() < 160);
            assert_modest(&input);
        }
        let payload = Bytes::from([&[0x00, 0x53, 0x77], &attack[..]].concat());
        let (read, most, _) = counted(|| Message::decode(&payload));
        assert!(read.is_err(), "{attack:x?}");
        assert!(most < 4 << 10, "a lie is found out before memory is asked for: {most} bytes, {attack:x?}");
    }
    assert_eq!(frame::take_frame(&mut BytesMut::from(&huge[..]), 65_536), Err(DecodeError::Bound(Bound::Frame)));
}

/// The words before an array's elements are repeated for each element in memory, though not on the wire.
#[test]
fn a_long_descriptor_before_many_elements_is_not_copied_for_each() {
    let word = [b'w'; 30_000];
    let count = 2_000u32;
    let size = 4 + 2 + 4 + word.len() as u32 + 1 + count;
    let attack = [
        &[0x00, 0x53, 0x77, 0xf0][..],
        &size.to_be_bytes(),
        &count.to_be_bytes(),
        &[0x00, 0xb3],
        &(word.len() as u32).to_be_bytes(),
        &word,
        &[0x50],
        &vec![1; count as usize],
    ]
    .concat();
    assert_modest(&attack);
    assert_eq!(Message::decode(&attack.into()), Err(DecodeError::Bound(Bound::Values)));
}

/// Each list claims as many elements as there are bytes left, in the hope that memory is set aside for all of them.
#[test]
fn lists_that_all_claim_the_rest_of_the_frame_are_not_given_it() {
    let mut attack = Vec::new();
    for level in 0..30u32 {
        let left = 64_000 - 9 * level;
        attack.push(0xd0);
        attack.extend((left - 5).to_be_bytes());
        attack.extend((left - 9).to_be_bytes());
    }
    attack.resize(64_000, 0x40);
    for input in in_every_place(&attack) {
        assert_modest(&input);
    }
}

/// 90 KB of each way in which values can stand in values.
fn nests() -> Vec<(&'static str, Vec<u8>)> {
    let wide = |constructor: u8, before: &'static [u8]| {
        let level = 9 + before.len();
        let levels = 90_000 / level;
        let mut bytes = Vec::new();
        for at in 0..levels {
            let left = ((levels - at) * level + 1 - 5) as u32;
            bytes.push(constructor);
            bytes.extend(left.to_be_bytes());
            bytes.extend(if constructor == 0xd1 { 2u32 } else { 1 }.to_be_bytes());
            bytes.extend(before);
        }
        bytes.push(0x40);
        bytes
    };
    let arrays = {
        let levels = 90_000 / 9;
        let mut bytes = vec![0xf0];
        for at in 0..levels {
            bytes.extend((((levels - at) * 9 - 4) as u32).to_be_bytes());
            bytes.extend([0, 0, 0, 1, 0xf0]);
        }
        bytes
    };
    let narrow = |levels: usize| {
        (0..levels).fold(vec![0x40], |inner, _| [&[0xc0, inner.len() as u8 + 1, 1], &inner[..]].concat())
    };
    let described_array =
        |level: &[u8]| [&[0xf0, 0, 1, 0x5f, 0x90, 0, 0, 0, 1][..], &level.repeat(89_996 / level.len())].concat();
    vec![
        ("list32", wide(0xd0, &[])),
        ("map32", wide(0xd1, &[0x43])),
        ("list8 that fit", narrow(84)),
        ("list8 that do not", [0xc0, 0xff, 1].repeat(30_000)),
        ("described", [&[0x00, 0x53, 0x01].repeat(30_000)[..], &[0x40]].concat()),
        ("described by words", [0x00, 0xa3, 0x01, b'x'].repeat(22_500)),
        ("descriptors of descriptors", vec![0x00; 90_000]),
        ("descriptors before elements", described_array(&[0x00, 0x53, 0x01])),
        ("descriptors of descriptors before elements", described_array(&[0x00])),
        ("arrays", arrays),
        ("described lists", wide(0xd0, &[0x00, 0x53, 0x01])),
        ("described maps", wide(0xd1, &[0x43, 0x00, 0x53, 0x01])),
    ]
}

#[test]
fn ninety_kilobytes_of_nested_lists_do_not_overflow_the_stack() {
    let work = || {
        for (name, nest) in nests() {
            for input in in_every_place(&nest) {
                assert_modest(&input);
            }
            let read = Message::decode(&Bytes::from([&[0x00, 0x53, 0x77], &nest[..]].concat()));
            assert!(read.is_err(), "{name}");
        }
    };
    std::thread::Builder::new().stack_size(256 << 10).spawn(work).expect("a thread").join().expect("no overflow");
}

#[test]
fn a_list_within_the_depth_is_read_on_a_small_stack() {
    let nest = (0..32).fold(Value::Null, |inner, _| Value::List(vec![inner]));
    let message = Message { body: Body::Value(nest), ..Message::default() };
    let work = move || assert_eq!(Message::decode(&message.to_bytes()), Ok(message));
    std::thread::Builder::new().stack_size(256 << 10).spawn(work).expect("a thread").join().expect("no overflow");
}

#[test]
fn transfers_dispositions_and_flows_are_read_and_written_without_a_further_allocation() {
    let mut out = BytesMut::with_capacity(4096);
    let frames = samples::hot();
    let ((), _, calls) = counted(|| {
        for performative in &frames {
            frame::put_frame(&mut out, 1, performative, b"payload");
        }
    });
    assert_eq!(calls, 0, "written");
    let mut stream = out;
    let first = frame::take_frame(&mut stream, 512); // the buffer learns that it is shared
    let (read, _, calls) = counted(|| [(); 3].map(|()| frame::take_frame(&mut stream, 512)));
    assert_eq!(calls, 0, "read");
    for (performative, frame) in frames.into_iter().zip([first].into_iter().chain(read)) {
        let payload = Bytes::from_static(b"payload");
        assert_eq!(frame, Ok(Some(Frame::Amqp { channel: 1, performative, payload })));
    }
}
