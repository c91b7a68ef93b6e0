//! What the queue sees of a [`Disk`]: a store that keeps, refuses and takes as long as was ordered.

use std::collections::BTreeMap;
use std::time::Duration;

use super::image::Tried;
use super::journal::Journal;
use super::{Disk, Fault, Latency};
use crate::lanes::Head;
use crate::store::{Bounds, CommitError, Doing, Found, NextSeq, Op, Store, Totals, Trouble};
use crate::verify::{Cursor, Verified};
use crate::{DeadLetter, Message, Seen, Seq, UnixMillis};

/// One opening of a [`Disk`].
#[derive(Debug)]
pub(crate) struct Memory {
    disk: Disk,
    bounds: Bounds,
}

impl Memory {
    pub(crate) fn open(disk: Disk, bounds: Bounds) -> Self {
        let mut state = disk.state();
        // Whoever was in the middle of it is gone, and has told nobody.
        state.under_way = None;
        state.recover(bounds);
        drop(state);
        Self { disk, bounds }
    }
}

fn head(seq: Seq, tried: Tried, message: &Message) -> Head {
    Head { seq, accepted_at: message.accepted_at, not_before: tried.not_before, tried_at: tried.at }
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
        for ((lane, seq), (tried, message)) in &state.durable.waiting {
            let is_new = lanes.last().is_none_or(|(last, _)| last != lane);
            if after.is_none_or(|after| lane.as_str() > after) && is_new {
                if lanes.len() == limit {
                    break;
                }
                lanes.push((lane.clone(), head(*seq, *tried, message)));
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
            .map(|((_, seq), (tried, message))| head(*seq, *tried, message)))
    }

    fn waiting_in(&mut self, lane: &str) -> Result<u64, Trouble> {
        let state = self.disk.state();
        let rows = state.durable.waiting.range((lane.to_owned(), Seq(0))..);
        Ok(rows.take_while(|((name, _), _)| name == lane).count() as u64)
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
        state.under_way = None;
        if state.unreachable {
            return Err(CommitError::Failed("ordered: unreachable".into()));
        }
        if state.full && ops.iter().any(Op::is_put) {
            return Err(CommitError::Full("ordered: full".into()));
        }
        let rows = state.durable.rows(ops);
        match state.faults.pop_front() {
            None => {
                state.put_in_place(rows, now, self.bounds);
                Ok(())
            }
            Some(Fault::Full) => Err(CommitError::Full("ordered: full".into())),
            Some(fault) => {
                let (half, journal) = (rows.len() / 2, Journal::of(rows, now));
                state.journal = if fault == Fault::FailedButThere { journal } else { journal.torn(half) };
                Err(CommitError::Failed("ordered: failed".into()))
            }
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

    fn dead_letter(&mut self, seq: Seq) -> Result<Option<DeadLetter>, Trouble> {
        Ok(self.disk.state().durable.dead.get(&seq).cloned())
    }

    /// At once: there is no file that could be long.
    fn verify(&mut self, _after: Option<&Cursor>, _limit: usize) -> Result<Verified, Trouble> {
        let state = self.disk.state();
        let totals = state.durable.totals();
        let checked = totals.waiting + totals.dead_letters.count + totals.kept.count;
        Ok(Verified { checked, damaged: state.damaged.clone(), next: None })
    }

    fn dead_letter_counts(&mut self) -> Result<Vec<(String, u64)>, Trouble> {
        let mut counts = BTreeMap::new();
        for letter in self.disk.state().durable.dead.values() {
            *counts.entry(letter.reason.code.clone()).or_default() += 1;
        }
        Ok(counts.into_iter().collect())
    }

    fn reopen(&mut self) -> Result<(), Trouble> {
        let mut state = self.disk.state();
        if state.unreachable {
            return Err(Trouble("ordered: unreachable".into()));
        }
        state.recover(self.bounds);
        Ok(())
    }

    fn make_room(&mut self) -> Result<(), Trouble> {
        match self.disk.state().full {
            true => Err(Trouble("ordered: full".into())),
            false => Ok(()),
        }
    }

    fn begin(&mut self, ops: &[Op], now: UnixMillis) -> Option<Doing> {
        let mut state = self.disk.state();
        // Not under the lock: it may ask anybody.
        let latency = state.latency.clone();
        drop(state);
        let latency = latency.map_or(Duration::ZERO, |Latency(ask)| ask());
        let mut flowing = self.disk.0.flowing.subscribe();
        if latency.is_zero() && *flowing.borrow() {
            return None;
        }
        state = self.disk.state();
        state.under_way = (!state.refuses(ops)).then(|| Journal::of(state.durable.rows(ops), now));
        Some(Box::pin(async move {
            tokio::time::sleep(latency).await;
            // An error says that the disk is gone, and then the commit will say so too.
            let _ = flowing.wait_for(|flowing| *flowing).await;
        }))
    }
}
