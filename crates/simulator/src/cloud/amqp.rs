//! What AMQP connections ask of the services, beside what every protocol does.

use std::collections::BTreeMap;
use std::time::Duration;

use amqp::message::Message;
use amqp::performative::Error;
use bytes::Bytes;
use serde::Serialize;

use super::Cloud;
use crate::amqp::management;
use crate::amqp::readers::{Reader, Wish};
use crate::endpoint::HubId;
use crate::faults::{AmqpAction, Gateway, LinkState, Weather};

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
