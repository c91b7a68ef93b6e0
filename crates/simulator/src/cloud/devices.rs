//! What connections of devices ask, whatever they speak: is this token good, may this device talk, take its messages.

use super::{Accepted, Cloud, State};
use crate::amqp::cbs::Outcome;
use crate::amqp::tokens::{Grant, Holder, Key};
use crate::endpoint::{Endpoint, HubId};
use crate::events;
use crate::faults::HubRefusal;
use crate::hub::{self, Telemetry};
use crate::registry::Device;
use crate::sas::{Denied, Token};

/// How a device that sends was let in, and what it said of itself.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    pub(crate) key: Key,
    pub(crate) model_id: Option<String>,
}

/// Tokens and devices.
impl Cloud {
    /// Checks a token that is put on a connection. Whose it is stands in the token.
    pub(crate) fn put_token(&self, hub: HubId, text: &str) -> Result<Grant, Outcome> {
        let now_ms = self.now_ms();
        let mut state = self.state();
        let token = Token::parse(Some(text)).map_err(denied)?;
        if let Some(policy) = token.policy {
            return self.policy_token(hub, &token, policy, now_ms);
        }
        let endpoint = self.meant(&state, hub, &token)?;
        let grant = self.device_token(&state, &endpoint, &token, now_ms);
        if let Err(outcome) = &grant {
            state.counts.token(&endpoint.device, u16::try_from(outcome.status).unwrap_or_default());
        }
        grant
    }

    fn policy_token(&self, hub: HubId, token: &Token<'_>, policy: &str, now_ms: i64) -> Result<Grant, Outcome> {
        let hub = self.hub(hub);
        let keys = hub.policies().get(policy).ok_or_else(|| denied(Denied::WrongSignature))?;
        let forms = token.resources();
        let form = forms.iter().find(|form| form.first().is_some_and(|host| hub.is_called(host)));
        let path = form.ok_or_else(|| denied(Denied::OutOfScope))?.iter().skip(1);
        let path = path.map(|word| word.to_ascii_lowercase()).collect();
        token.check_itself(&keys.both(), now_ms).map_err(denied)?;
        let holder = Holder::Policy { name: policy.to_owned(), path };
        Ok(Grant { holder, expires_ms: token.expires_ms().map_err(denied)? })
    }

    /// A device may be named in any of the ways in which clients encode; the one that is registered is meant.
    fn meant(&self, state: &State, hub: HubId, token: &Token<'_>) -> Result<Endpoint, Outcome> {
        let is_ours = |host: &str| self.hub(hub).is_called(host);
        let mut named: Vec<Endpoint> =
            token.resources().iter().filter_map(|form| endpoint(hub, form, is_ours)).collect();
        let at = named.iter().position(|endpoint| state.device(endpoint).is_some()).unwrap_or_default();
        if at < named.len() { Ok(named.swap_remove(at)) } else { Err(denied(Denied::OutOfScope)) }
    }

    fn device_token(
        &self,
        state: &State,
        endpoint: &Endpoint,
        token: &Token<'_>,
        now_ms: i64,
    ) -> Result<Grant, Outcome> {
        let id = &endpoint.device;
        if let Some(outcome) = state.armed.hub_refusal(id).and_then(|why| self.refused_token(endpoint, why)) {
            return Err(outcome);
        }
        let device = state.device(endpoint).ok_or_else(|| self.not_registered(endpoint))?;
        hub::check_device(&self.names(endpoint.hub), device, token, now_ms).map_err(denied)?;
        state.enabled(endpoint).map_err(|refusal| Outcome::new(401, refusal.text))?;
        let holder = Holder::Endpoint(endpoint.clone());
        Ok(Grant { holder, expires_ms: token.expires_ms().map_err(denied)? })
    }

    /// Faults that refuse the device as a whole refuse its token; what is wrong with messages only is said then.
    fn refused_token(&self, endpoint: &Endpoint, refusal: &HubRefusal) -> Option<Outcome> {
        let id = &endpoint.device;
        match refusal {
            HubRefusal::NotFound => Some(self.not_registered(endpoint)),
            HubRefusal::Unauthorized => Some(denied(Denied::WrongSignature)),
            HubRefusal::Disabled | HubRefusal::Status { status: 401, .. } => {
                Some(Outcome::new(401, hub::refused(id, refusal).text))
            }
            HubRefusal::Throttled | HubRefusal::BacklogFull | HubRefusal::Unavailable => {
                let refusal = hub::refused(id, refusal);
                Some(Outcome::new(refusal.status.into(), refusal.text))
            }
            HubRefusal::Quota | HubRefusal::Status { .. } => None,
        }
    }

    fn not_registered(&self, endpoint: &Endpoint) -> Outcome {
        let hub = self.hub(endpoint.hub).short_name();
        Outcome::new(404, format!("Device {endpoint} at IotHub {hub} not registered."))
    }

    /// Whether a device may have links at all.
    pub(crate) fn standing(&self, endpoint: &Endpoint) -> Result<(), hub::Refusal> {
        self.state().enabled(endpoint).map(drop)
    }

    /// What a fault tells a device.
    pub(crate) fn refusal(&self, endpoint: &Endpoint) -> Option<hub::Refusal> {
        self.state().stands_in_the_way(endpoint).err()
    }

    /// Takes messages of a device that was let in before, all or none. When this returns `Ok` they stand in the record.
    pub(crate) fn take(
        &self,
        endpoint: &Endpoint,
        sender: &Sender,
        messages: Result<Vec<Telemetry>, hub::Refusal>,
    ) -> Result<Accepted, hub::Refusal> {
        let now_ms = self.now_ms();
        let mut state = self.state();
        let device = state.stands_in_the_way(endpoint).and_then(|()| state.enabled(endpoint).cloned());
        let taken =
            device.and_then(|device| self.take_now(&mut state, (endpoint.hub, &device), sender, messages?, now_ms));
        state.count_hub_refusal(taken)
    }
}

impl Sender {
    /// What readers see of a message.
    pub(super) fn accepted(&self, device: &Device, telemetry: &Telemetry, now_ms: i64) -> events::Accepted {
        let auth = if self.key == Key::Device { events::Accepted::AUTH_DEVICE } else { events::Accepted::AUTH_HUB };
        events::Accepted {
            auth_method: auth.to_owned(),
            user_id: telemetry.user_id.clone(),
            expiry_ms: telemetry.expiry_ms,
            creation_ms: telemetry.creation_ms,
            subject: telemetry.subject.clone(),
            model_id: self.model_id.clone(),
            ..events::Accepted::new(device, telemetry, now_ms)
        }
    }
}

/// Whom a token's resource names.
fn endpoint(hub: HubId, form: &[String], is_ours: impl Fn(&str) -> bool) -> Option<Endpoint> {
    let is = |word: &str, wanted: &str| word.eq_ignore_ascii_case(wanted);
    match form {
        [host, devices, id] if is_ours(host) && is(devices, "devices") => Some(Endpoint::device(hub, id)),
        [host, devices, id, modules, module] if is_ours(host) && is(devices, "devices") && is(modules, "modules") => {
            Some(Endpoint::module(hub, id, module))
        }
        _ => None,
    }
}

/// Words as the service was seen to use them (azure-iot-sdk-csharp#886) for the signature; the others are assumed.
fn denied(why: Denied) -> Outcome {
    let text = match why {
        Denied::WrongSignature => {
            "The specified SAS token has an invalid signature. It does not match either the primary or secondary key."
        }
        Denied::Expired => "The specified SAS token is expired.",
        Denied::OutOfScope => "The specified SAS token is for another resource.",
        Denied::Missing | Denied::Malformed => "The specified SAS token is malformed.",
    };
    Outcome::new(401, text)
}
