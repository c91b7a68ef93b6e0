//! Pairs of links on which a device is asked and answers: methods, and its twin.
//!
//! Promises: nothing goes over a pair before both links are there, by the name that they share. Of one device there is one
//! pair for each purpose on a connection: an older one goes when a newer comes. A device that takes no answers asks no
//! more than a bound, and what it does not read costs no more than another.

use amqp::connection::{LinkId, Outgoing};
use amqp::performative::{Attach, Error, Role, SenderSettles};
use amqp::value::Value;
use bytes::Bytes;

use super::attach::REQUEST_CREDIT;
use super::errors;
use super::links::Kind;
use super::peer::{Peer, Scene};
use crate::directory::{Claim, Ears};
use crate::endpoint::Endpoint;

/// What goes out unasked and is not read: a method is as good as not answered, a change of desired properties is
/// found by its version. At most 128 KiB each: 8 MiB for a device that reads nothing.
const UNREAD_MAX: usize = 64;
/// What both links of a pair are called.
const PAIR: &str = "com.microsoft:channel-correlation-id";

/// What a pair is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Methods,
    Twin,
}

/// One link of a pair.
#[derive(Debug)]
pub(super) struct Half {
    pub(super) purpose: Purpose,
    pub(super) endpoint: Endpoint,
    pub(super) claim: Claim,
    /// What goes out is the device's to read.
    pub(super) is_outgoing: bool,
    name: Option<String>,
    /// The other one.
    pub(super) other: Option<LinkId>,
    /// What goes out is settled.
    settled: bool,
    /// Requests whose answers wait for their time.
    pub(super) unanswered: u32,
    /// The device wants to hear of desired properties.
    pub(super) wants_desired: bool,
}

impl Purpose {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Methods => "methods",
            Self::Twin => "twin",
        }
    }
}

impl Half {
    fn is_of(&self, endpoint: &Endpoint, purpose: Purpose) -> bool {
        self.endpoint == *endpoint && self.purpose == purpose
    }

    /// There is no place for both.
    fn gives_way_to(&self, newer: &Self) -> bool {
        self.is_of(&newer.endpoint, newer.purpose) && (self.is_outgoing == newer.is_outgoing || self.name != newer.name)
    }

    fn belongs_to(&self, newer: &Self) -> bool {
        self.is_of(&newer.endpoint, newer.purpose)
            && self.is_outgoing != newer.is_outgoing
            && self.name.is_some()
            && self.name == newer.name
    }
}

/// How they come and go.
impl Peer {
    pub(super) fn half(&mut self, link: LinkId) -> Option<&mut Half> {
        match &mut self.links.get_mut(&link)?.kind {
            Kind::Half(half) => Some(half),
            _ => None,
        }
    }

    fn halves(&self) -> impl Iterator<Item = (LinkId, &Half)> {
        self.links.iter().filter_map(|(id, link)| match &link.kind {
            Kind::Half(half) => Some((*id, half.as_ref())),
            _ => None,
        })
    }

    /// A device asks for one of the two.
    pub(super) fn half_link(
        &mut self,
        (purpose, endpoint): (Purpose, Endpoint),
        attach: &Attach,
        scene: Scene<'_>,
    ) -> Result<Kind, Error> {
        self.lets_have(&endpoint, scene)?;
        let claim = scene.cloud.own(&endpoint, self.id);
        let half = Half {
            purpose,
            endpoint,
            claim,
            is_outgoing: attach.role == Role::Receiver,
            name: attach.properties.get(PAIR).and_then(Value::as_str).map(str::to_owned),
            other: None,
            settled: attach.snd_settle_mode != SenderSettles::Unsettled,
            unanswered: 0,
            wants_desired: false,
        };
        let older: Vec<LinkId> =
            self.halves().filter(|(_, older)| older.gives_way_to(&half)).map(|(id, _)| id).collect();
        self.detach_all(older, &Some(errors::stolen(scene.stamp())), true, scene);
        Ok(Kind::Half(Box::new(half)))
    }

    /// One is there; maybe with it the pair.
    pub(super) fn begin_half(&mut self, link: LinkId, scene: Scene<'_>) {
        let Some(Kind::Half(half)) = self.links.get(&link).map(|link| &link.kind) else { return };
        let (is_outgoing, endpoint) = (half.is_outgoing, half.endpoint.clone());
        let other = self.halves().find(|(_, other)| other.belongs_to(half)).map(|(id, _)| id);
        if let Some(other) = other {
            self.pair(link, Some(other));
            self.pair(other, Some(link));
        }
        if !is_outgoing {
            self.engine.credit(link, REQUEST_CREDIT);
        }
        self.tell_ears(&endpoint, scene);
    }

    /// One is gone.
    pub(super) fn end_half(&mut self, half: &Half) {
        if let Some(other) = half.other {
            self.pair(other, None);
        }
    }

    fn pair(&mut self, link: LinkId, other: Option<LinkId>) {
        if let Some(half) = self.half(link) {
            half.other = other;
        }
    }
}

/// What goes over them.
impl Peer {
    /// Sends what a device has not asked for, unless it does not read.
    pub(super) fn send_unasked(&mut self, (endpoint, purpose): (&Endpoint, Purpose), payload: Bytes, scene: Scene<'_>) {
        let is_its = |half: &Half| half.is_of(endpoint, purpose) && half.is_outgoing && half.other.is_some();
        let Some(link) = self.halves().find(|(_, half)| is_its(half)).map(|(id, _)| id) else { return };
        if self.engine.waiting(link) < UNREAD_MAX {
            self.send_on(link, payload, scene);
        }
    }

    pub(super) fn send_on(&mut self, link: LinkId, payload: Bytes, scene: Scene<'_>) {
        let Some(settled) = self.half(link).map(|half| half.settled) else { return };
        let tag = Some(Bytes::copy_from_slice(&scene.random().uuid()));
        self.engine.send(link, Outgoing { settled, tag, ..Outgoing::message(payload) });
    }

    /// Something that went out is done with: there may be room for more requests.
    pub(super) fn read(&mut self, link: LinkId) {
        if let Some(other) = self.half(link).and_then(|half| half.other) {
            self.top_up_half(other);
        }
    }

    /// Lets a device go on asking, as far as it takes the answers.
    pub(super) fn top_up_half(&mut self, link: LinkId) {
        let Some(half) = self.half(link).filter(|half| !half.is_outgoing) else { return };
        let (other, unanswered) = (half.other, half.unanswered as usize);
        let waiting = other.map_or(0, |other| self.engine.waiting(other));
        if waiting + unanswered < REQUEST_CREDIT as usize && self.engine.credit_left(link) <= REQUEST_CREDIT / 2 {
            self.engine.credit(link, REQUEST_CREDIT);
        }
    }
}

/// Who listens.
impl Peer {
    /// What an endpoint listens to on this connection.
    pub(super) fn ears(&self, endpoint: &Endpoint) -> Ears {
        let mut ears = Ears::default();
        for link in self.links.values() {
            match &link.kind {
                Kind::DeviceBound(its) if its.endpoint == *endpoint => ears.c2d = true,
                Kind::Half(half) if half.endpoint == *endpoint && half.other.is_some() => {
                    ears.methods |= half.purpose == Purpose::Methods;
                    ears.desired |= half.wants_desired;
                }
                _ => {}
            }
        }
        ears
    }

    /// Says so, after it has changed.
    pub(super) fn tell_ears(&self, endpoint: &Endpoint, scene: Scene<'_>) {
        scene.cloud.directory().listen(endpoint, self.id, self.ears(endpoint));
    }
}
