//! The directory of a queue and the files in it.
//!
//! Promises: one process at a time; nobody but the owner can read; what was made is in the directory after a power cut.

use std::fs::{DirBuilder, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::failure::{Refusal, is_damage};
use super::room;
use crate::options::OpenError;

#[derive(Debug)]
pub(super) struct Files {
    pub(super) dir: PathBuf,
    // Held as long as the queue is open; the system lets go of it when the process ends, however it ends.
    _lock: File,
}

impl Files {
    /// Makes the directory when it is missing and takes its lock, at once or not at all.
    pub(super) fn lock(dir: PathBuf) -> Result<Self, OpenError> {
        let lock = make(&dir).and_then(|()| private(&dir.join("lock")));
        let lock = match lock {
            Ok(lock) => lock,
            Err(cause) => return Err(OpenError::Directory { dir, cause }),
        };
        match lock.try_lock() {
            Ok(()) => Ok(Self { dir, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked { dir }),
            Err(TryLockError::Error(cause)) => Err(OpenError::Directory { dir, cause }),
        }
    }

    pub(super) fn broken(&self, cause: String) -> OpenError {
        OpenError::Store { dir: self.dir.clone(), cause }
    }

    pub(super) fn refusal(&self, error: &rusqlite::Error) -> Refusal {
        match is_damage(error) {
            true => Refusal::Damaged(error.to_string()),
            false => Refusal::Other(self.broken(error.to_string())),
        }
    }

    pub(super) fn database_path(&self) -> PathBuf {
        self.dir.join("queue.db")
    }

    /// Made before SQLite opens it, which gives its log the same owner and mode.
    pub(super) fn database(&self) -> io::Result<File> {
        private(&self.database_path())
    }

    pub(super) fn log_path(&self) -> PathBuf {
        self.dir.join("queue.db-wal")
    }

    pub(super) fn lengthen_log(&self) -> io::Result<()> {
        room::lengthen_log(&self.log_path())
    }

    /// The names of new files are on the disk only when their directory is.
    pub(super) fn settle(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()?;
        match self.dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            // Not ours; a parent that may not be read is no reason not to start.
            Some(parent) => File::open(parent).map_or(Ok(()), |parent| parent.sync_all()),
            None => File::open(".")?.sync_all(),
        }
    }
}

/// A directory that we make is ours alone, whatever the umask says. One that is there already stays as its owner wants
/// it; the files are closed to others either way.
fn make(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    std::fs::set_permissions(dir, Permissions::from_mode(0o700))
}

/// Messages are personal data: readable by their owner only.
pub(super) fn private(path: &Path) -> io::Result<File> {
    let file = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    if file.metadata()?.permissions().mode() & 0o177 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}
