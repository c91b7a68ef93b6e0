//! A connection with its sessions and links, without a socket: what is read goes in, what is to be written comes out.
//!
//! ```text
//! receive(bytes, now) ─┐                        ┌─ poll() -> Event …
//! tick(now) ───────────┼─> Connection (state) ──┼─ output(&mut buffer): bytes to write
//! begin, attach, send ─┘                        └─ deadline(): when to tick
//! ```
//!
//! `now` is any clock that never goes back, counted from wherever the caller likes.
//!
//! After any call: drain [`Connection::poll`], then write what [`Connection::output`] gives, then wait for bytes, for
//! [`Connection::deadline`], or for something to do. Deliveries are turned into frames only when output is asked for, so
//! that a slow socket costs no memory: a caller that has not written the last output does not ask for more, and one that
//! cannot write does not read either, because some input is answered.
//!
//! Promises
//! - every delivery that was given to [`Connection::send`] gets exactly one [`Event::Done`], whatever ends first;
//! - a delivery, link or session that is cancelled, detached or ended leaves all others as they were;
//! - windows and credit are never exceeded, and a peer that exceeds ours loses its link or session, not more;
//! - whatever the peer sends, memory stays within [`Options`]: sessions, links, bytes of unfinished deliveries.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

mod answers; // credit, outcomes, windows
mod event;
mod handshake; // headers, SASL, open
mod incoming; // what frames do
mod link;
mod links; // attach and detach, ours and the peer's
mod losses; // what ends mean for deliveries
mod options;
mod outgoing; // deliveries to frames
mod session;
mod sessions; // begin and end, ours and the peer's
mod slab;

pub use event::{Delivery, Detachment, Ended, Event, Fate, LinkId, Outgoing, Sent, SessionId};
pub use options::{Full, Options, Terms};

use crate::codec::{Bound, DecodeError};
use crate::frame::{self, Frame};
use crate::performative::{Close, Error, Performative, Role};
use crate::sasl::Mechanism;
use crate::value::Symbol;
use handshake::{Side, Stage};
use link::Link;
use session::Session;
use slab::Slab;

/// What [`Connection::output`] makes at a time, about: four of the largest frames. More would only wait in memory.
const OUTPUT_BYTES: usize = 256 << 10;
/// A peer that announces a shorter idle time-out than twice this hears from us this often, and no oftener.
const HEARTBEAT_MIN: Duration = Duration::from_millis(100);
/// A client that says more than this before it is let in is not worth listening to.
const UNAUTHENTICATED_BYTES_MAX: usize = 64 << 10;

/// One connection, either side.
#[derive(Debug)]
pub struct Connection {
    options: Options,
    side: Side,
    stage: Stage,
    /// SASL ended well.
    is_let_in: bool,
    input: BytesMut,
    /// What may be written now.
    out: BytesMut,
    /// What may be written once the peer's open has come: until then its bounds are not known.
    held: BytesMut,
    events: VecDeque<Event>,

    sessions: Slab<Session>,
    links: Slab<Link>,
    /// Links by session, our role and name: an attach of the peer's either answers one of them or must not be among them.
    names: HashMap<(u32, Role, Arc<str>), u32>,
    /// Sessions by our channel.
    by_channel: Vec<Option<u32>>,
    /// Sessions by the peer's channel.
    by_remote_channel: Vec<RemoteChannel>,
    peer: Peer,

    /// Links that have something to send, in turn.
    senders: VecDeque<LinkId>,
    /// Sessions that have something to say.
    speakers: Vec<SessionId>,
    partial_bytes: usize,
    next_number: u64,

    began_at: Duration,
    heard_at: Duration,
    wrote_at: Duration,
}

/// Who has a channel of the peer's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum RemoteChannel {
    #[default]
    Never,
    Session(u32),
    /// Some peers go on talking after their end (azure-eventhub for Python detaches links then): that is let pass.
    Ended,
}

/// What the peer's open said.
#[derive(Debug)]
struct Peer {
    frame_bytes_max: usize,
    channel_max: u16,
    /// It wants to hear from us within this.
    silence_max: Option<Duration>,
}

/// Something that ends the connection.
#[derive(Debug)]
struct Broken(Error);

impl Connection {
    /// A client's side: the first output is its header, and open is pipelined behind it where there is no SASL layer.
    pub fn client(options: Options, mechanism: Mechanism, now: Duration) -> Self {
        let mut connection = Self::new(options, Side::Client(mechanism), now);
        connection.begin_handshake();
        connection
    }

    /// A server's side: takes the SASL header, with these mechanisms, as well as the bare one (`bare`).
    pub fn server(options: Options, mechanisms: Vec<Symbol>, bare: bool, now: Duration) -> Self {
        Self::new(options, Side::Server { mechanisms, bare }, now)
    }

    fn new(options: Options, side: Side, now: Duration) -> Self {
        Self {
            options,
            side,
            stage: Stage::Header,
            is_let_in: false,
            input: BytesMut::new(),
            out: BytesMut::new(),
            held: BytesMut::new(),
            events: VecDeque::new(),
            sessions: Slab::default(),
            links: Slab::default(),
            names: HashMap::new(),
            by_channel: Vec::new(),
            by_remote_channel: Vec::new(),
            peer: Peer { frame_bytes_max: frame::FRAME_BYTES_MIN as usize, channel_max: u16::MAX, silence_max: None },
            senders: VecDeque::new(),
            speakers: Vec::new(),
            partial_bytes: 0,
            next_number: 0,
            began_at: now,
            heard_at: now,
            wrote_at: now,
        }
    }

    /// What was read. Never fails: trouble shows as an event.
    pub fn receive(&mut self, bytes: &[u8], now: Duration) {
        if self.stage == Stage::Over {
            return;
        }
        self.heard_at = now;
        self.input.extend_from_slice(bytes);
        self.read();
    }

    fn read(&mut self) {
        loop {
            match self.step() {
                Ok(true) => {}
                Ok(false) => break,
                Err(Broken(error)) => return self.broken(error),
            }
        }
        if self.stage == Stage::Authenticating && self.input.len() > UNAUTHENTICATED_BYTES_MAX {
            self.broken(options::error("amqp:not-allowed", "too much was said before the outcome of SASL"));
        }
    }

    /// Takes one header or frame; false when there is none or none may be taken now.
    fn step(&mut self) -> Result<bool, Broken> {
        match self.stage {
            Stage::Over | Stage::Authenticating => Ok(false),
            Stage::Header => {
                let header = frame::take_header(&mut self.input).map_err(|_| self.foreign())?;
                header.map_or(Ok(false), |protocol| self.header(protocol).map(|()| true))
            }
            _ => match frame::take_frame(&mut self.input, self.options.max_frame_size).map_err(undecodable)? {
                None => Ok(false),
                Some(frame) => self.frame(frame).map(|()| true),
            },
        }
    }

    fn frame(&mut self, frame: Frame) -> Result<(), Broken> {
        match (self.stage, frame) {
            (_, Frame::Empty) => Ok(()),
            (Stage::Sasl, Frame::Sasl(frame)) => self.sasl(frame),
            (Stage::Opening, Frame::Amqp { performative: Performative::Open(open), .. }) => self.opened(open),
            (Stage::Opening | Stage::Open | Stage::Closing { .. }, Frame::Amqp { performative, channel, payload }) => {
                match performative {
                    Performative::Close(close) => {
                        self.closed_by_peer(close);
                        Ok(())
                    }
                    _ if matches!(self.stage, Stage::Closing { .. }) => Ok(()),
                    _ if self.stage == Stage::Opening => Err(broken("amqp:not-allowed", "open comes first")),
                    performative => self.performative(channel, performative, payload),
                }
            }
            _ => Err(broken("amqp:not-allowed", "this frame has no place here")),
        }
    }

    /// The transport is gone.
    pub fn cut(&mut self) {
        self.over(Ended::Cut);
    }

    /// What happened, one at a time.
    pub fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Moves what is to be written behind what `out` holds, at most about 256 KiB at a time.
    pub fn output(&mut self, out: &mut BytesMut, now: Duration) {
        if matches!(self.stage, Stage::Open) {
            self.speak();
            self.transfer_deliveries();
        }
        if self.out.is_empty() {
            return;
        }
        self.wrote_at = now;
        if out.is_empty() {
            std::mem::swap(out, &mut self.out);
        } else {
            out.extend_from_slice(&self.out);
        }
        self.out.clear();
    }

    /// Bytes that are to be written already, whatever else there will be.
    pub fn written(&self) -> usize {
        self.out.len()
    }

    /// There is something to write.
    pub fn has_output(&self) -> bool {
        !self.out.is_empty() || (self.stage == Stage::Open && !(self.speakers.is_empty() && self.senders.is_empty()))
    }

    /// When to [`Connection::tick`] at the latest.
    pub fn deadline(&self) -> Option<Duration> {
        let handshake = self.began_at + self.options.handshake_max;
        match self.stage {
            Stage::Over => None,
            Stage::Closing { since } => Some(since + self.options.handshake_max),
            Stage::Open => {
                let silence = self.options.silence_max.map(|most| self.heard_at + most);
                silence.into_iter().chain(self.heartbeat_at()).min()
            }
            Stage::Header | Stage::Sasl | Stage::Authenticating | Stage::Opening => Some(handshake),
        }
    }

    fn heartbeat_at(&self) -> Option<Duration> {
        self.peer.silence_max.map(|most| self.wrote_at + (most / 2).max(HEARTBEAT_MIN))
    }

    /// Keeps the peer's idle time-out and our own, and the bounds of the handshake.
    pub fn tick(&mut self, now: Duration) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.stage {
            Stage::Over => {}
            Stage::Closing { .. } => self.over(Ended::ByUs),
            Stage::Open if self.options.silence_max.is_some_and(|most| now >= self.heard_at + most) => {
                let error = options::error("amqp:resource-limit-exceeded", "nothing was heard for too long");
                self.say_close(Some(error));
                self.over(Ended::Silent);
            }
            Stage::Open => {
                if self.out.is_empty() {
                    frame::put_empty(&mut self.out);
                }
                self.wrote_at = now;
            }
            Stage::Header | Stage::Sasl | Stage::Authenticating | Stage::Opening => {
                self.over(Ended::HandshakeTooLong);
            }
        }
    }

    /// Closes the connection; [`Event::Ended`] follows when the peer has answered or the time is over.
    pub fn close(&mut self, error: Option<Error>, now: Duration) {
        match self.stage {
            Stage::Over | Stage::Closing { .. } => {}
            Stage::Open => {
                self.speak();
                self.say_close(error);
                self.stage = Stage::Closing { since: now };
                self.lose_all();
            }
            Stage::Header | Stage::Sasl | Stage::Authenticating | Stage::Opening => self.over(Ended::ByUs),
        }
    }

    fn closed_by_peer(&mut self, close: Close) {
        if matches!(self.stage, Stage::Closing { .. }) {
            return self.over(Ended::ByUs);
        }
        self.say_close(None);
        self.over(Ended::ByPeer(close.error));
    }

    /// The peer broke the protocol.
    fn broken(&mut self, error: Error) {
        if matches!(self.stage, Stage::Opening | Stage::Open) {
            self.say_close(Some(error.clone()));
        }
        self.over(Ended::Broken(error));
    }

    fn say_close(&mut self, error: Option<Error>) {
        frame::put_frame(&mut self.out, 0, &Performative::Close(Close { error }), &[]);
    }

    /// The last event, after all deliveries have got theirs.
    fn over(&mut self, ended: Ended) {
        if self.stage == Stage::Over {
            return;
        }
        self.lose_all();
        self.stage = Stage::Over;
        self.input = BytesMut::new();
        self.held = BytesMut::new();
        self.events.push_back(Event::Ended(ended));
    }

    /// Where frames go that may not overtake open.
    fn control(&mut self) -> &mut BytesMut {
        if matches!(self.stage, Stage::Open | Stage::Closing { .. } | Stage::Over) {
            &mut self.out
        } else {
            &mut self.held
        }
    }

    fn put(&mut self, channel: u16, performative: &Performative) {
        frame::put_frame(self.control(), channel, performative, &[]);
    }
}

fn broken(condition: &'static str, description: &str) -> Broken {
    Broken(options::error(condition, description))
}

fn undecodable(cause: DecodeError) -> Broken {
    let condition = match cause {
        DecodeError::Bound(Bound::Frame) => "amqp:connection:framing-error",
        DecodeError::Bound(_) => "amqp:resource-limit-exceeded",
        _ => "amqp:decode-error",
    };
    broken(condition, &cause.to_string())
}

#[cfg(test)]
mod tests;
