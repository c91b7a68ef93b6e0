//! Provisioning: what a call does to registry and operations.

use serde_json::Value;

use super::{Cloud, State, not_written};
use crate::dps::{self, Answer, Outcome, Registration};
use crate::endpoint::HubId;
use crate::identity::Keys;
use crate::registry::Device;

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
            None => Outcome::Assigned(self.assign(state, call.registration_id, keys, now_ms)?),
        };
        Ok(state.operations.begin(outcome, self.pace.assigning_polls))
    }

    /// Makes devices as if each had registered. Stops at the first that cannot be made; those before it are there.
    pub(crate) fn enrol(&self, ids: &[String]) -> Result<(), dps::Refusal> {
        let now_ms = self.now_ms();
        let mut state = self.state();
        ids.iter().try_for_each(|id| {
            let keys = dps::enrol(&self.enrolment(), id)?;
            self.assign(&mut state, id, keys, now_ms).map(drop)
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

    /// Gives a device its hub, making it there. One that was switched off at the hub stays so.
    fn assign(
        &self,
        state: &mut State,
        registration_id: &str,
        keys: Keys,
        now_ms: i64,
    ) -> Result<Registration, dps::Refusal> {
        let hub = self.default_hub();
        let before = state.registrations.get(registration_id);
        let registration = dps::registered(before, registration_id, self.hub(hub).name(), now_ms);
        state.make(hub, &registration, keys, now_ms)?;
        Ok(registration)
    }

    /// Seconds until the next poll, as pending answers say.
    pub(crate) fn poll_after_s(&self) -> u64 {
        self.pace.retry_after_s
    }
}

impl State {
    fn make(&mut self, hub: HubId, registration: &Registration, keys: Keys, now_ms: i64) -> Result<(), dps::Refusal> {
        let failed = |text: String| dps::Refusal::new(500, 500_001, text);
        let its = self.hub(hub).map_err(|refusal| failed(refusal.text))?;
        let name = &registration.device_id;
        let device = match its.registry.device(name) {
            Some(device) => Device { keys, ..device.clone() },
            None if its.registry.is_full() => return Err(failed("The hub is full".to_owned())),
            None => Device::new(name, keys, now_ms),
        };
        its.registry
            .put_device(device)
            .and_then(|()| self.registrations.put(registration.clone()))
            .map_err(|error| failed(not_written("registry", &error)))
    }

    fn look_up(&self, registration_id: &str) -> Result<Value, dps::Refusal> {
        if let Some(refusal) = self.armed.dps_refusal(registration_id) {
            return dps::refused(registration_id, refusal).map(|outcome| outcome.state());
        }
        let registration = self.registrations.get(registration_id).cloned();
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
