//! Answers, type by type.

use amqp::message::MessageId;

use super::*;
use crate::events::tests::{one_partition, one_partition_keeping};

const UUID: MessageId = MessageId::Uuid([7; 16]);

fn request(pairs: &[(&str, &str)]) -> Message {
    Message {
        properties: Properties {
            message_id: Some(UUID),
            reply_to: Some("reply-1".to_owned()),
            ..Properties::default()
        },
        application_properties: pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect(),
        ..Message::default()
    }
}

fn read(kind: &str, partition: &str) -> Message {
    let name = ("name", "Messages/Events");
    request(&[("operation", "READ"), name, ("type", kind), ("partition", partition), ("security_token", "t")])
}

fn answered(events: &Events, request: &Message) -> Message {
    let hub = Hub { names: &["hub1", "messages/events"], created_ms: 5_000, events };
    answer(&hub, request, |token| token == Some("t"))
}

fn status(message: &Message) -> &Value {
    &message.application_properties.iter().find(|(name, _)| name == "status-code").unwrap().1
}

#[test]
fn the_hub_is_described_in_the_types_that_clients_want() {
    let events = Events::new(3);
    let message = answered(&events, &read("com.microsoft:eventhub", ""));
    assert_eq!(
        message.application_properties,
        [
            ("status-code".to_owned(), Value::Int(200)),
            ("status-description".to_owned(), Value::String("OK".to_owned()))
        ]
    );
    let ids = ["0", "1", "2"].map(|id| Value::String(id.to_owned()));
    let expected = [
        ("name", Value::String("hub1".to_owned())),
        ("created_at", Value::Timestamp(5_000)),
        ("partition_count", Value::Int(3)),
        ("partition_ids", Value::Array(ids.into())),
    ];
    assert_eq!(message.body, Body::Value(map(expected)));
}

#[test]
fn a_partition_is_described_in_the_types_that_clients_want() {
    let events = one_partition_keeping(10, 4);
    let message = answered(&events, &read("com.microsoft:partition", "0"));
    let offset = events.partition(0).unwrap().last().offset;
    let expected = [
        ("name", Value::String("hub1".to_owned())),
        ("partition", Value::String("0".to_owned())),
        ("begin_sequence_number", Value::Long(6)),
        ("last_enqueued_sequence_number", Value::Long(9)),
        ("last_enqueued_offset", Value::String(offset.to_string())),
        ("last_enqueued_time_utc", Value::Timestamp(10_000)),
        ("is_partition_empty", Value::Bool(false)),
    ];
    assert_eq!((status(&message), &message.body), (&Value::Int(200), &Body::Value(map(expected))));
}

#[test]
fn an_empty_partition_has_numbers_too() {
    let message = answered(&Events::new(1), &read("com.microsoft:partition", "0"));
    let Body::Value(Value::Map(pairs)) = message.body else { panic!("a map is wanted") };
    let values: Vec<Value> = pairs.into_iter().skip(2).map(|(_, value)| value).collect();
    let offset = Value::String("-1".to_owned());
    assert_eq!(values, [Value::Long(0), Value::Long(-1), offset, Value::Timestamp(0), Value::Bool(true)]);
}

#[test]
fn answers_name_their_request_in_its_own_type() {
    let events = Events::new(1);
    for id in [UUID, "m-1".into(), MessageId::Ulong(7)] {
        let mut request = read("com.microsoft:eventhub", "");
        request.properties.message_id = Some(id.clone());
        let answer = answered(&events, &request);
        assert_eq!(answer.properties.correlation_id, Some(id));
        assert_eq!(answer.properties.to.as_deref(), Some("reply-1"));
    }
}

#[test]
fn what_cannot_be_read_is_refused_with_a_status() {
    let events = one_partition(1);
    let (operation, name) = (("operation", "READ"), ("name", "hub1"));
    let (kind, token) = (("type", "com.microsoft:eventhub"), ("security_token", "t"));
    for (request, expected, condition) in [
        (request(&[operation, name, kind]), 401, "amqp:unauthorized-access"),
        (request(&[operation, name, kind, ("security_token", "x")]), 401, "amqp:unauthorized-access"),
        (request(&[("operation", "DELETE"), name, kind, token]), 400, "amqp:not-allowed"),
        (request(&[name, kind, token]), 400, "amqp:not-allowed"),
        (request(&[operation, name, token]), 400, "amqp:not-allowed"),
        (request(&[operation, kind, token, ("name", "other")]), 404, "amqp:not-found"),
        (read("com.microsoft:partition", "1"), 404, "amqp:not-found"),
        (read("com.microsoft:partition", ""), 404, "amqp:not-found"),
    ] {
        let message = answered(&events, &request);
        assert_eq!(status(&message), &Value::Int(expected), "{request:?}");
        assert!(
            message.application_properties.contains(&("error-condition".to_owned(), Value::Symbol(condition.into())))
        );
        assert_eq!((message.body, message.properties.correlation_id), (Body::Value(Value::Null), Some(UUID)));
    }
}

#[test]
fn an_answer_survives_the_wire() {
    let events = one_partition(2);
    for request in [read("com.microsoft:eventhub", ""), read("com.microsoft:partition", "0"), request(&[])] {
        let message = answered(&events, &request);
        assert_eq!(Message::decode(&message.to_bytes()).unwrap(), message);
    }
}
