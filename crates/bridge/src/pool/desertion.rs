//! PURE: whether a hub that cannot be reached is still where its devices live. A hub may have been deleted, renamed or failed
//! over, and then only the provisioning service knows.
//!
//! After ten failures in a row and a quarter of an hour (azure-docs, "manage device reconnections": a full registration after
//! ten failures, or 15 to 30 minutes) one device asks. Told of another hub, it says so here, and all who were assigned
//! before that moment ask once, too. Told of the same hub, nobody else asks, and the next one a quarter of an hour later.

use queue::UnixMillis;

/// In a row.
const FAILURES_MIN: u32 = 10;
/// Since the first of them, and between two devices that ask.
const ASK_EVERY: UnixMillis = 15 * 60 * 1000;

/// One per hub.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Desertion {
    failures: u32,
    /// When the first of them was, or when a device asked last.
    since: Option<UnixMillis>,
    /// When a device was told of another hub.
    left_at: Option<UnixMillis>,
}

impl Desertion {
    /// The hub was tried in vain.
    pub(super) fn failed(&mut self, now: UnixMillis) {
        self.failures = self.failures.saturating_add(1);
        self.since.get_or_insert(now);
    }

    /// It answered.
    pub(super) fn answered(&mut self) {
        *self = Self::default();
    }

    /// Whether the device that would try it now is to ask where it lives instead. True for one device.
    pub(super) fn take_question(&mut self, now: UnixMillis) -> bool {
        let is_time = self.since.is_some_and(|since| !(0..ASK_EVERY).contains(&(now - since)));
        let asks = is_time && self.failures >= FAILURES_MIN;
        if asks {
            self.since = Some(now);
        }
        asks
    }

    /// A device that asked was told of another hub.
    pub(super) fn left(&mut self, now: UnixMillis) {
        self.left_at = Some(now);
    }

    /// Whether a device that was assigned at this time is to ask as well. A hub that was left in times to come was left under
    /// a clock that has been set back since: by that, whoever asks and is told of this hub would have to ask again, for ever.
    pub(super) fn concerns(&mut self, assigned_at: UnixMillis, now: UnixMillis) -> bool {
        self.left_at = self.left_at.filter(|left_at| *left_at <= now);
        self.left_at.is_some_and(|left_at| assigned_at < left_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(times: u32, every: UnixMillis) -> Desertion {
        let mut desertion = Desertion::default();
        (0..times).for_each(|nth| desertion.failed(UnixMillis::from(nth) * every));
        desertion
    }

    #[test]
    fn ten_failures_and_a_quarter_of_an_hour_are_needed() {
        assert!(!failing(9, 60_000).take_question(ASK_EVERY));
        assert!(!failing(10, 1_000).take_question(ASK_EVERY - 1));
        let mut desertion = failing(10, 1_000);
        assert!(desertion.take_question(ASK_EVERY));
        assert!(!desertion.take_question(ASK_EVERY + 1), "one asks");
        assert!(desertion.take_question(2 * ASK_EVERY), "and another later");
        desertion.answered();
        assert!(!desertion.take_question(10 * ASK_EVERY), "it was only away");
    }

    #[test]
    fn whoever_was_assigned_before_it_was_left_asks_and_nobody_after() {
        let mut desertion = failing(10, 1_000);
        assert!(!desertion.concerns(0, 1_000));
        desertion.left(ASK_EVERY);
        let now = ASK_EVERY + 1;
        assert!(desertion.concerns(ASK_EVERY - 1, now) && !desertion.concerns(ASK_EVERY, now));
        desertion.answered();
        assert!(!desertion.concerns(0, now), "it is back");
    }

    #[test]
    fn a_hub_that_was_left_in_times_to_come_is_not_left() {
        let mut desertion = failing(10, 1_000);
        desertion.left(10 * ASK_EVERY);
        assert!(!desertion.concerns(2_000, 3_000), "the clock was hours ahead");
        assert!(!desertion.concerns(2_000, 20 * ASK_EVERY), "and that time means nothing when it comes");
    }
}
