//! What the handles ask of the writer. One channel carries it all, in order.
//!
//! The channel itself has no bound, its senders have: a put holds permits for its count and its bytes, a call holds one
//! permit, an outcome is sent once for each of the leases that are out, and a wake once until it is read.

use std::path::PathBuf;
use std::sync::Weak;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::backup::Hold;
use crate::core::{Dropped, Outcome};
use crate::fleet::{Arrival, Positions};
use crate::verify::{Cursor, Verified};
use crate::{DeadLetter, LaneState, LeaseError, Message, Moved, Note, Put, PutError, Receipt, Seen, Seq, UnixMillis};

pub(crate) type PutReply = oneshot::Sender<Result<Receipt, PutError>>;
pub(crate) type LeaseReply = oneshot::Sender<Result<(), LeaseError>>;
pub(crate) type Answer<T> = oneshot::Sender<Result<T, LeaseError>>;

/// Held until the answer is sent, so that what waits is bounded, not only what is queued.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) _count: OwnedSemaphorePermit,
    pub(crate) _bytes: OwnedSemaphorePermit,
}

#[derive(Debug)]
pub(crate) enum Command {
    Put {
        put: Put,
        /// Committed together with it.
        note: Option<Note>,
        reply: PutReply,
        room: Room,
    },
    Outcome {
        seq: Seq,
        outcome: Outcome,
        reply: LeaseReply,
    },
    Release {
        seq: Seq,
        wait: Duration,
    },
    HandBack {
        seq: Seq,
        dropped: Dropped,
    },
    WakeLanes,
    Lease {
        max: usize,
        to: mpsc::UnboundedSender<Message>,
    },
    Call(Call, OwnedSemaphorePermit),
    /// What was put elsewhere is here, up to these positions. One such command is under way at a time.
    Arrived {
        arrivals: Vec<Arrival>,
        positions: Positions,
        done: oneshot::Sender<()>,
    },
    Close {
        reply: oneshot::Sender<()>,
    },
}

/// Questions and notes.
#[derive(Debug)]
pub(crate) enum Call {
    WriteNotes { notes: Vec<Note>, reply: LeaseReply },
    Notes { space: String, reply: Answer<Vec<(String, Vec<u8>)>> },
    Seen { lane: String, reply: Answer<Vec<Seen>> },
    LastSeen { lanes: Vec<String>, reply: Answer<Vec<Option<UnixMillis>>> },
    Lanes { lanes: Vec<String>, reply: Answer<Vec<Option<LaneState>>> },
    LanesOlderThan { at: UnixMillis, reply: Answer<u64> },
    Head { lane: String, reply: Answer<Option<Message>> },
    Hurry { lanes: Vec<String>, reply: Answer<Vec<bool>> },
    DeadLetters { after: Option<Seq>, limit: usize, reply: Answer<Vec<DeadLetter>> },
    DeadLetter { seq: Seq, reply: Answer<Option<DeadLetter>> },
    Replay { seqs: Vec<Seq>, reply: Answer<Vec<Moved>> },
    Discard { seqs: Vec<Seq>, reply: Answer<Vec<Moved>> },
    Verify { after: Option<Cursor>, reply: Answer<Verified> },
    Hold { hold: Weak<Hold>, reply: Answer<PathBuf> },
    DeadLetterCounts { reply: Answer<Vec<(String, u64)>> },
}
