//! What AMQP connections ask of the services, beside what every protocol does.

use std::collections::BTreeMap;
use std::time::Duration;

use amqp::message::Message;
use amqp::performative::Error;
use bytes::Bytes;
use serde::Serialize;

use super::{Accepted, Cloud, State};
use crate::amqp::cbs::Outcome;
use crate::amqp::management;
use crate::amqp::readers::{Reader, Wish};
use crate::amqp::tokens::{Grant, Holder, Key};
use crate::directory::Directory;
use crate::endpoint::{Endpoint, HubId};
use crate::events;
use crate::faults::{AmqpAction, Gateway, HubRefusal, LinkState, Weather};
use crate::hub::{self, Telemetry};
use crate::registry::Device;
use crate::sas::{Denied, Token};

/// As a hub allows (Azure/iotedge-lorawan-starterkit#1337).
const CBS_TOKENS_MAX: u32 = 1000;
/// What the real hub grants is not known.
const LINK_CREDIT: u32 = 1000;

/// What happened on AMQP connections since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AmqpCounts {
    /// Open now.
    pub connections_now: u64,
    /// Since the start.
    pub connections_ever: u64,
    /// Links that were attached, refused ones too, by what they are for.
    pub attaches: BTreeMap<&'static str, u64>,
    /// Links that ended, by condition where we detached them, else `without_error`, `by_client`, `with_session`, `with_connection`.
    pub detaches: BTreeMap<String, u64>,
    /// Tokens that were put, by the status of the answer.
    pub put_tokens: BTreeMap<i32, u64>,
    /// Faults that acted, by action.
    pub faults: BTreeMap<&'static str, u64>,
}

/// How connections behave, as faults stand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manners {
    pub(crate) tokens_max: usize,
    pub(crate) credit: u32,
    /// Before messages are answered, beside what the weather takes.
    pub(crate) accept_delay: Duration,
    pub(crate) hub: Weather,
    pub(crate) dps: Weather,
    pub(crate) gateway: Gateway,
    /// Somebody waits for the middle of a message.
    pub(crate) watches_transfers: bool,
}

/// How a device that sends was let in, and what it said of itself.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    pub(crate) key: Key,
    pub(crate) model_id: Option<String>,
}

/// Tokens and devices.
impl Cloud {
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Checks a token that is put on a connection. Whose it is stands in the token.
    pub(crate) fn put_token(&self, hub: HubId, text: &str) -> Result<Grant, Outcome> {
        let now_ms = self.now_ms();
        let state = self.state();
        let token = Token::parse(Some(text)).map_err(denied)?;
        match token.policy {
            Some(policy) => self.policy_token(hub, &token, policy, now_ms),
            None => self.device_token(&state, hub, &token, now_ms),
        }
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
    fn device_token(&self, state: &State, hub: HubId, token: &Token<'_>, now_ms: i64) -> Result<Grant, Outcome> {
        let is_ours = |host: &str| self.hub(hub).is_called(host);
        let named: Vec<Endpoint> = token.resources().iter().filter_map(|form| endpoint(hub, form, is_ours)).collect();
        let first = named.first().ok_or_else(|| denied(Denied::OutOfScope))?;
        let found = named.iter().find_map(|endpoint| Some((endpoint, state.device(endpoint)?)));
        let endpoint = found.map_or(first, |(endpoint, _)| endpoint);
        let id = &endpoint.device;
        if let Some(outcome) = state.armed.hub_refusal(id).and_then(|why| self.refused_token(endpoint, why)) {
            return Err(outcome);
        }
        let device = found.map(|(_, device)| device).ok_or_else(|| self.not_registered(endpoint))?;
        hub::check_device(&self.names(hub), device, token, now_ms).map_err(denied)?;
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
            HubRefusal::Throttled | HubRefusal::Unavailable => {
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

/// Faults and counts.
impl Cloud {
    pub(crate) fn manners(&self) -> Manners {
        let state = self.state();
        let faults = &state.armed.faults().amqp;
        Manners {
            tokens_max: faults.cbs_tokens_max.unwrap_or(CBS_TOKENS_MAX) as usize,
            credit: faults.link_credit.unwrap_or(LINK_CREDIT),
            accept_delay: state.armed.accept_delay(),
            hub: state.armed.hub_weather(),
            dps: state.armed.dps_weather(),
            gateway: faults.gateway,
            watches_transfers: faults.faults.iter().any(|fault| fault.state == LinkState::MidTransfer),
        }
    }

    /// Session window and frame size for a connection that begins now.
    pub(crate) fn amqp_sizes(&self) -> (Option<u32>, Option<u32>) {
        let state = self.state();
        let faults = &state.armed.faults().amqp;
        (faults.session_window, faults.frame_bytes_max)
    }

    /// What is to happen at a moment of a link's life; counted.
    pub(crate) fn amqp_action(&self, moment: LinkState, device: Option<&str>) -> Option<AmqpAction> {
        let now_ms = self.now_ms();
        let mut state = self.state();
        let action = state.armed.amqp_action(moment, device, now_ms)?;
        *state.counts.amqp.faults.entry(action.word()).or_default() += 1;
        Some(action)
    }

    pub(crate) fn count_attach(&self, what: &'static str) {
        *self.state().counts.amqp.attaches.entry(what).or_default() += 1;
    }

    pub(crate) fn count_detaches(&self, reason: &str, links: u64) {
        if links > 0 {
            *self.state().counts.amqp.detaches.entry(reason.to_owned()).or_default() += links;
        }
    }

    pub(crate) fn count_put_token(&self, status: i32) {
        *self.state().counts.amqp.put_tokens.entry(status).or_default() += 1;
    }
}

/// The built-in endpoint.
impl Cloud {
    /// Finds a reader its start.
    pub(crate) fn open_reader(&self, hub: HubId, wish: &Wish) -> Result<Reader, Error> {
        let state = self.state();
        let its = state.hubs.get(hub.0).ok_or_else(|| Error::new("amqp:not-found", "There is no such hub"))?;
        Reader::open(wish, &its.events)
    }

    /// What a reader is to be sent next.
    pub(crate) fn events_for(&self, hub: HubId, reader: &mut Reader, credit: usize) -> Vec<Bytes> {
        let now_ms = self.now_ms();
        let state = self.state();
        let Some(its) = state.hubs.get(hub.0) else { return Vec::new() };
        if reader.has_more(&its.events) { reader.take(&its.events, credit, now_ms) } else { Vec::new() }
    }

    /// Answers a request to the management node.
    pub(crate) fn manage(&self, hub: HubId, request: &Message, is_allowed: bool) -> Option<Message> {
        let state = self.state();
        let names = [self.hub(hub).short_name(), "messages/events"];
        let events = &state.hubs.get(hub.0)?.events;
        let hub = management::Hub { names: &names, created_ms: self.created_ms, events };
        Some(management::answer(&hub, request, |_| is_allowed))
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

/// A device, or a module of one, that is not there.
pub(crate) fn not_found(endpoint: &Endpoint) -> hub::Refusal {
    match &endpoint.module {
        None => hub::Refusal::device_not_found(&endpoint.device),
        Some(module) => {
            let text = format!("Module {module} on device {} not registered", endpoint.device);
            hub::Refusal::new(404, 404_010, "ModuleNotFound", text)
        }
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
