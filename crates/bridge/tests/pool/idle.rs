//! Promises: no more devices are attached than may be, whoever is idle longest goes first, and who went comes back with
//! its next message.

use std::time::Duration;

use azure::hub::amqp::AmqpOptions;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::sender::{Sender, Troubles, finish};
use crate::site::{Site, unpaced};

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_devices_share_five_links() {
    let site = Site::start(20).await;
    let tap = site.tap();
    let hub = site.hub(site.amqp_port(), &tap, AmqpOptions { max_links: 5, ..unpaced() });
    let (begin, troubles) = (Instant::now(), Troubles::new());
    let (mut senders, mut random) = (JoinSet::new(), fastrand::Rng::with_seed(site.seed));
    for device in &site.devices {
        let (mut sender, mut random) = (Sender::new(&hub, device, "m", &troubles), random.fork());
        senders.spawn(async move {
            for _ in 0..10 {
                // Idle for a while, and so first to make room now and then.
                sleep(Duration::from_millis(random.u64(..100))).await;
                sender.deliver().await;
            }
        });
    }
    finish(senders).await;
    let verdict = site.ledger.judge("m", &site.each(10));
    let heard = tap.heard();
    let (attaches, most) = (heard.attaches.len(), heard.attached_most);
    println!("{verdict}; {attaches} attaches, at most {most} at a time; {troubles}; {:?}", begin.elapsed());
    verdict.holds(0);
    assert_eq!(verdict.messages, 200);
    assert!(attaches > 50, "they make room for each other");
    assert!(most <= 5, "{most} were attached at a time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_device_that_was_idle_longest_makes_room() {
    let site = Site::start(3).await;
    let tap = site.tap();
    let hub = site.hub(site.amqp_port(), &tap, AmqpOptions { max_links: 2, ..unpaced() });
    let mut senders: Vec<_> = site.devices.iter().map(|d| Sender::new(&hub, d, "m", &Troubles::new())).collect();
    // The first is used again, so the second goes for the third; then the first is still there.
    for index in [0, 1, 0, 2, 0] {
        senders[index].deliver().await;
    }
    let attached: Vec<String> = tap.heard().attaches.iter().map(|(_, device)| device.clone()).collect();
    let names: Vec<String> = site.devices.iter().map(|device| device.id.to_string()).collect();
    assert_eq!(attached, names, "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_device_is_let_go_when_its_token_is_due_and_comes_back() {
    let site = Site::start(1).await;
    let tap = site.tap();
    let idle = Duration::from_secs(1);
    let options = AmqpOptions { link_idle: idle, token_life: Duration::from_secs(10), ..unpaced() };
    let hub = site.hub(site.amqp_port(), &tap, options);
    let mut sender = Sender::new(&hub, &site.devices[0], "m", &Troubles::new());
    sender.deliver().await;
    tap.until("the link is let go", PATIENCE, |heard| heard.attached == 0).await;
    assert_eq!(tap.heard().tokens.len(), 1, "nothing was spent on a device that is idle");
    sender.deliver().await;
    assert_eq!(tap.heard().attaches.len(), 2);
    site.ledger.judge("m", &site.each(2)).holds(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_device_attaches_again() {
    let site = Site::start(2).await;
    let tap = site.tap();
    let hub = site.hub(site.amqp_port(), &tap, unpaced());
    let mut senders: Vec<_> = site.devices.iter().map(|d| Sender::new(&hub, d, "m", &Troubles::new())).collect();
    senders[0].deliver().await;
    senders[1].deliver().await;
    hub.forget(&site.devices[0].id);
    tap.until("the link is gone", PATIENCE, |heard| heard.attached == 1).await;
    senders[0].deliver().await;
    senders[1].deliver().await;
    let heard = tap.heard();
    assert_eq!((heard.attaches.len(), heard.attached, heard.connections), (3, 2, 1), "the other one stayed");
    site.ledger.judge("m", &site.each(2)).holds(0);
}
