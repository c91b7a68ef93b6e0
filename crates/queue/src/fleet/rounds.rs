//! PURE: which of the rows that were read may be handed on, so that they come in the order in which they were committed,
//! whichever door took them.
//!
//! A round looks for the next blob of every open log, and for a log that has been opened. A row that was seen in one round is
//! handed on when a round that *began* later has come to the end of all logs: what was committed before it, through whichever
//! door, has been seen by then. Some of that may have been found by this very round: what of the same lane has a lower position
//! goes with it. No clock of a door has a say in it, except between rows of a lane that are here together.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use super::format::At;
use super::names::Log;
use super::state::Arrival;
use crate::Seq;

/// A log that is read.
#[derive(Debug)]
struct Reading {
    /// The number that is asked for next.
    next: u64,
    /// When the last look began that found the end. `None` before there was one.
    ended_at: Option<Instant>,
    /// Read and not handed on: number, when it had been found, rows.
    seen: VecDeque<(u64, Instant, Vec<Arrival>)>,
    /// Its end mark was read.
    is_over: bool,
}

/// All logs, as one reader sees them.
#[derive(Debug)]
pub(crate) struct Rounds {
    logs: BTreeMap<Log, Reading>,
    next_log: Log,
    /// When the last look began that found no further log.
    no_log_at: Option<Instant>,
    /// Handed on before the rest of its blob.
    ahead: BTreeSet<At>,
    /// What there was when the reader began had been found by then.
    found_at: Option<Instant>,
}

/// How far rows were handed on: what is to be read again by who begins here.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Positions {
    /// The first log that was not seen.
    pub(crate) next_log: Log,
    /// The next number of each open one.
    pub(crate) logs: BTreeMap<Log, u64>,
    /// What was handed on of those already.
    #[serde(default)]
    pub(crate) ahead: BTreeSet<At>,
}

impl Rounds {
    pub(crate) fn new(from: &Positions) -> Self {
        let logs = from.logs.iter().map(|(log, next)| (*log, open(*next))).collect();
        Self { logs, next_log: from.next_log, no_log_at: None, ahead: from.ahead.clone(), found_at: None }
    }

    /// What a round has to ask for: the next number of each log.
    pub(crate) fn wanted(&self) -> Vec<(Log, u64)> {
        self.logs.iter().filter(|(_, reading)| !reading.is_over).map(|(log, reading)| (*log, reading.next)).collect()
    }

    /// And whether this log was opened.
    pub(crate) fn next_log(&self) -> Log {
        self.next_log
    }

    /// It was; it is read from its beginning.
    pub(crate) fn opened(&mut self) {
        self.logs.insert(self.next_log, open(1));
        self.next_log = Log(self.next_log.0 + 1);
    }

    /// It was not when a look began.
    pub(crate) fn not_opened(&mut self, began: Instant) {
        self.no_log_at = Some(began);
    }

    /// The next blob of a log; it had been found by then.
    pub(crate) fn saw(&mut self, log: Log, seen_at: Instant, rows: Vec<Arrival>) {
        if let Some(reading) = self.logs.get_mut(&log) {
            reading.seen.push_back((reading.next, seen_at, rows));
            reading.next += 1;
        }
    }

    /// Nothing more in this log when a look began.
    pub(crate) fn ended(&mut self, log: Log, began: Instant) {
        if let Some(reading) = self.logs.get_mut(&log) {
            reading.ended_at = Some(began);
        }
    }

    /// Its end mark was read: nothing will ever follow.
    pub(crate) fn is_over(&mut self, log: Log) {
        if let Some(reading) = self.logs.get_mut(&log) {
            reading.is_over = true;
        }
    }

    /// Rows that may be handed on, by their positions.
    pub(crate) fn ready(&mut self) -> Vec<Arrival> {
        let ends = self.logs.values().filter(|reading| !reading.is_over).map(|reading| reading.ended_at);
        // None is less than every time.
        let Some(up_to) = ends.chain([self.no_log_at]).min().flatten() else { return Vec::new() };
        let mut ready = Vec::new();
        for reading in self.logs.values_mut() {
            while reading.seen.front().is_some_and(|(_, seen_at, _)| *seen_at < up_to) {
                let rows = reading.seen.pop_front().into_iter().flat_map(|(_, _, rows)| rows);
                ready.extend(rows.filter(|row| !self.ahead.remove(&row.at)));
            }
        }
        self.with_their_elders(&mut ready);
        self.logs.retain(|_, reading| !reading.is_over || !reading.seen.is_empty());
        ready.sort_by_key(|row| row.seq);
        ready
    }

    /// What is before one of these in its lane, and was seen after it.
    fn with_their_elders(&mut self, ready: &mut Vec<Arrival>) {
        if !self.is_waiting() {
            return;
        }
        // Looked up by name only; its order never decides anything.
        let mut last: HashMap<Arc<str>, Seq> = HashMap::new();
        for row in ready.iter() {
            let seq = last.entry(row.lane.clone()).or_insert(row.seq);
            *seq = row.seq.max(*seq);
        }
        let waiting = self.logs.values().flat_map(|reading| &reading.seen).flat_map(|(_, _, rows)| rows);
        let elders = waiting.filter(|row| last.get(&row.lane).is_some_and(|last| row.seq < *last));
        for elder in elders {
            if self.ahead.insert(elder.at) {
                ready.push(elder.clone());
            }
        }
    }

    /// Rows wait for another round.
    pub(crate) fn is_waiting(&self) -> bool {
        self.logs.values().any(|reading| !reading.seen.is_empty())
    }

    /// Everything that there was when the reader began has been handed on. What came since may wait: while doors are busy, something
    /// always does.
    pub(crate) fn is_caught_up(&mut self) -> bool {
        if self.found_at.is_none() && self.logs.values().all(|reading| reading.is_over || reading.ended_at.is_some()) {
            let seen = self.logs.values().flat_map(|reading| &reading.seen).map(|(_, seen_at, _)| *seen_at);
            self.found_at = self.no_log_at.map(|no_log_at| seen.fold(no_log_at, Instant::max));
        }
        let Some(found_at) = self.found_at else { return false };
        let mut next = self.logs.values().filter_map(|reading| reading.seen.front());
        next.all(|(_, seen_at, _)| *seen_at > found_at)
    }

    /// How far rows were handed on.
    pub(crate) fn positions(&self) -> Positions {
        let at = |reading: &Reading| reading.seen.front().map_or(reading.next, |(number, ..)| *number);
        Positions {
            next_log: self.next_log,
            logs: self.logs.iter().map(|(log, reading)| (*log, at(reading))).collect(),
            ahead: self.ahead.clone(),
        }
    }
}

fn open(next: u64) -> Reading {
    Reading { next, ended_at: None, seen: VecDeque::new(), is_over: false }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fleet::state::Kind;

    fn at(begin: Instant, ms: u64) -> Instant {
        begin + Duration::from_millis(ms)
    }

    /// Two open logs.
    fn two(begin: Instant) -> Rounds {
        let mut rounds = Rounds::new(&Positions::default());
        rounds.opened();
        rounds.opened();
        rounds.not_opened(begin);
        rounds
    }

    /// A row of lane `a` unless it is said otherwise.
    fn row(log: u32, number: u64, seq: u64) -> Arrival {
        let at = At { log: Log(log), number, index: 0 };
        Arrival { seq: Seq(seq), at, lane: "a".into(), accepted_at: 0, bytes: 0, kind: Kind::Put }
    }

    fn of_lane(lane: &str, row: Arrival) -> Arrival {
        Arrival { lane: lane.into(), ..row }
    }

    fn ready(rounds: &mut Rounds) -> Vec<u64> {
        rounds.ready().iter().map(|row| row.seq.0).collect()
    }

    /// All looks of a round have found the end.
    fn all_ended(rounds: &mut Rounds, began: Instant) {
        [Log(0), Log(1)].into_iter().for_each(|log| rounds.ended(log, began));
        rounds.not_opened(began);
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_waits_until_all_other_logs_have_been_looked_at_after_it_was_seen() {
        let begin = Instant::now();
        let mut rounds = two(begin);
        // The look at log 0 was before its row was committed, that at log 1 after the later row was.
        rounds.saw(Log(1), begin, vec![row(1, 1, 20)]);
        all_ended(&mut rounds, begin);
        assert_eq!((ready(&mut rounds), rounds.is_waiting()), (vec![], true));
        let next = at(begin, 1);
        rounds.saw(Log(0), next, vec![row(0, 1, 10), of_lane("b", row(0, 1, 11)), row(0, 1, 21)]);
        all_ended(&mut rounds, next);
        assert_eq!(ready(&mut rounds), [10, 20], "what is before it in its lane goes with it, and nothing else");
        let ahead = At { log: Log(0), number: 1, index: 0 };
        assert_eq!(rounds.positions().ahead, BTreeSet::from([ahead]));
        let last = at(begin, 2);
        [Log(0), Log(1)].into_iter().for_each(|log| rounds.ended(log, last));
        assert_eq!(ready(&mut rounds), [0; 0], "a log that may have been opened meanwhile holds it up");
        rounds.not_opened(last);
        assert!(!rounds.is_caught_up());
        assert_eq!(ready(&mut rounds), [11, 21], "once each");
        assert!(rounds.is_caught_up() && rounds.positions().ahead.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_keeps_coming_does_not_hold_up_who_catches_up() {
        let begin = Instant::now();
        let mut rounds = two(begin);
        rounds.saw(Log(0), begin, vec![row(0, 1, 1)]);
        rounds.ended(Log(0), begin);
        assert!(!rounds.is_caught_up(), "the other log has not been looked at");
        rounds.saw(Log(1), begin, vec![row(1, 1, 2)]);
        all_ended(&mut rounds, begin);
        assert!(ready(&mut rounds).is_empty() && !rounds.is_caught_up());
        let next = at(begin, 1);
        rounds.saw(Log(0), next, vec![row(0, 2, 3)]);
        all_ended(&mut rounds, next);
        assert_eq!((ready(&mut rounds), rounds.is_caught_up()), (vec![1, 2], true));
        assert!(rounds.is_waiting());
        assert_eq!(rounds.positions().logs, BTreeMap::from([(Log(0), 2), (Log(1), 2)]), "it is not lost either");
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_that_is_over_holds_up_nobody_and_goes_when_it_is_handed_on() {
        let begin = Instant::now();
        let mut rounds = two(begin);
        rounds.saw(Log(0), begin, vec![row(0, 1, 1)]);
        rounds.is_over(Log(0));
        assert_eq!(rounds.wanted(), [(Log(1), 1)]);
        let next = at(begin, 1);
        rounds.ended(Log(1), next);
        rounds.not_opened(next);
        assert_eq!(rounds.positions().logs.len(), 2);
        assert_eq!((ready(&mut rounds), rounds.positions().logs.len()), (vec![1], 1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_begins_at_its_positions_reads_what_was_not_handed_on() {
        let begin = Instant::now();
        let mut rounds = two(begin);
        rounds.saw(Log(1), begin, vec![row(1, 1, 20)]);
        all_ended(&mut rounds, begin);
        let next = at(begin, 1);
        let rows = vec![row(0, 1, 10), of_lane("b", row(0, 1, 11))];
        let rows: Vec<_> = (0..).zip(rows).map(|(index, row)| Arrival { at: At { index, ..row.at }, ..row }).collect();
        rounds.saw(Log(0), next, rows.clone());
        all_ended(&mut rounds, next);
        assert_eq!(ready(&mut rounds), [10, 20]);
        let positions = rounds.positions();
        assert_eq!((positions.next_log, &positions.logs), (Log(2), &BTreeMap::from([(Log(0), 1), (Log(1), 2)])));
        let mut again = Rounds::new(&positions);
        assert_eq!((again.wanted(), again.next_log()), (vec![(Log(0), 1), (Log(1), 2)], Log(2)));
        assert!(!again.is_caught_up());
        again.saw(Log(0), next, rows);
        all_ended(&mut again, at(begin, 2));
        assert_eq!((ready(&mut again), again.is_caught_up()), (vec![11], true));
    }
}
