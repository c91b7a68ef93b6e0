//! What an error of SQLite means for the queue.

use rusqlite::ErrorCode;

use crate::options::OpenError;
use crate::store::{CommitError, Trouble};

impl From<rusqlite::Error> for CommitError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            // Said before anything was promised, and the transaction is gone: nothing is in doubt.
            Some(ErrorCode::DiskFull) => Self::Full(error.to_string()),
            _ if is_corrupt(&error) => Self::Damaged(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<std::io::Error> for CommitError {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

/// Why the file cannot be worked with.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It is not as this program left it.
    Damaged(String),
    Other(OpenError),
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Damaged(why) => Self(why),
            Refusal::Other(error) => Self(error.to_string()),
        }
    }
}

/// What SQLite says of a broken place, for one that only we see.
pub(super) fn corrupt(what: &str) -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    rusqlite::Error::SqliteFailure(code, Some(what.to_owned()))
}

/// Errors that a damaged schema or a damaged head bring about; never what a disk says that does not answer.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    let codes = [ErrorCode::Unknown, ErrorCode::ConstraintViolation, ErrorCode::TypeMismatch, ErrorCode::SchemaChanged];
    is_corrupt(error)
        || matches!(error, rusqlite::Error::SqlInputError { .. })
        || error.sqlite_error_code().is_some_and(|code| codes.contains(&code))
        || matches!(error, rusqlite::Error::QueryReturnedNoRows)
}

/// The file's structure is broken at this place, as opposed to the disk not answering.
pub(super) fn is_corrupt(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
        || matches!(error, rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::FromSqlConversionFailure(..))
        || matches!(error, rusqlite::Error::IntegralValueOutOfRange(..) | rusqlite::Error::Utf8Error(..))
}
