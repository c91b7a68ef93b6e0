//! Provisioning: what a call does to registry and operations.

use serde_json::Value;

use super::{Cloud, State, not_written};
use crate::dps::{self, Admitted, Answer, Assignment, Outcome, Registration};
use crate::endpoint::HubId;
use crate::faults::DpsRefusal;
use crate::identity::Keys;
use crate::random::Stamp;
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
        let admitted = state.admit(call, now_ms)?;
        let sent = dps::read_register_body(call.registration_id, body)?;
        *state.counts.registrations.entry(call.registration_id.to_owned()).or_default() += 1;
        let outcome = match state.stands_against(call.registration_id, &admitted)? {
            Some(outcome) => outcome,
            None => self.assign(state, &admitted, call.registration_id, sent, now_ms)?,
        };
        Ok(state.operations.begin(&admitted.scope, outcome, self.pace.assigning_polls, &self.random))
    }

    /// Makes devices as if each had registered. Stops at the first that cannot be made; those before it are there.
    pub(crate) fn enrol(&self, ids: &[String]) -> Result<(), dps::Refusal> {
        let now_ms = self.now_ms();
        let mut state = self.state();
        ids.iter().try_for_each(|id| {
            let admitted = state.scopes.enrol(id)?;
            self.assign(&mut state, &admitted, id, None, now_ms).map(drop)
        })
    }

    /// How a registration stands.
    pub(crate) fn poll(&self, call: &DpsCall<'_>, operation_id: &str) -> Result<Answer, dps::Refusal> {
        let mut state = self.state();
        state.count_dps("poll");
        let now_ms = self.now_ms();
        let answer = state.admit_poll(call, now_ms).and_then(|_| {
            if let Some(throttle) = state.armed.throttles_device_poll(call.registration_id, now_ms) {
                return Err(dps::Refusal::throttled(throttle));
            }
            state.operations.poll(call.scope, call.registration_id, operation_id)
        });
        state.count_dps_refusal(answer)
    }

    /// What is known of a device, without registering it.
    pub(crate) fn look_up(&self, call: &DpsCall<'_>) -> Result<Value, dps::Refusal> {
        let now_ms = self.now_ms();
        let mut state = self.state();
        state.count_dps("look_up");
        let found = state.admit_poll(call, now_ms).and_then(|admitted| state.look_up(call.registration_id, &admitted));
        state.count_dps_refusal(found)
    }

    /// Gives a device its hub, making it there. One that was switched off at the hub stays so.
    fn assign(
        &self,
        state: &mut State,
        admitted: &Admitted,
        registration_id: &str,
        sent: Option<Value>,
        now_ms: i64,
    ) -> Result<Outcome, dps::Refusal> {
        let before = state.registrations.get(&admitted.scope, registration_id);
        let Assignment { registration, data } =
            dps::assign(admitted, before, registration_id, sent, self.stamp(now_ms));
        let hub = self.hub_called(&registration.hub).ok_or_else(|| failed("The hub is not there"))?;
        // Before anything is done: a device that would have moved here stays where it is.
        if !state.has_room(hub, &registration.device_id) {
            return Err(failed("The hub is full"));
        }
        let failed_to_write = |error: std::io::Error| failed(&not_written("registry", &error));
        self.bring(state, &data, (hub, &registration.device_id), now_ms).map_err(failed_to_write)?;
        state.make(hub, &registration, admitted.keys.clone(), self.stamp(now_ms))?;
        self.directory.tell_readers();
        self.leave(state, &data, &registration.device_id).map_err(failed_to_write)?;
        // What the device sent is of no use to it.
        let shown = Registration { payload: None, ..registration };
        Ok(Outcome::Assigned(Box::new(shown), admitted.group.payload.clone()))
    }

    /// Seconds until the next poll, as pending answers say.
    pub(crate) fn poll_after_s(&self) -> u64 {
        self.pace.retry_after_s
    }
}

fn failed(text: &str) -> dps::Refusal {
    dps::Refusal::new(500, 500_001, text)
}

impl State {
    fn admit(&mut self, call: &DpsCall<'_>, now_ms: i64) -> Result<Admitted, dps::Refusal> {
        let admitted = self.scopes.admit(call.scope, call.registration_id, call.authorization, now_ms);
        admitted.inspect_err(|refusal| self.counts.token(call.registration_id, refusal.status))
    }

    fn admit_poll(&mut self, call: &DpsCall<'_>, now_ms: i64) -> Result<Admitted, dps::Refusal> {
        dps::check_call(call.api_version, call.registration_id)?;
        if let Some(throttle) = self.armed.throttles_poll(now_ms) {
            return Err(dps::Refusal::throttled(throttle.retry_after_s));
        }
        self.admit(call, now_ms)
    }

    /// How a registration ends without a hub: as a fault wants it, or because the group is switched off.
    fn stands_against(&self, registration_id: &str, admitted: &Admitted) -> Result<Option<Outcome>, dps::Refusal> {
        let refusal = self.armed.dps_refusal(registration_id);
        let refusal = refusal.or_else(|| (!admitted.group.is_enabled).then_some(&DpsRefusal::Disabled));
        refusal.map(|refusal| dps::refused(registration_id, refusal)).transpose()
    }

    fn make(
        &mut self,
        hub: HubId,
        registration: &Registration,
        keys: Keys,
        stamp: Stamp<'_>,
    ) -> Result<(), dps::Refusal> {
        let its = self.hub(hub).map_err(|refusal| failed(&refusal.text))?;
        let name = &registration.device_id;
        let device = match its.registry.device(name) {
            Some(device) => Device { keys, ..device.clone() },
            None => Device::new(name, keys, stamp),
        };
        its.keep_device(device, stamp.now_ms)
            .and_then(|()| self.registrations.put(registration.clone()))
            .map_err(|error| failed(&not_written("registry", &error)))
    }

    fn look_up(&self, registration_id: &str, admitted: &Admitted) -> Result<Value, dps::Refusal> {
        if let Some(outcome) = self.stands_against(registration_id, admitted)? {
            return Ok(outcome.state());
        }
        let registration = self.registrations.get(&admitted.scope, registration_id).cloned();
        let registration = registration.ok_or_else(|| dps::Refusal::new(404, 404_201, "Registration not found"))?;
        Ok(Outcome::Assigned(Box::new(registration), admitted.group.payload.clone()).state())
    }

    fn count_dps(&mut self, kind: &'static str) {
        *self.counts.dps_calls.entry(kind).or_default() += 1;
    }

    fn count_dps_refusal<T>(&mut self, answer: Result<T, dps::Refusal>) -> Result<T, dps::Refusal> {
        answer.inspect_err(|refusal| *self.counts.dps_refused.entry(refusal.code).or_default() += 1)
    }
}
