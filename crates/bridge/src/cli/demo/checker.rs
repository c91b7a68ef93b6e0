//! Counts what the demo sent and what the simulated IoT Hub recorded. Shares no counter with the bridge: it knows only
//! what the sender was answered and what the simulator wrote down.

use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

use crate::cli::send::latency::Latencies;

/// Counters of delivered messages remembered per device, to see a second copy: more than the bridge itself remembers.
const REMEMBERED: usize = 256;

/// The books of the demo.
#[derive(Debug, Default)]
pub(super) struct Checker {
    devices: BTreeMap<String, Device>,
    tally: Tally,
    latencies: Latencies,
}

#[derive(Debug, Default)]
struct Device {
    /// Accepted by the webhook, not yet in the record.
    owed: BTreeMap<u64, Instant>,
    /// In the record before the webhook's answer was seen.
    early: BTreeMap<u64, Instant>,
    /// Last counters recorded.
    recorded: BTreeSet<u64>,
}

/// What the demo prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Answered 2xx.
    pub(super) sent: u64,
    /// Answered otherwise, or not at all: the network would have lost these.
    pub(super) refused: u64,
    /// Recorded by the simulator, each counted once.
    pub(super) delivered: u64,
    /// Recorded more than once.
    pub(super) duplicated: u64,
}

impl Checker {
    /// The webhook answered 2xx for this message; `posted` is when it was sent off.
    pub(super) fn accepted(&mut self, device: &str, counter: u64, posted: Instant) {
        self.tally.sent += 1;
        let device = self.devices.entry(device.to_owned()).or_default();
        match device.early.remove(&counter) {
            Some(recorded) => self.latencies.note(recorded.saturating_duration_since(posted)),
            None => {
                device.owed.insert(counter, posted);
            }
        }
    }

    /// The webhook did not take this message.
    pub(super) fn refused(&mut self) {
        self.tally.refused += 1;
    }

    /// The simulator recorded this message.
    pub(super) fn recorded(&mut self, device: &str, counter: u64, now: Instant) {
        let device = self.devices.entry(device.to_owned()).or_default();
        if !device.recorded.insert(counter) {
            self.tally.duplicated += 1;
            return;
        }
        while device.recorded.len() > REMEMBERED {
            device.recorded.pop_first();
        }
        self.tally.delivered += 1;
        match device.owed.remove(&counter) {
            Some(posted) => self.latencies.note(now.saturating_duration_since(posted)),
            None => {
                device.early.insert(counter, now);
            }
        }
    }

    /// Accepted and not recorded so far.
    pub(super) fn owed(&self) -> u64 {
        self.devices.values().map(|d| d.owed.len() as u64).sum()
    }

    /// The counts.
    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// From the post to the record.
    pub(super) fn latencies(&self) -> &Latencies {
        &self.latencies
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_message_is_owed_until_it_is_recorded_and_counted_once() {
        let mut checker = Checker::default();
        let start = Instant::now();
        checker.accepted("a", 1, start);
        checker.accepted("b", 1, start);
        checker.refused();
        assert_eq!(checker.owed(), 2);
        let later = start + Duration::from_millis(20);
        checker.recorded("a", 1, later);
        checker.recorded("a", 1, later);
        assert_eq!(checker.owed(), 1, "b is lost, unless it still comes");
        assert_eq!(checker.tally(), Tally { sent: 2, refused: 1, delivered: 1, duplicated: 1 });
        assert_eq!(checker.latencies().longest(), Duration::from_millis(20));
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_may_be_seen_before_the_answer() {
        let mut checker = Checker::default();
        let start = Instant::now();
        checker.recorded("a", 7, start + Duration::from_millis(5));
        checker.accepted("a", 7, start);
        assert_eq!(checker.owed(), 0);
        assert_eq!(checker.latencies().longest(), Duration::from_millis(5));
    }

    #[tokio::test(start_paused = true)]
    async fn memory_stays_bounded_over_millions() {
        let mut checker = Checker::default();
        let start = Instant::now();
        for counter in 0..3_000_000 {
            checker.accepted("a", counter, start);
            checker.recorded("a", counter, start);
        }
        assert!(checker.devices["a"].recorded.len() <= REMEMBERED && checker.devices["a"].owed.is_empty());
        assert_eq!(checker.tally().delivered, 3_000_000);
    }
}
