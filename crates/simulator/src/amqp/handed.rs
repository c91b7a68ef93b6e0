//! What goes out under locks and waits for an answer: messages to devices, and feedback on them.
//!
//! Promises: nothing is locked for a link before it has credit for it, and what is locked is given back when the link
//! goes; a link whose last ones are not written gets no more, so that a client that does not read costs one helping.
//! Relies on the cloud to end locks, and to say so.

use std::collections::{BTreeMap, BTreeSet};

use amqp::connection::{Fate as Fated, LinkId, Outgoing, Sent};
use amqp::message::{Body, Message, Properties};
use amqp::performative::{DeliveryState, Error};
use amqp::value::{Fields, Value};
use bytes::Bytes;

use super::errors;
use super::links::Kind;
use super::peer::{Peer, Scene};
use crate::endpoint::Endpoint;
use crate::hub::Refusal;
use crate::hub::c2d::{Ack, Delivery};
use crate::hub::feedback::{self, Batch};
use crate::hub::line::{Lock, Outcome};

/// What a link is handed at a time: a whole queue of usual messages…
const HELPING: u32 = 50;
/// …but no more bytes than this and one message: a thousand links that all stopped reading keep 128 MiB at worst.
const HELPING_BYTES: usize = 64 << 10;
/// Deliveries of a link whose locks ran out without a word of its client: a queue twice over. The oldest goes beyond it.
const SILENT_MAX: usize = 100;

/// What a link has out.
#[derive(Debug, Default)]
pub(super) struct Handed {
    locks: BTreeMap<Sent, Lock>,
    /// Its client wants to answer nothing: handed out is done with.
    settled: bool,
}

impl Handed {
    pub(super) fn new(settled: bool) -> Self {
        Self { locks: BTreeMap::new(), settled }
    }
}

/// Links that may have something to be handed.
#[derive(Debug, Default)]
pub(super) struct Hungry(BTreeSet<LinkId>);

impl Kind {
    fn handed(&mut self) -> Option<&mut Handed> {
        match self {
            Self::DeviceBound(its) => Some(&mut its.handed),
            Self::Feedback(its) => Some(its),
            _ => None,
        }
    }
}

/// Going out.
impl Peer {
    /// There may be something for a link.
    pub(super) fn is_hungry(&mut self, link: LinkId) {
        if self.links.get_mut(&link).is_some_and(|link| link.kind.handed().is_some()) {
            self.hungry.0.insert(link);
        }
    }

    /// There may be something for all of them.
    pub(super) fn all_are_hungry(&mut self) {
        let Self { hungry, links, .. } = self;
        hungry.0.extend(links.iter_mut().filter_map(|(id, link)| link.kind.handed().map(|_| *id)));
    }

    /// Hands out what there is to those that can take it.
    pub(super) fn feed_hungry(&mut self, scene: Scene<'_>) {
        let mut still = BTreeSet::new();
        for link in std::mem::take(&mut self.hungry.0) {
            if self.engine.waiting(link) > 0 || self.feed(link, scene) {
                still.insert(link);
            }
        }
        self.hungry.0 = still;
    }

    /// True when there may be more.
    fn feed(&mut self, link: LinkId, scene: Scene<'_>) -> bool {
        let mut bytes = 0;
        for _ in 0..self.engine.credit_left(link).min(HELPING) {
            if bytes >= HELPING_BYTES {
                return true;
            }
            let Some((lock, payload)) = self.next_for(link, scene) else { return false };
            bytes += payload.len();
            self.hand(link, lock, payload);
        }
        // Credit that comes makes it hungry again.
        self.engine.credit_left(link) > 0
    }

    fn next_for(&self, link: LinkId, scene: Scene<'_>) -> Option<(Lock, Bytes)> {
        match &self.links.get(&link)?.kind {
            Kind::DeviceBound(its) => {
                // Who may not have any is told in other ways.
                let delivery = scene.cloud.lock_c2d(&its.endpoint).ok()??;
                Some((delivery.lock, message(&delivery, &its.endpoint)))
            }
            Kind::Feedback(_) => {
                let batch = scene.cloud.lock_feedback(self.hub)?;
                Some((batch.lock, told(&batch, scene.cloud.hub(self.hub).short_name())))
            }
            _ => None,
        }
    }

    fn hand(&mut self, link: LinkId, lock: Lock, payload: Bytes) {
        let Some(its) = self.links.get_mut(&link).and_then(|link| link.kind.handed()) else { return };
        let tag = Bytes::copy_from_slice(&lock.net_bytes());
        let outgoing = Outgoing { settled: its.settled, tag: Some(tag), ..Outgoing::message(payload) };
        if let Some(sent) = self.engine.send(link, outgoing) {
            its.locks.insert(sent, lock);
            if its.locks.len() > SILENT_MAX
                && let Some((oldest, _)) = its.locks.pop_first()
            {
                self.engine.conclude(oldest, DeliveryState::Released);
            }
        }
    }
}

/// Coming back.
impl Peer {
    /// What became of a delivery.
    pub(super) fn came_back(&mut self, sent: Sent, fate: &Fated, scene: Scene<'_>) {
        let link = sent.link();
        let handed = self.links.get_mut(&link).and_then(|link| link.kind.handed());
        let Some(lock) = handed.and_then(|its| its.locks.remove(&sent)) else { return };
        let outcome = match fate {
            Fated::Settled(state) => state.as_ref().map_or(Outcome::Abandon, outcome),
            Fated::Unanswered => Outcome::Complete,
            Fated::Lost { .. } | Fated::Cancelled => return self.give_back(link, lock, scene),
        };
        // Who settles first has nothing to be told.
        let _ = self.settle_lock(link, lock, outcome, scene);
    }

    /// A client that settles second says what it thinks, and hears what comes of it.
    pub(super) fn asked(&mut self, sent: Sent, state: DeliveryState, scene: Scene<'_>) {
        let link = sent.link();
        let handed = self.links.get_mut(&link).and_then(|link| link.kind.handed());
        let word = match handed.and_then(|its| its.locks.remove(&sent)) {
            None => state,
            Some(lock) => match self.settle_lock(link, lock, outcome(&state), scene) {
                Ok(()) => state,
                Err(refusal) => DeliveryState::Rejected(Some(error(&refusal, scene))),
            },
        };
        self.engine.conclude(sent, word);
    }

    fn settle_lock(&self, link: LinkId, lock: Lock, outcome: Outcome, scene: Scene<'_>) -> Result<(), Refusal> {
        match self.links.get(&link).map(|link| &link.kind) {
            Some(Kind::DeviceBound(its)) => scene.cloud.settle_c2d(&its.endpoint, lock, outcome),
            Some(Kind::Feedback(_)) => scene.cloud.settle_feedback(self.hub, lock, outcome),
            _ => Ok(()),
        }
    }

    fn give_back(&self, link: LinkId, lock: Lock, scene: Scene<'_>) {
        match self.links.get(&link).map(|link| &link.kind) {
            Some(Kind::DeviceBound(its)) => scene.cloud.unlock_c2d(&its.endpoint, lock),
            Some(Kind::Feedback(_)) => scene.cloud.unlock_feedback(self.hub, lock),
            _ => {}
        }
    }

    /// A link is about to be forgotten: what it has out is free for the next.
    pub(super) fn give_all_back(&mut self, link: LinkId, scene: Scene<'_>) {
        self.hungry.0.remove(&link);
        let handed = self.links.get_mut(&link).and_then(|link| link.kind.handed());
        for lock in handed.map(|its| std::mem::take(&mut its.locks)).unwrap_or_default().into_values() {
            self.give_back(link, lock, scene);
        }
    }
}

/// Who waits.
impl Peer {
    /// Says whether somebody waits for feedback on this connection, after that has changed.
    pub(super) fn tell_feedback_ear(&self, scene: Scene<'_>) {
        let waits = self.links.values().any(|link| matches!(link.kind, Kind::Feedback(_)));
        scene.cloud.directory().wait_for_feedback(self.hub, self.id, waits);
    }
}

fn error(refusal: &Refusal, scene: Scene<'_>) -> Error {
    errors::of(refusal, scene.stamp()).1
}

/// What a client's word does to a message. That `modified` is an abandon is assumed.
fn outcome(state: &DeliveryState) -> Outcome {
    match state {
        DeliveryState::Accepted => Outcome::Complete,
        DeliveryState::Rejected(_) => Outcome::Reject,
        _ => Outcome::Abandon,
    }
}

/// A message as devices read it. Clients insist on the types of its annotations.
fn message(delivery: &Delivery, to: &Endpoint) -> Bytes {
    let message = &delivery.message;
    let own = message.properties.iter().map(|(name, value)| (name.clone(), value.as_str().into()));
    let ack = (message.ack != Ack::None).then(|| (Ack::PROPERTY.to_owned(), message.ack.word().into()));
    Message {
        message_annotations: annotations(
            (delivery.lock, delivery.sequence),
            delivery.enqueued_ms,
            delivery.delivery_count,
        ),
        properties: Properties {
            message_id: message.message_id.as_deref().map(Into::into),
            user_id: message.user_id.clone(),
            to: Some(format!("/devices/{}/messages/devicebound", to.device)),
            correlation_id: message.correlation_id.as_deref().map(Into::into),
            content_type: message.content_type.clone().map(Into::into),
            content_encoding: message.content_encoding.clone().map(Into::into),
            absolute_expiry_time: Some(delivery.expiry_ms),
            ..Properties::default()
        },
        application_properties: ack.into_iter().chain(own).collect(),
        body: Body::Data(vec![message.body.clone()]),
        ..Message::default()
    }
    .to_bytes()
}

/// Feedback as the service side reads it.
fn told(batch: &Batch, hub: &str) -> Bytes {
    Message {
        message_annotations: annotations((batch.lock, batch.sequence), batch.enqueued_ms, batch.delivery_count),
        properties: Properties {
            message_id: Some(batch.lock.to_string().as_str().into()),
            user_id: Some(Bytes::copy_from_slice(hub.as_bytes())),
            content_type: Some(feedback::CONTENT_TYPE.into()),
            content_encoding: Some("utf-8".into()),
            absolute_expiry_time: Some(batch.expiry_ms),
            ..Properties::default()
        },
        body: Body::Data(vec![batch.body().into()]),
        ..Message::default()
    }
    .to_bytes()
}

fn annotations((lock, sequence): (Lock, u64), enqueued_ms: i64, delivery_count: u8) -> Fields {
    Fields::default()
        .with("x-opt-lock-token", lock.to_string())
        .with("x-opt-sequence-number", Value::Ulong(sequence))
        .with("iothub-enqueuedtime", Value::Timestamp(enqueued_ms))
        .with("iothub-deliverycount", Value::Ubyte(delivery_count))
}
