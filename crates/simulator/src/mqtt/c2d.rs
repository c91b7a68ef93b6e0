//! Messages to devices over MQTT: published on the device's topic, done with when their PUBACK comes.
//!
//! Promises: at QoS 1 a message is held for the device until it is answered, and comes again on the next connection when it
//! was not, marked as such and under its old packet id where the session was kept; at QoS 0 it is done with when it is
//! written. It is not sent twice on one connection, however long the answer takes. There is no way to reject or abandon one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::answer::{self, Message};
use super::bag::Bag;
use super::connect::Party;
use super::packet::Qos;
use super::session::Session;
use super::subscriptions::Family;
use super::topic;
use crate::driver::Scene;
use crate::endpoint::Endpoint;
use crate::hub::c2d::{self, Ack, Delivery};
use crate::hub::line::{Lock, Outcome};
use crate::identity::timestamp;

/// Messages without a PUBACK on one connection, at most 64 KiB each: 1 MiB. A queue holds 50.
const IN_FLIGHT_MAX: usize = 16;
/// What a topic can hold. Properties that are longer when they are encoded cannot be sent.
const TOPIC_BYTES_MAX: usize = u16::MAX as usize;

/// Messages without a PUBACK.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    by_id: BTreeMap<u16, (u64, Lock)>,
    last_id: u16,
}

impl InFlight {
    /// A packet id that is not in use; there are fewer in use than there are ids.
    fn fresh_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.by_id.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }

    /// A message that is here already is held under a new lock, because the old one ran out.
    fn renews(&mut self, sequence: u64, lock: Lock) -> bool {
        let held = self.by_id.values_mut().find(|(held, _)| *held == sequence);
        held.map(|(_, old)| *old = lock).is_some()
    }

    pub(super) fn locks(&self) -> impl Iterator<Item = Lock> {
        self.by_id.values().map(|(_, lock)| *lock)
    }
}

impl Session {
    /// Sends what waits for the device, as much as may be on its way.
    pub(super) fn deliver(&mut self, scene: Scene<'_>) {
        while let Some(endpoint) = self.waits_for_c2d() {
            match scene.cloud.lock_c2d(&endpoint) {
                Ok(Some(delivery)) => self.hand_out(&endpoint, &delivery, scene),
                Ok(None) | Err(_) => return self.note_c2d(false),
            }
        }
    }

    /// There may be something in the queue.
    pub(super) fn note_c2d(&mut self, waits: bool) {
        if let Some(Party::Device(device)) = self.client.as_mut().map(|client| &mut client.party) {
            device.has_c2d = waits;
        }
    }

    fn waits_for_c2d(&self) -> Option<Endpoint> {
        let client = self.client.as_ref()?;
        let device = client.device().filter(|device| device.has_c2d)?;
        let has_room = device.in_flight.by_id.len() < IN_FLIGHT_MAX && !self.outbox.is_full();
        (has_room && client.subscriptions.has(Family::C2d)).then(|| device.endpoint.clone())
    }

    fn hand_out(&mut self, endpoint: &Endpoint, delivery: &Delivery, scene: Scene<'_>) {
        let topic = topic::c2d(&endpoint.device, bag(endpoint, &delivery.message).text());
        let Some(client) = &mut self.client else { return };
        let qos = client.subscriptions.qos(Family::C2d, &topic);
        let Party::Device(device) = &mut client.party else { return };
        if device.in_flight.renews(delivery.sequence, delivery.lock) {
            return;
        }
        let settle = |outcome| {
            // A lock that is lost already leaves nothing to be done.
            let _ = scene.cloud.settle_c2d(endpoint, delivery.lock, outcome);
        };
        if topic.len() > TOPIC_BYTES_MAX {
            return settle(Outcome::Reject);
        }
        let (mut id, mut is_again) = (None, false);
        if qos == Some(Qos::Zero) {
            settle(Outcome::Complete);
        } else {
            let fresh = device.in_flight.fresh_id();
            let before = scene.cloud.mqtt_hands_out(endpoint, delivery.sequence, fresh);
            is_again = before.is_some();
            let kept = before.filter(|id| !device.in_flight.by_id.contains_key(id)).unwrap_or(fresh);
            device.in_flight.by_id.insert(kept, (delivery.sequence, delivery.lock));
            id = Some(kept);
        }
        let message = Message { topic: &topic, payload: &delivery.message.body, id, is_again };
        self.put(Duration::ZERO, scene, |out| answer::publish(out, &message));
    }

    /// A message of ours arrived.
    pub(super) fn answered(&mut self, id: u16, scene: Scene<'_>) {
        let Some(Party::Device(device)) = self.client.as_mut().map(|client| &mut client.party) else { return };
        let Some((sequence, lock)) = device.in_flight.by_id.remove(&id) else { return };
        scene.cloud.mqtt_answered(&device.endpoint, sequence);
        if let Err(refusal) = scene.cloud.settle_c2d(&device.endpoint, lock, Outcome::Complete) {
            tracing::debug!(device = %device.endpoint, code = refusal.code, "a message was done with already");
        }
        device.has_c2d = true;
        self.deliver(scene);
    }
}

/// A message's properties, in the hub's order.
fn bag(endpoint: &Endpoint, message: &c2d::Message) -> Bag {
    let to = format!("/devices/{}/messages/devicebound", endpoint.device);
    let user_id = message.user_id.as_ref().map(|bytes| String::from_utf8_lossy(bytes));
    let expiry = message.expiry_ms.map(|at_ms| timestamp(at_ms).to_string());
    let ack = Some(message.ack).filter(|ack| *ack != Ack::None).map(Ack::word);
    let bag = Bag::default()
        .with("$.to", &to)
        .and("$.mid", message.message_id.as_deref())
        .and("$.cid", message.correlation_id.as_deref())
        .and("$.uid", user_id.as_deref())
        .and("$.ct", message.content_type.as_deref())
        .and("$.ce", message.content_encoding.as_deref())
        .and("$.exp", expiry.as_deref())
        .and(Ack::PROPERTY, ack);
    message.properties.iter().fold(bag, |bag, (name, value)| bag.with(name, value))
}
