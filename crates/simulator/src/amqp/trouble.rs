//! Faults that act on links, sessions and connections.

use std::collections::BTreeMap;

use amqp::connection::{LinkId, SessionId};
use amqp::performative::Error;
use amqp::value::Value;
use serde_json::Value as Json;

use super::errors;
use super::peer::{Fate, Peer, Scene};
use crate::endpoint::Endpoint;
use crate::faults::{AmqpAction, LinkState, delay};
use crate::random::Stamp;

impl AmqpAction {
    /// Whether it can be done to a link without a message: it ends it, or more.
    pub(super) fn is_for_attach(&self) -> bool {
        match self {
            Self::Detach { .. } | Self::End { .. } | Self::Close { .. } | Self::Drop => true,
            Self::HalfOpen | Self::Steal | Self::ExpireToken => true,
            Self::Reject { .. } | Self::Release | Self::Modify | Self::Cbs { .. } => false,
            Self::NoDisposition | Self::Delay { .. } => false,
        }
    }
}

impl Peer {
    /// Does what ends a link, or more. What is only for messages and tokens does nothing here.
    pub(super) fn act(&mut self, action: &AmqpAction, at: (SessionId, LinkId, Option<&Endpoint>), scene: Scene<'_>) {
        let (session, link, endpoint) = at;
        let stamp = scene.stamp();
        match action {
            AmqpAction::Detach { condition, description, closed, info } => {
                let error = condition.as_ref().map(|word| error(word, description.as_deref(), info, stamp));
                self.detach(link, *closed, error, scene);
            }
            AmqpAction::End { condition, description } => {
                self.engine.end(session, wanted(condition.as_deref(), description.as_deref(), stamp));
            }
            AmqpAction::Close { condition, description } => {
                self.engine.close(wanted(condition.as_deref(), description.as_deref(), stamp), scene.at);
            }
            AmqpAction::Drop => self.fate = Some(Fate::Reset),
            AmqpAction::HalfOpen => self.fate = Some(Fate::Silent),
            AmqpAction::Steal => self.lose(link, endpoint, errors::stolen(stamp), scene),
            AmqpAction::ExpireToken => {
                if let Some(endpoint) = endpoint {
                    self.tokens.forget(endpoint);
                }
                self.lose(link, endpoint, errors::token_invalid(), scene);
            }
            AmqpAction::Reject { .. }
            | AmqpAction::Release
            | AmqpAction::Modify
            | AmqpAction::Cbs { .. }
            | AmqpAction::NoDisposition
            | AmqpAction::Delay { .. } => {}
        }
    }

    /// All links of an endpoint, and one that is not granted yet.
    fn lose(&mut self, link: LinkId, endpoint: Option<&Endpoint>, error: Error, scene: Scene<'_>) {
        let mut links = endpoint.map_or_else(Vec::new, |endpoint| self.links_of(endpoint, None));
        if !self.links.contains_key(&link) {
            links.push(link);
        }
        self.detach_all(links, &Some(error), true, scene);
    }

    /// A telemetry link has nothing on its way.
    pub(super) fn meet_idle(&mut self, link: LinkId, scene: Scene<'_>) {
        if self.is_in_transfer(link) {
            return;
        }
        let Some(its) = self.telemetry(link).filter(|its| its.unanswered == 0) else { return };
        let endpoint = its.endpoint.clone();
        if let Some(action) = scene.cloud.amqp_action(LinkState::Idle, Some(&endpoint.device))
            && let Some(session) = self.links.get(&link).map(|link| link.session)
        {
            self.act(&action, (session, link, Some(&endpoint)), scene);
        }
    }

    /// Messages that have begun meet the faults that wait for their middle, once each.
    pub(super) fn meet_transfers(&mut self, scene: Scene<'_>) {
        for link in self.telemetry_links() {
            let is_in_transfer = self.is_in_transfer(link);
            let Some(its) = self.telemetry(link) else { continue };
            if !is_in_transfer {
                // Whole and dealt with, or taken back by its sender.
                (its.is_tried, its.planned) = (false, None);
            }
            if its.is_tried || !is_in_transfer {
                continue;
            }
            its.is_tried = true;
            let endpoint = its.endpoint.clone();
            let action = scene.cloud.amqp_action(LinkState::MidTransfer, Some(&endpoint.device));
            let Some(action) = action else { continue };
            self.interrupt(action, (link, &endpoint), scene);
        }
        self.work(scene);
    }

    fn interrupt(&mut self, action: AmqpAction, (link, endpoint): (LinkId, &Endpoint), scene: Scene<'_>) {
        match action {
            AmqpAction::Delay { ms } => self.paused_until = Some(scene.at + delay(ms)),
            action if action.is_for_attach() => {
                if let Some(session) = self.links.get(&link).map(|link| link.session) {
                    self.act(&action, (session, link, Some(endpoint)), scene);
                }
            }
            action => {
                if let Some(its) = self.telemetry(link) {
                    its.planned = Some(action);
                }
            }
        }
    }
}

/// An error as a fault describes it.
pub(super) fn error(
    condition: &str,
    description: Option<&str>,
    info: &BTreeMap<String, Json>,
    stamp: Stamp<'_>,
) -> Error {
    let mut error = errors::wanted(condition, description, stamp);
    for (name, value) in info {
        error.info = error.info.with(name.clone(), plain(value));
    }
    error
}

fn wanted(condition: Option<&str>, description: Option<&str>, stamp: Stamp<'_>) -> Option<Error> {
    condition.map(|condition| errors::wanted(condition, description, stamp))
}

/// Whole numbers that fit are ints, as the hub's own are.
fn plain(value: &Json) -> Value {
    match value {
        Json::Bool(yes) => (*yes).into(),
        Json::String(text) => text.as_str().into(),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => i32::try_from(whole).map_or(Value::Long(whole), Value::Int),
            None => Value::Double(number.as_f64().unwrap_or_default()),
        },
        other => other.to_string().into(),
    }
}
