//! PURE: durations as people say them.

use std::time::Duration;

use queue::UnixMillis;

/// `45 s`, `12 min`, `5 h`, `9 days`.
pub(in super::super) fn lasting(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// A time for a person, UTC.
pub(in super::super) fn moment(at: UnixMillis) -> String {
    jiff::Timestamp::from_millisecond(at).map_or("-".to_owned(), |at| format!("{at:.0}"))
}

/// How much later the one is than the other; nothing if it is not.
pub(in super::super) fn between(earlier: UnixMillis, later: UnixMillis) -> Duration {
    Duration::from_millis(u64::try_from(later.saturating_sub(earlier)).unwrap_or(0))
}
