//! Provisioning: what a call does to registry and operations.

use serde_json::Value;

use super::{Cloud, State, not_written};
use crate::dps::{self, Answer, Outcome};
use crate::identity::Keys;
use crate::registry::{Device, Registration};

/// A call to the provisioning service, as every protocol can name it.
pub(crate) struct DpsCall<'a> {
    pub(crate) api_version: Option<&'a str>,
    pub(crate) scope: &'a str,
    pub(crate) registration_id: &'a str,
    pub(crate) authorization: Option<&'a str>,
}

/// Provisioning.
impl Cloud {
    /// Begins a registration.
    pub(crate) fn register(&self, call: &DpsCall<'_>, body: &[u8]) -> Result<Answer, dps::Refusal> {
        let now_ms = self.now_ms();
        let mut state = self.state();
        state.count_dps("register");
        let answer = self.register_now(&mut state, call, body, now_ms);
        state.count_dps_refusal(answer)
    }

    fn register_now(
        &self,
        state: &mut State,
        call: &DpsCall<'_>,
        body: &[u8],
        now_ms: i64,
    ) -> Result<Answer, dps::Refusal> {
        dps::check_call(call.api_version, call.registration_id)?;
        if let Some(throttle) = state.armed.throttles_register(now_ms) {
            return Err(dps::Refusal::throttled(throttle.retry_after_s));
        }
        let keys = dps::admit(&self.enrolment(), call.scope, call.registration_id, call.authorization, now_ms)?;
        dps::check_register_body(call.registration_id, body)?;
        *state.counts.registrations.entry(call.registration_id.to_owned()).or_default() += 1;
        let outcome = match state.armed.dps_refusal(call.registration_id) {
            Some(refusal) => dps::refused(call.registration_id, refusal)?,
            None => Outcome::Assigned(state.assign(call.registration_id, keys, self.hub(), now_ms)?),
        };
        Ok(state.operations.begin(outcome, self.pace.assigning_polls))
    }

    /// Makes devices as if each had registered. Stops at the first that cannot be made; those before it are there.
    pub(crate) fn enrol(&self, ids: &[String]) -> Result<(), dps::Refusal> {
        let now_ms = self.now_ms();
        let mut state = self.state();
        ids.iter().try_for_each(|id| {
            let keys = dps::enrol(&self.enrolment(), id)?;
            state.assign(id, keys, self.hub(), now_ms).map(drop)
        })
    }

    /// How a registration stands.
    pub(crate) fn poll(&self, call: &DpsCall<'_>, operation_id: &str) -> Result<Answer, dps::Refusal> {
        let mut state = self.state();
        state.count_dps("poll");
        let answer =
            self.admit_poll(&mut state, call).and_then(|()| state.operations.poll(call.registration_id, operation_id));
        state.count_dps_refusal(answer)
    }

    /// What is known of a device, without registering it.
    pub(crate) fn look_up(&self, call: &DpsCall<'_>) -> Result<Value, dps::Refusal> {
        let mut state = self.state();
        state.count_dps("look_up");
        let found = self.admit_poll(&mut state, call).and_then(|()| state.look_up(call.registration_id));
        state.count_dps_refusal(found)
    }

    fn admit_poll(&self, state: &mut State, call: &DpsCall<'_>) -> Result<(), dps::Refusal> {
        let now_ms = self.now_ms();
        dps::check_call(call.api_version, call.registration_id)?;
        if let Some(throttle) = state.armed.throttles_poll(now_ms) {
            return Err(dps::Refusal::throttled(throttle.retry_after_s));
        }
        dps::admit(&self.enrolment(), call.scope, call.registration_id, call.authorization, now_ms).map(drop)
    }

    /// Seconds until the next poll, as pending answers say.
    pub(crate) fn poll_after_s(&self) -> u64 {
        self.pace.retry_after_s
    }
}

impl State {
    /// Gives a device its hub, making it there. One that was switched off at the hub stays so.
    fn assign(
        &mut self,
        registration_id: &str,
        keys: Keys,
        hub: &str,
        now_ms: i64,
    ) -> Result<Registration, dps::Refusal> {
        let registration = dps::registered(self.registry.registration(registration_id), registration_id, hub, now_ms);
        let name = &registration.device_id;
        let device = match self.registry.device(name) {
            Some(device) => Device { keys, ..device.clone() },
            None if self.registry.is_full() => return Err(dps::Refusal::new(500, 500_001, "The hub is full")),
            None => Device::new(name, keys, now_ms),
        };
        self.registry
            .put_device(device)
            .and_then(|()| self.registry.put_registration(registration.clone()))
            .map_err(|error| not_written("registry", &error))
            .map_err(|text| dps::Refusal::new(500, 500_001, text))?;
        Ok(registration)
    }

    fn look_up(&self, registration_id: &str) -> Result<Value, dps::Refusal> {
        if let Some(refusal) = self.armed.dps_refusal(registration_id) {
            return dps::refused(registration_id, refusal).map(|outcome| outcome.state());
        }
        let registration = self.registry.registration(registration_id).cloned();
        let registration = registration.ok_or_else(|| dps::Refusal::new(404, 404_201, "Registration not found"))?;
        Ok(Outcome::Assigned(registration).state())
    }

    fn count_dps(&mut self, kind: &'static str) {
        *self.counts.dps_calls.entry(kind).or_default() += 1;
    }

    fn count_dps_refusal<T>(&mut self, answer: Result<T, dps::Refusal>) -> Result<T, dps::Refusal> {
        answer.inspect_err(|refusal| *self.counts.dps_refused.entry(refusal.code).or_default() += 1)
    }
}
