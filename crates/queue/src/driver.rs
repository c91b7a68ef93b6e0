//! The writer: one loop that takes what was asked, lets the core decide, commits once for all of it, and answers.
//!
//! Promises: a receipt is sent only after the commit that holds its message; outcomes, retries and burials are never
//! refused for lack of room while the store's reserve lasts; after a failed commit nothing is promised until the store
//! was reopened and read again. The same loop runs on its own thread (the commit blocks only that thread) or as a local
//! future in virtual time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::board::Board;
use crate::command::{Answer, Call, Command, LeaseReply, PutReply, Room};
use crate::core::{Core, Dropped};
use crate::fleet::{Arrival, Kind, Positions};
use crate::lanes::Head;
use crate::options::Clock;
use crate::shares::Shares;
use crate::store::{CommitError, Found, Op, Store, Trouble};
use crate::{LeaseError, Message, Moved, PutError, Reason, Receipt, Seq, Settle, Stats, UnixMillis};

/// Commands in one commit: enough that the disk's flush is shared, few enough that the last one in waits no longer
/// than two commits.
const BATCH_MAX: usize = 512;

/// Lanes read in one go while loading, so that a put waits for milliseconds, not for the whole backlog.
const LANES_AT_ONCE: usize = 256;

/// Heads asked for between two commits, for the same reason.
const LOOKUPS_AT_ONCE: usize = 1_024;

/// Messages read for handing out between two commits.
const GRANTS_AT_ONCE: usize = 1_024;

/// Messages looked at between two commits when somebody wants to know whether they are whole: 20 µs each.
const VERIFIED_AT_ONCE: usize = 256;

/// Messages that are fetched at once: of 1.5 KiB 100 KiB, of the largest 64 MiB.
const FETCHES_MAX: usize = 64;

/// While the store is full or failed it is tried again this often.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// The clock may jump: no wait is longer than this before it is read again.
const CLOCK_CHECK: Duration = Duration::from_secs(10);

/// What the disk cannot do at the moment.
#[derive(Debug)]
enum Condition {
    Good,
    /// No room for puts; everything else goes on.
    Full(String),
    /// Nothing can be trusted until it was reopened.
    Failed(String),
}

/// Who waits for a change of the batch.
#[derive(Debug)]
enum Waiter {
    Put(Receipt, PutReply, Room),
    Lease(LeaseReply),
    Notes {
        reply: LeaseReply,
        _permit: OwnedSemaphorePermit,
    },
    /// What becomes of each letter once it is committed.
    Letters {
        outcome: Vec<Moved>,
        reply: Answer<Vec<Moved>>,
        _permit: OwnedSemaphorePermit,
    },
    /// The queue's own doing.
    Nobody,
}

/// A granted message that was not at hand.
type Fetched = (Arc<str>, Seq, Result<Found, Trouble>);

pub(crate) struct Driver {
    core: Core,
    store: Box<dyn Store + Send>,
    clock: Clock,
    board: Arc<Board>,
    commands: mpsc::UnboundedReceiver<Command>,
    condition: Condition,
    /// The changes of the next commit and who waits for each, in the same order.
    ops: Vec<Op>,
    waiters: Vec<Waiter>,
    /// With the permit that bounds how many there can be.
    calls: Vec<(Call, OwnedSemaphorePermit)>,
    stream: Option<mpsc::UnboundedSender<Message>>,
    closing: Option<oneshot::Sender<()>>,
    try_again_at: Instant,
    untidy: bool,
    /// Messages that were granted and are on their way here.
    fetching: JoinSet<Fetched>,
    /// The store is somebody else's.
    is_lost: bool,
}

/// However the writer ends, the handles must see that nothing is kept any more.
struct ClosedAtLast(Arc<Board>);

impl Drop for ClosedAtLast {
    fn drop(&mut self) {
        self.0.closed();
    }
}

impl Driver {
    pub(crate) fn new(
        store: Box<dyn Store + Send>,
        shares: Shares,
        clock: Clock,
        board: Arc<Board>,
        commands: mpsc::UnboundedReceiver<Command>,
    ) -> Self {
        let driver = Self {
            core: Core::new(store.next_seq(), shares),
            store,
            clock,
            board,
            commands,
            condition: Condition::Good,
            ops: Vec::new(),
            waiters: Vec::new(),
            calls: Vec::new(),
            stream: None,
            closing: None,
            try_again_at: Instant::now(),
            untidy: true,
            fetching: JoinSet::new(),
            is_lost: false,
        };
        driver.publish();
        driver
    }

    /// Runs until closed, or until the last handle is gone.
    pub(crate) async fn run(mut self) {
        let board = ClosedAtLast(self.board.clone());
        let mut inbox = Vec::with_capacity(BATCH_MAX);
        loop {
            let is_open = self.wait(&mut inbox).await;
            let now = (self.clock)();
            self.core.tick(now);
            inbox.drain(..).for_each(|command| self.take(command, now));
            self.recover(now);
            self.commit(now).await;
            self.answer_calls();
            self.rescue(None);
            self.look_up(now);
            self.load(now);
            self.hand_out(now);
            if let Some(hidden) = self.hidden(self.store.totals().waiting) {
                self.rescue(Some(&hidden));
            }
            self.publish();
            if !is_open || self.closing.is_some() || self.is_lost {
                break;
            }
        }
        if !self.is_lost
            && let Some(last) = self.store.last()
        {
            last.await;
        }
        let closing = self.closing.take();
        // The lock must be free before close() returns.
        drop(self);
        drop(board);
        if let Some(reply) = closing {
            let _ = reply.send(());
        }
    }

    /// Waits for commands, for a timer, or not at all while there is work of our own. False when all handles are gone.
    async fn wait(&mut self, inbox: &mut Vec<Command>) -> bool {
        let can_hand_out = self.fetching.len() < FETCHES_MAX;
        let own_work = self.is_commit_due() || (self.core.is_busy() && can_hand_out && !self.is_failed());
        let tidy = self.untidy && !self.is_failed();
        let timer = self.next_timer();
        tokio::select! {
            biased;
            count = self.commands.recv_many(inbox, BATCH_MAX) => count > 0,
            Some(fetched) = self.fetching.join_next(), if !self.fetching.is_empty() => { self.fetched(fetched); true }
            () = tokio::task::yield_now(), if own_work => true,
            () = tokio::task::yield_now(), if tidy => { self.untidy = self.store.tidy(); true }
            () = sleep_until(timer.unwrap_or_else(Instant::now)), if timer.is_some() => true,
        }
    }

    fn next_timer(&self) -> Option<Instant> {
        let now = (self.clock)();
        let wait = |at: UnixMillis| Duration::from_millis(u64::try_from(at - now).unwrap_or(0)).min(CLOCK_CHECK);
        let lane = self.core.due().map(|at| Instant::now() + wait(at));
        let due = lane.into_iter().chain(self.next_commit()).min();
        match self.condition {
            Condition::Good => due,
            Condition::Full(_) => Some(due.unwrap_or(self.try_again_at).min(self.try_again_at)),
            Condition::Failed(_) => Some(self.try_again_at),
        }
    }

    /// When there is one to make.
    fn next_commit(&self) -> Option<Instant> {
        let is_wanted = !self.ops.is_empty() || self.store.wants_commit();
        is_wanted.then(|| self.store.not_before().unwrap_or_else(Instant::now))
    }

    fn is_commit_due(&self) -> bool {
        self.next_commit().is_some_and(|at| at <= Instant::now())
    }

    // ---- taking in ----

    fn take(&mut self, command: Command, now: UnixMillis) {
        match command {
            Command::Put { put, note, reply, room } => match self.refusal() {
                Some(refusal) => drop(reply.send(Err(refusal))),
                None => {
                    let (receipt, op) = self.core.put(put, note);
                    self.add(op, Waiter::Put(receipt, reply, room));
                }
            },
            Command::Outcome { seq, outcome, reply } => match self.core.outcome(seq, outcome, now) {
                Some(op) => self.add(op, Waiter::Lease(reply)),
                None => drop(reply.send(Err(LeaseError::Failed("the message is not leased".into())))),
            },
            Command::Release { seq, wait } => self.core.release(seq, wait, now),
            Command::HandBack { seq, dropped } => self.core.hand_back(seq, dropped, now),
            Command::WakeLanes => self.board.take_to_wake().iter().for_each(|lane| self.core.wake(lane)),
            Command::Lease { max, to } => {
                self.core.lease_at_most(max);
                self.stream = Some(to);
            }
            Command::Call(Call::WriteNotes { notes, reply }, permit) => {
                self.add(Op::Notes(notes), Waiter::Notes { reply, _permit: permit });
            }
            Command::Call(Call::Replay { seqs, reply }, permit) => self.move_letters(&seqs, true, reply, permit),
            Command::Call(Call::Discard { seqs, reply }, permit) => self.move_letters(&seqs, false, reply, permit),
            Command::Call(call, permit) => self.calls.push((call, permit)),
            Command::Arrived { arrivals, positions, done } => {
                self.arrive(&arrivals, positions, now);
                // Nobody waits any more: then nothing more comes.
                let _ = done.send(());
            }
            Command::Close { reply } => self.closing = Some(reply),
        }
    }

    fn arrive(&mut self, arrivals: &[Arrival], positions: Positions, now: UnixMillis) {
        self.store.arrive(arrivals, positions);
        for Arrival { seq, lane, accepted_at, .. } in arrivals.iter().filter(|arrival| arrival.kind == Kind::Put) {
            match self.core.refuse(lane) {
                Some(reason) => self.store.is_refused(lane, *seq, reason),
                None => self.core.arrived(lane, *seq, *accepted_at, now),
            }
        }
    }

    /// Looks at each before: one that is not whole must not come back.
    fn move_letters(
        &mut self,
        seqs: &[Seq],
        comes_back: bool,
        reply: Answer<Vec<Moved>>,
        permit: OwnedSemaphorePermit,
    ) {
        let (mut outcome, mut moved) = (Vec::with_capacity(seqs.len()), Vec::new());
        for seq in seqs {
            let letter = match self.store.dead_letter(*seq) {
                Ok(letter) => letter,
                Err(trouble) => return answer(reply, Err(trouble)),
            };
            let letter = letter.filter(|_| moved.iter().all(|(_, moved)| moved != seq));
            outcome.push(match &letter {
                None => Moved::Missing,
                Some(letter) if comes_back && !letter.is_whole => Moved::Damaged,
                Some(_) => Moved::Done,
            });
            if let (Some(Moved::Done), Some(letter)) = (outcome.last(), letter) {
                moved.push((letter.message.lane.into(), *seq));
            }
        }
        let op = match comes_back {
            true => Op::Replay(moved),
            false => Op::Discard(moved.into_iter().map(|(_, seq)| seq).collect()),
        };
        self.add(op, Waiter::Letters { outcome, reply, _permit: permit });
    }

    fn add(&mut self, op: Op, waiter: Waiter) {
        self.ops.push(op);
        self.waiters.push(waiter);
    }

    /// While full or failed, puts are answered at once: nobody is helped by waiting for a disk that just refused.
    fn refusal(&self) -> Option<PutError> {
        match &self.condition {
            Condition::Good => None,
            Condition::Full(why) => Some(PutError::Full(why.clone())),
            Condition::Failed(why) => Some(PutError::Failed(why.clone())),
        }
    }

    fn is_failed(&self) -> bool {
        matches!(self.condition, Condition::Failed(_))
    }

    // ---- committing ----

    async fn commit(&mut self, now: UnixMillis) {
        if !self.is_commit_due() && (self.closing.is_none() || self.next_commit().is_none()) {
            return;
        }
        if let Condition::Failed(why) = &self.condition {
            let why = why.clone();
            return self.refuse_all(&why, now);
        }
        self.board.commit_begins();
        if let Some(doing) = self.store.begin(&self.ops, now) {
            doing.await;
        }
        let mut result = self.store.commit(&self.ops, now);
        if matches!(result, Err(CommitError::Damaged(_))) && self.rescue(None) {
            result = self.store.commit(&self.ops, now);
        }
        if let Err(CommitError::Full(why)) = &result {
            self.is_full(why.clone());
            self.refuse_puts();
            result = if self.ops.is_empty() { Ok(()) } else { self.store.commit(&self.ops, now) };
        }
        if let Err(CommitError::Damaged(_)) = &result {
            result = self.commit_singly(now);
        }
        self.board.commit_ends();
        match result {
            Ok(()) => self.accept(now),
            // Without puts in it, and with the reserve used up: as bad as a failure for those who wait, but nothing is
            // in doubt.
            Err(CommitError::Full(why) | CommitError::Damaged(why)) => self.refuse_all(&why, now),
            Err(CommitError::Failed(why)) => {
                self.refuse_all(&why, now);
                self.is_failing(why);
                self.recover(now);
            }
            Err(CommitError::Lost(why)) => {
                tracing::warn!(cause = %why, "this part of the queue is not ours any more");
                self.refuse_all(&why, now);
                self.is_lost = true;
            }
        }
    }

    /// One change meets a broken place in the file: each by itself, so that the others are not held up.
    fn commit_singly(&mut self, now: UnixMillis) -> Result<(), CommitError> {
        let ops = std::mem::take(&mut self.ops);
        let mut waiters = std::mem::take(&mut self.waiters).into_iter();
        for op in ops {
            let Some(waiter) = waiters.next() else { break };
            let result = self.store.commit(std::slice::from_ref(&op), now);
            if let Err(CommitError::Damaged(why)) = &result {
                let seq = op.leased().map(|(_, seq)| seq.0);
                tracing::error!(cause = %why, seq, "the queue's file is broken where this belongs; its lane rests");
                self.core.set_aside(&op);
            }
            self.add(op, waiter);
            match result {
                Ok(()) => self.accept(now),
                Err(CommitError::Damaged(why) | CommitError::Full(why)) => self.refuse_all(&why, now),
                Err(CommitError::Failed(why)) => return Err(CommitError::Failed(why)),
                Err(CommitError::Lost(why)) => return Err(CommitError::Lost(why)),
            }
        }
        Ok(())
    }

    fn accept(&mut self, now: UnixMillis) {
        let ops = std::mem::take(&mut self.ops);
        self.core.committed(&ops, now);
        self.store.risen().iter().for_each(|lane| self.core.risen(lane));
        self.untidy |= ops.iter().any(|op| op.leased().is_some());
        // Whoever gets an answer may look at once.
        self.publish();
        for waiter in self.waiters.drain(..) {
            match waiter {
                Waiter::Put(receipt, reply, _room) => drop(reply.send(Ok(receipt))),
                Waiter::Lease(reply) | Waiter::Notes { reply, .. } => drop(reply.send(Ok(()))),
                Waiter::Letters { outcome, reply, .. } => drop(reply.send(Ok(outcome))),
                Waiter::Nobody => {}
            }
        }
    }

    fn refuse_puts(&mut self) {
        let refusal = self.refusal().unwrap_or(PutError::Busy);
        let batch = std::mem::take(&mut self.ops).into_iter().zip(std::mem::take(&mut self.waiters));
        for (op, waiter) in batch {
            match waiter {
                Waiter::Put(_, reply, _room) => drop(reply.send(Err(refusal.clone()))),
                waiter => self.add(op, waiter),
            }
        }
    }

    fn refuse_all(&mut self, why: &str, now: UnixMillis) {
        let ops = std::mem::take(&mut self.ops);
        self.core.failed(&ops, now);
        for waiter in self.waiters.drain(..) {
            match waiter {
                Waiter::Put(_, reply, _room) => drop(reply.send(Err(PutError::Failed(why.to_owned())))),
                Waiter::Lease(reply) | Waiter::Notes { reply, .. } => {
                    drop(reply.send(Err(LeaseError::Failed(why.to_owned()))))
                }
                Waiter::Letters { reply, .. } => drop(reply.send(Err(LeaseError::Failed(why.to_owned())))),
                Waiter::Nobody => {}
            }
        }
    }

    // ---- trouble ----

    fn is_full(&mut self, why: String) {
        if matches!(self.condition, Condition::Good) {
            tracing::warn!(cause = %why, "the queue is full; puts are refused, draining goes on");
        }
        self.condition = Condition::Full(why);
        self.try_again_at = Instant::now() + TRY_AGAIN;
    }

    fn is_failing(&mut self, why: String) {
        if !self.is_failed() {
            tracing::error!(cause = %why, "a commit failed; nothing is accepted until the store is open again");
        }
        self.condition = Condition::Failed(why);
        self.try_again_at = Instant::now();
    }

    /// One try to get out of trouble, when it is time for one.
    fn recover(&mut self, now: UnixMillis) {
        if matches!(self.condition, Condition::Good) || Instant::now() < self.try_again_at {
            return;
        }
        self.try_again_at = Instant::now() + TRY_AGAIN;
        let tried = match self.condition {
            Condition::Failed(_) => self.reopen(now),
            Condition::Full(_) | Condition::Good => self.store.make_room(),
        };
        match tried {
            Ok(()) => {
                tracing::info!("the queue takes messages again");
                self.condition = Condition::Good;
            }
            Err(Trouble(why)) => match &mut self.condition {
                Condition::Failed(last) | Condition::Full(last) => *last = why,
                Condition::Good => {}
            },
        }
    }

    fn reopen(&mut self, now: UnixMillis) -> Result<(), Trouble> {
        self.store.reopen()?;
        self.core.restart(self.store.next_seq());
        // What was decided before the failure and not committed is refused, not carried over.
        let why = "the store was reopened";
        self.refuse_all(why, now);
        Ok(())
    }

    /// The store writes what is broken anew: the lanes are loaded from it once more, and what is leased stays leased.
    fn rescue(&mut self, found: Option<&str>) -> bool {
        if self.is_failed() {
            return false;
        }
        // It takes as long as a very long commit, and is to be seen like one.
        self.board.commit_begins();
        let rescued = self.store.rescue(found);
        self.board.commit_ends();
        match rescued {
            Ok(is_new) => {
                if is_new {
                    self.core.restart(self.store.next_seq());
                }
                is_new
            }
            Err(Trouble(why)) => {
                self.is_failing(why);
                false
            }
        }
    }

    // ---- reading ----

    fn answer_calls(&mut self) {
        let calls = std::mem::take(&mut self.calls);
        for (call, _permit) in calls {
            match call {
                // Part of the commit.
                Call::WriteNotes { .. } | Call::Replay { .. } | Call::Discard { .. } => {}
                Call::Notes { space, reply } => answer(reply, self.store.notes(&space)),
                Call::Seen { lane, reply } => answer(reply, self.store.seen(&lane)),
                Call::LastSeen { lanes, reply } => answer(reply, self.last_seen(&lanes)),
                Call::Lanes { lanes, reply } => answer(reply, Ok(lanes.iter().map(|l| self.core.lane(l)).collect())),
                Call::LanesOlderThan { at, reply } => answer(reply, Ok(self.core.lanes_older_than(at))),
                Call::Head { lane, reply } => answer(reply, self.head(&lane)),
                Call::Hurry { lanes, reply } => answer(reply, Ok(lanes.iter().map(|l| self.core.hurry(l)).collect())),
                Call::DeadLetters { after, limit, reply } => answer(reply, self.store.dead_letters(after, limit)),
                Call::DeadLetter { seq, reply } => answer(reply, self.store.dead_letter(seq)),
                Call::Verify { after, reply } => answer(reply, self.store.verify(after.as_ref(), VERIFIED_AT_ONCE)),
                Call::Hold { hold, reply } => answer(reply, self.store.hold(hold)),
                Call::DeadLetterCounts { reply } => answer(reply, self.store.dead_letter_counts()),
            }
        }
    }

    fn last_seen(&mut self, lanes: &[String]) -> Result<Vec<Option<UnixMillis>>, Trouble> {
        lanes.iter().map(|lane| Ok(self.store.seen(lane)?.last().map(|seen| seen.at))).collect()
    }

    fn head(&mut self, lane: &str) -> Result<Option<Message>, Trouble> {
        let Some(head) = self.store.head_of(lane)? else { return Ok(None) };
        match self.store.read(lane, head.seq)? {
            Found::Message(message) => Ok(Some(*message)),
            Found::Damaged | Found::Missing | Found::Away => Ok(None),
        }
    }

    fn look_up(&mut self, now: UnixMillis) {
        for _ in 0..LOOKUPS_AT_ONCE {
            if self.is_failed() {
                return;
            }
            let Some(lane) = self.core.lookup() else { return };
            match self.store.head_of(&lane) {
                Ok(head) => self.core.found(&lane, head, now),
                Err(Trouble(why)) => {
                    self.core.not_found_out(lane);
                    self.is_unreadable(why);
                }
            }
        }
    }

    fn load(&mut self, now: UnixMillis) {
        if self.is_failed() {
            return;
        }
        let Some(after) = self.core.load_after() else { return };
        match self.next_lanes(after.as_deref()) {
            Ok(slice) => self.core.loaded(&slice, now),
            Err(Trouble(why)) => self.is_unreadable(why),
        }
    }

    fn is_unreadable(&mut self, why: String) {
        if !self.rescue(None) {
            self.is_failing(why);
        }
    }

    fn next_lanes(&mut self, after: Option<&str>) -> Result<Vec<(String, Head)>, Trouble> {
        let slice = self.store.lanes_after(after, LANES_AT_ONCE)?;
        if self.core.counts_lanes() {
            for (lane, _) in &slice {
                self.core.counted(lane, self.store.waiting_in(lane)?);
            }
        }
        Ok(slice)
    }

    fn hand_out(&mut self, now: UnixMillis) {
        for _ in 0..GRANTS_AT_ONCE {
            if self.is_failed() || self.stream.is_none() || self.fetching.len() >= FETCHES_MAX {
                return;
            }
            let Some((lane, seq)) = self.core.grant() else { return };
            match self.store.read(&lane, seq) {
                Ok(Found::Message(message)) => self.send(*message, now),
                Ok(Found::Away) => {
                    let fetching = self.store.fetch(&lane, seq);
                    self.fetching.spawn(async move { (lane, seq, fetching.await) });
                }
                // A lane that names a message which is not there is damage too.
                Ok(Found::Damaged | Found::Missing) => self.bury_damaged(seq, now),
                Err(Trouble(why)) => {
                    self.core.unreadable(seq, now);
                    self.is_unreadable(why);
                }
            }
        }
    }

    fn fetched(&mut self, fetched: Result<Fetched, JoinError>) {
        let now = (self.clock)();
        match fetched {
            Ok((_, _, Ok(Found::Message(message)))) => self.send(*message, now),
            Ok((_, seq, Ok(Found::Damaged | Found::Missing | Found::Away))) => self.bury_damaged(seq, now),
            Ok((lane, seq, Err(Trouble(cause)))) => {
                tracing::warn!(%lane, seq = seq.0, cause, "a message cannot be fetched now");
                self.core.unreadable(seq, now);
            }
            // Nobody ends these tasks; one that panicked has told so.
            Err(_) => {}
        }
    }

    fn send(&mut self, message: Message, now: UnixMillis) {
        let seq = message.seq;
        let is_gone = self.stream.as_ref().is_none_or(|stream| stream.send(message).is_err());
        if is_gone {
            self.stream = None;
            self.core.lease_at_most(0);
            self.core.hand_back(seq, Dropped::Untaken, now);
        }
    }

    /// A wrong payload is worse than a missing one: it is set aside under its number, and somebody is told.
    fn bury_damaged(&mut self, seq: Seq, now: UnixMillis) {
        tracing::error!(seq = seq.0, "a stored message is not what was written; buried as damaged");
        let reason =
            Reason { code: "damaged".into(), detail: "its checksum does not match what is on the disk".into() };
        let outcome = crate::core::Outcome::Bury(reason, Settle::default());
        if let Some(op) = self.core.outcome(seq, outcome, now) {
            self.add(op, Waiter::Nobody);
        }
    }

    // ---- telling ----

    /// Damage that stops nothing but must be known; among it messages that are counted and in no lane.
    fn damage(&self, waiting: u64) -> Option<String> {
        self.store.damage().or_else(|| self.hidden(waiting))
    }

    fn hidden(&self, waiting: u64) -> Option<String> {
        let is_hidden = waiting > 0 && self.core.lanes() == 0 && self.core.is_all_loaded() && self.ops.is_empty();
        is_hidden.then(|| format!("{waiting} messages are counted as waiting and cannot be found; the file is damaged"))
    }

    fn publish(&self) {
        let totals = self.store.totals();
        self.board.publish(Stats {
            waiting: totals.waiting,
            waiting_bytes: totals.waiting_bytes,
            leased: self.core.leased(),
            lanes: self.core.lanes(),
            oldest_accepted_at: self.core.oldest_accepted_at(),
            dead_letters: totals.dead_letters.count,
            dead_letters_bytes: totals.dead_letters.bytes,
            dead_letters_gone: totals.dead_letters.gone,
            kept: totals.kept.count,
            kept_bytes: totals.kept.bytes,
            kept_gone: totals.kept.gone,
            writable: matches!(self.condition, Condition::Good),
            trouble: match &self.condition {
                Condition::Good => self.damage(totals.waiting),
                Condition::Full(why) | Condition::Failed(why) => Some(why.clone()),
            },
            loaded: self.core.is_all_loaded(),
            dropped_leases: self.core.dropped_leases(),
        });
    }
}

fn answer<T>(reply: Answer<T>, result: Result<T, Trouble>) {
    // An error says that nobody waits any more.
    let _ = reply.send(result.map_err(|Trouble(why)| LeaseError::Failed(why)));
}
