//! A row of events.
//!
//! Promises: sequence numbers go up by one, from 0; offsets go up by the size of each event, as in a log on disk, so that
//! who takes one for the other is found out; times never go back, for a clock that was set back must not hide events from
//! who reads by time. What was forgotten keeps its numbers.

use std::collections::VecDeque;

use bytes::BytesMut;

use super::event::{Accepted, Event, Place};
use super::position::{Mark, Position};

/// What is before the first event, as the service says it.
const BEFORE_ALL: i64 = -1;

/// The last event there was, kept or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Last {
    /// -1 when there was none.
    pub(crate) sequence: i64,
    /// -1 when there was none.
    pub(crate) offset: i64,
    /// Milliseconds since 1970, 0 when there was none.
    pub(crate) enqueued_ms: i64,
}

/// A start that is not there: such a reader waits for ever, or skips what comes. Mostly its checkpoint is of another hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("The supplied {what} '{value}' is invalid. The last {what} in the system is '{last}'")]
pub(crate) struct Beyond {
    what: &'static str,
    value: i64,
    last: i64,
}

/// One partition.
#[derive(Debug)]
pub(crate) struct Partition {
    events: VecDeque<Event>,
    last: Last,
    /// Where the next event goes: the size of all there ever were.
    next_offset: i64,
}

impl Default for Partition {
    fn default() -> Self {
        let last = Last { sequence: BEFORE_ALL, offset: BEFORE_ALL, enqueued_ms: 0 };
        Self { events: VecDeque::new(), last, next_offset: 0 }
    }
}

impl Partition {
    /// Gives the bytes that are kept for it.
    pub(super) fn append(&mut self, accepted: Accepted, scratch: &mut BytesMut) -> usize {
        let place = Place {
            sequence: self.next_sequence(),
            offset: self.next_offset,
            enqueued_ms: accepted.enqueued_ms.max(self.last.enqueued_ms),
        };
        let event = Event::new(accepted, place, scratch);
        let bytes = event.len();
        self.last = Last { sequence: place.sequence, offset: place.offset, enqueued_ms: place.enqueued_ms };
        self.next_offset = self.next_offset.saturating_add_unsigned(bytes as u64);
        self.events.push_back(event);
        bytes
    }

    /// Gives the bytes that were kept for it.
    pub(super) fn forget_oldest(&mut self) -> usize {
        self.events.pop_front().map_or(0, |event| event.len())
    }

    /// Nothing is kept here.
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The last event there was.
    pub(crate) fn last(&self) -> Last {
        self.last
    }

    /// The number of the oldest event that is kept; when none is, that of the next to come.
    pub(crate) fn begin_sequence(&self) -> i64 {
        self.next_sequence() - i64::try_from(self.events.len()).unwrap_or(i64::MAX)
    }

    /// The number of the next event to come.
    pub(crate) fn next_sequence(&self) -> i64 {
        self.last.sequence + 1
    }

    /// The number of the first event that a reader gets who starts at `position`; maybe of one to come.
    ///
    /// # Errors
    /// The position is after the last event.
    pub(crate) fn start(&self, position: &Position) -> Result<i64, Beyond> {
        let Position::At { mark, value, inclusive } = *position else {
            return Ok(if *position == Position::Latest { self.next_sequence() } else { self.begin_sequence() });
        };
        let beyond = |what, last| if value > last { Err(Beyond { what, value, last }) } else { Ok(()) };
        match mark {
            Mark::Offset => beyond("offset", self.last.offset)?,
            Mark::Sequence => beyond("sequence number", self.last.sequence)?,
            // There is no last time.
            Mark::Enqueued => {}
        }
        let is_before = |at: i64| if inclusive { at < value } else { at <= value };
        let skipped = self.events.partition_point(|event| is_before(mark.of(event.place)));
        Ok(self.begin_sequence() + i64::try_from(skipped).unwrap_or(i64::MAX))
    }

    /// Kept events from this number on; where it is forgotten already, from the oldest on.
    pub(crate) fn from(&self, sequence: i64) -> impl Iterator<Item = &Event> {
        let skipped = usize::try_from(sequence.saturating_sub(self.begin_sequence())).unwrap_or(0);
        self.events.range(skipped.min(self.events.len())..)
    }
}

impl Mark {
    fn of(self, place: Place) -> i64 {
        match self {
            Self::Offset => place.offset,
            Self::Sequence => place.sequence,
            Self::Enqueued => place.enqueued_ms,
        }
    }
}

#[cfg(test)]
mod tests;
