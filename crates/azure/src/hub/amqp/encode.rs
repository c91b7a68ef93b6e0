//! A message's bytes.
//!
//! ```text
//! properties              message-id, correlation-id (strings), content-type, content-encoding (symbols)
//! application-properties  iothub-creation-time-utc, then the application's own, all strings, names as they are
//! data                    the body
//! ```
//! PURE. Means the same as the request over HTTPS ([`crate::hub::https`]): the hub shows its readers no difference.

use amqp::message::{Body, Message, MessageId, Properties};
use amqp::value::{Symbol, Value};
use bytes::Bytes;

use crate::hub::Telemetry;

/// `telemetry` must have passed [`Telemetry::check`].
pub(super) fn message(telemetry: &Telemetry) -> Bytes {
    let Telemetry { message_id, correlation_id, content_type, content_encoding, properties, body, .. } = telemetry;
    let created = telemetry.creation_time_text().map(|time| ("iothub-creation-time-utc".to_owned(), time));
    let application = created.into_iter().chain(properties.iter().cloned());
    let message = Message {
        properties: Properties {
            message_id: Some(MessageId::String(message_id.clone())),
            correlation_id: correlation_id.clone().map(MessageId::String),
            content_type: content_type.clone().map(Symbol::from),
            content_encoding: content_encoding.clone().map(Symbol::from),
            ..Properties::default()
        },
        application_properties: application.map(|(name, value)| (name, Value::String(value))).collect(),
        body: Body::Data(vec![body.clone()]),
        ..Message::default()
    };
    message.to_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_over_amqp_what_it_says_over_https() {
        let telemetry = Telemetry {
            body: Bytes::from_static("{\"Grüße\":1.0}".as_bytes()),
            message_id: "m1".into(),
            correlation_id: Some("c1".into()),
            content_type: Some("application/json".into()),
            content_encoding: Some("utf-8".into()),
            creation_time: Some("2026-01-01T00:00:00.5Z".parse().unwrap()),
            properties: vec![("Port".into(), "10".into()), ("ApplicationId".into(), "building".into())],
        };
        let read = Message::decode(&message(&telemetry)).unwrap();
        let Properties { message_id, correlation_id, content_type, content_encoding, .. } = read.properties;
        assert_eq!((message_id, correlation_id), (Some("m1".into()), Some("c1".into())));
        assert_eq!((content_type, content_encoding), (Some("application/json".into()), Some("utf-8".into())));
        let pair = |name: &str, value: &str| (name.to_owned(), Value::from(value));
        let pairs = [
            pair("iothub-creation-time-utc", "2026-01-01T00:00:00.500000Z"),
            pair("Port", "10"),
            pair("ApplicationId", "building"),
        ];
        assert_eq!(read.application_properties, pairs);
        assert_eq!(read.body, Body::Data(vec![telemetry.body]));
    }
}
