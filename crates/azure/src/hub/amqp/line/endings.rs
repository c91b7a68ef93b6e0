//! What a device's end means for its messages.
//!
//! What was not written can be said to be unsent; what was written may have arrived. Where the hub gave a reason that
//! tells what to do (a token, a throttle, another owner), the reason is the outcome of both: the hub said why it takes
//! nothing from this device. Where it only had trouble of its own, a written message is [`Why::Lost`].

use std::collections::VecDeque;
use std::time::Duration;

use amqp::connection::Ended;

use super::device::{Device, Phase};
use super::messages::Pending;
use super::{Effect, Life, Line, Now, Ticket};
use crate::hub::amqp::condition::{Judgement, Scope, judge};
use crate::hub::amqp::theft::Tenure;
use crate::hub::{SendError, Why};

/// Why a device ends.
#[derive(Clone, Debug)]
pub(super) enum Cause {
    /// The hub refused its token.
    Refused(Judgement),
    /// The hub took its link, with or without a word.
    Detached(Option<Judgement>),
    /// The connection takes no more devices.
    Full,
    /// It did not get ready in time, or leaves messages unanswered.
    TimedOut,
    /// We do not want it any more.
    LetGo,
    /// The connection ended.
    Over(SendError),
}

impl Cause {
    /// Tells more than the other does of the same end.
    fn outweighs(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Detached(Some(_)), Self::Detached(None)) | (Self::Over(_), _))
    }
}

impl Line {
    /// A device ends: its link and session go now, its messages when their fates are known.
    pub(super) fn leave(&mut self, life: Life, cause: Cause) {
        let Some(device) = self.devices.get_mut(&life) else { return };
        match &mut device.leaving {
            Some(before) if cause.outweighs(before) => *before = cause,
            Some(_) => {}
            None => {
                device.leaving = Some(cause);
                self.leaving.push_back(life);
                if let Some(link) = device.link {
                    self.connection.detach(link, true, None);
                }
                if let Some(session) = device.session {
                    self.connection.end(session, None);
                }
            }
        }
    }

    /// Its messages get their outcomes, or go with it.
    pub(super) fn conclude(&mut self, life: Life, now: Now) {
        let Some(mut device) = self.take_out(life) else { return };
        let messages = std::mem::take(&mut device.messages);
        match device.leaving.take().unwrap_or(Cause::LetGo) {
            Cause::Full => self.displace(&device, messages),
            Cause::Detached(None) => self.detached_silently(&device, messages, now),
            Cause::Detached(Some(judged)) if matches!(judged.why, Why::Stolen { .. }) => {
                self.stolen(&device, messages, &judged, now);
            }
            Cause::Detached(Some(judged)) | Cause::Refused(judged) if judged.is_full && self.has_served() => {
                let unwritten = self.resolve_written(messages, &lost(&judged));
                self.displace(&device, unwritten);
            }
            Cause::Detached(Some(judged)) if judged.scope == Scope::Message => {
                self.detached_for_a_message(&device, messages, &judged, now);
            }
            Cause::Detached(Some(judged)) | Cause::Refused(judged) => {
                let error = judged.send_error();
                let written = if matches!(judged.why, Why::Unavailable { .. }) { lost(&judged) } else { error.clone() };
                self.gone(&device, messages, &written, &error);
            }
            Cause::TimedOut => {
                let error = SendError::unanswered(Why::TimedOut, "the hub did not answer for this device in time");
                self.gone(&device, messages, &error, &error);
            }
            Cause::LetGo => {
                let written = SendError::unanswered(Why::Lost, "the device was let go before the hub answered");
                let unwritten = SendError::unanswered(Why::Closed, "the device was let go");
                self.gone(&device, messages, &written, &unwritten);
            }
            Cause::Over(error) => {
                let written = SendError { why: Why::Lost, ..error.clone() };
                let unwritten = self.resolve_written(messages, &written);
                self.resolve_all(unwritten, &error);
            }
        }
    }

    fn gone(&mut self, device: &Device, messages: VecDeque<Ticket>, written: &SendError, unwritten: &SendError) {
        let waiting = self.resolve_written(messages, written);
        self.resolve_all(waiting, unwritten);
        self.effects.push_back(Effect::Gone { name: device.name.clone(), epoch: device.epoch });
    }

    fn resolve_all(&mut self, messages: VecDeque<Ticket>, error: &SendError) {
        for ticket in messages {
            self.resolve(ticket, Err(error.clone()));
        }
    }

    /// Those that may have arrived get this outcome; the others are returned, in order.
    fn resolve_written(&mut self, messages: VecDeque<Ticket>, error: &SendError) -> VecDeque<Ticket> {
        let (written, unwritten) = messages.into_iter().partition(|ticket| self.is_written(*ticket));
        self.resolve_all(written, error);
        unwritten
    }

    /// Others have their token here. A connection that is called full without having taken anybody is not full: another
    /// one would be called the same, and one after the other would be dialled for a single device.
    fn has_served(&self) -> bool {
        self.devices.values().any(|device| device.phase != Phase::Tokening)
    }

    fn is_written(&self, ticket: Ticket) -> bool {
        self.messages.get(&ticket).is_some_and(Pending::is_written)
    }

    /// A device that is switched off while it is connected loses its link like this, without a word; so does one whose
    /// gateway is replaced. A fresh token tells which: the answer to it is the reason. Nobody asks for it before there is
    /// a message to send.
    fn detached_silently(&mut self, device: &Device, messages: VecDeque<Ticket>, now: Now) {
        let written = SendError::unanswered(Why::Lost, "the hub took the device's link away");
        let waiting = self.resolve_written(messages, &written);
        if waiting.is_empty() || device.is_second_try {
            let error = SendError::unanswered(Why::Unauthorized, "the hub took the device's link away, twice, unasked");
            self.gone(device, waiting, &written, &error);
        } else {
            self.open_again(device, waiting, now);
        }
    }

    /// The oldest message that was written is to blame; the others go on over a new link.
    fn detached_for_a_message(
        &mut self,
        device: &Device,
        mut messages: VecDeque<Ticket>,
        judged: &Judgement,
        now: Now,
    ) {
        let blamed = messages.front().copied().filter(|ticket| self.is_written(*ticket));
        if let Some(ticket) = blamed {
            messages.pop_front();
            // Without a word against the message it may have arrived.
            let is_doubtful = matches!(judged.why, Why::Unavailable { .. });
            self.resolve(ticket, Err(if is_doubtful { lost(judged) } else { judged.send_error() }));
        }
        let waiting = self.resolve_written(messages, &lost(judged));
        if waiting.is_empty() || (device.is_second_try && blamed.is_none()) {
            // Nothing of these was looked at: no reason to give any of them up for good.
            let later = SendError { why: Why::Unavailable { retry_after: None }, ..judged.send_error() };
            self.gone(device, waiting, &later, &later);
        } else {
            self.open_again(device, waiting, now);
        }
    }

    fn stolen(&mut self, device: &Device, messages: VecDeque<Ticket>, judged: &Judgement, now: Now) {
        let lasted = if device.is_ready() { now.at.saturating_sub(device.ready_at) } else { Duration::ZERO };
        let tenure = Tenure { lasted, deliveries: device.deliveries };
        self.effects.push_back(Effect::Stolen { name: device.name.clone(), epoch: device.epoch, tenure });
        let error = judged.send_error();
        self.gone(device, messages, &error, &error);
    }

    /// Another connection is to have the device and its messages.
    fn displace(&mut self, device: &Device, messages: VecDeque<Ticket>) {
        let taken = messages.into_iter().filter_map(|ticket| {
            let message = self.messages.remove(&ticket)?;
            message.sent.map(|sent| self.by_sent.remove(&sent));
            Some((ticket, message.payload))
        });
        let messages = taken.collect();
        let (name, epoch, key) = (device.name.clone(), device.epoch, device.key.clone());
        self.effects.push_back(Effect::Displaced { name, epoch, key, messages });
    }
}

fn lost(judged: &Judgement) -> SendError {
    SendError { why: Why::Lost, ..judged.send_error() }
}

/// What the end of a connection means for messages that were not written.
pub(super) fn of_connection(ended: Ended) -> SendError {
    let unreachable = |words: String| SendError::unanswered(Why::Unreachable, words);
    match ended {
        Ended::ByPeer(None) => unreachable("the hub closed the connection".to_owned()),
        Ended::ByPeer(Some(error)) => {
            let judged = judge(&error);
            match judged.why {
                // What the hub means for all of its devices.
                Why::Suspended | Why::Quota | Why::Throttled { .. } => judged.send_error(),
                _ => SendError { why: Why::Unreachable, ..judged.send_error() },
            }
        }
        Ended::ByUs => SendError::unanswered(Why::Closed, "the connection was closed"),
        Ended::Broken(error) => {
            let words = error.description.unwrap_or_default();
            unreachable(format!("the hub broke the protocol ({}): {words}", error.condition))
        }
        Ended::Silent => unreachable("nothing was heard from the hub for too long".to_owned()),
        Ended::HandshakeTooLong => unreachable("the hub did not open the connection in time".to_owned()),
        Ended::NotAuthenticated(words) => unreachable(words),
        Ended::Cut => unreachable("the connection was lost".to_owned()),
    }
}
