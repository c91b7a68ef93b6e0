//! A device from its token to its link.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use amqp::connection::{Full, LinkId, SessionId, Terms};
use amqp::performative::{Attach, Error, Target};
use percent_encoding::utf8_percent_encode;

use super::endings::Cause;
use super::{Life, Line, Now, Post, Ticket};
use crate::hub::amqp::condition::judge;
use crate::key::Signer;
use crate::sas::RESERVED;

/// What Microsoft's Node SDK sends today.
const API_VERSION: &str = "2021-04-12";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its token is put and not answered.
    Tokening,
    /// Its link is asked for.
    Attaching,
    /// Its link stands.
    Ready,
}

/// About 200 bytes, as many again in maps and name, 700 in the connection.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) name: Arc<str>,
    pub(super) epoch: u64,
    pub(super) key: Arc<Signer>,
    pub(super) phase: Phase,
    pub(super) session: Option<SessionId>,
    pub(super) link: Option<LinkId>,
    /// Messages without an outcome, in order.
    pub(super) messages: VecDeque<Ticket>,
    /// Number of the token that is under way.
    pub(super) asked: Option<u64>,
    /// When the hub forgets the token that it has.
    pub(super) expires: Duration,
    pub(super) renew_at: Option<Duration>,
    /// The renewal has its turn: at `renew_at` it goes.
    pub(super) has_turn: bool,
    pub(super) renewals: u32,
    /// The link was lost without a word and is opened again; the second time it means something.
    pub(super) is_second_try: bool,
    /// Messages in a row that were not answered.
    pub(super) timeouts: u8,
    pub(super) ready_at: Duration,
    pub(super) deliveries: u32,
    /// Why it ends.
    pub(super) leaving: Option<Cause>,
}

impl Device {
    pub(super) fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    fn new(name: Arc<str>, epoch: u64, key: Arc<Signer>) -> Self {
        Self {
            name,
            epoch,
            key,
            phase: Phase::Tokening,
            session: None,
            link: None,
            messages: VecDeque::new(),
            asked: None,
            expires: Duration::ZERO,
            renew_at: None,
            has_turn: false,
            renewals: 0,
            is_second_try: false,
            timeouts: 0,
            ready_at: Duration::ZERO,
            deliveries: 0,
            leaving: None,
        }
    }
}

impl Line {
    /// The device of a message; it is opened if need be.
    pub(super) fn device_of(&mut self, post: &Post, now: Now) -> Life {
        let Some(life) = self.by_name.get(&post.name).copied() else {
            return self.open(Device::new(post.name.clone(), post.epoch, post.key.clone()), now);
        };
        let Some(device) = self.devices.get_mut(&life) else { return life };
        device.epoch = post.epoch;
        if device.key != post.key {
            // The token that the hub has is as good as before; the next one is signed with the new key, at once.
            device.key = post.key.clone();
            if device.is_ready() && device.asked.is_none() {
                self.renew(life, now.at, now);
            }
        }
        life
    }

    /// Opens a device, or opens it again under another life.
    pub(super) fn open(&mut self, device: Device, now: Now) -> Life {
        let life = self.next_life;
        self.next_life += 1;
        self.by_name.insert(device.name.clone(), life);
        self.opens.push_back((now.at + self.settings.open_timeout, life));
        self.devices.insert(life, device);
        self.put_token(life, now);
        life
    }

    /// The token is good: now session and link, in one flight.
    pub(super) fn attach(&mut self, life: Life) {
        let Some(device) = self.devices.get_mut(&life) else { return };
        let terms = terms(&device.name, format!("{}-{life}", self.name));
        let attached = self.connection.begin().and_then(|session| {
            device.session = Some(session);
            self.connection.attach(session, terms)
        });
        match attached {
            Ok(link) => {
                (device.phase, device.link) = (Phase::Attaching, Some(link));
                self.by_link.insert(link, life);
                self.by_session.extend(device.session.map(|session| (session, life)));
            }
            Err(Full::Sessions | Full::Links | Full::Name) => self.leave(life, Cause::Full),
            // Its end is told in a moment.
            Err(Full::Ended) => {}
        }
    }

    /// A link stands. One without a target is about to be refused: the detach brings the reason.
    pub(super) fn attached(&mut self, link: LinkId, attach: &Attach, now: Now) {
        let Some(life) = self.by_link.get(&link).copied() else { return };
        let Some(device) = self.devices.get_mut(&life).filter(|_| attach.target.is_some()) else { return };
        if device.leaving.is_none() && !device.is_ready() {
            (device.phase, device.ready_at, device.deliveries) = (Phase::Ready, now.at, 0);
            self.ready += 1;
            self.hand_over(life, now);
        }
    }

    /// The hub took a link away.
    pub(super) fn detached(&mut self, link: LinkId, error: Option<&Error>) {
        if self.tokens.is_link(link) {
            self.tokens.lose(error.cloned());
        } else if let Some(life) = self.by_link.get(&link).copied() {
            self.leave(life, Cause::Detached(error.map(judge)));
        }
    }

    /// The hub ended a session; its links went before, without the reason.
    pub(super) fn session_ended(&mut self, session: SessionId, error: Option<&Error>) {
        if self.tokens.is_session(session) {
            self.tokens.lose(error.cloned());
        } else if let Some(life) = self.by_session.get(&session).copied() {
            self.leave(life, Cause::Detached(error.map(judge)));
        }
    }

    /// Takes a device out of all books.
    pub(super) fn take_out(&mut self, life: Life) -> Option<Device> {
        let device = self.devices.remove(&life)?;
        if self.by_name.get(&device.name) == Some(&life) {
            self.by_name.remove(&device.name);
        }
        self.ready -= usize::from(device.is_ready());
        device.link.map(|link| self.by_link.remove(&link));
        device.session.map(|session| self.by_session.remove(&session));
        if let Some(number) = device.asked {
            self.tokens.drop_ask(&mut self.connection, number);
        }
        Some(device)
    }

    /// The same device again, with messages that were not written, under a fresh token.
    pub(super) fn open_again(&mut self, device: &Device, messages: VecDeque<Ticket>, now: Now) {
        let again = Device {
            messages,
            is_second_try: true,
            timeouts: device.timeouts,
            ..Device::new(device.name.clone(), device.epoch, device.key.clone())
        };
        let life = self.open(again, now);
        let Some(device) = self.devices.get(&life) else { return };
        for ticket in &device.messages {
            if let Some(message) = self.messages.get_mut(ticket) {
                (message.life, message.sent, message.lost) = (life, None, None);
            }
        }
    }
}

/// The sending end of a device's telemetry.
fn terms(device: &str, name: String) -> Terms {
    let address = format!("/devices/{}/messages/events", utf8_percent_encode(device, RESERVED));
    let mut terms = Terms::sender(name, Target::at(address));
    terms.properties = terms
        .properties
        .with("com.microsoft:client-version", crate::USER_AGENT)
        .with("com.microsoft:api-version", API_VERSION);
    terms
}
