//! Who may come when: each device that wants to attach, or to send where sends are paced, has a turn of its own.
//!
//! A turn that is not used within [`TURN_LIFE`] of its time is lost, with its permit: the pace is a bound, not a promise.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::hub::amqp::learnt::Learnt;
use crate::hub::amqp::pace::Pace;
use crate::hub::amqp::spread::share;

/// As long as the bridge may need from being woken to its send, generously.
const TURN_LIFE: Duration = Duration::from_secs(30);
/// How far ahead turns are booked: at 90 a second, 81 000 devices. Who comes later is told to ask again about then, each
/// at another time.
const AHEAD_MAX: Duration = Duration::from_secs(15 * 60);
/// Turns that are booked, about 150 bytes each: 15 MB.
const BOOKED_MAX: usize = 100_000;

#[derive(Debug)]
pub(super) struct Turns {
    attaches: Pace,
    sends: Pace,
    /// As configured; 0: as the hub takes them.
    sends_per_second: u32,
    learnt: Learnt,
    is_pace_learnt: bool,
    booked: HashMap<Arc<str>, Turn>,
    /// When turns lapse; about in order.
    lapses: VecDeque<(Duration, Arc<str>)>,
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    at: Duration,
    /// It is good for an attach, too.
    has_link: bool,
}

impl Turns {
    pub(super) fn new(attaches_per_second: u32, sends_per_second: u32) -> Self {
        Self {
            attaches: Pace::per_second(attaches_per_second),
            sends: Pace::per_second(sends_per_second),
            sends_per_second,
            learnt: Learnt::default(),
            is_pace_learnt: false,
            booked: HashMap::new(),
            lapses: VecDeque::new(),
        }
    }

    /// The hub took a message.
    pub(super) fn accepted(&mut self, now: Duration) {
        self.learnt.accepted(now);
    }

    /// The hub refused a message because it was too many.
    pub(super) fn throttled(&mut self, now: Duration) {
        self.learnt.throttled(now);
    }

    /// The slower of what the configuration says and what the hub taught.
    fn set_pace(&mut self, now: Duration) {
        let configured = (self.sends_per_second > 0).then(|| f64::from(self.sends_per_second));
        let learnt = self.learnt.per_second(now);
        if learnt.is_some() || self.is_pace_learnt {
            let slower = learnt.into_iter().chain(configured).reduce(f64::min);
            self.sends.set(slower, now);
            self.is_pace_learnt = learnt.is_some();
        }
    }

    /// Messages a second at the most; none: no pace.
    pub(super) fn sends_per_second(&self) -> Option<u64> {
        let configured = (self.sends_per_second > 0).then(|| f64::from(self.sends_per_second));
        let slower = self.learnt.rate().into_iter().chain(configured).reduce(f64::min)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate is not negative, and saturates"
        )]
        Some(slower.round() as u64)
    }

    /// How long until a device's turn; one is booked if it has none.
    pub(super) fn book(&mut self, device: &str, needs_link: bool, now: Duration) -> Duration {
        self.set_pace(now);
        let needs_turn = (needs_link && !self.attaches.is_unpaced()) || !self.sends.is_unpaced();
        if !needs_turn {
            return Duration::ZERO;
        }
        self.forget_lapsed(now);
        let has = self.booked.get(device).filter(|turn| turn.has_link || !needs_link);
        if let Some(turn) = has.filter(|turn| now <= turn.at + TURN_LIFE) {
            return turn.at.saturating_sub(now);
        }
        let ahead = self.sends.wait(now).max(if needs_link { self.attaches.wait(now) } else { Duration::ZERO });
        if ahead > AHEAD_MAX || self.booked.len() >= BOOKED_MAX {
            return ahead.mul_f64(0.9 + 0.2 * share(device));
        }
        let link = if needs_link { self.attaches.take(now) } else { Duration::ZERO };
        let wait = self.sends.take(now).max(link);
        let name: Arc<str> = device.into();
        self.lapses.push_back((now + wait + TURN_LIFE, name.clone()));
        self.booked.insert(name, Turn { at: now + wait, has_link: needs_link });
        wait
    }

    /// The turn was used.
    pub(super) fn use_up(&mut self, device: &str) {
        self.booked.remove(device);
    }

    /// Devices that may attach at once.
    pub(super) fn burst(&self) -> usize {
        self.attaches.burst()
    }

    /// How long until a renewal's turn, which is taken.
    pub(super) fn renewal(&mut self, now: Duration) -> Duration {
        self.attaches.take(now)
    }

    pub(super) fn booked(&self) -> usize {
        self.booked.len()
    }

    fn forget_lapsed(&mut self, now: Duration) {
        while let Some((_, name)) = self.lapses.pop_front_if(|(at, _)| *at < now) {
            if self.booked.get(&name).is_some_and(|turn| turn.at + TURN_LIFE < now) {
                self.booked.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_device_has_a_turn_of_its_own_and_keeps_it() {
        let mut turns = Turns::new(10, 0);
        let first: Vec<Duration> = (0..100).map(|n| turns.book(&n.to_string(), true, SECOND)).collect();
        let again: Vec<Duration> = (0..100).map(|n| turns.book(&n.to_string(), true, SECOND)).collect();
        assert_eq!(first, again, "asking twice takes no second turn");
        assert!(first.windows(2).all(|pair| pair[0] < pair[1] || pair[0].is_zero()), "no two together: {first:?}");
        assert_eq!(turns.book("99", true, SECOND + first[99]), Duration::ZERO);
        turns.use_up("99");
        assert_eq!(turns.booked(), 99);
    }

    #[test]
    fn a_turn_that_is_not_used_lapses() {
        let mut turns = Turns::new(10, 0);
        assert_eq!(turns.book("a", true, SECOND), Duration::ZERO);
        for n in 0..1000 {
            turns.book(&n.to_string(), true, SECOND);
        }
        assert_eq!(turns.booked(), 1001);
        let wait = turns.book("a", true, SECOND + TURN_LIFE + SECOND);
        assert!(wait > 60 * SECOND, "behind all others now: {wait:?}");
        turns.book("b", true, 1000 * SECOND);
        assert_eq!(turns.booked(), 1, "and nothing is kept of those who never came");
    }

    #[test]
    fn turns_are_bounded_and_those_too_far_ahead_are_told_when_to_ask_again() {
        let mut turns = Turns::new(1, 0);
        let waits: Vec<Duration> = (0..2000).map(|n| turns.book(&n.to_string(), true, SECOND)).collect();
        assert!(turns.booked() <= 902, "{}", turns.booked());
        assert!(waits.iter().all(|wait| *wait <= AHEAD_MAX.mul_f64(1.1) + SECOND));
        let last: std::collections::HashSet<Duration> = waits[1000..].iter().copied().collect();
        assert_eq!(last.len(), 1000, "and not all at once");
    }

    #[test]
    fn a_hub_that_throttles_paces_all_sends_and_the_configuration_still_counts() {
        let taught = |sends_per_second| {
            let mut turns = Turns::new(0, sends_per_second);
            (0..100).for_each(|_| turns.accepted(SECOND));
            assert!(sends_per_second > 0 || turns.book("a", false, SECOND).is_zero(), "before that there is no pace");
            turns.throttled(SECOND);
            let waits: Vec<Duration> = (0..160).map(|n| turns.book(&n.to_string(), false, SECOND)).collect();
            waits[159].as_secs_f64()
        };
        assert!((1.8..2.0).contains(&taught(0)), "80 a second: {}", taught(0));
        assert!((1.8..2.0).contains(&taught(1000)), "the slower one");
        assert!((14.0..16.0).contains(&taught(10)), "the slower one: {}", taught(10));
    }

    #[test]
    fn a_device_with_a_link_waits_only_where_sends_are_paced() {
        let mut turns = Turns::new(1, 0);
        assert!((0..100).all(|_| turns.book("a", false, SECOND).is_zero()));
        let mut turns = Turns::new(0, 1);
        assert_eq!(turns.book("a", false, SECOND), Duration::ZERO);
        turns.use_up("a");
        assert_eq!(turns.book("a", false, SECOND), SECOND);
        assert_eq!(turns.book("a", true, SECOND), SECOND * 2, "a turn to send is none to attach");
    }
}
