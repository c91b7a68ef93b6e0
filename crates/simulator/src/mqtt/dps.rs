//! Provisioning over MQTT: requests are published, answers come on a topic that names request and status.
//!
//! Promises: the same answers as over HTTPS. A token is looked at with each request, so that what is wrong with it is said
//! in words and the connection stays.

use std::time::Duration;

use serde::Serialize;

use super::connect::{Party, Registration};
use super::packet::Publish;
use super::session::Session;
use super::subscriptions::Family;
use super::topic::{self, ToDps};
use crate::cloud::{Cloud, DpsCall};
use crate::dps::{Answer, Refusal};
use crate::driver::Scene;
use crate::faults::Outage;

/// A status, JSON, and seconds to wait where there is something to wait for.
struct Reply {
    status: u16,
    json: Vec<u8>,
    retry_after_s: Option<u64>,
}

impl Session {
    pub(super) fn published_to_dps(&mut self, publish: &Publish, scene: Scene<'_>) {
        let Some(delay) = self.braves(scene) else { return };
        let Some(Party::Registration(registration)) = self.client.as_ref().map(|client| &client.party) else { return };
        let Some(request) = topic::to_dps(&publish.topic) else { return self.end("topic", scene) };
        let reply = registration.ask(&request, &publish.payload, scene.cloud);
        self.put_puback(publish, Duration::ZERO, scene);
        let (ToDps::Register { request_id } | ToDps::Poll { request_id, .. }) = request;
        let topic = topic::dps_answer(reply.status, request_id, reply.retry_after_s);
        self.send(Family::Registrations, &topic, &reply.json, delay, scene);
    }
}

impl Registration {
    fn ask(&self, request: &ToDps<'_>, body: &[u8], cloud: &Cloud) -> Reply {
        self.answer(request, body, cloud).map_or_else(
            |refusal| Reply {
                status: refusal.status,
                json: json(&refusal.body(&cloud.random().guid(), cloud.now_ms())),
                retry_after_s: refusal.retry_after_s,
            },
            |answer| Reply {
                status: if answer.is_pending { 202 } else { 200 },
                json: json(&answer),
                retry_after_s: answer.is_pending.then(|| cloud.poll_after_s()),
            },
        )
    }

    fn answer(&self, request: &ToDps<'_>, body: &[u8], cloud: &Cloud) -> Result<Answer, Refusal> {
        if cloud.dps_weather().outage == Some(Outage::Unavailable) {
            return Err(Refusal::new(503, 503_001, "Service unavailable"));
        }
        let call = DpsCall {
            api_version: self.api_version.as_deref(),
            scope: &self.scope,
            registration_id: &self.id,
            authorization: self.token.as_deref(),
        };
        match request {
            ToDps::Register { .. } => cloud.register(&call, body),
            ToDps::Poll { operation_id, .. } => cloud.poll(&call, operation_id),
        }
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("strings and numbers always serialise")
}
