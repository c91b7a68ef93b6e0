//! The layout, value by value.

use super::*;
use crate::random::Random;
use crate::random::tests::stamp;
use crate::registry::Device;

const PLACE: Place = Place { sequence: 7, offset: 4711, enqueued_ms: 1_767_225_600_124 };

fn full() -> Accepted {
    Accepted {
        source: "",
        device_id: "eui-1".to_owned(),
        module_id: Some("camera".to_owned()),
        generation_id: "639000000000000000".to_owned(),
        auth_method: Accepted::AUTH_DEVICE.to_owned(),
        enqueued_ms: 1_767_225_600_123,
        body: Bytes::from_static(b"{\"t\":1}"),
        message_id: Some("m-1".to_owned()),
        correlation_id: Some("c-1".to_owned()),
        user_id: Some(Bytes::from_static(b"u")),
        content_type: Some("application/json".to_owned()),
        content_encoding: Some("utf-8".to_owned()),
        expiry_ms: Some(2),
        creation_ms: Some(1),
        properties: [("Port".to_owned(), "1".to_owned()), ("iothub-creation-time-utc".to_owned(), "t".to_owned())]
            .into(),
        subject: Some("thermostat1".to_owned()),
        model_id: Some("dtmi:com:example:T;1".to_owned()),
    }
}

#[test]
fn annotations_have_the_types_that_sdks_read() {
    let expected = [
        ("x-opt-sequence-number", Value::Long(7)),
        ("x-opt-offset", Value::String("4711".to_owned())),
        ("x-opt-enqueued-time", Value::Timestamp(1_767_225_600_124)),
        ("iothub-connection-device-id", Value::String("eui-1".to_owned())),
        ("iothub-enqueuedtime", Value::Timestamp(1_767_225_600_123)),
        ("iothub-message-source", Value::String("Telemetry".to_owned())),
        ("iothub-connection-auth-method", Value::String(Accepted::AUTH_DEVICE.to_owned())),
        ("iothub-connection-auth-generation-id", Value::String("639000000000000000".to_owned())),
        ("iothub-connection-module-id", Value::String("camera".to_owned())),
        ("dt-dataschema", Value::String("dtmi:com:example:T;1".to_owned())),
        ("dt-subject", Value::String("thermostat1".to_owned())),
    ];
    let expected = expected.map(|(name, value)| (Symbol::known(name), value));
    assert_eq!(full().message(PLACE).message_annotations, Fields(expected.into()));
}

#[test]
fn what_the_device_sent_stands_where_it_put_it() {
    let message = full().message(PLACE);
    let expected = Properties {
        message_id: Some(MessageId::String("m-1".to_owned())),
        user_id: Some(Bytes::from_static(b"u")),
        correlation_id: Some(MessageId::String("c-1".to_owned())),
        content_type: Some("application/json".into()),
        content_encoding: Some("utf-8".into()),
        absolute_expiry_time: Some(2),
        creation_time: Some(1),
        ..Properties::default()
    };
    assert_eq!(message.properties, expected);
    let named = [("Port", "1"), ("iothub-creation-time-utc", "t")];
    assert_eq!(message.application_properties, named.map(|(name, value)| (name.to_owned(), Value::from(value))));
    assert_eq!(message.body, Body::Data(vec![Bytes::from_static(b"{\"t\":1}")]));
    assert_eq!((message.header, message.delivery_annotations.is_empty()), (None, true));
}

#[test]
fn what_is_not_known_is_left_out() {
    let message = Accepted::default().message(PLACE);
    assert_eq!(message.message_annotations.0.len(), 6);
    assert_eq!(message.properties, Properties::default());
    assert_eq!(message.application_properties, []);
    assert_eq!(message.body, Body::Data(vec![Bytes::new()]));
}

#[test]
fn what_the_hub_knows_gets_into_the_event() {
    let device = Device::new("d1", Random::default().keys(32), stamp(0));
    let headers = [("iothub-messageid", "m"), ("iothub-contenttype", "text/plain"), ("iothub-app-K", "v")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let telemetry = Telemetry::from_headers(Bytes::from_static(b"b"), headers).unwrap();
    let accepted = Accepted::new(&device, &telemetry, 5);
    assert_eq!((accepted.device_id.as_str(), accepted.generation_id), ("d1", device.generation));
    assert_eq!((accepted.message_id.as_deref(), accepted.content_type.as_deref()), (Some("m"), Some("text/plain")));
    assert_eq!((accepted.properties.get("K").unwrap().as_str(), accepted.enqueued_ms), ("v", 5));
    let method: serde_json::Value = serde_json::from_str(&accepted.auth_method).unwrap();
    assert_eq!((&method["scope"], &method["issuer"]), (&"device".into(), &"iothub".into()));
}

#[test]
fn an_event_reads_back_as_it_was_written_and_is_its_own_memory() {
    let mut scratch = BytesMut::new();
    let event = Event::new(full(), PLACE, &mut scratch);
    let kept = event.message();
    let other = Event::new(Accepted::default(), PLACE, &mut scratch);
    assert_eq!(Message::decode(&kept).unwrap(), full().message(PLACE));
    assert_eq!(Message::decode(&other.message()).unwrap(), Accepted::default().message(PLACE));
    assert_eq!(event.len(), kept.len());
}

#[test]
fn a_content_type_that_no_symbol_can_hold_does_not_break_the_event() {
    let accepted = Accepted { content_type: Some("text/plän".to_owned()), ..Accepted::default() };
    let message = Message::decode(&Event::new(accepted, PLACE, &mut BytesMut::new()).message()).unwrap();
    assert_eq!(message.properties.content_type, Some("text/pl?n".into()));
}
