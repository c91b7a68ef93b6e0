//! PURE: how long to wait: by a service's word, and by the wall clock, which may be set back meanwhile.

use std::time::Duration;

use queue::UnixMillis;

/// A service's word on how long to wait. No time at all (`Retry-After: 0`) is no word: it is up to us then, and whoever took
/// it at that would ask again as fast as the line allows, for as long as the trouble lasts.
pub fn in_words(asked: Duration) -> Option<Duration> {
    (!asked.is_zero()).then_some(asked)
}

/// From a moment until another. It ends with the clock that it began under: a clock that stands before its beginning was
/// set back, and nobody knows how much of the wait is left. Whoever waits then tries a little early, once; else it would
/// wait as much longer as the clock was ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    since: UnixMillis,
    until: UnixMillis,
}

impl Wait {
    /// `until` before `since` is over at once.
    pub fn new(since: UnixMillis, until: UnixMillis) -> Self {
        Self { since, until }
    }

    /// It goes on.
    pub fn holds(self, now: UnixMillis) -> bool {
        (self.since..self.until).contains(&now)
    }

    /// When it is over.
    pub fn until(self) -> UnixMillis {
        self.until
    }

    /// Begun anew at `now`, and not over before this one would have been if it still holds.
    #[must_use]
    pub fn extended(self, now: UnixMillis, until: UnixMillis) -> Self {
        Self::new(now, if self.holds(now) { until.max(self.until) } else { until })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_the_clock_that_it_began_under() {
        let wait = Wait::new(600_000, 645_000);
        assert!(wait.holds(600_000) && wait.holds(644_999));
        assert!(!wait.holds(645_000), "in time");
        assert!(!wait.holds(60_000), "ten minutes ahead, and set right");
    }

    #[test]
    fn a_shorter_wait_does_not_end_a_longer_one_that_still_holds() {
        assert_eq!(Wait::new(0, 100).extended(1, 50), Wait::new(1, 100));
        assert_eq!(Wait::new(0, 100).extended(1, 500), Wait::new(1, 500));
        assert_eq!(Wait::new(1_000, 2_000).extended(1, 50), Wait::new(1, 50), "the clock was set back");
    }
}
