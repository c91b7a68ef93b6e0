//! What was counted, for whoever reasons about it in the process itself.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::alarms::facts::Door;

/// Since the start.
#[derive(Debug, Default)]
pub struct Tally {
    accepted: AtomicU64,
    unauthorized: AtomicU64,
    forbidden: AtomicU64,
    too_large: AtomicU64,
    unavailable: AtomicU64,
    settled: AtomicU64,
}

impl Tally {
    pub(super) fn accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, status: u16) {
        let count = match status {
            401 => &self.unauthorized,
            403 => &self.forbidden,
            413 => &self.too_large,
            503 => &self.unavailable,
            _ => return,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn one_settled(&self) {
        self.settled.fetch_add(1, Ordering::Relaxed);
    }

    /// What the door answered.
    pub fn door(&self) -> Door {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Door {
            accepted: read(&self.accepted),
            unauthorized: read(&self.unauthorized),
            forbidden: read(&self.forbidden),
            too_large: read(&self.too_large),
            unavailable: read(&self.unavailable),
        }
    }

    /// Messages that came to an outcome.
    pub fn settled(&self) -> u64 {
        self.settled.load(Ordering::Relaxed)
    }
}
