//! How long messages to devices and feedback on them last, and how often they come: what an owner can set for a hub.

use crate::setup::CloudToDevice;

/// For a message that says nothing else.
const TTL_MS: i64 = 3_600_000;
/// How long who was handed a message may keep it; for messages to devices the real service lets nobody change that.
pub(crate) const LOCK_MS: i64 = 60_000;
/// Abandoned so often a message is dead.
const DELIVERIES_MAX: u8 = 10;

/// Of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// How long a message is kept.
    pub(crate) ttl_ms: i64,
    /// How long it is locked.
    pub(crate) lock_ms: i64,
    /// How often it may be abandoned; the last time ends it.
    pub(crate) deliveries_max: u8,
}

impl Default for Rules {
    /// What a hub is made with, for both.
    fn default() -> Self {
        Self { ttl_ms: TTL_MS, lock_ms: LOCK_MS, deliveries_max: DELIVERIES_MAX }
    }
}

/// Of all there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PostRules {
    pub(crate) messages: Rules,
    pub(crate) feedback: Rules,
}

impl From<&CloudToDevice> for PostRules {
    fn from(asked: &CloudToDevice) -> Self {
        let CloudToDevice { default_ttl_s, max_delivery_count, feedback } = asked;
        let rules = |ttl_s: i64, lock_ms, count: i64| Rules {
            ttl_ms: ttl_s.saturating_mul(1000),
            lock_ms,
            deliveries_max: u8::try_from(count).unwrap_or(DELIVERIES_MAX),
        };
        Self {
            messages: rules(*default_ttl_s, LOCK_MS, *max_delivery_count),
            feedback: rules(feedback.ttl_s, feedback.lock_s.saturating_mul(1000), feedback.max_delivery_count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setup_that_says_nothing_changes_nothing() {
        assert_eq!(PostRules::from(&CloudToDevice::default()), PostRules::default());
    }
}
