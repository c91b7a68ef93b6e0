//! What became of messages to devices, told to the service side in batches.
//!
//! Promises: records go out together, when 64 wait or 15 seconds after the first of them; a batch is locked, answered
//! and given back as a message to a device is, and expires after an hour unless the rules say otherwise. Time and locks are
//! handed in.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::line::{Entry, Line, Lock, Outcome, Settled};
use super::rules::Rules;
use crate::identity::timestamp;

/// What the body of a batch is.
pub(crate) const CONTENT_TYPE: &str = "application/vnd.microsoft.iothub.feedback.json";
/// So many records go out at once…
const BATCH_RECORDS: usize = 64;
/// …or fewer, so long after the first.
const BATCH_WAITS_MS: i64 = 15_000;
/// Batches that nobody fetched; beyond it the oldest goes. 262 144 records of 300 bytes are 80 MB.
const BATCHES_MAX: usize = 4096;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    Success,
    Expired,
    DeliveryCountExceeded,
    Rejected,
    Purged,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::Expired => "Expired",
            Self::DeliveryCountExceeded => "DeliveryCountExceeded",
            Self::Rejected => "Rejected",
            Self::Purged => "Purged",
        }
    }
}

/// What became of one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) original_message_id: Option<String>,
    /// When it happened.
    pub(crate) at_ms: i64,
    pub(crate) status: Status,
    pub(crate) device_id: String,
    pub(crate) generation_id: String,
}

impl Record {
    fn written(&self) -> Value {
        json!({
            "originalMessageId": self.original_message_id,
            "enqueuedTimeUtc": timestamp(self.at_ms).to_string(),
            "statusCode": self.status.word(),
            "description": self.status.word(),
            "deviceId": self.device_id,
            "deviceGenerationId": self.generation_id,
        })
    }
}

/// A record and its number, by which the journal knows it.
pub(crate) type Numbered = (u64, Record);

/// A batch as it is handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) lock: Lock,
    pub(crate) sequence: u64,
    pub(crate) enqueued_ms: i64,
    pub(crate) expiry_ms: i64,
    pub(crate) delivery_count: u8,
    records: Arc<Vec<Numbered>>,
}

impl Batch {
    /// A JSON array.
    pub(crate) fn body(&self) -> Vec<u8> {
        let all: Vec<Value> = self.records.iter().map(|(_, record)| record.written()).collect();
        Value::Array(all).to_string().into_bytes()
    }
}

/// The feedback of a hub.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    rules: Rules,
    waiting: Vec<Numbered>,
    /// When the first of those that wait came.
    since_ms: i64,
    batches: Line<Vec<Numbered>>,
    /// The last number that was given to a batch.
    sequence: u64,
    /// There is a batch to be fetched that was not there before.
    has_news: bool,
}

impl Outbox {
    pub(crate) fn new(rules: Rules) -> Self {
        Self { rules, batches: Line::new(rules), ..Self::default() }
    }

    /// Takes a record, which has waited since it happened. Gives the numbers of those that nobody fetched and that had to
    /// go for it.
    pub(crate) fn push(&mut self, number: u64, record: Record, now_ms: i64) -> Vec<u64> {
        if self.waiting.is_empty() {
            // A clock that went back since must not hold it up.
            self.since_ms = record.at_ms.min(now_ms);
        }
        self.waiting.push((number, record));
        if self.waiting.len() >= BATCH_RECORDS { self.send(now_ms) } else { Vec::new() }
    }

    fn send(&mut self, now_ms: i64) -> Vec<u64> {
        let records = std::mem::take(&mut self.waiting);
        self.sequence += 1;
        self.has_news = true;
        let times_ms = (now_ms, now_ms.saturating_add(self.rules.ttl_ms));
        self.batches.push(Entry::new(self.sequence, times_ms, 0, Arc::new(records)));
        let oldest = self.batches.entries().next().filter(|_| self.batches.len() > BATCHES_MAX);
        let gone = oldest.map(|entry| entry.sequence).and_then(|sequence| self.batches.remove(sequence));
        gone.map(|entry| numbers(&entry.content)).unwrap_or_default()
    }

    /// Sends what has waited long enough, and ends what is over. Gives the numbers of the records that are gone.
    pub(crate) fn expire(&mut self, now_ms: i64) -> Vec<u64> {
        let is_due = !self.waiting.is_empty() && now_ms >= self.since_ms.saturating_add(BATCH_WAITS_MS);
        let mut gone = if is_due { self.send(now_ms) } else { Vec::new() };
        let (expired, is_freed) = self.batches.expire(now_ms);
        self.has_news |= is_freed;
        gone.extend(expired.iter().flat_map(|ended| numbers(&ended.content)));
        gone
    }

    pub(crate) fn lock_next(&mut self, now_ms: i64, lock: Lock) -> Option<Batch> {
        let entry = self.batches.lock_next(now_ms, lock)?;
        Some(Batch {
            lock,
            sequence: entry.sequence,
            enqueued_ms: entry.enqueued_ms,
            expiry_ms: entry.expiry_ms,
            delivery_count: entry.abandoned,
            records: Arc::clone(&entry.content),
        })
    }

    /// Answers a batch; none when the lock is lost. Gives the numbers of the records that are gone.
    pub(crate) fn settle(&mut self, lock: Lock, outcome: Outcome, now_ms: i64) -> Option<Vec<u64>> {
        Some(match self.batches.settle(lock, outcome, now_ms)? {
            Settled::Back { .. } => {
                self.has_news = true;
                Vec::new()
            }
            Settled::Ended(ended) => numbers(&ended.content),
        })
    }

    /// Who held it is gone.
    pub(crate) fn unlock(&mut self, lock: Lock) -> bool {
        let is_free = self.batches.unlock(lock);
        self.has_news |= is_free;
        is_free
    }

    /// Whether there is a batch to be fetched that was not there when this was asked last.
    pub(crate) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.has_news)
    }

    /// All there are, in the order in which they came.
    pub(crate) fn records(&self) -> impl Iterator<Item = &Numbered> {
        self.batches.entries().flat_map(|entry| entry.content.iter()).chain(&self.waiting)
    }
}

fn numbers(records: &[Numbered]) -> Vec<u64> {
    records.iter().map(|(number, _)| *number).collect()
}

#[cfg(test)]
mod tests;
