//! PURE: how long to wait, by a service's word.

use std::time::Duration;

/// A service's word on how long to wait. No time at all (`Retry-After: 0`) is no word: it is up to us then, and whoever took
/// it at that would ask again as fast as the line allows, for as long as the trouble lasts.
pub fn in_words(asked: Duration) -> Option<Duration> {
    (!asked.is_zero()).then_some(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_at_all_is_no_word() {
        assert_eq!(in_words(Duration::ZERO), None);
        assert_eq!(in_words(Duration::from_millis(1)), Some(Duration::from_millis(1)));
    }
}
