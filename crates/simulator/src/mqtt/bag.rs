//! Property bags: `name=value&name=value` at the end of a topic, both percent-encoded.
//!
//! Promises: names are decoded before they are understood, because SDKs write `%24.mid`; a `+` is a plus. What the hub
//! gives no place (`$.to`, tracing, ids of the connection, system properties that it does not know) is left out.

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::packet::Publish;
use crate::hub::{Refusal, Telemetry};

/// What needs no encoding: RFC 3986's unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// How the names of system properties begin.
const SYSTEM: &str = "$.";
/// Where the time of creation stands, however it was sent.
const CREATION: &str = "iothub-creation-time-utc";
const SCHEMA: &str = "iothub-message-schema";

/// A message to the hub, its properties from the bag; what MQTT says of it becomes properties of its own.
pub(super) fn telemetry(bag: &str, publish: &Publish) -> Result<Telemetry, Refusal> {
    let mut telemetry = Telemetry { body: publish.payload.clone(), ..Telemetry::default() };
    for pair in bag.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        take(&mut telemetry, decoded(name)?, decoded(value)?);
    }
    let said = [("mqtt-retain", publish.is_retained), ("mqtt-dup", publish.is_duplicate)];
    for (name, _) in said.into_iter().filter(|(_, is_said)| *is_said) {
        telemetry.properties.insert(name.to_owned(), "true".to_owned());
    }
    telemetry.checked()
}

fn decoded(text: &str) -> Result<String, Refusal> {
    let text = percent_decode_str(text).decode_utf8();
    text.map(Into::into).map_err(|_| Refusal::argument("A property is not UTF-8"))
}

fn take(telemetry: &mut Telemetry, name: String, value: String) {
    match name.as_str() {
        "$.mid" => telemetry.message_id = Some(value),
        "$.cid" => telemetry.correlation_id = Some(value),
        "$.uid" => telemetry.user_id = Some(Bytes::from(value)),
        "$.ct" => telemetry.content_type = Some(value),
        "$.ce" => telemetry.content_encoding = Some(value),
        // SDKs write it as the application gave it: what is no time is left out.
        "$.exp" => telemetry.expiry_ms = value.parse().ok().map(jiff::Timestamp::as_millisecond),
        "$.sub" => telemetry.subject = Some(value),
        "$.ctime" => drop(telemetry.properties.insert(CREATION.to_owned(), value)),
        "$.schema" => drop(telemetry.properties.insert(SCHEMA.to_owned(), value)),
        system if system.starts_with(SYSTEM) => {}
        _ => drop(telemetry.properties.insert(name, value)),
    }
}

/// A bag that is being written.
#[derive(Debug, Default)]
pub(super) struct Bag(String);

impl Bag {
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.extend(utf8_percent_encode(name, ENCODED));
        self.0.push('=');
        self.0.extend(utf8_percent_encode(value, ENCODED));
        self
    }

    pub(super) fn and(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::packet::Qos;
    use super::*;

    fn publish(payload: &[u8]) -> Publish {
        Publish {
            topic: String::new(),
            payload: Bytes::copy_from_slice(payload),
            qos: Qos::One,
            id: Some(1),
            is_duplicate: false,
            is_retained: false,
        }
    }

    #[test]
    fn a_bag_of_nodes_sdk_is_read() {
        let bag = "%24.mid=mid-1&%24.ct=application%2Fjson&%24.ce=utf-8\
                   &iothub-creation-time-utc=2026-01-01T00%3A00%3A00Z&k%26=v%20w";
        let telemetry = telemetry(bag, &publish(b"{}")).unwrap();
        assert_eq!(telemetry.message_id.as_deref(), Some("mid-1"));
        assert_eq!(telemetry.content_type.as_deref(), Some("application/json"));
        assert_eq!(telemetry.content_encoding.as_deref(), Some("utf-8"));
        let properties: Vec<_> = telemetry.properties.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(properties, [("iothub-creation-time-utc", "2026-01-01T00:00:00Z"), ("k&", "v w")]);
    }

    #[test]
    fn every_known_name_has_its_place_and_unknown_system_names_have_none() {
        let bag = "$.cid=c&$.uid=u&$.to=%2Fx&$.exp=2026-01-01T00:00:00Z&$.ctime=t&$.schema=s&$.sub=part&$.new=x&$.cdid=d\
                   &iothub-ack=full&plus=a+b&bare&empty=";
        let telemetry = telemetry(bag, &publish(b"")).unwrap();
        assert_eq!(
            (telemetry.correlation_id.as_deref(), telemetry.user_id.as_deref()),
            (Some("c"), Some(b"u".as_slice()))
        );
        assert_eq!((telemetry.expiry_ms, telemetry.subject.as_deref()), (Some(1_767_225_600_000), Some("part")));
        let names: Vec<_> = telemetry.properties.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let wanted =
            ["bare=", "empty=", "iothub-ack=full", "iothub-creation-time-utc=t", "iothub-message-schema=s", "plus=a+b"];
        assert_eq!(names, wanted);
    }

    #[test]
    fn what_mqtt_says_of_a_message_is_kept_as_properties() {
        let publish = Publish { is_retained: true, is_duplicate: true, ..publish(b"") };
        let telemetry = telemetry("", &publish).unwrap();
        let names: Vec<_> = telemetry.properties.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(names, ["mqtt-dup=true", "mqtt-retain=true"]);
    }

    #[test]
    fn what_the_hub_does_not_take_is_refused_with_its_code() {
        let code = |bag: &str, body: &[u8]| telemetry(bag, &publish(body)).unwrap_err().code;
        assert_eq!(code("", &vec![b'x'; 262_145]), 413_001);
        assert_eq!(code("a=b", &vec![b'x'; 262_143]), 413_001);
        assert_eq!(code("$.mid=not%20an%20id", b""), 400_004);
        assert_eq!(code("=x", b""), 400_004);
        assert_eq!(code("k=%ff", b""), 400_004);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_it_was(name in "[ -~]{1,20}", value in "[ -~]{0,40}") {
            prop_assume!(!name.starts_with("$."));
            let bag = Bag::default().with("$.mid", "m").and("$.cid", None).with(&name, &value);
            prop_assert!(!bag.text().contains(['#', '+', '/', '$']));
            let telemetry = telemetry(bag.text(), &publish(b"")).unwrap();
            prop_assert_eq!(telemetry.message_id.as_deref(), Some("m"));
            prop_assert_eq!(telemetry.properties.get(&name), Some(&value));
        }
    }
}
