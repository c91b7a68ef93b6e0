//! When each message was posted, answered and recorded.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bridge::cli::send::latency::Latencies;
use simulator::Recorded;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// Nothing recorded for this long: something is lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// The books of one round.
#[derive(Default)]
pub(crate) struct Books {
    round: Mutex<Round>,
    more: Notify,
}

#[derive(Default)]
struct Round {
    posted: HashMap<(String, u32), Instant>,
    answers: Latencies,
    records: Latencies,
    recorded: u64,
}

/// How long it took in one round.
pub(crate) struct Waits {
    pub(crate) answer_p50_ms: f64,
    pub(crate) answer_p99_ms: f64,
    pub(crate) record_p50_ms: f64,
    pub(crate) record_p99_ms: f64,
}

impl Books {
    /// A new round.
    pub(crate) fn begin(&self) {
        *self.round() = Round::default();
    }

    /// About to be posted; its moment was `at`.
    pub(crate) fn posted(&self, device: &str, counter: u32, at: Instant) {
        self.round().posted.insert((device.to_owned(), counter), at);
    }

    /// Answered 2xx.
    pub(crate) fn answered(&self, wait: Duration) {
        self.round().answers.note(wait);
    }

    /// In the hub's record.
    pub(crate) fn recorded(&self, recorded: &Recorded) {
        #[derive(serde::Deserialize)]
        struct Body {
            #[serde(rename = "Counter")]
            counter: u32,
        }
        let body: Body = serde_json::from_slice(&recorded.body).unwrap();
        let mut round = self.round();
        let posted = round.posted.remove(&(recorded.device_id.clone(), body.counter)).expect("posted once");
        round.records.note(posted.elapsed());
        round.recorded += 1;
        drop(round);
        self.more.notify_one();
    }

    /// Waits until this many are recorded.
    pub(crate) async fn all_recorded(&self, count: u64) {
        while self.round().recorded < count {
            timeout(PATIENCE, self.more.notified()).await.expect("the record grows");
        }
    }

    pub(crate) fn waits(&self) -> Waits {
        let round = self.round();
        let milliseconds = |waits: &Latencies, share| waits.at(share).as_secs_f64() * 1e3;
        Waits {
            answer_p50_ms: milliseconds(&round.answers, 0.5),
            answer_p99_ms: milliseconds(&round.answers, 0.99),
            record_p50_ms: milliseconds(&round.records, 0.5),
            record_p99_ms: milliseconds(&round.records, 0.99),
        }
    }

    fn round(&self) -> MutexGuard<'_, Round> {
        self.round.lock().unwrap()
    }
}
