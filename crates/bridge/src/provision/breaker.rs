//! PURE: when many devices of one hub are refused at once, the trouble is the hub's or ours, not theirs.
//!
//! More than 1 % of a hub's devices, and at least twenty, refused (401, 404) within five minutes: nothing is
//! registered again, assignments stay, an alarm says so. It closes by itself when the refusals have aged: a device that
//! goes on being refused is asked for more often than that, and so keeps it open.

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

/// One per hub.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
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
        let many = self.devices.len() >= DEVICES_MIN && self.devices.len() * SHARE > known;
        match (many, std::mem::replace(&mut self.open, many)) {
            (true, false) => Verdict::Opened,
            (true, true) => Verdict::Open,
            (false, _) => Verdict::Single,
        }
    }

    /// The device was accepted after all.
    pub fn accepted(&mut self, device: &str) {
        self.devices.remove(device);
    }

    /// Nothing is registered again while this is true.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// True when it has just closed: too few refusals are left.
    pub fn has_closed(&mut self, now: UnixMillis) -> bool {
        self.forget(now);
        self.open && {
            self.open = self.devices.len() >= DEVICES_MIN;
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
}
