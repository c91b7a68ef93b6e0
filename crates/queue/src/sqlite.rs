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
mod room;
mod rows;

use std::path::PathBuf;

use rusqlite::Connection;

use self::changes::{Changes, unsigned};
use self::failure::is_corrupt;
use self::files::Files;
use self::room::{AHEAD_PAGES, Room};
use crate::lanes::Head;
use crate::options::OpenError;
use crate::store::{Bounds, CommitError, Found, NextSeq, Op, Shelf, Store, Totals, Trouble};
use crate::verify::{Cursor, Verified};
use crate::{DeadLetter, Seen, Seq, UnixMillis};

/// Fewer, larger pages: a body of 1.5 KiB shares its page with nine others, and a commit of 512 writes 60 pages.
const PAGE_BYTES: u64 = 16_384;

/// Pages in the log before it is emptied into the file.
const LOG_PAGES: i64 = 250;

/// The log may have grown for one large commit; beyond this it is cut again. Above the length that it is given at first.
const LOG_BYTES_MAX: i64 = 64 << 20;

/// The newest format that is known here, in `user_version`.
const FORMAT: i64 = 2;

/// Before a put is refused, what is set aside is given up in at most this many steps of 1 MiB or 256 messages, a flush
/// each: 160 ms where a flush takes 10. The next steps come with the next try.
const STEPS_AT_ONCE: usize = 16;

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
    damage: Option<String>,
}

impl Sqlite {
    pub(crate) fn open(dir: PathBuf, max_bytes: u64, bounds: Bounds) -> Result<Self, OpenError> {
        let files = Files::lock(dir)?;
        let broken = |cause: String| OpenError::Store { dir: files.dir.clone(), cause };
        let database = files.database().map_err(|error| broken(error.to_string()))?;
        let connection = connect(&files)?;
        files.settle().map_err(|error| broken(error.to_string()))?;
        let mut room = Room::new(database, max_bytes);
        let (next_seq, totals) = read_totals(&connection).map_err(|error| broken(error.to_string()))?;
        begin(&connection, &mut room, &files).map_err(|Trouble(why)| broken(why))?;
        Ok(Self { connection: Some(connection), room, files, bounds, totals, next_seq, damage: None })
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
        let connection = self.connection.as_ref().ok_or_else(|| CommitError::Failed("the store is not open".into()))?;
        self.room.own(connection).map_err(|Trouble(why)| CommitError::Failed(why))?;
        let transaction = connection.unchecked_transaction()?;
        let (totals, next_seq) = (self.totals, self.next_seq);
        let mut changes = Changes { connection, bounds: self.bounds, totals, next_seq, strays: 0 };
        let changed = change(&mut changes)?;
        changes.finish()?;
        let Changes { totals, next_seq, strays, .. } = changes;
        transaction.commit()?;
        (self.totals, self.next_seq) = (totals, next_seq);
        if strays > 0 {
            self.is_damaged("a row was not where its key says");
        }
        Ok(changed)
    }

    fn is_damaged(&mut self, what: &str) {
        if self.damage.is_none() {
            tracing::error!(what, "the queue's file is damaged; messages may be hidden in it");
            self.damage = Some(format!("the queue's file is damaged: {what}; messages may be hidden in it"));
        }
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
        self.room.ensure_for_puts(connection, pages).map_err(|Trouble(why)| CommitError::Full(why))
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
        Op::Put { put, .. } => (put.head.len() + put.body.len() + 4 * put.lane.len() + 256) as u64,
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
        let (lanes, in_order) = rows::lanes_after(self.connection()?, after, limit)?;
        if !in_order {
            self.is_damaged("lanes are not in order");
        }
        Ok(lanes)
    }

    fn head_of(&mut self, lane: &str) -> Result<Option<Head>, Trouble> {
        Ok(rows::head_of(self.connection()?, lane)?)
    }

    fn waiting_in(&mut self, lane: &str) -> Result<u64, Trouble> {
        Ok(rows::waiting_in(self.connection()?, lane)?)
    }

    fn read(&mut self, lane: &str, seq: Seq) -> Result<Found, Trouble> {
        match rows::message(self.connection()?, lane, seq) {
            Err(error) if is_corrupt(&error) => Ok(Found::Damaged),
            found => Ok(found?),
        }
    }

    fn commit(&mut self, ops: &[Op], now: UnixMillis) -> Result<(), CommitError> {
        self.ensure_room(ops)?;
        let mut trim_at = Some(now);
        loop {
            match self.try_commit(ops, trim_at) {
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
        let mut select = self.connection()?.prepare_cached(select)?;
        let notes = select.query_map([space], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(notes.collect::<rusqlite::Result<_>>()?)
    }

    fn seen(&mut self, lane: &str) -> Result<Vec<Seen>, Trouble> {
        let mut select = self.connection()?.prepare_cached("SELECT ring FROM seen WHERE lane = ?")?;
        let mut rings = select.query_map([lane], |row| row.get::<_, Vec<u8>>(0))?;
        Ok(rings.next().transpose()?.map(|ring| rows::ring_from(&ring)).unwrap_or_default())
    }

    fn dead_letters(&mut self, after: Option<Seq>, limit: usize) -> Result<Vec<DeadLetter>, Trouble> {
        Ok(rows::dead_letters(self.connection()?, after, limit)?)
    }

    fn dead_letter(&mut self, seq: Seq) -> Result<Option<DeadLetter>, Trouble> {
        Ok(rows::letter(self.connection()?, seq)?)
    }

    fn verify(&mut self, after: Option<&Cursor>, limit: usize) -> Result<Verified, Trouble> {
        Ok(inspect::piece(self.connection()?, after, limit)?)
    }

    fn dead_letter_counts(&mut self) -> Result<Vec<(String, u64)>, Trouble> {
        let select = "SELECT code, count(*) FROM dead_letters GROUP BY code ORDER BY code";
        let mut select = self.connection()?.prepare_cached(select)?;
        let counts = select.query_map([], |row| Ok((row.get(0)?, unsigned(row.get(1)?)?)))?;
        Ok(counts.collect::<rusqlite::Result<_>>()?)
    }

    fn reopen(&mut self) -> Result<(), Trouble> {
        self.connection = None;
        let connection = connect(&self.files).map_err(|error| Trouble(error.to_string()))?;
        self.room.reconnected();
        (self.next_seq, self.totals) = read_totals(&connection)?;
        begin(&connection, &mut self.room, &self.files)?;
        self.connection = Some(connection);
        Ok(())
    }

    fn damage(&self) -> Option<String> {
        self.damage.clone()
    }

    fn make_room(&mut self) -> Result<(), Trouble> {
        match self.ensure_pages(AHEAD_PAGES) {
            Ok(()) => Ok(()),
            Err(CommitError::Full(why) | CommitError::Damaged(why) | CommitError::Failed(why)) => Err(Trouble(why)),
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

/// A connection that is as it must be, or none.
fn connect(files: &Files) -> Result<Connection, OpenError> {
    let broken = |cause: String| OpenError::Store { dir: files.dir.clone(), cause };
    let connection = Connection::open(files.database_path()).map_err(|error| broken(error.to_string()))?;
    let format = prepare(&connection).map_err(|error| broken(error.to_string()))?;
    if format > FORMAT {
        return Err(OpenError::Newer { dir: files.dir.clone(), found: format, known: FORMAT });
    }
    assert_pragmas(&connection).map_err(broken)?;
    Ok(connection)
}

/// The settings, the two that must come before the log first of all, and the tables: a new file gets them, an old one what it
/// has not. Returns the format.
fn prepare(connection: &Connection) -> rusqlite::Result<i64> {
    connection.set_prepared_statement_cache_capacity(64);
    // One plan for each statement: otherwise the search for a lane's next message is compiled anew for every lane.
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // The log keeps its blocks over a restart: on a full disk they could not be had again.
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // Exclusive: no shared-memory file, which a full disk would refuse, and no lock calls for each transaction.
    connection.execute_batch(&format!(
        "PRAGMA locking_mode = EXCLUSIVE;
         PRAGMA page_size = {PAGE_BYTES};
         PRAGMA auto_vacuum = INCREMENTAL;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = {LOG_PAGES};
         PRAGMA journal_size_limit = {LOG_BYTES_MAX};
         PRAGMA temp_store = MEMORY;"
    ))?;
    let format = || connection.pragma_query_value(None, "user_version", |row| row.get(0));
    let change = match format()? {
        0 => include_str!("sqlite/schema.sql"),
        1 => include_str!("sqlite/from_1.sql"),
        format => return Ok(format),
    };
    connection.execute_batch(&format!("BEGIN; {change} COMMIT;"))?;
    format()
}

/// SQLite ignores silently what it cannot do, such as a page size for a file that has another one.
fn assert_pragmas(connection: &Connection) -> Result<(), String> {
    let expected = [
        ("page_size", PAGE_BYTES.to_string()),
        ("auto_vacuum", "2".to_owned()),
        ("journal_mode", "wal".to_owned()),
        ("synchronous", "2".to_owned()),
        ("wal_autocheckpoint", LOG_PAGES.to_string()),
        ("locking_mode", "exclusive".to_owned()),
        ("user_version", FORMAT.to_string()),
    ];
    for (name, expected) in expected {
        let found = connection.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0));
        let found = match found.map_err(|error| error.to_string())? {
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            other => format!("{other:?}"),
        };
        if found != expected {
            return Err(format!("{name} is {found}, not {expected}: this file was not made by this program"));
        }
    }
    Ok(())
}

fn read_totals(connection: &Connection) -> rusqlite::Result<(u64, Totals)> {
    let select = "SELECT next_seq, waiting, waiting_bytes, dead_letters, dead_letters_bytes, dead_letters_gone, kept,
                  kept_bytes, kept_gone FROM totals";
    connection.query_row(select, [], |row| {
        let number = |at: usize| unsigned(row.get(at)?);
        let shelf = |at: usize| {
            Ok::<_, rusqlite::Error>(Shelf { count: number(at)?, bytes: number(at + 1)?, gone: number(at + 2)? })
        };
        let totals =
            Totals { waiting: number(1)?, waiting_bytes: number(2)?, dead_letters: shelf(3)?, kept: shelf(6)? };
        Ok((number(0)?, totals))
    })
}

/// Empties the log into the file and begins it anew. After a failed flush the log may hold what never reached the disk,
/// though reading it back shows it: only what is written once more and flushed counts.
fn begin(connection: &Connection, room: &mut Room, files: &Files) -> Result<(), Trouble> {
    let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| row.get(0))?;
    if busy != 0 {
        return Err(Trouble("the log could not be emptied".into()));
    }
    let owned = files.lengthen_log().map_err(Trouble::from).and_then(|()| room.restore_reserve(connection));
    if let Err(Trouble(why)) = owned {
        // Draining is possible all the same; puts will find out whether there is room.
        tracing::warn!(cause = %why, "the queue opens without all of its room");
    }
    Ok(())
}
