//! How many messages a hub takes a second, learnt from its refusals.
//!
//! Hubs differ by a factor of 500, and tell nobody how large they are before they throttle. So: no pace until then. The first
//! refusal tells little, because a hub lets a burst through first: what it took in the second before has its spare second in it,
//! and four fifths of that may still be more than it takes. The second one measures: from a refusal to the next there is nothing
//! spare at either end, so what was taken in between, the rest included, is what the hub takes. On at 0.97 of
//! that, and slowly up, 6 % a minute, until it throttles again or [`FORGOTTEN`] has passed. A backlog drains at about what the
//! hub takes, with two bursts of refusals at the start and one every 75 s or so.
//!
//! A measure comes out too low when the machine was busy with something else in the middle of it: the hub was idle for a
//! while, and its spare second ran over. Nothing tells at that time; but a hub that takes [`FAR`] more than it is said to take
//! shows that it was so, and the way to the next refusal is quick.
//!
//! PURE.

use std::time::Duration;

/// Refusals this soon after the first are of the same burst: all that was on its way then. As long as the shortest rest after
/// a refusal, so that nothing of the next burst can be among them.
const SAME_BURST: Duration = Duration::from_secs(1);
/// A refusal this soon after the last one measures what was taken in between. Later, there were times without need, and what the
/// hub took in the second before has something of its spare second in it.
const SOON: Duration = Duration::from_secs(30);
/// Where to go on after the first refusal, of what the hub took in the second before.
const GUESSED: f64 = 0.8;
/// Where to go on after a measured one, and up to where a guess grows quickly.
const NEAR: f64 = 0.97;
/// What a hub of a spare second refuses for certain: at 6 % a minute that second is used up 45 s after the rate has passed the
/// hub's, at 1.045 of it. Who gets here without a refusal has measured wrong.
const FAR: f64 = 1.05;
/// Growth a second, outside of these two and between them.
const QUICKLY: f64 = 1.01;
const SLOWLY: f64 = 1.001;
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
    /// What the hub takes a second, as far as is known.
    took: f64,
    rate: f64,
    refused_at: Duration,
    /// What it took since then.
    taken: u32,
    /// Up to here the rate has grown.
    grown_at: Duration,
}

impl Learnt {
    /// The hub took a message.
    pub(super) fn accepted(&mut self, now: Duration) {
        self.turn(now);
        self.taken = self.taken.saturating_add(1);
        if let Some(limit) = &mut self.limit {
            limit.taken = limit.taken.saturating_add(1);
        }
    }

    /// The hub refused one because it was too many. True: the pace has changed.
    pub(super) fn throttled(&mut self, now: Duration) -> bool {
        self.turn(now);
        let seen = f64::from(self.taken.max(self.taken_before).max(1));
        let (took, share) = match self.limit {
            Some(limit) if now < limit.refused_at + SAME_BURST => return false,
            Some(limit) => {
                let since = now - limit.refused_at;
                let took = if since <= SOON { f64::from(limit.taken) / since.as_secs_f64() } else { seen / FAR };
                // A time in which little was sent says little of what the hub takes: a little less than before.
                if took < limit.rate / 2.0 { (limit.rate, GUESSED) } else { (took, NEAR) }
            }
            None => (seen, GUESSED),
        };
        let rate = (took * share).max(1.0);
        self.limit = Some(Limit { took, rate, refused_at: now, taken: 0, grown_at: now });
        true
    }

    /// [`Learnt::per_second`] as it was asked for last, for who only looks.
    pub(super) fn rate(&self) -> Option<f64> {
        self.limit.map(|limit| limit.rate)
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
            let is_near = (limit.took * NEAR..limit.took * FAR).contains(&limit.rate);
            limit.rate *= if is_near { SLOWLY } else { QUICKLY };
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
    use std::collections::VecDeque;

    use super::*;
    use crate::hub::amqp::pace::Pace;

    const SECOND: Duration = Duration::from_secs(1);
    /// From a send to its answer.
    const ROUND_TRIP: Duration = Duration::from_millis(50);

    /// A hub that takes so many a second, with a bucket of one second's worth; and a backlog that is sent as fast as it may, with
    /// rests of 1, 2, 4, 8 and then 10 s after refusals, and 1 again after a minute without, as the bridge has them. What was refused, and how long it took.
    fn drain(backlog: u32, hub_takes: f64) -> (u32, Duration) {
        let (mut learnt, mut pace) = (Learnt::default(), Pace::per_second(0));
        let (mut tokens, mut refilled, mut now) = (hub_takes, SECOND, SECOND);
        let mut on_their_way: VecDeque<(Duration, bool)> = VecDeque::new();
        let (mut left, mut refused, mut rest, mut rests_until) = (backlog, 0, SECOND, SECOND);
        while left > 0 || !on_their_way.is_empty() {
            let answered = on_their_way.pop_front_if(|(at, _)| left == 0 || *at <= now);
            if let Some((at, is_taken)) = answered {
                if is_taken {
                    learnt.accepted(at);
                    continue;
                }
                (refused, left) = (refused + 1, left + 1);
                learnt.throttled(at);
                if at >= rests_until {
                    rest = if at > rests_until + 60 * SECOND { SECOND } else { rest };
                    rests_until = at + rest;
                    rest = (rest * 2).min(10 * SECOND);
                }
                continue;
            }
            if now < rests_until {
                now = on_their_way.front().map_or(rests_until, |(at, _)| rests_until.min(*at));
                continue;
            }
            pace.set(learnt.per_second(now), now);
            now += if pace.is_unpaced() { Duration::from_micros(200) } else { pace.take(now) };
            tokens = (tokens + (now - refilled).as_secs_f64() * hub_takes).min(hub_takes);
            refilled = now;
            left -= 1;
            let is_taken = tokens >= 1.0;
            tokens -= f64::from(u8::from(is_taken));
            on_their_way.push_back((now + ROUND_TRIP, is_taken));
        }
        (refused, now - SECOND)
    }

    #[test]
    fn a_backlog_drains_near_the_hubs_own_rate_with_hardly_a_refusal() {
        for (backlog, hub_takes) in
            [(20_000, 100.0), (72_000, 100.0), (72_000, 2000.0), (500_000, 1000.0), (720_000, 2000.0)]
        {
            let (refused, took) = drain(backlog, hub_takes);
            let least = f64::from(backlog) / hub_takes - 1.0;
            let share = f64::from(refused) / f64::from(backlog);
            println!(
                "{backlog} at {hub_takes}/s: {:.3} of the least time, {refused} refused",
                took.as_secs_f64() / least
            );
            // Where a hub takes 100 a second, 5000 a second are tried at first: a round trip of them is refused.
            assert!(share < if hub_takes < 1000.0 { 0.03 } else { 0.01 }, "{refused} of {backlog} were refused");
            assert!(
                took.as_secs_f64() < least * 1.09,
                "{backlog} at {hub_takes}/s took {took:?}, at the least {least} s"
            );
        }
    }

    #[test]
    fn a_measure_that_came_out_too_low_is_put_right_within_two_minutes() {
        let mut learnt = Learnt::default();
        learnt.throttled(SECOND);
        (1..11).for_each(|second| (0..1500).for_each(|_| learnt.accepted(SECOND * second)));
        learnt.throttled(SECOND * 11);
        assert_eq!(learnt.per_second(SECOND * 11), Some(1500.0 * NEAR));
        let reached = (11..).find(|second| learnt.per_second(SECOND * *second).is_some_and(|rate| rate >= 2000.0));
        assert!(reached.is_some_and(|second| second < 11 + 120), "{reached:?}");
    }

    #[test]
    fn a_hub_that_never_refuses_has_no_pace_and_one_that_did_is_forgiven() {
        let mut learnt = Learnt::default();
        (0..10_000).for_each(|_| learnt.accepted(SECOND));
        assert_eq!(learnt.per_second(SECOND), None);
        assert!(learnt.throttled(SECOND));
        assert_eq!(learnt.per_second(SECOND), Some(8000.0));
        assert!(!learnt.throttled(SECOND + SECOND / 2), "of the same burst");
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
