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

use super::Link;
use super::line::Figures;
use super::theft::Thefts;
use crate::hub::{SendError, Why};
use crate::key::Signer;

mod endings; // messages settled, devices gone, lines over
mod lines; // which connection has room
mod turns; // who may come when

use lines::Route;
use turns::Turns;

/// Names a connection of a hub. Never used again.
pub(super) type LineId = u32;

/// Messages of one device without an outcome. One at a time is what keeps order; a caller that sends many has an error in
/// its loop.
const MESSAGES_PER_DEVICE_MAX: u32 = 64;
/// When there is no place: until a seat or some bytes may have become free.
pub(super) const NO_PLACE: Duration = Duration::from_secs(1);
/// At least so long until a turn that was put off: a connection is opened in a few round trips.
const PUT_OFF: Duration = Duration::from_millis(100);

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
    key: Arc<Signer>,
    /// Messages that were given to the line and have no outcome.
    unsettled: u32,
    /// A message had its outcome there.
    is_proven: bool,
    /// Its place among the idle.
    used: u64,
    used_at: Duration,
}

/// Where a message goes.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) line: LineId,
    pub(super) is_new_line: bool,
    pub(super) name: Arc<str>,
    pub(super) epoch: u64,
    pub(super) key: Arc<Signer>,
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
    pub(super) sends_per_second: Option<u64>,
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
        self.turn(device, needs_link, now).max(if is_crowded { NO_PLACE } else { Duration::ZERO })
    }

    /// How long until a device's turn, which is booked for it. One that falls due while the connection is being opened is
    /// lost, and another booked: what piles up there would come to the hub all at once.
    fn turn(&mut self, device: &str, needs_link: bool, now: Duration) -> Duration {
        let wait = self.turns.book(device, needs_link, now);
        if !wait.is_zero() || !needs_link || !self.is_piled_up(now) {
            return wait;
        }
        self.turns.use_up(device);
        self.turns.book(device, needs_link, now).max(PUT_OFF)
    }

    /// Finds the connection for a message of so many bytes, if it is its turn.
    pub(super) fn place(&mut self, device: &str, key: &Signer, bytes: usize, now: Duration) -> Placement {
        if self.is_closed {
            return Placement::Refused(SendError::unanswered(Why::Closed, "the connections are closed"));
        }
        if let Some(rest) = self.thefts.rest(device, now) {
            let why = Why::Stolen { retry_after: Some(rest) };
            return Placement::Refused(SendError::unanswered(why, "somebody else sends as this device"));
        }
        let needs_link = !self.seats.contains_key(device);
        let wait = self.turn(device, needs_link, now);
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
    fn seated(&mut self, device: &str, key: &Signer, bytes: usize) -> Result<Placed, SendError> {
        let no_place = || not_yet("too many messages are under way");
        let (name, seat) = self.seats.get_key_value(device).ok_or_else(no_place)?;
        let name = name.clone();
        let has_room = self.lines.get(&seat.line).is_some_and(|route| route.takes(bytes));
        if seat.unsettled >= MESSAGES_PER_DEVICE_MAX || !has_room {
            return Err(no_place());
        }
        let seat = self.seats.get_mut(device).ok_or_else(no_place)?;
        if *seat.key != *key {
            seat.key = Arc::new(key.clone());
        }
        let (line, epoch, key) = (seat.line, seat.epoch, seat.key.clone());
        Ok(Placed { line, is_new_line: false, name, epoch, key, evicted: None })
    }

    fn seat(&mut self, device: &str, key: &Signer, bytes: usize, now: Duration) -> Result<Placed, SendError> {
        let is_full = self.seats.len() >= self.bounds.links_max;
        if is_full && self.idle.is_empty() {
            return Err(not_yet("as many devices as may be are attached and busy"));
        }
        let (line, is_new_line) = match self.line_with_room(None, bytes, now) {
            Some(line) => (line, false),
            None => (self.open_line(now)?, true),
        };
        let evicted = if is_full { self.evict() } else { None };
        let (name, epoch, key) = (Arc::<str>::from(device), self.next_epoch, Arc::new(key.clone()));
        self.next_epoch += 1;
        self.next_use += 1;
        let seat =
            Seat { line, epoch, key: key.clone(), unsettled: 0, is_proven: false, used: self.next_use, used_at: now };
        self.seats.insert(name.clone(), seat);
        if let Some(route) = self.lines.get_mut(&line) {
            route.devices += 1;
        }
        Ok(Placed { line, is_new_line, name, epoch, key, evicted })
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

    /// What became of a message tells how many the hub takes.
    pub(super) fn learn(&mut self, outcome: Result<(), Why>, now: Duration) {
        match outcome {
            Ok(()) => self.turns.accepted(now),
            Err(Why::Throttled { .. }) => self.turns.throttled(now),
            Err(_) => {}
        }
    }

    /// Lets a device go: the line that is to forget it.
    pub(super) fn forget(&mut self, device: &str) -> Option<LineId> {
        self.thefts.forget(device);
        self.leave_seat(device)
    }

    /// Whether a device has a link, as far as its messages tell.
    pub(super) fn link(&self, device: &str) -> Link {
        match self.seats.get(device) {
            None => Link::None,
            Some(seat) if seat.is_proven => Link::Attached,
            Some(_) => Link::Attaching,
        }
    }

    /// A person has seen to it that nobody else sends as this device.
    pub(super) fn pardon(&mut self, device: &str) {
        self.thefts.forget(device);
    }

    /// The line of a device.
    pub(super) fn line_of(&self, device: &str) -> Option<LineId> {
        self.seats.get(device).map(|seat| seat.line)
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
            sends_per_second: self.turns.sends_per_second(),
        }
    }
}

fn not_yet(words: &str) -> SendError {
    SendError::unanswered(Why::NotYet { retry_after: NO_PLACE }, words)
}

#[cfg(test)]
mod tests;
