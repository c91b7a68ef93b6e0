//! How many messages a hub takes a second, learnt from its refusals.
//!
//! Hubs differ by a factor of 500, and tell nobody how large they are before they throttle; then they refuse for seconds, and
//! disconnect who insists. So: no pace until the hub throttles. Then what it took in the second before is its measure: on at
//! four fifths of that, within half a minute back to nineteen twentieths, and from there slowly up, 3 % a minute, until it
//! throttles again or [`FORGOTTEN`] has passed. A backlog drains at about nine tenths of what the hub takes, with a refusal
//! every few minutes instead of every second.
//!
//! PURE.

use std::time::Duration;

/// Refusals this soon after the first are of the same burst: all that was on its way then.
const SAME_BURST: Duration = Duration::from_secs(5);
/// Where to go on after a refusal, and up to where quickly, of what the hub took.
const AFTER: f64 = 0.8;
const NEAR: f64 = 0.95;
/// Growth a second, below and above that.
const QUICKLY: f64 = 1.01;
const SLOWLY: f64 = 1.0005;
/// A hub that refused nothing for so long may have grown, or its trouble has passed: no pace again.
const FORGOTTEN: Duration = Duration::from_secs(15 * 60);

/// What is known of one hub.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Learnt {
    /// The second that is counted, and what the hub took in it and in the one before.
    second: u64,
    taken: u32,
    taken_before: u32,
    limit: Option<Limit>,
}

#[derive(Clone, Copy, Debug)]
struct Limit {
    /// What the hub took a second when it refused.
    took: f64,
    rate: f64,
    refused_at: Duration,
    /// Up to here the rate has grown.
    grown_at: Duration,
}

impl Learnt {
    /// The hub took a message.
    pub(super) fn accepted(&mut self, now: Duration) {
        self.turn(now);
        self.taken = self.taken.saturating_add(1);
    }

    /// The hub refused one because it was too many. True: the pace has changed.
    pub(super) fn throttled(&mut self, now: Duration) -> bool {
        self.turn(now);
        if self.limit.is_some_and(|limit| now < limit.refused_at + SAME_BURST) {
            return false;
        }
        let seen = f64::from(self.taken.max(self.taken_before).max(1));
        // A second in which little was sent says little of what the hub takes.
        let took = self.limit.map_or(seen, |limit| if seen < limit.rate / 2.0 { limit.rate } else { seen });
        self.limit = Some(Limit { took, rate: (took * AFTER).max(1.0), refused_at: now, grown_at: now });
        true
    }

    /// Messages a second from now on; none: no pace. Asked once a second or oftener.
    pub(super) fn per_second(&mut self, now: Duration) -> Option<f64> {
        let limit = self.limit.as_mut()?;
        if now >= limit.refused_at + FORGOTTEN {
            self.limit = None;
            return None;
        }
        while now >= limit.grown_at + Duration::from_secs(1) {
            limit.grown_at += Duration::from_secs(1);
            limit.rate *= if limit.rate < limit.took * NEAR { QUICKLY } else { SLOWLY };
        }
        Some(limit.rate)
    }

    fn turn(&mut self, now: Duration) {
        let second = now.as_secs();
        if second != self.second {
            self.taken_before = if second == self.second + 1 { self.taken } else { 0 };
            (self.second, self.taken) = (second, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::amqp::pace::Pace;

    const SECOND: Duration = Duration::from_secs(1);
    /// What the bridge waits after a refusal.
    const REST: Duration = Duration::from_secs(10);

    /// A hub that takes so many a second, with a bucket of one second's worth; and a backlog that is sent as fast as it may.
    /// What was refused, and how long it took.
    fn drain(backlog: u32, hub_takes: f64) -> (u32, Duration) {
        let (mut learnt, mut pace) = (Learnt::default(), Pace::per_second(0));
        let (mut tokens, mut refilled, mut now) = (hub_takes, SECOND, SECOND);
        let (mut left, mut refused) = (backlog, 0);
        while left > 0 {
            pace.set(learnt.per_second(now), now);
            now += if pace.is_unpaced() { Duration::from_micros(200) } else { pace.take(now) };
            tokens = (tokens + (now - refilled).as_secs_f64() * hub_takes).min(hub_takes);
            refilled = now;
            if tokens >= 1.0 {
                tokens -= 1.0;
                left -= 1;
                learnt.accepted(now);
            } else {
                refused += 1;
                learnt.throttled(now);
                now += REST;
            }
        }
        (refused, now - SECOND)
    }

    #[test]
    fn a_backlog_drains_near_the_hubs_own_rate_with_hardly_a_refusal() {
        for (backlog, hub_takes) in [(20_000, 100.0), (72_000, 100.0), (500_000, 1000.0)] {
            let (refused, took) = drain(backlog, hub_takes);
            let least = f64::from(backlog) / hub_takes;
            assert!(refused * 200 <= backlog, "{refused} of {backlog} were refused");
            assert!(
                took.as_secs_f64() < least * 1.25,
                "{backlog} at {hub_takes}/s took {took:?}, at the least {least} s"
            );
        }
    }

    #[test]
    fn a_hub_that_never_refuses_has_no_pace_and_one_that_did_is_forgiven() {
        let mut learnt = Learnt::default();
        (0..10_000).for_each(|_| learnt.accepted(SECOND));
        assert_eq!(learnt.per_second(SECOND), None);
        assert!(learnt.throttled(SECOND));
        assert_eq!(learnt.per_second(SECOND), Some(8000.0));
        assert!(!learnt.throttled(SECOND * 2), "of the same burst");
        assert!(learnt.per_second(SECOND * 899).is_some_and(|rate| rate > 10_000.0), "it may have grown");
        assert_eq!(learnt.per_second(SECOND * 901), None);
    }

    #[test]
    fn a_refusal_when_hardly_anything_is_sent_does_not_stop_all() {
        let mut learnt = Learnt::default();
        (0..100).for_each(|_| learnt.accepted(SECOND));
        learnt.throttled(SECOND);
        learnt.throttled(SECOND * 60);
        assert!(learnt.per_second(SECOND * 60).is_some_and(|rate| rate > 60.0), "{learnt:?}");
        let mut learnt = Learnt::default();
        learnt.throttled(SECOND);
        assert_eq!(learnt.per_second(SECOND), Some(1.0), "a message a second at the least");
    }
}
