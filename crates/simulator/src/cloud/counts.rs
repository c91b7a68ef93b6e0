//! What happened so far, for the page and for tests.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{AmqpCounts, Cloud, MqttCounts};
use crate::directory::Protocol;
use crate::endpoint::Endpoint;
use crate::registry::Status;

/// Names under which refused tokens are counted: they are not believed, so anybody could bring more. At 200 bytes each this
/// is 2 MB.
const REFUSED_NAMES_MAX: usize = 10_000;
/// Where a token of a device is not good.
const UNAUTHORIZED: u16 = 401;

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
    /// Tokens that were answered with 401, at hubs and provisioning, by the device that they name; at most 10 000 devices.
    pub tokens_refused: BTreeMap<String, u64>,
    /// Tokens that ran out under a device that was connected, by device.
    pub tokens_run_out: BTreeMap<String, u64>,
    /// Times that a connection took a device from another one, which was still there, by device.
    pub thefts: BTreeMap<String, u64>,
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

impl Counts {
    /// A device brought a token, which was answered so.
    pub(super) fn token(&mut self, device: &str, status: u16) {
        if status != UNAUTHORIZED {
            return;
        }
        if self.tokens_refused.len() < REFUSED_NAMES_MAX || self.tokens_refused.contains_key(device) {
            *self.tokens_refused.entry(device.to_owned()).or_default() += 1;
        }
    }
}

impl Cloud {
    /// A token ran out under somebody who was connected.
    pub(crate) fn count_run_out(&self, endpoint: &Endpoint) {
        *self.state().counts.tokens_run_out.entry(endpoint.device.clone()).or_default() += 1;
    }

    pub(crate) fn counts(&self) -> Counts {
        let state = self.state();
        let mut counts = state.counts.clone();
        for (what, count) in state.hubs.iter().flat_map(|hub| hub.post.counts()) {
            *counts.c2d.entry(what).or_default() += count;
        }
        counts.thefts = self.directory.thefts();
        (counts.amqp.connections_now, counts.amqp.connections_ever) = self.directory.counts(Protocol::Amqp);
        (counts.mqtt.connections_now, counts.mqtt.connections_ever) = self.directory.counts(Protocol::Mqtt);
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::tests::{NOW_MS, cloud_with};
    use crate::endpoint::HubId;
    use crate::faults::Faults;
    use crate::sas::tests::signed_until;

    #[test]
    fn a_refused_token_counts_for_the_device_that_it_names_whatever_it_came_on() {
        let (cloud, _) = cloud_with(&["d1"], Faults::default());
        let token = |id: &str, until_s: i64| {
            signed_until(&format!("hub1/devices/{id}"), "MDEyMzQ1Njc4OWFiY2RlZg==", NOW_MS / 1000 + until_s)
        };
        cloud.put_token(HubId(0), &token("d1", 60)).unwrap_err();
        cloud.put_token(HubId(0), &token("d1", -60)).unwrap_err();
        cloud.send(&Endpoint::device(HubId(0), "d1"), Some(&token("d1", 60)), Ok(Vec::new())).unwrap_err();
        cloud.put_token(HubId(0), &token("unknown", 60)).unwrap_err();
        assert_eq!(cloud.counts().tokens_refused, [("d1".to_owned(), 3)].into(), "404 is no matter of tokens");
    }

    #[test]
    fn strangers_cannot_fill_the_memory_with_names() {
        let mut counts = Counts::default();
        (0..REFUSED_NAMES_MAX + 5).for_each(|n| counts.token(&format!("d{n}"), UNAUTHORIZED));
        counts.token("d1", UNAUTHORIZED);
        assert_eq!((counts.tokens_refused.len(), counts.tokens_refused["d1"]), (REFUSED_NAMES_MAX, 2));
    }
}
