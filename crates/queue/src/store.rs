//! What the queue needs of a disk. [`crate::sqlite`] keeps it; [`crate::memory`] is the reference with faults to order.
//!
//! A store promises: [`Store::commit`] is all or nothing, and `Ok` means on stable storage. It decides nothing: which
//! message is leased, when, and in what order is [`crate::core`]'s.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Weak};

use tokio::time::Instant;

use crate::backup::Hold;
use crate::fleet::{Arrival, Positions};
use crate::lanes::Head;
use crate::verify::{Cursor, Verified};
use crate::{Burial, DeadLetter, Message, Note, Place, Put, Reason, Retry, Seen, Seq, Settle, UnixMillis};

/// How many seen keys a lane keeps: a network repeats a message within a few tries, and 64 uplinks of one device are
/// minutes at the fastest data rate. 64 x 24 bytes = 1.5 KiB per device.
pub(crate) const SEEN_MAX: usize = 64;

/// How long a seen key counts.
pub(crate) const SEEN_MS_MAX: UnixMillis = 24 * 60 * 60 * 1_000;

/// The position that the next put gets. Gaps are allowed (a refused put leaves one), reuse is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NextSeq(pub(crate) u64);

impl NextSeq {
    pub(crate) fn take(&mut self) -> Seq {
        let seq = Seq(self.0);
        self.0 += 1;
        seq
    }
}

/// One change. Those of one commit happen together.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Put {
        seq: Seq,
        put: Put,
        /// Written with it, or not at all.
        note: Option<Note>,
    },
    Done {
        lane: Arc<str>,
        seq: Seq,
        settle: Settle,
    },
    Keep {
        lane: Arc<str>,
        seq: Seq,
        at: UnixMillis,
    },
    Bury {
        lane: Arc<str>,
        seq: Seq,
        reason: Reason,
        settle: Settle,
        at: UnixMillis,
    },
    /// The wait begins when the attempt ended.
    Retry {
        lane: Arc<str>,
        seq: Seq,
        retry: Retry,
        ended_at: UnixMillis,
    },
    Notes(Vec<Note>),
    /// Dead letters back to their lanes, each to its old place.
    Replay(Vec<(Arc<str>, Seq)>),
    /// Dead letters that nobody wants.
    Discard(Vec<Seq>),
}

impl Op {
    /// Puts are the only changes that need room that is not set aside.
    pub(crate) fn is_put(&self) -> bool {
        matches!(self, Self::Put { .. })
    }

    /// The leased message that this is the outcome of.
    pub(crate) fn leased(&self) -> Option<(&Arc<str>, Seq)> {
        match self {
            Self::Done { lane, seq, .. }
            | Self::Keep { lane, seq, .. }
            | Self::Bury { lane, seq, .. }
            | Self::Retry { lane, seq, .. } => Some((lane, *seq)),
            Self::Put { .. } | Self::Notes(_) | Self::Replay(_) | Self::Discard(_) => None,
        }
    }

    /// What is to be written of a put that does not go to its lane.
    pub(crate) fn buried_at_once(put: &Put) -> Option<Burial> {
        match &put.place {
            Place::Lane => None,
            Place::DeadLetters(reason) => Some(Burial::at_once(reason.clone(), put.accepted_at)),
            Place::Import(burial) => Some(Burial::clone(burial)),
        }
    }
}

/// Why a commit did not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CommitError {
    /// No room; nothing was changed.
    Full(String),
    /// The file is broken where one of the changes belongs; nothing was changed. The others may do alone.
    Damaged(String),
    /// Unknown whether it happened: the store must be reopened before it is asked anything else.
    Failed(String),
    /// It is not ours any more, so nothing is to be done with it: somebody else goes on.
    Lost(String),
}

/// What the disk said, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble(pub(crate) String);

/// A message that was looked for.
#[derive(Debug)]
pub(crate) enum Found {
    Message(Box<Message>),
    /// It is there, but not as it was written.
    Damaged,
    /// Or named, and not there.
    Missing,
    /// It has to be fetched first.
    Away,
}

/// What is in the store, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) waiting: u64,
    pub(crate) waiting_bytes: u64,
    pub(crate) dead_letters: Shelf,
    pub(crate) kept: Shelf,
}

/// Messages set aside, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Shelf {
    pub(crate) count: u64,
    /// By [`bytes_set_aside`].
    pub(crate) bytes: u64,
    /// Pushed out or expired, since the store was made.
    pub(crate) gone: u64,
}

impl Shelf {
    pub(crate) fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }

    /// One was taken out by whoever wanted it out. See [`Shelf::lose`].
    pub(crate) fn take(&mut self, bytes: u64) {
        self.lose(bytes);
        self.gone -= 1;
    }

    /// One went. What a damaged row says of its bytes must not make the sum run under.
    pub(crate) fn lose(&mut self, bytes: u64) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.gone += 1;
    }
}

/// What is set aside beside its head and body: names, reason, attempts, cause and keys in two rows. Without it a hundred
/// thousand empty messages would take no bytes at all.
const ROWS_BYTES: u64 = 512;

/// What a message with this much head and body takes from the bound.
pub(crate) fn bytes_set_aside(head_and_body: u64) -> u64 {
    head_and_body + ROWS_BYTES
}

/// Of each kind at most this many go with one commit: more than the 512 that a commit of the writer can add, so that a
/// surplus shrinks, and little enough that a bound that was lowered does not hold up the door.
pub(crate) const GONE_AT_ONCE: usize = 1_024;

/// Bounds on what is set aside; the oldest positions go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) dead_letters: Bound,
    pub(crate) kept: Bound,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) count_max: u64,
    pub(crate) bytes_max: u64,
    pub(crate) age_ms_max: UnixMillis,
}

impl Bound {
    /// Whether the oldest must go, which was set aside at `at`. The last one stays whatever its bytes: a message larger
    /// than the whole bound is set aside like any other, and pushes out all before it.
    pub(crate) fn pushes_out(&self, shelf: Shelf, at: UnixMillis, now: UnixMillis) -> bool {
        let too_many = shelf.count > self.count_max;
        let too_large = shelf.bytes > self.bytes_max && shelf.count > 1;
        too_many || too_large || now.saturating_sub(at) > self.age_ms_max
    }
}

/// A disk at work.
pub(crate) type Doing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A message on its way.
pub(crate) type Fetching = Pin<Box<dyn Future<Output = Result<Found, Trouble>> + Send>>;

/// A disk, as far as the queue can see.
pub(crate) trait Store {
    /// The position for the next put: above all that were ever given.
    fn next_seq(&self) -> NextSeq;
    fn totals(&self) -> Totals;
    /// The heads of at most `limit` lanes in the order of their names, after `after`.
    fn lanes_after(&mut self, after: Option<&str>, limit: usize) -> Result<Vec<(String, Head)>, Trouble>;
    fn head_of(&mut self, lane: &str) -> Result<Option<Head>, Trouble>;
    /// From now on nothing of the file changes, and only the log grows, until the hold is dropped or broken, as it is by the next.
    /// Where both are.
    fn hold(&mut self, _hold: Weak<Hold>) -> Result<PathBuf, Trouble> {
        Err(Trouble("it is not kept in files".into()))
    }
    /// How many messages are in a lane: a step for each, 50 ms for half a million.
    fn waiting_in(&mut self, lane: &str) -> Result<u64, Trouble>;
    fn read(&mut self, lane: &str, seq: Seq) -> Result<Found, Trouble>;
    /// All of `ops`, and then what the [`Bounds`] push out at `now`. Before puts are refused for lack of room, what is
    /// set aside makes room for them.
    fn commit(&mut self, ops: &[Op], now: UnixMillis) -> Result<(), CommitError>;
    fn notes(&mut self, space: &str) -> Result<Vec<(String, Vec<u8>)>, Trouble>;
    fn seen(&mut self, lane: &str) -> Result<Vec<Seen>, Trouble>;
    fn dead_letters(&mut self, after: Option<Seq>, limit: usize) -> Result<Vec<DeadLetter>, Trouble>;
    fn dead_letter(&mut self, seq: Seq) -> Result<Option<DeadLetter>, Trouble>;
    /// The next rows after `after`, at most `limit`.
    fn verify(&mut self, after: Option<&Cursor>, limit: usize) -> Result<Verified, Trouble>;
    fn dead_letter_counts(&mut self) -> Result<Vec<(String, u64)>, Trouble>;
    /// Forgets everything that is not on the disk and reads it anew. After `Ok` the next commit can be trusted.
    fn reopen(&mut self) -> Result<(), Trouble>;
    /// When what it keeps is broken, by what it has seen itself or by what the caller has found: writes what can be read anew.
    /// True when that was done; then everything is to be read again. At most once after it was opened.
    fn rescue(&mut self, _found: Option<&str>) -> Result<bool, Trouble> {
        Ok(false)
    }
    /// After [`CommitError::Full`]: `Ok` once there is room for puts again. What is set aside makes room here too.
    fn make_room(&mut self) -> Result<(), Trouble>;
    /// A bounded piece of housekeeping; true when there is more.
    fn tidy(&mut self) -> bool {
        false
    }
    /// What was found to be damaged since the store was opened, when it is more than single messages.
    fn damage(&self) -> Option<String> {
        None
    }
    /// After [`Found::Away`].
    fn fetch(&mut self, _lane: &str, _seq: Seq) -> Fetching {
        Box::pin(std::future::ready(Ok(Found::Missing)))
    }
    /// What was put elsewhere has come, up to these positions. It is kept already.
    fn arrive(&mut self, _arrivals: &[Arrival], _positions: Positions) {}
    /// What came for this lane may not wait there: the next commit buries it.
    fn is_refused(&mut self, _lane: &Arc<str>, _seq: Seq, _reason: Reason) {}
    /// There is something to commit that nobody here has asked for.
    fn wants_commit(&self) -> bool {
        false
    }
    /// The next commit is not to begin earlier.
    fn not_before(&self) -> Option<Instant> {
        None
    }
    /// Lanes into which the last commit has brought something back.
    fn risen(&mut self) -> Vec<Arc<str>> {
        Vec::new()
    }
    /// What makes it easier for who opens it next, after the last commit.
    fn last(&mut self) -> Option<Doing> {
        None
    }
    /// The commit of these changes begins; it is made once this is ready. The reference store's way to take time without
    /// blocking a thread.
    fn begin(&mut self, _ops: &[Op], _now: UnixMillis) -> Option<Doing> {
        None
    }
}

/// The ring of seen keys with one more: newest last, at most [`SEEN_MAX`], none older than [`SEEN_MS_MAX`] before the
/// newest. A key that is there already moves to the end.
pub(crate) fn remember(ring: &mut Vec<Seen>, seen: Seen) {
    ring.retain(|old| old.key != seen.key && seen.at.saturating_sub(old.at) <= SEEN_MS_MAX);
    ring.push(seen);
    let surplus = ring.len().saturating_sub(SEEN_MAX);
    ring.drain(..surplus);
}
