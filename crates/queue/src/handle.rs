//! The queue's handles: what the rest of the program holds.
//!
//! Promises: a put or an outcome that was asked for is carried out whether or not anybody still waits for the answer;
//! a lease that is dropped comes back. Knows nothing of disks: everything is a message to the writer.

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
use crate::verify::{Cursor, Verified};
use crate::{
    DeadLetter, LaneState, LeaseError, Message, Moved, Note, Put, PutError, Reason, Receipt, Retry, Seen, Seq, Settle,
    Stats, UnixMillis,
};

/// Questions and notes that may be under way at once; more wait for their turn.
const CALLS_MAX: usize = 256;

/// The queue. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Queue {
    line: Line,
    put_count: Arc<Semaphore>,
    put_bytes: Arc<Semaphore>,
    /// One copy of the files at a time.
    pub(crate) copies: Arc<Semaphore>,
    calls: Arc<Semaphore>,
}

/// The way to the writer.
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
    pub(crate) fn new(
        commands: mpsc::UnboundedSender<Command>,
        board: Arc<Board>,
        waiting_puts_max: usize,
        waiting_bytes_max: u32,
    ) -> Self {
        Self {
            line: Line { commands, board },
            put_count: Arc::new(Semaphore::new(waiting_puts_max)),
            put_bytes: Arc::new(Semaphore::new(waiting_bytes_max as usize)),
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
        let room = self.room_for(&put)?;
        let (reply, answer) = oneshot::channel();
        self.line.commands.send(Command::Put { put, reply, room }).map_err(|_| PutError::Closed)?;
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
        self.line.tell(Command::Lease { max, to });
        Leases { line: self.line.clone(), messages }
    }

    /// Makes the head of a released lane ready now (see [`Lease::release_for`]). A wake that comes while the head is
    /// leased counts for the release that follows.
    pub fn wake(&self, lane: &str) {
        if self.line.board.ask_to_wake(lane) {
            self.line.tell(Command::WakeLanes);
        }
    }

    /// Writes notes durably, all or none.
    ///
    /// # Errors
    /// When they could not be committed.
    pub async fn write_notes(&self, notes: Vec<Note>) -> Result<(), LeaseError> {
        self.call(|reply: LeaseReply| Call::WriteNotes { notes, reply }).await
    }

    /// All entries of one collection of notes, by key.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub async fn notes(&self, space: &str) -> Result<Vec<(String, Vec<u8>)>, LeaseError> {
        let space = space.to_owned();
        self.call(|reply| Call::Notes { space, reply }).await
    }

    /// What was seen on a lane, newest last.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub async fn seen(&self, lane: &str) -> Result<Vec<Seen>, LeaseError> {
        let lane = lane.to_owned();
        self.call(|reply| Call::Seen { lane, reply }).await
    }

    /// When something was seen last on each of the lanes, in their order. Reads the disk once a lane, on the writer's
    /// thread: ask for some dozens at a time.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub async fn last_seen(&self, lanes: Vec<String>) -> Result<Vec<Option<UnixMillis>>, LeaseError> {
        self.call(|reply| Call::LastSeen { lanes, reply }).await
    }

    /// What each of the lanes is doing, in their order; `None` for one that holds nothing. From memory; a lookup a lane on
    /// the writer's thread: ask for some hundreds at a time.
    ///
    /// # Errors
    /// When the queue is closed.
    pub async fn lanes(&self, lanes: Vec<String>) -> Result<Vec<Option<LaneState>>, LeaseError> {
        self.call(|reply| Call::Lanes { lanes, reply }).await
    }

    /// The oldest message of a lane, to look at.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub async fn head(&self, lane: &str) -> Result<Option<Message>, LeaseError> {
        let lane = lane.to_owned();
        self.call(|reply| Call::Head { lane, reply }).await
    }

    /// A person says that the cause is mended: lanes that wait after a counted attempt (see [`Lease::retry`]) are ready
    /// now. Returns for each whether it did wait. What [`Lease::release_for`] gave back is for [`Queue::wake`]; one that
    /// is leased is being tried already. In memory only: after a restart the retry's own time counts again. Bound as with
    /// [`Queue::lanes`].
    ///
    /// # Errors
    /// When the queue is closed.
    pub async fn hurry(&self, lanes: Vec<String>) -> Result<Vec<bool>, LeaseError> {
        self.call(|reply| Call::Hurry { lanes, reply }).await
    }

    /// Dead letters, oldest first, after `after`, at most `limit`.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub async fn dead_letters(&self, after: Option<Seq>, limit: usize) -> Result<Vec<DeadLetter>, LeaseError> {
        self.call(|reply| Call::DeadLetters { after, limit, reply }).await
    }

    /// One dead letter, to look at.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub async fn dead_letter(&self, seq: Seq) -> Result<Option<DeadLetter>, LeaseError> {
        self.call(|reply| Call::DeadLetter { seq, reply }).await
    }

    /// Dead letters back to their lanes, each to its old place, as if nothing had been tried: all in one commit. Returns in their
    /// order what became of each. Reads each from the disk first, on the writer's thread: ask for some dozens at a time.
    ///
    /// # Errors
    /// When the disk cannot be read, or they could not be committed.
    pub async fn replay(&self, seqs: Vec<Seq>) -> Result<Vec<Moved>, LeaseError> {
        self.call(|reply| Call::Replay { seqs, reply }).await
    }

    /// Drops dead letters, committed. As [`Queue::replay`] for the rest; one that is damaged goes as well.
    ///
    /// # Errors
    /// As [`Queue::replay`].
    pub async fn discard(&self, seqs: Vec<Seq>) -> Result<Vec<Moved>, LeaseError> {
        self.call(|reply| Call::Discard { seqs, reply }).await
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
        self.call(|reply| Call::DeadLetterCounts { reply }).await
    }

    /// The picture as of the last commit. Never waits.
    pub fn stats(&self) -> Stats {
        self.line.board.stats()
    }

    /// Commits what is waiting, closes the store and lets the lock go. Puts and outcomes that come later find the
    /// queue closed.
    pub async fn close(&self) {
        let (reply, answer) = oneshot::channel();
        self.line.tell(Command::Close { reply });
        // An error says that the writer is gone already, which is what was wanted.
        let _ = answer.await;
    }

    pub(crate) async fn call<T>(&self, call: impl FnOnce(Answer<T>) -> Call) -> Result<T, LeaseError> {
        let permit = self.calls.clone().acquire_owned().await.map_err(|_| LeaseError::Closed)?;
        let (reply, answer) = oneshot::channel();
        self.line.commands.send(Command::Call(call(reply), permit)).map_err(|_| LeaseError::Closed)?;
        answer.await.unwrap_or(Err(LeaseError::Closed))
    }
}

/// The stream of leases.
#[derive(Debug)]
pub struct Leases {
    line: Line,
    messages: mpsc::UnboundedReceiver<Message>,
}

impl Leases {
    /// The next message that is ready; waits for one. `None` after [`Leases::stop`] or close. Cancel safe.
    pub async fn next(&mut self) -> Option<Lease> {
        let message = self.messages.recv().await?;
        Some(Lease { duty: Some(Duty { line: self.line.clone(), seq: message.seq }), message })
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
                    self.line.tell(Command::HandBack { seq: message.seq, dropped: Dropped::Untaken });
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
