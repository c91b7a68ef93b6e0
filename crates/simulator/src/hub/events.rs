//! The hub's own events: what it tells readers of identities, twins and connections, beside what devices send.
//!
//! Promises: properties, annotations and bodies are those of Microsoft's documentation. Decides what an event says, not
//! whether somebody wants it. Does not know where it goes.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::twin::Twin;
use crate::events::Accepted;
use crate::identity::timestamp;

/// Between 1601, where the service's ticks begin, and 1970.
const TICKS_BEGIN_MS: i64 = 11_644_473_600_000;
const TICKS_PER_MS: i64 = 10_000;

/// What the hub tells events of besides telemetry. The real service has a route for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventSource {
    /// Identities are made and deleted.
    Lifecycle,
    /// Twins are changed, by whomever.
    Twin,
    /// Devices connect and disconnect.
    Connection,
}

impl EventSource {
    fn words(self) -> [&'static str; 2] {
        match self {
            Self::Lifecycle => ["deviceLifecycleEvents", "deviceLifecycleNotification"],
            Self::Twin => ["twinChangeEvents", "twinChangeNotification"],
            Self::Connection => ["deviceConnectionStateEvents", "deviceConnectionStateNotification"],
        }
    }
}

/// Of whom an event is, and when.
#[derive(Clone, Debug)]
pub(crate) struct About<'a> {
    /// As the hub calls itself.
    pub(crate) hub: &'a str,
    pub(crate) device: &'a str,
    pub(crate) module: Option<&'a str>,
    pub(crate) at_ms: i64,
    /// Names this event and no other.
    pub(crate) correlation_id: String,
}

/// Which way a twin was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// By a merge patch.
    Update,
    /// Sections were put in place of what was there.
    Replace,
}

/// Numbers of connection events: each is higher than all before, also than those of before a restart.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sequence {
    at_ms: i64,
    count: u64,
}

impl Sequence {
    /// 64 hexadecimal digits, of which the first ones count time. A clock that was set back is not followed.
    pub(crate) fn next(&mut self, now_ms: i64) -> String {
        self.at_ms = self.at_ms.max(now_ms);
        self.count += 1;
        let ticks = self.at_ms.saturating_add(TICKS_BEGIN_MS).saturating_mul(TICKS_PER_MS);
        format!("{ticks:032X}{:032X}", self.count)
    }
}

impl About<'_> {
    /// An identity was made.
    pub(crate) fn created(self, twin: &Twin) -> Accepted {
        let body = self.whole(twin);
        self.event(EventSource::Lifecycle, "createDeviceIdentity", &body)
    }

    /// An identity was deleted; its twin as it was.
    pub(crate) fn deleted(self, twin: &Twin) -> Accepted {
        let body = self.whole(twin);
        self.event(EventSource::Lifecycle, "deleteDeviceIdentity", &body)
    }

    /// A twin was changed as `wish` says: after an update what changed, after a replacement all there is.
    pub(crate) fn twin_changed(self, twin: &Twin, change: Change, wish: &Value) -> Accepted {
        match change {
            Change::Update => self.event(EventSource::Twin, "updateTwin", &twin.updated_by(wish)),
            Change::Replace => {
                let body = self.whole(twin);
                self.event(EventSource::Twin, "replaceTwin", &body)
            }
        }
    }

    /// Somebody began or ceased to speak for it.
    pub(crate) fn turned(self, is_connected: bool, sequence: &str) -> Accepted {
        let operation = if is_connected { "deviceConnected" } else { "deviceDisconnected" };
        self.event(EventSource::Connection, operation, &json!({"sequenceNumber": sequence}))
    }

    fn whole(&self, twin: &Twin) -> Value {
        let mut body = json!({"deviceId": self.device});
        if let Some(module) = self.module {
            body["moduleId"] = module.into();
        }
        twin.told_whole(&mut body);
        body
    }

    fn event(self, source: EventSource, operation: &str, body: &Value) -> Accepted {
        let [source, schema] = source.words();
        let module = self.module.map(|module| ("moduleId", module.to_owned()));
        let properties = [
            ("hubName", self.hub.to_owned()),
            ("deviceId", self.device.to_owned()),
            ("opType", operation.to_owned()),
            ("operationTimestamp", format!("{:.7}", timestamp(self.at_ms))),
            ("iothub-message-schema", schema.to_owned()),
        ];
        Accepted {
            source,
            device_id: self.device.to_owned(),
            module_id: self.module.map(str::to_owned),
            enqueued_ms: self.at_ms,
            body: body.to_string().into(),
            correlation_id: Some(self.correlation_id),
            user_id: Some(Bytes::copy_from_slice(self.hub.as_bytes())),
            content_type: Some("application/json".to_owned()),
            content_encoding: Some("utf-8".to_owned()),
            properties: properties.into_iter().chain(module).map(|(name, value)| (name.to_owned(), value)).collect(),
            ..Accepted::default()
        }
    }
}

#[cfg(test)]
mod tests;
