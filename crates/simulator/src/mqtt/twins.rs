//! A device's twin over MQTT: requests are published, answers come on a topic that names request and status.
//!
//! Promises: every request is answered if the device listens to answers, an error with its JSON. Changes of desired
//! properties are told to whoever listens to them.

use std::time::Duration;

use serde_json::json;

use super::packet::Publish;
use super::session::Session;
use super::subscriptions::Family;
use super::topic;
use crate::directory::DesiredChange;
use crate::driver::Scene;
use crate::hub::Refusal;
use crate::identity::timestamp;

impl Session {
    pub(super) fn get_twin(&mut self, request_id: &str, publish: &Publish, delay: Duration, scene: Scene<'_>) {
        let Some(device) = self.device() else { return };
        let twin = scene.cloud.twin_for_device(&device.endpoint);
        self.put_puback(publish, delay, scene);
        match twin {
            Ok(twin) => self.answer_twin(&topic::twin_answer(200, request_id, None), &twin, delay, scene),
            Err(refusal) => self.refuse_twin(&refusal, request_id, delay, scene),
        }
    }

    pub(super) fn patch_twin(&mut self, request_id: &str, publish: &Publish, delay: Duration, scene: Scene<'_>) {
        let Some(device) = self.device() else { return };
        let version = scene.cloud.patch_reported(&device.endpoint, &publish.payload);
        self.put_puback(publish, delay, scene);
        match version {
            Ok(version) => self.answer_twin(&topic::twin_answer(204, request_id, Some(version)), b"", delay, scene),
            Err(refusal) => self.refuse_twin(&refusal, request_id, delay, scene),
        }
    }

    /// Desired properties changed.
    pub(super) fn tell_desired(&mut self, change: &DesiredChange, scene: Scene<'_>) {
        self.send(Family::Desired, &topic::desired(change.version), &change.patch, Duration::ZERO, scene);
    }

    fn answer_twin(&mut self, topic: &str, payload: &[u8], delay: Duration, scene: Scene<'_>) {
        self.send(Family::TwinAnswers, topic, payload, delay, scene);
    }

    fn refuse_twin(&mut self, refusal: &Refusal, request_id: &str, delay: Duration, scene: Scene<'_>) {
        let error = json!({
            "errorCode": refusal.code,
            "trackingId": scene.random().guid(),
            "message": refusal.text,
            "timestampUtc": timestamp(scene.now_ms).to_string(),
        });
        let topic = topic::twin_answer(refusal.status, request_id, None);
        self.answer_twin(&topic, error.to_string().as_bytes(), delay, scene);
    }
}
