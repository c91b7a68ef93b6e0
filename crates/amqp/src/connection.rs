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
//! that a slow socket costs no memory: a caller that has not written the last output does not ask for more.
//!
//! Promises
//! - every delivery that was given to [`Connection::send`] gets exactly one [`Event::Done`], whatever ends first;
//! - a delivery, link or session that is cancelled, detached or ended leaves all others as they were;
//! - windows and credit are never exceeded, and a peer that exceeds ours loses its link or session, not more;
//! - whatever the peer sends, memory stays within [`Options`]: sessions, links, bytes of unfinished deliveries.

use std::time::Duration;

use bytes::BytesMut;

mod event;
mod options;

pub use event::{Delivery, Detachment, Ended, Event, Fate, LinkId, Outgoing, Sent, SessionId};
pub use options::{Full, Options, Terms};

use crate::performative::{DeliveryState, Error};
use crate::sasl::Mechanism;
use crate::value::Symbol;

/// One connection, either side.
#[derive(Debug)]
pub struct Connection {}

impl Connection {
    /// A client's side: the first output is its header, and open is pipelined behind it.
    pub fn client(options: Options, mechanism: Mechanism, now: Duration) -> Self {
        todo!()
    }

    /// A server's side: takes the SASL header, with these mechanisms, as well as the bare one (`bare`).
    pub fn server(options: Options, mechanisms: Vec<Symbol>, bare: bool, now: Duration) -> Self {
        todo!()
    }

    /// What was read. Never fails: trouble shows as an event.
    pub fn receive(&mut self, bytes: &[u8], now: Duration) {
        todo!()
    }

    /// The transport is gone.
    pub fn cut(&mut self) {
        todo!()
    }

    /// What happened, one at a time.
    pub fn poll(&mut self) -> Option<Event> {
        todo!()
    }

    /// Moves what is to be written behind what `out` holds, at most about 256 KiB at a time.
    pub fn output(&mut self, out: &mut BytesMut, now: Duration) {
        todo!()
    }

    /// There is something to write.
    pub fn has_output(&self) -> bool {
        todo!()
    }

    /// When to [`Connection::tick`] at the latest.
    pub fn deadline(&self) -> Option<Duration> {
        todo!()
    }

    /// Keeps the peer's idle time-out and our own, and the bounds of the handshake.
    pub fn tick(&mut self, now: Duration) {
        todo!()
    }

    /// At a server: what the client said in [`Event::Authenticating`] is good, or not.
    pub fn authenticate(&mut self, good: bool) {
        todo!()
    }

    /// Begins a session. Links can be attached at once; they are pipelined.
    ///
    /// # Errors
    /// No more fit, or the connection ends.
    pub fn begin(&mut self) -> Result<SessionId, Full> {
        todo!()
    }

    /// Ends a session with all its links.
    pub fn end(&mut self, session: SessionId, error: Option<Error>) {
        todo!()
    }

    /// Attaches a link. Deliveries can be sent at once; they go when there is credit.
    ///
    /// # Errors
    /// No more fit, or the session ends.
    pub fn attach(&mut self, session: SessionId, terms: Terms) -> Result<LinkId, Full> {
        todo!()
    }

    /// Answers a peer's attach. Its name and role are taken from the peer's. Does nothing when the link has gone.
    pub fn accept(&mut self, link: LinkId, terms: Terms) {
        todo!()
    }

    /// Refuses a peer's attach, as the specification asks: attach without the terminus, then detach for good.
    pub fn refuse(&mut self, link: LinkId, error: Error) {
        todo!()
    }

    /// Detaches a link. Deliveries on it are lost, those of others are not.
    pub fn detach(&mut self, link: LinkId, closed: bool, error: Option<Error>) {
        todo!()
    }

    /// Takes a message to be sent when credit and windows allow, in order. `None` when the link has gone.
    pub fn send(&mut self, link: LinkId, message: Outgoing) -> Option<Sent> {
        todo!()
    }

    /// Takes a delivery back if it is not written whole yet: [`Fate::Cancelled`] follows, else its own fate.
    pub fn cancel(&mut self, sent: Sent) {
        todo!()
    }

    /// Deliveries that wait on a link for credit, windows or the socket.
    pub fn waiting(&self, link: LinkId) -> usize {
        todo!()
    }

    /// At a receiver: takes so many more deliveries than have come (credit is set, not added).
    pub fn credit(&mut self, link: LinkId, credit: u32) {
        todo!()
    }

    /// At a receiver: credit that the sender has left.
    pub fn credit_left(&self, link: LinkId) -> u32 {
        todo!()
    }

    /// At a receiver: says what became of a delivery. Neighbours with the same state are told together.
    pub fn settle(&mut self, link: LinkId, delivery: u32, state: DeliveryState) {
        todo!()
    }

    /// Closes the connection; [`Event::Ended`] follows when the peer has answered or the time is over.
    pub fn close(&mut self, error: Option<Error>, now: Duration) {
        todo!()
    }
}
