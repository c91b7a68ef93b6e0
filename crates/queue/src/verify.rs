//! Whether what is kept is what was written.

use std::path::Path;

use crate::options::OpenError;
use crate::sqlite::inspect;
use crate::{Queue, Seq};

/// A piece of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Messages that were looked at.
    pub checked: u64,
    /// Those that are not what was written.
    pub damaged: Vec<Seq>,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}

/// How far a check has come. What comes and goes meanwhile may be missed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// In which table.
    pub part: Part,
    /// The last row there.
    pub lane: String,
    /// Its position.
    pub seq: u64,
}

/// The tables that name messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// In lanes.
    #[default]
    Waiting,
    /// Buried.
    DeadLetters,
    /// Set aside.
    Kept,
}

impl Part {
    pub(crate) fn next(self) -> Option<Self> {
        match self {
            Self::Waiting => Some(Self::DeadLetters),
            Self::DeadLetters => Some(Self::Kept),
            Self::Kept => None,
        }
    }
}

/// A whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Messages that were looked at.
    pub checked: u64,
    /// Messages that the file counts.
    pub counted: u64,
    /// Those that are not what was written.
    pub damaged: Vec<Seq>,
    /// What SQLite says of the file's structure, when it is not whole.
    pub structure: Vec<String>,
}

impl Report {
    /// All is as it was written.
    pub fn is_whole(&self) -> bool {
        self.damaged.is_empty() && self.structure.is_empty() && self.checked == self.counted
    }
}

impl Queue {
    /// Looks through the files of a queue that nobody has open.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn verify_files(dir: &Path) -> Result<Report, OpenError> {
        inspect::files(dir)
    }

    /// Copies the files of a queue that nobody has open to `to`, which must not exist. Returns their bytes.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn copy_files(dir: &Path, to: &Path) -> Result<u64, OpenError> {
        inspect::copy(dir, to)
    }
}
