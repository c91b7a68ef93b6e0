//! PURE: when, in time that has passed, something was that is stamped with the wall clock, which may have been set since.
//!
//! A clock that was set forward, or a machine that slept, makes nobody silent: that time has not passed. One that was set back
//! makes what was before look later than it was, by no more than it was set: an alarm comes late then, and none for nothing.

use std::collections::VecDeque;
use std::time::Duration;

use queue::UnixMillis;

use super::super::book::Now;

/// A wall clock that is this much off was set; less is drift.
const SET_MIN_MS: i64 = 2_000;
/// Settings that are remembered: nobody sets a clock more often within what matters here.
const SETTINGS_MAX: usize = 16;
/// What was stamped just before the look that saw a clock set may be of either time.
const SLACK_MS: i64 = 10_000;

/// How the wall clock stood to the time that passed.
#[derive(Debug, Default)]
pub(in super::super) struct Clocks {
    /// Since when (milliseconds passed), and how far the wall clock was ahead of it; the first one since ever.
    settings: VecDeque<(i64, i64)>,
}

impl Clocks {
    pub(super) fn look(&mut self, now: Now) {
        let passed = millis(now.passed);
        let ahead = now.wall.saturating_sub(passed);
        if self.settings.back().is_some_and(|(_, before)| before.abs_diff(ahead) <= SET_MIN_MS.unsigned_abs()) {
            return;
        }
        self.settings.push_back((passed, ahead));
        if self.settings.len() > SETTINGS_MAX {
            self.settings.pop_front();
        }
    }

    /// The process before this one heard its last uplink then: what follows until our start has passed for nobody.
    pub(in super::super) fn lived_until(&mut self, at: UnixMillis) {
        self.settings.push_front((i64::MIN, at));
    }

    /// Milliseconds after the watch began, negative before; never later than now.
    pub(super) fn passed_at(&self, wall: UnixMillis, now: Now) -> i64 {
        let is_of = |(since, ahead): &&(i64, i64)| wall.saturating_sub(*ahead) >= since.saturating_sub(SLACK_MS);
        let found = self.settings.iter().rev().find(is_of).or(self.settings.front());
        let at = found.map_or(0, |(since, ahead)| wall.saturating_sub(*ahead).max(*since));
        at.min(millis(now.passed))
    }
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: UnixMillis = 1_790_000_000_000;
    const HOUR: i64 = 3_600_000;

    fn now(passed: i64, set_by: i64) -> Now {
        Now { wall: START + passed + set_by, passed: Duration::from_millis(passed.unsigned_abs()) }
    }

    #[test]
    fn what_is_stamped_under_a_clock_of_before_is_found_in_time() {
        let mut clocks = Clocks::default();
        clocks.look(now(0, 0));
        clocks.look(now(HOUR, 500));
        let at = now(HOUR, 0);
        assert_eq!(clocks.passed_at(START + 1_000, at), 1_000);
        assert_eq!(clocks.passed_at(START + 2 * HOUR, at), HOUR, "nothing is later than now");
        clocks.look(now(HOUR, HOUR)); // set forward
        let at = now(HOUR + 60_000, HOUR);
        assert_eq!(clocks.passed_at(START + 1_000, at), 1_000, "before it was set");
        assert_eq!(clocks.passed_at(START + 2 * HOUR + 30_000, at), HOUR + 30_000, "after");
    }

    #[test]
    fn a_clock_that_is_set_back_makes_things_later_and_by_no_more() {
        let mut clocks = Clocks::default();
        clocks.look(now(0, 0));
        clocks.look(now(2 * HOUR, -HOUR));
        let at = now(5 * HOUR, -HOUR);
        for was in [0, HOUR / 2, HOUR, 2 * HOUR - 60_000] {
            let found = clocks.passed_at(START + was, at);
            assert!((was..=was + HOUR).contains(&found), "{was}: {found}");
        }
    }

    #[test]
    fn the_time_between_two_processes_has_passed_for_nobody() {
        let mut clocks = Clocks::default();
        clocks.look(now(0, 0));
        clocks.lived_until(START - 5 * HOUR);
        let at = now(60_000, 0);
        assert_eq!(clocks.passed_at(START - 6 * HOUR, at), -HOUR);
        assert_eq!(clocks.passed_at(START - 5 * HOUR, at), 0);
        assert_eq!(clocks.passed_at(START + 30_000, at), 30_000);
    }
}
