//! Messages on their way out, and their outcomes.

use std::time::Duration;

use amqp::connection::{Fate, Outgoing, Sent};
use amqp::performative::DeliveryState;
use bytes::Bytes;

use super::endings::Cause;
use super::{Effect, Life, Line, Now, Post, Ticket};
use crate::hub::amqp::condition::{Scope, judge};
use crate::hub::{Delivered, SendError, Why};

/// Messages in a row that a device's link leaves unanswered before the link is taken for broken. One alone may be a hub
/// that is slow.
const TIMEOUTS_MAX: u8 = 2;

/// A message without an outcome.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) life: Life,
    /// Shared with the connection, and kept until the outcome: the link may be opened again.
    pub(super) payload: Bytes,
    /// It was handed to the connection.
    pub(super) sent: Option<Sent>,
    /// Its link is gone. True: it, or a part, was written.
    pub(super) lost: Option<bool>,
}

impl Pending {
    /// It may have arrived.
    pub(super) fn is_written(&self) -> bool {
        // Handed over and not known to be unwritten.
        self.lost.unwrap_or(self.sent.is_some())
    }
}

impl Line {
    /// Takes a message for a device, which is opened if need be.
    pub(in crate::hub::amqp) fn post(&mut self, post: Post, now: Now) {
        let refused = match &self.over {
            Some(error) => Some(error.clone()),
            None if self.is_closing => Some(SendError::unanswered(Why::Closed, "the connection is closed")),
            None => None,
        };
        if let Some(error) = refused {
            self.effects.push_back(Effect::Done(post.ticket, Err(error)));
            return;
        }
        let life = self.device_of(&post, now);
        let Post { ticket, payload, .. } = post;
        self.messages.insert(ticket, Pending { life, payload, sent: None, lost: None });
        if let Some(device) = self.devices.get_mut(&life) {
            device.messages.push_back(ticket);
        }
        self.hand_over(life, now);
        self.settle(now);
    }

    /// Takes a message back if it is not written yet; its outcome, which nobody waits for, is the last of it.
    pub(in crate::hub::amqp) fn cancel(&mut self, ticket: Ticket, now: Now) {
        if let Some(sent) = self.messages.get(&ticket).and_then(|message| message.sent) {
            self.connection.cancel(sent);
        }
        if self.messages.contains_key(&ticket) {
            self.resolve(ticket, Err(SendError::unanswered(Why::Closed, "nobody waits for it any more")));
        }
        self.settle(now);
    }

    /// Hands over what waits for the link, if it stands. The connection keeps the order, and the link's credit.
    pub(super) fn hand_over(&mut self, life: Life, now: Now) {
        let Some(device) = self.devices.get(&life).filter(|device| device.is_ready() && device.leaving.is_none())
        else {
            return;
        };
        let Some(link) = device.link else { return };
        for ticket in &device.messages {
            let Some(message) = self.messages.get_mut(ticket).filter(|message| message.sent.is_none()) else {
                continue;
            };
            // None: the link is going; what becomes of its device becomes of the message.
            let Some(sent) = self.connection.send(link, Outgoing::message(message.payload.clone())) else { return };
            message.sent = Some(sent);
            self.by_sent.insert(sent, *ticket);
            self.answers.push_back((now.at + self.settings.answer_timeout, *ticket, sent));
        }
    }

    /// What became of a delivery: a message's, or a token's.
    pub(super) fn fated(&mut self, sent: Sent, fate: Fate, now: Now) {
        if self.token_fated(sent, &fate, now) {
            return;
        }
        let Some(ticket) = self.by_sent.remove(&sent) else { return };
        match fate {
            Fate::Settled(state) => self.settled(ticket, state),
            Fate::Lost { written } => {
                if let Some(message) = self.messages.get_mut(&ticket) {
                    message.lost = Some(written);
                    self.strays.push(ticket);
                }
            }
            // Neither happens to a message that still has somebody who waits.
            Fate::Cancelled | Fate::Unanswered => {}
        }
    }

    fn settled(&mut self, ticket: Ticket, state: Option<DeliveryState>) {
        let Some(life) = self.messages.get(&ticket).map(|message| message.life) else { return };
        let outcome = outcome(state.as_ref());
        if let Some(device) = self.devices.get_mut(&life) {
            device.timeouts = 0;
            if outcome.is_ok() {
                device.deliveries = device.deliveries.saturating_add(1);
                device.is_second_try = false;
            }
        }
        self.resolve(ticket, outcome);
        // What the hub holds against the device it will hold against its next message: a fresh token then, or another
        // connection.
        if let Some(DeliveryState::Rejected(Some(error))) = &state {
            let judged = judge(error);
            let is_over = judged.is_full
                || matches!(
                    judged.why,
                    Why::Unauthorized | Why::NotFound | Why::Disabled | Why::Blocked | Why::Stolen { .. }
                );
            if is_over && judged.scope == Scope::Device {
                self.leave(life, Cause::Detached(Some(judged)));
            }
        }
    }

    /// The time for an answer is over. Not the line: others may be answered all the while.
    pub(super) fn unanswered(&mut self, ticket: Ticket, sent: Sent, at: Duration) {
        if !super::waits(&self.messages, ticket, sent) {
            return;
        }
        self.connection.cancel(sent);
        let life = self.messages.get(&ticket).map(|message| message.life);
        self.resolve(ticket, Err(SendError::unanswered(Why::TimedOut, "no answer in time")));
        if self.heard_at <= at.saturating_sub(self.settings.answer_timeout) && !self.is_suspected {
            self.is_suspected = true;
            self.effects.push_back(Effect::Suspected(true));
        }
        let Some((life, device)) = life.and_then(|life| Some((life, self.devices.get_mut(&life)?))) else { return };
        device.timeouts = device.timeouts.saturating_add(1);
        if device.timeouts >= TIMEOUTS_MAX {
            self.leave(life, Cause::TimedOut);
        }
    }

    /// A message's outcome.
    pub(super) fn resolve(&mut self, ticket: Ticket, outcome: Result<Delivered, SendError>) {
        let Some(message) = self.messages.remove(&ticket) else { return };
        message.sent.map(|sent| self.by_sent.remove(&sent));
        if let Some(device) = self.devices.get_mut(&message.life)
            && let Some(at) = device.messages.iter().position(|other| *other == ticket)
        {
            device.messages.remove(at);
        }
        self.effects.push_back(Effect::Done(ticket, outcome));
    }

    /// Messages that were lost with a link are concluded with their device. None is left; if one were, it would wait for
    /// ever.
    pub(super) fn resolve_strays(&mut self) {
        for ticket in std::mem::take(&mut self.strays) {
            if self.messages.get(&ticket).is_some_and(|message| message.lost.is_some()) {
                self.resolve(ticket, Err(SendError::unanswered(Why::Lost, "the link was lost")));
            }
        }
    }
}

/// `accepted` is delivered, nothing else is.
fn outcome(state: Option<&DeliveryState>) -> Result<Delivered, SendError> {
    let unavailable = |words: &str| SendError::unanswered(Why::Unavailable { retry_after: None }, words);
    match state {
        Some(DeliveryState::Accepted) => Ok(Delivered { server_time: None }),
        Some(DeliveryState::Rejected(Some(error))) => Err(judge(error).send_error()),
        Some(DeliveryState::Rejected(None)) => Err(unavailable("rejected without a reason")),
        Some(DeliveryState::Released) => Err(unavailable("released: the hub did not look at it")),
        Some(DeliveryState::Modified { .. }) => Err(unavailable("modified: the hub did not take it")),
        None | Some(DeliveryState::Received { .. } | DeliveryState::Other(_)) => {
            Err(SendError::unanswered(Why::Lost, "the hub settled it without saying what became of it"))
        }
    }
}
