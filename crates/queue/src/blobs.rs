//! What several machines share: named blobs of a storage account, as far as the queue needs them. No word of Azure: whoever carries
//! it out (the `storage` crate) knows its protocol.
//!
//! An implementation promises: one try a call, ended within its bound ([`CALL_MAX`], [`LARGE_CALL_MAX`]); an answer that was a decision is a value, all
//! else is a [`Failure`] with its cause; nothing is tried again here, for who asks knows what a second try means.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

use crate::UnixMillis;

pub mod double; // an account in memory

/// Longest that a call takes, connecting included. A lease has to be renewed within 12 s, so three tries of a small call must fit.
pub const CALL_MAX: Duration = Duration::from_secs(3);

/// Longest for one that carries a large body, either way: 4 MiB in 10 s is 3.4 Mbit/s, and slower than that is no place for a queue.
pub const LARGE_CALL_MAX: Duration = Duration::from_secs(10);

/// Largest blob that is put: a door's commit (4 MiB, and one message more), a snapshot of a partition.
pub const BLOB_BYTES_MAX: usize = 64 << 20;

/// Names of one page of [`Blobs::list`].
pub const LIST_MAX: usize = 5_000;

/// A call under way.
pub type Asked<'a, T> = Pin<Box<dyn Future<Output = Reply<T>> + Send + 'a>>;

/// How a call ended.
#[derive(Clone, Debug)]
pub struct Reply<T> {
    /// The service's clock when it answered, in whole seconds as it tells them; none where nobody answered.
    pub date: Option<UnixMillis>,
    /// What the service answered, with the request's id, where that was the operation's other decision; for the log.
    pub otherwise: Option<String>,
    /// What came of it.
    pub result: Result<T, Failure>,
}

/// Whether a blob was put where there was to be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum New {
    /// It is there now, and this put made it.
    Put,
    /// There is one already, by whomever.
    Taken,
}

/// Whether a blob was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// It is what was given.
    Put,
    /// The lease is not ours, or not any more; nothing was changed.
    NotOurs,
}

/// Who holds the right to a blob. Known to the service and to whoever acquired it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseId(pub String);

/// A blob that was listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its whole name.
    pub name: String,
    /// In bytes.
    pub bytes: u64,
    /// Somebody holds its lease.
    pub is_leased: bool,
    /// When it was put last, in whole seconds.
    pub put_at: UnixMillis,
}

/// A part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// By name.
    pub blobs: Vec<Listed>,
    /// What to ask with for what follows.
    pub next: Option<String>,
}

/// Why a call has no answer that decides. Whether a write happened is unknown with each of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct Failure {
    /// What is to be done about it.
    pub kind: FailureKind,
    /// What the service answered, status and code (`503 ServerBusy`), or a few words that stay the same; tells one cause from another.
    pub code: String,
    /// For a person: what the service said, with its code and the request's id. Without secrets.
    pub cause: String,
    /// The service asks to be left alone for so long.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// One that the service did not speak of.
    pub fn here(kind: FailureKind, cause: String) -> Self {
        Self { kind, code: String::new(), cause, retry_after: None }
    }
}

/// What is to be done about a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureKind {
    /// Busy, away, silent: the same again, later and later.
    Passing,
    /// The credential or its rights: a person has to mend it. The next try may use a newer credential.
    Denied,
    /// The container or the account is not there, or shut: a person has to look.
    NoPlace,
    /// An answer that nobody expected: a defect of ours. Treated as [`FailureKind::Passing`], and told.
    Odd,
}

/// The storage of one container. All names are relative to it.
pub trait Blobs: fmt::Debug + Send + Sync {
    /// Puts a blob where none is.
    fn put_new<'a>(&'a self, name: &'a str, body: Bytes) -> Asked<'a, New>;

    /// Puts a blob whatever is there: without a lease, where nobody holds one; with one, as long as it is ours.
    fn put_over<'a>(&'a self, name: &'a str, body: Bytes, lease: Option<&'a LeaseId>) -> Asked<'a, Over>;

    /// Reads a blob whole; `None` where none is.
    fn get<'a>(&'a self, name: &'a str) -> Asked<'a, Option<Bytes>>;

    /// Blobs whose names begin so, by name, at most [`LIST_MAX`]; `from` is [`Page::next`] of the page before.
    fn list<'a>(&'a self, prefix: &'a str, from: Option<&'a str>) -> Asked<'a, Page>;

    /// Removes a blob: false where none was. One that is leased is not removed, and that is [`FailureKind::Odd`].
    fn delete<'a>(&'a self, name: &'a str) -> Asked<'a, bool>;

    /// Takes the lease of a blob that is there for `length` (15 to 60 s); `None` while another holds it, or where no blob is.
    fn acquire<'a>(&'a self, name: &'a str, length: Duration) -> Asked<'a, Option<LeaseId>>;

    /// From now on for its whole length again: false when it is not ours any more.
    fn renew<'a>(&'a self, name: &'a str, lease: &'a LeaseId) -> Asked<'a, bool>;

    /// Gives it up: false when it was not ours any more.
    fn release<'a>(&'a self, name: &'a str, lease: &'a LeaseId) -> Asked<'a, bool>;

    /// Takes it from whoever has it. For tests and for people: what an owner does not know of it, it finds out at its next call.
    fn break_lease<'a>(&'a self, name: &'a str) -> Asked<'a, ()>;
}
