//! PURE: which of the rows that were read may be handed on, so that they come in the order in which they were committed,
//! whichever door took them.
//!
//! A round looks for the next blob of every open log, and for a log that has been opened. A row that was seen in one round is
//! handed on when a round that *began* later has come to the end of all logs: what was committed before it, through whichever
//! door, has been seen by then. Those that become ready together go by their positions. No clock of a door has a say in it,
//! except between rows that waited here together.

use std::collections::{BTreeMap, VecDeque};

use tokio::time::Instant;

use super::names::Log;

/// A log that is read.
#[derive(Debug)]
struct Reading<T> {
    /// The number that is asked for next.
    next: u64,
    /// When the last look began that found the end. `None` before there was one.
    ended_at: Option<Instant>,
    /// Read and not handed on: number, when it had been found, rows.
    seen: VecDeque<(u64, Instant, Vec<T>)>,
    /// Its end mark was read.
    is_over: bool,
}

/// All logs, as one reader sees them.
#[derive(Debug)]
pub(crate) struct Rounds<T> {
    logs: BTreeMap<Log, Reading<T>>,
    next_log: Log,
    /// When the last look began that found no further log.
    no_log_at: Option<Instant>,
}

/// How far rows were handed on: what is to be read again by who begins here.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Positions {
    /// The first log that was not seen.
    pub(crate) next_log: Log,
    /// The next number of each open one.
    pub(crate) logs: BTreeMap<Log, u64>,
}

impl<T> Rounds<T> {
    pub(crate) fn new(from: &Positions) -> Self {
        let logs = from.logs.iter().map(|(log, next)| (*log, open(*next))).collect();
        Self { logs, next_log: from.next_log, no_log_at: None }
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
    pub(crate) fn saw(&mut self, log: Log, seen_at: Instant, rows: Vec<T>) {
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

    /// Rows that may be handed on, of each log in its order.
    pub(crate) fn ready(&mut self) -> Vec<T> {
        let ends = self.logs.values().filter(|reading| !reading.is_over).map(|reading| reading.ended_at);
        // None is less than every time.
        let Some(up_to) = ends.chain([self.no_log_at]).min().flatten() else { return Vec::new() };
        let mut ready = Vec::new();
        for reading in self.logs.values_mut() {
            while reading.seen.front().is_some_and(|(_, seen_at, _)| *seen_at < up_to) {
                ready.extend(reading.seen.pop_front().into_iter().flat_map(|(_, _, rows)| rows));
            }
        }
        self.logs.retain(|_, reading| !reading.is_over || !reading.seen.is_empty());
        ready
    }

    /// Rows wait for another round.
    pub(crate) fn is_waiting(&self) -> bool {
        self.logs.values().any(|reading| !reading.seen.is_empty())
    }

    /// Everything that there was when the reader began has been handed on.
    pub(crate) fn is_caught_up(&self) -> bool {
        let ends = self.logs.values().all(|reading| reading.is_over || reading.ended_at.is_some());
        ends && self.no_log_at.is_some() && !self.is_waiting()
    }

    /// How far rows were handed on.
    pub(crate) fn positions(&self) -> Positions {
        let at = |reading: &Reading<T>| reading.seen.front().map_or(reading.next, |(number, ..)| *number);
        Positions {
            next_log: self.next_log,
            logs: self.logs.iter().map(|(log, reading)| (*log, at(reading))).collect(),
        }
    }
}

fn open<T>(next: u64) -> Reading<T> {
    Reading { next, ended_at: None, seen: VecDeque::new(), is_over: false }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(begin: Instant, ms: u64) -> Instant {
        begin + Duration::from_millis(ms)
    }

    /// Two open logs.
    fn two(begin: Instant) -> Rounds<&'static str> {
        let mut rounds = Rounds::new(&Positions::default());
        rounds.opened();
        rounds.opened();
        rounds.not_opened(begin);
        rounds
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_waits_until_all_other_logs_have_been_looked_at_after_it_was_seen() {
        let begin = Instant::now();
        let mut rounds = two(begin);
        // The look at log 0 was before its row was committed, that at log 1 after the later row was.
        rounds.ended(Log(0), begin);
        rounds.saw(Log(1), begin, vec!["later"]);
        rounds.ended(Log(1), begin);
        assert_eq!((rounds.ready(), rounds.is_waiting()), (vec![], true));
        let next = at(begin, 1);
        rounds.saw(Log(0), next, vec!["earlier"]);
        rounds.ended(Log(0), next);
        rounds.ended(Log(1), next);
        rounds.not_opened(next);
        assert_eq!(rounds.ready(), ["later"], "and what was found in this one waits in its turn");
        let last = at(begin, 2);
        [Log(0), Log(1)].into_iter().for_each(|log| rounds.ended(log, last));
        assert_eq!(rounds.ready(), [""; 0], "a log that may have been opened meanwhile holds it up");
        rounds.not_opened(last);
        assert_eq!((rounds.ready(), rounds.is_caught_up()), (vec!["earlier"], true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_that_is_over_holds_up_nobody_and_goes_when_it_is_handed_on() {
        let begin = Instant::now();
        let mut rounds = two(begin);
        rounds.saw(Log(0), begin, vec!["last"]);
        rounds.is_over(Log(0));
        assert_eq!(rounds.wanted(), [(Log(1), 1)]);
        let next = at(begin, 1);
        rounds.ended(Log(1), next);
        rounds.not_opened(next);
        assert_eq!(rounds.positions().logs.len(), 2);
        assert_eq!((rounds.ready(), rounds.positions().logs.len()), (vec!["last"], 1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_begins_at_its_positions_reads_what_was_not_handed_on() {
        let begin = Instant::now();
        let mut rounds = two(begin);
        for rows in [vec!["1"], vec![], vec!["3"]] {
            rounds.saw(Log(1), begin, rows);
        }
        let positions = rounds.positions();
        assert_eq!((positions.next_log, &positions.logs), (Log(2), &BTreeMap::from([(Log(0), 1), (Log(1), 1)])));
        let mut again: Rounds<&str> = Rounds::new(&positions);
        assert_eq!((again.wanted(), again.next_log()), (vec![(Log(0), 1), (Log(1), 1)], Log(2)));
        assert!(!again.is_caught_up());
        let next = at(begin, 1);
        [Log(0), Log(1)].into_iter().for_each(|log| again.ended(log, next));
        again.not_opened(next);
        assert!(again.is_caught_up());
    }
}
