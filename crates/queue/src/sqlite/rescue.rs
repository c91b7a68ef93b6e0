//! A damaged file is written anew: every row that can be read, by whatever page it is on, goes into a new file beside it, which
//! then takes its place.
//!
//! Promises: one broken place costs what is on its page and nothing behind it; what was settled does not come back; a crash
//! leaves the old file or the whole new one; the damaged file is kept; without room for a new one the old one stays. Only a file
//! whose head is this program's is touched, and only for damage, never because a disk does not answer. Does not know why
//! somebody thinks that it is damaged.

mod copied;
mod image;
mod log;
mod pages;
pub(super) mod swap;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use self::copied::{Copied, Table, Tally};
use self::image::Image;
use self::pages::Bytes;
use super::files::{Files, private};
use super::opening::prepare;
use crate::store::Trouble;

/// To be called before SQLite opens the log. Puts single bits right; how many there were.
pub(super) fn mend_log(path: &Path) -> io::Result<usize> {
    let file = match File::options().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        file => file?,
    };
    let flips = log::read(&file)?.flips;
    for flip in &flips {
        let mut byte = [0];
        file.fill(flip.at, &mut byte)?;
        file.write_all_at(&[byte[0] ^ flip.mask], flip.at)?;
    }
    if !flips.is_empty() {
        file.sync_all()?;
    }
    Ok(flips.len())
}

/// What can be seen to be wrong before SQLite opens the file, and would be taken for right.
pub(super) fn suspicion(files: &Files) -> io::Result<Option<String>> {
    let image = open(files)?;
    Ok(match image.strange_bits() {
        Some(1..) => Some("its head is not what was written".into()),
        Some(0) if image.is_short_of_pages()? => Some("it has more pages than it counts".into()),
        Some(0) if image.is_cut() => Some("its log is broken, and what was committed after that is cut off".into()),
        _ => None,
    })
}

/// Writes the file anew, and says what was saved. Nobody may have it open.
pub(super) fn write_anew(files: &Files, why: &str) -> Result<String, Trouble> {
    mend_log(&files.log_path())?;
    let image = open(files)?;
    if image.strange_bits().is_none() {
        return Err(Trouble(format!("{why}: this file was not made by this program")));
    }
    let tally = match build(&image, &swap::unfinished(&files.dir)) {
        Ok(tally) if tally.rows > 0 => tally,
        built => {
            let nothing = || Trouble(format!("{why}: nothing of this program is in this file"));
            let failed = |Trouble(cause)| Trouble(format!("{why}; it cannot be written anew: {cause}"));
            // Tried again at the next start.
            let _ = swap::discard(&files.dir);
            return Err(built.map_or_else(failed, |_| nothing()));
        }
    };
    let kept = swap::swap(&files.dir, &mut || Ok(()))?;
    let Tally { saved, lost, counted, .. } = tally;
    let counted = counted.map_or_else(String::new, |counted| format!(" of {counted} that it counted"));
    tracing::error!(
        why, saved, lost, kept = %kept.display(),
        "the queue's file was damaged and has been written anew; the damaged one is kept"
    );
    Ok(format!(
        "the queue's file was damaged ({why}) and has been written anew: {saved} messages saved{counted}, at least {lost} lost; \
         the damaged file is kept as {}; remove it when it is not needed",
        kept.display()
    ))
}

fn open(files: &Files) -> io::Result<Image> {
    Image::open(&files.database_path(), &files.log_path())
}

/// Nothing is flushed before the end: until then it is no queue.
fn build(image: &Image, path: &Path) -> Result<Tally, Trouble> {
    let file = private(path)?;
    let connection = rusqlite::Connection::open(path)?;
    prepare(&connection)?;
    connection.execute_batch("PRAGMA synchronous = OFF")?;
    let mut copied = Copied::to(&connection)?;
    image.each(|page| {
        for cell in &page.cells {
            let table = pages::columns(cell.local).and_then(|columns| Table::of(page.kind, &columns));
            let Some(table) = table else { continue };
            let Some(record) = image.record(cell)? else { continue };
            if let Some(columns) = pages::columns(&record) {
                copied.row(table, cell.key, &columns)?;
            }
        }
        Ok::<_, Trouble>(())
    })?;
    let tally = copied.finish()?;
    let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy != 0 {
        return Err(Trouble("the log could not be emptied".into()));
    }
    drop(connection);
    std::fs::remove_file(path.with_extension("rescue-wal")).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    file.sync_all()?;
    Ok(tally)
}
