//! The queue's handles: what the rest of the program holds.
//!
//! Promises: a put or an outcome that was asked for is carried out whether or not anybody still waits for the answer;
//! a lease that is dropped comes back. Knows nothing of disks: everything is a message to the writer.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::unconstrained;

use crate::board::Board;
use crate::command::{Answer, Call, Command, LeaseReply, Room};
use crate::core::{Dropped, Outcome};
use crate::fleet::{Fleet, JoinError, Shared, Tenancy};
use crate::verify::{Cursor, Verified};
use crate::{
    DeadLetter, LaneState, LeaseError, Message, Moved, Note, Options, Put, PutError, Reason, Receipt, Retry, Seen, Seq,
    Settle, Stats, UnixMillis,
};

/// Questions and notes that may be under way at once; more wait for their turn.
const CALLS_MAX: usize = 256;

/// The queue. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Queue {
    way: Way,
    put_count: Arc<Semaphore>,
    put_bytes: Arc<Semaphore>,
    /// One copy of the files at a time.
    pub(crate) copies: Arc<Semaphore>,
    calls: Arc<Semaphore>,
}

/// Who is asked.
#[derive(Clone, Debug)]
enum Way {
    /// The one writer that there is.
    One(Line),
    /// A door, and a writer for each partition that is ours.
    Many(Arc<Fleet>),
}

impl Way {
    /// The writer of a lane, where it is ours.
    fn line_of(&self, lane: &str) -> Option<Line> {
        match self {
            Self::One(line) => Some(line.clone()),
            Self::Many(fleet) => fleet.line_of(lane).map(|(commands, board)| Line { commands, board }),
        }
    }

    /// All that are ours.
    fn lines(&self) -> Vec<Line> {
        match self {
            Self::One(line) => vec![line.clone()],
            Self::Many(fleet) => fleet.lines().into_iter().map(|(commands, board)| Line { commands, board }).collect(),
        }
    }
}

/// The way to a writer.
#[derive(Clone, Debug)]
struct Line {
    commands: mpsc::UnboundedSender<Command>,
    board: Arc<Board>,
}

impl Line {
    /// A writer that is gone needs no telling.
    fn tell(&self, command: Command) {
        let _ = self.commands.send(command);
    }
}

impl Queue {
    pub(crate) fn new(commands: mpsc::UnboundedSender<Command>, board: Arc<Board>, options: &Options) -> Self {
        Self::by(Way::One(Line { commands, board }), options)
    }

    /// Takes part in a queue that several processes share; see [`Shared`]. Puts are taken from then on, and partitions come as
    /// they are free. What [`Options::engine`] says does not matter. Needs a runtime, and lives until the last handle is gone.
    ///
    /// # Errors
    /// See [`JoinError`].
    pub async fn join(shared: Shared, options: Options) -> Result<Self, JoinError> {
        let fleet = Fleet::join(shared, options.clone()).await?;
        Ok(Self::by(Way::Many(Arc::new(fleet)), &options))
    }

    fn by(way: Way, options: &Options) -> Self {
        Self {
            way,
            put_count: Arc::new(Semaphore::new(options.waiting_puts_max)),
            put_bytes: Arc::new(Semaphore::new(options.waiting_bytes_max as usize)),
            copies: Arc::new(Semaphore::new(1)),
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
        }
    }

    /// Keeps a message. Returns once it is on stable storage. Dropping the future does not take the put back:
    /// it may still be committed, and is delivered then.
    ///
    /// # Errors
    /// See [`PutError`]; nothing but a [`Receipt`] means kept.
    pub async fn put(&self, put: Put) -> Result<Receipt, PutError> {
        self.keep(put, None).await
    }

    /// As [`Queue::put`], with a note in the same commit: whoever brings a message from elsewhere knows by it what is here
    /// already. In a queue of this process alone.
    ///
    /// # Errors
    /// As [`Queue::put`]; always where processes share the queue, for there a put and a note are two commits.
    pub async fn put_noted(&self, put: Put, note: Note) -> Result<Receipt, PutError> {
        self.keep(put, Some(note)).await
    }

    async fn keep(&self, put: Put, note: Option<Note>) -> Result<Receipt, PutError> {
        let room = self.room_for(&put)?;
        let (reply, answer) = oneshot::channel();
        match &self.way {
            Way::One(line) => {
                line.commands.send(Command::Put { put, note, reply, room }).map_err(|_| PutError::Closed)?;
            }
            Way::Many(_) if note.is_some() => {
                return Err(PutError::Failed("this queue is kept in a storage account, not in files".into()));
            }
            Way::Many(fleet) => fleet.put(put, reply, room)?,
        }
        answer.await.unwrap_or(Err(PutError::Closed))
    }

    fn room_for(&self, put: &Put) -> Result<Room, PutError> {
        let bytes = u32::try_from(put.head.len() + put.body.len()).map_err(|_| PutError::Busy)?;
        let count = self.put_count.clone().try_acquire_owned().map_err(|_| PutError::Busy)?;
        let bytes = self.put_bytes.clone().try_acquire_many_owned(bytes).map_err(|_| PutError::Busy)?;
        Ok(Room { _count: count, _bytes: bytes })
    }

    /// Starts handing out messages, at most `max` at a time. One stream at a time: a new one ends the old one.
    pub fn leases(&self, max: usize) -> Leases {
        // Bounded by `max`: the writer hands out no more than that before it hears of an outcome.
        let (to, messages) = mpsc::unbounded_channel();
        match &self.way {
            Way::One(line) => line.tell(Command::Lease { max, to }),
            Way::Many(fleet) => fleet.stream(max, to),
        }
        Leases { way: self.way.clone(), messages }
    }

    /// Makes the head of a released lane ready now (see [`Lease::release_for`]). A wake that comes while the head is
    /// leased counts for the release that follows.
    pub fn wake(&self, lane: &str) {
        // Of one that is another's nobody here knows that it waits.
        let Some(line) = self.way.line_of(lane) else { return };
        if line.board.ask_to_wake(lane) {
            line.tell(Command::WakeLanes);
        }
    }

    /// Whether others take part in it, so that lanes come and go.
    pub fn is_shared(&self) -> bool {
        matches!(&self.way, Way::Many(_))
    }

    /// Whether what was leased of this lane may be acted on now. Always, where nobody else can have it.
    pub fn holds(&self, lane: &str) -> bool {
        match &self.way {
            Way::One(_) => true,
            Way::Many(fleet) => fleet.holds(lane),
        }
    }

    /// Under which right messages of this lane are handed out here: `None` where they are another process's, always the same where
    /// nobody else can have them.
    pub fn tenancy(&self, lane: &str) -> Option<Tenancy> {
        match &self.way {
            Way::One(_) => Some(Tenancy { partition: 0, epoch: 0 }),
            Way::Many(fleet) => fleet.tenancy(lane),
        }
    }

    /// Says once and for ever that this key is this value, for whoever shares the queue: what somebody has said before, if that is
    /// something else. It is also a note beside the messages of `lane` then. Where nobody shares the queue it is nothing but that
    /// note, and the caller knows what it has claimed before.
    ///
    /// # Errors
    /// When it could not be committed, or the lane is another process's.
    pub async fn claim(&self, lane: &str, claim: Note) -> Result<Option<Vec<u8>>, LeaseError> {
        if let (Way::Many(fleet), Some(value)) = (&self.way, &claim.value)
            && let Some(theirs) = fleet.claim(&claim.space, &claim.key, value).await?
        {
            return Ok(Some(theirs));
        }
        self.write_notes(lane, vec![claim]).await.map(|()| None)
    }

    /// All entries of one collection of notes beside the messages of `lane`, and of all lanes of the same [`Tenancy`].
    ///
    /// # Errors
    /// When they cannot be read, or the lane is another process's.
    pub async fn notes_of(&self, lane: &str, space: &str) -> Result<Vec<(String, Vec<u8>)>, LeaseError> {
        let space = space.to_owned();
        self.call_of(lane, |reply| Call::Notes { space, reply }).await
    }

    /// Writes notes durably, all or none, to where the messages of `lane` are.
    ///
    /// # Errors
    /// When they could not be committed, or the lane is another process's.
    pub async fn write_notes(&self, lane: &str, notes: Vec<Note>) -> Result<(), LeaseError> {
        self.call_of(lane, |reply: LeaseReply| Call::WriteNotes { notes, reply }).await
    }

    /// All entries of one collection of notes, by key; of what is ours.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub async fn notes(&self, space: &str) -> Result<Vec<(String, Vec<u8>)>, LeaseError> {
        let mut notes = Vec::new();
        for line in self.way.lines() {
            let space = space.to_owned();
            notes.extend(self.ask(&line, |reply| Call::Notes { space, reply }).await?);
        }
        notes.sort_by(|(one, _): &(String, _), (other, _)| one.cmp(other));
        Ok(notes)
    }

    /// What was seen on a lane, newest last.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub async fn seen(&self, lane: &str) -> Result<Vec<Seen>, LeaseError> {
        let of = lane.to_owned();
        self.call_of(lane, |reply| Call::Seen { lane: of, reply }).await
    }

    /// When something was seen last on each of the lanes, in their order. Reads the disk once a lane, on the writer's
    /// thread: ask for some dozens at a time.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub async fn last_seen(&self, lanes: Vec<String>) -> Result<Vec<Option<UnixMillis>>, LeaseError> {
        self.spread(lanes, None, |lanes, reply| Call::LastSeen { lanes, reply }).await
    }

    /// What each of the lanes is doing, in their order; `None` for one that holds nothing. From memory; a lookup a lane on
    /// the writer's thread: ask for some hundreds at a time.
    ///
    /// # Errors
    /// When the queue is closed.
    pub async fn lanes(&self, lanes: Vec<String>) -> Result<Vec<Option<LaneState>>, LeaseError> {
        self.spread(lanes, None, |lanes, reply| Call::Lanes { lanes, reply }).await
    }

    /// How many lanes have a message that was accepted before this; of very many (10 000) not all are looked at. From memory, on
    /// the writer's thread, in a fraction of a millisecond.
    ///
    /// # Errors
    /// When the queue is closed.
    pub async fn lanes_older_than(&self, at: UnixMillis) -> Result<u64, LeaseError> {
        let mut count = 0;
        for line in self.way.lines() {
            count += self.ask(&line, |reply| Call::LanesOlderThan { at, reply }).await?;
        }
        Ok(count)
    }

    /// The oldest message of a lane, to look at.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub async fn head(&self, lane: &str) -> Result<Option<Message>, LeaseError> {
        let of = lane.to_owned();
        self.call_of(lane, |reply| Call::Head { lane: of, reply }).await
    }

    /// A person says that the cause is mended: lanes that wait after a counted attempt (see [`Lease::retry`]) are ready
    /// now. Returns for each whether it did wait. What [`Lease::release_for`] gave back is for [`Queue::wake`]; one that
    /// is leased is being tried already. In memory only: after a restart the retry's own time counts again. Bound as with
    /// [`Queue::lanes`].
    ///
    /// # Errors
    /// When the queue is closed.
    pub async fn hurry(&self, lanes: Vec<String>) -> Result<Vec<bool>, LeaseError> {
        self.spread(lanes, false, |lanes, reply| Call::Hurry { lanes, reply }).await
    }

    /// Dead letters, oldest first, after `after`, at most `limit`.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub async fn dead_letters(&self, after: Option<Seq>, limit: usize) -> Result<Vec<DeadLetter>, LeaseError> {
        match &self.way {
            Way::One(line) => self.ask(line, |reply| Call::DeadLetters { after, limit, reply }).await,
            Way::Many(fleet) => fleet.dead_letters(after, limit).await,
        }
    }

    /// One dead letter, to look at.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub async fn dead_letter(&self, seq: Seq) -> Result<Option<DeadLetter>, LeaseError> {
        match &self.way {
            Way::One(line) => self.ask(line, |reply| Call::DeadLetter { seq, reply }).await,
            Way::Many(fleet) => fleet.dead_letter(seq).await,
        }
    }

    /// Dead letters back to their lanes, each to its old place, as if nothing had been tried: all in one commit. Returns in their
    /// order what became of each. Reads each from the disk first, on the writer's thread: ask for some dozens at a time.
    ///
    /// # Errors
    /// When the disk cannot be read, or they could not be committed.
    pub async fn replay(&self, seqs: Vec<Seq>) -> Result<Vec<Moved>, LeaseError> {
        match &self.way {
            Way::One(line) => self.ask(line, |reply| Call::Replay { seqs, reply }).await,
            Way::Many(fleet) => fleet.move_letters(&seqs, true).await,
        }
    }

    /// Drops dead letters, committed. As [`Queue::replay`] for the rest; one that is damaged goes as well.
    ///
    /// # Errors
    /// As [`Queue::replay`].
    pub async fn discard(&self, seqs: Vec<Seq>) -> Result<Vec<Moved>, LeaseError> {
        match &self.way {
            Way::One(line) => self.ask(line, |reply| Call::Discard { seqs, reply }).await,
            Way::Many(fleet) => fleet.move_letters(&seqs, false).await,
        }
    }

    /// Looks whether the next messages after `after` are what was written, on the writer's thread: a bounded piece, so ask until
    /// there is no [`Verified::next`].
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub async fn verify(&self, after: Option<Cursor>) -> Result<Verified, LeaseError> {
        self.call(|reply| Call::Verify { after, reply }).await
    }

    /// How many dead letters there are, by reason code.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub async fn dead_letter_counts(&self) -> Result<Vec<(String, u64)>, LeaseError> {
        let mut counts = BTreeMap::new();
        for line in self.way.lines() {
            for (code, count) in self.ask(&line, |reply| Call::DeadLetterCounts { reply }).await? {
                *counts.entry(code).or_default() += count;
            }
        }
        Ok(counts.into_iter().collect())
    }

    /// The picture as of the last commit. Never waits.
    pub fn stats(&self) -> Stats {
        match &self.way {
            Way::One(line) => line.board.stats(),
            Way::Many(fleet) => fleet.stats(),
        }
    }

    /// Gives all parts of a shared queue away, to who may deliver; puts are taken as before. Of one that is ours alone: nothing.
    pub async fn leave(&self) {
        match &self.way {
            Way::One(_) => {}
            Way::Many(fleet) => fleet.leave().await,
        }
    }

    /// Commits what is waiting, closes the store and lets the lock go. Puts and outcomes that come later find the
    /// queue closed.
    pub async fn close(&self) {
        match &self.way {
            Way::One(line) => {
                let (reply, answer) = oneshot::channel();
                line.tell(Command::Close { reply });
                // An error says that the writer is gone already, which is what was wanted.
                let _ = answer.await;
            }
            Way::Many(fleet) => fleet.close().await,
        }
    }

    /// Of the one queue that is kept in files.
    pub(crate) async fn call<T>(&self, call: impl FnOnce(Answer<T>) -> Call) -> Result<T, LeaseError> {
        match &self.way {
            Way::One(line) => self.ask(line, call).await,
            Way::Many(_) => Err(LeaseError::Failed("this queue is kept in a storage account, not in files".into())),
        }
    }

    async fn call_of<T>(&self, lane: &str, call: impl FnOnce(Answer<T>) -> Call) -> Result<T, LeaseError> {
        let line = self.way.line_of(lane).ok_or(LeaseError::Elsewhere)?;
        self.ask(&line, call).await
    }

    /// One question about many lanes, to whoever has them; `nobody` for those that are another process's.
    async fn spread<T: Clone>(
        &self,
        lanes: Vec<String>,
        nobody: impl Into<T>,
        call: impl Fn(Vec<String>, Answer<Vec<T>>) -> Call,
    ) -> Result<Vec<T>, LeaseError> {
        let fleet = match &self.way {
            Way::One(line) => return self.ask(line, |reply| call(lanes, reply)).await,
            Way::Many(fleet) => fleet,
        };
        let mut answers = vec![nobody.into(); lanes.len()];
        let mut by_partition: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (at, lane) in lanes.iter().enumerate() {
            by_partition.entry(fleet.partition_of(lane)).or_default().push(at);
        }
        for places in by_partition.into_values() {
            let some: Vec<String> = places.iter().map(|at| lanes[*at].clone()).collect();
            let Some(line) = some.first().and_then(|lane| self.way.line_of(lane)) else { continue };
            // One that was lost on the way is another's.
            let Ok(found) = self.ask(&line, |reply| call(some, reply)).await else { continue };
            places.into_iter().zip(found).for_each(|(at, found)| answers[at] = found);
        }
        Ok(answers)
    }

    async fn ask<T>(&self, line: &Line, call: impl FnOnce(Answer<T>) -> Call) -> Result<T, LeaseError> {
        let permit = self.calls.clone().acquire_owned().await.map_err(|_| LeaseError::Closed)?;
        let (reply, answer) = oneshot::channel();
        line.commands.send(Command::Call(call(reply), permit)).map_err(|_| LeaseError::Closed)?;
        answer.await.unwrap_or(Err(LeaseError::Closed))
    }
}

/// The stream of leases.
#[derive(Debug)]
pub struct Leases {
    way: Way,
    messages: mpsc::UnboundedReceiver<Message>,
}

impl Leases {
    /// The next message that is ready; waits for one. `None` after [`Leases::stop`] or close. Cancel safe.
    pub async fn next(&mut self) -> Option<Lease> {
        loop {
            let message = self.messages.recv().await?;
            // One whose partition was lost on the way here is another's.
            if let Some(line) = self.way.line_of(&message.lane) {
                return Some(Lease { duty: Some(Duty { line, seq: message.seq }), message });
            }
        }
    }

    /// No more leases; those handed out stay valid. Those that nobody took go back.
    pub fn stop(&mut self) {
        self.messages.close();
        // Not `try_recv`: it takes a message that the writer's thread is about to push for none, and the message would
        // stay leased to nobody. Pending means such a push is under way, and lasts a few instructions.
        loop {
            let next = pin!(unconstrained(self.messages.recv()));
            match next.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Some(message)) => {
                    if let Some(line) = self.way.line_of(&message.lane) {
                        line.tell(Command::HandBack { seq: message.seq, dropped: Dropped::Untaken });
                    }
                }
                Poll::Ready(None) => return,
                Poll::Pending => std::thread::yield_now(),
            }
        }
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The duty to settle one message. Dropping it means *not done*: the message is ready again (after a second, when
/// a panic dropped it), and the drop is counted.
#[must_use = "a dropped lease hands the message back"]
#[derive(Debug)]
pub struct Lease {
    message: Message,
    duty: Option<Duty>,
}

#[derive(Debug)]
struct Duty {
    line: Line,
    seq: Seq,
}

impl Lease {
    /// The message.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// Whether whoever handed it out still does that: false once its part of a shared queue was lost, also when that part is ours again.
    /// The message is handed out anew then, here or elsewhere.
    pub fn is_current(&self) -> bool {
        self.duty.as_ref().is_some_and(|duty| !duty.line.commands.is_closed())
    }

    /// Done: it leaves the queue. Returns once that is committed.
    ///
    /// # Errors
    /// When it could not be committed; the message comes again.
    pub async fn settle(self, settle: Settle) -> Result<(), LeaseError> {
        self.ends(Outcome::Done(settle)).await
    }

    /// Understood but of no use to anybody yet: set aside in a bounded ring, newest win. Committed.
    ///
    /// # Errors
    /// As [`Lease::settle`].
    pub async fn keep(self) -> Result<(), LeaseError> {
        self.ends(Outcome::Keep).await
    }

    /// Never: to the dead letters. Committed.
    ///
    /// # Errors
    /// As [`Lease::settle`].
    pub async fn bury(self, reason: Reason, settle: Settle) -> Result<(), LeaseError> {
        self.ends(Outcome::Bury(reason, settle)).await
    }

    /// Not now: counts an attempt. Committed.
    ///
    /// # Errors
    /// As [`Lease::settle`].
    pub async fn retry(self, retry: Retry) -> Result<(), LeaseError> {
        self.ends(Outcome::Retry(retry)).await
    }

    /// Back to the queue without counting an attempt, until `wait` is over or a [`Queue::wake`] of its lane comes.
    /// Held in memory only: after a restart it is ready at once.
    pub fn release_for(mut self, wait: Duration) {
        if let Some(Duty { line, seq }) = self.duty.take() {
            line.tell(Command::Release { seq, wait });
        }
    }

    async fn ends(mut self, outcome: Outcome) -> Result<(), LeaseError> {
        let Some(Duty { line, seq }) = self.duty.take() else { return Err(LeaseError::Closed) };
        let (reply, answer) = oneshot::channel();
        line.commands.send(Command::Outcome { seq, outcome, reply }).map_err(|_| LeaseError::Closed)?;
        answer.await.unwrap_or(Err(LeaseError::Closed))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(Duty { line, seq }) = self.duty.take() {
            let dropped = if std::thread::panicking() { Dropped::InPanic } else { Dropped::Taken };
            line.tell(Command::HandBack { seq, dropped });
        }
    }
}
