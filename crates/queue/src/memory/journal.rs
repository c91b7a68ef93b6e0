//! The last commit as it is written down: its rows, then an end mark. Without the mark nothing of it counts.

use super::image::Row;
use crate::UnixMillis;

#[derive(Clone, Debug)]
enum Entry {
    Row(Row),
    /// All the rows before it are there.
    End {
        at: UnixMillis,
    },
}

/// Empty once the commit is in its place.
#[derive(Clone, Debug, Default)]
pub(super) struct Journal(Vec<Entry>);

impl Journal {
    /// A whole commit.
    pub(super) fn of(rows: Vec<Row>, at: UnixMillis) -> Self {
        Self(rows.into_iter().map(Entry::Row).chain([Entry::End { at }]).collect())
    }

    /// How many rows it has.
    pub(super) fn rows(&self) -> usize {
        self.0.iter().filter(|entry| matches!(entry, Entry::Row(_))).count()
    }

    /// What is there when the power fails after so many rows: never the end mark.
    pub(super) fn torn(mut self, rows: usize) -> Self {
        self.0.truncate(rows.min(self.rows()));
        self
    }

    /// The rows of a commit that was written to its end, and when it was made.
    pub(super) fn finished(self) -> Option<(Vec<Row>, UnixMillis)> {
        let Some(Entry::End { at }) = self.0.last() else { return None };
        let at = *at;
        Some((self.rows_without_a_look(), at))
    }

    /// As who does not look for the end mark.
    pub(super) fn rows_without_a_look(self) -> Vec<Row> {
        let row = |entry| match entry {
            Entry::Row(row) => Some(row),
            Entry::End { .. } => None,
        };
        self.0.into_iter().filter_map(row).collect()
    }
}
