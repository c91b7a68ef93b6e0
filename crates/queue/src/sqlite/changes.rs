//! How each change is written. Runs inside one transaction; what it counts in `Totals` is thrown away with it.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Result, params, params_from_iter};

use super::failure::is_corrupt;
use super::rows::{Attempts, attempts_checksum, message_checksum, ring_from, ring_to};
use crate::message::after;
use crate::store::{Bounds, Op, Totals, remember};
use crate::{Burial, Note, Put, Retry, Seen, Seq, Settle, UnixMillis};

pub(super) struct Changes<'a> {
    pub(super) connection: &'a Connection,
    pub(super) bounds: Bounds,
    pub(super) totals: Totals,
    pub(super) next_seq: u64,
    /// Rows that were not where their key says.
    pub(super) strays: u64,
}

impl Changes<'_> {
    pub(super) fn apply(&mut self, op: &Op) -> Result<()> {
        match op {
            Op::Put { seq, put, note } => {
                self.put(*seq, put)?;
                self.write_notes(note.as_slice())
            }
            Op::Done { lane, seq, settle } => {
                if self.take(lane, *seq)?.is_some() {
                    self.delete_message(*seq)?;
                }
                self.settle(lane, settle)
            }
            Op::Keep { lane, seq, at } => self.keep(lane, *seq, *at),
            Op::Bury { lane, seq, reason, settle, at } => {
                if let Some(taken) = self.take(lane, *seq)? {
                    self.bury(lane, *seq, (reason, *at), &taken)?;
                }
                self.settle(lane, settle)
            }
            Op::Retry { lane, seq, retry, ended_at } => self.retry(lane, *seq, retry, *ended_at),
            Op::Notes(notes) => self.write_notes(notes),
            Op::Replay(letters) => letters.iter().try_for_each(|(lane, seq)| self.replay(lane, *seq)),
            Op::Discard(seqs) => seqs.iter().try_for_each(|seq| self.discard(*seq)),
        }
    }

    /// Last in the transaction: the row of totals.
    pub(super) fn finish(&mut self) -> Result<()> {
        write_totals(self.connection, self.next_seq, &self.totals)
    }

    fn put(&mut self, seq: Seq, put: &Put) -> Result<()> {
        self.next_seq = self.next_seq.max(seq.0 + 1);
        let insert = "INSERT INTO messages (seq, kind, accepted_at, crc, head, body) VALUES (?, ?, ?, ?, ?, ?)";
        let crc = message_checksum(seq, &put.lane, &put.kind, put.accepted_at, &put.head, &put.body);
        let row = params![signed(seq.0), put.kind, put.accepted_at, crc, put.head, put.body];
        self.connection.prepare_cached(insert)?.execute(row)?;
        let bytes = (put.head.len() + put.body.len()) as u64;
        match Op::buried_at_once(put) {
            None => self.wait(&put.lane, seq, put.accepted_at, (bytes, 0)),
            Some(Burial { reason, buried_at, attempts, first_attempt_at, last_attempt_at, last_cause, replays }) => {
                let (not_before, frozen) = (0, None);
                let tried =
                    Attempts { not_before, attempts, first_attempt_at, last_attempt_at, last_cause, frozen, replays };
                self.bury(&put.lane, seq, (&reason, buried_at), &(bytes, tried))
            }
        }
    }

    /// Into its lane, untried.
    pub(super) fn wait(
        &mut self,
        lane: &str,
        seq: Seq,
        accepted_at: UnixMillis,
        (bytes, replays): (u64, u32),
    ) -> Result<()> {
        let insert = "INSERT INTO waiting (lane, seq, accepted_at, bytes, not_before, attempts, crc, replays)
                      VALUES (?, ?, ?, ?, 0, 0, ?, ?)";
        let crc = attempts_checksum(seq, lane, &Attempts { replays, ..Attempts::default() });
        let row = params![lane, signed(seq.0), accepted_at, signed(bytes), crc, replays];
        self.connection.prepare_cached(insert)?.execute(row)?;
        self.totals.waiting += 1;
        self.totals.waiting_bytes += bytes;
        Ok(())
    }

    /// Out of its lane: its head and body in bytes, and what was tried. `None` when it is not there, which leaves nothing
    /// to do.
    pub(super) fn take(&mut self, lane: &str, seq: Seq) -> Result<Option<(u64, Attempts)>> {
        let delete = "DELETE FROM waiting WHERE lane = ? AND seq = ?
                      RETURNING bytes, not_before, attempts, first_attempt_at, last_attempt_at, last_cause, frozen, replays";
        if let Some(taken) = self.take_by(delete, params![lane, signed(seq.0)])? {
            return Ok(Some(taken));
        }
        // It was leased, so it was there. A flipped bit in a key hides a row from a search and not from a scan; left
        // where it is, it would be handed out for ever.
        self.strays += 1;
        let scan = "DELETE FROM waiting WHERE +seq = ?
                    RETURNING bytes, not_before, attempts, first_attempt_at, last_attempt_at, last_cause, frozen, replays";
        self.take_by(scan, params![signed(seq.0)])
    }

    fn take_by(&mut self, delete: &str, key: impl rusqlite::Params) -> Result<Option<(u64, Attempts)>> {
        let mut delete = self.connection.prepare_cached(delete)?;
        // What cannot be read is no reason to keep what is done.
        let row = delete.query_row(key, |row| {
            Ok((row.get::<_, i64>(0).unwrap_or(0), Attempts::from_row(row, 1).unwrap_or_default()))
        });
        let Some((bytes, attempts)) = row.optional()? else { return Ok(None) };
        self.totals.waiting = self.totals.waiting.saturating_sub(1);
        let bytes = u64::try_from(bytes).unwrap_or(0);
        self.totals.waiting_bytes = self.totals.waiting_bytes.saturating_sub(bytes);
        Ok(Some((bytes, attempts)))
    }

    /// What is broken around it must not make a message that is done come again: then its bytes stay where they are.
    pub(super) fn delete_message(&mut self, seq: Seq) -> Result<()> {
        let mut delete = self.connection.prepare_cached("DELETE FROM messages WHERE seq = ?")?;
        match delete.execute([signed(seq.0)]) {
            Err(error) if is_corrupt(&error) => self.strays += 1,
            deleted => self.strays += u64::from(deleted? == 0),
        }
        Ok(())
    }

    fn retry(&self, lane: &str, seq: Seq, retry: &Retry, ended_at: UnixMillis) -> Result<()> {
        let select = "SELECT not_before, attempts, first_attempt_at, last_attempt_at, last_cause, frozen, replays
                      FROM waiting WHERE lane = ? AND seq = ?";
        let mut select = self.connection.prepare_cached(select)?;
        let old = select
            .query_row(params![lane, signed(seq.0)], |row| Ok(Attempts::from_row(row, 0).unwrap_or_default()))
            .optional()?;
        let Some(old) = old else { return Ok(()) };
        let new = Attempts {
            not_before: after(ended_at, retry.wait),
            attempts: old.attempts.saturating_add(1),
            first_attempt_at: old.first_attempt_at.or(Some(ended_at)),
            last_attempt_at: Some(ended_at),
            last_cause: Some(retry.cause.clone()),
            frozen: old.frozen.or_else(|| retry.freeze.clone()),
            replays: old.replays,
        };
        let crc = attempts_checksum(seq, lane, &new);
        let update = "UPDATE waiting SET not_before = ?, attempts = ?, first_attempt_at = ?, last_attempt_at = ?,
                      last_cause = ?, frozen = ?, crc = ? WHERE lane = ? AND seq = ?";
        let Attempts { not_before, attempts, first_attempt_at, last_attempt_at, last_cause, frozen, replays: _ } = new;
        let tried = params![not_before, attempts, first_attempt_at, last_attempt_at];
        let rest = params![last_cause, frozen, crc, lane, signed(seq.0)];
        let row = params_from_iter(tried.iter().chain(rest));
        self.connection.prepare_cached(update)?.execute(row)?;
        Ok(())
    }

    fn settle(&self, lane: &str, settle: &Settle) -> Result<()> {
        if let Some(seen) = settle.seen {
            self.see(lane, seen)?;
        }
        self.write_notes(&settle.notes)
    }

    fn see(&self, lane: &str, seen: Seen) -> Result<()> {
        let mut select = self.connection.prepare_cached("SELECT ring FROM seen WHERE lane = ?")?;
        let old: Option<Vec<u8>> = select.query_row([lane], |row| row.get(0)).optional()?;
        let mut ring = ring_from(&old.unwrap_or_default());
        remember(&mut ring, seen);
        let replace = "INSERT INTO seen (lane, ring) VALUES (?, ?) ON CONFLICT DO UPDATE SET ring = excluded.ring";
        self.connection.prepare_cached(replace)?.execute(params![lane, ring_to(&ring)])?;
        Ok(())
    }

    fn write_notes(&self, notes: &[Note]) -> Result<()> {
        for Note { space, key, value } in notes {
            match value {
                Some(value) => {
                    let replace = "INSERT INTO notes (space, key, value) VALUES (?, ?, ?)
                                   ON CONFLICT DO UPDATE SET value = excluded.value";
                    self.connection.prepare_cached(replace)?.execute(params![space, key, value])?;
                }
                None => {
                    let delete = "DELETE FROM notes WHERE space = ? AND key = ?";
                    self.connection.prepare_cached(delete)?.execute(params![space, key])?;
                }
            }
        }
        Ok(())
    }
}

/// The one row that counts everything.
pub(super) fn write_totals(connection: &Connection, next_seq: u64, totals: &Totals) -> Result<()> {
    let Totals { waiting, waiting_bytes, dead_letters: dead, kept } = totals;
    let numbers =
        [next_seq, *waiting, *waiting_bytes, dead.count, dead.bytes, dead.gone, kept.count, kept.bytes, kept.gone];
    let update = "UPDATE totals SET next_seq = ?, waiting = ?, waiting_bytes = ?, dead_letters = ?,
                  dead_letters_bytes = ?, dead_letters_gone = ?, kept = ?, kept_bytes = ?, kept_gone = ?";
    connection.prepare_cached(update)?.execute(numbers.map(signed))?;
    Ok(())
}

/// Positions and counts start at 0 and rise by one: 2^63 of them are never reached.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> Result<u64> {
    u64::try_from(number).map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Integer, Box::new(error)))
}
