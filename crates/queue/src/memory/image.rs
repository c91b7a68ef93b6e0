//! What is on a [`super::Disk`], and the rows that a change of it is made of.
//!
//! One [`Op`] is several rows, as in the files of the other store: a burial takes a message out of its lane, puts it to the
//! dead letters and remembers it. Half of them would lose it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::message::after;
use crate::store::{Bounds, GONE_AT_ONCE, Op, Shelf, Totals, bytes_set_aside, remember};
use crate::{Burial, DeadLetter, Message, Note, Put, Retry, Seen, Seq, Settle, UnixMillis};

/// The least that is written at a time.
#[derive(Clone, Debug)]
pub(super) enum Row {
    Waiting(Box<Message>),
    /// Out of its lane.
    Gone {
        lane: Arc<str>,
        seq: Seq,
    },
    Kept {
        at: UnixMillis,
        message: Box<Message>,
    },
    Dead(Box<DeadLetter>),
    /// Back to its lane.
    Risen(Seq),
    /// Out of the dead letters for good.
    Discarded(Seq),
    Retried {
        lane: Arc<str>,
        seq: Seq,
        retry: Retry,
        ended_at: UnixMillis,
    },
    Seen {
        lane: Arc<str>,
        seen: Seen,
    },
    Note(Note),
}

/// When the last counted attempt ended, and until when the message waits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tried {
    pub(super) at: Option<UnixMillis>,
    pub(super) not_before: UnixMillis,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    pub(super) next_seq: u64,
    pub(super) waiting: BTreeMap<(String, Seq), (Tried, Message)>,
    waiting_bytes: u64,
    /// With the time at which they were set aside.
    kept: BTreeMap<Seq, (UnixMillis, Message)>,
    kept_shelf: Shelf,
    pub(super) dead: BTreeMap<Seq, DeadLetter>,
    dead_shelf: Shelf,
    pub(super) seen: BTreeMap<String, Vec<Seen>>,
    pub(super) notes: BTreeMap<(String, String), Vec<u8>>,
}

impl Image {
    /// What has to be written for these changes, in this order. Nothing is changed.
    pub(super) fn rows(&self, ops: &[Op]) -> Vec<Row> {
        let mut rows = Vec::with_capacity(ops.len());
        for op in ops {
            match op {
                Op::Put { seq, put, note } => {
                    rows.push(put_row(*seq, put));
                    rows.extend(note.iter().cloned().map(Row::Note));
                }
                Op::Done { lane, seq, settle } => {
                    rows.push(Row::Gone { lane: lane.clone(), seq: *seq });
                    settle_rows(lane, settle, &mut rows);
                }
                Op::Keep { lane, seq, at } => self.keep_rows(lane, *seq, *at, &mut rows),
                Op::Bury { lane, seq, reason, settle, at } => {
                    rows.push(Row::Gone { lane: lane.clone(), seq: *seq });
                    let letter =
                        |message| DeadLetter { message, reason: reason.clone(), buried_at: *at, is_whole: true };
                    rows.extend(self.message(lane, *seq).map(|message| Row::Dead(Box::new(letter(message)))));
                    settle_rows(lane, settle, &mut rows);
                }
                Op::Retry { lane, seq, retry, ended_at } => {
                    let (lane, retry) = (lane.clone(), retry.clone());
                    rows.push(Row::Retried { lane, seq: *seq, retry, ended_at: *ended_at });
                }
                Op::Notes(notes) => rows.extend(notes.iter().cloned().map(Row::Note)),
                Op::Replay(letters) => rows.extend(letters.iter().map(|(_, seq)| Row::Risen(*seq))),
                Op::Discard(seqs) => rows.extend(seqs.iter().map(|seq| Row::Discarded(*seq))),
            }
        }
        rows
    }

    fn keep_rows(&self, lane: &Arc<str>, seq: Seq, at: UnixMillis, rows: &mut Vec<Row>) {
        rows.push(Row::Gone { lane: lane.clone(), seq });
        rows.extend(self.message(lane, seq).map(|message| Row::Kept { at, message: Box::new(message) }));
    }

    fn message(&self, lane: &str, seq: Seq) -> Option<Message> {
        self.waiting.get(&(lane.to_owned(), seq)).map(|(_, message)| message.clone())
    }

    pub(super) fn write(&mut self, row: Row) {
        match row {
            Row::Waiting(message) => {
                self.is_used(message.seq);
                self.waiting_bytes += size(&message);
                self.waiting.insert((message.lane.clone(), message.seq), (Tried::default(), *message));
            }
            Row::Gone { lane, seq } => {
                if let Some((_, message)) = self.waiting.remove(&(lane.to_string(), seq)) {
                    self.waiting_bytes -= size(&message);
                }
            }
            Row::Kept { at, message } => {
                self.kept_shelf.add(bytes_set_aside(size(&message)));
                self.kept.insert(message.seq, (at, *message));
            }
            Row::Dead(letter) => {
                self.is_used(letter.message.seq);
                self.dead_shelf.add(bytes_set_aside(size(&letter.message)));
                self.dead.insert(letter.message.seq, *letter);
            }
            Row::Risen(seq) => self.risen(seq),
            Row::Discarded(seq) => drop(self.out_of_the_dead(seq)),
            Row::Retried { lane, seq, retry, ended_at } => self.retried(&lane, seq, retry, ended_at),
            Row::Seen { lane, seen } => remember(self.seen.entry(lane.to_string()).or_default(), seen),
            Row::Note(Note { space, key, value: Some(value) }) => drop(self.notes.insert((space, key), value)),
            Row::Note(Note { space, key, value: None }) => drop(self.notes.remove(&(space, key))),
        }
    }

    fn out_of_the_dead(&mut self, seq: Seq) -> Option<DeadLetter> {
        let letter = self.dead.remove(&seq)?;
        self.dead_shelf.take(bytes_set_aside(size(&letter.message)));
        Some(letter)
    }

    fn risen(&mut self, seq: Seq) {
        if let Some(DeadLetter { message, .. }) = self.out_of_the_dead(seq) {
            self.write(Row::Waiting(Box::new(message.risen())));
        }
    }

    fn is_used(&mut self, seq: Seq) {
        self.next_seq = self.next_seq.max(seq.0 + 1);
    }

    fn retried(&mut self, lane: &str, seq: Seq, retry: Retry, ended_at: UnixMillis) {
        if let Some((tried, message)) = self.waiting.get_mut(&(lane.to_owned(), seq)) {
            *tried = Tried { at: Some(ended_at), not_before: after(ended_at, retry.wait) };
            message.attempts = message.attempts.saturating_add(1);
            message.first_attempt_at = message.first_attempt_at.or(Some(ended_at));
            message.last_attempt_at = Some(ended_at);
            message.last_cause = Some(retry.cause);
            message.frozen = message.frozen.take().or(retry.freeze);
        }
    }

    pub(super) fn trim(&mut self, bounds: Bounds, now: UnixMillis) {
        for _ in 0..GONE_AT_ONCE {
            let Some(oldest) = self.dead.first_entry() else { break };
            if !bounds.dead_letters.pushes_out(self.dead_shelf, oldest.get().buried_at, now) {
                break;
            }
            self.dead_shelf.lose(bytes_set_aside(size(&oldest.remove().message)));
        }
        for _ in 0..GONE_AT_ONCE {
            let Some(oldest) = self.kept.first_entry() else { break };
            if !bounds.kept.pushes_out(self.kept_shelf, oldest.get().0, now) {
                break;
            }
            self.kept_shelf.lose(bytes_set_aside(size(&oldest.remove().1)));
        }
    }

    pub(super) fn totals(&self) -> Totals {
        Totals {
            waiting: self.waiting.len() as u64,
            waiting_bytes: self.waiting_bytes,
            dead_letters: self.dead_shelf,
            kept: self.kept_shelf,
        }
    }
}

fn size(message: &Message) -> u64 {
    (message.head.len() + message.body.len()) as u64
}

fn put_row(seq: Seq, put: &Put) -> Row {
    let message = message(seq, put);
    match Op::buried_at_once(put) {
        None => Row::Waiting(Box::new(message)),
        Some(Burial { reason, buried_at, attempts, first_attempt_at, last_attempt_at, last_cause, replays }) => {
            let message = Message { attempts, first_attempt_at, last_attempt_at, last_cause, replays, ..message };
            Row::Dead(Box::new(DeadLetter { message, reason, buried_at, is_whole: true }))
        }
    }
}

fn settle_rows(lane: &Arc<str>, settle: &Settle, rows: &mut Vec<Row>) {
    rows.extend(settle.seen.map(|seen| Row::Seen { lane: lane.clone(), seen }));
    rows.extend(settle.notes.iter().cloned().map(Row::Note));
}

/// A message as it is on the first day.
fn message(seq: Seq, put: &Put) -> Message {
    Message {
        seq,
        lane: put.lane.clone(),
        kind: put.kind.clone(),
        head: put.head.clone(),
        body: put.body.clone(),
        accepted_at: put.accepted_at,
        attempts: 0,
        first_attempt_at: None,
        last_attempt_at: None,
        last_cause: None,
        frozen: None,
        replays: 0,
    }
}
