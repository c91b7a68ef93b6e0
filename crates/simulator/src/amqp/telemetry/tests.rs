//! What a delivery becomes, without a connection.

use super::*;
use amqp::message::Properties;
use amqp::value::{Fields, Symbol};

fn delivery(message_format: u32, message: &Message) -> Delivery {
    Delivery { id: 0, tag: Bytes::new(), message_format, settled: false, state: None, payload: message.to_bytes() }
}

fn data(text: &'static str) -> Message {
    Message { body: Body::Data(vec![Bytes::from_static(text.as_bytes())]), ..Message::default() }
}

#[test]
fn each_property_is_found_in_its_place() {
    let uuid = [0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0];
    let message = Message {
        message_annotations: Fields::default().with("dt-subject", "thermostat"),
        properties: Properties {
            message_id: Some(MessageId::Uuid(uuid)),
            correlation_id: Some(MessageId::Ulong(7)),
            user_id: Some(Bytes::from_static(b"me")),
            content_type: Some(Symbol::known("application/json")),
            content_encoding: Some(Symbol::known("utf-8")),
            absolute_expiry_time: Some(5),
            creation_time: Some(4),
            ..Properties::default()
        },
        application_properties: vec![("Port".to_owned(), "1".into()), ("count".to_owned(), 2_i32.into())],
        ..data("{}")
    };
    let taken = messages(&delivery(0, &message)).unwrap().remove(0);
    assert_eq!(taken.message_id.as_deref(), Some("12345678-9abc-def0-1234-56789abcdef0"));
    assert_eq!((taken.correlation_id.as_deref(), taken.user_id.as_deref()), (Some("7"), Some(b"me".as_slice())));
    assert_eq!(taken.content_type.as_deref(), Some("application/json"));
    assert_eq!((taken.content_encoding.as_deref(), taken.subject.as_deref()), (Some("utf-8"), Some("thermostat")));
    assert_eq!((taken.expiry_ms, taken.creation_ms), (Some(5), Some(4)));
    assert_eq!(
        taken.properties.into_iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(),
        ["Port=1", "count=2"]
    );
}

#[test]
fn a_body_is_taken_as_data_or_text() {
    let sections = Message { body: Body::Data(vec!["a".into(), "b".into()]), ..Message::default() };
    let text = Message { body: Body::Value("ab".into()), ..Message::default() };
    for message in [sections, text] {
        assert_eq!(messages(&delivery(0, &message)).unwrap()[0].body, "ab");
    }
    let number = Message { body: Body::Value(Value::Int(1)), ..Message::default() };
    assert_eq!(messages(&delivery(0, &number)).unwrap_err().code, 400_004);
}

#[test]
fn a_batch_is_many_messages_or_none() {
    let batch = |parts: Vec<Bytes>| Message { body: Body::Data(parts), ..Message::default() };
    let bodies = |taken: Vec<Telemetry>| taken.into_iter().map(|one| one.body).collect::<Vec<_>>();
    let good = batch(vec![data("1").to_bytes(), data("2").to_bytes()]);
    assert_eq!(bodies(messages(&delivery(BATCH_FORMAT, &good)).unwrap()), ["1", "2"]);
    let half = batch(vec![data("1").to_bytes(), "nonsense".into()]);
    assert_eq!(messages(&delivery(BATCH_FORMAT, &half)).unwrap_err().status, 400);
    let many = batch(vec![data("1").to_bytes(); 501]);
    assert_eq!(messages(&delivery(BATCH_FORMAT, &many)).unwrap_err().code, 413_001);
    let large = Message { body: Body::Data(vec![vec![b'x'; 140_000].into()]), ..Message::default() }.to_bytes();
    assert_eq!(messages(&delivery(BATCH_FORMAT, &batch(vec![large.clone(), large]))).unwrap_err().code, 413_001);
}

#[test]
fn a_message_of_the_largest_size_is_taken_and_one_more_byte_is_not() {
    let of = |bytes: usize| Message { body: Body::Data(vec![vec![b'x'; bytes].into()]), ..Message::default() };
    assert!(messages(&delivery(0, &of(262_144))).is_ok());
    assert_eq!(messages(&delivery(0, &of(262_145))).unwrap_err().code, 413_001);
    assert_eq!(messages(&delivery(9, &of(1))).unwrap_err().code, 400_004);
}
