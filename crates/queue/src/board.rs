//! What the writer and the handles share without a message: the last picture, and the lanes to be woken.
//!
//! Promises: reading never waits for the disk; every lock here is held for a few instructions.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::Stats;

/// A commit that takes longer is a disk in trouble: the network waits 5 s for its answer, the door gives 4 s.
const SLOW_COMMIT: Duration = Duration::from_secs(4);

#[derive(Debug, Default)]
pub(crate) struct Board {
    stats: Mutex<Stats>,
    committing_since: Mutex<Option<Instant>>,
    is_closed: AtomicBool,
    /// Bounded by the number of lanes: a lane stands here once, however often it is woken.
    to_wake: Mutex<BTreeSet<String>>,
}

impl Board {
    pub(crate) fn publish(&self, stats: Stats) {
        *lock(&self.stats) = stats;
    }

    pub(crate) fn commit_begins(&self) {
        *lock(&self.committing_since) = Some(Instant::now());
    }

    pub(crate) fn commit_ends(&self) {
        *lock(&self.committing_since) = None;
    }

    pub(crate) fn closed(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        let mut stats = lock(&self.stats);
        stats.writable = false;
        stats.leased = 0;
        stats.trouble = Some("the queue is closed".into());
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = lock(&self.stats).clone();
        let stalled =
            lock(&self.committing_since).map(|since| since.elapsed()).filter(|elapsed| *elapsed > SLOW_COMMIT);
        if let Some(elapsed) = stalled {
            stats.writable = false;
            stats.trouble = Some(format!("the disk has not finished a commit for {} s", elapsed.as_secs()));
        }
        stats
    }

    /// What is behind it has not ended, and does not stand still.
    pub(crate) fn is_open(&self) -> bool {
        let is_closed = self.is_closed.load(Ordering::Relaxed);
        let since = *lock(&self.committing_since);
        !is_closed && since.is_none_or(|since| since.elapsed() <= SLOW_COMMIT)
    }

    /// True when the writer must be told, because nothing was there before.
    pub(crate) fn ask_to_wake(&self, lane: &str) -> bool {
        let mut to_wake = lock(&self.to_wake);
        let first = to_wake.is_empty();
        to_wake.insert(lane.to_owned());
        first
    }

    pub(crate) fn take_to_wake(&self) -> BTreeSet<String> {
        std::mem::take(&mut *lock(&self.to_wake))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing here can be left half changed by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
