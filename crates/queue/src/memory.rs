//! The reference store, and a disk whose faults can be ordered.
//!
//! Promises what `store.rs` asks for, in the plainest way, so that the engine that keeps real messages can be
//! compared with it. A [`Disk`] outlives the queue that uses it: drop the queue, open another on the same disk, and
//! what was committed is there. A commit can take time ([`Disk::set_latency`]), and a crash in the middle of it leaves of it
//! what was ordered ([`Disk::crash`]). Not for production: nothing survives the process.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

mod image; // what is on it
mod journal; // the last commit, as it is written down
mod opened; // what the queue sees of it

use image::{Image, Row};
use journal::Journal;
pub(crate) use opened::Memory;

use crate::store::{Bounds, Op};
use crate::{Seq, UnixMillis};

/// What the next commit meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No room: refused, nothing changed.
    Full,
    /// The disk fails before anything is on it: refused, gone after the store is reopened.
    Failed,
    /// The disk fails when everything is on it: refused, there after the store is reopened.
    FailedButThere,
}

/// What a crash leaves of the commit that is under way, of which nobody was told yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Nothing.
    Absent,
    /// All of it.
    Whole,
    /// The first rows of it, and no end mark. One change is several rows.
    Torn {
        /// At most as many as [`Disk::under_way`] says.
        rows: usize,
    },
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct Disk(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    flowing: watch::Sender<bool>,
}

#[derive(Clone, Debug, Default)]
struct State {
    /// In its place.
    durable: Image,
    /// Written down and not in its place: after a failure, or a crash.
    journal: Journal,
    /// What the disk does at the moment.
    under_way: Option<Journal>,
    /// What was there before the disk began to lie.
    truth: Option<Box<Image>>,
    faults: VecDeque<Fault>,
    /// Commits so far; tests count group commits by it.
    commits: u64,
    full: bool,
    unreachable: bool,
    damaged: Vec<Seq>,
    latency: Option<Latency>,
    /// The next opening does not look at end marks.
    careless: bool,
}

#[derive(Clone)]
struct Latency(Arc<dyn Fn() -> Duration + Send + Sync>);

impl fmt::Debug for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[latency]")
    }
}

impl State {
    /// As far as can be known before: a commit that is refused leaves nothing behind.
    fn refuses(&self, ops: &[Op]) -> bool {
        let fault = matches!(self.faults.front(), Some(Fault::Full | Fault::Failed));
        self.unreachable || fault || (self.full && ops.iter().any(Op::is_put))
    }

    /// What the journal holds comes into its place, if it was written to its end.
    fn recover(&mut self, bounds: Bounds) {
        let journal = std::mem::take(&mut self.journal);
        if std::mem::take(&mut self.careless) {
            journal.rows_without_a_look().into_iter().for_each(|row| self.durable.write(row));
        } else if let Some((rows, at)) = journal.finished() {
            self.put_in_place(rows, at, bounds);
        }
    }

    fn put_in_place(&mut self, rows: Vec<Row>, at: UnixMillis, bounds: Bounds) {
        rows.into_iter().for_each(|row| self.durable.write(row));
        self.durable.trim(bounds, at);
    }
}

impl Default for Disk {
    fn default() -> Self {
        Self::of(State::default(), true)
    }
}

impl Disk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    fn of(state: State, flowing: bool) -> Self {
        Self(Arc::new(Shared { state: Mutex::new(state), flowing: watch::Sender::new(flowing) }))
    }

    /// The disk as the next process finds it when the one before is killed now, or was killed just before. Whatever still holds this disk changes
    /// nothing there. What was ordered stays ordered; a disk that lied has forgotten what it was given, and lies no more.
    #[must_use = "this disk is not changed"]
    pub fn crash(&self, tail: Tail) -> Self {
        let mut state = self.state().clone();
        if let Some(truth) = state.truth.take() {
            state.durable = *truth;
        }
        if let Some(journal) = state.under_way.take() {
            state.journal = match tail {
                Tail::Absent => Journal::default(),
                Tail::Whole => journal,
                Tail::Torn { rows } => journal.torn(rows),
            };
        }
        let flowing = *self.0.flowing.borrow();
        Self::of(state, flowing)
    }

    /// The rows of the commit that is under way.
    pub fn under_way(&self) -> Option<usize> {
        self.state().under_way.as_ref().map(Journal::rows)
    }

    /// How long each commit takes, asked for each.
    pub fn set_latency(&self, latency: impl Fn() -> Duration + Send + Sync + 'static) {
        self.state().latency = Some(Latency(Arc::new(latency)));
    }

    /// A defect on purpose, for a judge to find: from now on commits are said to be done, and are gone after a crash. The
    /// queue relies on a disk that does not.
    pub fn lie(&self) {
        let mut state = self.state();
        state.truth = Some(Box::new(state.durable.clone()));
    }

    /// A defect on purpose, for a judge to find: the next opening takes what is left of a torn commit for all of it.
    pub fn forget_the_end_mark(&self) {
        self.state().careless = true;
    }

    /// The next commit that is not failing yet meets `fault`; several are met one after another.
    pub fn fail_next_commit(&self, fault: Fault) {
        self.state().faults.push_back(fault);
    }

    /// While full, every commit that holds a put is refused with `Full`; all others go through, as on a real disk
    /// with its reserve and nothing set aside that could make room.
    pub fn set_full(&self, full: bool) {
        self.state().full = full;
    }

    /// While unreachable, every commit and every reopening fails.
    pub fn set_unreachable(&self, unreachable: bool) {
        self.state().unreachable = unreachable;
    }

    /// From now on commits wait until [`Disk::resume`].
    pub fn stall(&self) {
        self.0.flowing.send_replace(false);
    }

    /// Ends a stall.
    pub fn resume(&self) {
        self.0.flowing.send_replace(true);
    }

    /// The stored bytes of this message are no longer what was written.
    pub fn damage(&self, seq: Seq) {
        self.state().damaged.push(seq);
    }

    /// How many ordered faults are still to come.
    pub fn faults(&self) -> usize {
        self.state().faults.len()
    }

    /// Takes back the faults that are still to come.
    pub fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// How many commits there were.
    pub fn commits(&self) -> u64 {
        self.state().commits
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked elsewhere must not hide what this one found.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
