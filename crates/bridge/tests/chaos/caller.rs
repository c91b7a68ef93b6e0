//! Devices as the bridge drives them: one message at a time, and again after what the answer asks for.

use std::collections::BTreeMap;
use std::time::Duration;

use azure::hub::amqp::AmqpHub;
use azure::hub::{Remedy, SendError, Telemetry};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::site::Device;

/// Again after this when the answer names no time; the bridge's first step.
const RETRY: Duration = Duration::from_secs(1);
/// No campaign takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// A message whose body tells its number as well, padded to this size.
pub(crate) fn message(name: &str, number: u32, bytes: usize) -> Telemetry {
    let head = format!(r#"{{"n":{number},"pad":""#);
    let pad = "x".repeat(bytes.saturating_sub(head.len() + 2));
    Telemetry {
        body: format!(r#"{head}{pad}"}}"#).into(),
        message_id: format!("{name}-{number}"),
        content_type: Some("application/json".to_owned()),
        ..Telemetry::default()
    }
}

/// Sends a message until the hub has it; gives how many tries before that may have arrived.
pub(crate) async fn deliver(hub: &AmqpHub, device: &Device, message: &Telemetry) -> usize {
    let (mut doubtful, end) = (0, Instant::now() + PATIENCE);
    while let Err(error) = hub.send(&device.id, &device.key, message).await {
        let Remedy::Retry { after } = error.remedy() else { panic!("{}: {error}", device.id) };
        assert!(Instant::now() < end, "{}: still {error}", device.id);
        doubtful += usize::from(error.why.may_have_arrived());
        sleep(after.unwrap_or(RETRY)).await;
    }
    doubtful
}

/// By device and message: tries that ended without the hub's word and may have arrived.
pub(crate) type Doubts = BTreeMap<(String, String), usize>;

/// One send, and how it ended.
#[derive(Debug)]
pub(crate) struct Fate {
    /// Which of the devices.
    pub(crate) index: usize,
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
    pub(crate) outcome: Result<(), SendError>,
}

/// One send each, all at once.
pub(crate) fn send_all(hub: &AmqpHub, devices: &[Device], message: &Telemetry) -> JoinSet<Fate> {
    let mut sends = JoinSet::new();
    for (index, device) in devices.iter().cloned().enumerate() {
        let (hub, message) = (hub.clone(), message.clone());
        sends.spawn(async move {
            let begun = Instant::now();
            let outcome = hub.send(&device.id, &device.key, &message).await.map(drop);
            Fate { index, begun, ended: Instant::now(), outcome }
        });
    }
    sends
}

/// Each device delivers these messages, one after another; all devices at once.
pub(crate) async fn deliver_all(hub: &AmqpHub, devices: &[Device], messages: &[Telemetry]) -> Doubts {
    let mut callers = JoinSet::new();
    for device in devices.iter().cloned() {
        let (hub, messages) = (hub.clone(), messages.to_vec());
        callers.spawn(async move {
            let mut doubts = Vec::new();
            for message in &messages {
                let doubtful = deliver(&hub, &device, message).await;
                doubts.push(((device.id.to_string(), message.message_id.clone()), doubtful));
            }
            doubts
        });
    }
    finish(callers).await.into_iter().flatten().collect()
}

/// Waits for all; the first that panicked is the test's failure.
pub(crate) async fn finish<T: 'static>(mut tasks: JoinSet<T>) -> Vec<T> {
    let all = async {
        let mut results = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            results.push(ended.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic())));
        }
        results
    };
    timeout(PATIENCE, all).await.expect("all of them end in time")
}
