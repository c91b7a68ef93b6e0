//! When somebody else sends as one of our devices, and how two such senders come to have one owner.
//!
//! IoT Hub serves one client a device: a new one takes the links of the old. Two bridges that both come back at once would
//! steal from each other for ever, some thirty times a second. Neither can ask the other; each only sees its own losses.
//!
//! So each loss makes us slower, and the third makes us yield:
//!
//! - Lost: keep still for 2 s × (0.5 … 1.5), then 4 s × …, and come back with the next message. The factor is drawn from
//!   the process's own seed, the device and the count, so that two bridges do not wait in step.
//! - Lost for the third time: yield for five minutes. The other one has lost twice by then and keeps the device. At the most
//!   3 + 3 + 6 + 6 s have passed since the first loss, where both have messages waiting: within a minute.
//! - After that one look: come back, and if the device is taken away again, yield at once, for 10, 20, 40, then 60 minutes.
//!   The owner loses one link at each look, and is back after its first, short, wait.
//! - Whoever kept its link for two minutes and delivered three messages over it is the owner: its losses are forgotten.
//!   Time alone does not count: sensors that send every ten minutes would fight for ever, at each message once.
//!
//! PURE.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::spread::share;

/// Around this long after the first loss.
const WAIT: Duration = Duration::from_secs(2);
/// Losses after which somebody has to yield.
const LOSSES_MAX: u32 = 3;
const YIELD: Duration = Duration::from_secs(5 * 60);
const YIELD_MAX: Duration = Duration::from_secs(60 * 60);
/// A link that lasted so long and carried so much was ours.
const OWNED: Duration = Duration::from_secs(2 * 60);
const OWNED_DELIVERIES: u32 = 3;
/// A device that lost nothing for so long is remembered no more: twice the longest yield.
const REMEMBERED: Duration = Duration::from_secs(2 * 60 * 60);
/// Devices remembered, about 200 bytes each: 2 MB. More than that many owners are no accident between two bridges, but
/// two copies of one configuration; then the oldest memories go, and those devices begin again with short waits.
const DEVICES_MAX: usize = 10_000;

/// What a link was before it was taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tenure {
    pub(super) lasted: Duration,
    pub(super) deliveries: u32,
}

/// Devices that were taken away from us.
#[derive(Debug)]
pub(super) struct Thefts {
    seed: u64,
    devices: HashMap<Arc<str>, Loser>,
}

#[derive(Debug)]
struct Loser {
    losses: u32,
    yields: u32,
    lost_at: Duration,
    until: Duration,
}

impl Thefts {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, devices: HashMap::new() }
    }

    /// A device's link was taken away.
    pub(super) fn lost(&mut self, device: &Arc<str>, tenure: Tenure, now: Duration) {
        // Another one for each process, device and moment.
        let jitter = share((self.seed, device, now));
        self.make_room(device, now);
        let loser = self.devices.entry(device.clone()).or_insert(Loser {
            losses: 0,
            yields: 0,
            lost_at: now,
            until: Duration::ZERO,
        });
        let was_owner = tenure.lasted >= OWNED && tenure.deliveries >= OWNED_DELIVERIES;
        if was_owner || now >= loser.lost_at + REMEMBERED {
            (loser.losses, loser.yields) = (0, 0);
        }
        (loser.losses, loser.lost_at) = (loser.losses + 1, now);
        let wait = if loser.losses >= LOSSES_MAX || loser.yields > 0 {
            let wait = YIELD.saturating_mul(1 << loser.yields.min(8)).min(YIELD_MAX);
            (loser.losses, loser.yields) = (0, loser.yields + 1);
            wait
        } else {
            (WAIT * (1 << (loser.losses - 1))).mul_f64(0.5 + jitter)
        };
        loser.until = now + wait;
    }

    /// How long the device still keeps still.
    pub(super) fn rest(&self, device: &str, now: Duration) -> Option<Duration> {
        let until = self.devices.get(device)?.until;
        (until > now).then(|| until - now)
    }

    /// Devices that keep still now.
    pub(super) fn resting(&self, now: Duration) -> usize {
        self.devices.values().filter(|loser| loser.until > now).count()
    }

    /// An operator, or another assignment, makes all things new.
    pub(super) fn forget(&mut self, device: &str) {
        self.devices.remove(device);
    }

    fn make_room(&mut self, device: &str, now: Duration) {
        if self.devices.len() < DEVICES_MAX || self.devices.contains_key(device) {
            return;
        }
        self.devices.retain(|_, loser| now < loser.lost_at + REMEMBERED);
        if self.devices.len() >= DEVICES_MAX {
            let mut times: Vec<Duration> = self.devices.values().map(|loser| loser.lost_at).collect();
            // A tenth at a time, so that this is not done for each loss.
            let (_, cut, _) = times.select_nth_unstable(DEVICES_MAX / 10);
            let cut = *cut;
            self.devices.retain(|_, loser| loser.lost_at > cut);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Two bridges on one device. Each wants to send every `interval`, the second a little later than the first.
    struct Fight {
        thefts: [Thefts; 2],
        device: Arc<str>,
        owner: Option<usize>,
        since: Duration,
        deliveries: u32,
        steals: Vec<(Duration, usize)>,
    }

    impl Fight {
        fn new(seed: u64) -> Self {
            let thefts = [Thefts::new(seed), Thefts::new(seed ^ 0xdead_beef)];
            Self { thefts, device: "d".into(), owner: None, since: Duration::ZERO, deliveries: 0, steals: Vec::new() }
        }

        fn send(&mut self, who: usize, now: Duration) {
            if self.owner == Some(who) {
                self.deliveries += 1;
                return;
            }
            if self.thefts[who].rest("d", now).is_some() {
                return;
            }
            if let Some(loser) = self.owner.replace(who) {
                let tenure = Tenure { lasted: now - self.since, deliveries: self.deliveries };
                self.thefts[loser].lost(&self.device, tenure, now);
                self.steals.push((now, who));
            }
            (self.since, self.deliveries) = (now, 1);
        }

        fn run(mut self, interval: Duration, until: Duration) -> Self {
            let mut now = Duration::ZERO;
            while now < until {
                self.send(0, now);
                self.send(1, now + Duration::from_millis(20));
                now += interval;
            }
            self
        }
    }

    #[test]
    fn two_bridges_settle_on_one_owner_within_a_minute() {
        for seed in 0..200 {
            let fight = Fight::new(seed).run(Duration::from_millis(100), 5 * MINUTE);
            let last = fight.steals.last().map_or(Duration::ZERO, |steal| steal.0);
            assert!(last < MINUTE, "seed {seed}: {:?}", fight.steals);
            assert!(fight.steals.len() <= 6, "seed {seed}: {:?}", fight.steals);
        }
    }

    #[test]
    fn the_owner_stays_the_owner_and_is_disturbed_ever_more_seldom() {
        for seed in 0..50 {
            let fight = Fight::new(seed).run(Duration::from_secs(1), 24 * 60 * MINUTE);
            let settled = fight.steals.iter().rev().find(|steal| steal.0 < 5 * MINUTE).expect("they fought");
            assert_eq!(fight.owner, Some(settled.1), "seed {seed}: {:?}", fight.steals);
            let later = fight.steals.iter().filter(|steal| steal.0 > 5 * MINUTE).count();
            assert!(later <= 2 * 28, "seed {seed}: a look and its end, at most 28 a day: {later}");
        }
    }

    #[test]
    fn slow_sensors_do_not_steal_at_each_message_for_ever() {
        for seed in 0..50 {
            let fight = Fight::new(seed).run(10 * MINUTE, 7 * 24 * 60 * MINUTE);
            let messages = 7 * 24 * 6;
            let last_day = fight.steals.iter().filter(|steal| steal.0 > 6 * 24 * 60 * MINUTE).count();
            assert!(last_day <= 48, "seed {seed}: {last_day} of {} a day", messages / 7);
        }
    }

    #[test]
    fn a_single_theft_costs_a_few_seconds() {
        let mut thefts = Thefts::new(7);
        let owned = Tenure { lasted: OWNED, deliveries: 3 };
        for hour in 1..100 {
            let now = Duration::from_secs(3600 * hour);
            thefts.lost(&"d".into(), owned, now);
            let rest = thefts.rest("d", now).unwrap();
            assert!(rest >= WAIT / 2 && rest <= WAIT * 3 / 2, "{rest:?}");
            assert_eq!(thefts.rest("d", now + rest), None);
            assert_eq!(thefts.resting(now), 1);
        }
        thefts.lost(&"d".into(), Tenure::default(), Duration::from_secs(360_000));
        thefts.forget("d");
        assert_eq!(thefts.rest("d", Duration::from_secs(360_000)), None);
    }

    #[test]
    fn memory_of_losses_is_bounded() {
        let mut thefts = Thefts::new(7);
        for n in 0..3 * DEVICES_MAX as u64 {
            thefts.lost(&n.to_string().into(), Tenure::default(), Duration::from_millis(n));
            assert!(thefts.devices.len() <= DEVICES_MAX);
        }
        assert!(thefts.devices.contains_key((3 * DEVICES_MAX - 1).to_string().as_str()), "the newest are there");
    }
}
