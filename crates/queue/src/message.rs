//! The values that pass through the queue.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z, as the caller's clock says.
pub type UnixMillis = i64;

/// Position of a message: rises with every put, never reused, kept for life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Seq(pub u64);

/// What a caller wants kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Put {
    /// Messages of one lane are handed out one at a time, in the order of their [`Seq`].
    pub lane: String,
    /// A short word for counting and listing, such as `uplink_message`.
    pub kind: String,
    /// What the caller wants to know again without reading the body.
    #[serde(with = "serde_bytes")]
    pub head: Vec<u8>,
    /// The message itself.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
    /// When it arrived, by the caller's clock.
    pub accepted_at: UnixMillis,
    /// Where it goes.
    pub place: Place,
}

impl Put {
    /// The message that it becomes at this position, before anything was tried.
    pub fn into_message(self, seq: Seq) -> Message {
        Message {
            seq,
            lane: self.lane,
            kind: self.kind,
            head: self.head,
            body: self.body,
            accepted_at: self.accepted_at,
            attempts: 0,
            first_attempt_at: None,
            last_attempt_at: None,
            last_cause: None,
            frozen: None,
            replays: 0,
        }
    }
}

/// Where a put goes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Place {
    /// To its lane, to be leased.
    Lane,
    /// Straight to the dead letters: it can never be used as it is.
    DeadLetters(Reason),
    /// To the dead letters as well, with what befell it elsewhere: a letter that comes back from a file.
    Import(Box<Burial>),
}

/// What befell a message before it came to the dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Burial {
    /// Why.
    pub reason: Reason,
    /// When.
    pub buried_at: UnixMillis,
    /// See [`Message::attempts`].
    pub attempts: u32,
    /// See [`Message::first_attempt_at`].
    pub first_attempt_at: Option<UnixMillis>,
    /// See [`Message::last_attempt_at`].
    pub last_attempt_at: Option<UnixMillis>,
    /// See [`Message::last_cause`].
    pub last_cause: Option<String>,
    /// See [`Message::replays`].
    pub replays: u32,
}

impl Burial {
    /// Nothing was tried.
    pub fn at_once(reason: Reason, buried_at: UnixMillis) -> Self {
        Self {
            reason,
            buried_at,
            attempts: 0,
            first_attempt_at: None,
            last_attempt_at: None,
            last_cause: None,
            replays: 0,
        }
    }
}

/// Why a message was buried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// A fixed word, such as `not_understood`.
    pub code: String,
    /// One sentence for a person, without secrets.
    pub detail: String,
}

/// The put is on stable storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its position.
    pub seq: Seq,
    /// It went to the dead letters, because as many of its lane or group wait as may
    /// ([`Options::waiting_per_lane_max`](crate::Options)).
    pub is_over_share: bool,
}

/// A message as it is leased.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Message {
    /// Its position.
    pub seq: Seq,
    /// See [`Put::lane`].
    pub lane: String,
    /// See [`Put::kind`].
    pub kind: String,
    /// See [`Put::head`].
    #[serde(with = "serde_bytes")]
    pub head: Vec<u8>,
    /// See [`Put::body`].
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
    /// See [`Put::accepted_at`].
    pub accepted_at: UnixMillis,
    /// How many attempts were counted by [`Lease::retry`](crate::Lease::retry) so far.
    pub attempts: u32,
    /// When the first counted attempt ended.
    pub first_attempt_at: Option<UnixMillis>,
    /// When the last counted attempt ended.
    pub last_attempt_at: Option<UnixMillis>,
    /// The cause given with the last counted attempt.
    pub last_cause: Option<String>,
    /// What [`Retry::freeze`] stored.
    #[serde(with = "serde_bytes")]
    pub frozen: Option<Vec<u8>>,
    /// How often it came back from the dead letters; what was tried and frozen before that is forgotten.
    pub replays: u32,
}

impl Message {
    /// What a dead letter is when it is back in its lane: as if nothing had been tried.
    pub(crate) fn risen(self) -> Self {
        Self {
            attempts: 0,
            first_attempt_at: None,
            last_attempt_at: None,
            last_cause: None,
            frozen: None,
            replays: self.replays.saturating_add(1),
            ..self
        }
    }
}

/// Done. Committed together with what it says.
#[derive(Clone, Debug, Default)]
pub struct Settle {
    /// Remember this message as seen.
    pub seen: Option<Seen>,
    /// Written in the same transaction.
    pub notes: Vec<Note>,
}

/// A message key to be recognised again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// A digest of what makes the message the same.
    #[serde(with = "serde_bytes")]
    pub key: [u8; 16],
    /// When it was settled.
    pub at: UnixMillis,
}

/// What a lane is doing, from memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneState {
    /// When its oldest message was accepted; `None` in the moment after one has left.
    pub accepted_at: Option<UnixMillis>,
    /// A counted attempt failed, and the next one comes then.
    pub retry_at: Option<UnixMillis>,
}

/// Not now: counted, durable.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Retry {
    /// Not before this has passed, from when the queue hears of it: a time would be another one when somebody sets the clock
    /// on the way. At most an hour after a restart, and never longer than this because a clock was ahead when it began.
    pub wait: Duration,
    /// Why, for a person; kept as [`Message::last_cause`].
    pub cause: String,
    /// Kept with the message from now on, replacing nothing that is there already.
    #[serde(with = "serde_bytes")]
    pub freeze: Option<Vec<u8>>,
}

/// When `wait` is over, in whole milliseconds: not before, for whoever comes before its time has to be sent away again, and at
/// once.
pub(crate) fn after(now: UnixMillis, wait: Duration) -> UnixMillis {
    now.saturating_add(UnixMillis::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(UnixMillis::MAX))
}

/// A durable key and value beside the messages (assignments, claims, refusals).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Which collection.
    pub space: String,
    /// Which entry.
    pub key: String,
    /// `None` removes it.
    #[serde(with = "serde_bytes")]
    pub value: Option<Vec<u8>>,
}

/// A buried message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The message as it was.
    pub message: Message,
    /// Why.
    pub reason: Reason,
    /// When.
    pub buried_at: UnixMillis,
    /// The message is what was accepted. Where it is not, its checksum did not match: it has no head and no body, and cannot come
    /// back.
    pub is_whole: bool,
}

/// What became of a letter that was asked for by its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// Done, and committed.
    Done,
    /// There is none, or not any more.
    Missing,
    /// It is not what was accepted any more; it stays where it is.
    Damaged,
}

/// What the queue holds, as of the last commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Messages in lanes, leased ones included.
    pub waiting: u64,
    /// Bytes of their heads and bodies.
    pub waiting_bytes: u64,
    /// Leased right now.
    pub leased: u64,
    /// Lanes with at least one message.
    pub lanes: u64,
    /// `accepted_at` of the oldest message in a lane.
    pub oldest_accepted_at: Option<UnixMillis>,
    /// Dead letters kept.
    pub dead_letters: u64,
    /// Their bytes: heads, bodies, and 512 for each.
    pub dead_letters_bytes: u64,
    /// Dead letters that went since the store was made, because they were too many, too large, too old, or in the way of
    /// what is accepted.
    pub dead_letters_gone: u64,
    /// Messages set aside by [`Lease::keep`](crate::Lease::keep) that are still there.
    pub kept: u64,
    /// Their bytes: heads, bodies, and 512 for each.
    pub kept_bytes: u64,
    /// As [`Stats::dead_letters_gone`], of those that were set aside.
    pub kept_gone: u64,
    /// A put can be made durable as far as is known.
    pub writable: bool,
    /// Why not, or what else is wrong with the store, for a person.
    pub trouble: Option<String>,
    /// The store has been read; leasing has begun.
    pub loaded: bool,
    /// Leases dropped without being settled, since the start. A bug, outside of a shutdown.
    pub dropped_leases: u64,
}

/// The message was not (or not known to be) made durable.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PutError {
    /// No room on the disk, or the bound of the queue is reached.
    #[error("the queue is full: {0}")]
    Full(String),
    /// Too many puts are waiting for the disk.
    #[error("too many messages wait for the disk")]
    Busy,
    /// The disk refused; the message may still be there after a restart and is delivered then.
    #[error("the disk refused: {0}")]
    Failed(String),
    /// The queue is closed.
    #[error("the queue is closed")]
    Closed,
}

/// The outcome of a lease could not be made durable. The message comes again.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum LeaseError {
    /// The disk refused.
    #[error("the disk refused: {0}")]
    Failed(String),
    /// Another process has it.
    #[error("another worker has this device")]
    Elsewhere,
    /// The queue is closed.
    #[error("the queue is closed")]
    Closed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_over_at_the_first_whole_millisecond_that_is_not_before_its_end() {
        let cases = [(0, 0), (1, 1), (999_999, 1), (1_000_000, 1), (1_000_001, 2)];
        for (nanos, millis) in cases {
            assert_eq!(after(7, Duration::from_nanos(nanos)), 7 + millis, "{nanos} ns");
        }
        assert_eq!(after(7, Duration::MAX), UnixMillis::MAX);
    }
}
