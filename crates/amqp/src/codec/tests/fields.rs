//! Described lists by hand: what is left out, what peers write otherwise, and what we write.

use super::*;
use crate::performative::*;
use crate::sasl::{Init, Outcome, SaslFrame};
use crate::value::{Fields, Symbol};

fn performative(text: &str) -> Result<Performative, DecodeError> {
    take_performative(&mut Decoder::new(&bytes(text)))
}

fn put(performative: &Performative) -> Bytes {
    let mut out = BytesMut::new();
    put_performative(&mut out, performative);
    out.freeze()
}

#[test]
fn an_open_has_ten_fields_and_its_defaults_are_filled_in() {
    let open = Open { container_id: "me".into(), ..Open::default() };
    for text in [
        "00 53 10 c0 05 01 a1 02 \"me\"",
        "00 80 0000000000000010 c0 05 01 a1 02 \"me\"",
        "00 a3 0e \"amqp:open:list\" c0 05 01 a1 02 \"me\"",
        "00 b3 0000000e \"amqp:open:list\" d0 00000008 00000001 a1 02 \"me\"",
        "00 53 10 c0 0a 06 a1 02 \"me\" 40 40 40 40 40",
    ] {
        assert_eq!(performative(text), Ok(Performative::Open(open.clone())), "{text}");
    }
    let whole = "00 53 10 c0 14 0a a1 02 \"me\" 40 70 ffffffff 60 ffff 40 40 40 40 40 40";
    assert_eq!(put(&Performative::Open(open)), bytes(whole));
}

#[test]
fn every_list_is_written_whole() {
    let counts = [
        (Performative::Open(Open::default()), 10),
        (Performative::Begin(Begin::default()), 8),
        (Performative::Flow(Flow::default()), 11),
        (Performative::Transfer(Transfer::default()), 11),
        (Performative::Detach(Detach::default()), 3),
        (Performative::End(End::default()), 1),
        (Performative::Close(Close::default()), 1),
    ];
    for (performative, count) in counts {
        let bytes = put(&performative);
        assert_eq!((bytes[..2].to_vec(), bytes[3], bytes[5]), (vec![0x00, 0x53], 0xc0, count), "{performative:?}");
    }
}

#[test]
fn an_attach_has_fourteen_fields_a_source_eleven_and_a_target_seven() {
    let attach = Attach {
        name: "n".into(),
        handle: 1,
        role: Role::Receiver,
        snd_settle_mode: SenderSettles::Mixed,
        rcv_settle_mode: ReceiverSettles::First,
        source: Some(Source::at("s")),
        target: Some(Target::at("t")),
        initial_delivery_count: None,
        max_message_size: None,
        offered_capabilities: vec![],
        desired_capabilities: vec!["c".into()],
        properties: Fields::default().with("k", 1u32),
    };
    let text = "00 53 12 c0 40 0e a1 01 \"n\" 52 01 41 50 02 50 00 \
                00 53 28 c0 0e 0b a1 01 \"s\" 43 40 43 42 40 40 40 40 40 40 \
                00 53 29 c0 0a 07 a1 01 \"t\" 43 40 43 42 40 40 \
                40 40 40 40 40 e0 04 01 a3 01 \"c\" c1 06 02 a3 01 \"k\" 52 01";
    let attach = Performative::Attach(Box::new(attach));
    assert_eq!(put(&attach), bytes(text));
    assert_eq!(performative(text), Ok(attach));
}

/// The unsettled map of a resumed link, locales and node properties are not wanted, and passed over whatever they are.
#[test]
fn fields_that_nobody_wants_are_passed_over() {
    let source = list(6, "a1 01 \"s\" 43 40 43 42 c1 01 00");
    let unsettled = "c1 08 02 a0 01 00 00 53 24 45";
    let fields = format!("a1 01 \"n\" 43 42 40 40 00 53 28 {source} 40 {unsettled} 41 43 80 0000000000100000 40 40 40");
    let text = format!("00 53 12 {}", list(14, &fields));
    let Ok(Performative::Attach(attach)) = performative(&text) else { panic!("{:?}", performative(&text)) };
    assert_eq!((attach.initial_delivery_count, attach.max_message_size), (Some(0), Some(1 << 20)));
    assert_eq!((attach.source, attach.target), (Some(Source::at("s")), None));
}

#[test]
fn a_coordinator_is_no_target() {
    for target in
        ["00 53 30 c0 04 01 a3 01 \"x\"", "00 53 30 45", "00 a3 15 \"amqp:coordinator:list\" 45", "00 53 99 43"]
    {
        let text = format!("00 53 12 {}", list(7, &format!("a1 01 \"n\" 43 41 40 40 40 {target}")));
        let Ok(Performative::Attach(attach)) = performative(&text) else { panic!("{text}") };
        assert_eq!(attach.target, None, "{text}");
    }
}

#[test]
fn one_symbol_or_many_are_understood_in_every_form() {
    let two = vec![Symbol::known("a"), Symbol::known("b")];
    for (mechanisms, wanted) in [
        ("a3 01 \"a\"", vec![Symbol::known("a")]),
        ("e0 06 02 a3 01 \"a\" 01 \"b\"", two.clone()),
        ("f0 0000000f 00000002 b3 00000001 \"a\" 00000001 \"b\"", two.clone()),
        ("c0 07 02 a3 01 \"a\" a3 01 \"b\"", two),
        ("e0 02 00 40", vec![]),
        ("40", vec![]),
    ] {
        let text = format!("00 53 40 {}", list(1, mechanisms));
        let frame = take_sasl(&mut Decoder::new(&bytes(&text)));
        assert_eq!(frame, Ok(SaslFrame::Mechanisms(wanted)), "{text}");
    }
}

#[test]
fn mechanisms_are_written_as_an_array_even_if_there_is_one() {
    let mut out = BytesMut::new();
    put_sasl(&mut out, &SaslFrame::Mechanisms(vec!["PLAIN".into()]));
    assert_eq!(out, bytes("00 53 40 c0 0b 01 e0 08 01 a3 05 \"PLAIN\""));
}

#[test]
fn the_words_of_sasl_are_read_in_both_forms() {
    let init = SaslFrame::Init(Init { mechanism: "ANONYMOUS".into(), initial_response: None, hostname: None });
    for (text, wanted) in [
        ("00 53 41 c0 0c 01 a3 09 \"ANONYMOUS\"", init.clone()),
        ("00 a3 13 \"amqp:sasl-init:list\" c0 0e 03 a3 09 \"ANONYMOUS\" 40 40", init),
        ("00 53 42 c0 04 01 a0 01 07", SaslFrame::Challenge(Bytes::from_static(&[7]))),
        ("00 53 43 c0 04 01 a0 01 07", SaslFrame::Response(Bytes::from_static(&[7]))),
        ("00 53 44 c0 03 01 50 01", SaslFrame::Outcome(Outcome::Auth, None)),
    ] {
        assert_eq!(take_sasl(&mut Decoder::new(&bytes(text))), Ok(wanted), "{text}");
    }
}

#[test]
fn every_word_for_a_descriptor_means_its_number() {
    for (word, number) in code::NAMES {
        let numeric = Bytes::copy_from_slice(&[0x00, 0x53, number]);
        let symbolic = [&[0x00, 0xa3, word.len() as u8], word.as_bytes()].concat().into();
        let described = |bytes: &Bytes| Decoder::new(bytes).described("descriptor");
        assert_eq!(described(&numeric), Ok(Some(number)));
        assert_eq!(described(&symbolic), Ok(Some(number)), "{word}");
    }
}

#[test]
fn a_disposition_carries_each_outcome() {
    let error = Error { condition: "amqp:x".into(), description: None, info: Fields::default() };
    let modified = |delivery_failed, undeliverable_here| DeliveryState::Modified {
        delivery_failed,
        undeliverable_here,
        message_annotations: Fields::default(),
    };
    let other = Value::Described(Box::new((Value::Ulong(0x34), Value::List(vec![Value::Null]))));
    for (state, wanted) in [
        ("00 53 24 45", DeliveryState::Accepted),
        ("00 53 24 c0 01 00", DeliveryState::Accepted),
        ("00 a3 12 \"amqp:accepted:list\" 45", DeliveryState::Accepted),
        ("00 53 25 45", DeliveryState::Rejected(None)),
        ("00 53 25 c0 0f 01 00 53 1d c0 09 01 a3 06 \"amqp:x\"", DeliveryState::Rejected(Some(error))),
        ("00 53 26 45", DeliveryState::Released),
        ("00 53 27 c0 02 01 41", modified(true, false)),
        ("00 53 27 c0 03 02 40 41", modified(false, true)),
        ("00 53 23 c0 03 02 43 44", DeliveryState::Received { section_number: 0, section_offset: 0 }),
        ("00 53 34 c0 02 01 40", DeliveryState::Other(other)),
    ] {
        let text = format!("00 53 15 {}", list(5, &format!("41 43 40 41 {state}")));
        let Ok(Performative::Disposition(it)) = performative(&text) else { panic!("{text} {:?}", performative(&text)) };
        assert_eq!((it.role, it.settled, it.state), (Role::Receiver, true, Some(wanted)), "{text}");
    }
}

#[test]
fn an_acceptance_is_written_with_six_fields() {
    let disposition = Disposition {
        role: Role::Receiver,
        first: 1,
        last: None,
        settled: true,
        state: Some(DeliveryState::Accepted),
        batchable: false,
    };
    let text = "00 53 15 c0 0d 06 41 52 01 40 41 00 53 24 c0 01 00 42";
    assert_eq!(put(&Performative::Disposition(disposition)), bytes(text));
}

#[test]
fn numbers_are_taken_in_any_width_and_only_where_they_fit() {
    let begin = |channel| {
        let fields = format!("{channel} 44 53 01 80 0000000000000002");
        performative(&format!("00 53 11 {}", list(4, &fields)))
    };
    let wanted = Begin { next_outgoing_id: 0, incoming_window: 1, outgoing_window: 2, ..Begin::default() };
    assert_eq!(begin("40"), Ok(Performative::Begin(wanted.clone())));
    assert_eq!(begin("52 07"), Ok(Performative::Begin(Begin { remote_channel: Some(7), ..wanted })));
    assert_eq!(begin("70 00010000"), Err(DecodeError::Invalid("remote-channel")));
    assert_eq!(begin("54 07"), Err(DecodeError::Type("remote-channel")));
}

#[test]
fn keys_that_are_no_words_are_passed_over() {
    let properties = "c1 0e 06 53 05 c0 02 01 40 a1 01 \"k\" 43 56 01 42";
    let text = format!("00 53 10 {}", list(10, &format!("a1 01 \"m\" 40 40 40 40 40 40 40 40 {properties}")));
    let Ok(Performative::Open(open)) = performative(&text) else { panic!("{:?}", performative(&text)) };
    assert_eq!(open.properties, Fields::default().with("k", 0u32));
}

#[test]
fn what_must_be_there_and_what_cannot_be_is_told() {
    for (text, error) in [
        ("00 53 10 45", DecodeError::Missing("container-id")),
        ("00 53 10 c0 02 01 40", DecodeError::Missing("container-id")),
        ("00 53 10 c0 02 01 43", DecodeError::Type("container-id")),
        ("00 53 10 c0 02 02 40", DecodeError::Short),
        ("00 53 10 c1 01 00", DecodeError::Type("performative")),
        ("00 53 99 45", DecodeError::Invalid("performative")),
        ("00 53 1d 45", DecodeError::Invalid("performative")),
        ("00 80 0100000000000010 45", DecodeError::Invalid("performative")),
        ("00 a3 01 \"x\" 45", DecodeError::Invalid("performative")),
        ("45", DecodeError::Type("performative")),
        ("", DecodeError::Short),
        ("00 53 12 c0 08 04 a1 01 \"n\" 43 41 50 03", DecodeError::Invalid("snd-settle-mode")),
        ("00 53 18 c0 05 01 00 53 1d 45", DecodeError::Missing("error condition")),
        ("00 53 18 c0 05 01 00 53 10 45", DecodeError::Type("error")),
    ] {
        assert_eq!(performative(text), Err(error), "{text}");
    }
}
