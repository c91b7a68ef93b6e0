//! A time for a person, UTC.

use queue::UnixMillis;

pub(super) fn moment(at: UnixMillis) -> String {
    jiff::Timestamp::from_millisecond(at).map_or("-".to_owned(), |at| format!("{at:.0}"))
}
