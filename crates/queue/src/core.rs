//! The queue's decisions, as plain code that can be stepped: what was asked and the time come in, what to write and
//! what to hand out goes out.
//!
//! Promises: at most one message of a lane is leased, always its oldest; at most `leases_max` are out; nothing changes
//! here before the store has committed it. Relies on being told of every commit. Does not know threads, channels,
//! clocks or disks.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::lanes::{Head, Lanes, SET_BACK_MS};
use crate::message::after;
use crate::shares::Shares;
use crate::store::{NextSeq, Op};
use crate::{LaneState, Note, Place, Put, Reason, Receipt, Retry, Seq, Settle, UnixMillis};

/// After a failed commit, an unreadable message or a panic over one its lane rests this long, so that a broken disk or
/// a message that breaks its reader does not go round as fast as the machine can.
const AFTER_FAILURE_MS: UnixMillis = 1_000;

/// What became of a leased message.
#[derive(Debug)]
pub(crate) enum Outcome {
    Done(Settle),
    Keep,
    Bury(Reason, Settle),
    Retry(Retry),
}

/// How a lease came back without an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// Nobody had taken it from the stream.
    Untaken,
    /// Whoever had it let it go.
    Taken,
    /// Whoever had it panicked.
    InPanic,
}

#[derive(Debug)]
enum Loading {
    /// Lanes up to and including this name are known.
    UpTo(Option<Arc<str>>),
    Done,
}

#[derive(Debug)]
pub(crate) struct Core {
    lanes: Lanes,
    shares: Shares,
    loading: Loading,
    leased: BTreeMap<Seq, Arc<str>>,
    leases_max: usize,
    next_seq: NextSeq,
    last_now: UnixMillis,
    dropped_leases: u64,
}

impl Core {
    /// Begins with a store that has not been read yet: puts are taken at once, lanes come with [`Core::loaded`].
    pub(crate) fn new(next_seq: NextSeq, shares: Shares) -> Self {
        Self {
            lanes: Lanes::default(),
            shares,
            loading: Loading::UpTo(None),
            leased: BTreeMap::new(),
            leases_max: 0,
            next_seq,
            last_now: UnixMillis::MIN,
            dropped_leases: 0,
        }
    }

    /// The store was opened anew after a failure: only what it says now counts. Leases that are out stay valid.
    pub(crate) fn restart(&mut self, next_seq: NextSeq) {
        self.lanes = Lanes::default();
        self.shares.clear();
        self.loading = Loading::UpTo(None);
        self.next_seq = self.next_seq.max(next_seq);
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: UnixMillis) {
        if self.last_now.saturating_sub(now) > SET_BACK_MS {
            self.lanes.clock_set_back(self.last_now - now);
        }
        self.last_now = now;
        self.lanes.tick(now);
    }

    /// When [`Core::tick`] has something to do.
    pub(crate) fn due(&self) -> Option<UnixMillis> {
        self.lanes.due()
    }

    // ---- what is asked ----

    pub(crate) fn put(&mut self, mut put: Put, note: Option<Note>) -> (Receipt, Op) {
        let seq = self.next_seq.take();
        let over_share = if matches!(put.place, Place::Lane) { self.shares.refuse(&put.lane) } else { None };
        let is_over_share = over_share.is_some();
        if let Some(reason) = over_share {
            put.place = Place::DeadLetters(reason);
        }
        (Receipt { seq, is_over_share }, Op::Put { seq, put, note })
    }

    /// `None` when the message is not leased, which a lease that is spent once cannot bring about.
    pub(crate) fn outcome(&self, seq: Seq, outcome: Outcome, now: UnixMillis) -> Option<Op> {
        let lane = self.leased.get(&seq)?.clone();
        Some(match outcome {
            Outcome::Done(settle) => Op::Done { lane, seq, settle },
            Outcome::Keep => Op::Keep { lane, seq, at: now },
            Outcome::Bury(reason, settle) => Op::Bury { lane, seq, reason, settle, at: now },
            Outcome::Retry(retry) => Op::Retry { lane, seq, retry, ended_at: now },
        })
    }

    pub(crate) fn release(&mut self, seq: Seq, wait: Duration, now: UnixMillis) {
        if let Some(lane) = self.leased.remove(&seq) {
            self.lanes.release_until(&lane, after(now, wait), now);
        }
    }

    /// A lease was dropped. Whoever broke over a message would most likely do so again at once, so that one rests.
    pub(crate) fn hand_back(&mut self, seq: Seq, dropped: Dropped, now: UnixMillis) {
        if let Some(lane) = self.leased.remove(&seq) {
            let pause = if dropped == Dropped::InPanic { AFTER_FAILURE_MS } else { 0 };
            self.lanes.wait_until(&lane, now + pause, now);
            self.dropped_leases += u64::from(dropped != Dropped::Untaken);
        }
    }

    pub(crate) fn wake(&mut self, lane: &str) {
        self.lanes.wake(lane);
    }

    /// See [`Lanes::hurry`].
    pub(crate) fn hurry(&mut self, lane: &str) -> bool {
        self.lanes.hurry(lane)
    }

    pub(crate) fn lease_at_most(&mut self, leases_max: usize) {
        self.leases_max = leases_max;
    }

    // ---- what the store answered ----

    pub(crate) fn committed(&mut self, ops: &[Op], now: UnixMillis) {
        for op in ops {
            match op {
                Op::Put { seq, put, .. } if matches!(put.place, Place::Lane) => {
                    self.arrived(&put.lane, *seq, put.accepted_at, now);
                }
                Op::Done { lane, seq, .. } | Op::Keep { lane, seq, .. } | Op::Bury { lane, seq, .. } => {
                    self.leased.remove(seq);
                    self.lanes.forget_head(lane);
                    if self.is_loaded(lane) {
                        self.shares.take(lane);
                    }
                }
                Op::Retry { lane, seq, retry, ended_at } => {
                    self.leased.remove(seq);
                    self.lanes.wait_until(lane, after(*ended_at, retry.wait), now);
                }
                Op::Replay(letters) => letters.iter().for_each(|(lane, _)| self.risen(lane)),
                Op::Put { .. } | Op::Notes(_) | Op::Discard(_) => {}
            }
        }
    }

    /// A dead letter is back, most likely before what is the head of its lane now.
    pub(crate) fn risen(&mut self, lane: &Arc<str>) {
        if self.is_loaded(lane) {
            self.lanes.look_anew(lane);
            self.shares.add(lane);
        }
    }

    pub(crate) fn failed(&mut self, ops: &[Op], now: UnixMillis) {
        for op in ops {
            if let Some((lane, seq)) = op.leased() {
                self.leased.remove(&seq);
                self.lanes.wait_until(lane, now + AFTER_FAILURE_MS, now);
            }
        }
    }

    /// An outcome that can never be written: handing its message out again would send it for ever, so its lane rests
    /// until the store is opened anew.
    pub(crate) fn set_aside(&mut self, op: &Op) {
        if let Some((lane, seq)) = op.leased() {
            self.leased.remove(&seq);
            self.lanes.set_aside(lane);
        }
    }

    /// Why what has come may not wait in its lane.
    pub(crate) fn refuse(&self, lane: &str) -> Option<Reason> {
        self.shares.refuse(lane)
    }

    /// A message that is kept is in its lane.
    pub(crate) fn arrived(&mut self, lane: &str, seq: Seq, accepted_at: UnixMillis, now: UnixMillis) {
        // One that is not loaded yet will show this one when it is.
        if !self.is_loaded(lane) {
            return;
        }
        self.shares.add(lane);
        match self.lanes.head_seq(lane) {
            Some(head) if seq < head => self.lanes.look_anew(&lane.into()),
            // A lane that is known holds older messages.
            _ if self.lanes.contains(lane) => {}
            _ => {
                let head = Head { seq, accepted_at, not_before: 0, tried_at: None };
                self.lanes.set_head(lane, Some(head), now);
            }
        }
    }

    /// A lane whose head the store must be asked for; the answer comes by [`Core::found`] or [`Core::not_found_out`].
    pub(crate) fn lookup(&mut self) -> Option<Arc<str>> {
        self.lanes.next_unknown()
    }

    pub(crate) fn found(&mut self, lane: &str, head: Option<Head>, now: UnixMillis) {
        if head.is_none() {
            self.shares.set(lane, 0);
        }
        self.lanes.set_head(lane, head, now);
    }

    pub(crate) fn not_found_out(&mut self, lane: Arc<str>) {
        self.lanes.ask_again(lane);
    }

    /// After which lane to read on, until the store has been read whole.
    pub(crate) fn load_after(&self) -> Option<Option<Arc<str>>> {
        match &self.loading {
            Loading::UpTo(lane) => Some(lane.clone()),
            Loading::Done => None,
        }
    }

    /// Whether [`Core::counted`] is to be told of lanes before they are loaded.
    pub(crate) fn counts_lanes(&self) -> bool {
        self.shares.are_bounded()
    }

    /// So many messages are in a lane that is loaded next.
    pub(crate) fn counted(&mut self, lane: &str, waiting: u64) {
        self.shares.set(lane, waiting);
    }

    /// The next lanes by name. An empty slice is the end.
    pub(crate) fn loaded(&mut self, slice: &[(String, Head)], now: UnixMillis) {
        // Not always the head: what came back from the dead letters meanwhile is before what is leased.
        let leased: HashMap<Arc<str>, Seq> = self.leased.iter().map(|(seq, lane)| (lane.clone(), *seq)).collect();
        for (lane, head) in slice {
            match leased.get(lane.as_str()) {
                Some(seq) => self.lanes.set_leased(lane, *head, head.seq != *seq),
                None => self.lanes.set_head(lane, Some(*head), now),
            }
        }
        self.loading = slice.last().map_or(Loading::Done, |(lane, _)| Loading::UpTo(Some(lane.as_str().into())));
    }

    fn is_loaded(&self, lane: &str) -> bool {
        match &self.loading {
            Loading::UpTo(last) => last.as_deref().is_some_and(|last| lane <= last),
            Loading::Done => true,
        }
    }

    // ---- what to hand out ----

    /// The next message to be leased, while there is room.
    pub(crate) fn grant(&mut self) -> Option<(Arc<str>, Seq)> {
        if self.leased.len() >= self.leases_max {
            return None;
        }
        loop {
            let (lane, seq) = self.lanes.lease()?;
            if let Entry::Vacant(vacant) = self.leased.entry(seq) {
                vacant.insert(lane.clone());
                return Some((lane, seq));
            }
            // Two lanes claim it, which a flipped bit can bring about: one of them is wrong, and neither loses the other's. This
            // one's turn comes when the other has done with it; then it is read, and found to be wrong.
            tracing::error!(seq = seq.0, %lane, "the queue's file is broken: two lanes have this message; this one waits");
            self.lanes.wait_until(&lane, self.last_now.saturating_add(AFTER_FAILURE_MS), self.last_now);
        }
    }

    /// The granted message could not be read now.
    pub(crate) fn unreadable(&mut self, seq: Seq, now: UnixMillis) {
        if let Some(lane) = self.leased.remove(&seq) {
            self.lanes.wait_until(&lane, now + AFTER_FAILURE_MS, now);
        }
    }

    // ---- what is to be seen from outside ----

    /// There is work that waits for nobody: lanes to load or to ask for, messages to hand out.
    pub(crate) fn is_busy(&self) -> bool {
        let can_grant = self.lanes.is_ready() && self.leased.len() < self.leases_max;
        can_grant || self.lanes.has_unknown() || matches!(self.loading, Loading::UpTo(_))
    }

    pub(crate) fn leased(&self) -> u64 {
        self.leased.len() as u64
    }

    pub(crate) fn lanes(&self) -> u64 {
        self.lanes.len() as u64
    }

    pub(crate) fn lane(&self, lane: &str) -> Option<LaneState> {
        self.lanes.state(lane)
    }

    pub(crate) fn is_all_loaded(&self) -> bool {
        matches!(self.loading, Loading::Done)
    }

    pub(crate) fn oldest_accepted_at(&self) -> Option<UnixMillis> {
        self.lanes.oldest_accepted_at()
    }

    pub(crate) fn lanes_older_than(&self, at: UnixMillis) -> u64 {
        self.lanes.older_than(at)
    }

    pub(crate) fn dropped_leases(&self) -> u64 {
        self.dropped_leases
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(lane: &str) -> Put {
        Put {
            lane: lane.into(),
            kind: String::new(),
            head: Vec::new(),
            body: Vec::new(),
            accepted_at: 0,
            place: Place::Lane,
        }
    }

    fn head(seq: u64) -> Head {
        Head { seq: Seq(seq), accepted_at: 0, not_before: 0, tried_at: None }
    }

    /// A core whose store was empty.
    fn loaded() -> Core {
        let mut core = Core::new(NextSeq(1), Shares::default());
        core.loaded(&[], 0);
        core.lease_at_most(100);
        core
    }

    fn commit_puts(core: &mut Core, lanes: &[&str]) {
        let ops: Vec<_> = lanes.iter().map(|lane| core.put(put(lane), None).1).collect();
        core.committed(&ops, 0);
    }

    fn granted(core: &mut Core) -> Vec<u64> {
        std::iter::from_fn(|| core.grant()).map(|(_, seq)| seq.0).collect()
    }

    fn end(core: &mut Core, seq: u64, outcome: Outcome) {
        let op = core.outcome(Seq(seq), outcome, 0).unwrap();
        core.committed(&[op], 0);
    }

    fn retry(wait: Duration) -> Outcome {
        Outcome::Retry(Retry { wait, cause: String::new(), freeze: None })
    }

    #[test]
    fn nothing_is_handed_out_before_its_commit() {
        let mut core = loaded();
        let (_, op) = core.put(put("a"), None);
        assert_eq!(granted(&mut core), []);
        core.committed(&[op], 0);
        assert_eq!(granted(&mut core), [1]);
    }

    #[test]
    fn puts_during_loading_never_overtake_what_is_not_loaded_yet() {
        let mut core = Core::new(NextSeq(10), Shares::default());
        core.lease_at_most(100);
        core.loaded(&[("b".to_owned(), head(3))], 0);
        commit_puts(&mut core, &["a", "b", "c"]);
        // 10 in lane a: everything up to b is known, and a was not there. Lane c may hold older ones.
        assert_eq!(granted(&mut core), [3, 10]);
        core.loaded(&[("c".to_owned(), head(4))], 0);
        core.loaded(&[], 0);
        assert_eq!(granted(&mut core), [4]);
    }

    #[test]
    fn lanes_take_turns() {
        let mut core = loaded();
        commit_puts(&mut core, &["a", "b", "c"]);
        core.lease_at_most(1);
        let mut order = Vec::new();
        for _ in 0..6 {
            let (lane, seq) = core.grant().unwrap();
            order.push(lane.to_string());
            end(&mut core, seq.0, Outcome::Done(Settle::default()));
            // Each lane has more to come.
            let asked = core.lookup().unwrap();
            core.found(&asked, Some(head(seq.0 + 100)), 0);
        }
        assert_eq!(order, ["a", "b", "c", "a", "b", "c"]);
    }

    #[test]
    fn a_clock_that_is_set_back_delays_nothing() {
        let mut core = loaded();
        let day = 86_400_000;
        core.tick(7 * day);
        commit_puts(&mut core, &["a"]);
        assert_eq!(granted(&mut core), [1]);
        let op = core.outcome(Seq(1), retry(Duration::from_secs(1)), 7 * day).unwrap();
        core.committed(&[op], 7 * day);
        core.tick(0);
        assert_eq!(core.due(), Some(1_000));
        core.tick(1_000);
        assert_eq!(granted(&mut core), [1]);
    }

    #[test]
    fn a_wait_that_began_under_a_clock_ahead_is_no_longer_for_a_restart() {
        let found = |tried_at, now| {
            let mut core = Core::new(NextSeq(2), Shares::default());
            core.tick(now);
            core.loaded(
                &[("a".into(), Head { not_before: tried_at + 60_000, tried_at: Some(tried_at), ..head(1) })],
                now,
            );
            core.due()
        };
        assert_eq!(found(0, 20_000), Some(60_000), "a third of it is over");
        assert_eq!(
            found(600_000, 20_000),
            Some(80_000),
            "the clock was ten minutes ahead, and how long ago nobody knows"
        );
        assert_eq!(found(20_500, 20_000), Some(80_500), "the jitter between two threads");
    }

    #[test]
    fn a_wait_from_before_a_restart_counts_unless_only_another_clock_can_have_set_it() {
        let hour = 3_600_000;
        let found = |not_before| {
            let mut core = Core::new(NextSeq(2), Shares::default());
            core.lease_at_most(1);
            core.tick(0);
            core.loaded(&[("a".into(), Head { not_before, ..head(1) })], 0);
            granted(&mut core)
        };
        assert_eq!((found(0), found(1), found(hour)), (vec![1], vec![], vec![]));
        assert_eq!(found(hour + 1), [1], "the clock was hours ahead when it was written");
        assert_eq!(found(UnixMillis::MAX), [1]);
    }

    #[test]
    fn two_lanes_with_one_message_do_not_both_get_it() {
        let mut core = Core::new(NextSeq(2), Shares::default());
        core.lease_at_most(100);
        core.tick(0);
        core.loaded(&[("a".to_owned(), head(1)), ("b".to_owned(), head(1)), ("c".to_owned(), head(2))], 0);
        assert_eq!(granted(&mut core), [1, 2]);
        end(&mut core, 1, Outcome::Done(Settle::default()));
        core.tick(AFTER_FAILURE_MS);
        assert_eq!(granted(&mut core), [1], "and the other lane is not held up for ever");
    }

    #[test]
    fn what_comes_back_from_the_dead_letters_comes_first() {
        let replay = |core: &mut Core| core.committed(&[Op::Replay(vec![("a".into(), Seq(1))])], 0);
        let mut core = loaded();
        core.next_seq = NextSeq(2);
        replay(&mut core);
        assert_eq!(core.lookup().as_deref(), Some("a"), "of a lane that held nothing");
        core.found("a", Some(head(1)), 0);
        assert_eq!(granted(&mut core), [1]);
        end(&mut core, 1, Outcome::Bury(Reason { code: String::new(), detail: String::new() }, Settle::default()));
        assert_eq!(core.lookup().as_deref(), Some("a"));
        core.found("a", None, 0);
        commit_puts(&mut core, &["a"]);
        assert_eq!(granted(&mut core), [2]);
        replay(&mut core);
        assert_eq!((granted(&mut core), core.lookup()), (vec![], None), "one at a time");
        end(&mut core, 2, retry(Duration::from_secs(60)));
        assert_eq!(core.lookup().as_deref(), Some("a"), "and it waits for nothing that is behind it");
        core.found("a", Some(head(1)), 0);
        assert_eq!(granted(&mut core), [1]);
    }

    #[test]
    fn a_store_that_is_read_again_hands_out_no_second_message_of_a_lane() {
        let mut core = loaded();
        core.next_seq = NextSeq(2);
        commit_puts(&mut core, &["a"]);
        assert_eq!(granted(&mut core), [2]);
        core.restart(NextSeq(3));
        core.loaded(&[("a".to_owned(), head(1))], 0);
        core.loaded(&[], 0);
        assert_eq!(granted(&mut core), [], "1 came back from the dead letters while 2 was out");
        end(&mut core, 2, Outcome::Done(Settle::default()));
        assert_eq!(core.lookup().as_deref(), Some("a"));
    }

    #[test]
    fn after_a_failed_commit_a_lane_rests() {
        let mut core = loaded();
        commit_puts(&mut core, &["a"]);
        assert_eq!(granted(&mut core), [1]);
        let op = core.outcome(Seq(1), Outcome::Done(Settle::default()), 0).unwrap();
        core.failed(&[op], 0);
        assert_eq!((granted(&mut core), core.leased()), (vec![], 0));
        core.tick(AFTER_FAILURE_MS);
        assert_eq!(granted(&mut core), [1]);
    }

    #[test]
    fn a_lease_is_spent_once() {
        let mut core = loaded();
        commit_puts(&mut core, &["a"]);
        assert_eq!(granted(&mut core), [1]);
        end(&mut core, 1, Outcome::Keep);
        assert!(core.outcome(Seq(1), Outcome::Keep, 0).is_none());
    }

    #[test]
    fn what_is_over_a_lanes_share_is_buried_and_what_was_there_before_the_start_counts() {
        let mut core = Core::new(NextSeq(10), Shares::new(Some(2), None));
        core.lease_at_most(100);
        let places = |core: &mut Core, lane: &str, count: usize| {
            let mut one = || {
                let (receipt, op) = core.put(put(lane), None);
                core.committed(&[op], 0);
                receipt.is_over_share
            };
            (0..count).map(|_| one()).collect::<Vec<_>>()
        };
        core.counted("a", 1);
        core.loaded(&[("a".to_owned(), head(3))], 0);
        core.loaded(&[], 0);
        assert_eq!((places(&mut core, "a", 3), places(&mut core, "b", 1)), (vec![false, true, true], vec![false]));
        assert_eq!(granted(&mut core), [3, 13]);
        end(&mut core, 3, Outcome::Done(Settle::default()));
        assert_eq!(places(&mut core, "a", 2), [false, true]);
        core.committed(&[Op::Replay(vec![("b".into(), Seq(1))])], 0);
        assert_eq!(places(&mut core, "b", 1), [true], "what came back counts");
        core.restart(NextSeq(20));
        assert_eq!(places(&mut core, "a", 1), [false], "nothing is known before it is read");
    }
}
