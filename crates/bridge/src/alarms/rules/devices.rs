//! PURE: one look at all devices, summed up by application.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use queue::UnixMillis;

use super::super::book::Now;
use super::super::facts::Heard;
use super::clocks::{Clocks, millis};
use crate::config::Alarms;
use crate::lane::DeviceKey;

/// Silent devices that are looked at closely in one look: 8 pieces of 512 for the queue's writer. More are not counted.
const CANDIDATES_MAX: usize = 4_096;
/// Applications that are watched, and networks: 300 bytes each, and the silent devices of each.
const GROUPS_MAX: usize = 1_000;
/// Whoever is silent for so long was taken away on purpose.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(7 * 86_400);
/// Gaps between frame counters count for so long.
pub(super) const GAPS_FOR: Duration = Duration::from_secs(600);
/// Of a device so many frames are counted as missing at the most: one that was switched off says little about the network.
const GAP_MAX: u32 = 16;

/// An application of a network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group {
    pub(super) network: String,
    pub(super) application: String,
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.application)
    }
}

/// What is seen of an application.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Devices that send regularly.
    pub(super) devices: usize,
    /// Those of them that do not any more.
    pub(super) silent: Vec<Silent>,
    /// Another one whenever a device was heard, whatever the clock was set to: the sum of the times of all.
    pub(super) mark: UnixMillis,
    /// Devices with a gap lately, and how many frames they miss.
    pub(super) gapped: u64,
    pub(super) missing: u64,
    /// Frames that came in that time, nearly.
    pub(super) frames: u64,
}

/// A device that is silent, unless something of it waits in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silent {
    /// Who.
    pub device: Arc<DeviceKey>,
    pub(super) last_uplink_at: UnixMillis,
    pub(super) lasts: Duration,
    pub(super) usual: Duration,
}

/// One look at all devices, in pieces.
#[derive(Debug)]
pub struct Round<'a> {
    tallies: Tallies,
    candidates: Vec<Silent>,
    intervals: u32,
    min: Duration,
    clocks: &'a Clocks,
    now: Now,
}

impl<'a> Round<'a> {
    pub(super) fn new(settings: &Alarms, clocks: &'a Clocks, now: Now) -> Self {
        Self {
            tallies: Tallies::default(),
            candidates: Vec::new(),
            intervals: settings.device_silent_intervals,
            min: settings.device_silent_min,
            clocks,
            now,
        }
    }

    /// Looks at a device.
    pub fn see(&mut self, heard: &Heard) {
        let lasts = self.since(heard.last_uplink_at);
        let gap = heard.last_gap.filter(|(at, _)| self.since(*at) < GAPS_FOR);
        let Some(tally) = self.tallies.of(&heard.device) else { return };
        tally.mark = tally.mark.wrapping_add(heard.last_uplink_at);
        if let Some((_, missing)) = gap {
            tally.gapped += 1;
            tally.missing += u64::from(missing.min(GAP_MAX));
        }
        let Some(usual) = heard.usual_interval else { return };
        if lasts < GAPS_FOR {
            tally.frames += 1 + u64::try_from(GAPS_FOR.as_millis() / usual.as_millis().max(1)).unwrap_or(0);
        }
        let silent_after = self.min.max(usual.saturating_mul(self.intervals));
        if lasts > GIVEN_UP_AFTER.max(silent_after.saturating_mul(2)) {
            return;
        }
        tally.devices += 1;
        if lasts > silent_after && self.candidates.len() < CANDIDATES_MAX {
            let (device, last_uplink_at) = (heard.device.clone(), heard.last_uplink_at);
            self.candidates.push(Silent { device, last_uplink_at, lasts, usual });
        }
    }

    fn since(&self, at: UnixMillis) -> Duration {
        let passed = millis(self.now.passed).saturating_sub(self.clocks.passed_at(at, self.now));
        Duration::from_millis(u64::try_from(passed).unwrap_or(0))
    }

    /// Those that seem silent, to be asked for in the queue.
    pub fn candidates(&self) -> &[Silent] {
        &self.candidates
    }

    /// Only these of the candidates are silent. Something of the others waits, or they are another process's.
    pub fn end(mut self, is_silent: impl Fn(&Silent) -> bool) -> Devices {
        for silent in std::mem::take(&mut self.candidates) {
            if is_silent(&silent)
                && let Some(tally) = self.tallies.of(&silent.device)
            {
                tally.silent.push(silent);
            }
        }
        Devices(self.tallies.into_groups())
    }
}

/// By network, then application: one look-up for each device, without an allocation.
#[derive(Debug, Default)]
struct Tallies {
    places: BTreeMap<String, BTreeMap<String, usize>>,
    tallies: Vec<Tally>,
}

impl Tallies {
    /// None where there are too many applications.
    fn of(&mut self, device: &DeviceKey) -> Option<&mut Tally> {
        let place = self.places.get(&device.network).and_then(|of| of.get(&device.application)).copied();
        let place = match place {
            Some(place) => place,
            None if self.tallies.len() == GROUPS_MAX => return None,
            None => {
                let place = self.tallies.len();
                self.tallies.push(Tally::default());
                self.places.entry(device.network.clone()).or_default().insert(device.application.clone(), place);
                place
            }
        };
        self.tallies.get_mut(place)
    }

    fn into_groups(mut self) -> BTreeMap<Group, Tally> {
        let mut groups = BTreeMap::new();
        for (network, applications) in self.places {
            for (application, place) in applications {
                let mut tally = std::mem::take(&mut self.tallies[place]);
                tally.silent.sort_by(|one, other| one.device.cmp(&other.device));
                groups.insert(Group { network: network.clone(), application }, tally);
            }
        }
        groups
    }
}

/// All devices, summed up.
#[derive(Clone, Debug, Default)]
pub struct Devices(pub(super) BTreeMap<Group, Tally>);
