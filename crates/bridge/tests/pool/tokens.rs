//! Promise: tokens are renewed where they are, evenly, and nobody notices.

use std::time::Duration;

use azure::hub::amqp::AmqpOptions;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::sender::{Sender, Troubles, finish};
use crate::site::{Site, is_long, unpaced};

const DEVICES: usize = 1000;
/// Of each device.
const PACE: Duration = Duration::from_secs(2);
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_live_30_seconds_are_renewed_in_place() {
    // Tokens know whole seconds: one of 12 s is good for 11 at the least, and renewed after 10.2 at the latest.
    let (life, lasting) = if is_long() { (30, 300) } else { (12, 40) };
    let (life, lasting) = (life * SECOND, lasting * SECOND);
    let site = Site::start(DEVICES).await;
    let tap = site.tap();
    let hub = site.hub(site.amqp_port(), &tap, AmqpOptions { token_life: life, ..unpaced() });
    let troubles = Troubles::new();
    let (begin, mut random) = (Instant::now(), fastrand::Rng::with_seed(site.seed));
    let mut senders = JoinSet::new();
    for device in &site.devices {
        let sender = Sender::new(&hub, device, "m", &troubles);
        senders.spawn(steadily(sender, begin + PACE.mul_f64(random.f64()), begin + lasting));
    }
    let delivered = finish(senders).await.into_iter().map(|sender| (sender.device.id.to_string(), sender.delivered));
    let verdict = site.ledger.judge("m", &delivered.collect());
    let heard = tap.heard();
    let rate = Rate::of(&heard.tokens[DEVICES..]);
    println!("{verdict}; {troubles}; tokens of {life:?} for {lasting:?}: {rate:?}");
    verdict.holds(0);
    let amqp = site.simulator.counts().amqp;
    assert_eq!((heard.attaches.len(), heard.taken), (DEVICES, 0), "attaches, and what the hub took back");
    assert!(amqp.detaches.is_empty(), "{:?}", amqp.detaches);
    assert!(rate.total >= DEVICES * (lasting.as_secs() / life.as_secs()) as usize, "all are renewed again and again");
    assert!(rate.most as f64 <= 2.0 * rate.mean, "{rate:?}: no more than twice the mean in any second");
}

/// Sends at once, so that all tokens are of one age, and then at its own time.
async fn steadily(mut sender: Sender, first: Instant, end: Instant) -> Sender {
    sender.deliver().await;
    let mut next = first;
    while next < end {
        sleep_until(next).await;
        sender.deliver().await;
        next += PACE;
    }
    sender
}

/// Renewals a second.
#[derive(Debug)]
struct Rate {
    total: usize,
    mean: f64,
    most: usize,
}

impl Rate {
    fn of(renewals: &[Instant]) -> Self {
        let first = *renewals.first().expect("something was renewed");
        let mut seconds: Vec<usize> = Vec::new();
        for at in renewals {
            let second = (*at - first).as_secs() as usize;
            seconds.resize(seconds.len().max(second + 1), 0);
            seconds[second] += 1;
        }
        let most = seconds.iter().copied().max().unwrap_or_default();
        // The last second is not whole.
        let whole = &seconds[..seconds.len().saturating_sub(1).max(1)];
        Self { total: renewals.len(), mean: whole.iter().sum::<usize>() as f64 / whole.len() as f64, most }
    }
}
