//! Devices: what they publish, and what others did to them.
//!
//! Promises: a message stands in the record before its PUBACK; one that the hub does not take ends the connection, because
//! MQTT has no word for it, but for the day's quota, beyond which messages vanish without one (Azure/iotedge#1097).

use std::time::Duration;

use bytes::Bytes;

use super::bag;
use super::connect::{Device, Party};
use super::packet::{Publish, Qos};
use super::session::Session;
use super::subscriptions::{Family, Granted};
use super::topic::{self, ToHub};
use crate::cloud::Accepted;
use crate::directory::{Ears, Notes};
use crate::driver::{Fate, Scene};
use crate::faults::Outage;

/// The code of the day's quota.
pub(super) const QUOTA: u32 = 403_002;
/// How a will is told from other telemetry.
const WILL: (&str, &str) = ("iothub-MessageType", "Will");

impl Session {
    pub(super) fn device(&self) -> Option<&Device> {
        self.client.as_ref()?.device()
    }

    /// How long the service takes; none when it is away, which the connection does not outlive. Provisioning answers
    /// requests itself when it is unavailable.
    pub(super) fn braves(&mut self, scene: Scene<'_>) -> Option<Duration> {
        let is_device = self.is_device();
        let weather = if is_device { scene.cloud.hub_weather() } else { scene.cloud.dps_weather() };
        match weather.outage {
            Some(Outage::Unavailable) if is_device => self.end("outage", scene),
            Some(Outage::Close) => self.meet(Fate::Cut, "outage", scene),
            Some(Outage::Hang) => self.meet(Fate::Silent, "outage", scene),
            Some(Outage::Unavailable) | None => return Some(weather.delay),
        }
        None
    }

    pub(super) fn published_to_hub(&mut self, publish: &Publish, scene: Scene<'_>) {
        let Some(delay) = self.braves(scene) else { return };
        let Some(Device { endpoint, .. }) = self.device() else { return };
        match topic::to_hub(&publish.topic, &endpoint.device, endpoint.module.as_deref()) {
            Some(ToHub::Telemetry { bag }) => self.take(bag, publish, delay, scene),
            Some(ToHub::TwinGet { request_id }) => self.get_twin(request_id, publish, delay, scene),
            Some(ToHub::TwinPatch { request_id }) => self.patch_twin(request_id, publish, delay, scene),
            Some(ToHub::MethodAnswer { status, request_id }) => {
                self.answered_call((status, request_id), publish, delay, scene);
            }
            None => self.end("topic", scene),
        }
    }

    fn take(&mut self, bag: &str, publish: &Publish, delay: Duration, scene: Scene<'_>) {
        let Some(Device { endpoint, sender, .. }) = self.device() else { return };
        let messages = bag::telemetry(bag, publish).map(|message| vec![message]);
        match scene.cloud.take(endpoint, sender, messages) {
            Ok(Accepted::Answered) if scene.cloud.mqtt_withholds_puback(&endpoint.device) => {}
            Ok(Accepted::Answered) => self.put_puback(publish, delay, scene),
            Ok(Accepted::Lost) => self.meet(Fate::Cut, "answer_lost", scene),
            Err(refusal) if refusal.code == QUOTA => self.put_puback(publish, delay, scene),
            Err(refusal) => self.end(&refusal.name, scene),
        }
    }

    /// What the client listens to has changed.
    pub(super) fn listens(&mut self, scene: Scene<'_>) {
        let Some(client) = &self.client else { return };
        let Party::Device(Device { endpoint, .. }) = &client.party else { return };
        let has = |family| client.subscriptions.has(family);
        let ears = Ears { c2d: has(Family::C2d), methods: has(Family::Methods), desired: has(Family::Desired) };
        scene.cloud.directory().listen(endpoint, self.id, ears);
        let filters: Vec<Granted> = client.subscriptions.of(Family::C2d).cloned().collect();
        scene.cloud.mqtt_listens(endpoint, filters);
        self.note_c2d(true);
        self.deliver(scene);
    }

    /// What others did.
    pub(super) fn heed(&mut self, notes: Notes, scene: Scene<'_>) {
        if notes.faults && self.client.is_some() && self.braves(scene).is_none() {
            return;
        }
        let Some(Device { endpoint, .. }) = self.device() else { return };
        if notes.stolen.contains_key(endpoint) {
            return self.end("taken", scene);
        }
        if notes.changed.contains(endpoint)
            && let Err(refusal) = scene.cloud.standing(endpoint)
        {
            return self.end(&refusal.name, scene);
        }
        if notes.c2d.contains(endpoint) {
            self.note_c2d(true);
            self.deliver(scene);
        }
        notes.calls.iter().for_each(|(_, call)| self.call(call, scene));
        notes.desired.iter().for_each(|(_, change)| self.tell_desired(change, scene));
    }

    /// The connection is over: nothing is held back from the next.
    pub(super) fn leave(&mut self, scene: Scene<'_>) {
        let Some(client) = self.client.take() else { return };
        let Party::Device(device) = client.party else { return };
        if let Some(will) = client.will {
            send_will(&device, &will, scene);
        }
        scene.cloud.give_up(&device.endpoint, self.id);
        device.in_flight.locks().for_each(|lock| scene.cloud.unlock_c2d(&device.endpoint, lock));
    }
}

/// Sent as telemetry. Nobody is there to be told when the hub does not take it.
fn send_will(device: &Device, will: &Publish, scene: Scene<'_>) {
    let Some(bag) = device.telemetry_bag(&will.topic) else { return };
    let will = Publish { topic: String::new(), payload: Bytes::clone(&will.payload), qos: Qos::Zero, ..*will };
    let message = bag::telemetry(bag, &will).map(|mut message| {
        message.properties.insert(WILL.0.to_owned(), WILL.1.to_owned());
        vec![message]
    });
    if let Err(refusal) = scene.cloud.take(&device.endpoint, &device.sender, message) {
        tracing::debug!(device = %device.endpoint, code = refusal.code, "a will was not taken");
    }
}
