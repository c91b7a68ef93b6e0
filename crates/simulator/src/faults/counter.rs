//! When it is a call's turn to be hit.

use super::When;

/// Counts calls against a [`When`].
#[derive(Default)]
pub(super) struct Counter {
    calls: u64,
    /// Tokens in the bucket and when they were counted; none before the first call.
    bucket: Option<(f64, i64)>,
}

impl Counter {
    pub(super) fn hits(&mut self, when: When, weight: u32, now_ms: i64) -> bool {
        self.calls += 1;
        match when {
            When::Always => true,
            When::Next(count) => self.calls <= count,
            When::Every(count) => count > 0 && self.calls.is_multiple_of(count),
            When::AbovePerMinute(limit) => !self.takes(f64::from(limit), 60_000.0, f64::from(weight), now_ms),
            When::AbovePerSecond(limit) => !self.takes(f64::from(limit), 1_000.0, f64::from(weight), now_ms),
        }
    }

    /// A bucket that holds one period's worth. A clock that goes back adds nothing.
    pub(super) fn takes(&mut self, limit: f64, period_ms: f64, weight: f64, now_ms: i64) -> bool {
        let (tokens, since_ms) = self.bucket.unwrap_or((limit, now_ms));
        #[expect(clippy::cast_precision_loss, reason = "a difference of milliseconds is far below 2^52")]
        let passed_ms = (now_ms - since_ms).max(0) as f64;
        let tokens = (tokens + passed_ms * limit / period_ms).min(limit);
        let is_enough = tokens >= weight;
        self.bucket = Some((if is_enough { tokens - weight } else { tokens }, now_ms));
        is_enough
    }
}
