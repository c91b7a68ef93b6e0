//! What time it is, for everything in the cloud.
//!
//! Promises: when the time was put forward, what was due until then has happened, and every connection is told to look
//! at what it waits for; also when the clock itself has leapt.

use std::sync::atomic::Ordering;

use super::Cloud;
use crate::endpoint::HubId;
use crate::time::NotForward;

/// The clock is looked at every second. If it is further on than this it has leapt, or nobody could look for so long. By less
/// than this a token may live too long.
const LEAP_MS: i64 = 2_000;

impl Cloud {
    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> i64 {
        self.time.now_ms()
    }

    /// How far that is ahead of the clock that the simulator was started with.
    pub(crate) fn ahead_s(&self) -> i64 {
        self.time.ahead_s()
    }

    /// Puts the time forward.
    pub(crate) fn forward(&self, seconds: i64) -> Result<(), NotForward> {
        self.time.forward(seconds)?;
        // First, so that nobody is handed a message before it has seen that its token ran out.
        self.directory.tell_time();
        self.let_time_pass();
        Ok(())
    }

    /// Lets happen what is due at all hubs. Connections look at their own time, unless the clock has leapt. One that went
    /// back has nothing to wake them for.
    pub(crate) fn let_time_pass(&self) {
        let now_ms = self.now_ms();
        let before_ms = self.looked_at_ms.swap(now_ms, Ordering::Relaxed);
        if now_ms.saturating_sub(before_ms) > LEAP_MS {
            self.directory.tell_time();
        }
        let mut state = self.state();
        for at in 0..state.hubs.len() {
            self.pass(&mut state, HubId(at), now_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use crate::cloud::tests::{NOW_MS, cloud_with};
    use crate::faults::Faults;

    #[tokio::test]
    async fn every_connection_is_told_of_a_leap() {
        let (cloud, _) = cloud_with(&[], Faults::default());
        let ((_, a), (_, b)) = (cloud.directory().join(), cloud.directory().join());
        assert!(cloud.forward(-1).is_err());
        cloud.forward(61).unwrap();
        for mailbox in [a, b] {
            let notes = tokio::time::timeout(Duration::from_secs(10), mailbox.notes()).await;
            assert!(notes.is_ok_and(|notes| notes.time));
        }
        assert_eq!((cloud.now_ms(), cloud.ahead_s()), (NOW_MS + 61_000, 61));
    }

    #[tokio::test(start_paused = true)]
    async fn connections_are_told_when_the_clock_itself_leaps_and_not_of_each_second() {
        let (cloud, clock) = cloud_with(&[], Faults::default());
        let (_, mailbox) = cloud.directory().join();
        for (passed_ms, is_told) in [(0, false), (1_000, false), (2_000, false), (3_600_000, true), (-5_000, false)] {
            clock.fetch_add(passed_ms, Ordering::Relaxed);
            cloud.let_time_pass();
            let notes = tokio::time::timeout(Duration::from_millis(1), mailbox.notes()).await;
            assert_eq!(notes.is_ok_and(|notes| notes.time), is_told, "{passed_ms}");
        }
    }
}
