//! Which device is on which connection, and when it may come: all that one hub's connections have in common.
//!
//! PURE. Devices fill one connection after the other: few connections, and those that nobody needs any more empty from the
//! end. A device stays where it is until it is let go. Promises
//! - a device is on one connection at a time, so that we never steal from ourselves: it is seated anew only after its old
//!   line was told to forget it, or told that it is gone, and what is told goes in order;
//! - never more than [`Bounds::links_max`] devices; the one that was idle longest goes for a new one;
//! - each attach and each renewal takes a permit of the same pace.
//!
//! Memory: a seat with its name is about 250 bytes, besides what its line keeps.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::line::Figures;
use super::theft::{Tenure, Thefts};
use crate::hub::{SendError, Why};
use crate::key::DeviceKey;

mod turns; // who may come when

use turns::Turns;

/// Names a connection of a hub. Never used again.
pub(super) type LineId = u32;

/// Messages of one device without an outcome. One at a time is what keeps order; a caller that sends many has an error in
/// its loop.
const MESSAGES_PER_DEVICE_MAX: u32 = 64;
/// Bytes of messages without an outcome on one connection: 128 of the largest, or 60 000 usual ones. With the twelve
/// connections of 10 000 devices that is 384 MiB if a hub took nothing from anybody.
const LINE_BYTES_MAX: usize = 32 << 20;
/// When there is no place: until a seat or some bytes may have become free.
const NO_PLACE: Duration = Duration::from_secs(1);
/// After a connection that could not be opened, none is dialled for so long: senders that come meanwhile hear the same at
/// once, instead of one dial each.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// A connection that the hub called full gets its own bound back after this: tokens of devices that left run out within
/// their hour.
const FULL_FOR: Duration = Duration::from_secs(15 * 60);

#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) devices_per_line: usize,
    pub(super) links_max: usize,
    pub(super) link_idle: Duration,
}

#[derive(Debug)]
pub(super) struct Fleet {
    bounds: Bounds,
    seats: HashMap<Arc<str>, Seat>,
    /// Devices without messages under way, the one that was idle longest first.
    idle: BTreeMap<u64, Arc<str>>,
    next_use: u64,
    next_epoch: u64,
    lines: BTreeMap<LineId, Route>,
    next_line: LineId,
    turns: Turns,
    thefts: Thefts,
    /// No line is to be opened before this, and why.
    rest: Option<(Duration, SendError)>,
    renewals_of_the_past: u64,
    is_closed: bool,
}

#[derive(Debug)]
struct Seat {
    line: LineId,
    epoch: u64,
    key: Arc<DeviceKey>,
    /// Messages that were given to the line and have no outcome.
    unsettled: u32,
    /// Its place among the idle.
    used: u64,
    used_at: Duration,
}

/// A connection as the fleet sees it.
#[derive(Debug, Default)]
struct Route {
    devices: usize,
    /// The hub called it full with so many, until then.
    full: Option<(usize, Duration)>,
    is_suspected: bool,
    /// It carried a device's link.
    is_proven: bool,
    bytes: usize,
    figures: Figures,
}

/// Where a message goes.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) line: LineId,
    pub(super) is_new_line: bool,
    pub(super) name: Arc<str>,
    pub(super) epoch: u64,
    pub(super) key: Arc<DeviceKey>,
    /// A device that has to go for this one: its line is to forget it.
    pub(super) evicted: Option<(LineId, Arc<str>)>,
}

/// What becomes of a message.
#[derive(Debug)]
pub(super) enum Placement {
    At(Placed),
    /// Its turn comes after this.
    Later(Duration),
    Refused(SendError),
}

/// What becomes of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewal {
    /// At this time.
    At(Duration),
    /// The device is not wanted any more: its line is to forget it.
    LetGo,
}

/// All lines together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) lines: usize,
    pub(super) seats: usize,
    pub(super) figures: Figures,
    pub(super) booked: usize,
    pub(super) resting: usize,
}

impl Fleet {
    pub(super) fn new(bounds: Bounds, attaches_per_second: u32, sends_per_second: u32, seed: u64) -> Self {
        Self {
            bounds,
            seats: HashMap::new(),
            idle: BTreeMap::new(),
            next_use: 0,
            next_epoch: 0,
            lines: BTreeMap::new(),
            next_line: 0,
            turns: Turns::new(attaches_per_second, sends_per_second),
            thefts: Thefts::new(seed),
            rest: None,
            renewals_of_the_past: 0,
            is_closed: false,
        }
    }

    /// How long until this device may send; a turn is booked for it. A device that keeps still for another owner may ask
    /// at once: [`Fleet::place`] tells it why not.
    pub(super) fn admit(&mut self, device: &str, now: Duration) -> Duration {
        if self.is_closed || self.thefts.rest(device, now).is_some() {
            return Duration::ZERO;
        }
        let needs_link = !self.seats.contains_key(device);
        let is_crowded = needs_link && self.seats.len() >= self.bounds.links_max && self.idle.is_empty();
        self.turns.book(device, needs_link, now).max(if is_crowded { NO_PLACE } else { Duration::ZERO })
    }

    /// Finds the connection for a message of so many bytes, if it is its turn.
    pub(super) fn place(&mut self, device: &str, key: &[u8], bytes: usize, now: Duration) -> Placement {
        if self.is_closed {
            return Placement::Refused(SendError::unanswered(Why::Closed, "the connections are closed"));
        }
        if let Some(rest) = self.thefts.rest(device, now) {
            let why = Why::Stolen { retry_after: Some(rest) };
            return Placement::Refused(SendError::unanswered(why, "somebody else sends as this device"));
        }
        let needs_link = !self.seats.contains_key(device);
        let wait = self.turns.book(device, needs_link, now);
        if !wait.is_zero() {
            return Placement::Later(wait);
        }
        let placed = if needs_link { self.seat(device, key, bytes, now) } else { self.seated(device, key, bytes) };
        match placed {
            Ok(placed) => {
                self.turns.use_up(device);
                self.count_in(&placed, bytes, now);
                Placement::At(placed)
            }
            Err(error) => Placement::Refused(error),
        }
    }

    fn count_in(&mut self, placed: &Placed, bytes: usize, now: Duration) {
        if let Some(route) = self.lines.get_mut(&placed.line) {
            route.bytes += bytes;
        }
        if let Some(seat) = self.seats.get_mut(&placed.name) {
            seat.unsettled += 1;
            seat.used_at = now;
            self.idle.remove(&seat.used);
        }
    }

    /// A device that has a connection stays there.
    fn seated(&mut self, device: &str, key: &[u8], bytes: usize) -> Result<Placed, SendError> {
        let no_place = || not_yet("too many messages are under way");
        let (name, seat) = self.seats.get_key_value(device).ok_or_else(no_place)?;
        let name = name.clone();
        let has_room = self.lines.get(&seat.line).is_some_and(|route| route.takes(bytes));
        if seat.unsettled >= MESSAGES_PER_DEVICE_MAX || !has_room {
            return Err(no_place());
        }
        let seat = self.seats.get_mut(device).ok_or_else(no_place)?;
        if seat.key.as_bytes() != key {
            seat.key = Arc::new(DeviceKey::from_bytes(key));
        }
        let (line, epoch, key) = (seat.line, seat.epoch, seat.key.clone());
        Ok(Placed { line, is_new_line: false, name, epoch, key, evicted: None })
    }

    fn seat(&mut self, device: &str, key: &[u8], bytes: usize, now: Duration) -> Result<Placed, SendError> {
        let is_full = self.seats.len() >= self.bounds.links_max;
        if is_full && self.idle.is_empty() {
            return Err(not_yet("as many devices as may be are attached and busy"));
        }
        let (line, is_new_line) = match self.line_with_room(None, bytes, now) {
            Some(line) => (line, false),
            None => (self.open_line(now)?, true),
        };
        let evicted = if is_full { self.evict() } else { None };
        let (name, epoch, key) = (Arc::<str>::from(device), self.next_epoch, Arc::new(DeviceKey::from_bytes(key)));
        self.next_epoch += 1;
        self.next_use += 1;
        let seat = Seat { line, epoch, key: key.clone(), unsettled: 0, used: self.next_use, used_at: now };
        self.seats.insert(name.clone(), seat);
        if let Some(route) = self.lines.get_mut(&line) {
            route.devices += 1;
        }
        Ok(Placed { line, is_new_line, name, epoch, key, evicted })
    }

    fn line_with_room(&self, except: Option<LineId>, bytes: usize, now: Duration) -> Option<LineId> {
        let most = self.bounds.devices_per_line;
        let fits = |id: LineId, route: &Route| {
            Some(id) != except && !route.is_suspected && route.takes(bytes) && route.devices < route.bound(most, now)
        };
        self.lines.iter().find(|(id, route)| fits(**id, route)).map(|(id, _)| *id)
    }

    fn open_line(&mut self, now: Duration) -> Result<LineId, SendError> {
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

    /// The device that was idle longest goes.
    fn evict(&mut self) -> Option<(LineId, Arc<str>)> {
        let (_, name) = self.idle.pop_first()?;
        let line = self.leave_seat(&name)?;
        Some((line, name))
    }

    fn leave_seat(&mut self, name: &str) -> Option<LineId> {
        let seat = self.seats.remove(name)?;
        self.idle.remove(&seat.used);
        if let Some(route) = self.lines.get_mut(&seat.line) {
            route.devices -= 1;
        }
        Some(seat.line)
    }

    fn seat_of(&mut self, name: &str, epoch: u64) -> Option<&mut Seat> {
        self.seats.get_mut(name).filter(|seat| seat.epoch == epoch)
    }

    /// A message has had its outcome.
    pub(super) fn settled(&mut self, line: LineId, name: &Arc<str>, epoch: u64, bytes: usize) {
        if let Some(route) = self.lines.get_mut(&line) {
            route.bytes = route.bytes.saturating_sub(bytes);
        }
        self.next_use += 1;
        let used = self.next_use;
        if let Some(seat) = self.seat_of(name, epoch) {
            seat.unsettled = seat.unsettled.saturating_sub(1);
            if seat.unsettled == 0 {
                seat.used = used;
                self.idle.insert(used, name.clone());
            }
        }
    }

    /// A line has a device no more. Where messages for it are still on their way to the line, it keeps its seat: they will
    /// open it there again.
    pub(super) fn gone(&mut self, name: &str, epoch: u64) {
        if self.seat_of(name, epoch).is_some_and(|seat| seat.unsettled == 0) {
            self.leave_seat(name);
        }
    }

    /// Somebody else has taken a device.
    pub(super) fn stolen(&mut self, name: &Arc<str>, epoch: u64, tenure: Tenure, now: Duration) {
        if self.seat_of(name, epoch).is_some() {
            self.thefts.lost(name, tenure, now);
        }
    }

    /// How long a device keeps still.
    pub(super) fn rest_of(&self, name: &str, now: Duration) -> Option<Duration> {
        self.thefts.rest(name, now)
    }

    /// A line is over; `devices` were on it, or on their way to it. `failed`: it was never of use.
    pub(super) fn over(&mut self, line: LineId, devices: &[(Arc<str>, u64)], error: &SendError, now: Duration) {
        for (name, epoch) in devices {
            if self.seat_of(name, *epoch).is_some_and(|seat| seat.line == line) {
                self.leave_seat(name);
            }
        }
        let Some(route) = self.lines.remove(&line) else { return };
        if route.devices > 0 {
            // Its task ended before it could say whom it had.
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
    pub(super) fn displaced(
        &mut self,
        line: LineId,
        name: &Arc<str>,
        epoch: u64,
        bytes: usize,
        now: Duration,
    ) -> Option<(LineId, bool)> {
        if let Some(route) = self.lines.get_mut(&line) {
            let stay = route.devices.saturating_sub(1).max(1);
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
    pub(super) fn renewal(&mut self, name: &str, epoch: u64, expires: Duration, now: Duration) -> Renewal {
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

    /// Lets a device go: the line that is to forget it.
    pub(super) fn forget(&mut self, device: &str) -> Option<LineId> {
        self.thefts.forget(device);
        self.leave_seat(device)
    }

    /// The line of a device.
    pub(super) fn line_of(&self, device: &str) -> Option<LineId> {
        self.seats.get(device).map(|seat| seat.line)
    }

    /// Nothing has come over a line for long, or again.
    pub(super) fn suspected(&mut self, line: LineId, is_suspected: bool) {
        if let Some(route) = self.lines.get_mut(&line) {
            route.is_suspected = is_suspected;
        }
    }

    /// What a line has now.
    pub(super) fn report(&mut self, line: LineId, figures: Figures) {
        if let Some(route) = self.lines.get_mut(&line) {
            route.is_proven |= figures.attached > 0;
            route.figures = figures;
        }
    }

    /// A line that nobody needs goes: true, and it takes nobody any more.
    pub(super) fn retire(&mut self, line: LineId) -> bool {
        let is_needless = self.lines.get(&line).is_some_and(|route| route.devices == 0 && route.bytes == 0);
        if is_needless && let Some(route) = self.lines.remove(&line) {
            self.renewals_of_the_past += route.figures.renewals;
        }
        is_needless
    }

    /// No more messages are taken.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    pub(super) fn standing(&self, now: Duration) -> Standing {
        let mut figures = Figures { renewals: self.renewals_of_the_past, ..Figures::default() };
        for route in self.lines.values() {
            figures.attached += route.figures.attached;
            figures.opening += route.figures.opening;
            figures.unsettled += route.figures.unsettled;
            figures.renewals += route.figures.renewals;
        }
        Standing {
            lines: self.lines.len(),
            seats: self.seats.len(),
            figures,
            booked: self.turns.booked(),
            resting: self.thefts.resting(now),
        }
    }
}

impl Route {
    fn bound(&self, most: usize, now: Duration) -> usize {
        self.full.filter(|(_, until)| *until > now).map_or(most, |(full, _)| full.min(most))
    }

    /// An empty line takes a message of any size that a hub takes.
    fn takes(&self, bytes: usize) -> bool {
        self.bytes + bytes <= LINE_BYTES_MAX
    }
}

fn not_yet(words: &str) -> SendError {
    SendError::unanswered(Why::NotYet { retry_after: NO_PLACE }, words)
}

#[cfg(test)]
mod tests;
