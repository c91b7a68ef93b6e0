//! Where and when something happens on a connection: what every decision is handed.

use std::time::Duration;

use crate::cloud::Cloud;
use crate::random::{Random, Stamp};

/// Nobody asks a timer for more: a token may be good for longer than timers can count.
const AHEAD_MAX: Duration = Duration::from_secs(24 * 3600);

/// What is asked of everything that happens: where, and when by both clocks.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) cloud: &'a Cloud,
    /// Since the connection began.
    pub(crate) at: Duration,
    /// Since 1970.
    pub(crate) now_ms: i64,
}

impl<'a> Scene<'a> {
    pub(crate) fn random(self) -> &'a Random {
        self.cloud.random()
    }

    /// For what is made now.
    pub(crate) fn stamp(self) -> Stamp<'a> {
        Stamp { now_ms: self.now_ms, random: self.random() }
    }

    /// When to look whether it is so late by the clock of the cloud, which is not the one that timers run by. Who looks too
    /// early looks again; of a leap connections are told.
    pub(crate) fn when(self, at_ms: i64) -> Duration {
        let left = Duration::from_millis(u64::try_from(at_ms - self.now_ms).unwrap_or_default());
        self.at + left.min(AHEAD_MAX)
    }
}
