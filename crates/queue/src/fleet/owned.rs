//! A partition as its owner's queue sees it: a store whose puts come from the doors, and whose commits go to its log.
//!
//! Promises what `store.rs` asks for. A commit writes the letters that it buries first and itself last, so that what it says is
//! there is there. Now and then it writes down what all commits so far come to, so that the next owner need not read them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::Instant;

use super::account::Account;
use super::format::{At, Change, Letter, Owner, Picture, Wish, seal};
use super::names::{self, Partition};
use super::pace::Pace;
use super::picture::{self, is_put};
use super::progress::{Lost, Progress};
use super::reading::{Read, Reading};
use super::rounds::Positions;
use super::state::{Arrival, Kind, State, Waiting};
use super::term::Term;
use crate::backup::Hold;
use crate::blobs::{Failure, LeaseId, Over};
use crate::lanes::Head;
use crate::store::{Bounds, CommitError, Doing, Fetching, Found, NextSeq, Op, Store, Totals, Trouble};
use crate::verify::{Cursor, Verified};
use crate::{Burial, DeadLetter, Message, Place, Put, Reason, Seen, Seq, UnixMillis};

/// Commits after which the state is written down: the next owner reads so many blobs, 16 at a time, in about a second.
const COMMITS_MAX: u64 = 1_000;

/// Between two attempts at that.
const ATTEMPTS_EVERY: Duration = Duration::from_secs(30);

/// And after this long, when anything has changed, so that blobs of doors that nobody needs can go.
const STATE_EVERY: Duration = Duration::from_secs(10 * 60);

/// Letters that are written or removed at once.
const LETTERS_AT_ONCE: usize = 16;

/// How often a partition commits, and which part of the account it is.
#[derive(Clone, Debug)]
pub(crate) struct Title {
    pub(crate) partition: Partition,
    pub(crate) process: Arc<str>,
    /// Where its pages are.
    pub(crate) address: Arc<str>,
    pub(crate) lease: LeaseId,
    pub(crate) term: Arc<Term>,
}

/// What came of the commit that was begun.
type Outcome = Arc<Mutex<Option<Result<Done, Lost>>>>;

#[derive(Debug)]
struct Done {
    next: u64,
    changes: Vec<Change>,
    /// Where the state was written down.
    written: Option<Picture>,
}

/// See the module.
pub(crate) struct Owned {
    account: Arc<Account>,
    reading: Arc<Reading>,
    title: Title,
    progress: Progress,
    bounds: Bounds,
    state: State,
    next: u64,
    /// The numbers that owners began with since the state was written down.
    begins: Vec<u64>,
    pace: Pace,
    doing: Outcome,
    written: Written,
    risen: Vec<Arc<str>>,
    /// To write the state down, and when the next one may be: one that failed may have carried a hundred megabytes.
    attempts: u32,
    next_attempt: Instant,
}

/// When the state was written down last.
#[derive(Clone, Debug)]
struct Written {
    picture: Picture,
    at: Instant,
    /// None before the first time.
    positions: Option<Positions>,
}

/// A letter that is to be written before the commit that buries it.
#[derive(Debug)]
struct ToBury {
    seq: Seq,
    lane: Arc<str>,
    waiting: Waiting,
    /// Else it is the door's row that says it.
    burial: Option<(Reason, UnixMillis)>,
}

impl Owned {
    pub(crate) fn new(
        (account, reading): (Arc<Account>, Arc<Reading>),
        title: Title,
        (progress, state): (Progress, State),
        (next, begins, picture): (u64, Vec<u64>, Picture),
        (bounds, every): (Bounds, Duration),
    ) -> Self {
        let now = Instant::now();
        let positions = (picture.number > 0).then(|| state.positions.clone());
        let written = Written { picture, at: now, positions };
        let (pace, doing, risen) = (Pace::new(every, now), Outcome::default(), Vec::new());
        Self {
            account,
            reading,
            title,
            progress,
            bounds,
            state,
            next,
            begins,
            pace,
            doing,
            written,
            risen,
            attempts: 0,
            next_attempt: now,
        }
    }

    fn to_bury(&self, ops: &[Op]) -> Vec<ToBury> {
        let buried = ops.iter().filter_map(|op| match op {
            Op::Bury { lane, seq, reason, at, .. } => {
                let waiting = self.state.waiting(lane, *seq)?.clone();
                Some(ToBury { seq: *seq, lane: lane.clone(), waiting, burial: Some((reason.clone(), *at)) })
            }
            _ => None,
        });
        let wished = self.state.wishes().iter().filter(|(_, wished)| matches!(wished.kind, Kind::Dead { .. }));
        let wished = wished.map(|(at, wished)| {
            let (accepted_at, bytes) = (wished.accepted_at, wished.bytes);
            let waiting = Waiting { at: *at, accepted_at, bytes, tried: None };
            let burial = wished.reason.clone().map(|reason| (reason, accepted_at));
            ToBury { seq: wished.seq, lane: wished.lane.clone(), waiting, burial }
        });
        buried.chain(wished).collect()
    }

    /// It is time to write the state down.
    fn is_picture_due(&self) -> bool {
        let commits = self.next - self.written.picture.number.max(1);
        let has_changed = commits > 0 || self.written.positions.as_ref() != Some(&self.state.positions);
        let is_time = commits > COMMITS_MAX || (has_changed && self.written.at.elapsed() > STATE_EVERY);
        is_time && Instant::now() >= self.next_attempt
    }

    fn picture_now(&mut self) -> (Bytes, Owner) {
        let (process, address) = (self.title.process.to_string(), self.title.address.to_string());
        let (epoch, body, needs) = (self.progress.epoch(), seal(&self.state), self.state.needs());
        let state = Picture { number: self.next, attempt: self.attempts, pieces: picture::pieces_of(&body) };
        (self.attempts, self.next_attempt) = (self.attempts + 1, Instant::now() + ATTEMPTS_EVERY);
        (body, Owner { epoch, process, address, state, needs })
    }

    fn removes(&self, names: Vec<String>) {
        if !names.is_empty() {
            tokio::spawn(remove(self.account.clone(), names));
        }
    }

    fn is_written(&mut self, picture: Picture) {
        self.removes(self.not_needed_after(&picture));
        self.begins.clear();
        self.written = Written { picture, at: Instant::now(), positions: Some(self.state.positions.clone()) };
    }

    /// What is in this picture: the last one, and the commits since then.
    fn not_needed_after(&self, picture: &Picture) -> Vec<String> {
        let (last, part) = (&self.written.picture, self.title.partition);
        let commits = (last.number.max(1)..picture.number).filter(|number| !self.begins.contains(number));
        commits.map(|number| names::progress(part, number)).chain(picture::names_of(part, last)).collect()
    }
}

/// Nobody needs these any more. What cannot be removed now is found by the next owner.
async fn remove(account: Arc<Account>, names: Vec<String>) {
    for names in names.chunks(LETTERS_AT_ONCE) {
        let end = Instant::now() + Duration::from_secs(10);
        join_all(names.iter().map(|name| account.until(Some(end), || account.blobs.delete(name)))).await;
    }
}

/// Writes the state and then where it is. `false` when it could not be done now: it is done another time.
async fn write_state(account: &Account, title: &Title, body: Bytes, owner: &Owner) -> bool {
    if let Err(cause) = picture::write(account, title.partition, &owner.state, body, &title.term).await {
        tracing::warn!(partition = title.partition.0, %cause, "the state of a partition cannot be written down now");
        return false;
    }
    let (name, owner, end) = (names::owner(title.partition), seal(owner), title.term.end_at());
    let put = account.until(Some(end), || account.blobs.put_over(&name, owner.clone(), Some(&title.lease))).await;
    matches!(put, Ok(Over::Put))
}

async fn bury(account: &Account, reading: &Reading, title: &Title, letter: ToBury) -> Result<(), Failure> {
    let end = title.term.end_at();
    let ToBury { seq, lane, waiting, burial } = letter;
    let burial = burial.map(|(reason, at)| Burial::at_once(reason, at));
    let letter = match message(reading, waiting.at, seq, end).await? {
        Some((message, own)) => {
            let burial = burial.or(own).unwrap_or_else(|| Burial::at_once(damaged(), waiting.accepted_at));
            buried(tried(message, &waiting), burial)
        }
        // Its lane is known all the same, so that it can be thrown away.
        None => {
            let (kind, head, body, accepted_at) = (String::new(), Vec::new(), Vec::new(), waiting.accepted_at);
            let put = Put { lane: lane.to_string(), kind, head, body, accepted_at, place: Place::Lane };
            let burial = burial.unwrap_or_else(|| Burial::at_once(damaged(), accepted_at));
            DeadLetter { is_whole: false, ..buried(put.into_message(seq), burial) }
        }
    };
    let (name, body) = (names::dead(title.partition, seq), seal(&Letter { partition: title.partition, letter }));
    account.until(Some(end), || account.blobs.put_over(&name, body.clone(), None)).await.and_then(is_put)
}

fn damaged() -> Reason {
    Reason { code: "damaged".into(), detail: "the blob that it was in is not what was written".into() }
}

fn buried(message: Message, burial: Burial) -> DeadLetter {
    let Burial { reason, buried_at, attempts, first_attempt_at, last_attempt_at, last_cause, replays } = burial;
    let message = match attempts > 0 || replays > 0 {
        true => Message { attempts, first_attempt_at, last_attempt_at, last_cause, replays, ..message },
        false => message,
    };
    DeadLetter { message, reason, buried_at, is_whole: true }
}

/// A message as a door wrote it, and why it was to be buried at once.
type AsAccepted = (Message, Option<Burial>);

/// The message at a place; `None` when it is not what was written there.
async fn message(reading: &Reading, at: At, seq: Seq, end: Instant) -> Result<Option<AsAccepted>, Failure> {
    let read = reading.at(at.log, at.number, end).await?;
    Ok(read.and_then(|read| message_in(&read, at, seq)))
}

fn message_in(read: &Read, at: At, seq: Seq) -> Option<AsAccepted> {
    let (_, row) = read.rows.get(usize::try_from(at.index).ok()?)?;
    match &row.wish {
        _ if row.seq != seq => None,
        Wish::Put(put) => Some((Put::clone(put).into_message(seq), Op::buried_at_once(put))),
        Wish::Replay(message) => Some((Message::clone(message).risen(), None)),
        Wish::Discard { .. } => None,
    }
}

/// With what became of it since.
fn tried(message: Message, waiting: &Waiting) -> Message {
    let Some(tried) = waiting.tried.as_deref() else { return message };
    Message {
        attempts: tried.attempts,
        first_attempt_at: Some(tried.first_at),
        last_attempt_at: Some(tried.last_at),
        last_cause: Some(tried.cause.clone()),
        frozen: tried.frozen.clone(),
        ..message
    }
}

fn found(message: Option<AsAccepted>, waiting: &Waiting) -> Found {
    message.map_or(Found::Damaged, |(message, _)| Found::Message(Box::new(tried(message, waiting))))
}

impl Store for Owned {
    /// Not used: positions come from the doors.
    fn next_seq(&self) -> NextSeq {
        NextSeq(1)
    }

    fn totals(&self) -> Totals {
        self.state.totals()
    }

    fn lanes_after(&mut self, after: Option<&str>, limit: usize) -> Result<Vec<(String, Head)>, Trouble> {
        Ok(self.state.lanes_after(after, limit))
    }

    fn head_of(&mut self, lane: &str) -> Result<Option<Head>, Trouble> {
        Ok(self.state.head_of(lane))
    }

    fn hold(&mut self, _hold: Weak<Hold>) -> Result<PathBuf, Trouble> {
        Err(Trouble("it is kept in a storage account, not in files".into()))
    }

    fn waiting_in(&mut self, lane: &str) -> Result<u64, Trouble> {
        Ok(self.state.waiting_in(lane))
    }

    fn read(&mut self, lane: &str, seq: Seq) -> Result<Found, Trouble> {
        let Some(waiting) = self.state.waiting(lane, seq) else { return Ok(Found::Missing) };
        let Some(read) = self.reading.cached(waiting.at.log, waiting.at.number) else { return Ok(Found::Away) };
        Ok(found(message_in(&read, waiting.at, seq), waiting))
    }

    fn fetch(&mut self, lane: &str, seq: Seq) -> Fetching {
        let waiting = self.state.waiting(lane, seq).cloned();
        let (reading, term) = (self.reading.clone(), self.title.term.clone());
        Box::pin(async move {
            let Some(waiting) = waiting else { return Ok(Found::Missing) };
            let message = message(&reading, waiting.at, seq, term.end_at()).await;
            Ok(found(message.map_err(|failure| Trouble(failure.to_string()))?, &waiting))
        })
    }

    fn arrive(&mut self, arrivals: &[Arrival], positions: Positions) {
        arrivals.iter().for_each(|arrival| self.state.arrive(arrival));
        self.state.positions = positions;
    }

    fn is_refused(&mut self, lane: &Arc<str>, seq: Seq, reason: Reason) {
        self.state.is_refused(lane, seq, reason);
    }

    fn wants_commit(&self) -> bool {
        !self.state.wishes().is_empty() || self.is_picture_due()
    }

    fn not_before(&self) -> Option<Instant> {
        Some(self.pace.next(Instant::now()))
    }

    fn risen(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.risen)
    }

    fn begin(&mut self, ops: &[Op], now: UnixMillis) -> Option<Doing> {
        self.pace.begin(Instant::now());
        let changes: Vec<Change> = self.state.changes(ops).into_iter().chain(self.state.wished()).collect();
        let (letters, picture) = (self.to_bury(ops), self.is_picture_due().then(|| self.picture_now()));
        let (account, reading, title) = (self.account.clone(), self.reading.clone(), self.title.clone());
        let (progress, number, doing) = (self.progress.clone(), self.next, self.doing.clone());
        Some(Box::pin(async move {
            let mut letters = letters.into_iter();
            let mut result = Ok(());
            while result.is_ok() {
                let some: Vec<_> = letters.by_ref().take(LETTERS_AT_ONCE).collect();
                if some.is_empty() {
                    break;
                }
                let buried = join_all(some.into_iter().map(|letter| bury(&account, &reading, &title, letter))).await;
                result = buried.into_iter().collect::<Result<(), Failure>>();
            }
            let result = match result {
                Err(failure) => Err(Lost(format!("a dead letter was not kept before our term ended: {failure}"))),
                Ok(()) => {
                    let written = match picture {
                        Some((body, owner)) => write_state(&account, &title, body, &owner).await.then_some(owner.state),
                        None => None,
                    };
                    let next = match changes.is_empty() {
                        true => Ok(number),
                        false => progress.append(number, changes.clone(), now).await,
                    };
                    next.map(|next| Done { next, changes, written })
                }
            };
            *doing.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        }))
    }

    fn commit(&mut self, _ops: &[Op], now: UnixMillis) -> Result<(), CommitError> {
        let result = self.doing.lock().unwrap_or_else(PoisonError::into_inner).take();
        let done = match result {
            Some(Ok(done)) => done,
            Some(Err(Lost(why))) => return Err(CommitError::Lost(why)),
            None => return Err(CommitError::Lost("it was not begun".into())),
        };
        if let Some(picture) = done.written {
            self.is_written(picture);
        }
        self.next = done.next;
        let mut gone = Vec::new();
        for change in &done.changes {
            match change {
                Change::Risen { seq, wish } => {
                    gone.push(*seq);
                    self.risen.extend(self.state.wishes().get(wish).map(|wished| wished.lane.clone()));
                }
                Change::Discarded { seq, .. } => gone.push(*seq),
                _ => {}
            }
        }
        let is_commit = !done.changes.is_empty();
        self.state.apply(done.changes);
        // Only with what is in the log, so that whoever reads it comes to the same.
        if is_commit {
            gone.extend(self.state.trim(self.bounds, now));
        }
        let is_left = |seq: &Seq| self.state.letter(*seq).is_none();
        let partition = self.title.partition;
        self.removes(gone.into_iter().filter(is_left).map(|seq| names::dead(partition, seq)).collect());
        Ok(())
    }

    fn last(&mut self) -> Option<Doing> {
        let ((body, owner), account, title) = (self.picture_now(), self.account.clone(), self.title.clone());
        let not_needed_then = self.not_needed_after(&owner.state);
        Some(Box::pin(async move {
            if write_state(&account, &title, body, &owner).await {
                tokio::spawn(remove(account, not_needed_then));
            }
        }))
    }

    fn notes(&mut self, space: &str) -> Result<Vec<(String, Vec<u8>)>, Trouble> {
        Ok(self.state.notes(space))
    }

    fn seen(&mut self, lane: &str) -> Result<Vec<Seen>, Trouble> {
        Ok(self.state.seen(lane))
    }

    fn dead_letters(&mut self, _after: Option<Seq>, _limit: usize) -> Result<Vec<DeadLetter>, Trouble> {
        Err(Trouble("dead letters are read from the account".into()))
    }

    fn dead_letter(&mut self, _seq: Seq) -> Result<Option<DeadLetter>, Trouble> {
        Err(Trouble("dead letters are read from the account".into()))
    }

    fn verify(&mut self, _after: Option<&Cursor>, _limit: usize) -> Result<Verified, Trouble> {
        Err(Trouble("it is kept in a storage account, which looks after its bits itself".into()))
    }

    fn dead_letter_counts(&mut self) -> Result<Vec<(String, u64)>, Trouble> {
        Ok(self.state.letter_counts())
    }

    /// Nothing here can fail and be mended: what is lost is lost with the whole partition.
    fn reopen(&mut self) -> Result<(), Trouble> {
        Ok(())
    }

    fn make_room(&mut self) -> Result<(), Trouble> {
        Ok(())
    }
}
