//! Everything at once, for a long time: what is sent again until it is delivered arrives in order, and afterwards nothing
//! is left over.

use proptest::prelude::*;
use proptest::test_runner::TestRng;

use super::network::Order;
use super::*;

const DEVICES: usize = 40;
const MESSAGES: usize = 60;

/// Sends one message after the other, each until it is delivered, and now and then changes its mind.
async fn persist(hub: AmqpHub, device: String, mut rng: TestRng) {
    for number in 0..MESSAGES {
        loop {
            if let Admit::Later(wait) = hub.admit(&device) {
                sleep(wait).await;
                continue;
            }
            let patience = Duration::from_millis(rng.random_range(1..60_000));
            let id = format!("{number:03}");
            match tokio::time::timeout(patience, send(&hub, &device, &id)).await {
                Ok(Ok(())) => break,
                Ok(Err(Why::Stolen { retry_after: Some(wait) } | Why::NotYet { retry_after: wait })) => {
                    sleep(wait).await
                }
                Ok(Err(_)) => sleep(SECOND).await,
                // Dropped: it may have arrived, so it comes again.
                Err(_) => {}
            }
        }
        sleep(Duration::from_millis(rng.random_range(0..20_000))).await;
    }
}

async fn trouble(network: Network, hub: AmqpHub, mut rng: TestRng) {
    loop {
        sleep(Duration::from_millis(rng.random_range(100..10_000))).await;
        let device = format!("eui-{:05}", rng.random_range(0..DEVICES));
        let condition = ["amqp:link:detach-forced", "amqp:unauthorized-access", "amqp:link:stolen"];
        let error = Error::new(condition[rng.random_range(0..condition.len())], "storm");
        match rng.random_range(0..10) {
            0 => network.order(|| Order::Cut),
            1 => network.order(|| Order::Close(Some(Error::new("amqp:connection:forced", "storm")))),
            2 => network.order(|| Order::EndNode),
            3 => {
                network.freeze(true);
                sleep(Duration::from_millis(rng.random_range(100..40_000))).await;
                network.freeze(false);
                // What was swallowed in the meantime breaks both ends.
                network.order(|| Order::Cut);
            }
            4 => {
                network.refuse(true);
                sleep(SECOND * 5).await;
                network.refuse(false);
            }
            5 => hub.forget(&device),
            6 | 7 => network.order(|| Order::Detach(device.clone(), Some(error.clone()))),
            8 => network.order(|| Order::Detach(device.clone(), None)),
            _ => {
                let silent = device.clone();
                network.script(move |ask| match ask {
                    Ask::Token(id) | Ask::Attach(id) | Ask::Message(id) if id == silent => Say::Nothing,
                    _ => Say::Yes,
                });
                sleep(SECOND * 30).await;
                network.script(|_| Say::Yes);
            }
        }
    }
}

async fn storm(seed: u64) {
    let network = Network::new(Duration::from_millis(25));
    let options = AmqpOptions {
        attaches_per_second: 20,
        devices_per_connection: 9,
        max_links: 30,
        token_life: SECOND * 120,
        link_idle: SECOND * 60,
        ..options()
    };
    let hub = client(&network, options);
    let rng = |n: u64| TestRng::from_seed(proptest::test_runner::RngAlgorithm::XorShift, &seed_of(seed, n));
    let trouble = tokio::spawn(trouble(network.clone(), hub.clone(), rng(u64::MAX)));
    let senders: Vec<_> =
        names(DEVICES).zip(0..).map(|(name, n)| tokio::spawn(persist(hub.clone(), name, rng(n)))).collect();
    for sender in senders {
        sender.await.unwrap();
    }
    trouble.abort();
    for name in names(DEVICES) {
        let mut came = network.accepted(&name);
        // The first copy of each counts.
        let mut seen = std::collections::HashSet::new();
        came.retain(|id| seen.insert(id.clone()));
        let wanted: Vec<String> = (0..MESSAGES).map(|number| format!("{number:03}")).collect();
        assert_eq!(came, wanted, "seed {seed}: {name}");
    }
    sleep(SECOND * 90).await;
    let links = hub.standing();
    assert_eq!((links.unsettled, links.opening), (0, 0), "seed {seed}: {links:?}");
    assert!(links.attached <= 30 && links.connections <= 2 * 4 + 4, "seed {seed}: {links:?}");
    assert_eq!(links.attached, network.links(), "seed {seed}: we have what the hub has");
    sleep(SECOND * 1000).await;
    let links = hub.standing();
    assert_eq!((links.attached, links.connections, network.open()), (0, 0, 0), "seed {seed}: all were idle");
}

fn seed_of(seed: u64, n: u64) -> [u8; 16] {
    let mut bytes = [1; 16];
    bytes[..8].copy_from_slice(&(seed + 1).to_le_bytes());
    bytes[8..].copy_from_slice(&n.wrapping_add(7).to_le_bytes());
    bytes
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_until_it_is_delivered_arrives_in_order_through_any_storm() {
    for seed in 0..4 {
        storm(seed).await;
    }
}
