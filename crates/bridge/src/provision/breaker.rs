//! PURE: when many devices of one hub are refused at once, the trouble is the hub's or ours, not theirs.
//!
//! More than 1 % of a hub's devices, and at least twenty, refused (401, 404) within five minutes: nothing is
//! registered again, assignments stay, an alarm says so. It closes by itself when the refusals have aged: a device that
//! goes on being refused is asked for more often than that, and so keeps it open.
//!
//! Unless registering helps: those that were refused before it opened have registered, and when ten of them were accepted
//! afterwards, by this hub or by another one, the fleet was moved or made anew, and everybody may.

use std::collections::{HashMap, VecDeque};

use queue::UnixMillis;

/// Refusals older than this do not count.
const WINDOW: UnixMillis = 5 * 60 * 1000;
/// Fewer devices than this never open it.
const DEVICES_MIN: usize = 20;
/// One in a hundred.
const SHARE: usize = 100;
/// Refusals remembered; a million-device hub opens at 10 000, so this bound is never what keeps it shut.
const REMEMBERED_MAX: usize = 20_000;

/// So many that registering has helped within the window show that it helps.
const HELPED_MIN: usize = 10;

/// One per hub, and one per scope.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    /// When registering helped a device; the last [`HELPED_MIN`].
    helped: VecDeque<UnixMillis>,
    refused: VecDeque<(UnixMillis, String)>,
    /// When each was refused last.
    devices: HashMap<String, UnixMillis>,
    open: bool,
}

/// What a refusal did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This device's own trouble: look for it.
    Single,
    /// This refusal opened the breaker: alarm.
    Opened,
    /// It was open already.
    Open,
}

impl Breaker {
    /// A device was refused; `known` is how many devices the hub has, as far as we know.
    pub fn refused(&mut self, device: &str, known: usize, now: UnixMillis) -> Verdict {
        self.forget(now);
        self.devices.insert(device.to_owned(), now);
        self.refused.push_back((now, device.to_owned()));
        while self.refused.len() > REMEMBERED_MAX {
            self.drop_oldest();
        }
        let many = self.devices.len() >= DEVICES_MIN && self.devices.len() * SHARE > known && !self.helps(now);
        match (many, std::mem::replace(&mut self.open, many)) {
            (true, false) => Verdict::Opened,
            (true, true) => Verdict::Open,
            (false, _) => Verdict::Single,
        }
    }

    /// The device was accepted after all. True when it had been refused.
    pub fn accepted(&mut self, device: &str) -> bool {
        self.devices.remove(device).is_some()
    }

    /// A device that was refused has registered and is accepted. True when that shows that registering helps everybody.
    pub fn registering_helped(&mut self, now: UnixMillis) -> bool {
        let before = self.helps(now);
        self.helped.push_back(now);
        if self.helped.len() > HELPED_MIN {
            self.helped.pop_front();
        }
        !before && self.helps(now)
    }

    fn helps(&self, now: UnixMillis) -> bool {
        let is_recent = |at: &&UnixMillis| (0..WINDOW).contains(&(now - **at));
        self.helped.iter().filter(is_recent).count() >= HELPED_MIN
    }

    /// Nothing is registered again while this is true.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// True when it has just closed: too few refusals are left.
    pub fn has_closed(&mut self, now: UnixMillis) -> bool {
        self.forget(now);
        self.open && {
            self.open = self.devices.len() >= DEVICES_MIN && !self.helps(now);
            !self.open
        }
    }

    fn forget(&mut self, now: UnixMillis) {
        while self.refused.front().is_some_and(|(at, _)| !(0..WINDOW).contains(&(now - at))) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((at, device)) = self.refused.pop_front()
            && self.devices.get(&device) == Some(&at)
        {
            self.devices.remove(&device);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_of_a_thousand_open_it_and_nineteen_do_not() {
        let mut breaker = Breaker::default();
        for i in 0..19 {
            assert_eq!(breaker.refused(&format!("d{i}"), 1000, i), Verdict::Single);
        }
        assert_eq!(breaker.refused("d0", 1000, 20), Verdict::Single, "the same device again");
        assert_eq!(breaker.refused("d19", 1000, 21), Verdict::Opened);
        assert_eq!(breaker.refused("d20", 1000, 22), Verdict::Open);
    }

    #[test]
    fn a_large_hub_needs_more_than_one_percent() {
        let mut breaker = Breaker::default();
        let opened = (0..2000).find(|i| breaker.refused(&format!("d{i}"), 100_000, 0) == Verdict::Opened);
        assert_eq!(opened, Some(1000), "the 1 001st of 100 000");
    }

    #[test]
    fn it_stays_open_while_the_same_devices_are_refused_every_few_minutes() {
        let mut breaker = Breaker::default();
        for round in 0..10 {
            for i in 0..30 {
                let verdict = breaker.refused(&format!("d{i}"), 100, round * 240_000 + i);
                assert!(round == 0 || verdict == Verdict::Open, "{verdict:?} in round {round}");
            }
        }
    }

    #[test]
    fn it_closes_when_the_refusals_are_old_or_taken_back() {
        let open = || {
            let mut breaker = Breaker::default();
            for i in 0..25 {
                breaker.refused(&format!("d{i}"), 100, 0);
            }
            assert!(breaker.is_open() && !breaker.has_closed(WINDOW - 1));
            breaker
        };
        let mut breaker = open();
        for i in 0..6 {
            assert!(!breaker.has_closed(1));
            breaker.accepted(&format!("d{i}"));
        }
        assert!(breaker.has_closed(1) && !breaker.is_open(), "19 are left");
        assert!(!breaker.has_closed(1), "told once");
        assert!(open().has_closed(WINDOW), "by age");
    }

    #[test]
    fn when_registering_has_helped_ten_of_them_everybody_may() {
        let mut breaker = Breaker::default();
        for i in 0..100 {
            breaker.refused(&format!("d{i}"), 100, 0);
        }
        assert!(breaker.is_open());
        for i in 0..9 {
            assert!(!breaker.registering_helped(i));
        }
        assert_eq!(breaker.refused("d99", 100, 10), Verdict::Open);
        assert!(breaker.registering_helped(10), "the tenth");
        assert!(!breaker.registering_helped(11), "told once");
        assert!(breaker.has_closed(12));
        assert_eq!(breaker.refused("d99", 100, 13), Verdict::Single);
        assert_eq!(breaker.refused("d98", 100, 11 + WINDOW), Verdict::Single, "and the old refusals have aged");
    }
}
