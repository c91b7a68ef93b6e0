//! How long messages to devices and feedback on them last, and how often they come.
//!
//! Promises: a setting that is taken is one that a real hub could have; its names there are `defaultTtlAsIso8601`,
//! `maxDeliveryCount`, `feedback.ttlAsIso8601`, `feedback.lockDurationAsIso8601`, `feedback.maxDeliveryCount`.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::{SetupError, refuse};

/// A minute to two days.
const TTL_S: RangeInclusive<i64> = 60..=172_800;
const LOCK_S: RangeInclusive<i64> = 5..=300;
const DELIVERIES: RangeInclusive<i64> = 1..=100;

/// Of messages to devices, at all hubs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CloudToDevice {
    /// How long a message is kept that says nothing else, seconds: a minute to two days.
    pub default_ttl_s: i64,
    /// Abandoned so often a message is dead, 1 to 100.
    pub max_delivery_count: i64,
    /// Of feedback on them.
    pub feedback: FeedbackSetup,
}

/// Of feedback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeedbackSetup {
    /// How long it is kept, seconds: a minute to two days.
    pub ttl_s: i64,
    /// How long it is locked for who was handed it, seconds: 5 to 300.
    pub lock_s: i64,
    /// Abandoned so often it is gone, 1 to 100.
    pub max_delivery_count: i64,
}

impl Default for CloudToDevice {
    fn default() -> Self {
        Self { default_ttl_s: 3600, max_delivery_count: 10, feedback: FeedbackSetup::default() }
    }
}

impl Default for FeedbackSetup {
    fn default() -> Self {
        Self { ttl_s: 3600, lock_s: 60, max_delivery_count: 10 }
    }
}

impl CloudToDevice {
    /// # Errors
    /// When a real hub could not be set so.
    pub(super) fn check(&self) -> Result<(), SetupError> {
        let (usual, feedback) = (Self::default(), &self.feedback);
        within("default_ttl_s", self.default_ttl_s, TTL_S, usual.default_ttl_s)?;
        within("max_delivery_count", self.max_delivery_count, DELIVERIES, usual.max_delivery_count)?;
        let usual = usual.feedback;
        within("feedback.ttl_s", feedback.ttl_s, TTL_S, usual.ttl_s)?;
        within("feedback.lock_s", feedback.lock_s, LOCK_S, usual.lock_s)?;
        let count = feedback.max_delivery_count;
        within("feedback.max_delivery_count", count, DELIVERIES, usual.max_delivery_count)
    }
}

fn within(key: &str, value: i64, range: RangeInclusive<i64>, usual: i64) -> Result<(), SetupError> {
    if range.contains(&value) {
        return Ok(());
    }
    let cause = format!("{value} is not from {} to {}", range.start(), range.end());
    refuse(&format!("cloud_to_device.{key}"), &cause, &format!("write one of these, or leave it out for {usual}"))
}

#[cfg(test)]
mod tests {
    use crate::setup::Setup;

    fn said(text: &str) -> String {
        Setup::parse(text).map_or_else(|error| error.to_string(), |_| "taken".to_owned())
    }

    #[test]
    fn what_a_real_hub_can_be_set_to_is_taken() {
        for text in [
            r#"{"cloud_to_device": {}}"#,
            r#"{"cloud_to_device": {"default_ttl_s": 60, "max_delivery_count": 1,
                "feedback": {"ttl_s": 60, "lock_s": 5, "max_delivery_count": 1}}}"#,
            r#"{"cloud_to_device": {"default_ttl_s": 172800, "max_delivery_count": 100,
                "feedback": {"ttl_s": 172800, "lock_s": 300, "max_delivery_count": 100}}}"#,
        ] {
            assert_eq!(said(text), "taken", "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_its_key_the_cause_and_the_mend() {
        for (inner, told) in [
            (
                r#""default_ttl_s": 59"#,
                "default_ttl_s: 59 is not from 60 to 172800; write one of these, or leave it out for 3600",
            ),
            (r#""default_ttl_s": 172801"#, "default_ttl_s: 172801 is not"),
            (r#""default_ttl_s": -1"#, "default_ttl_s: -1 is not"),
            (
                r#""max_delivery_count": 0"#,
                "max_delivery_count: 0 is not from 1 to 100; write one of these, or leave it out for 10",
            ),
            (r#""max_delivery_count": 101"#, "max_delivery_count: 101 is not"),
            (r#""feedback": {"ttl_s": 59}"#, "feedback.ttl_s: 59 is not from 60 to 172800"),
            (
                r#""feedback": {"lock_s": 4}"#,
                "feedback.lock_s: 4 is not from 5 to 300; write one of these, or leave it out for 60",
            ),
            (r#""feedback": {"lock_s": 301}"#, "feedback.lock_s: 301 is not"),
            (r#""feedback": {"max_delivery_count": 101}"#, "feedback.max_delivery_count: 101 is not from 1 to 100"),
        ] {
            let said = said(&format!(r#"{{"cloud_to_device": {{{inner}}}}}"#));
            assert!(said.starts_with(&format!("cloud_to_device.{told}")), "{inner}: {said}");
        }
        let said = said(r#"{"cloud_to_device": {"lock_s": 60}}"#);
        assert!(said.contains("unknown field `lock_s`") && said.contains("docs/azure-sim.md"), "{said}");
    }
}
