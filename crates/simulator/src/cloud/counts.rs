//! What happened so far, for the page and for tests.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{AmqpCounts, Cloud, MqttCounts};
use crate::directory::Protocol;
use crate::registry::Status;

/// What happened so far, since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// `register` calls with good credentials, by registration id. One each is what a good client needs.
    pub registrations: BTreeMap<String, u64>,
    /// Provisioning calls by kind (`register`, `poll`, `look_up`), refused ones too.
    pub dps_calls: BTreeMap<&'static str, u64>,
    /// Provisioning calls that ended in an error, by error code.
    pub dps_refused: BTreeMap<u32, u64>,
    /// Messages accepted, by device.
    pub messages: BTreeMap<String, u64>,
    /// Messages accepted, all devices.
    pub messages_total: u64,
    /// Hub calls that ended in an error, by the code's name.
    pub hub_refused: BTreeMap<String, u64>,
    /// Requests accepted and not answered, on request.
    pub answers_lost: u64,
    /// Messages to devices: `taken`, `handed_out`, and how they ended (`completed`, `rejected`, `exceeded`, `expired`, `purged`).
    pub c2d: BTreeMap<&'static str, u64>,
    /// AMQP connections and their links.
    pub amqp: AmqpCounts,
    /// MQTT connections.
    pub mqtt: MqttCounts,
}

/// A device as the page shows it; no keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceView {
    /// Host name of its hub.
    pub hub: String,
    /// Its name there.
    pub device_id: String,
    /// Whether it may talk.
    pub status: Status,
    /// Messages accepted since the start.
    pub messages: u64,
}

impl Cloud {
    pub(crate) fn counts(&self) -> Counts {
        let state = self.state();
        let mut counts = state.counts.clone();
        for (what, count) in state.hubs.iter().flat_map(|hub| hub.post.counts()) {
            *counts.c2d.entry(what).or_default() += count;
        }
        (counts.amqp.connections_now, counts.amqp.connections_ever) = self.directory.counts(Protocol::Amqp);
        (counts.mqtt.connections_now, counts.mqtt.connections_ever) = self.directory.counts(Protocol::Mqtt);
        counts
    }
}
