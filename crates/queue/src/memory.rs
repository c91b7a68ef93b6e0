//! The reference store, and a disk whose faults can be ordered.
//!
//! Promises what `store.rs` asks for, in the plainest way, so that the engine that keeps real messages can be
//! compared with it. A [`Disk`] outlives the queue that uses it: drop the queue, open another on the same disk, and
//! what was committed is there. Not for production: nothing survives the process.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::lanes::Head;
use crate::store::{
    Bounds, CommitError, Found, GONE_AT_ONCE, NextSeq, Op, Shelf, Store, Totals, Trouble, bytes_set_aside, remember,
};
use crate::{DeadLetter, Message, Note, Put, Retry, Seen, Seq, UnixMillis};

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

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct Disk(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    flowing: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    durable: Image,
    faults: VecDeque<Fault>,
    /// Commits so far; tests count group commits by it.
    commits: u64,
    full: bool,
    unreachable: bool,
    damaged: Vec<Seq>,
}

impl Default for Disk {
    fn default() -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), flowing: watch::Sender::new(true) }))
    }
}

impl Disk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
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

#[derive(Clone, Debug, Default)]
struct Image {
    next_seq: u64,
    waiting: BTreeMap<(String, Seq), (UnixMillis, Message)>,
    waiting_bytes: u64,
    /// With the time at which they were set aside.
    kept: BTreeMap<Seq, (UnixMillis, Message)>,
    kept_shelf: Shelf,
    dead: BTreeMap<Seq, DeadLetter>,
    dead_shelf: Shelf,
    seen: BTreeMap<String, Vec<Seen>>,
    notes: BTreeMap<(String, String), Vec<u8>>,
}

impl Image {
    fn apply(&mut self, op: &Op) {
        match op {
            Op::Put { seq, put } => self.put(*seq, put),
            Op::Done { lane, seq, settle } => {
                self.take(lane, *seq);
                self.settle(lane, settle);
            }
            Op::Keep { lane, seq, at } => self.keep(lane, *seq, *at),
            Op::Bury { lane, seq, reason, settle, at } => {
                if let Some(message) = self.take(lane, *seq) {
                    self.bury(DeadLetter { message, reason: reason.clone(), buried_at: *at });
                }
                self.settle(lane, settle);
            }
            Op::Retry { lane, seq, retry, ended_at } => self.retry(lane, *seq, retry, *ended_at),
            Op::Notes(notes) => self.write_notes(notes),
        }
    }

    fn put(&mut self, seq: Seq, put: &Put) {
        self.next_seq = self.next_seq.max(seq.0 + 1);
        let message = message(seq, put);
        match Op::buried_at_once(put) {
            None => {
                self.waiting_bytes += size(&message);
                self.waiting.insert((put.lane.clone(), seq), (0, message));
            }
            Some(reason) => {
                self.bury(DeadLetter { message, reason: reason.clone(), buried_at: put.accepted_at });
            }
        }
    }

    fn bury(&mut self, letter: DeadLetter) {
        self.dead_shelf.add(bytes_set_aside(size(&letter.message)));
        self.dead.insert(letter.message.seq, letter);
    }

    fn keep(&mut self, lane: &str, seq: Seq, at: UnixMillis) {
        if let Some(message) = self.take(lane, seq) {
            self.kept_shelf.add(bytes_set_aside(size(&message)));
            self.kept.insert(seq, (at, message));
        }
    }

    fn retry(&mut self, lane: &str, seq: Seq, retry: &Retry, ended_at: UnixMillis) {
        if let Some((not_before, message)) = self.waiting.get_mut(&(lane.to_owned(), seq)) {
            *not_before = retry.at;
            message.attempts = message.attempts.saturating_add(1);
            message.first_attempt_at = message.first_attempt_at.or(Some(ended_at));
            message.last_cause = Some(retry.cause.clone());
            message.frozen = message.frozen.take().or_else(|| retry.freeze.clone());
        }
    }

    fn take(&mut self, lane: &str, seq: Seq) -> Option<Message> {
        let (_, message) = self.waiting.remove(&(lane.to_owned(), seq))?;
        self.waiting_bytes -= size(&message);
        Some(message)
    }

    fn settle(&mut self, lane: &str, settle: &crate::Settle) {
        if let Some(seen) = settle.seen {
            remember(self.seen.entry(lane.to_owned()).or_default(), seen);
        }
        self.write_notes(&settle.notes);
    }

    fn write_notes(&mut self, notes: &[Note]) {
        for Note { space, key, value } in notes {
            match value {
                Some(value) => drop(self.notes.insert((space.clone(), key.clone()), value.clone())),
                None => drop(self.notes.remove(&(space.clone(), key.clone()))),
            }
        }
    }

    fn trim(&mut self, bounds: Bounds, now: UnixMillis) {
        for _ in 0..GONE_AT_ONCE {
            let Some(oldest) = self.dead.first_entry() else { break };
            if !bounds.dead_letters.pushes_out(self.dead_shelf, oldest.get().buried_at, now) {
                break;
            }
            self.dead_shelf.lose(bytes_set_aside(size(&oldest.remove().message)));
        }
        for _ in 0..GONE_AT_ONCE {
            let Some(oldest) = self.kept.first_entry() else { break };
            if !bounds.kept.pushes_out(self.kept_shelf, oldest.get().0, now) {
                break;
            }
            self.kept_shelf.lose(bytes_set_aside(size(&oldest.remove().1)));
        }
    }

    fn totals(&self) -> Totals {
        Totals {
            waiting: self.waiting.len() as u64,
            waiting_bytes: self.waiting_bytes,
            dead_letters: self.dead_shelf,
            kept: self.kept_shelf,
        }
    }
}

fn size(message: &Message) -> u64 {
    (message.head.len() + message.body.len()) as u64
}

/// A message as it is on the first day.
fn message(seq: Seq, put: &Put) -> Message {
    Message {
        seq,
        lane: put.lane.clone(),
        kind: put.kind.clone(),
        head: put.head.clone(),
        body: put.body.clone(),
        accepted_at: put.accepted_at,
        attempts: 0,
        first_attempt_at: None,
        last_cause: None,
        frozen: None,
    }
}

/// One opening of a [`Disk`].
#[derive(Debug)]
pub(crate) struct Memory {
    disk: Disk,
    bounds: Bounds,
}

impl Memory {
    pub(crate) fn open(disk: Disk, bounds: Bounds) -> Self {
        Self { disk, bounds }
    }
}

fn head(seq: Seq, not_before: UnixMillis, message: &Message) -> Head {
    Head { seq, accepted_at: message.accepted_at, not_before }
}

impl Store for Memory {
    fn next_seq(&self) -> NextSeq {
        NextSeq(self.disk.state().durable.next_seq.max(1))
    }

    fn totals(&self) -> Totals {
        self.disk.state().durable.totals()
    }

    fn lanes_after(&mut self, after: Option<&str>, limit: usize) -> Result<Vec<(String, Head)>, Trouble> {
        let state = self.disk.state();
        let mut lanes: Vec<(String, Head)> = Vec::new();
        for ((lane, seq), (not_before, message)) in &state.durable.waiting {
            let is_new = lanes.last().is_none_or(|(last, _)| last != lane);
            if after.is_none_or(|after| lane.as_str() > after) && is_new {
                if lanes.len() == limit {
                    break;
                }
                lanes.push((lane.clone(), head(*seq, *not_before, message)));
            }
        }
        Ok(lanes)
    }

    fn head_of(&mut self, lane: &str) -> Result<Option<Head>, Trouble> {
        let state = self.disk.state();
        let mut lane_rows = state.durable.waiting.range((lane.to_owned(), Seq(0))..);
        Ok(lane_rows
            .next()
            .filter(|((name, _), _)| name == lane)
            .map(|((_, seq), (not_before, message))| head(*seq, *not_before, message)))
    }

    fn read(&mut self, lane: &str, seq: Seq) -> Result<Found, Trouble> {
        let state = self.disk.state();
        if state.damaged.contains(&seq) {
            return Ok(Found::Damaged);
        }
        let row = state.durable.waiting.get(&(lane.to_owned(), seq));
        Ok(row.map_or(Found::Missing, |(_, message)| Found::Message(Box::new(message.clone()))))
    }

    fn commit(&mut self, ops: &[Op], now: UnixMillis) -> Result<(), CommitError> {
        let mut state = self.disk.state();
        state.commits += 1;
        if state.unreachable {
            return Err(CommitError::Failed("ordered: unreachable".into()));
        }
        if state.full && ops.iter().any(Op::is_put) {
            return Err(CommitError::Full("ordered: full".into()));
        }
        let fault = state.faults.pop_front();
        if matches!(fault, None | Some(Fault::FailedButThere)) {
            ops.iter().for_each(|op| state.durable.apply(op));
            state.durable.trim(self.bounds, now);
        }
        match fault {
            None => Ok(()),
            Some(Fault::Full) => Err(CommitError::Full("ordered: full".into())),
            Some(Fault::Failed | Fault::FailedButThere) => Err(CommitError::Failed("ordered: failed".into())),
        }
    }

    fn notes(&mut self, space: &str) -> Result<Vec<(String, Vec<u8>)>, Trouble> {
        let state = self.disk.state();
        let in_space = state.durable.notes.iter().filter(|((of, _), _)| of == space);
        Ok(in_space.map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }

    fn seen(&mut self, lane: &str) -> Result<Vec<Seen>, Trouble> {
        Ok(self.disk.state().durable.seen.get(lane).cloned().unwrap_or_default())
    }

    fn dead_letters(&mut self, after: Option<Seq>, limit: usize) -> Result<Vec<DeadLetter>, Trouble> {
        let state = self.disk.state();
        let later = state.durable.dead.range(after.map_or(Seq(0), |after| Seq(after.0 + 1))..);
        Ok(later.take(limit).map(|(_, letter)| letter.clone()).collect())
    }

    fn dead_letter_counts(&mut self) -> Result<Vec<(String, u64)>, Trouble> {
        let mut counts = BTreeMap::new();
        for letter in self.disk.state().durable.dead.values() {
            *counts.entry(letter.reason.code.clone()).or_default() += 1;
        }
        Ok(counts.into_iter().collect())
    }

    fn reopen(&mut self) -> Result<(), Trouble> {
        match self.disk.state().unreachable {
            true => Err(Trouble("ordered: unreachable".into())),
            false => Ok(()),
        }
    }

    fn make_room(&mut self) -> Result<(), Trouble> {
        match self.disk.state().full {
            true => Err(Trouble("ordered: full".into())),
            false => Ok(()),
        }
    }

    fn gate(&self) -> Option<watch::Receiver<bool>> {
        Some(self.disk.0.flowing.subscribe())
    }
}
