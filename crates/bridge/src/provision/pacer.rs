//! PURE: no more than so many registrations in any minute, whoever asks.
//!
//! DPS takes 1 000 registrations a minute for the whole instance (azure-docs, iot-dps-limits). A sliding window keeps
//! that exactly and still lets the first thousand go at once, which a steady drip would not.

use std::collections::VecDeque;

use queue::UnixMillis;

const MINUTE: UnixMillis = 60_000;
/// A pause that is further away than this was set by a clock that has been put back since.
const PAUSE_MAX: UnixMillis = 3_600_000;

/// One per DPS endpoint and id scope.
#[derive(Clone, Debug)]
pub struct Pacer {
    per_minute: usize,
    granted: VecDeque<UnixMillis>,
    not_before: UnixMillis,
}

impl Pacer {
    /// `per_minute` 0 means unpaced. Holds one number for each grant of the last minute.
    pub fn new(per_minute: u32) -> Self {
        Self { per_minute: per_minute as usize, granted: VecDeque::new(), not_before: UnixMillis::MIN }
    }

    /// Takes a permit, or says when to ask again.
    ///
    /// # Errors
    /// The time at which a permit may be free.
    pub fn take(&mut self, now: UnixMillis) -> Result<(), UnixMillis> {
        if now < self.not_before && self.not_before - now <= PAUSE_MAX {
            return Err(self.not_before);
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

    /// The service said to wait.
    pub fn pause_until(&mut self, until: UnixMillis) {
        self.not_before = self.not_before.max(until);
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
    fn the_services_word_stops_all() {
        let mut pacer = Pacer::new(0);
        assert_eq!(pacer.take(0), Ok(()));
        pacer.pause_until(5000);
        assert_eq!(pacer.take(1), Err(5000));
        assert_eq!(pacer.take(5000), Ok(()));
    }
}
