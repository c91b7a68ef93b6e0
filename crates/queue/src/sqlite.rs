//! The engine that keeps real messages: one SQLite file with a write-ahead log, and one process that has it.
//!
//! Promises what [`crate::store`] asks for; that an `Ok` from a commit means the log was flushed; that a damaged row is
//! never handed out; and that everything but puts goes on at 0 bytes free (see `sqlite/room.rs`). Relies on a local file
//! system whose flush reaches the disk. Does not know which message is next, or why.

mod aside;
mod changes;
mod failure;
mod files;
pub(crate) mod inspect;
mod opening;
mod rescue;
mod room;
mod rows;

use std::path::PathBuf;
use std::sync::Weak;

use rusqlite::{Connection, OptionalExtension};

use self::changes::{Changes, unsigned};
use self::failure::{Refusal, is_corrupt};
use self::files::Files;
use self::opening::{Opened, begin, begin_anew};
use self::room::{AHEAD_PAGES, Room};
use crate::backup::Hold;
use crate::lanes::Head;
use crate::options::OpenError;
use crate::store::{Bounds, CommitError, Found, NextSeq, Op, Store, Totals, Trouble};
use crate::verify::{Cursor, Verified};
use crate::{DeadLetter, Seen, Seq, UnixMillis};

/// Fewer, larger pages: a body of 1.5 KiB shares its page with nine others, and a commit of 512 writes 60 pages.
const PAGE_BYTES: u64 = 16_384;

/// Pages in the log before it is emptied into the file.
const LOG_PAGES: i64 = 250;

const STRAY: &str = "a row was not where its key says";
const DISORDER: &str = "rows are not in order";

/// Before a put is refused, what is set aside is given up in at most this many steps of 1 MiB or 256 messages, a flush
/// each: 160 ms where a flush takes 10. The next steps come with the next try.
const STEPS_AT_ONCE: usize = 16;

/// The file is written anew once a start: what cannot be found in a file that was just written is not there.
const RESCUES_MAX: u32 = 1;

/// Free pages that are kept for what comes next; more are given back to the file system, this many at a time.
const FREE_PAGES_KEPT: i64 = 512;
const FREE_PAGES_AT_ONCE: i64 = 64;

// Fields are dropped in this order: the connection before the descriptors and the lock.
pub(crate) struct Sqlite {
    connection: Option<Connection>,
    room: Room,
    files: Files,
    bounds: Bounds,
    totals: Totals,
    next_seq: u64,
    /// For people, as long as the process lives: what was found, or what was done about it.
    damage: Option<String>,
    /// What was found that writing the file anew may mend.
    suspicion: Option<String>,
    rescues_left: u32,
    /// Somebody copies the files.
    held: Option<Weak<Hold>>,
}

impl Sqlite {
    pub(crate) fn open(dir: PathBuf, max_bytes: u64, bounds: Bounds) -> Result<Self, OpenError> {
        let files = Files::lock(dir)?;
        let broken = |cause: String| OpenError::Store { dir: files.dir.clone(), cause };
        rescue::swap::settle(&files.dir).map_err(|error| broken(error.to_string()))?;
        let database = files.database().map_err(|error| broken(error.to_string()))?;
        let mut room = Room::new(database, max_bytes);
        let mut rescues_left = RESCUES_MAX;
        let (opened, damage) = match begin(&files, &mut room) {
            Err(Refusal::Damaged(why)) => {
                rescues_left -= 1;
                let (opened, told) = begin_anew(&files, &mut room, &why).map_err(|Trouble(why)| broken(why))?;
                (opened, Some(told))
            }
            Err(Refusal::Other(error)) => return Err(error),
            Ok(opened) => (opened, None),
        };
        for kept in rescue::swap::kept(&files.dir).unwrap_or_default() {
            tracing::warn!(kept = %kept.display(), "a damaged file is kept from before; remove it when it is not needed");
        }
        let Opened { connection, next_seq, totals, mended } = opened;
        let connection = Some(connection);
        let (damage, suspicion) = (damage.or(mended), None);
        Ok(Self { connection, room, files, bounds, totals, next_seq, damage, suspicion, rescues_left, held: None })
    }

    fn connection(&self) -> Result<&Connection, Trouble> {
        self.connection.as_ref().ok_or_else(|| Trouble("the store is not open".into()))
    }

    fn try_commit(&mut self, ops: &[Op], trim_at: Option<UnixMillis>) -> Result<(), CommitError> {
        self.change(|changes| {
            ops.iter().try_for_each(|op| changes.apply(op))?;
            trim_at.map_or(Ok(()), |now| changes.trim(now))
        })
    }

    /// One transaction, and the totals with it.
    fn change<T>(&mut self, change: impl FnOnce(&mut Changes<'_>) -> rusqlite::Result<T>) -> Result<T, CommitError> {
        self.look_at_hold()?;
        let connection = self.connection.as_ref().ok_or_else(|| CommitError::Failed("the store is not open".into()))?;
        self.room.own(connection)?;
        let transaction = connection.unchecked_transaction()?;
        let (totals, next_seq) = (self.totals, self.next_seq);
        let mut changes = Changes { connection, bounds: self.bounds, totals, next_seq, strays: 0 };
        let changed = change(&mut changes)?;
        changes.finish()?;
        let Changes { totals, next_seq, strays, .. } = changes;
        if strays > 0 && self.rescues_left > 0 {
            return Err(CommitError::Damaged(STRAY.into()));
        }
        transaction.commit()?;
        (self.totals, self.next_seq) = (totals, next_seq);
        if strays > 0 {
            self.is_damaged(STRAY);
        }
        Ok(changed)
    }

    /// A hold ends with whoever has it, or when it would cost too much.
    fn look_at_hold(&mut self) -> Result<(), CommitError> {
        let Some(held) = &self.held else { return Ok(()) };
        let log_bytes = std::fs::metadata(self.files.log_path()).map_or(0, |log| log.len());
        if held.upgrade().is_some_and(|hold| hold.allows(log_bytes)) {
            return Ok(());
        }
        self.end_hold()
    }

    /// The log is emptied into the file again.
    fn end_hold(&mut self) -> Result<(), CommitError> {
        self.break_hold();
        let Some(connection) = &self.connection else { return Ok(()) };
        connection.execute_batch(&format!("PRAGMA wal_autocheckpoint = {LOG_PAGES}"))?;
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        Ok(())
    }

    fn break_hold(&mut self) {
        if let Some(hold) = self.held.take().and_then(|held| held.upgrade()) {
            hold.break_off();
        }
    }

    /// True when there is something left to be done about it, which the caller must wait for.
    fn is_damaged(&mut self, what: &str) -> bool {
        if self.rescues_left > 0 {
            self.suspicion.get_or_insert_with(|| what.to_owned());
            return true;
        }
        if self.damage.is_none() {
            tracing::error!(what, "the queue's file is damaged; messages may be hidden in it");
            self.damage = Some(format!("the queue's file is damaged: {what}; messages may be hidden in it"));
        }
        false
    }

    /// A broken place that a read met is looked into.
    fn read_with<T>(&mut self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Trouble> {
        let read = read(self.connection()?);
        if let Err(error) = &read
            && is_corrupt(error)
        {
            self.is_damaged(&error.to_string());
        }
        Ok(read?)
    }

    /// The connection must be gone.
    fn write_anew(&mut self, why: &str) -> Result<(), Trouble> {
        self.rescues_left -= 1;
        let (opened, told) = begin_anew(&self.files, &mut self.room, why)?;
        self.take_over(opened);
        self.damage = Some(told);
        Ok(())
    }

    fn take_over(&mut self, opened: Opened) {
        let Opened { connection, next_seq, totals, mended } = opened;
        (self.connection, self.next_seq, self.totals) = (Some(connection), self.next_seq.max(next_seq), totals);
        self.damage = self.damage.take().or(mended);
    }

    /// Puts get their room first or are refused; nothing else may wait for room.
    fn ensure_room(&mut self, ops: &[Op]) -> Result<(), CommitError> {
        if !ops.iter().any(Op::is_put) {
            return Ok(());
        }
        self.ensure_pages(pages_for(ops))
    }

    /// What is set aside goes before a put is refused, the oldest first and no more than is needed, unless all of it
    /// would not be enough.
    fn ensure_pages(&mut self, pages: u64) -> Result<(), CommitError> {
        let before = self.totals;
        let mut result = self.try_ensure(pages);
        for _ in 0..STEPS_AT_ONCE {
            if !matches!(result, Err(CommitError::Full(_))) || !self.could_do(pages)? || !self.give_up_aside()? {
                break;
            }
            result = self.try_ensure(pages);
        }
        let dead_letters = self.totals.dead_letters.gone - before.dead_letters.gone;
        let kept = self.totals.kept.gone - before.kept.gone;
        if dead_letters + kept > 0 {
            tracing::warn!(dead_letters, kept, "the queue is full; the oldest of these were dropped to take messages");
        }
        result
    }

    fn try_ensure(&mut self, pages: u64) -> Result<(), CommitError> {
        let connection = self.connection.as_ref().ok_or_else(|| CommitError::Failed("the store is not open".into()))?;
        self.room.ensure_for_puts(connection, pages).map_err(|error| match error {
            CommitError::Failed(why) => CommitError::Full(why),
            error => error,
        })
    }

    fn could_do(&self, pages: u64) -> Result<bool, CommitError> {
        let connection = self.connection.as_ref().ok_or_else(|| CommitError::Failed("the store is not open".into()))?;
        Ok(self.room.could_do(connection, pages, self.totals.dead_letters.bytes + self.totals.kept.bytes)?)
    }

    /// One step. False when nothing is left, or when what is left cannot be got at.
    fn give_up_aside(&mut self) -> Result<bool, CommitError> {
        match self.change(|changes| changes.make_room()) {
            Err(CommitError::Full(_) | CommitError::Damaged(_)) => Ok(false),
            done => done,
        }
    }

    fn give_up_reserve(&mut self) -> Result<bool, CommitError> {
        let connection = self.connection.as_ref().ok_or_else(|| CommitError::Failed("the store is not open".into()))?;
        Ok(self.room.give_up_reserve(connection)?)
    }
}

/// More than the puts can need: a page is at least half used, and each of the four tables may split a page per put.
fn pages_for(ops: &[Op]) -> u64 {
    let bytes = |op: &Op| match op {
        Op::Put { put, note, .. } => {
            let note = note.as_ref().map_or(0, |_| 512);
            (put.head.len() + put.body.len() + 4 * put.lane.len() + 256 + note) as u64
        }
        _ => 512,
    };
    2 * ops.iter().map(bytes).sum::<u64>() / PAGE_BYTES + 16
}

impl Store for Sqlite {
    fn next_seq(&self) -> NextSeq {
        NextSeq(self.next_seq)
    }

    fn totals(&self) -> Totals {
        self.totals
    }

    fn lanes_after(&mut self, after: Option<&str>, limit: usize) -> Result<Vec<(String, Head)>, Trouble> {
        let (lanes, in_order) = self.read_with(|connection| rows::lanes_after(connection, after, limit))?;
        match !in_order && self.is_damaged(DISORDER) {
            true => Err(Trouble(DISORDER.into())),
            false => Ok(lanes),
        }
    }

    fn head_of(&mut self, lane: &str) -> Result<Option<Head>, Trouble> {
        self.read_with(|connection| rows::head_of(connection, lane))
    }

    fn waiting_in(&mut self, lane: &str) -> Result<u64, Trouble> {
        self.read_with(|connection| rows::waiting_in(connection, lane))
    }

    fn hold(&mut self, hold: Weak<Hold>) -> Result<PathBuf, Trouble> {
        self.break_hold();
        self.connection()?.execute_batch("PRAGMA wal_autocheckpoint = 0")?;
        self.held = Some(hold);
        Ok(self.files.dir.clone())
    }

    fn read(&mut self, lane: &str, seq: Seq) -> Result<Found, Trouble> {
        match rows::message(self.connection()?, lane, seq) {
            Err(error) if is_corrupt(&error) => match self.is_damaged(&error.to_string()) {
                true => Err(error.into()),
                false => Ok(Found::Damaged),
            },
            Ok(Found::Missing) if self.is_damaged(STRAY) => Err(Trouble(STRAY.into())),
            found => Ok(found?),
        }
    }

    fn commit(&mut self, ops: &[Op], now: UnixMillis) -> Result<(), CommitError> {
        self.ensure_room(ops)?;
        let mut trim_at = Some(now);
        loop {
            match self.try_commit(ops, trim_at) {
                // Without the hold the log need not grow.
                Err(CommitError::Full(_)) if self.held.is_some() => self.end_hold()?,
                Err(CommitError::Full(why)) if ops.iter().any(Op::is_put) => return Err(CommitError::Full(why)),
                // The log may have room for what must be, and not for what can wait.
                Err(CommitError::Full(_)) if trim_at.take().is_some() => {}
                Err(CommitError::Full(why)) if !self.give_up_reserve()? => return Err(CommitError::Full(why)),
                Err(CommitError::Full(_)) => {}
                Err(CommitError::Damaged(why)) => {
                    self.is_damaged(&why);
                    return Err(CommitError::Damaged(why));
                }
                result => return result,
            }
        }
    }

    fn notes(&mut self, space: &str) -> Result<Vec<(String, Vec<u8>)>, Trouble> {
        let select = "SELECT key, value FROM notes WHERE space = ? ORDER BY key";
        self.read_with(|connection| {
            let mut select = connection.prepare_cached(select)?;
            select.query_map([space], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
    }

    fn seen(&mut self, lane: &str) -> Result<Vec<Seen>, Trouble> {
        let ring: Option<Vec<u8>> = self.read_with(|connection| {
            let mut select = connection.prepare_cached("SELECT ring FROM seen WHERE lane = ?")?;
            select.query_row([lane], |row| row.get(0)).optional()
        })?;
        Ok(ring.map(|ring| rows::ring_from(&ring)).unwrap_or_default())
    }

    fn dead_letters(&mut self, after: Option<Seq>, limit: usize) -> Result<Vec<DeadLetter>, Trouble> {
        let letters = self.read_with(|connection| rows::dead_letters(connection, after, limit))?;
        let in_order = letters.is_sorted_by(|one, next| one.message.seq < next.message.seq);
        match !in_order && self.is_damaged(DISORDER) {
            true => Err(Trouble(DISORDER.into())),
            false => Ok(letters),
        }
    }

    fn dead_letter(&mut self, seq: Seq) -> Result<Option<DeadLetter>, Trouble> {
        self.read_with(|connection| rows::letter(connection, seq))
    }

    fn verify(&mut self, after: Option<&Cursor>, limit: usize) -> Result<Verified, Trouble> {
        self.read_with(|connection| inspect::piece(connection, after, limit))
    }

    fn dead_letter_counts(&mut self) -> Result<Vec<(String, u64)>, Trouble> {
        let select = "SELECT code, count(*) FROM dead_letters GROUP BY code ORDER BY code";
        self.read_with(|connection| {
            let mut select = connection.prepare_cached(select)?;
            select.query_map([], |row| Ok((row.get(0)?, unsigned(row.get(1)?)?)))?.collect()
        })
    }

    fn reopen(&mut self) -> Result<(), Trouble> {
        self.break_hold();
        self.connection = None;
        rescue::swap::settle(&self.files.dir)?;
        self.room.reconnected(self.files.database()?);
        match begin(&self.files, &mut self.room) {
            Ok(opened) => self.take_over(opened),
            Err(Refusal::Damaged(why)) if self.rescues_left > 0 => self.write_anew(&why)?,
            Err(refusal) => return Err(refusal.into()),
        }
        self.suspicion = None;
        Ok(())
    }

    fn rescue(&mut self, found: Option<&str>) -> Result<bool, Trouble> {
        let suspicion = self.suspicion.take().or_else(|| found.map(str::to_owned));
        let Some(why) = suspicion.filter(|_| self.rescues_left > 0) else { return Ok(false) };
        self.break_hold();
        self.connection = None;
        if let Err(Trouble(cause)) = self.write_anew(&why) {
            self.reopen()?;
            self.is_damaged(&cause);
            return Ok(false);
        }
        Ok(true)
    }

    fn damage(&self) -> Option<String> {
        self.damage.clone()
    }

    fn make_room(&mut self) -> Result<(), Trouble> {
        match self.ensure_pages(AHEAD_PAGES) {
            Ok(()) => Ok(()),
            Err(
                CommitError::Full(why) | CommitError::Damaged(why) | CommitError::Failed(why) | CommitError::Lost(why),
            ) => Err(Trouble(why)),
        }
    }

    fn tidy(&mut self) -> bool {
        let Ok(connection) = self.connection() else { return false };
        let free = connection.pragma_query_value(None, "freelist_count", |row| row.get::<_, i64>(0)).unwrap_or(0);
        if free < FREE_PAGES_KEPT + FREE_PAGES_AT_ONCE {
            return false;
        }
        // What cannot be given back now is given back another time.
        connection.execute_batch(&format!("PRAGMA incremental_vacuum({FREE_PAGES_AT_ONCE})")).is_ok()
    }
}
