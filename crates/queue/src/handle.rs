//! The queue's handles: what the rest of the program holds.

use crate::{
    DeadLetter, LeaseError, Message, Note, Put, PutError, Reason, Receipt, Retry, Seen, Settle, Stats, UnixMillis,
};

/// The queue. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Queue {}

impl Queue {
    /// Keeps a message. Returns once it is on stable storage. Dropping the future does not take the put back:
    /// it may still be committed, and is delivered then.
    ///
    /// # Errors
    /// See [`PutError`]; nothing but a [`Receipt`] means kept.
    pub async fn put(&self, _put: Put) -> Result<Receipt, PutError> {
        todo!()
    }
    /// Starts handing out messages, at most `max` at a time. One stream at a time.
    pub fn leases(&self, _max: usize) -> Leases {
        todo!()
    }
    /// Makes the head of a released lane ready now (see [`Lease::release_until`]).
    pub fn wake(&self, _lane: &str) {
        todo!()
    }
    /// Writes notes durably, all or none.
    pub async fn write_notes(&self, _notes: Vec<Note>) -> Result<(), LeaseError> {
        todo!()
    }
    /// All entries of one collection of notes.
    pub async fn notes(&self, _space: &str) -> Result<Vec<(String, Vec<u8>)>, LeaseError> {
        todo!()
    }
    /// What was seen on a lane, newest last.
    pub async fn seen(&self, _lane: &str) -> Result<Vec<Seen>, LeaseError> {
        todo!()
    }
    /// Dead letters, oldest first, after `after`, at most `limit`.
    pub async fn dead_letters(&self, _after: Option<crate::Seq>, _limit: usize) -> Result<Vec<DeadLetter>, LeaseError> {
        todo!()
    }
    /// How many dead letters there are, by reason code.
    pub async fn dead_letter_counts(&self) -> Result<Vec<(String, u64)>, LeaseError> {
        todo!()
    }
    /// The picture as of the last commit. Never waits.
    pub fn stats(&self) -> Stats {
        todo!()
    }
    /// Commits what is waiting, closes the store and lets the lock go.
    pub async fn close(&self) {
        todo!()
    }
}

/// The stream of leases.
#[derive(Debug)]
pub struct Leases {}

impl Leases {
    /// The next message that is ready; waits for one. `None` after [`Leases::stop`] or close.
    pub async fn next(&mut self) -> Option<Lease> {
        todo!()
    }
    /// No more leases; those handed out stay valid.
    pub fn stop(&mut self) {
        todo!()
    }
}

/// The duty to settle one message. Dropping it means *not done*: the message is ready again, and the drop is counted.
#[must_use = "a dropped lease hands the message back"]
#[derive(Debug)]
pub struct Lease {}

impl Lease {
    /// The message.
    pub fn message(&self) -> &Message {
        todo!()
    }
    /// Done: it leaves the queue. Returns once that is committed.
    ///
    /// # Errors
    /// When it could not be committed; the message comes again.
    pub async fn settle(self, _settle: Settle) -> Result<(), LeaseError> {
        todo!()
    }
    /// Understood but of no use to anybody yet: set aside in a bounded ring, newest win. Committed.
    ///
    /// # Errors
    /// As [`Lease::settle`].
    pub async fn keep(self) -> Result<(), LeaseError> {
        todo!()
    }
    /// Never: to the dead letters. Committed.
    ///
    /// # Errors
    /// As [`Lease::settle`].
    pub async fn bury(self, _reason: Reason, _settle: Settle) -> Result<(), LeaseError> {
        todo!()
    }
    /// Not now: counts an attempt. Committed.
    ///
    /// # Errors
    /// As [`Lease::settle`].
    pub async fn retry(self, _retry: Retry) -> Result<(), LeaseError> {
        todo!()
    }
    /// Back to the queue without counting an attempt, not before `at` or a [`Queue::wake`] of its lane.
    /// Held in memory only: after a restart it is ready at once.
    pub fn release_until(self, _at: UnixMillis) {
        todo!()
    }
}
