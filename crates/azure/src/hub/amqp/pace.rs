//! So many a second, and when the next may go: GCRA, a token bucket that is one number.
//!
//! PURE. Time is counted from wherever the caller likes and never goes back.

use std::time::Duration;

/// A tenth of a second's permits may go at once: a burst that no throttle notices, enough that round trips overlap.
const BURST_SHARE: u32 = 10;

/// Hands out permits at a steady rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// From one permit to the next; zero is unpaced.
    interval: Duration,
    /// How far ahead of the steady rate a burst may be.
    ahead: Duration,
    /// When the next permit falls due at the steady rate.
    next: Duration,
}

impl Pace {
    /// 0 is unpaced.
    pub(super) fn per_second(rate: u32) -> Self {
        let interval = Duration::from_secs(1).checked_div(rate).unwrap_or_default();
        let burst = (rate / BURST_SHARE).max(1);
        Self { interval, ahead: interval * (burst - 1), next: Duration::ZERO }
    }

    /// Another rate from now on; none is unpaced. Permits that were taken keep their time.
    pub(super) fn set(&mut self, rate: Option<f64>, now: Duration) {
        let interval = rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1).div_f64(rate.max(1.0)));
        let burst = rate.map_or(1.0, |rate| (rate / f64::from(BURST_SHARE)).floor().max(1.0));
        if self.interval.is_zero() {
            self.next = now;
        }
        (self.interval, self.ahead) = (interval, interval.mul_f64(burst - 1.0));
    }

    pub(super) fn is_unpaced(&self) -> bool {
        self.interval.is_zero()
    }

    /// As many permits as may be good at once.
    pub(super) fn burst(&self) -> usize {
        let ahead = self.ahead.as_nanos().checked_div(self.interval.as_nanos());
        ahead.and_then(|ahead| usize::try_from(ahead + 1).ok()).unwrap_or(usize::MAX)
    }

    /// How long until a permit that is taken now would be good.
    pub(super) fn wait(&self, now: Duration) -> Duration {
        self.next.saturating_sub(self.ahead).saturating_sub(now)
    }

    /// Takes the next permit; good after the returned wait. Each caller gets its own, so callers are spread.
    pub(super) fn take(&mut self, now: Duration) -> Duration {
        if self.is_unpaced() {
            return Duration::ZERO;
        }
        let wait = self.wait(now);
        self.next = self.next.max(now) + self.interval;
        wait
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_small_burst_goes_at_once_and_the_rest_one_by_one() {
        let mut pace = Pace::per_second(90);
        let waits: Vec<Duration> = (0..99).map(|_| pace.take(SECOND)).collect();
        assert_eq!((waits.iter().filter(|wait| wait.is_zero()).count(), pace.burst()), (9, 9));
        let interval = SECOND / 90;
        assert_eq!(waits[9], interval);
        assert_eq!(waits[98], interval * 90, "a second for ninety more");
    }

    #[test]
    fn unpaced_never_waits_and_the_slowest_pace_is_kept() {
        let mut unpaced = Pace::per_second(0);
        assert!((0..1000).all(|_| unpaced.take(SECOND).is_zero()) && unpaced.burst() == usize::MAX);
        let mut slow = Pace::per_second(1);
        assert_eq!((slow.take(SECOND), slow.take(SECOND), slow.take(SECOND)), (Duration::ZERO, SECOND, SECOND * 2));
    }

    proptest! {
        /// In no second more than the rate and the burst, whenever callers come; and the wait is exact.
        #[test]
        fn no_second_sees_more_than_rate_and_burst(rate in 1u32..500, gaps in prop::collection::vec(0u64..50, 1..400)) {
            let mut pace = Pace::per_second(rate);
            let mut now = Duration::ZERO;
            let mut went = Vec::new();
            for gap in gaps {
                now += Duration::from_millis(gap);
                let told = pace.wait(now);
                let wait = pace.take(now);
                prop_assert_eq!(told, wait);
                went.push(now + wait);
            }
            let most = rate as usize + (rate / BURST_SHARE).max(1) as usize + 1;
            for (at, from) in went.iter().enumerate() {
                let within = went[at..].iter().take_while(|when| **when < *from + SECOND).count();
                prop_assert!(within <= most, "{within} in one second at {rate} a second");
            }
        }
    }
}
