//! Promise: where two bridges send as the same devices, each device has one owner after a while, and the owner loses
//! nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use azure::hub::amqp::{AmqpHub, AmqpOptions};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::ledger::Verdict;
use crate::sender::{Sender, Troubles, finish};
use crate::site::{Device, Site, client, unpaced};
use crate::tap::Tap;

/// Each is a fight of its own, with a jitter of its own.
const DEVICES: usize = 12;
const PACE: Duration = Duration::from_millis(500);
const UNDISTURBED: Duration = Duration::from_secs(20);
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_bridges_on_one_device_settle_on_one_owner_within_a_minute() {
    let site = Site::start(DEVICES).await;
    let bridges = [Bridge::new(&site, "a", 0), Bridge::new(&site, "b", 1)];
    let (stop, stopped) = watch::channel(false);
    let begin = Instant::now();
    let contending: Vec<_> = bridges.iter().map(|bridge| bridge.contend(&site.devices, &stopped)).collect();
    let settled = settled(&site, &bridges, begin).await;
    let owned = Owned::of(&site, &bridges);
    stop.send_replace(true);
    for (bridge, senders) in bridges.iter().zip(contending) {
        let verdict = bridge.judge(&site, finish(senders).await);
        println!("bridge {}: {verdict}; {}", bridge.name, bridge.troubles);
        // What was under way when the device was taken away may come twice.
        verdict.holds(owned.steals.values().sum());
    }
    let mut steals: Vec<_> = owned.steals.values().collect();
    steals.sort_unstable();
    println!("settled {settled:?} after the first send; steals of each device: {steals:?}");
    owned.holds();
}

/// Waits until nobody has taken any device away for a while, and gives how long it took to come to that.
async fn settled(site: &Site, bridges: &[Bridge], begin: Instant) -> Duration {
    loop {
        let last = last_attaches(bridges);
        assert!(last.len() <= site.devices.len(), "{last:?}");
        let since = last.values().copied().max().unwrap_or(begin).max(begin);
        if last.len() == site.devices.len() && since.elapsed() >= UNDISTURBED {
            return since - begin;
        }
        assert!(since + UNDISTURBED <= begin + SETTLED_WITHIN, "no peace: {:?}", steals(bridges));
        sleep_until((since + UNDISTURBED).max(Instant::now() + PACE)).await;
    }
}

fn last_attaches(bridges: &[Bridge]) -> BTreeMap<String, Instant> {
    let mut last: BTreeMap<String, Instant> = BTreeMap::new();
    for bridge in bridges {
        for (at, device) in &bridge.tap.heard().attaches {
            let known = last.entry(device.clone()).or_insert(*at);
            *known = (*known).max(*at);
        }
    }
    last
}

/// The first attach of a device is no steal, each that follows is one.
fn steals(bridges: &[Bridge]) -> BTreeMap<String, usize> {
    let mut steals: BTreeMap<String, usize> = BTreeMap::new();
    for bridge in bridges {
        for (_, device) in &bridge.tap.heard().attaches {
            *steals.entry(device.clone()).or_default() += 1;
        }
    }
    steals.values_mut().for_each(|attaches| *attaches -= 1);
    steals
}

/// How it stands at the end.
struct Owned {
    steals: BTreeMap<String, usize>,
    /// Messages of each device in the last while, by bridge.
    lately: BTreeMap<String, [usize; 2]>,
}

impl Owned {
    fn of(site: &Site, bridges: &[Bridge; 2]) -> Self {
        let since = Instant::now() - UNDISTURBED;
        let mut lately: BTreeMap<String, [usize; 2]> = BTreeMap::new();
        for taken in site.ledger.all().iter().filter(|taken| taken.at > since) {
            let by = usize::from(taken.message.starts_with(bridges[1].name));
            lately.entry(taken.device.clone()).or_default()[by] += 1;
        }
        Self { steals: steals(bridges), lately }
    }

    fn holds(&self) {
        let expected = UNDISTURBED.as_millis() / PACE.as_millis();
        assert_eq!(self.lately.len(), DEVICES, "each device sends");
        for (device, [a, b]) in &self.lately {
            assert!(*a == 0 || *b == 0, "{device} has two owners: {a} and {b} messages");
            assert!((a + b) as u128 >= expected * 9 / 10, "{device}: its owner sent only {a} + {b}");
        }
    }
}

/// One of the two.
struct Bridge {
    name: &'static str,
    seed: u64,
    hub: AmqpHub,
    tap: Arc<Tap>,
    troubles: Troubles,
}

impl Bridge {
    fn new(site: &Site, name: &'static str, number: u64) -> Self {
        let tap = site.tap();
        let seed = site.seed ^ number;
        let hub = client(site.amqp_port(), tap.clone(), AmqpOptions { seed, ..unpaced() });
        Self { name, seed, hub, tap, troubles: Troubles::new() }
    }

    fn contend(&self, devices: &[Device], stopped: &watch::Receiver<bool>) -> JoinSet<Sender> {
        let (mut senders, mut random) = (JoinSet::new(), fastrand::Rng::with_seed(self.seed));
        for device in devices {
            let sender = Sender::new(&self.hub, device, self.name, &self.troubles);
            senders.spawn(contend(sender, Instant::now() + PACE.mul_f64(random.f64()), stopped.clone()));
        }
        senders
    }

    fn judge(&self, site: &Site, senders: Vec<Sender>) -> Verdict {
        let delivered = senders.iter().map(|sender| (sender.device.id.to_string(), sender.delivered)).collect();
        site.ledger.judge(self.name, &delivered)
    }
}

/// Sends steadily, as one of two, until told to stop.
async fn contend(mut sender: Sender, mut next: Instant, mut stopped: watch::Receiver<bool>) -> Sender {
    loop {
        let send = async {
            sleep_until(next).await;
            sender.deliver().await;
        };
        tokio::select! {
            () = send => next = Instant::now().max(next + PACE),
            _ = stopped.wait_for(|stopped| *stopped) => return sender,
        }
    }
}
