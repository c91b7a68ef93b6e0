//! Promise: whatever happens to the connection, each message is told its fate in time, and sent again nothing is lost.

use std::time::Duration;

use azure::hub::amqp::AmqpOptions;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::proxy::{Mood, Proxy};
use crate::sender::{Sender, Troubles, finish};
use crate::site::{Site, unpaced};

const DEVICES: usize = 50;
/// Of each device.
const MESSAGES: u32 = 40;
const ALL: usize = DEVICES * MESSAGES as usize;
const PACE: Duration = Duration::from_millis(50);
const ONE_WAY: Duration = Duration::from_millis(5);
/// Short, so that it does not take long.
const SILENCE_MAX: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resets_lose_nothing() {
    const RESETS: usize = 3;
    let campaign = Campaign::start().await;
    for part in 1..=RESETS {
        campaign.site.ledger.reach(part * ALL / (RESETS + 2)).await;
        campaign.proxy.reset();
    }
    let connections = campaign.end(RESETS * DEVICES).await;
    assert_eq!(connections, 1 + RESETS, "one after another");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_is_noticed_in_time_and_loses_nothing() {
    let campaign = Campaign::start().await;
    campaign.site.ledger.reach(ALL / 3).await;
    campaign.proxy.be(Mood::Swallowing);
    let begin = Instant::now();
    timeout(PATIENCE, campaign.troubles.reach(DEVICES)).await.expect("each device notices");
    let noticed = begin.elapsed();
    campaign.proxy.be(Mood::Fair);
    println!("all have noticed after {noticed:?}");
    campaign.end(DEVICES).await;
    assert!(noticed <= SILENCE_MAX + SECOND, "{noticed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_pause_costs_nothing_but_time() {
    let campaign = Campaign::start().await;
    campaign.site.ledger.reach(ALL / 3).await;
    campaign.proxy.be(Mood::Paused);
    sleep(SILENCE_MAX / 2).await;
    campaign.proxy.be(Mood::Fair);
    let troubles = campaign.troubles.clone();
    assert_eq!(campaign.end(0).await, 1, "connections");
    assert!(troubles.log().words.is_empty(), "{troubles}");
}

/// All devices send steadily through a network that the test commands.
struct Campaign {
    site: Site,
    proxy: Proxy,
    troubles: Troubles,
    senders: JoinSet<()>,
}

impl Campaign {
    async fn start() -> Self {
        let site = Site::start(DEVICES).await;
        let proxy = Proxy::start(site.amqp_port(), ONE_WAY).await;
        let options = AmqpOptions { silence_max: SILENCE_MAX, connect_timeout: SILENCE_MAX, ..unpaced() };
        let hub = site.unheard_hub(proxy.port, options);
        let (troubles, mut senders) = (Troubles::new(), JoinSet::new());
        let mut random = fastrand::Rng::with_seed(site.seed);
        for device in &site.devices {
            let mut sender = Sender::new(&hub, device, "m", &troubles);
            let first = PACE.mul_f64(random.f64());
            senders.spawn(async move {
                // So that a break finds some before a message, some in it and some after.
                sleep(first).await;
                for _ in 0..MESSAGES {
                    sender.deliver().await;
                    sleep(PACE).await;
                }
            });
        }
        Self { site, proxy, troubles, senders }
    }

    /// Waits until all is delivered and judges; gives how many connections it took.
    async fn end(self, twice_max: usize) -> usize {
        let begin = Instant::now();
        finish(self.senders).await;
        let verdict = self.site.ledger.judge("m", &self.site.each(MESSAGES));
        let connections = self.proxy.accepted();
        println!("{verdict}, {connections} connections, through after {:?}; {}", begin.elapsed(), self.troubles);
        verdict.holds(twice_max);
        connections
    }
}
