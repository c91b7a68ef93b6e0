//! What the doors have written, read once for all partitions of this process.
//!
//! Promises: a blob is fetched once while it is in the cache, and a name that is not there, or does not come, is asked for once in a
//! beat, however many ask; what the own door has written is known without asking. The cache is bounded, and holds what was read last.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::{Mutex as Gate, Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::account::Account;
use super::format::{Commit, Row, Unreadable, Wish, unseal};
use super::names::{self, Log, Partition, partition_of};
use super::pace::Pace;
use super::troubles::Topic;
use crate::blobs::{Failure, FailureKind};

/// Bytes of blobs that are kept: 40 000 messages of 1.5 KiB, an hour and a half of ten a second.
const CACHE_BYTES_MAX: usize = 64 << 20;

/// What a row takes beside its head and body.
const ROW_BYTES: usize = 256;

/// Blobs that are asked for at once in one log, when there are many.
const AT_ONCE: u64 = 16;

/// Blobs of one log in one round, so that the others get their turn: 2 000 rows of ten to a blob.
const ROUND_MAX: usize = 256;

/// The first wait of who needs a blob now.
const AGAIN: Duration = Duration::from_millis(50);

/// A commit of a door, as it was read.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) rows: Vec<(Partition, Row)>,
    pub(crate) is_end: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Reading {
    account: Arc<Account>,
    partitions: u16,
    known: Mutex<Known>,
    beat: watch::Sender<Instant>,
    hurried: Notify,
}

#[derive(Debug, Default)]
struct Known {
    blobs: BTreeMap<(Log, u64), Arc<Read>>,
    /// In the order in which they came.
    order: VecDeque<(Log, u64, usize)>,
    bytes: usize,
    /// The number that was not there when a look began, and since when it is that one.
    absent: BTreeMap<Log, Absent>,
    /// What did not come when it was asked for last, and when that was. An opening is number 0.
    failed: BTreeMap<(Log, u64), (Instant, Failure)>,
    /// Who asks for a name, while somebody does.
    gates: BTreeMap<(Log, u64), Arc<Gate<()>>>,
    next_log: Log,
    /// When a look began that did not find it.
    no_log_at: Option<Instant>,
    /// Blobs that could not be read, ever.
    damaged: u64,
}

#[derive(Clone, Copy, Debug)]
struct Absent {
    number: u64,
    at: Instant,
    since: Instant,
}

impl Reading {
    pub(crate) fn new(account: Arc<Account>, partitions: u16) -> Self {
        let (beat, _) = watch::channel(Instant::now());
        Self { account, partitions, known: Mutex::default(), beat, hurried: Notify::new() }
    }

    /// A beat each `every`, and between them when somebody is in a hurry, at the pace of `hurry_every`. Runs until it is dropped.
    pub(crate) async fn beats(self: Arc<Self>, every: Duration, hurry_every: Duration) {
        let mut hurries = Pace::new(hurry_every, Instant::now());
        loop {
            let next = *self.beat.borrow() + every;
            tokio::select! {
                biased;
                () = self.hurried.notified() => {
                    sleep_until(hurries.next(Instant::now()).min(next)).await;
                    hurries.begin(Instant::now());
                }
                () = sleep_until(next) => {}
            }
            // Two beats are never at the same time.
            let now = Instant::now();
            self.beat.send_modify(|beat| *beat = now.max(*beat + Duration::from_nanos(1)));
        }
    }

    /// The next beat after `last`, by which all look together.
    pub(crate) async fn beat_after(&self, last: Instant) -> Instant {
        let mut beats = self.beat.subscribe();
        let beat = beats.wait_for(|beat| *beat > last).await.map(|beat| *beat);
        match beat {
            Ok(beat) => beat,
            // The sender is ours.
            Err(_) => std::future::pending().await,
        }
    }

    /// Somebody waits for the next beat.
    pub(crate) fn hurry(&self) {
        self.hurried.notify_one();
    }

    /// Blobs that could not be read.
    pub(crate) fn damaged(&self) -> u64 {
        self.known().damaged
    }

    /// Logs that are followed, that are not over and of which nothing new has been seen for so long, with the number that is missing.
    pub(crate) fn silent(&self, long: Duration) -> Vec<(Log, u64)> {
        let known = self.known();
        let silent = known.absent.iter().filter(|(_, absent)| absent.since.elapsed() >= long);
        silent.map(|(log, absent)| (*log, absent.number)).collect()
    }

    /// Our own door has written this.
    pub(crate) fn came(&self, log: Log, number: u64, commit: Commit) {
        self.known().add(log, number, Arc::new(self.sorted(commit)));
        self.hurry();
    }

    /// Whether a log was opened, as of a look that began then or later.
    ///
    /// # Errors
    /// When the account does not answer.
    pub(crate) async fn is_opened(&self, log: Log, began: Instant) -> Result<bool, Failure> {
        let gate = self.gate(log, 0);
        let _turn = gate.lock().await;
        let is_known = |known: &Known| match log < known.next_log {
            true => Some(true),
            false => known.no_log_at.filter(|at| *at >= began && log == known.next_log).map(|_| false),
        };
        let known = is_known(&self.known());
        if let Some(is_opened) = known {
            return Ok(is_opened);
        }
        let (asked, there) = self.ask((log, 0), began, &names::opening(log)).await?;
        let is_opened = there.is_some();
        let mut known = self.known();
        known.gates.remove(&(log, 0));
        if is_opened {
            known.next_log = known.next_log.max(Log(log.0 + 1));
            known.no_log_at = None;
        } else if log == known.next_log {
            known.no_log_at = Some(asked);
        }
        Ok(is_opened)
    }

    /// Asks the account, if nobody has asked in vain since `began`; and when that was.
    async fn ask(&self, key: (Log, u64), began: Instant, name: &str) -> Result<(Instant, Option<Bytes>), Failure> {
        let failed = self.known().failed.get(&key).filter(|(at, _)| *at >= began).cloned();
        if let Some((_, failure)) = failed {
            return Err(failure);
        }
        let asked = Instant::now().max(began);
        let there = self.account.once(self.account.blobs.get(name)).await;
        let mut known = self.known();
        match there {
            Ok(there) => {
                known.failed.remove(&key);
                Ok((asked, there))
            }
            Err(failure) => {
                known.failed.insert(key, (asked, failure.clone()));
                Err(failure)
            }
        }
    }

    /// What follows in a log from `number` on, as of a look that began then or later: a bounded piece, and whether that is all.
    ///
    /// # Errors
    /// When the account does not answer.
    pub(crate) async fn follow(
        &self,
        log: Log,
        mut number: u64,
        began: Instant,
    ) -> Result<(Vec<Arc<Read>>, bool), Failure> {
        let (mut found, mut width) = (Vec::new(), 1);
        while found.len() < ROUND_MAX {
            let asked = join_all((number..number + width).map(|number| self.get(log, number, began))).await;
            for read in asked {
                let Some(read) = read? else { return Ok((found, true)) };
                let is_end = read.is_end;
                found.push(read);
                number += 1;
                if is_end {
                    return Ok((found, true));
                }
            }
            width = (width * 2).min(AT_ONCE);
        }
        Ok((found, false))
    }

    /// One commit; `None` when it is not there, as of a look that began then or later.
    ///
    /// # Errors
    /// When the account does not answer, or what is there is of a newer version.
    pub(crate) async fn get(&self, log: Log, number: u64, began: Instant) -> Result<Option<Arc<Read>>, Failure> {
        let gate = self.gate(log, number);
        let _turn = gate.lock().await;
        let known = self.known().look(log, number, began);
        if let Some(known) = known {
            return Ok(known);
        }
        let name = names::commit_of(log, number);
        let (asked, there) = self.ask((log, number), began, &name).await?;
        let read = match there {
            Some(body) => Some(Arc::new(self.read(&name, &body).await?)),
            None => None,
        };
        let mut known = self.known();
        known.gates.remove(&(log, number));
        match &read {
            Some(read) => known.add(log, number, read.clone()),
            None => known.is_absent(log, number, asked),
        }
        Ok(read)
    }

    /// One commit that is known to be there.
    ///
    /// # Errors
    /// When the account does not answer before `end`.
    pub(crate) async fn at(&self, log: Log, number: u64, end: Instant) -> Result<Option<Arc<Read>>, Failure> {
        let mut wait = AGAIN;
        loop {
            match self.get(log, number, Instant::now()).await {
                Err(_) if Instant::now() + wait < end => tokio::time::sleep(wait).await,
                answer => return answer,
            }
            wait = (wait * 2).min(Duration::from_secs(2));
        }
    }

    /// One commit, without asking anybody.
    pub(crate) fn cached(&self, log: Log, number: u64) -> Option<Arc<Read>> {
        self.known().blobs.get(&(log, number)).cloned()
    }

    async fn read(&self, name: &str, body: &Bytes) -> Result<Read, Failure> {
        let read = self.read_now(name, body).await;
        self.account.note(Topic::of("read", name), read.as_ref().err());
        read
    }

    async fn read_now(&self, name: &str, body: &Bytes) -> Result<Read, Failure> {
        match unseal(body) {
            Ok(commit) => return Ok(self.sorted(commit)),
            Err(Unreadable::Newer) => return Err(newer(name)),
            Err(Unreadable::Damaged) => {}
        }
        // On the way, perhaps.
        tracing::warn!(
            name,
            "a commit of a door came otherwise than it was written: its checksum is wrong; read again"
        );
        let again = self.account.once(self.account.blobs.get(name)).await?;
        match again.as_deref().map(unseal) {
            Some(Ok(commit)) => Ok(self.sorted(commit)),
            Some(Err(Unreadable::Newer)) => Err(newer(name)),
            Some(Err(Unreadable::Damaged)) | None => {
                tracing::error!(name, "a commit of a door is not what was written; its messages are lost");
                self.known().damaged += 1;
                Ok(Read { rows: Vec::new(), is_end: false })
            }
        }
    }

    fn sorted(&self, commit: Commit) -> Read {
        match commit {
            Commit::End { .. } => Read { rows: Vec::new(), is_end: true },
            Commit::Rows { rows, .. } => {
                let row = |row: Row| (partition_of(row.lane(), self.partitions), row);
                Read { rows: rows.into_iter().map(row).collect(), is_end: false }
            }
        }
    }

    fn gate(&self, log: Log, number: u64) -> Arc<Gate<()>> {
        self.known().gates.entry((log, number)).or_default().clone()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing here can be left half changed by a panic.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn look(&mut self, log: Log, number: u64, began: Instant) -> Option<Option<Arc<Read>>> {
        if let Some(read) = self.blobs.get(&(log, number)) {
            let read = read.clone();
            self.gates.remove(&(log, number));
            return Some(Some(read));
        }
        let absent = *self.absent.get(&log)?;
        let is_absent = number >= absent.number && absent.at >= began;
        if is_absent {
            self.gates.remove(&(log, number));
        }
        is_absent.then_some(None)
    }

    fn is_absent(&mut self, log: Log, number: u64, at: Instant) {
        let absent = self.absent.entry(log).or_insert(Absent { number, at, since: at });
        // A lower one that is not there says more.
        if number < absent.number || at > absent.at {
            let since = if number == absent.number { absent.since } else { at };
            *absent = Absent { number, at, since };
        }
    }

    fn add(&mut self, log: Log, number: u64, read: Arc<Read>) {
        self.next_log = self.next_log.max(Log(log.0 + 1));
        if read.is_end {
            self.absent.remove(&log);
        }
        let bytes = read.rows.iter().map(|(_, row)| bytes_of(row)).sum();
        if self.blobs.insert((log, number), read).is_none() {
            self.order.push_back((log, number, bytes));
            self.bytes += bytes;
        }
        while self.bytes > CACHE_BYTES_MAX && self.order.len() > 1 {
            if let Some((log, number, bytes)) = self.order.pop_front() {
                self.blobs.remove(&(log, number));
                self.bytes -= bytes;
            }
        }
    }
}

fn bytes_of(row: &Row) -> usize {
    ROW_BYTES
        + match &row.wish {
            Wish::Put(put) => put.head.len() + put.body.len(),
            Wish::Replay(message) => message.head.len() + message.body.len(),
            Wish::Discard { .. } => 0,
        }
}

fn newer(name: &str) -> Failure {
    let cause = format!("{name} was written by a newer version; this process waits until it is replaced by one");
    Failure::here(FailureKind::Odd, cause)
}
