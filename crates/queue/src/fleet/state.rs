//! PURE: what an owner knows of its partition: which messages wait and where they are, what was tried, seen and noted.
//!
//! Two things change it: what the doors have written ([`State::arrive`]) and what the owner has committed ([`State::apply`]).
//! Both can be read again, so that the next owner comes to the same. No bodies: a message that waits takes about 200 bytes, a
//! dead letter 150, the ring of a device 1.5 KiB.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::format::{At, Buried, Change, Needs, Row, Wish};
use super::names::Log;
use super::rounds::Positions;
use crate::lanes::Head;
use crate::message::after;
use crate::store::{Bounds, GONE_AT_ONCE, Op, Shelf, Totals, bytes_set_aside, remember};
use crate::{Burial, Reason, Retry, Seen, Seq, Settle, UnixMillis};

/// A row of a door as its owner takes it in.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) seq: Seq,
    pub(crate) at: At,
    pub(crate) lane: Arc<str>,
    pub(crate) accepted_at: UnixMillis,
    pub(crate) bytes: u64,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Put,
    /// Straight to the dead letters.
    Dead {
        code: Arc<str>,
        buried_at: UnixMillis,
    },
    /// A dead letter that comes back.
    Risen,
    /// A dead letter that nobody wants.
    Discard,
}

impl Arrival {
    pub(crate) fn of(row: &Row, at: At) -> Self {
        let bytes = |head: &[u8], body: &[u8]| (head.len() + body.len()) as u64;
        let (kind, accepted_at, bytes) = match &row.wish {
            Wish::Put(put) => {
                let kind = match Op::buried_at_once(put) {
                    None => Kind::Put,
                    Some(Burial { reason, buried_at, .. }) => Kind::Dead { code: reason.code.into(), buried_at },
                };
                (kind, put.accepted_at, bytes(&put.head, &put.body))
            }
            Wish::Replay(message) => (Kind::Risen, message.accepted_at, bytes(&message.head, &message.body)),
            Wish::Discard { .. } => (Kind::Discard, 0, 0),
        };
        Self { seq: row.seq, at, lane: row.lane().into(), accepted_at, bytes, kind }
    }
}

/// A message that waits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Waiting {
    pub(crate) at: At,
    pub(crate) accepted_at: UnixMillis,
    pub(crate) bytes: u64,
    #[serde(default)]
    pub(crate) tried: Option<Box<Tried>>,
}

/// What became of it so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tried {
    pub(crate) attempts: u32,
    pub(crate) first_at: UnixMillis,
    pub(crate) last_at: UnixMillis,
    pub(crate) not_before: UnixMillis,
    pub(crate) cause: String,
    #[serde(with = "serde_bytes")]
    pub(crate) frozen: Option<Vec<u8>>,
}

impl Waiting {
    fn head(&self, seq: Seq) -> Head {
        let not_before = self.tried.as_ref().map_or(0, |tried| tried.not_before);
        let tried_at = self.tried.as_ref().map(|tried| tried.last_at);
        Head { seq, accepted_at: self.accepted_at, not_before, tried_at }
    }
}

/// See the module.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// What of the doors is in it.
    pub(crate) positions: Positions,
    waiting: BTreeMap<(Arc<str>, Seq), Waiting>,
    /// What doors wish beside that, and no commit has answered yet.
    wishes: BTreeMap<At, Wished>,
    dead: BTreeMap<Seq, Buried>,
    /// When they were set aside, and their bytes.
    kept: BTreeMap<Seq, (UnixMillis, u64)>,
    seen: BTreeMap<Arc<str>, Vec<Seen>>,
    notes: BTreeMap<String, BTreeMap<String, Noted>>,
    waiting_bytes: u64,
    dead_shelf: Shelf,
    kept_shelf: Shelf,
}

/// A wish of a door that takes a commit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Wished {
    pub(crate) seq: Seq,
    pub(crate) lane: Arc<str>,
    pub(crate) accepted_at: UnixMillis,
    pub(crate) bytes: u64,
    pub(crate) kind: Kind,
    /// Why it is buried, where it is not the door that says it.
    pub(crate) reason: Option<Reason>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Noted(#[serde(with = "serde_bytes")] Vec<u8>);

impl State {
    // ---- what the doors have written ----

    pub(crate) fn arrive(&mut self, arrival: &Arrival) {
        let Arrival { seq, at, ref lane, accepted_at, bytes, ref kind } = *arrival;
        if *kind == Kind::Put {
            self.waits(lane, seq, Waiting { at, accepted_at, bytes, tried: None });
        } else {
            self.wishes
                .insert(at, Wished { seq, lane: lane.clone(), accepted_at, bytes, kind: kind.clone(), reason: None });
        }
    }

    /// One that came for its lane may not go there.
    pub(crate) fn is_refused(&mut self, lane: &Arc<str>, seq: Seq, reason: Reason) {
        if let Some(Waiting { at, accepted_at, bytes, .. }) = self.gone(lane, seq) {
            let kind = Kind::Dead { code: reason.code.as_str().into(), buried_at: accepted_at };
            let (lane, reason) = (lane.clone(), Some(reason));
            self.wishes.insert(at, Wished { seq, lane, accepted_at, bytes, kind, reason });
        }
    }

    fn waits(&mut self, lane: &Arc<str>, seq: Seq, waiting: Waiting) {
        self.waiting_bytes += waiting.bytes;
        if let Some(before) = self.waiting.insert((lane.clone(), seq), waiting) {
            self.waiting_bytes -= before.bytes;
        }
    }

    // ---- what the owner commits ----

    /// What has to be written for these changes. Letters are written before, and are known here by their outline.
    pub(crate) fn changes(&self, ops: &[Op]) -> Vec<Change> {
        let mut changes = Vec::with_capacity(ops.len());
        for op in ops {
            match op {
                // Not to this store: they go to a door, and come as what it wishes.
                Op::Put { .. } | Op::Replay(_) | Op::Discard(_) => {}
                Op::Done { lane, seq, settle } => {
                    changes.push(Change::Gone { lane: lane.clone(), seq: *seq });
                    Self::settled(lane, settle, &mut changes);
                }
                Op::Keep { lane, seq, at } => {
                    changes.push(Change::Kept { lane: lane.clone(), seq: *seq, at: *at });
                }
                Op::Bury { lane, seq, reason, settle, at } => {
                    let letter = Buried {
                        lane: lane.clone(),
                        code: reason.code.as_str().into(),
                        buried_at: *at,
                        bytes: self.bytes(lane, *seq),
                    };
                    changes.push(Change::Dead { seq: *seq, letter, wish: None });
                    Self::settled(lane, settle, &mut changes);
                }
                Op::Retry { lane, seq, retry, ended_at } => {
                    let (lane, retry) = (lane.clone(), retry.clone());
                    changes.push(Change::Retried { lane, seq: *seq, retry, ended_at: *ended_at });
                }
                Op::Notes(notes) => changes.extend(notes.iter().cloned().map(Change::Note)),
            }
        }
        changes
    }

    /// And for what doors wish: each is answered once.
    pub(crate) fn wished(&self) -> Vec<Change> {
        let mut left: BTreeSet<Seq> = BTreeSet::new();
        let mut changes = Vec::with_capacity(self.wishes.len());
        for (at, wished) in &self.wishes {
            let (wish, seq) = (*at, wished.seq);
            let is_there = self.dead.contains_key(&seq) && !left.contains(&seq);
            changes.push(match &wished.kind {
                Kind::Put => Change::Heard { wish },
                Kind::Dead { code, buried_at } => {
                    let (lane, code, bytes) = (wished.lane.clone(), code.clone(), wished.bytes);
                    let letter = Buried { lane, code, buried_at: *buried_at, bytes };
                    Change::Dead { seq, letter, wish: Some(wish) }
                }
                Kind::Risen | Kind::Discard if !is_there => Change::Heard { wish },
                Kind::Risen => Change::Risen { wish, seq },
                Kind::Discard => Change::Discarded { wish, seq },
            });
            if is_there {
                left.insert(seq);
            }
        }
        changes
    }

    fn settled(lane: &Arc<str>, settle: &Settle, changes: &mut Vec<Change>) {
        changes.extend(settle.seen.map(|seen| Change::Seen { lane: lane.clone(), seen }));
        changes.extend(settle.notes.iter().cloned().map(Change::Note));
    }

    fn bytes(&self, lane: &Arc<str>, seq: Seq) -> u64 {
        self.waiting.get(&(lane.clone(), seq)).map_or(0, |waiting| waiting.bytes)
    }

    pub(crate) fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Gone { lane, seq } => drop(self.gone(&lane, seq)),
                Change::Kept { lane, seq, at } => {
                    if let Some(waiting) = self.gone(&lane, seq) {
                        self.kept_shelf.add(bytes_set_aside(waiting.bytes));
                        self.kept.insert(seq, (at, waiting.bytes));
                    }
                }
                Change::Dead { seq, letter, wish } => {
                    let _ = self.gone(&letter.lane, seq);
                    let _ = wish.and_then(|wish| self.wishes.remove(&wish));
                    self.dead_shelf.add(bytes_set_aside(letter.bytes));
                    if let Some(before) = self.dead.insert(seq, letter) {
                        self.dead_shelf.take(bytes_set_aside(before.bytes));
                    }
                }
                Change::Risen { wish, seq } => {
                    if let (Some(_), Some(wished)) = (self.unburied(seq), self.wishes.remove(&wish)) {
                        let Wished { lane, accepted_at, bytes, .. } = wished;
                        self.waits(&lane, seq, Waiting { at: wish, accepted_at, bytes, tried: None });
                    }
                }
                Change::Discarded { wish, seq } => {
                    self.wishes.remove(&wish);
                    let _ = self.unburied(seq);
                }
                Change::Heard { wish } => drop(self.wishes.remove(&wish)),
                Change::Retried { lane, seq, retry, ended_at } => self.retried(lane, seq, retry, ended_at),
                Change::Seen { lane, seen } => remember(self.seen.entry(lane).or_default(), seen),
                Change::Note(crate::Note { space, key, value }) => self.noted(space, key, value),
            }
        }
    }

    fn unburied(&mut self, seq: Seq) -> Option<Buried> {
        let letter = self.dead.remove(&seq)?;
        self.dead_shelf.take(bytes_set_aside(letter.bytes));
        Some(letter)
    }

    fn gone(&mut self, lane: &Arc<str>, seq: Seq) -> Option<Waiting> {
        let waiting = self.waiting.remove(&(lane.clone(), seq))?;
        self.waiting_bytes -= waiting.bytes;
        Some(waiting)
    }

    fn retried(&mut self, lane: Arc<str>, seq: Seq, retry: Retry, ended_at: UnixMillis) {
        if let Some(waiting) = self.waiting.get_mut(&(lane, seq)) {
            let tried = waiting.tried.get_or_insert_with(|| Box::new(Tried { first_at: ended_at, ..Tried::default() }));
            tried.attempts = tried.attempts.saturating_add(1);
            (tried.last_at, tried.not_before) = (ended_at, after(ended_at, retry.wait));
            tried.cause = retry.cause;
            tried.frozen = tried.frozen.take().or(retry.freeze);
        }
    }

    fn noted(&mut self, space: String, key: String, value: Option<Vec<u8>>) {
        match value {
            Some(value) => drop(self.notes.entry(space).or_default().insert(key, Noted(value))),
            None => {
                if let Some(entries) = self.notes.get_mut(&space) {
                    entries.remove(&key);
                }
            }
        }
    }

    /// What the bounds push out: the letters whose blobs nobody needs any more.
    pub(crate) fn trim(&mut self, bounds: Bounds, now: UnixMillis) -> Vec<Seq> {
        let mut gone = Vec::new();
        while gone.len() < GONE_AT_ONCE {
            let Some(oldest) = self.dead.first_entry() else { break };
            if !bounds.dead_letters.pushes_out(self.dead_shelf, oldest.get().buried_at, now) {
                break;
            }
            let (seq, letter) = oldest.remove_entry();
            self.dead_shelf.lose(bytes_set_aside(letter.bytes));
            gone.push(seq);
        }
        for _ in 0..GONE_AT_ONCE {
            let Some(oldest) = self.kept.first_entry() else { break };
            if !bounds.kept.pushes_out(self.kept_shelf, oldest.get().0, now) {
                break;
            }
            self.kept_shelf.lose(bytes_set_aside(oldest.remove().1));
        }
        gone
    }

    // ---- what is asked ----

    pub(crate) fn totals(&self) -> Totals {
        Totals {
            waiting: self.waiting.len() as u64,
            waiting_bytes: self.waiting_bytes,
            dead_letters: self.dead_shelf,
            kept: self.kept_shelf,
        }
    }

    pub(crate) fn lanes_after(&self, after: Option<&str>, limit: usize) -> Vec<(String, Head)> {
        let mut lanes = Vec::new();
        let mut next = match after {
            None => self.waiting.iter().next(),
            Some(after) => self.waiting.range((Arc::from(after), Seq(u64::MAX))..).next(),
        };
        while let Some(((lane, seq), waiting)) = next.filter(|_| lanes.len() < limit) {
            lanes.push((lane.to_string(), waiting.head(*seq)));
            next = self.waiting.range((lane.clone(), Seq(u64::MAX))..).next();
        }
        lanes
    }

    pub(crate) fn head_of(&self, lane: &str) -> Option<Head> {
        self.of_lane(lane).next().map(|(seq, waiting)| waiting.head(seq))
    }

    pub(crate) fn waiting_in(&self, lane: &str) -> u64 {
        self.of_lane(lane).count() as u64
    }

    fn of_lane(&self, lane: &str) -> impl Iterator<Item = (Seq, &Waiting)> {
        let lane: Arc<str> = lane.into();
        let rows = self.waiting.range((lane.clone(), Seq(0))..=(lane, Seq(u64::MAX)));
        rows.map(|((_, seq), waiting)| (*seq, waiting))
    }

    pub(crate) fn waiting(&self, lane: &str, seq: Seq) -> Option<&Waiting> {
        self.waiting.get(&(Arc::from(lane), seq))
    }

    /// What doors wish and no commit has answered.
    pub(crate) fn wishes(&self) -> &BTreeMap<At, Wished> {
        &self.wishes
    }

    pub(crate) fn letter(&self, seq: Seq) -> Option<&Buried> {
        self.dead.get(&seq)
    }

    pub(crate) fn letter_counts(&self) -> Vec<(String, u64)> {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        self.dead.values().for_each(|letter| *counts.entry(&letter.code).or_default() += 1);
        counts.into_iter().map(|(code, count)| (code.to_owned(), count)).collect()
    }

    pub(crate) fn notes(&self, space: &str) -> Vec<(String, Vec<u8>)> {
        let entries = self.notes.get(space);
        entries.into_iter().flatten().map(|(key, Noted(value))| (key.clone(), value.clone())).collect()
    }

    pub(crate) fn seen(&self, lane: &str) -> Vec<Seen> {
        self.seen.get(lane).cloned().unwrap_or_default()
    }

    /// Which blobs of doors whoever begins from here may have to read.
    pub(crate) fn needs(&self) -> Needs {
        let mut at: BTreeSet<(Log, u64)> =
            self.waiting.values().map(|waiting| (waiting.at.log, waiting.at.number)).collect();
        at.extend(self.wishes.keys().map(|at| (at.log, at.number)));
        let mut waiting: Vec<(Log, u64, u64)> = Vec::new();
        for (log, number) in at {
            match waiting.last_mut() {
                Some((last_log, _, last)) if *last_log == log && *last + 1 >= number => *last = number,
                _ => waiting.push((log, number, number)),
            }
        }
        let from = self.positions.logs.iter().map(|(log, next)| (*log, *next)).collect();
        Needs { next_log: self.positions.next_log, from, waiting }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Bound;
    use crate::{Note, Settle};
    use std::time::Duration;

    fn arrival(seq: u64, kind: Kind) -> Arrival {
        let at = At { log: Log(1), number: seq, index: 0 };
        Arrival { seq: Seq(seq), at, lane: "a".into(), accepted_at: 7, bytes: 100, kind }
    }

    fn after_all(ops: &[Op], arrivals: &[Arrival]) -> State {
        let mut state = State::default();
        arrivals.iter().for_each(|arrival| state.arrive(arrival));
        state.apply(state.changes(ops));
        state
    }

    #[test]
    fn what_is_settled_is_gone_and_what_was_noted_with_it_is_there() {
        let note = |value: Option<&str>| Note { space: "s".into(), key: "k".into(), value: value.map(|v| v.into()) };
        let seen = Some(Seen { key: [1; 16], at: 3 });
        let settle = Settle { seen, notes: vec![note(Some("v"))] };
        let done = Op::Done { lane: "a".into(), seq: Seq(1), settle };
        let mut state = after_all(&[done], &[arrival(1, Kind::Put), arrival(2, Kind::Put)]);
        assert_eq!((state.head_of("a").unwrap().seq, state.totals().waiting_bytes), (Seq(2), 100));
        assert_eq!((state.seen("a").len(), state.notes("s")), (1, vec![("k".to_owned(), b"v".to_vec())]));
        state.apply(state.changes(&[Op::Notes(vec![note(None)])]));
        assert_eq!(state.notes("s"), []);
    }

    #[test]
    fn a_letter_comes_back_once_however_often_it_is_asked_for() {
        let reason = Reason { code: "x".into(), detail: String::new() };
        let bury = Op::Bury { lane: "a".into(), seq: Seq(1), reason, settle: Settle::default(), at: 5 };
        let mut state = after_all(&[bury], &[arrival(1, Kind::Put)]);
        assert_eq!((state.totals().waiting, state.totals().dead_letters.count), (0, 1));
        assert_eq!(state.letter_counts(), [("x".to_owned(), 1)]);
        [(2, Kind::Risen), (3, Kind::Risen), (4, Kind::Discard)].into_iter().for_each(|(number, kind)| {
            let at = At { number, ..arrival(1, Kind::Put).at };
            state.arrive(&Arrival { at, ..arrival(1, kind) });
        });
        let changes = state.wished();
        assert!(
            matches!(changes[..], [Change::Risen { .. }, Change::Heard { .. }, Change::Heard { .. }]),
            "{changes:?}"
        );
        state.apply(changes);
        assert_eq!((state.totals().waiting, state.totals().dead_letters), (1, Shelf::default()));
        assert_eq!((state.wishes().len(), state.waiting("a", Seq(1)).unwrap().at.number), (0, 2));
    }

    /// A new owner reads all that the doors wrote, and then what its predecessors committed.
    #[test]
    fn who_hears_of_the_arrivals_first_and_then_of_all_commits_comes_to_the_same() {
        let reason = Reason { code: "x".into(), detail: String::new() };
        let bury =
            || Op::Bury { lane: "a".into(), seq: Seq(1), reason: reason.clone(), settle: Settle::default(), at: 5 };
        let rise = |number| {
            let at = At { number, ..arrival(1, Kind::Put).at };
            Arrival { at, ..arrival(1, Kind::Risen) }
        };
        let (mut state, mut log) = (State::default(), Vec::new());
        let mut step = |state: &mut State, ops: &[Op]| {
            let changes: Vec<_> = state.changes(ops).into_iter().chain(state.wished()).collect();
            log.push(changes.clone());
            state.apply(changes);
        };
        let arrivals =
            [arrival(1, Kind::Put), rise(7), arrival(2, Kind::Dead { code: "y".into(), buried_at: 5 }), rise(8)];
        state.arrive(&arrivals[0]);
        step(&mut state, &[bury()]);
        state.arrive(&arrivals[1]);
        step(&mut state, &[]);
        state.arrive(&arrivals[2]);
        step(&mut state, &[bury()]);
        state.arrive(&arrivals[3]);
        step(&mut state, &[]);
        let mut next = State::default();
        arrivals.iter().for_each(|arrival| next.arrive(arrival));
        log.into_iter().for_each(|changes| next.apply(changes));
        assert_eq!(format!("{next:?}"), format!("{state:?}"));
        assert_eq!(state.waiting("a", Seq(1)).unwrap().at.number, 8);
    }

    #[test]
    fn tries_are_counted_and_what_was_frozen_first_stays() {
        let retry = |freeze: &[u8]| {
            let retry = Retry { wait: Duration::from_secs(1), cause: "busy".into(), freeze: Some(freeze.to_vec()) };
            Op::Retry { lane: "a".into(), seq: Seq(1), retry, ended_at: 10 }
        };
        let state = after_all(&[retry(b"1"), retry(b"2")], &[arrival(1, Kind::Put)]);
        let tried = state.waiting("a", Seq(1)).unwrap().tried.clone().unwrap();
        assert_eq!((tried.attempts, tried.not_before, tried.frozen), (2, 1_010, Some(b"1".to_vec())));
    }

    #[test]
    fn lanes_are_listed_a_piece_at_a_time() {
        let mut state = State::default();
        for (seq, lane) in ["b", "a", "c", "a"].into_iter().enumerate() {
            state.arrive(&Arrival { lane: lane.into(), ..arrival(seq as u64 + 1, Kind::Put) });
        }
        let names =
            |after, limit| -> Vec<String> { state.lanes_after(after, limit).into_iter().map(|(n, _)| n).collect() };
        assert_eq!((names(None, 2), names(Some("b"), 9)), (vec!["a".into(), "b".into()], vec!["c".to_owned()]));
        assert_eq!((state.head_of("a").unwrap().seq, state.waiting_in("a")), (Seq(2), 2));
    }

    #[test]
    fn blobs_that_are_needed_are_told_in_stretches() {
        let mut state = after_all(&[], &[1, 2, 3, 5, 9].map(|seq| arrival(seq, Kind::Put)));
        state.arrive(&arrival(6, Kind::Dead { code: "y".into(), buried_at: 5 }));
        state.positions = Positions { next_log: Log(2), logs: BTreeMap::from([(Log(1), 10)]), ..Positions::default() };
        let expected = vec![(Log(1), 1, 3), (Log(1), 5, 6), (Log(1), 9, 9)];
        assert_eq!(state.needs(), Needs { next_log: Log(2), from: vec![(Log(1), 10)], waiting: expected });
    }

    #[test]
    fn bounds_push_out_the_oldest_and_say_which_blobs_go() {
        let bound = Bound { count_max: 1, bytes_max: u64::MAX, age_ms_max: 1_000 };
        let bounds = Bounds { dead_letters: bound, kept: bound };
        let bury = |seq| {
            let reason = Reason { code: "x".into(), detail: String::new() };
            Op::Bury { lane: "a".into(), seq: Seq(seq), reason, settle: Settle::default(), at: 5 }
        };
        let keep = |seq| Op::Keep { lane: "a".into(), seq: Seq(seq), at: 5 };
        let mut state = after_all(&[bury(1), bury(2), keep(3), keep(4)], &[1, 2, 3, 4].map(|s| arrival(s, Kind::Put)));
        assert_eq!((state.trim(bounds, 6), state.totals().kept.gone), (vec![Seq(1)], 1));
        assert_eq!((state.trim(bounds, 1_006), state.totals().dead_letters.gone), (vec![Seq(2)], 2));
    }
}
