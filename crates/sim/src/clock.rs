//! What time is it? True time goes on evenly over all lives of the process; the machine's clock may be put forward or back.
//!
//! Everybody outside the bridge reads true time: hubs, the network server, the judge. Timers run by tokio's paused clock,
//! which goes along; a machine that slept has true time move without its timers.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Monday, 2025-11-24 10:00 UTC: no midnight near, at which a hub's day begins anew, unless the seed wants one.
const BEGINNING_MS: i64 = 1_763_978_400_000;
/// The first runtime's clock is put forward by so much, so that each later one can be put where the last one stood: real
/// time passes meanwhile, and far less of it.
const HEAD_START: Duration = Duration::from_secs(400 * 24 * 3600);

/// See the module. Milliseconds since 1970 throughout.
#[derive(Debug)]
pub(crate) struct Clock(Mutex<State>);

#[derive(Debug)]
struct State {
    /// True time when the runtime's clock stood at `since`.
    base_ms: i64,
    since: Option<Instant>,
    /// The machine's clock minus true time.
    ahead_ms: i64,
}

impl Clock {
    /// Stands still at the beginning, so many milliseconds later than usual.
    pub(crate) fn new(later_ms: i64) -> Self {
        Self(Mutex::new(State { base_ms: BEGINNING_MS + later_ms, since: None, ahead_ms: 0 }))
    }

    /// A new runtime begins, where the last one stopped.
    pub(crate) async fn begins(&self) {
        let last = self.state().since;
        let forward = match last {
            None => HEAD_START,
            Some(last) => last.saturating_duration_since(Instant::now()),
        };
        // Timers go off at whole milliseconds of their runtime: only so they do so at the same ones in every run.
        let whole_ms = u64::try_from(forward.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        tokio::time::advance(Duration::from_millis(whole_ms)).await;
        self.state().since = Some(Instant::now());
    }

    /// Its runtime is about to go.
    pub(crate) fn rests(&self) {
        let now = self.true_now();
        let mut state = self.state();
        *state = State { base_ms: now, since: Some(Instant::now()), ahead_ms: state.ahead_ms };
    }

    pub(crate) fn true_now(&self) -> i64 {
        let state = self.state();
        let passed = state.since.map_or(0, |since| i64::try_from(since.elapsed().as_millis()).unwrap_or(0));
        state.base_ms + passed
    }

    /// Puts the machine's clock forward or back.
    pub(crate) fn jump(&self, by_ms: i64) {
        self.state().ahead_ms += by_ms;
    }

    /// Somebody set the machine's clock right.
    pub(crate) fn set_right(&self) {
        self.state().ahead_ms = 0;
    }

    /// The machine slept: time passed, and none of its timers.
    pub(crate) fn sleeps(&self, for_ms: i64) {
        self.state().base_ms += for_ms;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl bridge::world::Clock for Clock {
    fn now(&self) -> i64 {
        self.true_now() + self.state().ahead_ms
    }
}

#[cfg(test)]
mod tests {
    use bridge::world::Clock as _;

    use super::*;

    #[test]
    fn time_goes_on_over_the_lives_and_the_machines_clock_jumps_alone() {
        let clock = Clock::new(0);
        let mut last = None;
        for life in 0..3 {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async {
                clock.begins().await;
                assert_eq!(clock.true_now(), BEGINNING_MS + life * 7_000);
                let since = last.map_or(Duration::ZERO, |last| Instant::now().duration_since(last));
                assert!(since < Duration::from_millis(1), "the runtimes' clocks are one");
                tokio::time::sleep(Duration::from_secs(7)).await;
                clock.rests();
                last = Some(Instant::now());
            });
        }
        clock.jump(-5_000);
        assert_eq!(clock.now() - clock.true_now(), -5_000);
        clock.sleeps(1_000);
        clock.set_right();
        assert_eq!((clock.now(), clock.true_now()), (BEGINNING_MS + 22_000, BEGINNING_MS + 22_000));
    }
}
