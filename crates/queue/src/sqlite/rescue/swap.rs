//! A new file takes the place of a damaged one, which is kept beside it.
//!
//! Promises: whenever this is interrupted, the next start finds the old file or the whole new one; a new file that was not
//! finished is removed; of the damaged ones the newest two are kept. Knows names, not what is in the files.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// While it is written.
const UNFINISHED: &str = "queue.db.rescue";
/// Whole and flushed: from here on it is the queue.
const FINISHED: &str = "queue.db.rescued";
const DAMAGED: &str = "queue.db.damaged-";

/// One may be wanted to be looked at; more of up to `max_bytes` each would fill the disk that the queue needs.
const DAMAGED_MAX: usize = 2;

pub(super) fn unfinished(dir: &Path) -> PathBuf {
    dir.join(UNFINISHED)
}

/// What an interruption left is finished, or removed; that it cannot be removed is no reason not to go on.
pub(in crate::sqlite) fn settle(dir: &Path) -> io::Result<()> {
    let _ = discard(dir);
    if dir.join(FINISHED).exists() {
        finish(dir, &mut || Ok(()))?;
    }
    Ok(())
}

/// Takes away what was begun.
pub(super) fn discard(dir: &Path) -> io::Result<()> {
    for end in ["", "-wal", "-shm", "-journal"] {
        remove(&dir.join(format!("{UNFINISHED}{end}")))?;
    }
    Ok(())
}

/// The new file must be flushed, and have no log. `between` comes after every step. Returns the damaged file's new place.
pub(super) fn swap(dir: &Path, between: &mut dyn FnMut() -> io::Result<()>) -> io::Result<PathBuf> {
    sync(dir)?;
    between()?;
    fs::rename(dir.join(UNFINISHED), dir.join(FINISHED))?;
    sync(dir)?;
    between()?;
    let kept = finish(dir, between)?;
    prune(dir)?;
    Ok(kept)
}

/// Each step may have been done before. The log goes first: a file without its log is no queue, and nobody opens it while there
/// is a finished one.
fn finish(dir: &Path, between: &mut dyn FnMut() -> io::Result<()>) -> io::Result<PathBuf> {
    let made_at = fs::metadata(dir.join(FINISHED))?.modified()?.duration_since(UNIX_EPOCH);
    let made_at = made_at.map_or(0, |since| since.as_secs());
    // Newer than all that are there, and the same one again when only the log has been moved.
    let number = numbered(dir)?.last().map_or(made_at, |(last, _)| made_at.max(last.saturating_add(1)));
    let kept = dir.join(format!("{DAMAGED}{number}"));
    if dir.join("queue.db").exists() {
        let log = dir.join("queue.db-wal");
        if log.exists() {
            fs::rename(log, with(&kept, "-wal"))?;
            sync(dir)?;
            between()?;
        }
        fs::rename(dir.join("queue.db"), &kept)?;
        sync(dir)?;
        between()?;
    }
    fs::rename(dir.join(FINISHED), dir.join("queue.db"))?;
    sync(dir)?;
    between()?;
    Ok(kept)
}

/// The damaged files that are kept, the oldest first.
pub(in crate::sqlite) fn kept(dir: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(numbered(dir)?.into_iter().map(|(_, path)| path).collect())
}

fn numbered(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut kept = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let second = name.to_str().and_then(|name| name.strip_prefix(DAMAGED)?.parse::<u64>().ok());
        kept.extend(second.map(|second| (second, dir.join(name))));
    }
    kept.sort_unstable();
    Ok(kept)
}

fn prune(dir: &Path) -> io::Result<()> {
    let kept = kept(dir)?;
    for old in kept.iter().rev().skip(DAMAGED_MAX) {
        remove(&with(old, "-wal"))?;
        remove(old)?;
    }
    Ok(())
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(end);
    path.into()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with a damaged file, its log and a finished new one, that goes with the test.
    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("queue-swap-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&dir);
            fs::create_dir_all(&dir).unwrap();
            let dir = Self(dir);
            dir.damaged();
            dir
        }

        fn damaged(&self) {
            for (name, what) in [("queue.db", "old"), ("queue.db-wal", "log"), (UNFINISHED, "new")] {
                fs::write(self.0.join(name), what).unwrap();
            }
        }

        fn read(&self, name: &str) -> Option<String> {
            fs::read_to_string(self.0.join(name)).ok()
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_swap_that_is_interrupted_leaves_the_old_file_or_the_whole_new_one() {
        for step in 0..=5 {
            let dir = Dir::new("interrupted");
            let mut left = step;
            let swapped = swap(&dir.0, &mut || {
                left -= 1;
                if left < 0 { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
            });
            assert_eq!(swapped.is_ok(), step == 5, "after {step} steps");
            settle(&dir.0).unwrap();
            settle(&dir.0).unwrap();
            let kept = kept(&dir.0).unwrap();
            assert_eq!((dir.read(UNFINISHED), dir.read(FINISHED)), (None, None), "after {step} steps");
            let pair = (dir.read("queue.db").unwrap(), dir.read("queue.db-wal"));
            match step {
                0 => assert_eq!((pair, kept.len()), (("old".into(), Some("log".into())), 0)),
                _ => {
                    assert_eq!((pair, kept.len()), (("new".into(), None), 1), "after {step} steps");
                    assert_eq!(fs::read_to_string(&kept[0]).unwrap(), "old");
                    assert_eq!(fs::read_to_string(with(&kept[0], "-wal")).unwrap(), "log");
                }
            }
        }
    }

    #[test]
    fn the_newest_two_damaged_files_are_kept() {
        let dir = Dir::new("kept");
        let places: Vec<_> = (0..4)
            .map(|_| {
                dir.damaged();
                swap(&dir.0, &mut || Ok(())).unwrap()
            })
            .collect();
        assert_eq!(kept(&dir.0).unwrap(), places[2..]);
        let files = fs::read_dir(&dir.0).unwrap().count();
        assert_eq!(files, 5, "the queue, and two with their logs");
    }
}
