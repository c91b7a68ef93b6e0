//! From files to a connection that is as it must be.
//!
//! Promises: settings that SQLite ignores silently are not believed; a newer format, and the file of another program, are refused and
//! stay what they are; what the log holds is in the file, and flushed, before anything is built on it. Does not decide whether a
//! file that is found to be damaged is written anew.

use rusqlite::Connection;

use super::changes::unsigned;
use super::failure::{Refusal, corrupt};
use super::files::Files;
use super::room::Room;
use super::{LOG_PAGES, PAGE_BYTES, rescue};
use crate::options::OpenError;
use crate::store::{CommitError, Shelf, Totals, Trouble};

/// The log may have grown for one large commit; beyond this it is cut again. Above the length that it is given at first.
const LOG_BYTES_MAX: i64 = 64 << 20;

/// The newest format that is known here, in `user_version`.
const FORMAT: i64 = 2;

/// The newest format that can be meant. A later program counts on from [`FORMAT`]; beyond this a bit was flipped.
const FORMAT_MAX: i64 = 99;

/// A file that is open, with its log emptied.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) next_seq: u64,
    pub(super) totals: Totals,
    /// What could be put right in the log.
    pub(super) mended: Option<String>,
}

/// A connection that is as it must be, or none.
pub(super) fn connect(files: &Files) -> Result<Connection, Refusal> {
    let broken = |error: rusqlite::Error| files.refusal(&error);
    let connection = Connection::open(files.database_path()).map_err(broken)?;
    let format = prepare(&connection).map_err(broken)?;
    if (FORMAT + 1..=FORMAT_MAX).contains(&format) {
        return Err(Refusal::Other(OpenError::Newer { dir: files.dir.clone(), found: format, known: FORMAT }));
    }
    assert_pragmas(&connection).map_err(Refusal::Damaged)?;
    if layout(&connection).map_err(broken)? != expected_layout().map_err(broken)? {
        return Err(Refusal::Damaged("its tables are not those of this program".into()));
    }
    Ok(connection)
}

/// Each column of each table, and where the table begins: a flipped bit there has one table read, and written, for another.
/// A file of this program has its tables in the order in which it makes them, and no table ever moves.
fn layout(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let select = "SELECT concat_ws(' ', s.name, s.rootpage, c.name, c.type, c.\"notnull\", c.pk, c.dflt_value)
                  FROM sqlite_schema s JOIN pragma_table_xinfo(s.name) c ORDER BY s.name, c.cid";
    connection.prepare(select)?.query_map([], |row| row.get(0))?.collect()
}

fn expected_layout() -> rusqlite::Result<Vec<String>> {
    let connection = Connection::open_in_memory()?;
    connection.execute_batch(&format!("PRAGMA page_size = {PAGE_BYTES}; PRAGMA auto_vacuum = INCREMENTAL;"))?;
    connection.execute_batch(include_str!("schema.sql"))?;
    layout(&connection)
}

/// The settings, the two that must come before the log first of all, and the tables: a new file gets them, an old one what it
/// has not. Returns the format.
pub(super) fn prepare(connection: &Connection) -> rusqlite::Result<i64> {
    connection.set_prepared_statement_cache_capacity(64);
    // One plan for each statement: otherwise the search for a lane's next message is compiled anew for every lane.
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // The log keeps its blocks over a restart: on a full disk they could not be had again.
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // Exclusive: no shared-memory file, which a full disk would refuse, and no lock calls for each transaction.
    connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE")?;
    let format = || connection.pragma_query_value(None, "user_version", |row| row.get(0));
    // Before anything is written: whoever's tables these are, a format is missing.
    let has_tables = "SELECT EXISTS (SELECT * FROM sqlite_schema)";
    if format()? == 0 && connection.query_row(has_tables, [], |row| row.get(0))? {
        return Err(corrupt("it has tables and no format"));
    }
    connection.execute_batch(&format!(
        "PRAGMA page_size = {PAGE_BYTES};
         PRAGMA auto_vacuum = INCREMENTAL;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = {LOG_PAGES};
         PRAGMA journal_size_limit = {LOG_BYTES_MAX};
         PRAGMA temp_store = MEMORY;"
    ))?;
    let change = match format()? {
        0 => include_str!("schema.sql"),
        1 => include_str!("from_1.sql"),
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

/// Opens the file, empties its log into it and begins that anew. After a failed flush the log may hold what never reached the
/// disk, though reading it back shows it: only what is written once more and flushed counts.
pub(super) fn begin(files: &Files, room: &mut Room) -> Result<Opened, Refusal> {
    let unread = |error: std::io::Error| Refusal::Other(files.broken(error.to_string()));
    let bits = rescue::mend_log(&files.log_path()).map_err(unread)?;
    let mended = (bits > 0).then(|| {
        tracing::error!(bits, "the queue's log was damaged by flipped bits; they were put right");
        format!("the queue's log was damaged: {bits} flipped bits were put right; check the disk")
    });
    if let Some(why) = rescue::suspicion(files).map_err(unread)? {
        return Err(Refusal::Damaged(why));
    }
    let connection = connect(files)?;
    files.settle().map_err(unread)?;
    let broken = |error: rusqlite::Error| files.refusal(&error);
    let (next_seq, totals) = read_totals(&connection).map_err(broken)?;
    let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| row.get(0)).map_err(broken)?;
    if busy != 0 {
        return Err(Refusal::Other(files.broken("the log could not be emptied".into())));
    }
    let owned = files.lengthen_log().map_err(CommitError::from).and_then(|()| room.restore_reserve(&connection));
    match owned {
        Err(CommitError::Damaged(why)) => return Err(Refusal::Damaged(why)),
        // Draining is possible all the same; puts will find out whether there is room.
        Err(CommitError::Full(why) | CommitError::Failed(why) | CommitError::Lost(why)) => {
            tracing::warn!(cause = %why, "the queue opens without all of its room");
        }
        Ok(()) => {}
    }
    Ok(Opened { connection, next_seq, totals, mended })
}

/// A file that was found to be damaged is written anew and opened; nobody may have it open. What is to be said of it comes with
/// it.
pub(super) fn begin_anew(files: &Files, room: &mut Room, why: &str) -> Result<(Opened, String), Trouble> {
    let told = rescue::write_anew(files, why)?;
    room.reconnected(files.database()?);
    match begin(files, room) {
        Ok(opened) => Ok((opened, told)),
        Err(refusal) => Err(refusal.into()),
    }
}
