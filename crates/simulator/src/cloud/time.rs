//! What time it is, for everything in the cloud.
//!
//! Promises: when the time was put forward, what was due until then has happened, and every connection is told to look
//! at what it waits for.

use super::Cloud;
use crate::time::NotForward;

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
}

#[cfg(test)]
mod tests {
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
}
