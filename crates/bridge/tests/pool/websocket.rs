//! Promise: what works over port 5671 works over a WebSocket on the port of HTTPS.

use std::time::Duration;

use azure::hub::amqp::{AmqpOptions, AmqpTransport};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::proxy::Proxy;
use crate::sender::{Sender, Troubles, finish};
use crate::site::{Site, unpaced};

const DEVICES: usize = 100;
const PACE: Duration = Duration::from_millis(500);
const LIFE: Duration = Duration::from_secs(10);
/// Each token is renewed within 85 % of its life.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_devices_attach_send_and_renew_over_a_websocket() {
    let site = Site::start(DEVICES).await;
    let proxy = Proxy::start(site.https_port(), Duration::from_millis(5)).await;
    let options = AmqpOptions { token_life: LIFE, ..AmqpOptions { transport: AmqpTransport::WebSocket, ..unpaced() } };
    let hub = site.unheard_hub(proxy.port, options);
    let (troubles, begin) = (Troubles::new(), Instant::now());
    let mut senders = JoinSet::new();
    for device in &site.devices {
        let (mut sender, hub) = (Sender::new(&hub, device, "m", &troubles), hub.clone());
        senders.spawn(async move {
            // A message after each token has been renewed, and its first would have run out.
            while hub.standing().renewals < 100 || begin.elapsed() < LIFE {
                sender.deliver().await;
                sleep(PACE).await;
                assert!(begin.elapsed() < PATIENCE, "{:?}", hub.standing());
            }
            sender.deliver().await;
            sender
        });
    }
    let delivered = finish(senders).await.into_iter().map(|sender| (sender.device.id.to_string(), sender.delivered));
    let verdict = site.ledger.judge("m", &delivered.collect());
    println!("{verdict}; {troubles}; {:?}", hub.standing());
    verdict.holds(0);
    assert_eq!(troubles.log().words.len(), 0, "nothing went wrong on the way");
    assert_eq!((proxy.accepted(), hub.standing().attached), (1, DEVICES), "connections, devices");
    hub.close().await;
}
