//! What is set aside: dead letters and kept events, and how the oldest of them go.
//!
//! Promises: oldest position first; each that goes is counted in the transaction that drops it; a broken row is told and
//! holds nobody up. Touches no message that waits. Does not know why somebody wants the room.

use rusqlite::{OptionalExtension, Result, params};

use super::changes::{Changes, signed, unsigned};
use super::failure::is_corrupt;
use super::rows::Attempts;
use crate::store::{Bound, GONE_AT_ONCE, Shelf, bytes_set_aside};
use crate::{Reason, Seq, UnixMillis};

/// One step of making room: at most this many messages, each with pages of its own. 256 x 16 KiB = 4 MiB of log.
const STEP_MESSAGES: usize = 256;

/// And no more than this once it is reached, so that little goes that could have stayed.
const STEP_BYTES: u64 = 1 << 20;

#[derive(Clone, Copy, Debug)]
enum Kind {
    DeadLetters,
    Kept,
}

impl Kind {
    fn oldest(self) -> &'static str {
        match self {
            Self::DeadLetters => "SELECT seq, buried_at, bytes FROM dead_letters ORDER BY seq LIMIT 1",
            Self::Kept => "SELECT seq, kept_at, bytes FROM kept ORDER BY seq LIMIT 1",
        }
    }

    fn delete(self) -> &'static str {
        match self {
            Self::DeadLetters => "DELETE FROM dead_letters WHERE seq = ?",
            Self::Kept => "DELETE FROM kept WHERE seq = ?",
        }
    }

    /// For a key that a search misses and a scan finds, which a flipped bit can make.
    fn delete_by_scan(self) -> &'static str {
        match self {
            Self::DeadLetters => "DELETE FROM dead_letters WHERE +seq = ?",
            Self::Kept => "DELETE FROM kept WHERE +seq = ?",
        }
    }
}

/// The oldest of a kind.
struct Oldest {
    seq: Seq,
    at: UnixMillis,
    bytes: u64,
}

impl Changes<'_> {
    pub(super) fn keep(&mut self, lane: &str, seq: Seq, at: UnixMillis) -> Result<()> {
        if let Some((bytes, _)) = self.take(lane, seq)? {
            let bytes = bytes_set_aside(bytes);
            let insert = "INSERT INTO kept (seq, lane, kept_at, bytes) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING";
            let row = params![signed(seq.0), lane, at, signed(bytes)];
            match self.connection.prepare_cached(insert)?.execute(row)? {
                0 => self.strays += 1,
                _ => self.totals.kept.add(bytes),
            }
        }
        Ok(())
    }

    /// `taken` is its head and body in bytes, and what was tried.
    pub(super) fn bury(
        &mut self,
        lane: &str,
        seq: Seq,
        (reason, at): (&Reason, UnixMillis),
        taken: &(u64, Attempts),
    ) -> Result<()> {
        let insert = "INSERT INTO dead_letters (seq, lane, buried_at, code, detail, attempts, first_attempt_at,
                      last_attempt_at, last_cause, frozen, replays, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                      ON CONFLICT DO NOTHING";
        let (bytes, Attempts { attempts, first_attempt_at, last_attempt_at, last_cause, frozen, replays, .. }) = taken;
        let bytes = bytes_set_aside(*bytes);
        let row = params![
            signed(seq.0),
            lane,
            at,
            reason.code,
            reason.detail,
            attempts,
            first_attempt_at,
            last_attempt_at,
            last_cause,
            frozen,
            replays,
            signed(bytes)
        ];
        match self.connection.prepare_cached(insert)?.execute(row)? {
            // A flipped bit made its number that of one that is there already, which is left as it is.
            0 => self.strays += 1,
            _ => self.totals.dead_letters.add(bytes),
        }
        Ok(())
    }

    /// Back to its old place in its lane, as if nothing had been tried. The message stays where it is.
    pub(super) fn replay(&mut self, lane: &str, seq: Seq) -> Result<()> {
        let Some(replays) = self.out_of_the_dead(seq)? else { return Ok(()) };
        let select = "SELECT accepted_at, length(head) + length(body) FROM messages WHERE seq = ?";
        let found = self
            .connection
            .prepare_cached(select)?
            .query_row([signed(seq.0)], |row| Ok((row.get::<_, UnixMillis>(0)?, row.get::<_, i64>(1)?)));
        match found.optional()? {
            Some((accepted_at, bytes)) => {
                self.wait(lane, seq, accepted_at, (unsigned(bytes)?, replays.saturating_add(1)))
            }
            None => {
                self.strays += 1;
                self.totals.dead_letters.gone += 1;
                tracing::error!(seq = seq.0, "a dead letter without its message cannot come back");
                Ok(())
            }
        }
    }

    /// Nobody wants it.
    pub(super) fn discard(&mut self, seq: Seq) -> Result<()> {
        match self.out_of_the_dead(seq)? {
            Some(_) => self.delete_message(seq),
            None => Ok(()),
        }
    }

    /// How often it has come back before.
    fn out_of_the_dead(&mut self, seq: Seq) -> Result<Option<u32>> {
        let delete = "DELETE FROM dead_letters WHERE seq = ? RETURNING bytes, replays";
        let taken = self
            .connection
            .prepare_cached(delete)?
            .query_row([signed(seq.0)], |row| Ok((unsigned(row.get(0)?).unwrap_or(0), row.get(1).unwrap_or(0))));
        let Some((bytes, replays)) = taken.optional()? else { return Ok(None) };
        self.totals.dead_letters.take(bytes);
        Ok(Some(replays))
    }

    /// What the bounds push out.
    pub(super) fn trim(&mut self, now: UnixMillis) -> Result<()> {
        self.trim_kind(Kind::DeadLetters, self.bounds.dead_letters, now)?;
        self.trim_kind(Kind::Kept, self.bounds.kept, now)
    }

    fn trim_kind(&mut self, kind: Kind, bound: Bound, now: UnixMillis) -> Result<()> {
        for _ in 0..GONE_AT_ONCE {
            let Some(oldest) = self.oldest(kind)? else { break };
            if !bound.pushes_out(*self.shelf(kind), oldest.at, now) || !self.drop_one(kind, &oldest)? {
                break;
            }
        }
        Ok(())
    }

    /// One step of making room: the oldest kept events, and dead letters when none of those are left. False when
    /// nothing went.
    pub(super) fn make_room(&mut self) -> Result<bool> {
        let (mut bytes, mut any) = (0, false);
        for kind in [Kind::Kept, Kind::DeadLetters] {
            for _ in 0..STEP_MESSAGES {
                let Some(oldest) = self.oldest(kind)? else { break };
                if bytes >= STEP_BYTES || !self.drop_one(kind, &oldest)? {
                    break;
                }
                (bytes, any) = (bytes + oldest.bytes, true);
            }
            if any {
                break;
            }
        }
        Ok(any)
    }

    /// What is broken here must not make every commit fail: then nothing goes, and it is told.
    fn oldest(&mut self, kind: Kind) -> Result<Option<Oldest>> {
        if self.shelf(kind).count == 0 {
            return Ok(None);
        }
        let mut select = self.connection.prepare_cached(kind.oldest())?;
        let oldest = select.query_row([], |row| {
            Ok(Oldest { seq: Seq(unsigned(row.get(0)?)?), at: row.get(1)?, bytes: unsigned(row.get(2)?)? })
        });
        match oldest.optional() {
            Err(error) if is_corrupt(&error) => self.strays += 1,
            // Counted and not there: the next ones are counted from nothing again.
            Ok(None) => (self.shelf(kind).count, self.shelf(kind).bytes) = (0, 0),
            oldest => return oldest,
        }
        Ok(None)
    }

    fn drop_one(&mut self, kind: Kind, oldest: &Oldest) -> Result<bool> {
        let seq = signed(oldest.seq.0);
        for delete in [kind.delete(), kind.delete_by_scan()] {
            match self.connection.prepare_cached(delete)?.execute([seq]) {
                Err(error) if is_corrupt(&error) => {}
                Err(error) => return Err(error),
                Ok(0) => {}
                Ok(_) => {
                    self.shelf(kind).lose(oldest.bytes);
                    self.delete_message(oldest.seq)?;
                    return Ok(true);
                }
            }
            self.strays += 1;
        }
        Ok(false)
    }

    fn shelf(&mut self, kind: Kind) -> &mut Shelf {
        match kind {
            Kind::DeadLetters => &mut self.totals.dead_letters,
            Kind::Kept => &mut self.totals.kept,
        }
    }
}
