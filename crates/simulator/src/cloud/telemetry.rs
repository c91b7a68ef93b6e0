//! What devices send, whatever they speak: who may, and the record before the answer.
//!
//! Promises: messages are taken all or none; what is said to be accepted stands in the record.

use super::{Cloud, Sender, State, server_error};
use crate::amqp::tokens::Key;
use crate::endpoint::{Endpoint, HubId};
use crate::hub::{self, Telemetry};
use crate::record::Recorded;
use crate::registry::Device;

/// What is said of accepted telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// Say so.
    Answered,
    /// Say nothing and close the connection.
    Lost,
}

impl Cloud {
    /// Whether a device may talk at all; for calls that have nothing to deliver yet.
    pub(crate) fn admit_device(&self, device: &Endpoint, authorization: Option<&str>) -> Result<(), hub::Refusal> {
        let now_ms = self.now_ms();
        let mut state = self.state();
        let admitted = self.admit_now(&mut state, device, authorization, now_ms).map(drop);
        state.count_hub_refusal(admitted)
    }

    pub(super) fn admit_now(
        &self,
        state: &mut State,
        endpoint: &Endpoint,
        authorization: Option<&str>,
        now_ms: i64,
    ) -> Result<Device, hub::Refusal> {
        let (names, device) = (self.names(endpoint.hub), state.device(endpoint));
        let admitted = state
            .stands_in_the_way(endpoint)
            .and_then(|()| hub::admit_device(&names, device, &endpoint.device, authorization, now_ms).cloned());
        admitted.inspect_err(|refusal| state.counts.token(&endpoint.device, refusal.status))
    }

    /// Takes messages of one device, all or none. When this returns `Ok` they stand in the record.
    pub(crate) fn send(
        &self,
        endpoint: &Endpoint,
        authorization: Option<&str>,
        messages: Result<Vec<Telemetry>, hub::Refusal>,
    ) -> Result<Accepted, hub::Refusal> {
        let now_ms = self.now_ms();
        let mut state = self.state();
        let device = self.admit_now(&mut state, endpoint, authorization, now_ms);
        let is_policy = crate::sas::Token::parse(authorization).is_ok_and(|token| token.policy.is_some());
        let key = if is_policy { Key::Hub } else { Key::Device };
        let sender = Sender { key, model_id: None };
        let accepted =
            device.and_then(|device| self.take_now(&mut state, (endpoint.hub, &device), &sender, messages?, now_ms));
        state.count_hub_refusal(accepted)
    }

    pub(super) fn take_now(
        &self,
        state: &mut State,
        (hub, device): (HubId, &Device),
        sender: &Sender,
        messages: Vec<Telemetry>,
        now_ms: i64,
    ) -> Result<Accepted, hub::Refusal> {
        let count = u32::try_from(messages.len()).unwrap_or(u32::MAX);
        if let Some(throttle) = state.armed.throttles_telemetry(count, now_ms) {
            return Err(hub::Refusal::throttled(throttle.retry_after_s));
        }
        let events: Vec<_> = messages.iter().map(|message| sender.accepted(device, message, now_ms)).collect();
        let name = self.hub(hub).name();
        let recorded = messages.into_iter().map(|message| Recorded::new(name, &device.id, message, now_ms));
        state.keep(&device.id, &recorded.collect::<Vec<_>>())?;
        if let Some(its) = state.hubs.get_mut(hub.0) {
            its.saw(device, sender.model_id.as_deref(), now_ms);
            for event in events {
                its.events.append(event);
            }
        }
        self.directory.tell_readers();
        Ok(if state.armed.loses_answer(now_ms) { state.lose_answer() } else { Accepted::Answered })
    }
}

impl State {
    fn keep(&mut self, id: &str, messages: &[Recorded]) -> Result<(), hub::Refusal> {
        self.record.append(messages).map_err(|error| server_error("record", &error))?;
        let count = messages.len() as u64;
        *self.counts.messages.entry(id.to_owned()).or_default() += count;
        self.counts.messages_total += count;
        Ok(())
    }

    fn lose_answer(&mut self) -> Accepted {
        self.counts.answers_lost += 1;
        Accepted::Lost
    }
}
