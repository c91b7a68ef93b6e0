//! Rows of a damaged file, told apart by what is in them, and copied into a new one.
//!
//! Promises: a row is copied as it is, also one whose checksum is wrong: the queue finds it and buries it under its number. What
//! is no text becomes text, and a column of another type becomes nothing, where the row would otherwise hold up all others. A
//! message that nothing names is not copied: where it belongs is written in no other place, and it may be one that is done.

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Result, params_from_iter};

use super::super::changes;
use super::pages::Kind;
use crate::store::Totals;

/// Beyond the highest position that was found, when the file no longer says which comes next: more than were ever given in the
/// day that settled messages are remembered.
const POSITIONS_SKIPPED: u64 = 1 << 20;

/// Rows and bytes of one transaction. Nothing is flushed before the end, so this bounds only the log.
const ROWS_AT_ONCE: u64 = 4_096;
const BYTES_AT_ONCE: u64 = 4 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Messages,
    Waiting,
    DeadLetters,
    Kept,
    Seen,
    Notes,
    Totals,
    /// Made anew, not copied.
    Reserve,
}

#[derive(Clone, Copy, Debug)]
enum Column {
    Text,
    Integer,
    Blob,
    /// Of the row's head and body.
    Bytes,
    MaybeText,
    MaybeInteger,
    MaybeBlob,
}

use Column::{Blob, Bytes, Integer, MaybeBlob, MaybeInteger, MaybeText, Text};

impl Table {
    /// Rows of format 1 are shorter by two.
    pub(super) fn of(kind: Kind, columns: &[ValueRef<'_>]) -> Option<Self> {
        let is_table = matches!(kind, Kind::TableLeaf);
        let is_integer = |at: usize| matches!(columns.get(at), Some(ValueRef::Integer(_)));
        match (is_table, columns.len()) {
            (true, 6) => Some(Self::Messages),
            (true, 10) if is_integer(1) => Some(Self::Totals),
            (true, 10 | 12) => Some(Self::DeadLetters),
            (true, 4) => Some(Self::Kept),
            (true, 2) => Some(Self::Reserve),
            (false, 10 | 12) => Some(Self::Waiting),
            (false, 2) => Some(Self::Seen),
            (false, 3) => Some(Self::Notes),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Waiting => "waiting",
            Self::DeadLetters => "dead_letters",
            Self::Kept => "kept",
            Self::Seen => "seen",
            Self::Notes => "notes",
            Self::Totals => "totals",
            Self::Reserve => "reserve",
        }
    }

    fn columns(self) -> &'static [Column] {
        match self {
            Self::Messages => &[Integer, Text, Integer, Integer, Blob, Blob],
            #[rustfmt::skip]
            Self::Waiting => &[Text, Integer, Integer, Bytes, Integer, Integer, MaybeInteger, MaybeText, MaybeBlob, Integer,
                               MaybeInteger, Integer],
            #[rustfmt::skip]
            Self::DeadLetters => &[Integer, Text, Integer, Text, Text, Integer, MaybeInteger, MaybeText, MaybeBlob, Bytes,
                                   MaybeInteger, Integer],
            Self::Kept => &[Integer, Text, Integer, Bytes],
            Self::Seen => &[Text, Blob],
            Self::Notes => &[Text, Text, Blob],
            Self::Totals => &[Integer; 10],
            Self::Reserve => &[],
        }
    }

    /// Without these a row is no row: of a message all, for it is worth nothing without any of them.
    fn keys(self) -> usize {
        match self {
            Self::DeadLetters | Self::Kept => 1,
            _ if self == Self::Waiting || self == Self::Notes => 2,
            _ => self.columns().len(),
        }
    }
}

/// What was found, counted by what the rows say.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) rows: u64,
    /// Messages that are named and there.
    pub(super) saved: u64,
    /// Messages of which the one or the other is missing.
    pub(super) lost: u64,
    /// As the damaged file counted them.
    pub(super) counted: Option<u64>,
}

pub(super) struct Copied<'a> {
    connection: &'a Connection,
    totals: Totals,
    old: Option<[u64; 9]>,
    messages: Vec<i64>,
    named: Vec<i64>,
    rows: u64,
    uncommitted: (u64, u64),
}

impl<'a> Copied<'a> {
    pub(super) fn to(connection: &'a Connection) -> Result<Self> {
        connection.execute_batch("BEGIN")?;
        let (messages, named) = (Vec::new(), Vec::new());
        let (totals, old, rows, uncommitted) = (Totals::default(), None, 0, (0, 0));
        Ok(Self { connection, totals, old, messages, named, rows, uncommitted })
    }

    /// `key` is the row's own in tables that have one.
    pub(super) fn row(&mut self, table: Table, key: i64, columns: &[ValueRef<'_>]) -> Result<()> {
        if table == Table::Reserve {
            self.rows += 1;
            return Ok(());
        }
        let mut row = Vec::with_capacity(12);
        for (at, column) in table.columns().iter().enumerate() {
            let found = match columns.get(at) {
                Some(ValueRef::Null) | None if at == 0 => Some(ValueRef::Integer(key)),
                found => found.copied(),
            };
            match fit(found.unwrap_or(ValueRef::Null), *column) {
                Ok(value) => row.push(value),
                Err(_) if at < table.keys() => return Ok(()),
                Err(nothing) => row.push(nothing),
            }
        }
        let number = |at: usize| if let Some(Value::Integer(number)) = row.get(at) { *number } else { 0 };
        let (first, second) = (number(0), number(1));
        match table {
            Table::Totals => {
                self.take_totals(&row);
                return Ok(());
            }
            Table::Waiting if second < 0 => return Ok(()),
            Table::Messages | Table::DeadLetters | Table::Kept if first < 0 => return Ok(()),
            _ => {}
        }
        let places = ["?"; 12][..row.len()].join(", ");
        let insert = format!("INSERT OR IGNORE INTO {} VALUES ({places})", table.name());
        if self.connection.prepare_cached(&insert)?.execute(params_from_iter(&row))? == 0 {
            return Ok(());
        }
        match table {
            Table::Messages => self.messages.push(first),
            Table::Waiting => {
                self.named.push(second);
                self.totals.waiting += 1;
                self.totals.waiting_bytes += number(3).unsigned_abs();
            }
            Table::DeadLetters => {
                self.named.push(first);
                self.totals.dead_letters.add(number(9).unsigned_abs());
            }
            Table::Kept => {
                self.named.push(first);
                self.totals.kept.add(number(3).unsigned_abs());
            }
            Table::Seen | Table::Notes | Table::Totals | Table::Reserve => {}
        }
        self.rows += 1;
        let bytes = columns.iter().map(|column| column.as_bytes().map_or(8, <[u8]>::len) as u64).sum::<u64>();
        self.uncommitted = (self.uncommitted.0 + 1, self.uncommitted.1 + bytes);
        if self.uncommitted.0 >= ROWS_AT_ONCE || self.uncommitted.1 >= BYTES_AT_ONCE {
            self.uncommitted = (0, 0);
            self.connection.execute_batch("COMMIT; BEGIN")?;
        }
        Ok(())
    }

    fn take_totals(&mut self, row: &[Value]) {
        let mut old = [0; 9];
        for (old, found) in old.iter_mut().zip(row.iter().skip(1)) {
            match found {
                Value::Integer(number) if *number >= 0 => *old = number.unsigned_abs(),
                _ => return,
            }
        }
        self.old = Some(old);
    }

    /// Takes out what nothing names, and writes the counts.
    pub(super) fn finish(mut self) -> Result<Tally> {
        for list in [&mut self.messages, &mut self.named] {
            list.sort_unstable();
            list.dedup();
        }
        let is_in = |list: &[i64], seq: &i64| list.binary_search(seq).is_ok();
        let mut delete = self.connection.prepare("DELETE FROM messages WHERE seq = ?")?;
        let mut lost = 0;
        for seq in self.messages.iter().filter(|seq| !is_in(&self.named, seq)) {
            delete.execute([seq])?;
            lost += 1;
        }
        let (mut saved, mut highest) = (0, 0);
        for seq in &self.named {
            match is_in(&self.messages, seq) {
                // Two places say so: one of them alone may be a flipped bit, and far off.
                true => (saved, highest) = (saved + 1, seq.unsigned_abs()),
                false => lost += 1,
            }
        }
        let mut totals = self.totals;
        let next_seq = match self.old {
            Some([next_seq, _, _, _, _, dead_letters_gone, _, _, kept_gone]) => {
                (totals.dead_letters.gone, totals.kept.gone) = (dead_letters_gone, kept_gone);
                next_seq.max(highest + 1)
            }
            None => highest + 1 + POSITIONS_SKIPPED,
        };
        changes::write_totals(self.connection, next_seq, &totals)?;
        self.connection.execute_batch("COMMIT")?;
        let counted =
            self.old.map(|[_, waiting, _, dead, _, _, kept, ..]| waiting.saturating_add(dead).saturating_add(kept));
        let rows = self.rows + u64::from(self.old.is_some());
        Ok(Tally { rows, saved, lost, counted })
    }
}

/// `Err` is what stands for it when it is of another type.
fn fit(found: ValueRef<'_>, column: Column) -> std::result::Result<Value, Value> {
    let text = |bytes: &[u8]| Ok(Value::Text(String::from_utf8_lossy(bytes).into_owned()));
    match (column, found) {
        // Text and bytes are a bit apart, and what it was is known.
        (Text | MaybeText, ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => text(bytes),
        (Blob | MaybeBlob, ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => Ok(Value::Blob(bytes.to_vec())),
        (Integer | MaybeInteger, ValueRef::Integer(number)) => Ok(Value::Integer(number)),
        // No checksum covers it, and a sum of such must not run over.
        (Bytes, ValueRef::Integer(number)) => Ok(Value::Integer(number.clamp(0, 1 << 40))),
        (MaybeText | MaybeInteger | MaybeBlob, ValueRef::Null) => Ok(Value::Null),
        (MaybeText | MaybeInteger | MaybeBlob, _) => Err(Value::Null),
        (Text, _) => Err(Value::Text(String::new())),
        (Blob, _) => Err(Value::Blob(Vec::new())),
        (Integer | Bytes, _) => Err(Value::Integer(0)),
    }
}
