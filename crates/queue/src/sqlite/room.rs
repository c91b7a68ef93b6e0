//! Room on the disk, bought before it is needed, so that a full disk refuses puts and never the draining.
//!
//! Promises, on file systems that overwrite in place:
//! - Every page that a transaction may use has its blocks: the file is extended with written zeros *ahead* of the
//!   transaction, and `max_page_count` is the length of the file. So a checkpoint never meets a full disk, and the log
//!   can always be emptied into the file and begun anew. A checkpoint that empties the whole log cuts the file to the pages
//!   in use, so before each transaction it is looked at again: what was cut off is bought back, or not counted on.
//! - The log has its blocks: it is made [`LOG_BYTES`] long once and never shorter.
//! - A reserve of used pages inside the file is given up, a row at a time, when a change other than a put finds no free
//!   page. Nobody else can take it, as somebody could take the room of a ballast file after it was deleted.
//!
//! Relies on the one writer. Does not know what is written.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rusqlite::{Connection, Result};

use super::PAGE_BYTES;
use crate::store::CommitError;

/// The log is emptied after 250 pages (4 MiB) or, at the latest, after the transaction that crosses this; 16 MiB holds
/// both with the largest transaction that has no puts: 512 changes to pages of their own are 8 MiB.
const LOG_BYTES: u64 = 16 << 20;

/// Free pages to have ahead of the next transaction, besides what it is known to need: 256 x 16 KiB = 4 MiB, one
/// checkpoint's worth.
pub(super) const AHEAD_PAGES: u64 = 256;

/// The reserve: 64 rows of 4 pages = 4 MiB. What draining uses before it has freed as much: keys of 64 KiB / 24 bytes =
/// 170 000 settled messages, while a settled message of 1 KiB frees its page after the sixteenth.
const RESERVE_ROWS: u64 = 64;
const RESERVE_ROW_BYTES: u64 = 4 * PAGE_BYTES - 4_096;

#[derive(Debug)]
pub(super) struct Room {
    /// Open as long as the connection: closing any descriptor of the file would give up SQLite's locks on it.
    file: File,
    max_pages: u64,
    /// As told to SQLite.
    limit: u64,
    /// As far as is known; puts wait for it.
    has_reserve: bool,
}

impl Room {
    pub(super) fn new(file: File, max_bytes: u64) -> Self {
        Self { file, max_pages: max_bytes / PAGE_BYTES, limit: 0, has_reserve: false }
    }

    /// A new connection knows no limit, and a new file no reserve. The connection to the old one must be gone.
    pub(super) fn reconnected(&mut self, file: File) {
        (self.file, self.limit, self.has_reserve) = (file, 0, false);
    }

    /// Room for puts that need `pages`: theirs, and the reserve whole beside it.
    pub(super) fn ensure_for_puts(&mut self, connection: &Connection, pages: u64) -> Result<(), CommitError> {
        if !self.has_reserve {
            self.restore_reserve(connection)?;
        }
        self.ensure(connection, pages)
    }

    /// Whether `bytes` given up inside the file could be room for puts that need `pages`. A page is at least half used.
    pub(super) fn could_do(&self, connection: &Connection, pages: u64, bytes: u64) -> Result<bool> {
        let free = number(connection, "PRAGMA freelist_count")?;
        Ok(free + 2 * bytes / PAGE_BYTES >= pages)
    }

    /// Makes sure of `pages` free pages, or says why not. To be called between transactions.
    fn ensure(&mut self, connection: &Connection, pages: u64) -> Result<(), CommitError> {
        let used = number(connection, "PRAGMA page_count")?;
        let free = number(connection, "PRAGMA freelist_count")?;
        let length = self.file.metadata()?.len() / PAGE_BYTES;
        let mut result = Ok(());
        let mut limit = length.max(used);
        if limit - used + free < pages {
            let wanted = used + pages + AHEAD_PAGES - free.min(pages);
            result = self.extend(limit, wanted);
            if result.is_ok() {
                limit = wanted;
            }
        }
        self.set_limit(connection, limit)?;
        result
    }

    /// Before each transaction: no page is counted on that the last checkpoint has cut off and that cannot be had again. Of those
    /// that it has cut off only what the next transactions may need is bought back: a queue that drains for an hour would write
    /// its former length anew after each checkpoint.
    pub(super) fn own(&mut self, connection: &Connection) -> Result<(), CommitError> {
        let length = self.file.metadata()?.len() / PAGE_BYTES;
        if length >= self.limit {
            return Ok(());
        }
        let used = number(connection, "PRAGMA page_count")?;
        let wanted = self.limit.min(used + AHEAD_PAGES).max(length);
        let is_owned = wanted == length || self.extend(length, wanted).is_ok();
        self.set_limit(connection, if is_owned { wanted } else { length.max(used) })
    }

    fn set_limit(&mut self, connection: &Connection, pages: u64) -> Result<(), CommitError> {
        if self.limit != pages {
            number(connection, &format!("PRAGMA max_page_count = {pages}"))?;
            self.limit = pages;
        }
        Ok(())
    }

    /// Written zeros, not a hole: on ext4, XFS and tmpfs their blocks are spoken for when the write returns. All beyond
    /// the last page, where SQLite has nothing.
    fn extend(&self, from: u64, to: u64) -> Result<(), CommitError> {
        if to > self.max_pages {
            return Err(CommitError::Full(format!(
                "queue.max_bytes ({} MiB) is reached",
                (self.max_pages * PAGE_BYTES) >> 20
            )));
        }
        let written = write_zeros(&self.file, from * PAGE_BYTES, to * PAGE_BYTES);
        if written.is_err() {
            self.file.set_len(from * PAGE_BYTES)?;
        }
        written.map_err(|error| {
            CommitError::Full(format!("no room for the queue's next {} KiB: {error}", (to - from) * 16))
        })
    }

    /// The reserve whole again, or why not. To be called between transactions.
    pub(super) fn restore_reserve(&mut self, connection: &Connection) -> Result<(), CommitError> {
        let rows = number(connection, "SELECT count(*) FROM reserve")?;
        let missing = RESERVE_ROWS.saturating_sub(rows);
        self.ensure(connection, missing * 5 + AHEAD_PAGES)?;
        for _ in 0..missing {
            self.own(connection)?;
            let insert = "INSERT INTO reserve (filler) VALUES (zeroblob(?))";
            connection.prepare_cached(insert)?.execute([RESERVE_ROW_BYTES as i64])?;
        }
        self.has_reserve = true;
        Ok(())
    }

    /// Four pages of the reserve for whoever needs them now. False when nothing is left.
    pub(super) fn give_up_reserve(&mut self, connection: &Connection) -> Result<bool> {
        self.has_reserve = false;
        let delete = "DELETE FROM reserve WHERE n = (SELECT max(n) FROM reserve)";
        Ok(connection.prepare_cached(delete)?.execute([])? > 0)
    }
}

/// The log's blocks, once. SQLite writes over them from the start after each checkpoint; what it has not written is no
/// valid frame to it.
pub(super) fn lengthen_log(log: &Path) -> io::Result<()> {
    let log = File::options().write(true).create(true).truncate(false).open(log)?;
    let length = log.metadata()?.len();
    if length < LOG_BYTES {
        write_zeros(&log, length, LOG_BYTES)?;
        log.sync_all()?;
    }
    Ok(())
}

fn write_zeros(file: &File, from: u64, to: u64) -> io::Result<()> {
    static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
    let mut at = from;
    while at < to {
        let piece = (to - at).min(ZEROS.len() as u64) as usize;
        file.write_all_at(&ZEROS[..piece], at)?;
        at += piece as u64;
    }
    Ok(())
}

fn number(connection: &Connection, sql: &str) -> Result<u64> {
    let number: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    super::changes::unsigned(number)
}
