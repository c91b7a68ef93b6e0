//! The simulator's time: the clock that it was started with, put forward on request.
//!
//! Promises: everybody in the simulator reads this time and no other, so that a token, a lock and the age of a message
//! agree on what time it is. It goes forward only. Timers of the network (idle time-outs, keep-alive, delays) run by
//! another clock and are not moved. Tells nobody: who puts it forward does.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::options::Clock;

/// How far it can be ahead in all. Nothing here lives longer than a year but tokens that nobody would wait for: a
/// message two days, feedback as long, tokens of cautious clients a year (366 days where there is a 29 February).
const AHEAD_S_MAX: i64 = 366 * 24 * 3600;

/// Why the time was not put forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotForward {
    /// A token that has run out could be good again.
    #[error("forward_s: below 0, the clock goes forward only; start the simulator again for the time as it is")]
    Back,
    /// Too far.
    #[error(
        "forward_s: the clock would be more than 366 days ahead in all (it is {ahead_s} s ahead); \
         start the simulator again for the time as it is"
    )]
    TooFar {
        /// How far ahead it is.
        ahead_s: i64,
    },
}

/// The time of everything.
pub(crate) struct Time {
    clock: Clock,
    ahead_s: AtomicI64,
}

impl Time {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, ahead_s: AtomicI64::new(0) }
    }

    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> i64 {
        (self.clock)().saturating_add(self.ahead_s() * 1000)
    }

    /// How far it is ahead of the clock that it was started with.
    pub(crate) fn ahead_s(&self) -> i64 {
        self.ahead_s.load(Ordering::Relaxed)
    }

    /// Puts it forward by so many seconds.
    pub(crate) fn forward(&self, seconds: i64) -> Result<(), NotForward> {
        if seconds < 0 {
            return Err(NotForward::Back);
        }
        let then = |ahead_s: i64| ahead_s.checked_add(seconds).filter(|then_s| *then_s <= AHEAD_S_MAX);
        let moved = self.ahead_s.fetch_update(Ordering::Relaxed, Ordering::Relaxed, then);
        moved.map(drop).map_err(|ahead_s| NotForward::TooFar { ahead_s })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_is_put_forward_adds_up_and_the_clock_below_goes_on() {
        let below = Arc::new(AtomicI64::new(5_000));
        let clock = Arc::clone(&below);
        let time = Time::new(Arc::new(move || clock.load(Ordering::Relaxed)));
        assert_eq!(
            (time.now_ms(), time.forward(61), time.forward(0), time.forward(1)),
            (5_000, Ok(()), Ok(()), Ok(()))
        );
        assert_eq!((time.now_ms(), time.ahead_s()), (67_000, 62));
        below.store(6_500, Ordering::Relaxed);
        assert_eq!(time.now_ms(), 68_500);
    }

    #[test]
    fn it_goes_neither_back_nor_further_than_a_year_in_all() {
        let time = Time::new(Arc::new(|| 0));
        assert_eq!(time.forward(-1), Err(NotForward::Back));
        assert_eq!(time.forward(i64::MIN), Err(NotForward::Back));
        assert_eq!(time.forward(AHEAD_S_MAX - 1), Ok(()));
        let too_far = Err(NotForward::TooFar { ahead_s: AHEAD_S_MAX - 1 });
        assert_eq!((time.forward(2), time.forward(i64::MAX)), (too_far, too_far));
        assert_eq!((time.forward(1), time.ahead_s()), (Ok(()), AHEAD_S_MAX));
    }
}
