use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::*;
use crate::codec::tests::{bytes, list, strategies};

fn decode(text: &str) -> Result<Message, DecodeError> {
    Message::decode(&bytes(text))
}

/// A put-token request, as uamqp would write it: a number for its id.
const REQUEST: &str = "00 53 73 c0 0b 04 53 01 40 a1 04 \"$cbs\" 40 \
                       00 53 74 c1 17 02 a1 09 \"operation\" a1 09 \"put-token\" \
                       00 53 77 a1 05 \"token\"";

#[test]
fn a_request_is_read_with_its_types() {
    let message = decode(REQUEST).expect("it is one");
    assert_eq!(message.properties.message_id, Some(MessageId::Ulong(1)));
    assert_eq!(message.properties.to.as_deref(), Some("$cbs"));
    assert_eq!(message.application_properties, [("operation".to_owned(), Value::from("put-token"))]);
    assert_eq!(message.body, Body::Value("token".into()));
}

#[test]
fn an_answer_is_written_whole_and_in_order() {
    let message = Message {
        properties: Properties { correlation_id: Some(MessageId::Ulong(1)), ..Properties::default() },
        application_properties: vec![("status-code".into(), Value::Int(200))],
        body: Body::Value(Value::Null),
        ..Message::default()
    };
    let text = "00 53 73 c0 0f 0d 40 40 40 40 40 53 01 40 40 40 40 40 40 40 \
                00 53 74 c1 13 02 a1 0b \"status-code\" 71 000000c8 \
                00 53 77 40";
    assert_eq!(message.to_bytes(), bytes(text));
}

#[test]
fn sections_are_read_in_any_order_and_both_forms() {
    let wanted = Message {
        header: Some(Header { durable: true, ..Header::default() }),
        message_annotations: Fields::default().with("a", true),
        properties: Properties { message_id: Some("m".into()), ..Properties::default() },
        body: Body::Data(vec![Bytes::from_static(b"x"), Bytes::from_static(b"y")]),
        ..Message::default()
    };
    for text in [
        "00 53 70 c0 02 01 41 00 53 72 c1 05 02 a3 01 \"a\" 41 00 53 73 c0 04 01 a1 01 \"m\" \
         00 53 75 a0 01 \"x\" 00 53 75 a0 01 \"y\"",
        "00 53 73 c0 04 01 a1 01 \"m\" 00 80 0000000000000075 b0 00000001 \"x\" 00 53 72 c1 05 02 a3 01 \"a\" 41 \
         00 53 75 a0 01 \"y\" 00 a3 10 \"amqp:header:list\" c0 02 01 41",
    ] {
        assert_eq!(decode(text).as_ref(), Ok(&wanted), "{text}");
    }
}

#[test]
fn a_body_shares_the_memory_of_what_was_read() {
    let payload = Message { body: Body::Data(vec![Bytes::from(vec![7; 1000])]), ..Message::default() }.to_bytes();
    let Ok(Message { body: Body::Data(parts), .. }) = Message::decode(&payload) else { panic!("it is data") };
    assert!(payload.as_ptr_range().contains(&parts[0].as_ptr()));
}

#[test]
fn message_ids_keep_their_type() {
    for (id, wanted) in [
        ("44", MessageId::Ulong(0)),
        ("80 0000000000000001", MessageId::Ulong(1)),
        ("98 03030303030303030303030303030303", MessageId::Uuid([3; 16])),
        ("a0 01 \"1\"", MessageId::Binary(Bytes::from_static(b"1"))),
        ("a1 01 \"1\"", MessageId::String("1".into())),
    ] {
        let text = format!("00 53 73 {}", list(1, id));
        assert_eq!(decode(&text).expect("it is a message").properties.message_id, Some(wanted), "{text}");
    }
}

#[test]
fn what_is_no_message_is_told_apart() {
    for (text, error) in [
        ("00 53 79 45", DecodeError::Invalid("section")),
        ("00 53 10 45", DecodeError::Invalid("section")),
        ("00 a3 01 \"x\" 45", DecodeError::Invalid("section")),
        ("43", DecodeError::Type("section")),
        ("00 53 70 45 00 53 70 45", DecodeError::Invalid("section")),
        ("00 53 77 40 00 53 77 40", DecodeError::Invalid("section")),
        ("00 53 77 40 00 53 75 a0 00", DecodeError::Invalid("body")),
        ("00 53 75 a0 00 00 53 76 45", DecodeError::Invalid("body")),
        ("00 53 75 a1 01 \"x\"", DecodeError::Type("data")),
        ("00 53 76 c1 01 00", DecodeError::Type("amqp-sequence")),
        ("00 53 75 a0 02 \"x\"", DecodeError::Short),
        ("00", DecodeError::Short),
    ] {
        assert_eq!(decode(text), Err(error), "{text}");
    }
    assert_eq!(decode(""), Ok(Message::default()), "nothing says nothing");
}

#[test]
fn a_batch_gives_its_messages_and_nothing_else_is_looked_at() {
    let inner = [decode(REQUEST).expect("it is one").to_bytes(), Bytes::new()];
    let outer = Message {
        message_annotations: Fields::default().with("x-opt", 1u32),
        application_properties: vec![("k".into(), Value::Null)],
        body: Body::Data(inner.to_vec()),
        ..Message::default()
    };
    assert_eq!(batch(&outer.to_bytes()), Ok(inner.to_vec()));
    assert_eq!(batch(&bytes("00 53 74 c1 02 02 ff 00 53 75 a0 01 \"x\"")).map(|parts| parts.len()), Ok(1));
    assert_eq!(batch(&bytes("00 53 79 40")), Err(DecodeError::Invalid("section")));
    assert_eq!(batch(&bytes("00 53 75 a0 02 00")), Err(DecodeError::Short));
}

fn message_id() -> impl Strategy<Value = MessageId> {
    prop_oneof![
        any::<u64>().prop_map(MessageId::Ulong),
        any::<[u8; 16]>().prop_map(MessageId::Uuid),
        strategies::binary().prop_map(MessageId::Binary),
        strategies::text().prop_map(MessageId::String),
    ]
}

fn properties() -> impl Strategy<Value = Properties> {
    let text = || of(strategies::text());
    let first = (of(message_id()), of(strategies::binary()), text(), text(), text(), of(message_id()));
    let second = (of(strategies::symbol()), of(strategies::symbol()), of(any::<i64>()), of(any::<i64>()));
    (first, second, text(), of(any::<u32>()), text()).prop_map(
        |(first, second, group_id, group_sequence, reply_to_group_id)| Properties {
            message_id: first.0,
            user_id: first.1,
            to: first.2,
            subject: first.3,
            reply_to: first.4,
            correlation_id: first.5,
            content_type: second.0,
            content_encoding: second.1,
            absolute_expiry_time: second.2,
            creation_time: second.3,
            group_id,
            group_sequence,
            reply_to_group_id,
        },
    )
}

fn header() -> impl Strategy<Value = Header> {
    (any::<bool>(), any::<u8>(), of(any::<u32>()), any::<bool>(), any::<u32>()).prop_map(
        |(durable, priority, ttl, first_acquirer, delivery_count)| Header {
            durable,
            priority,
            ttl,
            first_acquirer,
            delivery_count,
        },
    )
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        Just(Body::Empty),
        vec(strategies::binary(), 1..4).prop_map(Body::Data),
        vec(vec(strategies::value(), 0..3), 1..4).prop_map(Body::Sequence),
        strategies::value().prop_map(Body::Value),
    ]
}

proptest! {
    #[test]
    fn a_message_is_read_as_it_was_written(
        header in of(header()),
        annotations in (strategies::fields(), strategies::fields(), strategies::fields()),
        properties in properties(),
        application_properties in vec((strategies::text(), strategies::value()), 0..4),
        body in body(),
    ) {
        let (delivery_annotations, message_annotations, footer) = annotations;
        let message = Message {
            header, delivery_annotations, message_annotations, properties, application_properties, body, footer,
        };
        let bytes = message.to_bytes();
        prop_assert_eq!(Message::decode(&bytes), Ok(message.clone()));
        let parts = match message.body {
            Body::Data(parts) => parts,
            _ => vec![],
        };
        prop_assert_eq!(batch(&bytes), Ok(parts));
    }
}
