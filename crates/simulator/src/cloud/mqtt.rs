//! What MQTT connections ask of the services, beside what every protocol does: what is kept of a client between its
//! connections, faults, counts.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::{Cloud, State};
use crate::endpoint::Endpoint;
use crate::mqtt::Granted;

/// Clients that something is kept of. Beyond it those go that the hub does not know any more; a hub has as many devices.
const SESSIONS_MAX: usize = 1_000_000;

/// Messages without a PUBACK that are kept of a client: a queue holds 50. Older ones are forgotten, having ended otherwise.
const UNANSWERED_MAX: usize = 64;

/// What happened on MQTT connections since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MqttCounts {
    /// Open now.
    pub connections_now: u64,
    /// Since the start.
    pub connections_ever: u64,
    /// CONNECTs by the code of their answer.
    pub connects: BTreeMap<u8, u64>,
    /// Messages that clients published, whatever became of them.
    pub publishes: u64,
    /// Connections that ended, by the reason; `by_client` said so, `lost` did not.
    pub closes: BTreeMap<String, u64>,
}

/// What is kept of clients that do not ask for a clean session.
pub(super) type Sessions = HashMap<Endpoint, Kept>;

/// Of one client.
#[derive(Debug)]
pub(super) struct Kept {
    /// Which of the devices that had this name.
    generation: String,
    /// How it listens to messages from the cloud.
    filters: Vec<Granted>,
    /// Messages from the cloud without a PUBACK: number in the queue, and packet id.
    unanswered: BTreeMap<u64, u16>,
}

/// What is kept between connections.
impl Cloud {
    /// A client is there: how it listened when it went, if that is kept. A clean session forgets, and keeps nothing.
    pub(crate) fn mqtt_resume(&self, endpoint: &Endpoint, is_clean: bool) -> Option<Vec<Granted>> {
        let mut state = self.state();
        let generation = state.device(endpoint).map(|device| device.generation.clone()).unwrap_or_default();
        let before = state.mqtt.remove(endpoint).filter(|kept| kept.generation == generation && !is_clean);
        let filters = before.as_ref().map(|kept| kept.filters.clone());
        if !is_clean {
            state.make_room();
            let fresh = || Kept { generation, filters: Vec::new(), unanswered: BTreeMap::new() };
            state.mqtt.insert(endpoint.clone(), before.unwrap_or_else(fresh));
        }
        filters
    }

    /// How a client listens to messages from the cloud now.
    pub(crate) fn mqtt_listens(&self, endpoint: &Endpoint, filters: Vec<Granted>) {
        if let Some(kept) = self.state().mqtt.get_mut(endpoint) {
            kept.filters = filters;
        }
    }
}

/// Messages from the cloud on their way.
impl Cloud {
    /// A message is sent under this packet id; gives the one that it had when it went without an answer before.
    pub(crate) fn mqtt_hands_out(&self, endpoint: &Endpoint, sequence: u64, id: u16) -> Option<u16> {
        let mut state = self.state();
        let unanswered = &mut state.mqtt.get_mut(endpoint)?.unanswered;
        let before = unanswered.get(&sequence).copied();
        if before.is_none() {
            unanswered.insert(sequence, id);
            if unanswered.len() > UNANSWERED_MAX {
                unanswered.pop_first();
            }
        }
        before
    }

    pub(crate) fn mqtt_answered(&self, endpoint: &Endpoint, sequence: u64) {
        if let Some(kept) = self.state().mqtt.get_mut(endpoint) {
            kept.unanswered.remove(&sequence);
        }
    }
}

impl State {
    fn make_room(&mut self) {
        if self.mqtt.len() >= SESSIONS_MAX {
            let hubs = &self.hubs;
            let is_there = |one: &Endpoint| hubs.get(one.hub.0).is_some_and(|hub| hub.registry.get(one).is_some());
            self.mqtt.retain(|endpoint, _| is_there(endpoint));
        }
    }
}

/// Faults and counts.
impl Cloud {
    /// The code that a CONNECT is to be answered with.
    pub(crate) fn mqtt_connack(&self, client: &str) -> Option<u8> {
        let now_ms = self.now_ms();
        self.state().armed.connack(client, now_ms)
    }

    /// Whether a message is to have no PUBACK.
    pub(crate) fn mqtt_withholds_puback(&self, device: &str) -> bool {
        let now_ms = self.now_ms();
        self.state().armed.withholds_puback(device, now_ms)
    }

    pub(crate) fn count_connect(&self, code: u8) {
        *self.state().counts.mqtt.connects.entry(code).or_default() += 1;
    }

    pub(crate) fn count_publish(&self) {
        self.state().counts.mqtt.publishes += 1;
    }

    pub(crate) fn count_close(&self, reason: &str) {
        *self.state().counts.mqtt.closes.entry(reason.to_owned()).or_default() += 1;
    }
}
