//! How rows are read, and what their checksums cover.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::changes::{signed, unsigned};
use crate::checksum::Checksum;
use crate::lanes::Head;
use crate::store::Found;
use crate::{DeadLetter, Message, Reason, Seen, Seq, UnixMillis};

/// What is known of the attempts to hand a message on.
#[derive(Clone, Debug, Default)]
pub(super) struct Attempts {
    pub(super) not_before: UnixMillis,
    pub(super) attempts: u32,
    pub(super) first_attempt_at: Option<UnixMillis>,
    pub(super) last_attempt_at: Option<UnixMillis>,
    pub(super) last_cause: Option<String>,
    pub(super) frozen: Option<Vec<u8>>,
    pub(super) replays: u32,
}

impl Attempts {
    /// The columns not_before, attempts, first_attempt_at, last_attempt_at, last_cause, frozen, replays, from column `at` on.
    pub(super) fn from_row(row: &Row<'_>, at: usize) -> Result<Self> {
        Ok(Self {
            not_before: row.get(at)?,
            attempts: row.get(at + 1)?,
            first_attempt_at: row.get(at + 2)?,
            last_attempt_at: row.get(at + 3)?,
            last_cause: row.get(at + 4)?,
            frozen: row.get(at + 5)?,
            replays: row.get(at + 6)?,
        })
    }
}

pub(super) fn message_checksum(
    seq: Seq,
    lane: &str,
    kind: &str,
    accepted_at: UnixMillis,
    head: &[u8],
    body: &[u8],
) -> u32 {
    let names = Checksum::default().number(signed(seq.0)).bytes(lane.as_bytes()).bytes(kind.as_bytes());
    names.number(accepted_at).bytes(head).bytes(body).value()
}

pub(super) fn attempts_checksum(seq: Seq, lane: &str, of: &Attempts) -> u32 {
    let (first, last) = (of.first_attempt_at.map(i64::to_le_bytes), of.last_attempt_at.map(i64::to_le_bytes));
    let all_of_1 = Checksum::default()
        .number(signed(seq.0))
        .bytes(lane.as_bytes())
        .number(of.not_before)
        .number(of.attempts.into())
        .maybe(first.as_ref().map(<[u8; 8]>::as_slice))
        .maybe(of.last_cause.as_deref().map(str::as_bytes))
        .maybe(of.frozen.as_deref());
    // What format 1 did not have is nothing where there is nothing of it, so that its rows stay as they are.
    let has_more = last.is_some() || of.replays > 0;
    let more = |sum: Checksum| sum.maybe(last.as_ref().map(<[u8; 8]>::as_slice)).number(of.replays.into());
    if has_more { more(all_of_1) } else { all_of_1 }.value()
}

/// A row of `messages` with the lane that it is said to be of; `None` when it is not what was written.
struct Stored {
    kind: String,
    accepted_at: UnixMillis,
    head: Vec<u8>,
    body: Vec<u8>,
    is_whole: bool,
}

fn stored(connection: &Connection, lane: &str, seq: Seq) -> Result<Option<Stored>> {
    let select = "SELECT kind, accepted_at, crc, head, body FROM messages WHERE seq = ?";
    let mut select = connection.prepare_cached(select)?;
    let row = select.query_row([signed(seq.0)], |row| {
        let (kind, accepted_at, crc): (String, _, u32) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (head, body): (Vec<u8>, Vec<u8>) = (row.get(3)?, row.get(4)?);
        let is_whole = crc == message_checksum(seq, lane, &kind, accepted_at, &head, &body);
        Ok(Stored { kind, accepted_at, head, body, is_whole })
    });
    row.optional()
}

/// The message of a row that is set aside.
pub(super) fn is_whole(connection: &Connection, lane: &str, seq: Seq) -> Result<bool> {
    Ok(stored(connection, lane, seq)?.is_some_and(|stored| stored.is_whole))
}

pub(super) fn message(connection: &Connection, lane: &str, seq: Seq) -> Result<Found> {
    let select = "SELECT not_before, attempts, first_attempt_at, last_attempt_at, last_cause, frozen, replays, crc
                  FROM waiting WHERE lane = ? AND seq = ?";
    let mut select = connection.prepare_cached(select)?;
    let row =
        select.query_row(params![lane, signed(seq.0)], |row| Ok((Attempts::from_row(row, 0)?, row.get::<_, u32>(7)?)));
    let Some((attempts, crc)) = row.optional()? else { return Ok(Found::Missing) };
    if crc != attempts_checksum(seq, lane, &attempts) {
        return Ok(Found::Damaged);
    }
    Ok(match stored(connection, lane, seq)? {
        Some(stored) if stored.is_whole => Found::Message(Box::new(assemble(lane, seq, stored, attempts))),
        Some(_) => Found::Damaged,
        None => Found::Missing,
    })
}

fn assemble(lane: &str, seq: Seq, stored: Stored, attempts: Attempts) -> Message {
    let Stored { kind, accepted_at, head, body, .. } = stored;
    let Attempts { attempts, first_attempt_at, last_attempt_at, last_cause, frozen, replays, .. } = attempts;
    Message {
        seq,
        lane: lane.to_owned(),
        kind,
        head,
        body,
        accepted_at,
        attempts,
        first_attempt_at,
        last_attempt_at,
        last_cause,
        frozen,
        replays,
    }
}

/// The columns lane, seq, accepted_at, not_before, last_attempt_at.
fn lane_head(row: &Row<'_>) -> Result<(String, Head)> {
    let seq = Seq(unsigned(row.get(1)?)?);
    let head = Head { seq, accepted_at: row.get(2)?, not_before: row.get(3)?, tried_at: row.get(4)? };
    Ok((row.get(0)?, head))
}

const HEAD_OF: &str = "SELECT lane, seq, accepted_at, not_before, last_attempt_at FROM waiting
                       WHERE lane = ? ORDER BY seq LIMIT 1";

pub(super) fn head_of(connection: &Connection, lane: &str) -> Result<Option<Head>> {
    let head = connection.prepare_cached(HEAD_OF)?.query_row([lane], lane_head).optional()?;
    Ok(head.map(|(_, head)| head))
}

pub(super) fn waiting_in(connection: &Connection, lane: &str) -> Result<u64> {
    let mut count = connection.prepare_cached("SELECT count(*) FROM waiting WHERE lane = ?")?;
    count.query_row([lane], |row| unsigned(row.get(0)?))
}

/// The next lanes, and whether they came in order, as they must.
pub(super) type Lanes = (Vec<(String, Head)>, bool);

/// One step per lane, not one per message: a lane with a million messages costs no more than one with a single one. And one
/// row more, which shows whether the way led past others.
pub(super) fn lanes_after(connection: &Connection, after: Option<&str>, limit: usize) -> Result<Lanes> {
    let first = "SELECT lane, seq, accepted_at, not_before, last_attempt_at FROM waiting
                 ORDER BY lane, seq LIMIT 2";
    let next = "SELECT lane, seq, accepted_at, not_before, last_attempt_at FROM waiting
                WHERE lane > ? ORDER BY lane, seq LIMIT 2";
    let mut next = connection.prepare_cached(next)?;
    let mut lanes: Vec<(String, Head)> = Vec::new();
    while lanes.len() < limit {
        let last = lanes.last().map(|(lane, _)| lane.as_str()).or(after);
        let found: Vec<_> = match last {
            Some(last) => next.query_map([last], lane_head)?.collect::<Result<_>>()?,
            None => connection.prepare_cached(first)?.query_map([], lane_head)?.collect::<Result<_>>()?,
        };
        let is_behind = |(lane, _): &(String, Head)| last.is_some_and(|last| **lane <= *last);
        let in_order = found.is_sorted_by(|(lane, head), (next, behind)| (lane, head.seq) < (next, behind.seq));
        if found.first().is_some_and(is_behind) {
            return Ok((lanes, false));
        }
        let Some(lane) = found.into_iter().next() else { break };
        lanes.push(lane);
        if !in_order {
            return Ok((lanes, false));
        }
    }
    Ok((lanes, true))
}

/// As [`dead_letter`] reads them.
const LETTER: &str =
    "seq, lane, buried_at, code, detail, 0, attempts, first_attempt_at, last_attempt_at, last_cause, frozen,
                      replays";

pub(super) fn letter(connection: &Connection, seq: Seq) -> Result<Option<DeadLetter>> {
    let mut select = connection.prepare_cached(&format!("SELECT {LETTER} FROM dead_letters WHERE seq = ?"))?;
    select.query_row([signed(seq.0)], |row| dead_letter(connection, row)).optional()
}

pub(super) fn dead_letters(connection: &Connection, after: Option<Seq>, limit: usize) -> Result<Vec<DeadLetter>> {
    let select = format!("SELECT {LETTER} FROM dead_letters WHERE seq > ? ORDER BY seq LIMIT ?");
    let mut select = connection.prepare_cached(&select)?;
    let bounds = params![after.map_or(-1, |after| signed(after.0)), signed(limit as u64)];
    let rows = select.query_map(bounds, |row| dead_letter(connection, row))?;
    rows.collect()
}

fn dead_letter(connection: &Connection, row: &Row<'_>) -> Result<DeadLetter> {
    let (seq, lane): (Seq, String) = (Seq(unsigned(row.get(0)?)?), row.get(1)?);
    let reason = Reason { code: row.get(3)?, detail: row.get(4)? };
    let attempts = Attempts::from_row(row, 5)?;
    let buried_at = row.get(2)?;
    let (stored, reason) = match stored(connection, &lane, seq) {
        Ok(Some(stored)) if stored.is_whole => (stored, reason),
        // Shown, so that somebody can ask for it elsewhere, but without the bytes: replaying them would be a lie.
        _ => {
            (unreadable(), Reason { code: "damaged".into(), detail: format!("was {}: {}", reason.code, reason.detail) })
        }
    };
    let is_whole = stored.is_whole;
    Ok(DeadLetter { message: assemble(&lane, seq, stored, attempts), reason, buried_at, is_whole })
}

fn unreadable() -> Stored {
    Stored { kind: "damaged".into(), accepted_at: 0, head: Vec::new(), body: Vec::new(), is_whole: false }
}

const RING_ENTRY: usize = 24;

pub(super) fn ring_from(bytes: &[u8]) -> Vec<Seen> {
    let entry = |entry: &[u8]| {
        let (key, at) = entry.split_first_chunk::<16>()?;
        Some(Seen { key: *key, at: i64::from_le_bytes(at.try_into().ok()?) })
    };
    bytes.chunks_exact(RING_ENTRY).filter_map(entry).collect()
}

pub(super) fn ring_to(ring: &[Seen]) -> Vec<u8> {
    ring.iter().flat_map(|seen| seen.key.into_iter().chain(seen.at.to_le_bytes())).collect()
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus::RePrepare;

    /// A statement that is expired by a new value is compiled again when it is used with it.
    #[test]
    fn statements_are_compiled_once() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        super::super::opening::prepare(&connection).unwrap();
        for lane in 0..10 {
            let row =
                format!("INSERT INTO waiting VALUES ('lane {lane}', {lane}, 0, 0, 0, 0, NULL, NULL, NULL, 0, NULL, 0)");
            connection.execute(&row, []).unwrap();
        }
        for lane in 0..10 {
            assert!(super::head_of(&connection, &format!("lane {lane}")).unwrap().is_some());
        }
        let select = connection.prepare_cached(super::HEAD_OF).unwrap();
        assert_eq!(select.get_status(RePrepare), 0);
    }
}
