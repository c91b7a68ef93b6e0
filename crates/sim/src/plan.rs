//! PURE: from a seed to a world and to all that happens in it. Made whole before anything begins, so that a story can be
//! told up to any of its events, or without some of them.

use std::time::Duration;

use bridge::world::Point;

use crate::chance::{exponential, stream};
use crate::fault::{DoorFault, Fault, HubFault, ProcessFault};
use crate::uplink::{Device, Kind, Uplink, UplinkId};

mod world; // what kind of installation it is

pub(crate) use world::{DROPPED_PORT, GROUP, HUBS, ID_SCOPE, PROVISIONING, Settings};

/// How long a story may be: `sim` is told in hours, and a week of them takes minutes.
pub(crate) const LENGTH_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Different kinds of trouble in one story; few or none lets the strictest rules apply.
const KINDS_MAX: usize = 12;
/// Each kind comes so often an hour at the most.
const TIMES_MAX: usize = 4;
/// Uplinks of one device in an hour on average, from and to.
const UPLINKS_AN_HOUR: (usize, usize) = (4, 40);
/// So long after quiet began every device says something fresh, which must arrive like anything else.
const FRESH_MS: i64 = 60_000;
/// A hub that is away for a quarter of an hour is left, if its devices live elsewhere by then.
const HUB_IS_LEFT_MS: i64 = 17 * 60_000;
/// Who waits at a point lets the process pass so many times, less one, at the most; by the rest of its amount.
pub(crate) const AMBUSH_PASSES: u32 = 4;
/// Of a burst.
const BURST: usize = 10;

/// Something that happens at a time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    /// Milliseconds since the beginning.
    pub(crate) at: i64,
    pub(crate) what: What,
}

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    /// The network server posts messages, in an odd way if a fault says so.
    Post { uplinks: Vec<Uplink>, how: Option<DoorFault>, amount: u32 },
    /// Something goes wrong for a while.
    Trouble { fault: Fault, device: Option<usize>, lasts: i64, amount: u32 },
}

/// The whole story, before it is told.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) settings: Settings,
    pub(crate) devices: Vec<Device>,
    /// In the order of their times.
    pub(crate) events: Vec<Event>,
    /// Milliseconds until the last trouble ends and quiet begins.
    pub(crate) length: i64,
}

impl Plan {
    /// The story of a seed, of this length.
    pub(crate) fn new(seed: u64, length: Duration) -> Self {
        let length = i64::try_from(length.min(LENGTH_MAX).as_millis()).unwrap_or(i64::MAX);
        let mut chance = stream(seed, "plan");
        let kinds = kinds(&mut chance);
        let settings = Settings::draw(&mut chance, kinds.contains(&Fault::Door(DoorFault::Namesake)));
        let devices = settings.devices();
        let mut draft = Draft { chance, events: Vec::new(), length, settings: &settings };
        draft.uplinks();
        for kind in kinds {
            draft.trouble(kind);
        }
        for device in 0..settings.device_count {
            let at = length + FRESH_MS + i64::try_from(device).unwrap_or(0) * 100;
            draft.post(at, device, Kind::Ordinary, 1, None);
        }
        let mut events = draft.events;
        events.sort_by_key(|event| event.at);
        number(&mut events, devices.len());
        Self { seed, settings, devices, events, length }
    }

    /// The same story told only as far as the first `count` events, and without some of those. What is posted in the quiet
    /// is posted all the same: whether everything works again belongs to every story.
    #[must_use]
    pub(crate) fn cut(mut self, count: usize, without: &[usize]) -> Self {
        let mut index = 0;
        let length = self.length;
        self.events.retain(|event| {
            index += 1;
            event.at >= length || (index <= count && !without.contains(&(index - 1)))
        });
        self
    }

    /// How many events there are before the quiet.
    pub(crate) fn told_before_quiet(&self) -> usize {
        self.events.iter().take_while(|event| event.at < self.length).count()
    }
}

/// The kinds of trouble of a story: some seeds know many, some none.
fn kinds(chance: &mut fastrand::Rng) -> Vec<Fault> {
    let mut all = Fault::all();
    chance.shuffle(&mut all);
    let is_point = |fault: &Fault| matches!(fault, Fault::Process(fault) if fault.point().is_some());
    // There are as many points as all the rest together: each second one is passed over.
    let wanted = chance.usize(0..=KINDS_MAX);
    let mut kinds = Vec::with_capacity(wanted);
    for fault in all {
        if kinds.len() == wanted {
            break;
        }
        if !is_point(&fault) || chance.bool() {
            kinds.push(fault);
        }
    }
    kinds
}

struct Draft<'a> {
    chance: fastrand::Rng,
    events: Vec<Event>,
    length: i64,
    settings: &'a Settings,
}

impl Draft<'_> {
    fn moment(&mut self) -> i64 {
        self.chance.i64(0..self.length.max(1))
    }

    fn uplinks(&mut self) {
        for device in 0..self.settings.device_count {
            let (from, to) = UPLINKS_AN_HOUR;
            #[expect(clippy::cast_precision_loss, reason = "a count below a hundred")]
            let mean_ms = 3_600_000.0 / self.chance.usize(from..=to) as f64;
            let mut at = self.chance.i64(0..30_000);
            while at < self.length {
                self.post(at, device, Kind::Ordinary, 1, None);
                at += 1 + exponential(&mut self.chance, mean_ms);
            }
        }
    }

    fn post(&mut self, at: i64, device: usize, kind: Kind, count: usize, how: Option<DoorFault>) {
        let port = self.chance.u8(1..=20);
        let blank = Uplink { id: UplinkId(0), device, kind, port, counter: 0, session: 0 };
        let amount = self.chance.u32(..);
        self.events.push(Event { at, what: What::Post { uplinks: vec![blank; count], how, amount } });
    }

    /// One kind of trouble, once or several times.
    fn trouble(&mut self, fault: Fault) {
        let hours = usize::try_from(self.length / 3_600_000).unwrap_or(1).max(1);
        for _ in 0..self.chance.usize(1..=TIMES_MAX * hours) {
            let at = self.moment();
            let device = self.chance.usize(0..self.settings.device_count);
            match fault {
                Fault::Door(fault) => self.odd_post(at, device, fault),
                _ => self.begin(at, fault, device),
            }
        }
    }

    fn begin(&mut self, at: i64, fault: Fault, device: usize) {
        let facts = fault.facts();
        let (from, to) = facts.lasts;
        // Shorter ones are as likely as longer ones of ten times the length: trouble has no usual size.
        let lasts = if to > 0 {
            from + (to - from) / 10_i64.pow(self.chance.u32(0..3)) * self.chance.i64(0..=100) / 100
        } else {
            0
        };
        let device = facts.one_device.then_some(device);
        let amount = self.chance.u32(..);
        let amount = match fault {
            Fault::Process(fault) if fault.point().is_some_and(is_seldom) => amount - amount % AMBUSH_PASSES,
            _ => amount,
        };
        let at = match fault {
            // Where a device comes to once in its life it must be waited for from the beginning.
            Fault::Process(fault) if fault.point() == Some(Point::PoolHubLeft) => at.max(HUB_IS_LEFT_MS),
            Fault::Process(fault) if fault.point().is_some() && self.chance.bool() => at % 20_000,
            _ => at,
        };
        self.events.push(Event { at, what: What::Trouble { fault, device, lasts, amount } });
        if let Fault::Process(fault) = fault
            && let Some(point) = fault.point()
        {
            self.lead_to(at, point, device.unwrap_or(0));
        }
    }

    /// What makes the process come by at a point that it seldom comes to.
    fn lead_to(&mut self, at: i64, point: Point, device: usize) {
        let soon = at + 1 + self.chance.i64(0..20_000);
        match point {
            Point::DeviceBeforeBury => self.post(soon, device, Kind::TooLarge, 1, Some(DoorFault::TooLargeForTheHub)),
            Point::DeviceBeforeKeep => {
                self.post(soon, device, Kind::Event("join_accept"), 1, Some(DoorFault::OtherEvent))
            }
            Point::ReloadBefore | Point::ReloadTaken => self.process(soon, ProcessFault::Reloaded),
            Point::DrainBegun | Point::DrainBeforeHubs | Point::DrainBeforeDoor | Point::DrainBeforeQueue => {
                self.process(soon, ProcessFault::Restarted);
            }
            Point::DeviceBeforeRetry | Point::DeviceRetried => {
                let fault = Fault::Hub(HubFault::InternalError);
                let what = What::Trouble { fault, device: None, lasts: 60_000, amount: 0 };
                self.events.push(Event { at: soon, what });
            }
            // It has been away for a quarter of an hour when its devices ask where they live.
            Point::PoolHubLeft => {
                let at = at - HUB_IS_LEFT_MS + 60_000;
                let away = Fault::Hub(HubFault::Unavailable);
                let what = What::Trouble { fault: away, device: None, lasts: 2 * HUB_IS_LEFT_MS, amount: 0 };
                self.events.push(Event { at, what });
                for device in 0..self.settings.device_count {
                    let what =
                        What::Trouble { fault: Fault::Hub(HubFault::Moved), device: Some(device), lasts: 0, amount: 0 };
                    self.events.push(Event { at: at + 1, what });
                }
            }
            _ => {}
        }
    }

    fn process(&mut self, at: i64, fault: ProcessFault) {
        let what =
            What::Trouble { fault: Fault::Process(fault), device: None, lasts: 1_000, amount: self.chance.u32(..) };
        self.events.push(Event { at, what });
    }

    fn odd_post(&mut self, at: i64, device: usize, fault: DoorFault) {
        let device = if fault == DoorFault::Namesake { self.settings.namesake() } else { device };
        let count = if fault == DoorFault::Burst { BURST } else { 1 };
        self.post(at, device, fault.kind(), count, Some(fault));
    }
}

/// The process comes there once in its life, or seldom: it is not let pass.
fn is_seldom(point: Point) -> bool {
    matches!(
        point,
        Point::PoolHubLeft
            | Point::PoolHubOpened
            | Point::ReloadBefore
            | Point::ReloadTaken
            | Point::DrainBegun
            | Point::DrainBeforeHubs
            | Point::DrainBeforeDoor
            | Point::DrainBeforeQueue
            | Point::DeviceBeforeKeep
            | Point::DeviceBeforeBury
    )
}

/// Names for all messages, and counters as devices count: upwards, and from 0 after a join.
fn number(events: &mut [Event], devices: usize) {
    let mut next = 1;
    let mut counters = vec![(0_u32, 0_u32); devices];
    for event in events {
        let What::Post { uplinks, how, .. } = &mut event.what else { continue };
        for uplink in uplinks {
            let (session, counter) = &mut counters[uplink.device];
            if *how == Some(DoorFault::Joins) {
                (*session, *counter) = (*session + 1, 0);
            }
            (uplink.id, uplink.session, uplink.counter) = (UplinkId(next), *session, *counter);
            *counter += 1;
            next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_seed_has_one_plan_and_another_seed_another() {
        assert_eq!(Plan::new(7, HOUR).events, Plan::new(7, HOUR).events);
        assert_ne!(Plan::new(7, HOUR).events, Plan::new(8, HOUR).events);
    }

    #[test]
    fn events_are_in_order_and_messages_have_names_of_their_own() {
        for seed in 0..50 {
            let plan = Plan::new(seed, HOUR);
            assert!(plan.events.is_sorted_by_key(|event| event.at));
            let mut ids = BTreeSet::new();
            for event in &plan.events {
                let What::Post { uplinks, .. } = &event.what else { continue };
                assert!(uplinks.iter().all(|uplink| ids.insert(uplink.id) && uplink.device < plan.devices.len()));
            }
        }
    }

    #[test]
    fn a_cut_plan_is_a_beginning_without_what_is_left_out() {
        let plan = Plan::new(3, HOUR);
        let cut = plan.clone().cut(5, &[1, 3]);
        let told = plan.told_before_quiet();
        let fresh = &plan.events[told..];
        assert!(fresh.len() == plan.settings.device_count && told > 5);
        let kept = [plan.events[0].clone(), plan.events[2].clone(), plan.events[4].clone()];
        assert_eq!(cut.events, [&kept[..], fresh].concat());
    }

    #[test]
    fn among_a_few_seeds_every_kind_of_trouble_is_planned() {
        let mut planned = BTreeSet::new();
        for seed in 0..600 {
            for event in Plan::new(seed, HOUR).events {
                match event.what {
                    What::Trouble { fault, .. } => planned.insert(fault),
                    What::Post { how: Some(how), .. } => planned.insert(Fault::Door(how)),
                    What::Post { .. } => false,
                };
            }
        }
        let missing: Vec<_> = Fault::all().into_iter().filter(|fault| !planned.contains(fault)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
