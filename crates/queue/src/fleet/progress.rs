//! An owner's log: what became of the messages of a partition, one blob a commit.
//!
//! Promises: what [`Progress::append`] says is there is read by every later owner; once a later owner has begun, nothing more of
//! ours counts, whatever we believe; who has lost the partition finds out at its next commit at the latest.
//!
//! The fence is the number. A new owner reads to the end and takes the next one under a higher epoch; then ours is taken, or
//! comes behind it and is of a lower epoch than what was before, which no reader counts. What cannot be read is read again; what a
//! newer version has written is never passed over.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::Instant;

use super::account::{Account, Whose};
use super::format::{Change, Progress as Commit, Unreadable, seal, unseal};
use super::names::{self, Partition};
use super::term::Term;
use crate::UnixMillis;
use crate::blobs::{Failure, FailureKind};

/// Blobs that are asked for at once when the log is read.
const AT_ONCE: u64 = 16;

/// Why a commit did not become one, as far as we know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lost(pub(crate) String);

/// What is there, and where it goes on.
#[derive(Debug)]
pub(crate) struct Past {
    /// Those that count, from the first that was asked for.
    pub(crate) commits: Vec<Commit>,
    /// The number after the last one.
    pub(crate) next: u64,
    /// Of the last owner.
    pub(crate) epoch: u64,
    /// The numbers that owners began with: those stay.
    pub(crate) begins: Vec<u64>,
}

impl Past {
    pub(crate) fn new(from: u64) -> Self {
        Self { commits: Vec::new(), next: from, epoch: 0, begins: Vec::new() }
    }

    /// PURE: the blob at the next number. What cannot be read was never told to anybody as done, or is told here.
    pub(crate) fn saw(&mut self, partition: Partition, body: &[u8]) {
        let number = self.next;
        self.next += 1;
        match unseal::<Commit>(body) {
            Ok(commit) if commit.epoch < self.epoch => {
                let (epoch, process) = (commit.epoch, commit.process);
                tracing::warn!(
                    partition = partition.0,
                    number,
                    epoch,
                    process,
                    "a commit of who did not own the partition any more does not count"
                );
            }
            Ok(commit) => {
                if commit.epoch > self.epoch {
                    self.begins.push(number);
                }
                self.epoch = commit.epoch;
                self.commits.push(commit);
            }
            Err(cause) => {
                tracing::error!(partition = partition.0, number, %cause, "a commit of an owner cannot be read");
            }
        }
    }
}

/// Reads on to the end.
///
/// # Errors
/// When the account gives no answer before `end`.
pub(crate) async fn read_on(
    account: &Account,
    partition: Partition,
    past: &mut Past,
    end: Instant,
) -> Result<(), Failure> {
    let mut width = 1;
    loop {
        let get = |number| {
            let name = names::progress(partition, number);
            async move { account.until(Some(end), || account.blobs.get(&name)).await }
        };
        let found = join_all((past.next..past.next + width).map(get)).await;
        for body in found {
            match body? {
                Some(body) => {
                    let body = sound(account, partition, past.next, body, end).await?;
                    past.saw(partition, &body);
                }
                None => return Ok(()),
            }
        }
        width = (width * 2).min(AT_ONCE);
    }
}

/// What came as the blob at this number, or comes when it is read again because that is not what was written.
///
/// # Errors
/// When the account gives no answer before `end`, or a newer version has written it.
async fn sound(
    account: &Account,
    partition: Partition,
    number: u64,
    body: Bytes,
    end: Instant,
) -> Result<Bytes, Failure> {
    let name = names::progress(partition, number);
    let (mut body, mut is_again) = (body, false);
    loop {
        match unseal::<Commit>(&body) {
            Err(Unreadable::Newer) => {
                let cause =
                    format!("{name} was written by a newer version; this process waits until it is replaced by one");
                return Err(Failure::here(FailureKind::Odd, cause));
            }
            Err(Unreadable::Damaged) if !is_again => {
                tracing::warn!(name, "a commit came otherwise than it was written: its checksum is wrong; read again");
                is_again = true;
                if let Some(again) = account.until(Some(end), || account.blobs.get(&name)).await? {
                    body = again;
                }
            }
            Ok(_) | Err(Unreadable::Damaged) => return Ok(body),
        }
    }
}

/// Reads to the end and takes the next number. What was committed before is in what was read; nothing of anybody else follows.
///
/// # Errors
/// When the account gives no answer before the term ends, or somebody has begun after us.
pub(crate) async fn begin(
    account: &Arc<Account>,
    partition: Partition,
    process: &Arc<str>,
    term: &Arc<Term>,
    from: u64,
) -> Result<(Past, Progress), Failure> {
    let (mut past, end) = (Past::new(from), term.end_at());
    loop {
        read_on(account, partition, &mut past, end).await?;
        let epoch = past.epoch + 1;
        let commit = Commit { epoch, process: process.to_string(), at: account.now(), changes: Vec::new() };
        let body = seal(&commit);
        match account.settle(Some(end), &names::progress(partition, past.next), &body).await? {
            Whose::Ours => {
                past.begins.push(past.next);
                past.next += 1;
                past.epoch = epoch;
                let (account, process, term) = (account.clone(), process.clone(), term.clone());
                let progress = Progress { account, partition, process, term, epoch };
                return Ok((past, progress));
            }
            Whose::Theirs(body) => {
                let body = sound(account, partition, past.next, body, end).await?;
                past.saw(partition, &body);
            }
        }
    }
}

/// The right to write on.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    account: Arc<Account>,
    partition: Partition,
    process: Arc<str>,
    term: Arc<Term>,
    epoch: u64,
}

impl Progress {
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Commits, at this number or, where somebody's lie is in the way, behind it. Returns the number that follows.
    ///
    /// # Errors
    /// When the partition is somebody else's, or our term ends before it is decided. Then it may be there, and count, or not.
    pub(crate) async fn append(&self, number: u64, changes: Vec<Change>, at: UnixMillis) -> Result<u64, Lost> {
        let commit = Commit { epoch: self.epoch, process: self.process.to_string(), at, changes };
        self.put(number, &seal(&commit)).await
    }

    async fn put(&self, mut number: u64, body: &Bytes) -> Result<u64, Lost> {
        loop {
            if !self.term.holds() {
                return Err(Lost("our term is over".into()));
            }
            let name = names::progress(self.partition, number);
            let theirs = match self.account.settle(Some(self.term.end_at()), &name, body).await {
                Ok(Whose::Ours) => return Ok(number + 1),
                Ok(Whose::Theirs(theirs)) => theirs,
                Err(failure) => return Err(Lost(format!("not decided before our term ended: {failure}"))),
            };
            match unseal::<Commit>(&theirs) {
                Ok(commit) if commit.epoch >= self.epoch => {
                    return Err(Lost(format!("{} has it since epoch {}", commit.process, commit.epoch)));
                }
                // Of who had it before us and does not know: it does not count, but the number is gone.
                Ok(_) => number += 1,
                // It may be a fence. If it is none, whoever begins next finds that out.
                Err(cause) => return Err(Lost(format!("{name} is not ours, and cannot be read: {cause}"))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::blobs::double::{self, Client, Fault};
    use crate::fleet::account::tests::clock;
    use crate::{Note, Seq};

    struct Who {
        account: Arc<Account>,
        client: Client,
        term: Arc<Term>,
        name: Arc<str>,
    }

    fn who(there: &double::Account, name: &str) -> Who {
        let client = there.client();
        let account = Arc::new(Account::new(Arc::new(client.clone()), clock()));
        let term = Arc::new(Term::new(clock(), clock()()));
        Who { account, client, term, name: name.into() }
    }

    impl Who {
        async fn begin(&self) -> (Past, Progress) {
            begin(&self.account, Partition(0), &self.name, &self.term, 1).await.unwrap()
        }
    }

    fn note(key: &str) -> Vec<Change> {
        vec![Change::Note(Note { space: "s".into(), key: key.into(), value: Some(Vec::new()) })]
    }

    fn keys(past: &Past) -> Vec<String> {
        let key = |change: &Change| match change {
            Change::Note(note) => note.key.clone(),
            other => format!("{other:?}"),
        };
        past.commits.iter().flat_map(|commit| &commit.changes).map(key).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_committed_is_read_by_the_next_owner_and_by_nobody_what_the_last_one_writes_then() {
        let there = double::Account::new(clock());
        let (one, other, third) = (who(&there, "one"), who(&there, "other"), who(&there, "third"));
        let (past, ours) = one.begin().await;
        let next = ours.append(past.next, note("kept"), 1).await.unwrap();
        let (past, theirs) = other.begin().await;
        assert_eq!((keys(&past), past.epoch, past.begins.clone()), (vec!["kept".to_owned()], 2, vec![1, 3]));
        let lost = ours.append(next, note("late"), 2).await.unwrap_err();
        assert!(lost.0.contains("other"), "{lost:?}");
        // A liar goes on behind the fence, with a number that the owner was going to take.
        ours.append(next + 1, note("lie"), 3).await.unwrap();
        let next = theirs.append(past.next, note("on"), 4).await.unwrap();
        assert_eq!(next, past.next + 2);
        let (past, _) = third.begin().await;
        assert_eq!((keys(&past), past.epoch), (vec!["kept".to_owned(), "on".to_owned()], 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_that_arrives_after_the_fence_is_none() {
        let there = double::Account::new(clock());
        let one = who(&there, "one");
        let (past, ours) = one.begin().await;
        one.client.order("part/", Fault::Late(Duration::from_secs(20)));
        let put = tokio::spawn({
            let (ours, next) = (ours.clone(), past.next);
            async move { ours.append(next, note("late"), 1).await }
        });
        tokio::time::sleep(Duration::from_millis(10)).await;
        one.client.cut(true);
        tokio::time::sleep(Duration::from_secs(13)).await;
        let other = who(&there, "other");
        assert!(put.await.unwrap().unwrap_err().0.contains("term"));
        let (past, theirs) = other.begin().await;
        let next = theirs.append(past.next, note("on"), 2).await.unwrap();
        tokio::time::sleep(Duration::from_secs(30)).await;
        let third = who(&there, "third");
        let (past, _) = third.begin().await;
        assert_eq!((keys(&past), past.next), (vec!["on".to_owned()], next + 1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_read_is_no_reason_to_write_on_and_what_is_newer_is_not_passed_over() {
        let there = double::Account::new(clock());
        let (one, other) = (who(&there, "one"), who(&there, "other"));
        let (past, ours) = one.begin().await;
        let name = names::progress(Partition(0), past.next);
        let damaged = Bytes::from_static(b"damaged");
        there.meddle(&name, Some(damaged.clone()));
        let lost = ours.append(past.next, note("a"), 1).await.unwrap_err();
        assert!(lost.0.contains("cannot be read"), "{lost:?}");
        // Damaged for good: whoever begins passes it.
        let (past, _) = other.begin().await;
        assert_eq!((past.commits.len(), past.next), (1, 4));
        let newer = [b"newer".as_slice(), &crc32fast::hash(b"newer").to_le_bytes()].concat();
        there.meddle(&names::progress(Partition(0), past.next), Some(newer.into()));
        let third = who(&there, "third");
        let failed = begin(&third.account, Partition(0), &third.name, &third.term, 1).await.unwrap_err();
        assert!(failed.cause.contains("newer version"), "{failed:?}");
        assert_eq!(there.names("part/").len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_was_lost_makes_one_commit() {
        let there = double::Account::new(clock());
        let one = who(&there, "one");
        let (past, ours) = one.begin().await;
        one.client.order("part/", Fault::AnswerLost);
        let change = vec![Change::Gone { lane: "a".into(), seq: Seq(1) }];
        assert_eq!(ours.append(past.next, change, 1).await, Ok(past.next + 1));
        assert_eq!(there.names("part/").len(), 2);
    }
}
