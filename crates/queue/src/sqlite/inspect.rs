//! Reading everything, to see whether it is what was written: a bounded piece at a time while the queue is at work, or the whole
//! file, with its structure, while nobody has it.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::changes::{signed, unsigned};
use super::failure::{Refusal, corrupt, is_corrupt};
use super::files::Files;
use super::opening::connect;
use super::{DISORDER, rows};
use crate::Seq;
use crate::options::OpenError;
use crate::store::Found;
use crate::verify::{Cursor, Part, Report, Verified};

/// Lines of SQLite's own check; more say nothing new.
const STRUCTURE_MAX: usize = 20;
/// Rows at a time while nobody waits.
const ROWS_AT_ONCE: usize = 1_000;

/// The next rows, and whether each is what was written.
pub(super) fn piece(connection: &Connection, after: Option<&Cursor>, limit: usize) -> Result<Verified> {
    let mut cursor = after.cloned().unwrap_or_default();
    let mut verified = Verified::default();
    while verified.checked < limit as u64 {
        let found = match cursor.part {
            Part::Waiting => waiting(connection, &cursor)?,
            Part::DeadLetters => set_aside(connection, "dead_letters", &cursor)?,
            Part::Kept => set_aside(connection, "kept", &cursor)?,
        };
        let Some((lane, seq, is_whole)) = found else {
            match cursor.part.next() {
                Some(part) => cursor = Cursor { part, ..Cursor::default() },
                None => return Ok(verified),
            }
            continue;
        };
        // Without this a flipped bit in a key would have it read the same rows for ever.
        let is_first = cursor == Cursor { part: cursor.part, ..Cursor::default() };
        let is_behind = match cursor.part {
            Part::Waiting => (&lane, seq.0) <= (&cursor.lane, cursor.seq),
            Part::DeadLetters | Part::Kept => seq.0 <= cursor.seq,
        };
        if is_behind && !is_first {
            return Err(corrupt(DISORDER));
        }
        verified.checked += 1;
        if !is_whole {
            verified.damaged.push(seq);
        }
        (cursor.lane, cursor.seq) = (lane, seq.0);
    }
    Ok(Verified { next: Some(cursor), ..verified })
}

type Row = Option<(String, Seq, bool)>;

fn waiting(connection: &Connection, after: &Cursor) -> Result<Row> {
    let next = "SELECT lane, seq FROM waiting WHERE (lane, seq) > (?, ?) ORDER BY lane, seq LIMIT 1";
    let mut next = connection.prepare_cached(next)?;
    let row = next.query_row(params![after.lane, signed(after.seq)], |row| {
        Ok((row.get::<_, String>(0)?, Seq(unsigned(row.get(1)?)?)))
    });
    let Some((lane, seq)) = row.optional()? else { return Ok(None) };
    let is_whole = match rows::message(connection, &lane, seq) {
        Ok(Found::Message(_)) => true,
        Ok(Found::Damaged | Found::Missing | Found::Away) => false,
        Err(error) if is_corrupt(&error) => false,
        Err(error) => return Err(error),
    };
    Ok(Some((lane, seq, is_whole)))
}

fn set_aside(connection: &Connection, table: &'static str, after: &Cursor) -> Result<Row> {
    let next = format!("SELECT seq, lane FROM {table} WHERE seq > ? ORDER BY seq LIMIT 1");
    let mut next = connection.prepare_cached(&next)?;
    let row = next.query_row([signed(after.seq)], |row| Ok((Seq(unsigned(row.get(0)?)?), row.get::<_, String>(1)?)));
    let Some((seq, lane)) = row.optional()? else { return Ok(None) };
    let is_whole = rows::is_whole(connection, &lane, seq).or_else(|error| match is_corrupt(&error) {
        true => Ok(false),
        false => Err(error),
    })?;
    Ok(Some((lane, seq, is_whole)))
}

/// The whole file.
pub(crate) fn files(dir: &Path) -> Result<Report, OpenError> {
    let files = existing(dir)?;
    let broken = |cause: String| OpenError::Store { dir: dir.to_owned(), cause };
    let connection = connect(&files).map_err(|refusal| match refusal {
        Refusal::Damaged(why) => files.broken(why),
        Refusal::Other(error) => error,
    })?;
    let mut report = Report::default();
    let check = connection.prepare(&format!("PRAGMA integrity_check({STRUCTURE_MAX})")).and_then(|mut check| {
        let lines = check.query_map([], |row| row.get::<_, String>(0))?;
        lines.collect::<Result<Vec<_>>>()
    });
    match check {
        Ok(lines) => report.structure = lines.into_iter().filter(|line| line != "ok").collect(),
        Err(error) => report.structure.push(error.to_string()),
    }
    let mut after = None;
    loop {
        let verified = match piece(&connection, after.as_ref(), ROWS_AT_ONCE) {
            Ok(verified) => verified,
            // What comes after a broken place cannot be got at.
            Err(error) if is_corrupt(&error) => {
                report.structure.push(format!("reading stopped: {error}"));
                break;
            }
            Err(error) => return Err(broken(error.to_string())),
        };
        report.checked += verified.checked;
        report.damaged.extend(verified.damaged);
        after = verified.next;
        if after.is_none() {
            break;
        }
    }
    let counted = "SELECT waiting + dead_letters + kept FROM totals";
    let counted = connection.query_row(counted, [], |row| unsigned(row.get(0)?));
    report.counted = counted.map_err(|error| broken(error.to_string()))?;
    Ok(report)
}

/// File and log as they are, to a directory that is made. Returns their bytes.
pub(crate) fn copy(dir: &Path, to: &Path) -> Result<u64, OpenError> {
    let _files = existing(dir)?;
    copy_held(dir, to)
}

/// As [`copy`], by whoever has the queue: first the file, which must not change meanwhile, and then the log.
pub(crate) fn copy_held(dir: &Path, to: &Path) -> Result<u64, OpenError> {
    let failed = |cause| OpenError::Copy { to: to.to_owned(), cause };
    DirBuilder::new().mode(0o700).create(to).map_err(failed)?;
    let mut bytes = 0;
    for name in ["queue.db", "queue.db-wal"] {
        if dir.join(name).exists() {
            bytes += copy_file(&dir.join(name), &to.join(name)).map_err(failed)?;
        }
    }
    File::open(to).and_then(|to| to.sync_all()).map_err(failed)?;
    Ok(bytes)
}

fn copy_file(from: &Path, to: &Path) -> io::Result<u64> {
    let mut copy = File::options().write(true).create_new(true).mode(0o600).open(to)?;
    let bytes = io::copy(&mut File::open(from)?, &mut copy)?;
    copy.sync_all()?;
    Ok(bytes)
}

/// With its lock; nothing is made.
fn existing(dir: &Path) -> Result<Files, OpenError> {
    match fs::metadata(dir.join("queue.db")) {
        Ok(_) => Files::lock(dir.to_owned()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Err(OpenError::Missing { dir: dir.to_owned() }),
        Err(cause) => Err(OpenError::Directory { dir: dir.to_owned(), cause }),
    }
}
