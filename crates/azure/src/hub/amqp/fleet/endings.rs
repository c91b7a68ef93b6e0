//! Messages settled, devices gone, lines over.

use std::sync::Arc;
use std::time::Duration;

use super::{Fleet, LineId, Renewal};
use crate::hub::SendError;
use crate::hub::amqp::theft::Tenure;

/// After a connection that could not be opened, none is dialled for so long: senders that come meanwhile hear the same at
/// once, instead of one dial each.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// A connection that the hub called full gets its own bound back after this: tokens of devices that left run out within
/// their hour.
pub(super) const FULL_FOR: Duration = Duration::from_secs(15 * 60);

impl Fleet {
    /// A message has had its outcome.
    pub(in crate::hub::amqp) fn settled(&mut self, line: LineId, name: &Arc<str>, epoch: u64, bytes: usize) {
        if let Some(route) = self.lines.get_mut(&line) {
            route.bytes = route.bytes.saturating_sub(bytes);
        }
        self.next_use += 1;
        let used = self.next_use;
        if let Some(seat) = self.seat_of(name, epoch) {
            seat.unsettled = seat.unsettled.saturating_sub(1);
            seat.is_proven = true;
            if seat.unsettled == 0 {
                seat.used = used;
                self.idle.insert(used, name.clone());
            }
        }
    }

    /// A line has a device no more. Where messages for it are still on their way to the line, it keeps its seat: they will
    /// open it there again.
    pub(in crate::hub::amqp) fn gone(&mut self, name: &str, epoch: u64) {
        if self.seat_of(name, epoch).is_some_and(|seat| seat.unsettled == 0) {
            self.leave_seat(name);
        }
    }

    /// Somebody else has taken a device.
    pub(in crate::hub::amqp) fn stolen(&mut self, name: &Arc<str>, epoch: u64, tenure: Tenure, now: Duration) {
        if self.seat_of(name, epoch).is_some() {
            self.thefts.lost(name, tenure, now);
        }
    }

    /// How long a device keeps still.
    pub(in crate::hub::amqp) fn rest_of(&self, name: &str, now: Duration) -> Option<Duration> {
        self.thefts.rest(name, now)
    }

    /// A line is over; `devices` were on it, or on their way to it. `failed`: it was never of use.
    pub(in crate::hub::amqp) fn over(
        &mut self,
        line: LineId,
        devices: &[(Arc<str>, u64)],
        error: &SendError,
        now: Duration,
    ) {
        for (name, epoch) in devices {
            if self.seat_of(name, *epoch).is_some_and(|seat| seat.line == line) {
                self.leave_seat(name);
            }
        }
        let Some(route) = self.lines.remove(&line) else { return };
        if route.devices > 0 {
            // Its task ended before it could say whom it had. In any order: nobody sees who goes first.
            let left: Vec<_> = self.seats.iter().filter(|(_, seat)| seat.line == line).collect();
            let left: Vec<Arc<str>> = left.into_iter().map(|(name, _)| name.clone()).collect();
            for name in left {
                self.leave_seat(&name);
            }
        }
        self.renewals_of_the_past += route.figures.renewals;
        if !route.is_proven && error.why.concerns_whole_hub() {
            self.rest = Some((now + REST_AFTER_FAILURE, error.clone()));
        }
    }

    /// The hub takes no more devices on a line. Another one for this device, which keeps its messages.
    pub(in crate::hub::amqp) fn displaced(
        &mut self,
        line: LineId,
        name: &Arc<str>,
        epoch: u64,
        bytes: usize,
        now: Duration,
    ) -> Option<(LineId, bool)> {
        if let Some(route) = self.lines.get_mut(&line) {
            let stay = route.devices.saturating_sub(1);
            let before = route.full.filter(|(_, until)| *until > now).map_or(usize::MAX, |(most, _)| most);
            route.full = Some((stay.min(before), now + FULL_FOR));
            route.bytes = route.bytes.saturating_sub(bytes);
        }
        self.seat_of(name, epoch)?;
        let found = match self.line_with_room(Some(line), bytes, now) {
            Some(other) => Some((other, false)),
            None => self.open_line(now).ok().map(|other| (other, true)),
        };
        let Some((other, is_new)) = found else {
            self.leave_seat(name);
            return None;
        };
        if let Some(route) = self.lines.get_mut(&line) {
            route.devices -= 1;
        }
        if let Some(route) = self.lines.get_mut(&other) {
            route.devices += 1;
            route.bytes += bytes;
        }
        if let Some(seat) = self.seat_of(name, epoch) {
            seat.line = other;
        }
        Some((other, is_new))
    }

    /// A token is due. Devices that sent nothing for long are let go; the others are renewed when it is their turn, and in
    /// any case before the token runs out.
    pub(in crate::hub::amqp) fn renewal(
        &mut self,
        name: &str,
        epoch: u64,
        expires: Duration,
        now: Duration,
    ) -> Renewal {
        let idle_max = self.bounds.link_idle;
        let Some(seat) = self.seat_of(name, epoch) else { return Renewal::LetGo };
        if seat.unsettled == 0 && now >= seat.used_at + idle_max {
            self.leave_seat(name);
            return Renewal::LetGo;
        }
        // A quarter of what is left stays for retries.
        let latest = now + expires.saturating_sub(now).mul_f64(0.75);
        Renewal::At((now + self.turns.renewal(now)).min(latest))
    }
}
