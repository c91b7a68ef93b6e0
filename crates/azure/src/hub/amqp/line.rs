//! One connection and its devices, without a socket: what is read, told and asked goes in, bytes and effects come out.
//!
//! ```text
//! a device:  post ─> Tokening ──200/202──> Attaching ──attached──> Ready ──accepted, rejected…──> Done
//!                       │ 401, 404, full      │ refused               │ detached, renewal refused, let go
//!                       └─────────────────────┴──────────────────────> Done for each message, Gone
//! ```
//!
//! The token comes first, because the real hub checks there and refuses links without one; session and link follow in one
//! flight, so a device takes two round trips, and all devices take them together. Each device has a session of its own:
//! whatever ends it ends nobody else.
//!
//! PURE. Promises
//! - each ticket gets exactly one [`Effect::Done`], or goes along with [`Effect::Displaced`], within
//!   open timeout (twice, when the link was lost in between) + answer timeout after it was posted;
//! - a device's messages are written in the order in which they were posted, also over a link that was opened again;
//! - what fails for a device concerns that device. Only the end of the connection ends others.
//!
//! Bounds: devices and messages as the fleet posts them (995 and 64 each); at most one token each under way; timers one or
//! two a device and one a message.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use amqp::connection::{Connection, Ended, Event, LinkId, Options, Sent, SessionId};
use amqp::performative::Error;
use amqp::sasl::Mechanism;
use bytes::{Bytes, BytesMut};

use crate::UnixSeconds;
use crate::hub::{SendError, Why};
use crate::key::Signer;

mod device; // a device from token to link
mod effect;
mod endings; // what a device's end means for its messages
mod messages; // out, and their outcomes
mod tokens; // the $cbs node, renewals

use device::Device;
pub(super) use effect::{Effect, Figures};
use endings::Cause;
use messages::Pending;
use tokens::Tokens;

/// Names a message from its post to its outcome. Never used again.
pub(super) type Ticket = u64;
/// Names a device from its opening to its end, on one connection. Never used again.
pub(super) type Life = u64;

/// Both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// Never goes back; timeouts are counted by it.
    pub(super) at: Duration,
    /// The hub's time, as far as it is known; tokens are signed by it.
    pub(super) unix: UnixSeconds,
}

/// What all lines of a hub have in common.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) host: String,
    /// Begins the names of connections and links.
    pub(super) name: String,
    pub(super) token_life: Duration,
    pub(super) open_timeout: Duration,
    pub(super) answer_timeout: Duration,
    pub(super) silence_max: Duration,
}

/// A message for a device.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) ticket: Ticket,
    pub(super) name: Arc<str>,
    /// Which of the fleet's placements of the device this belongs to.
    pub(super) epoch: u64,
    pub(super) key: Arc<Signer>,
    pub(super) payload: Bytes,
}

#[derive(Debug)]
pub(super) struct Line {
    settings: Arc<Settings>,
    /// Begins the names of its links.
    name: String,
    connection: Connection,
    tokens: Tokens,

    devices: HashMap<Life, Device>,
    by_name: HashMap<Arc<str>, Life>,
    by_link: HashMap<LinkId, Life>,
    by_session: HashMap<SessionId, Life>,
    next_life: Life,
    ready: usize,

    messages: HashMap<Ticket, Pending>,
    by_sent: HashMap<Sent, Ticket>,

    /// When devices have to be ready, in order of time: all wait equally long.
    opens: VecDeque<(Duration, Life)>,
    /// When messages have to be answered, likewise.
    answers: VecDeque<(Duration, Ticket, Sent)>,
    renewals: BinaryHeap<Reverse<(Duration, Life)>>,

    /// Devices that end; what becomes of their messages is known when all events are.
    leaving: VecDeque<Life>,
    /// Messages that were lost with their link.
    strays: Vec<Ticket>,
    effects: VecDeque<Effect>,
    heard_at: Duration,
    is_suspected: bool,
    over: Option<SendError>,
    is_closing: bool,
}

impl Line {
    /// On a transport that was just opened. `number` tells the lines of a hub apart.
    pub(super) fn new(settings: Arc<Settings>, number: u32, now: Now) -> Self {
        let name = format!("{}-{number}", settings.name);
        let options = Options {
            hostname: Some(settings.host.clone()),
            silence_max: Some(settings.silence_max),
            handshake_max: settings.open_timeout,
            ..Options::new(name.clone())
        };
        let mut connection = Connection::client(options, Mechanism::None, now.at);
        let tokens = Tokens::attach(&mut connection, &name, 0, now);
        Self {
            settings,
            name,
            connection,
            tokens,
            devices: HashMap::new(),
            by_name: HashMap::new(),
            by_link: HashMap::new(),
            by_session: HashMap::new(),
            next_life: 0,
            ready: 0,
            messages: HashMap::new(),
            by_sent: HashMap::new(),
            opens: VecDeque::new(),
            answers: VecDeque::new(),
            renewals: BinaryHeap::new(),
            leaving: VecDeque::new(),
            strays: Vec::new(),
            effects: VecDeque::new(),
            heard_at: now.at,
            is_suspected: false,
            over: None,
            is_closing: false,
        }
    }

    /// What was read.
    pub(super) fn receive(&mut self, bytes: &[u8], now: Now) {
        self.heard_at = now.at;
        if std::mem::take(&mut self.is_suspected) {
            self.effects.push_back(Effect::Suspected(false));
        }
        self.connection.receive(bytes, now.at);
        self.settle(now);
    }

    /// The transport is gone, and why.
    pub(super) fn cut(&mut self, words: &str, now: Now) {
        self.over.get_or_insert_with(|| SendError::unanswered(Why::Unreachable, words));
        self.connection.cut();
        self.settle(now);
    }

    /// What happened, one at a time.
    pub(super) fn effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Moves what is to be written behind what `out` holds.
    pub(super) fn output(&mut self, out: &mut BytesMut, now: Now) {
        self.connection.output(out, now.at);
        // Messages that the link turned out not to take are refused only here.
        self.settle(now);
    }

    pub(super) fn has_output(&self) -> bool {
        self.connection.has_output()
    }

    /// When to [`Line::tick`] at the latest.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let open = self.opens.front().map(|(at, _)| *at);
        let answer = self.answers.front().map(|(at, ..)| *at);
        let renewal = self.renewals.peek().map(|Reverse((at, _))| *at);
        [self.connection.deadline(), open, answer, self.tokens.deadline(), renewal].into_iter().flatten().min()
    }

    /// Keeps all time-outs.
    pub(super) fn tick(&mut self, now: Now) {
        self.connection.tick(now.at);
        self.settle(now);
        while let Some((_, life)) = self.opens.pop_front_if(|(at, _)| *at <= now.at) {
            if self.devices.get(&life).is_some_and(|device| !device.is_ready()) {
                self.leave(life, Cause::TimedOut);
            }
        }
        while let Some((at, ticket, sent)) = self.answers.pop_front_if(|(at, ..)| *at <= now.at) {
            self.unanswered(ticket, sent, at);
        }
        self.tick_tokens(now);
        self.settle(now);
    }

    /// Lets a device go: its messages end, and its link.
    pub(super) fn forget(&mut self, name: &str, now: Now) {
        if let Some(life) = self.by_name.get(name) {
            self.leave(*life, Cause::LetGo);
        }
        self.settle(now);
    }

    /// Closes the connection; [`Effect::Over`] follows when the hub has answered or the time is over.
    pub(super) fn close(&mut self, now: Now) {
        self.is_closing = true;
        self.connection.close(None, now.at);
        for life in self.lives() {
            self.leave(life, Cause::LetGo);
        }
        self.settle(now);
    }

    /// Nobody is here.
    pub(super) fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// The connection has ended; what is left to be written is of the courteous kind.
    pub(super) fn is_over(&self) -> bool {
        self.over.is_some()
    }

    pub(super) fn figures(&self) -> Figures {
        Figures {
            attached: self.ready,
            opening: self.devices.len() - self.ready,
            unsettled: self.messages.len(),
            renewals: self.tokens.renewed,
        }
    }

    /// Takes what the connection tells, and then ends what ended, until nothing more follows.
    fn settle(&mut self, now: Now) {
        loop {
            while let Some(event) = self.connection.poll() {
                self.on(event, now);
            }
            if let Some(cause) = self.tokens.take_loss() {
                self.node_lost(cause.as_ref(), now);
            } else if let Some(life) = self.leaving.pop_front() {
                self.conclude(life, now);
            } else {
                break;
            }
        }
        self.resolve_strays();
        self.tidy();
    }

    fn on(&mut self, event: Event, now: Now) {
        match event {
            Event::Attached(link, attach) => self.attached(link, &attach, now),
            Event::Delivered(link, delivery) => self.token_answered(link, &delivery, now),
            Event::Done(sent, fate) => self.fated(sent, fate, now),
            Event::Detached(link, detachment) if !detachment.by_us => self.detached(link, detachment.error.as_ref()),
            Event::SessionEnded(session, error) => self.session_ended(session, error.as_ref()),
            // We take no links of the hub's making.
            Event::Attaching(_, link, _) => {
                self.connection.refuse(link, Error::new("amqp:not-implemented", "only telemetry is sent here"));
            }
            Event::Ended(ended) => self.ended(ended, now),
            Event::Detached(..)
            | Event::Opened(_)
            | Event::Begun(..)
            | Event::Credit(..)
            | Event::Asked(..)
            | Event::Drained(_)
            | Event::Authenticating(_) => {}
        }
    }

    fn ended(&mut self, ended: Ended, now: Now) {
        let error = self.over.take().unwrap_or_else(|| endings::of_connection(ended));
        self.over = Some(error.clone());
        let lives = self.lives();
        let its = lives.iter().filter_map(|life| self.devices.get(life));
        let devices = its.map(|device| (device.name.clone(), device.epoch)).collect();
        for life in lives {
            self.leave(life, Cause::Over(error.clone()));
            // All fates are known.
            self.conclude(life, now);
        }
        self.effects.push_back(Effect::Over { error, devices });
    }

    fn lives(&self) -> Vec<Life> {
        // In the order in which they came, so that the same input always has the same effects.
        let mut lives: Vec<Life> = self.devices.keys().copied().collect();
        lives.sort_unstable();
        lives
    }

    /// Timers of what is gone go when they come first, and all at once when they are many more than what they time: one
    /// that waits long would else keep all that came after it.
    fn tidy(&mut self) {
        let Self { answers, messages, opens, devices, renewals, .. } = self;
        while answers.pop_front_if(|(_, ticket, sent)| !waits(messages, *ticket, *sent)).is_some() {}
        if is_crowded(answers.len(), messages.len()) {
            answers.retain(|(_, ticket, sent)| waits(messages, *ticket, *sent));
        }
        while opens.pop_front_if(|(_, life)| devices.get(life).is_none_or(Device::is_ready)).is_some() {}
        if is_crowded(opens.len(), devices.len()) {
            opens.retain(|(_, life)| devices.get(life).is_some_and(|device| !device.is_ready()));
        }
        if is_crowded(renewals.len(), devices.len()) {
            let is_due = |at, life| devices.get(&life).is_some_and(|device| device.renew_at == Some(at));
            renewals.retain(|Reverse((at, life))| is_due(*at, *life));
        }
        self.tokens.tidy();
    }
}

/// Many more timers than what they time.
fn is_crowded(timers: usize, timed: usize) -> bool {
    timers > 64 + 2 * timed
}

/// Does a message still wait for the answer to this delivery?
fn waits(messages: &HashMap<Ticket, Pending>, ticket: Ticket, sent: Sent) -> bool {
    messages.get(&ticket).is_some_and(|message| message.sent == Some(sent))
}

#[cfg(test)]
mod tests;
