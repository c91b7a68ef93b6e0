//! A copy of the files while the queue is at work.
//!
//! While somebody holds it, nothing of the file changes and its log only grows: first the file is copied, then the log, and both
//! together are the queue as it was at some moment in between. The writer goes on meanwhile. It breaks a hold when the log gets
//! too long or the disk has no room for it, and whoever copied is told.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::LeaseError;
use crate::command::Call;
use crate::handle::Queue;
use crate::options::OpenError;
use crate::sqlite::inspect;
use crate::verify::Report;

/// How long the log may get for a copy. A thousand puts a second make it grow by 25 to 30 MB a second (measured): nine seconds, in
/// which 200 MB a second copy a file of 1.8 GB. Afterwards it is emptied in one go, while puts wait.
const LOG_BYTES_MAX: u64 = 256 << 20;

/// In the queue's directory.
const BACKUPS: &str = "backups";

/// What has to stay free beside a copy, so that the queue is not what runs out of room because of it.
const ROOM_LEFT: u64 = 64 << 20;

/// Nothing of the file changes as long as this lives and is not broken.
#[derive(Debug)]
pub(crate) struct Hold {
    log_bytes_max: u64,
    is_broken: AtomicBool,
}

impl Hold {
    pub(crate) fn new(log_bytes_max: u64) -> Self {
        Self { log_bytes_max, is_broken: AtomicBool::new(false) }
    }

    pub(crate) fn allows(&self, log_bytes: u64) -> bool {
        log_bytes <= self.log_bytes_max && !self.is_broken()
    }

    pub(crate) fn break_off(&self) {
        self.is_broken.store(true, Ordering::Release);
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Acquire)
    }
}

/// A copy that was made.
#[derive(Clone, Debug)]
pub struct Backup {
    /// Where it is.
    pub dir: PathBuf,
    /// Of file and log.
    pub bytes: u64,
    /// What a look through all of the copy found.
    pub report: Report,
}

/// Why there is no copy. What was copied of it is gone.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A name that could lead elsewhere, or is too long.
    #[error("a backup's name has 1 to 64 letters, digits, `-`, `_` and `.`, and begins with none of the last")]
    Name,
    /// The queue is not kept in files, is closed, or is being copied already.
    #[error("cannot be copied: {0}")]
    Queue(#[from] LeaseError),
    /// The copy cannot be written or read.
    #[error(transparent)]
    Files(#[from] OpenError),
    /// The log became too long, or the disk too full for it.
    #[error("more was written meanwhile than can be held back for a copy; try again when less comes in, or make room")]
    Overtaken,
}

impl Queue {
    /// Copies the files to `backups/name` in the queue's own directory, which is made, and looks through the copy; beside it
    /// `name.unfinished` is used until it is whole. A name is 1 to 64 letters, digits, `-`, `_` and `.`, and begins with none of
    /// the last. Goes on also when nobody waits for it any more.
    ///
    /// # Errors
    /// See [`BackupError`].
    pub async fn backup(&self, name: &str) -> Result<Backup, BackupError> {
        let is_fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !(1..=64).contains(&name.len()) || name.starts_with('.') || !name.chars().all(is_fit) {
            return Err(BackupError::Name);
        }
        let being_copied = || LeaseError::Failed("it is being copied already".into());
        let turn = self.copies.clone().try_acquire_owned().map_err(|_| being_copied())?;
        let hold = Arc::new(Hold::new(LOG_BYTES_MAX));
        let held = Arc::downgrade(&hold);
        let from: PathBuf = self.call(|reply| Call::Hold { hold: held, reply }).await?;
        let to = from.join(BACKUPS).join(name);
        let copied = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            copy(&from, to, hold)
        });
        let copied = copied.await;
        copied.unwrap_or_else(|_| Err(LeaseError::Failed("copying broke off".into()).into()))
    }
}

/// The hold is kept until here.
fn copy(from: &Path, to: PathBuf, hold: Arc<Hold>) -> Result<Backup, BackupError> {
    let failed = |cause| OpenError::Copy { to: to.clone(), cause };
    if to.exists() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()).into());
    }
    make_place(from).map_err(failed)?;
    let unfinished = to.with_added_extension("unfinished");
    let _ = fs::remove_dir_all(&unfinished);
    let copied = inspect::copy_held(from, &unfinished).map_err(BackupError::from);
    let is_broken = hold.is_broken();
    drop(hold);
    let looked_through = copied.and_then(|bytes| match is_broken {
        true => Err(BackupError::Overtaken),
        false => Ok((bytes, inspect::files(&unfinished)?)),
    });
    let renamed = looked_through.and_then(|(bytes, report)| {
        fs::rename(&unfinished, &to).map_err(failed)?;
        Ok(Backup { dir: to.clone(), bytes, report })
    });
    if renamed.is_err() {
        let _ = fs::remove_dir_all(&unfinished);
    }
    renamed
}

/// The directory of all copies, on a disk that has more room than one more takes.
fn make_place(from: &Path) -> io::Result<()> {
    let length = |name: &str| fs::metadata(from.join(name)).map_or(0, |file| file.len());
    let wanted = length("queue.db") + LOG_BYTES_MAX + ROOM_LEFT;
    let disk = rustix::fs::statvfs(from)?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) < wanted {
        return Err(io::ErrorKind::StorageFull.into());
    }
    match DirBuilder::new().mode(0o700).create(from.join(BACKUPS)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::Sqlite;
    use crate::store::{Op, Store};
    use crate::{Options, Place, Put};

    #[test]
    fn a_log_that_gets_too_long_ends_the_hold_and_is_emptied() {
        let dir = std::env::temp_dir().join(format!("queue-hold-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        let bounds = Options::on_disk(&dir, Arc::new(|| 0)).bounds();
        let mut store = Sqlite::open(dir.clone(), 1 << 30, bounds).unwrap();
        let log_bytes = || fs::metadata(dir.join("queue.db-wal")).unwrap().len();
        let commit = |store: &mut Sqlite| {
            let seq = store.next_seq().take();
            let (lane, kind) = ("a".to_owned(), String::new());
            let put = Put { lane, kind, head: vec![], body: vec![7; 200_000], accepted_at: 0, place: Place::Lane };
            store.commit(&[Op::Put { seq, put, note: None }], 0).unwrap();
        };
        let hold = Arc::new(Hold::new(24 << 20));
        store.hold(Arc::downgrade(&hold)).unwrap();
        let before = fs::read(dir.join("queue.db")).unwrap();
        while log_bytes() < 23 << 20 {
            commit(&mut store);
        }
        assert!(!hold.is_broken() && fs::read(dir.join("queue.db")).unwrap()[..before.len()] == before[..]);
        for _ in 0..20 {
            commit(&mut store);
        }
        assert!(hold.is_broken());
        assert!(fs::read(dir.join("queue.db")).unwrap()[..before.len()] != before[..], "the log went into the file");
        assert!(log_bytes() < 32 << 20, "and begins anew");
        // One that is dropped ends with the next commit, and one is broken by the next.
        store.hold(Arc::downgrade(&Arc::new(Hold::new(1 << 30)))).unwrap();
        let before = fs::read(dir.join("queue.db")).unwrap();
        commit(&mut store);
        assert!(fs::read(dir.join("queue.db")).unwrap() != before, "the log went into the file");
        let (first, second) = (Arc::new(Hold::new(1 << 30)), Arc::new(Hold::new(1 << 30)));
        store.hold(Arc::downgrade(&first)).unwrap();
        store.hold(Arc::downgrade(&second)).unwrap();
        assert!(first.is_broken() && !second.is_broken());
        drop(store);
        fs::remove_dir_all(&dir).unwrap();
    }
}
