//! A device as the bridge drives it: one message at a time, in its turn, and again after what the answer asks for.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use azure::hub::amqp::{Admit, AmqpHub};
use azure::hub::{Remedy, Telemetry, Why};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use crate::site::Device;

/// Again after this when the answer names no time; the bridge's first step.
const RETRY: Duration = Duration::from_secs(1);
/// No campaign takes longer, the long form's five minutes included.
const PATIENCE: Duration = Duration::from_secs(400);
/// The size of a usual uplink.
const BODY: &[u8] = &[b'x'; 600];

/// What went wrong on the way.
#[derive(Clone, Debug)]
pub(crate) struct Troubles(Arc<watch::Sender<Log>>);

#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    /// How often, by the error's word.
    pub(crate) words: BTreeMap<&'static str, usize>,
    /// The longest that a send took to fail.
    pub(crate) longest: Duration,
}

impl Troubles {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Log::default())))
    }

    fn note(&self, why: Why, took: Duration) {
        self.0.send_modify(|log| {
            *log.words.entry(why.word()).or_default() += 1;
            log.longest = log.longest.max(took);
        });
    }

    pub(crate) fn log(&self) -> Log {
        self.0.borrow().clone()
    }

    /// Waits until something has gone wrong so often.
    pub(crate) async fn reach(&self, count: usize) {
        let mut log = self.0.subscribe();
        log.wait_for(|log| log.words.values().sum::<usize>() >= count).await.expect("we hold the other end");
    }
}

impl fmt::Display for Troubles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Log { words, longest } = self.log();
        if words.is_empty() { f.write_str("no trouble") } else { write!(f, "trouble {words:?}, at most {longest:?}") }
    }
}

/// Sends `{name}-0`, `{name}-1`, … as one device.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    hub: AmqpHub,
    pub(crate) device: Device,
    name: Arc<str>,
    pub(crate) delivered: u32,
    troubles: Troubles,
}

impl Sender {
    pub(crate) fn new(hub: &AmqpHub, device: &Device, name: &str, troubles: &Troubles) -> Self {
        Self { hub: hub.clone(), device: device.clone(), name: name.into(), delivered: 0, troubles: troubles.clone() }
    }

    /// Sends the next message until the hub has it.
    pub(crate) async fn deliver(&mut self) {
        let telemetry = Telemetry {
            body: BODY.into(),
            message_id: format!("{}-{}", self.name, self.delivered),
            content_type: Some("application/json".to_owned()),
            ..Telemetry::default()
        };
        while let Some(wait) = self.attempt(&telemetry).await {
            sleep(wait).await;
        }
        self.delivered += 1;
    }

    /// `None`: the hub has it. Else: again after this.
    async fn attempt(&self, telemetry: &Telemetry) -> Option<Duration> {
        let Device { id, key } = &self.device;
        if let Admit::Later(wait) = self.hub.admit(id) {
            return Some(wait);
        }
        let begin = Instant::now();
        let Err(error) = self.hub.send(id, key, telemetry).await else { return None };
        self.troubles.note(error.why, begin.elapsed());
        match error.why.remedy() {
            Remedy::Retry { after } => Some(after.unwrap_or(RETRY)),
            remedy => panic!("{id}: {error}: {remedy:?}"),
        }
    }
}

/// Each device sends so many messages, all devices at once. Gives when the last one had its last.
pub(crate) async fn all_send(hub: &AmqpHub, devices: &[Device], count: u32) -> Troubles {
    let troubles = Troubles::new();
    let mut senders = JoinSet::new();
    for device in devices {
        let mut sender = Sender::new(hub, device, "m", &troubles);
        senders.spawn(async move {
            for _ in 0..count {
                sender.deliver().await;
            }
        });
    }
    finish(senders).await;
    troubles
}

/// Waits for all; the first that panicked is the test's failure.
pub(crate) async fn finish<T: 'static>(mut senders: JoinSet<T>) -> Vec<T> {
    let mut results = Vec::new();
    let end = Instant::now() + PATIENCE;
    while let Some(ended) = timeout_at(end, senders.join_next()).await.expect("all senders end in time") {
        results.push(ended.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic())));
    }
    results
}
