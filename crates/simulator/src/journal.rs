//! Changes on disk, one JSON line each.
//!
//! Promises: with a directory, what was changed is there after a restart, also after a kill; a line that a crash cut in
//! half is dropped, not fatal. A power cut may take the last changes (no sync per change). Does not know what changes mean.

use std::io::{self, Write as _};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::identity::{Readers, open_for, read_if_there, write_whole};

/// Where changes are appended; nowhere without a directory.
#[derive(Debug, Default)]
pub(crate) struct Journal(Option<std::fs::File>);

impl Journal {
    /// The changes that are kept in `dir`, in the order in which they were made.
    pub(crate) fn read<C: DeserializeOwned>(dir: Option<&Path>, file: &str) -> io::Result<Vec<C>> {
        let Some(path) = dir.map(|dir| dir.join(file)) else { return Ok(Vec::new()) };
        let text = read_if_there(&path)?.unwrap_or_default();
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// Writes the journal anew with what still counts, and goes on from there.
    pub(crate) fn open<C: Serialize>(
        dir: Option<&Path>,
        file: &str,
        changes: impl Iterator<Item = C>,
    ) -> io::Result<Self> {
        let Some(path) = dir.map(|dir| dir.join(file)) else { return Ok(Self(None)) };
        let mut text = Vec::new();
        for change in changes {
            serde_json::to_writer(&mut text, &change)?;
            text.push(b'\n');
        }
        write_whole(&path, &text, Readers::Owner)?;
        open_for(Readers::Owner, std::fs::OpenOptions::new().append(true), &path).map(|file| Self(Some(file)))
    }

    /// Before a change is made: what could not be written did not happen.
    pub(crate) fn write<C: Serialize>(&mut self, change: &C) -> io::Result<()> {
        let Some(file) = &mut self.0 else { return Ok(()) };
        let mut line = serde_json::to_vec(change)?;
        line.push(b'\n');
        file.write_all(&line)
    }

    /// Makes it safe against a power cut.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.0.as_ref().map_or(Ok(()), std::fs::File::sync_all)
    }
}
