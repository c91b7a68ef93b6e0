//! PURE: when the next commit may begin. A commit is what is paid for, so that dense traffic shares them and rare traffic
//! does not wait.

use std::time::Duration;

use tokio::time::Instant;

/// So many commits a second at most on the average, and as many at once after a second of rest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    every: Duration,
    burst: u32,
    /// When the bucket is full again.
    full_at: Instant,
}

impl Pace {
    /// Zero is no pace at all.
    pub(crate) fn new(every: Duration, now: Instant) -> Self {
        let burst = Duration::from_secs(1).as_micros().checked_div(every.as_micros()).unwrap_or(1);
        Self { every, burst: u32::try_from(burst.max(1)).unwrap_or(u32::MAX), full_at: now }
    }

    /// The time of the next commit; past or now when it may begin at once.
    pub(crate) fn next(&self, now: Instant) -> Instant {
        let ahead = self.every * (self.burst - 1);
        self.full_at.checked_sub(ahead).unwrap_or(now)
    }

    /// One begins.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.full_at = self.full_at.max(now) + self.every;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rare_commits_begin_at_once_and_dense_ones_share_a_quarter_of_a_second() {
        let every = Duration::from_millis(250);
        let (mut pace, begin) = (Pace::new(every, Instant::now()), Instant::now());
        let mut begun = Vec::new();
        for _ in 0..8 {
            tokio::time::sleep_until(pace.next(Instant::now())).await;
            pace.begin(Instant::now());
            begun.push(begin.elapsed().as_millis());
        }
        assert_eq!(begun, [0, 0, 0, 0, 250, 500, 750, 1_000]);
        tokio::time::sleep(every * 4).await;
        assert!(pace.next(Instant::now()) <= Instant::now());
        let none = Pace::new(Duration::ZERO, Instant::now());
        assert!(none.next(Instant::now()) <= Instant::now());
    }
}
