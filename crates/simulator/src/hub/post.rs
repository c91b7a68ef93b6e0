//! The post of a hub: the queues of all devices, and what is told of their messages.
//!
//! Promises: a device has a queue only while it has messages, and all of them together are bounded. What has to be
//! remembered over a restart comes out as [`Step`]s; taking all of them again gives the same post, but that nothing is
//! locked and feedback is gathered anew. Nothing happens by itself: [`Post::expire`] comes before every other call.
//!
//! Does not know who is connected, nor where steps are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Refusal;
use super::c2d::{self, Delivery, Message, Owner, Queue};
use super::feedback::{Batch, Outbox, Record};
use super::line::{End, Ended, Entry, Lock, Outcome, Settled};
use super::rules::{PostRules, Rules};
use crate::registry::Device;

mod kept; // over restarts

/// Messages that wait, of all devices: 8 192 of the largest, or a million of 500 bytes.
const BYTES_MAX: usize = 512 << 20;
/// What a message takes beside its own bytes: its entry, its text fields, its place in two maps.
const OVERHEAD_BYTES: usize = 512;

/// What a journal keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    Pushed(Pushed),
    Abandoned { device: String, sequence: u64, times: u8 },
    Gone { device: String, sequence: u64, end: End },
    Feedback { number: u64, record: Record },
    FeedbackGone(Vec<u64>),
}

/// A message that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pushed {
    owner: Owner,
    sequence: u64,
    enqueued_ms: i64,
    expiry_ms: i64,
    abandoned: u8,
    #[serde(with = "shared")]
    message: Arc<Message>,
}

/// What happened by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expired {
    pub(crate) steps: Vec<Step>,
    /// Devices with messages that somebody held and holds no more.
    pub(crate) freed: Vec<String>,
}

/// The post.
#[derive(Debug, Default)]
pub(crate) struct Post {
    rules: Rules,
    queues: BTreeMap<String, Queue>,
    /// When something happens in a queue by itself, by time.
    due: BTreeSet<(i64, String)>,
    bytes: usize,
    /// The last number that was given to a message, whatever its device.
    sequence: u64,
    feedback: Outbox,
    /// The last number that was given to a record.
    record: u64,
}

/// Messages.
impl Post {
    pub(crate) fn new(rules: PostRules) -> Self {
        Self { rules: rules.messages, feedback: Outbox::new(rules.feedback), ..Self::default() }
    }

    /// Whether a message is taken. It is when [`Post::push`] is called with what this gives.
    pub(crate) fn accepts(&self, device: &Device, message: Message, now_ms: i64) -> Result<Pushed, Refusal> {
        let message = message.checked()?;
        if self.pending(&device.id) >= c2d::PENDING_MAX {
            return Err(c2d::queue_full(&device.id));
        }
        if self.bytes + weight(&message) > BYTES_MAX {
            let text =
                format!("The simulator holds {BYTES_MAX} bytes of messages to devices, which is the most it does");
            return Err(Refusal::new(403, 403_007, "DeviceMaximumQueueSizeExceeded", text));
        }
        Ok(Pushed {
            owner: Owner::from(device),
            sequence: self.sequence + 1,
            enqueued_ms: now_ms,
            expiry_ms: message.expires_ms(now_ms, self.rules.ttl_ms),
            abandoned: 0,
            message: Arc::new(message),
        })
    }

    pub(crate) fn push(&mut self, pushed: Pushed) {
        let Pushed { owner, sequence, enqueued_ms, expiry_ms, abandoned, message } = pushed;
        self.sequence = self.sequence.max(sequence);
        self.bytes += weight(&message);
        let device = owner.device.clone();
        let queue = self.queues.entry(device.clone()).or_insert_with(|| Queue::new(owner, self.rules));
        queue.line.push(Entry::new(sequence, (enqueued_ms, expiry_ms), abandoned, message));
        self.changed(&device);
    }

    /// Messages in a queue.
    pub(crate) fn pending(&self, device: &str) -> usize {
        self.queues.get(device).map_or(0, |queue| queue.line.len())
    }

    /// Hands the next message to a device.
    pub(crate) fn lock_next(&mut self, device: &str, now_ms: i64, lock: Lock) -> Option<Delivery> {
        let delivery = self.queues.get_mut(device)?.lock_next(now_ms, lock);
        self.changed(device);
        delivery
    }

    /// A device answers a message.
    pub(crate) fn settle(
        &mut self,
        device: &str,
        lock: Lock,
        outcome: Outcome,
        now_ms: i64,
    ) -> Result<Vec<Step>, Refusal> {
        let settled = self.queues.get_mut(device).and_then(|queue| queue.line.settle(lock, outcome, now_ms));
        Ok(match settled.ok_or_else(c2d::lock_lost)? {
            Settled::Ended(ended) => self.end(device, &[ended], (now_ms, now_ms)),
            Settled::Back { sequence, abandoned } => {
                self.changed(device);
                vec![Step::Abandoned { device: device.to_owned(), sequence, times: abandoned }]
            }
        })
    }

    /// Who held a message of the device is gone. False when it held nothing any more.
    pub(crate) fn unlock(&mut self, device: &str, lock: Lock) -> bool {
        let is_free = self.queues.get_mut(device).is_some_and(|queue| queue.line.unlock(lock));
        self.changed(device);
        is_free
    }

    /// Empties a queue. Gives how many messages there were.
    pub(crate) fn purge(&mut self, device: &str, now_ms: i64) -> (usize, Vec<Step>) {
        let purged = self.queues.get_mut(device).map(|queue| queue.line.purge()).unwrap_or_default();
        (purged.len(), self.end(device, &purged, (now_ms, now_ms)))
    }

    /// Lets happen what is due in all queues and with feedback, each when it was due: who was away for a day (or put the
    /// clock forward) finds what it would have found, and waits for nothing.
    pub(crate) fn expire(&mut self, now_ms: i64) -> Expired {
        let mut happened = Expired::default();
        while self.due.first().is_some_and(|(at_ms, _)| *at_ms <= now_ms) {
            let Some((at_ms, device)) = self.due.pop_first() else { break };
            let Some(queue) = self.queues.get_mut(&device) else { continue };
            queue.listed_ms = None;
            let (expired, is_freed) = queue.line.expire(at_ms);
            happened.steps.extend(self.end(&device, &expired, (at_ms, now_ms)));
            if is_freed {
                happened.freed.push(device);
            }
        }
        happened.steps.extend(forgotten(self.feedback.expire(now_ms)));
        happened
    }

    /// Messages that have left their queue, and when: who wanted to know is told.
    fn end(&mut self, device: &str, ended: &[Ended<Message>], (at_ms, now_ms): (i64, i64)) -> Vec<Step> {
        let mut steps = Vec::new();
        for one in ended {
            self.bytes = self.bytes.saturating_sub(weight(&one.content));
            steps.push(Step::Gone { device: device.to_owned(), sequence: one.sequence, end: one.end });
            let record = self.queues.get(device).and_then(|queue| queue.record(one, at_ms));
            if let Some(record) = record {
                self.record += 1;
                steps.push(Step::Feedback { number: self.record, record: record.clone() });
                steps.extend(forgotten(self.feedback.push(self.record, record, now_ms)));
            }
        }
        self.changed(device);
        steps
    }

    /// Lists a queue anew after it changed; one without messages goes.
    fn changed(&mut self, device: &str) {
        let Some(queue) = self.queues.get_mut(device) else { return };
        let due_ms = queue.line.next_due_ms();
        if due_ms.is_some() && due_ms == queue.listed_ms {
            return;
        }
        if let Some(before) = std::mem::replace(&mut queue.listed_ms, due_ms) {
            self.due.remove(&(before, device.to_owned()));
        }
        match due_ms {
            Some(at_ms) => drop(self.due.insert((at_ms, device.to_owned()))),
            None => drop(self.queues.remove(device)),
        }
    }
}

/// Feedback.
impl Post {
    pub(crate) fn lock_feedback(&mut self, now_ms: i64, lock: Lock) -> Option<Batch> {
        self.feedback.lock_next(now_ms, lock)
    }

    pub(crate) fn settle_feedback(&mut self, lock: Lock, outcome: Outcome, now_ms: i64) -> Result<Vec<Step>, Refusal> {
        let gone = self.feedback.settle(lock, outcome, now_ms).ok_or_else(c2d::lock_lost)?;
        Ok(forgotten(gone).into_iter().collect())
    }

    /// Who held a batch is gone.
    pub(crate) fn unlock_feedback(&mut self, lock: Lock) -> bool {
        self.feedback.unlock(lock)
    }

    /// Whether there is feedback to be fetched that was not there when this was asked last.
    pub(crate) fn take_feedback_news(&mut self) -> bool {
        self.feedback.take_news()
    }
}

/// The journal's copy of what is shared in memory.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(shared: &Arc<T>, to: S) -> Result<S::Ok, S::Error> {
        shared.as_ref().serialize(to)
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Arc<T>, D::Error> {
        T::deserialize(from).map(Arc::new)
    }
}

fn weight(message: &Message) -> usize {
    message.size() + OVERHEAD_BYTES
}

fn forgotten(numbers: Vec<u64>) -> Option<Step> {
    (!numbers.is_empty()).then_some(Step::FeedbackGone(numbers))
}

#[cfg(test)]
mod tests;
