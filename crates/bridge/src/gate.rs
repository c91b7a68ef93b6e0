//! PURE: whether a hub is worth trying now. One per hub; DPS scopes have one as well ([`crate::provision`]). Its times are those of
//! [`World::steady`](crate::world::World::steady).
//!
//! While a hub is down, its devices' messages rest in the queue and one of them at a time probes; a success opens the
//! gate for all. So an outage costs one attempt per back-off, not one per device, and nobody's attempts are counted.

use std::time::Duration;

use queue::UnixMillis;

use crate::wait::in_words;

/// First back-off; doubles with every failed probe.
const BACKOFF_MIN: Duration = Duration::from_millis(500);
/// Longest back-off: a hub that is back is found within this (plus jitter of a quarter).
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A probe that never reports is forgotten after this. A send reports within 90 s (AMQP: 20 s for its turn, 10 s to connect,
/// 40 s for token and link, 20 s to be answered; HTTPS: 50 s), a registration within 60 s.
const PROBE_MAX: Duration = Duration::from_secs(100);
/// First rest of a hub that was given more than it takes and names no time; doubles with every further one. Its pace is learnt
/// meanwhile (azure::hub::amqp), so that the first may be short: a hub that takes what it is given then is asked no more than it wants.
const THROTTLED_MIN: Duration = Duration::from_secs(1);
/// What Microsoft's documentation asks for, for a hub that goes on refusing.
const THROTTLED_MAX: Duration = Duration::from_secs(10);
/// After so long without a refusal the next one is a first one again.
const THROTTLED_FORGOTTEN: Duration = Duration::from_secs(60);
/// Longest wait of all, also when the hub's own `Retry-After` or its quota asks for more: it is asked at least hourly.
const ASKED_MAX: Duration = Duration::from_secs(3600);

/// May a message go to the hub?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Yes.
    Go,
    /// No: rest until woken.
    Rest,
}

/// What showed that a hub does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign<'a> {
    /// It said so itself (and for how long), or cannot be reached.
    Certain(Option<Duration>),
    /// It works, and was given more than it takes; it may have said for how long it is to be left alone.
    Throttled(Option<Duration>),
    /// This device's message got no good answer: the fault may be the hub's or the message's.
    Doubtful(&'a str),
}

/// What the gate knows.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    state: State,
    failures: u32,
    /// Rests because it was given too much, and until when the last of them was.
    throttled: u32,
    throttled_until: UnixMillis,
    /// The device that failed last, without any success since.
    suspect: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// Until then.
    Closed(UnixMillis),
    Probing {
        since: UnixMillis,
    },
}

impl Gate {
    /// Asks to send.
    pub fn admit(&mut self, now: UnixMillis) -> Admission {
        match self.state {
            State::Open => Admission::Go,
            State::Closed(until) if now < until => Admission::Rest,
            State::Probing { since } if now - since < millis(PROBE_MAX) => Admission::Rest,
            State::Closed(_) | State::Probing { .. } => {
                self.state = State::Probing { since: now };
                Admission::Go
            }
        }
    }

    /// The hub answered as a working hub does. True when that opened the gate. A hub that is to rest because it was given too
    /// much takes some of what was on its way all the same, which is no reason to give it more.
    pub fn worked(&mut self, now: UnixMillis) -> bool {
        self.failures = 0;
        self.suspect = None;
        if matches!(self.state, State::Closed(_)) && now < self.throttled_until {
            return false;
        }
        std::mem::take(&mut self.state) != State::Open
    }

    /// The hub did not work; `jitter` is a fraction in `0.0..1.0`. Returns when to probe, or `None` while one device
    /// alone bears witness against it: that one may send what no hub can digest, and must not shut the gate to all.
    pub fn failed(&mut self, now: UnixMillis, sign: Sign<'_>, jitter: f64) -> Option<UnixMillis> {
        let asked = match sign {
            Sign::Certain(asked) => asked,
            Sign::Throttled(asked) => return Some(self.throttle(now, asked, jitter)),
            Sign::Doubtful(device) => {
                let before = self.suspect.replace(device.to_owned());
                if self.is_open() && before.is_none_or(|before| before == device) {
                    return None;
                }
                None
            }
        };
        Some(self.close(now, asked, jitter))
    }

    fn throttle(&mut self, now: UnixMillis, asked: Option<Duration>, jitter: f64) -> UnixMillis {
        if let Some(asked) = asked.and_then(in_words) {
            self.throttled_until = self.close(now, Some(asked), jitter);
            return self.throttled_until;
        }
        if let State::Closed(until) = self.state
            && now < until
        {
            return until; // one of those that were on their way
        }
        if now - self.throttled_until > millis(THROTTLED_FORGOTTEN) {
            self.throttled = 0;
        }
        let wait = THROTTLED_MIN.saturating_mul(1_u32 << self.throttled.min(10)).min(THROTTLED_MAX);
        self.throttled = self.throttled.saturating_add(1);
        self.throttled_until = self.close(now, Some(wait), jitter);
        self.throttled_until
    }

    fn close(&mut self, now: UnixMillis, asked: Option<Duration>, jitter: f64) -> UnixMillis {
        let asked = asked.and_then(in_words);
        if let State::Closed(until) = self.state
            && now < until
            && asked.is_none()
        {
            return until; // one of those that were on their way when the gate closed
        }
        let doubled = BACKOFF_MIN.saturating_mul(1_u32 << self.failures.min(10)).min(BACKOFF_MAX);
        self.failures = self.failures.saturating_add(1);
        let wait = asked.map_or(doubled, |a| a.clamp(BACKOFF_MIN, ASKED_MAX));
        let until = now + millis(wait.mul_f64(1.0 + jitter / 4.0).min(ASKED_MAX));
        // A shorter word does not end a longer one.
        let until = match self.state {
            State::Closed(before) => until.max(before),
            State::Open | State::Probing { .. } => until,
        };
        self.state = State::Closed(until);
        until
    }

    /// Who was to probe did not come to send: somebody else may. Without this nobody would for the longest probe (`PROBE_MAX`).
    pub fn untried(&mut self, now: UnixMillis) {
        if matches!(self.state, State::Probing { .. }) {
            self.state = State::Closed(now);
        }
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

    fn close(gate: &mut Gate, now: UnixMillis, asked_s: Option<u64>, jitter: f64) -> UnixMillis {
        gate.failed(now, Sign::Certain(asked_s.map(Duration::from_secs)), jitter).expect("certain signs close it")
    }

    #[test]
    fn one_device_alone_does_not_shut_the_gate_and_two_do() {
        let mut gate = Gate::default();
        for now in 0..10 {
            assert_eq!(gate.failed(now, Sign::Doubtful("a"), 0.0), None);
        }
        gate.worked(10);
        assert_eq!(gate.failed(10, Sign::Doubtful("b"), 0.0), None, "it worked in between");
        assert_eq!(gate.failed(11, Sign::Doubtful("a"), 0.0), Some(511));
        assert_eq!(gate.admit(511), Admission::Go);
        assert_eq!(gate.failed(512, Sign::Doubtful("a"), 0.0), Some(1512), "the probe's word is enough");
    }

    #[test]
    fn an_outage_costs_one_probe_per_backoff_and_success_opens() {
        let mut gate = Gate::default();
        let mut now = 1_000_000;
        let mut waits = Vec::new();
        assert_eq!(gate.admit(now), Admission::Go);
        for _ in 0..9 {
            let until = close(&mut gate, now, None, 0.0);
            waits.push(until - now);
            assert_eq!(gate.admit(until - 1), Admission::Rest);
            assert_eq!(gate.admit(until), Admission::Go, "the probe");
            assert_eq!(gate.admit(until), Admission::Rest, "one probe at a time");
            now = until;
        }
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
        assert!(gate.worked(now));
        assert_eq!(gate.admit(now), Admission::Go);
        assert!(!gate.worked(now), "already open");
    }

    #[test]
    fn a_thousand_failures_at_once_count_as_one() {
        let mut gate = Gate::default();
        let first = close(&mut gate, 0, None, 0.0);
        for _ in 0..1000 {
            assert_eq!(close(&mut gate, 1, None, 0.9), first);
        }
    }

    #[test]
    fn a_hub_that_is_given_too_much_rests_a_second_first_and_ten_when_it_goes_on_refusing() {
        let mut gate = Gate::default();
        let mut now = 1_000_000;
        let throttled = |gate: &mut Gate, now| gate.failed(now, Sign::Throttled(None), 0.0).expect("it closes");
        let mut waits = Vec::new();
        for _ in 0..6 {
            let until = throttled(&mut gate, now);
            assert_eq!(throttled(&mut gate, now + 1), until, "one of the same burst");
            waits.push(until - now);
            assert!(!gate.worked(until - 1), "one that was on its way");
            assert_eq!(gate.admit(until - 1), Admission::Rest);
            assert_eq!(gate.admit(until), Admission::Go);
            assert!(gate.worked(until), "it takes what it is given for a while");
            now = until + 5_000;
        }
        assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
        now += 60_000;
        assert_eq!(throttled(&mut gate, now) - now, 1_000, "a minute later it is forgiven");
        now += 1_000;
        let asked = gate.failed(now, Sign::Throttled(Some(Duration::from_secs(17))), 0.0);
        assert_eq!(asked, Some(now + 17_000), "its own word is obeyed");
    }

    #[test]
    fn the_hubs_own_word_is_obeyed_within_bounds() {
        let mut gate = Gate::default();
        assert_eq!(close(&mut gate, 0, Some(17), 0.0), 17_000);
        assert_eq!(close(&mut gate, 1, Some(2), 0.0), 17_000, "a shorter word does not undo it");
        let mut gate = Gate::default();
        let waits = [0, 500, 1_500].map(|now| close(&mut gate, now, Some(0), 0.0) - now);
        assert_eq!(waits, [500, 1_000, 2_000], "no time at all is no word");
    }

    #[test]
    fn a_long_wait_is_cut_to_an_hour_and_then_kept() {
        for jitter in [0.0, 0.5, 0.99] {
            let mut gate = Gate::default();
            let until = close(&mut gate, 0, Some(1_000_000), jitter);
            assert_eq!(until, 3_600_000);
            assert_eq!(gate.admit(0), Admission::Rest, "jitter {jitter}");
            assert_eq!(gate.admit(until), Admission::Go);
        }
    }

    #[test]
    fn a_probe_that_has_to_wait_for_its_turn_lets_the_next_one_probe() {
        let mut gate = Gate::default();
        gate.untried(0);
        assert!(gate.is_open(), "an open one stays open");
        let until = close(&mut gate, 0, None, 0.0);
        gate.untried(0);
        assert_eq!(gate.admit(0), Admission::Rest, "and one that waits still waits");
        assert_eq!(gate.admit(until), Admission::Go);
        assert_eq!(gate.admit(until), Admission::Rest);
        gate.untried(until);
        assert_eq!(gate.admit(until), Admission::Go);
    }

    #[test]
    fn a_lost_probe_does_not_keep_it_shut() {
        let mut gate = Gate::default();
        let until = close(&mut gate, 1_000_000_000, None, 0.0);
        assert_eq!(gate.admit(until), Admission::Go);
        assert_eq!(gate.admit(until + 99_999), Admission::Rest);
        assert_eq!(gate.admit(until + 100_000), Admission::Go);
    }
}
