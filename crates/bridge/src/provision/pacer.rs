//! PURE: no more than so many registrations in any minute, whoever asks.
//!
//! DPS takes 1 000 registrations a minute for the whole instance (azure-docs, iot-dps-limits). A sliding window keeps
//! that exactly and still lets the first thousand go at once, which a steady drip would not.

use std::collections::VecDeque;

use queue::UnixMillis;

const MINUTE: UnixMillis = 60_000;

/// One per DPS endpoint and id scope.
#[derive(Clone, Debug)]
pub struct Pacer {
    per_minute: usize,
    granted: VecDeque<UnixMillis>,
    paused: Option<UnixMillis>,
}

impl Pacer {
    /// `per_minute` 0 means unpaced. Holds one number for each grant of the last minute.
    pub fn new(per_minute: u32) -> Self {
        Self { per_minute: per_minute as usize, granted: VecDeque::new(), paused: None }
    }

    /// As if permits had been taken at these times already, earliest first.
    pub fn after(mut self, taken: &[UnixMillis]) -> Self {
        self.granted.extend(taken.iter().rev().take(self.per_minute).rev());
        self
    }

    /// Takes a permit, or says when to ask again.
    ///
    /// # Errors
    /// The time at which a permit may be free.
    pub fn take(&mut self, now: UnixMillis) -> Result<(), UnixMillis> {
        if let Some(until) = self.paused_until(now) {
            return Err(until);
        }
        if self.per_minute == 0 {
            return Ok(());
        }
        while self.granted.front().is_some_and(|at| !(0..MINUTE).contains(&(now - at))) {
            self.granted.pop_front();
        }
        match self.granted.front() {
            Some(oldest) if self.granted.len() >= self.per_minute => Err(oldest + MINUTE),
            _ => {
                self.granted.push_back(now);
                Ok(())
            }
        }
    }

    /// The earliest time at which the `nth` permit from now may be taken, `None` when unpaced and not told to wait.
    pub fn when(&self, nth: usize, now: UnixMillis) -> Option<UnixMillis> {
        let paused = self.paused_until(now);
        if self.per_minute == 0 || nth == 0 {
            return paused;
        }
        // Each permit frees the one that comes `per_minute` after it, a minute later.
        let recent: Vec<_> = self.granted.iter().filter(|at| (0..MINUTE).contains(&(now - **at))).collect();
        let (rounds, within) = ((nth - 1) / self.per_minute, (nth - 1) % self.per_minute + 1);
        let frees = (recent.len() + within).checked_sub(self.per_minute + 1);
        let frees = frees.and_then(|at| recent.get(at)).map_or(now, |at| *at + MINUTE);
        let rounds = MINUTE.saturating_mul(UnixMillis::try_from(rounds).unwrap_or(UnixMillis::MAX / MINUTE));
        Some(frees.max(paused.unwrap_or(now)).saturating_add(rounds))
    }

    /// How many a minute; 0 is unpaced.
    pub fn per_minute(&self) -> usize {
        self.per_minute
    }

    /// The service said to wait. A shorter wait does not end a longer one.
    pub fn pause(&mut self, now: UnixMillis, until: UnixMillis) {
        self.paused = Some(self.paused_until(now).map_or(until, |before| until.max(before)));
    }

    fn paused_until(&self, now: UnixMillis) -> Option<UnixMillis> {
        self.paused.filter(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_minute_sees_more_than_the_bound() {
        let mut pacer = Pacer::new(100);
        let mut granted = Vec::new();
        let mut now = 0;
        while granted.len() < 1000 {
            match pacer.take(now) {
                Ok(()) => granted.push(now),
                Err(at) => {
                    assert!(at > now);
                    now = at;
                }
            }
        }
        for (i, at) in granted.iter().enumerate() {
            let within = granted[i..].iter().take_while(|g| **g < at + MINUTE).count();
            assert!(within <= 100, "{within} within a minute of {at}");
        }
        assert_eq!(now, 9 * MINUTE, "and none was given away");
    }

    #[test]
    fn the_time_of_a_permit_is_foretold() {
        for seed in 0..50 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut pacer = Pacer::new(random.u32(1..30));
            let mut now = 0;
            for _ in 0..random.usize(0..60) {
                now += random.i64(0..5_000);
                let _ = pacer.take(now);
            }
            let nth = random.usize(1..100);
            let foretold = pacer.when(nth, now);
            let mut at = now;
            for _ in 0..nth {
                while let Err(later) = pacer.take(at) {
                    at = later;
                }
            }
            assert_eq!(foretold, Some(at), "seed {seed}");
        }
        assert_eq!(Pacer::new(0).when(1000, 5), None, "unpaced");
    }

    #[test]
    fn the_services_word_stops_all() {
        let mut pacer = Pacer::new(0);
        assert_eq!(pacer.take(0), Ok(()));
        pacer.pause(1, 5000);
        pacer.pause(2, 4000);
        assert_eq!(pacer.take(2), Err(5000));
        assert_eq!(pacer.take(5000), Ok(()));
    }
}
