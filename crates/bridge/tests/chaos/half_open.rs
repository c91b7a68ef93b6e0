//! Promise: a connection that is dead and does not say so is found, also when nobody sends over it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use azure::hub::amqp::AmqpOptions;
use azure::net::{Dial, Dialing, Endpoint, Tls};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::caller::{deliver, message};
use crate::processes::until;
use crate::proxy::{Mood, Proxy};
use crate::site::{Site, client, unpaced};
use crate::tap::Tap;

const FOUND_WITHIN: Duration = Duration::from_secs(30);
const BYTES: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_is_found_within_thirty_seconds() {
    let site = Site::start(2).await;
    let (network, other) =
        (Proxy::start(site.amqp_port(), Duration::ZERO).await, Proxy::start(site.amqp_port(), Duration::ZERO).await);
    let tls = Arc::new(Tls::new(Some(&site.simulator.started().ca_file)).expect("the simulator's CA is a CA"));
    let tap = Tap::new(Arc::new(InTurn { dial: tls, ports: [network.port, other.port], dialled: AtomicUsize::new(0) }));
    // As in production but for this: a connection for each device.
    let options = AmqpOptions { devices_per_connection: 1, ..unpaced() };
    let hub = client(network.port, tap.clone(), options);
    let [idle, busy] = &site.devices[..] else { panic!("there are two devices") };
    deliver(&hub, idle, &message("m", 0, BYTES)).await;
    deliver(&hub, busy, &message("m", 0, BYTES)).await;
    assert_eq!((network.accepted(), other.accepted()), (1, 1), "a connection each");

    network.be(Mood::Swallowing);
    let begin = Instant::now();
    let sending = async {
        let (mut ticks, mut number) = (interval(Duration::from_secs(1)), 1);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            hub.send(&busy.id, &busy.key, &message("m", number, BYTES)).await.expect("the other connection is fine");
            number += 1;
        }
    };
    tokio::select! {
        never = sending => never,
        () = until("the dead connection is given up", 2 * FOUND_WITHIN, async || {
            (hub.standing().connections == 1).then_some(())
        }) => {}
    }
    let found = begin.elapsed();
    println!("found after {found:.1?}; {:?}", hub.standing());
    assert!(found <= FOUND_WITHIN, "{found:?}");

    network.be(Mood::Fair);
    deliver(&hub, idle, &message("m", 1, BYTES)).await;
    let attached = |id: &str| tap.heard().attaches.iter().filter(|(_, device)| device == id).count();
    assert_eq!((attached(&idle.id), attached(&busy.id)), (2, 1), "the other device has noticed nothing");
    hub.close().await;
}

/// Dials one port, then the other, and so on.
#[derive(Debug)]
struct InTurn {
    dial: Arc<Tls>,
    ports: [u16; 2],
    dialled: AtomicUsize,
}

impl Dial for InTurn {
    fn dial(&self, endpoint: &Endpoint) -> Dialing {
        let number = self.dialled.fetch_add(1, Ordering::Relaxed);
        self.dial.dial(&Endpoint { port: self.ports[number % 2], ..endpoint.clone() })
    }
}
