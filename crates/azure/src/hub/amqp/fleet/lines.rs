//! Which connection has room, and which ones there are.

use std::time::Duration;

use super::{Fleet, LineId, not_yet};
use crate::hub::SendError;
use crate::hub::amqp::line::Figures;

/// Bytes of messages without an outcome on one connection: 128 of the largest, or 60 000 usual ones. With the twelve
/// connections of 10 000 devices that is 384 MiB if a hub took nothing from anybody.
const LINE_BYTES_MAX: usize = 32 << 20;

/// A connection as the fleet sees it.
#[derive(Debug, Default)]
pub(super) struct Route {
    pub(super) devices: usize,
    /// The hub called it full with so many, until then.
    pub(super) full: Option<(usize, Duration)>,
    pub(super) is_suspected: bool,
    /// It carried a device's link.
    pub(super) is_proven: bool,
    pub(super) bytes: usize,
    pub(super) figures: Figures,
}

impl Route {
    pub(super) fn bound(&self, most: usize, now: Duration) -> usize {
        self.full.filter(|(_, until)| *until > now).map_or(most, |(full, _)| full.min(most))
    }

    /// An empty line takes a message of any size that a hub takes.
    pub(super) fn takes(&self, bytes: usize) -> bool {
        self.bytes + bytes <= LINE_BYTES_MAX
    }
}

impl Fleet {
    pub(super) fn line_with_room(&self, except: Option<LineId>, bytes: usize, now: Duration) -> Option<LineId> {
        let most = self.bounds.devices_per_line;
        let fits = |id: LineId, route: &Route| {
            Some(id) != except && !route.is_suspected && route.takes(bytes) && route.devices < route.bound(most, now)
        };
        self.lines.iter().find(|(id, route)| fits(**id, route)).map(|(id, _)| *id)
    }

    /// As many devices as may come at once wait for a connection that has not carried anybody yet.
    pub(super) fn is_piled_up(&self, now: Duration) -> bool {
        let next = self.line_with_room(None, 0, now).and_then(|line| self.lines.get(&line));
        next.is_some_and(|route| !route.is_proven && route.devices >= self.turns.burst())
    }

    pub(super) fn open_line(&mut self, now: Duration) -> Result<LineId, SendError> {
        if let Some((_, error)) = self.rest.as_ref().filter(|(until, _)| *until > now) {
            return Err(error.clone());
        }
        // Twice what is needed when all are full, and some for connections that the hub calls full earlier.
        let most = 2 * self.bounds.links_max.div_ceil(self.bounds.devices_per_line) + 4;
        if self.lines.len() >= most {
            return Err(not_yet("as many connections as may be are open"));
        }
        let id = self.next_line;
        self.next_line += 1;
        self.lines.insert(id, Route::default());
        Ok(id)
    }

    /// Nothing has come over a line for long, or again.
    pub(in crate::hub::amqp) fn suspected(&mut self, line: LineId, is_suspected: bool) {
        if let Some(route) = self.lines.get_mut(&line) {
            route.is_suspected = is_suspected;
        }
    }

    /// What a line has now.
    pub(in crate::hub::amqp) fn report(&mut self, line: LineId, figures: Figures) {
        if let Some(route) = self.lines.get_mut(&line) {
            route.is_proven |= figures.attached > 0;
            route.figures = figures;
        }
    }

    /// A line that nobody needs goes: true, and it takes nobody any more.
    pub(in crate::hub::amqp) fn retire(&mut self, line: LineId) -> bool {
        let is_needless = self.lines.get(&line).is_some_and(|route| route.devices == 0 && route.bytes == 0);
        if is_needless && let Some(route) = self.lines.remove(&line) {
            self.renewals_of_the_past += route.figures.renewals;
        }
        is_needless
    }
}
