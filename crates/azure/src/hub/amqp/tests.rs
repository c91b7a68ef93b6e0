//! The whole client against hubs in this process, over pipes with a delay, in virtual time.

use std::sync::atomic::{AtomicI64, Ordering};

use amqp::performative::Error;
use tokio::time::sleep;

use super::test_hub::{Ask, Say};
use super::*;
use network::Network;

mod figures;
mod fleets; // many devices, few connections, paces
mod lives; // one device: sends, losses, ends
mod network; // the pipes and the hubs behind them
mod owners; // two clients, one device
mod storms; // everything at once
mod websockets;

/// 2026-01-01T00:00:00Z.
const BEGAN: UnixSeconds = 1_767_225_600;
const SECOND: Duration = Duration::from_secs(1);
fn signer() -> Signer {
    Signer::device([1; 32])
}

fn options() -> AmqpOptions {
    AmqpOptions { attaches_per_second: 0, seed: 7, ..AmqpOptions::default() }
}

fn client(network: &Network, options: AmqpOptions) -> AmqpHub {
    let endpoint = Endpoint { host: "hub1.azure-devices.net".into(), port: 5671 };
    let began = Instant::now();
    let clock = move || BEGAN + began.elapsed().as_secs().cast_signed();
    AmqpHub::new(endpoint, Arc::new(network.clone()), options, Arc::new(clock))
}

fn telemetry(id: impl Into<String>) -> Telemetry {
    Telemetry { message_id: id.into(), body: "{}".into(), ..Telemetry::default() }
}

async fn send(hub: &AmqpHub, device: &str, id: &str) -> Result<(), Why> {
    hub.send(device, &signer(), &telemetry(id)).await.map(|_| ()).map_err(|error| error.why)
}

/// All at once; their outcomes.
async fn send_all(hub: &AmqpHub, devices: impl IntoIterator<Item = String>, id: &str) -> Vec<Result<(), Why>> {
    let sends = devices.into_iter().map(|device| {
        let (hub, id) = (hub.clone(), id.to_owned());
        tokio::spawn(async move { send(&hub, &device, &id).await })
    });
    let mut outcomes = Vec::new();
    for send in sends.collect::<Vec<_>>() {
        outcomes.push(send.await.unwrap());
    }
    outcomes
}

fn names(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|n| format!("eui-{n:05}"))
}
