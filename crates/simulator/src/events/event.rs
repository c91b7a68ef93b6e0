//! One accepted message, as readers get it.
//!
//! ```text
//! message-annotations   x-opt-sequence-number            long
//!                       x-opt-offset                     string
//!                       x-opt-enqueued-time              timestamp
//!                       iothub-connection-device-id      string
//!                       iothub-connection-auth-method    string, JSON; not of the hub's own
//!                       iothub-connection-auth-generation-id  string; not of the hub's own
//!                       iothub-enqueuedtime              timestamp
//!                       iothub-message-source            string, "Telemetry" or one of the hub's own (`hub::events`)
//!                       iothub-connection-module-id      string, of a module
//!                       dt-dataschema, dt-subject        string, where there is one
//! properties            as the device sent them; ids as text
//! application-properties  string to string
//! data                  the payload, byte for byte
//! ```
//!
//! It is written once, when it is accepted: so the bytes that count against the bound are the bytes that are held, a
//! small body does not keep the large input buffer alive that it came in, and any number of readers cost nothing.

use std::collections::BTreeMap;

use amqp::message::{Body, Message, MessageId, Properties};
use amqp::value::{Fields, Symbol, Value};
use bytes::{Bytes, BytesMut};

use crate::hub::Telemetry;
use crate::registry::Device;

/// Of what devices send.
const TELEMETRY: &str = "Telemetry";

/// What the hub knows of a message when it accepts it. Its size was held against the hub's bound before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accepted {
    /// One of the hub's own sources; empty: a device.
    pub(crate) source: &'static str,
    pub(crate) device_id: String,
    /// Where a module of it has sent.
    pub(crate) module_id: Option<String>,
    /// Tells the device from an earlier one of the same name; empty where the hub speaks.
    pub(crate) generation_id: String,
    /// JSON, see [`Accepted::AUTH_DEVICE`].
    pub(crate) auth_method: String,
    pub(crate) enqueued_ms: i64,
    pub(crate) body: Bytes,
    pub(crate) message_id: Option<String>,
    pub(crate) correlation_id: Option<String>,
    pub(crate) user_id: Option<Bytes>,
    pub(crate) content_type: Option<String>,
    pub(crate) content_encoding: Option<String>,
    pub(crate) expiry_ms: Option<i64>,
    pub(crate) creation_ms: Option<i64>,
    /// Application properties, with those that the hub keeps there (`iothub-creation-time-utc`, `iothub-message-schema`).
    pub(crate) properties: BTreeMap<String, String>,
    /// The component that it is of.
    pub(crate) subject: Option<String>,
    /// The model that the device announced.
    pub(crate) model_id: Option<String>,
}

impl Accepted {
    /// How a device with its own key was let in.
    pub(crate) const AUTH_DEVICE: &str =
        r#"{"scope":"device","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}"#;
    /// How one with a key of the hub was.
    pub(crate) const AUTH_HUB: &str = r#"{"scope":"hub","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}"#;

    /// What every protocol knows; what only some know can be set besides.
    pub(crate) fn new(device: &Device, telemetry: &Telemetry, enqueued_ms: i64) -> Self {
        Self {
            device_id: device.id.clone(),
            module_id: device.module.clone(),
            generation_id: device.generation.clone(),
            auth_method: Self::AUTH_DEVICE.to_owned(),
            enqueued_ms,
            body: telemetry.body.clone(),
            message_id: telemetry.message_id.clone(),
            correlation_id: telemetry.correlation_id.clone(),
            content_type: telemetry.content_type.clone(),
            content_encoding: telemetry.content_encoding.clone(),
            properties: telemetry.properties.clone(),
            ..Self::default()
        }
    }

    fn message(self, place: Place) -> Message {
        Message {
            message_annotations: self.annotations(place),
            properties: Properties {
                message_id: self.message_id.map(MessageId::String),
                user_id: self.user_id,
                correlation_id: self.correlation_id.map(MessageId::String),
                content_type: self.content_type.map(symbol),
                content_encoding: self.content_encoding.map(symbol),
                absolute_expiry_time: self.expiry_ms,
                creation_time: self.creation_ms,
                ..Properties::default()
            },
            application_properties: self.properties.into_iter().map(|(name, value)| (name, value.into())).collect(),
            body: Body::Data(vec![self.body]),
            ..Message::default()
        }
    }

    fn annotations(&self, place: Place) -> Fields {
        let known = [
            ("x-opt-sequence-number", Value::Long(place.sequence)),
            ("x-opt-offset", place.offset.to_string().into()),
            ("x-opt-enqueued-time", Value::Timestamp(place.enqueued_ms)),
            ("iothub-connection-device-id", self.device_id.as_str().into()),
            ("iothub-enqueuedtime", Value::Timestamp(self.enqueued_ms)),
            ("iothub-message-source", if self.source.is_empty() { TELEMETRY } else { self.source }.into()),
        ];
        let sender = [
            ("iothub-connection-auth-method", &self.auth_method),
            ("iothub-connection-auth-generation-id", &self.generation_id),
        ];
        let sender =
            sender.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| (name, text.as_str().into()));
        let optional = [
            ("iothub-connection-module-id", &self.module_id),
            ("dt-dataschema", &self.model_id),
            ("dt-subject", &self.subject),
        ];
        let optional = optional.into_iter().filter_map(|(name, text)| Some((name, text.as_deref()?.into())));
        Fields(
            known.into_iter().chain(sender).chain(optional).map(|(name, value)| (Symbol::known(name), value)).collect(),
        )
    }
}

/// Symbols are ASCII. What is not, which only a JSON batch can bring, would make the event unreadable.
fn symbol(text: String) -> Symbol {
    if text.is_ascii() { text.into() } else { text.replace(|c: char| !c.is_ascii(), "?").into() }
}

/// Where an event stands in its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) sequence: i64,
    pub(super) offset: i64,
    /// By the endpoint's own time, which never goes back within a partition.
    pub(super) enqueued_ms: i64,
}

/// A kept event.
#[derive(Debug)]
pub(crate) struct Event {
    pub(super) place: Place,
    encoded: Bytes,
}

impl Event {
    pub(super) fn new(accepted: Accepted, place: Place, scratch: &mut BytesMut) -> Self {
        scratch.clear();
        accepted.message(place).encode(scratch);
        Self { place, encoded: Bytes::copy_from_slice(scratch) }
    }

    /// The encoded message, from its message annotations on; shared, not copied.
    pub(crate) fn message(&self) -> Bytes {
        self.encoded.clone()
    }

    /// How much it weighs.
    pub(crate) fn len(&self) -> usize {
        self.encoded.len()
    }
}

#[cfg(test)]
mod tests;
