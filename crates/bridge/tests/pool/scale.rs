//! Promises: a fleet is there quickly where the hub allows it, and no faster than the hub allows where it does not.

use std::time::Duration;

use azure::hub::amqp::{AmqpOptions, AmqpTransport};
use tokio::time::Instant;

use crate::proxy::Proxy;
use crate::sender::all_send;
use crate::site::{Site, unpaced};
use crate::tap::Heard;

/// From Europe to a hub in Europe and back are 20 to 40 ms.
const ONE_WAY: Duration = Duration::from_millis(25);
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_devices_attach_within_two_seconds_at_50_ms_of_round_trip() {
    let site = Site::start(1000).await;
    let proxy = Proxy::start(site.amqp_port(), ONE_WAY).await;
    let tap = site.tap();
    let hub = site.hub(proxy.port, &tap, AmqpOptions { devices_per_connection: 500, ..unpaced() });
    let begin = Instant::now();
    let troubles = all_send(&hub, &site.devices, 1).await;
    let took = begin.elapsed();
    let verdict = site.ledger.judge("m", &site.each(1));
    println!("1000 devices had their first message accepted {took:?} after the first send: {verdict}, {troubles}");
    verdict.holds(0);
    let amqp = site.simulator.counts().amqp;
    assert_eq!((proxy.accepted(), amqp.connections_ever), (2, 2), "connections");
    assert_eq!((tap.heard().attaches.len(), amqp.attaches["telemetry"]), (1000, 1000), "each device is attached once");
    assert!(took < 2 * SECOND, "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_default_pace_as_fast_as_the_pace_allows() {
    const DEVICES: u32 = 300;
    const PER_SECOND: u32 = 90;
    /// What an S1 hub takes in any second.
    const MOST: usize = 100;
    let site = Site::start(DEVICES as usize).await;
    let proxy = Proxy::start(site.amqp_port(), ONE_WAY).await;
    let tap = site.tap();
    let options = AmqpOptions::new(AmqpTransport::Tcp);
    assert_eq!(options.attaches_per_second, PER_SECOND, "the default");
    let hub = site.hub(proxy.port, &tap, options);
    let begin = Instant::now();
    let troubles = all_send(&hub, &site.devices, 1).await;
    let took = begin.elapsed();
    // A tenth of a second's worth may go at once.
    let pace = SECOND * (DEVICES - PER_SECOND / 10) / PER_SECOND;
    let busiest = busiest_second(&tap.heard());
    println!("{DEVICES} devices in {took:?}, the pace allows {pace:?}; at most {busiest} in a second; {troubles}");
    site.ledger.judge("m", &site.each(1)).holds(0);
    assert!(took >= pace && took <= pace.mul_f64(1.1) + SECOND, "{took:?}, the pace allows {pace:?}");
    assert!(busiest <= MOST, "{busiest} attaches in one second");
}

/// The most attaches within any second.
fn busiest_second(heard: &Heard) -> usize {
    let times: Vec<Instant> = heard.attaches.iter().map(|(at, _)| *at).collect();
    let from = |first: usize| times[first..].iter().take_while(|at| **at < times[first] + SECOND).count();
    (0..times.len()).map(from).max().unwrap_or_default()
}
