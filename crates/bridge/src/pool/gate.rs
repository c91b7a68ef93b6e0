//! PURE: whether a hub is worth trying now. One per hub.
//!
//! While a hub is down, its devices' messages rest in the queue and one of them at a time probes; a success opens the
//! gate for all. So an outage costs one attempt per back-off, not one per device, and nobody's attempts are counted.

use std::time::Duration;

use queue::UnixMillis;

/// First back-off; doubles with every failed probe.
const BACKOFF_MIN: Duration = Duration::from_millis(500);
/// Longest back-off: a hub that is back is found within this (plus jitter of a quarter).
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A probe that never reports is forgotten after this: connect 10 s + answer 20 s, and some.
const PROBE_MAX: Duration = Duration::from_secs(40);
/// Longest wait that a hub's own `Retry-After` or quota can ask for: it is asked again at least hourly.
const ASKED_MAX: Duration = Duration::from_secs(3600);

/// May a message go to the hub?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Yes.
    Go,
    /// No: rest until woken.
    Rest,
}

/// What the gate knows.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    state: State,
    failures: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    Closed {
        until: UnixMillis,
    },
    Probing {
        since: UnixMillis,
    },
}

impl Gate {
    /// Asks to send.
    pub fn admit(&mut self, now: UnixMillis) -> Admission {
        match self.state {
            State::Open => Admission::Go,
            State::Closed { until } if now < until && until - now <= millis(ASKED_MAX) => Admission::Rest,
            State::Probing { since } if (0..millis(PROBE_MAX)).contains(&(now - since)) => Admission::Rest,
            State::Closed { .. } | State::Probing { .. } => {
                self.state = State::Probing { since: now };
                Admission::Go
            }
        }
    }

    /// The hub answered as a working hub does. True when that opened the gate.
    pub fn worked(&mut self) -> bool {
        self.failures = 0;
        std::mem::take(&mut self.state) != State::Open
    }

    /// The hub did not work. `asked` is how long it asked to be left alone; `jitter` is a fraction in `0.0..1.0`.
    /// Returns when to probe.
    pub fn failed(&mut self, now: UnixMillis, asked: Option<Duration>, jitter: f64) -> UnixMillis {
        if let State::Closed { until } = self.state
            && now < until
            && asked.is_none()
        {
            return until; // one of those that were on their way when the gate closed
        }
        let doubled = BACKOFF_MIN.saturating_mul(1_u32 << self.failures.min(10)).min(BACKOFF_MAX);
        self.failures = self.failures.saturating_add(1);
        let wait = asked.map_or(doubled, |a| a.clamp(BACKOFF_MIN, ASKED_MAX));
        let until = now + millis(wait.mul_f64(1.0 + jitter / 4.0));
        self.state = State::Closed { until };
        until
    }

    /// Open, as far as is known.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }
}

fn millis(d: Duration) -> UnixMillis {
    UnixMillis::try_from(d.as_millis()).unwrap_or(UnixMillis::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_costs_one_probe_per_backoff_and_success_opens() {
        let mut gate = Gate::default();
        let mut now = 1_000_000;
        let mut waits = Vec::new();
        assert_eq!(gate.admit(now), Admission::Go);
        for _ in 0..9 {
            let until = gate.failed(now, None, 0.0);
            waits.push(until - now);
            assert_eq!(gate.admit(until - 1), Admission::Rest);
            assert_eq!(gate.admit(until), Admission::Go, "the probe");
            assert_eq!(gate.admit(until), Admission::Rest, "one probe at a time");
            now = until;
        }
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
        assert!(gate.worked());
        assert_eq!(gate.admit(now), Admission::Go);
        assert!(!gate.worked(), "already open");
    }

    #[test]
    fn a_thousand_failures_at_once_count_as_one() {
        let mut gate = Gate::default();
        let first = gate.failed(0, None, 0.0);
        for _ in 0..1000 {
            assert_eq!(gate.failed(1, None, 0.9), first);
        }
    }

    #[test]
    fn the_hubs_own_word_is_obeyed_within_bounds() {
        let mut gate = Gate::default();
        assert_eq!(gate.failed(0, Some(Duration::from_secs(17)), 0.0), 17_000);
        let mut gate = Gate::default();
        assert_eq!(gate.failed(0, Some(Duration::from_secs(1_000_000)), 0.0), 3_600_000);
    }

    #[test]
    fn a_lost_probe_and_a_clock_set_back_do_not_keep_it_shut() {
        let mut gate = Gate::default();
        let until = gate.failed(1_000_000_000, None, 0.0);
        assert_eq!(gate.admit(until), Admission::Go);
        assert_eq!(gate.admit(until + 39_999), Admission::Rest);
        assert_eq!(gate.admit(until + 40_000), Admission::Go);
        assert_eq!(gate.admit(0), Admission::Go, "clock set back: probed again");
    }
}
