//! A line of messages of which each is locked, handed out, and answered: the one both C2D and feedback stand in.
//!
//! Promises: what is handed out is the first in the line that nobody holds; what comes back has its old place; each
//! message leaves the line once, and the caller is told how. A lock that ran out or was given up costs nothing, an
//! explicit abandon counts (as Microsoft's documentation has it). A message that somebody holds does not expire before
//! its lock does. Time is handed in and may go back: then things last longer.
//!
//! Does not bound itself: who pushes looks at `len` first.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::rules::Rules;

/// What a message is locked with: random, in the order in which text has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Lock(pub(crate) [u8; 16]);

impl Lock {
    /// As .NET writes a guid, and the hub a delivery tag: the first three groups the other way round.
    pub(crate) fn net_bytes(self) -> [u8; 16] {
        let [a, b, c, d, e, f, g, h, rest @ ..] = self.0;
        let [i, j, k, l, m, n, o, p] = rest;
        [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p]
    }

    /// Reads the text of a guid, with or without quotes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let hex: String = text.trim_matches('"').chars().filter(|c| *c != '-').collect();
        let is_one = hex.len() == 32 && hex.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_one.then(|| u128::from_str_radix(&hex, 16).ok()).flatten().map(|number| Self(number.to_be_bytes()))
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

/// What who holds a message says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Complete,
    /// It is to come again.
    Abandon,
    /// It is not to come again.
    Reject,
}

/// How a message left the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum End {
    Completed,
    Rejected,
    /// Abandoned too often.
    Exceeded,
    Expired,
    Purged,
}

impl End {
    /// Counted under this name.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Rejected => "rejected",
            Self::Exceeded => "exceeded",
            Self::Expired => "expired",
            Self::Purged => "purged",
        }
    }
}

/// A message that left the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended<T> {
    pub(crate) sequence: u64,
    pub(crate) end: End,
    pub(crate) content: Arc<T>,
}

/// What came of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Settled<T> {
    Ended(Ended<T>),
    /// It is in its old place, abandoned so often.
    Back {
        sequence: u64,
        abandoned: u8,
    },
}

/// A message in the line.
#[derive(Clone, Debug)]
pub(crate) struct Entry<T> {
    pub(crate) sequence: u64,
    pub(crate) enqueued_ms: i64,
    pub(crate) expiry_ms: i64,
    pub(crate) abandoned: u8,
    pub(crate) content: Arc<T>,
    held: Option<Hold>,
}

#[derive(Clone, Copy, Debug)]
struct Hold {
    lock: Lock,
    until_ms: i64,
}

impl<T> Entry<T> {
    /// With the times at which it came and at which it expires.
    pub(crate) fn new(sequence: u64, times_ms: (i64, i64), abandoned: u8, content: Arc<T>) -> Self {
        let (enqueued_ms, expiry_ms) = times_ms;
        Self { sequence, enqueued_ms, expiry_ms, abandoned, content, held: None }
    }

    fn is_held(&self, now_ms: i64) -> bool {
        self.held.is_some_and(|hold| now_ms < hold.until_ms)
    }

    fn is_ready(&self, now_ms: i64) -> bool {
        !self.is_held(now_ms) && now_ms < self.expiry_ms
    }

    /// When something happens to it by itself.
    fn due_ms(&self) -> i64 {
        self.held.map_or(self.expiry_ms, |hold| hold.until_ms)
    }

    fn ended(self, end: End) -> Ended<T> {
        Ended { sequence: self.sequence, end, content: self.content }
    }
}

/// The line.
#[derive(Clone, Debug)]
pub(crate) struct Line<T> {
    rules: Rules,
    entries: VecDeque<Entry<T>>,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self::new(Rules::default())
    }
}

impl<T> Line<T> {
    pub(crate) fn new(rules: Rules) -> Self {
        Self { rules, entries: VecDeque::new() }
    }

    /// At the end.
    pub(crate) fn push(&mut self, entry: Entry<T>) {
        self.entries.push_back(entry);
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry<T>> {
        self.entries.iter()
    }

    pub(crate) fn entry_mut(&mut self, sequence: u64) -> Option<&mut Entry<T>> {
        self.entries.iter_mut().find(|entry| entry.sequence == sequence)
    }

    /// Takes a message out, whoever holds it.
    pub(crate) fn remove(&mut self, sequence: u64) -> Option<Entry<T>> {
        let at = self.entries.iter().position(|entry| entry.sequence == sequence)?;
        self.entries.remove(at)
    }

    /// Locks the first message that nobody holds.
    pub(crate) fn lock_next(&mut self, now_ms: i64, lock: Lock) -> Option<&Entry<T>> {
        let entry = self.entries.iter_mut().find(|entry| entry.is_ready(now_ms))?;
        entry.held = Some(Hold { lock, until_ms: now_ms.saturating_add(self.rules.lock_ms) });
        Some(entry)
    }

    /// Answers a message. None when the lock is not good any more.
    pub(crate) fn settle(&mut self, lock: Lock, outcome: Outcome, now_ms: i64) -> Option<Settled<T>> {
        let at = self.held_by(lock)?;
        let entry = self.entries.get_mut(at).filter(|entry| entry.is_held(now_ms))?;
        let end = match outcome {
            Outcome::Complete => End::Completed,
            Outcome::Reject => End::Rejected,
            Outcome::Abandon => {
                entry.held = None;
                entry.abandoned = entry.abandoned.saturating_add(1);
                if entry.abandoned < self.rules.deliveries_max {
                    return Some(Settled::Back { sequence: entry.sequence, abandoned: entry.abandoned });
                }
                End::Exceeded
            }
        };
        self.entries.remove(at).map(|entry| Settled::Ended(entry.ended(end)))
    }

    /// Who held it is gone: it is free at once. False when the lock was not good any more.
    pub(crate) fn unlock(&mut self, lock: Lock) -> bool {
        let entry = self.held_by(lock).and_then(|at| self.entries.get_mut(at));
        entry.and_then(|entry| entry.held.take()).is_some()
    }

    fn held_by(&self, lock: Lock) -> Option<usize> {
        self.entries.iter().position(|entry| entry.held.is_some_and(|hold| hold.lock == lock))
    }

    /// Ends locks and messages whose time is over. Says too whether a lock was among them.
    pub(crate) fn expire(&mut self, now_ms: i64) -> (Vec<Ended<T>>, bool) {
        let mut is_freed = false;
        for entry in self.entries.iter_mut().filter(|entry| entry.held.is_some() && !entry.is_held(now_ms)) {
            entry.held = None;
            is_freed = true;
        }
        (self.take_all(End::Expired, |entry| entry.held.is_none() && entry.expiry_ms <= now_ms), is_freed)
    }

    /// Everything goes, also what somebody holds.
    pub(crate) fn purge(&mut self) -> Vec<Ended<T>> {
        self.take_all(End::Purged, |_| true)
    }

    fn take_all(&mut self, end: End, which: impl Fn(&Entry<T>) -> bool) -> Vec<Ended<T>> {
        if !self.entries.iter().any(&which) {
            return Vec::new();
        }
        let (gone, left): (VecDeque<_>, _) = std::mem::take(&mut self.entries).into_iter().partition(which);
        self.entries = left;
        gone.into_iter().map(|entry| entry.ended(end)).collect()
    }

    /// When something happens by itself.
    pub(crate) fn next_due_ms(&self) -> Option<i64> {
        self.entries.iter().map(Entry::due_ms).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_written_as_text_and_as_dotnet_bytes() {
        let lock = Lock::parse("\"00112233-4455-6677-8899-aabbccddeeff\"").unwrap();
        assert_eq!(lock.to_string(), "00112233-4455-6677-8899-aabbccddeeff");
        let bytes: String = lock.net_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(bytes, "33221100554477668899aabbccddeeff");
        for text in ["", "x", "00112233-4455-6677-8899-aabbccddeef", "+0112233445566778899aabbccddeeff"] {
            assert_eq!(Lock::parse(text), None, "{text}");
        }
    }
}
