//! Promise: a caller may drop a send at any moment, and nobody else on the connection notices.
//!
//! The victims are held where they are to be when they are dropped: the hub does not answer their tokens, links or
//! messages, or gives them no more credit. When the moment comes is drawn, so most are dropped there and some on the way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use azure::hub::amqp::{AmqpHub, AmqpOptions};
use fastrand::Rng;
use serde_json::{Value, json};
use simulator::Simulator;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::caller::{deliver_all, finish, message};
use crate::processes::until;
use crate::proxy::Proxy;
use crate::site::{Device, Site, unpaced};
use crate::tap::Tap;

/// Of each kind, and so many kinds: a thousand.
const CANCELS: usize = 200;
const BYSTANDERS: usize = 50;
/// Clients that are caught while they connect, each with so many victims and somebody who stays.
const CONNECTIONS: usize = 20;
const VICTIMS: usize = CANCELS / CONNECTIONS;
/// Devices that wait for credit, with this much of it.
const BEGGARS: usize = 20;
const CREDIT: u32 = 5;
/// All cancels happen within this…
const SPREAD_MS: u64 = 1_500;
/// …each so long after its send began, at the most.
const MOMENT_MS: u64 = 60;
/// From one message of a bystander to its next.
const PACE: Duration = Duration::from_millis(20);
const BYTES: usize = 600;
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_cancelled_sends_harm_nobody_else() {
    let world = World::start().await;
    world.hold_victims();
    let tap = world.site.tap();
    // Short, so that what the hub never answers is given up soon after.
    let (open_timeout, answer_timeout) = (Duration::from_secs(4), Duration::from_secs(4));
    let options = AmqpOptions { devices_per_connection: 995, open_timeout, answer_timeout, ..unpaced() };
    let hub = world.site.hub(world.site.amqp_port(), &tap, options.clone());

    let (stop, stopped) = watch::channel(false);
    let bystanders = world.bystanders(&hub, &stopped);
    let credit = world.use_up_credit(&hub).await;
    let mut cancels = JoinSet::new();
    let mut rng = Rng::with_seed(world.site.seed);
    for device in world.held_alone.iter().chain(world.beggars.iter().cycle().take(CANCELS)) {
        cancels.spawn(cancelled(hub.clone(), device.clone(), rng.fork()));
    }
    let mut connecting = JoinSet::new();
    for devices in world.connecting.chunks(VICTIMS + 1) {
        let proxy = Proxy::start(world.site.amqp_port(), Duration::from_millis(5)).await;
        let client = world.site.unheard_hub(proxy.port, options.clone());
        connecting.spawn(caught_while_connecting(client, proxy, devices.to_vec(), rng.fork()));
    }
    let (held, (caught, took)) =
        (finish(cancels).await.len(), finish(connecting).await.into_iter().unzip::<_, _, Vec<_>, Vec<_>>());
    let done = held + caught.iter().sum::<usize>();
    let held = world.simulator().counts().amqp.faults["no_disposition"];
    println!("{done} cancels; the hub held back {held} answers; {:?}", hub.standing());
    println!(
        "those who stayed on {CONNECTIONS} new connections: through after {:.1?} at the latest",
        took.iter().max()
    );
    assert_eq!(done, 5 * CANCELS);

    // The victims themselves are none the worse for it, once the hub answers them.
    drop(credit);
    world.simulator().set_faults(simulator::Faults::default());
    deliver_all(&hub, &world.held_alone, &[message("after", 0, BYTES)]).await;
    deliver_all(&hub, &world.beggars, &[message("after", 0, BYTES)]).await;
    stop.send_replace(true);
    world.nobody_noticed(&tap, finish(bystanders).await);
    until("nothing is under way", PATIENCE, async || (hub.standing().unsettled == 0).then_some(())).await;
    hub.close().await;
}

struct World {
    site: Site,
    bystanders: Vec<Device>,
    /// Held with their token, their link or their message: a third each.
    held_alone: Vec<Device>,
    beggars: Vec<Device>,
    /// For clients of their own: victims, then one who stays, and so on.
    connecting: Vec<Device>,
}

impl World {
    async fn start() -> Self {
        let counts = [BYSTANDERS, 3 * CANCELS, BEGGARS, CONNECTIONS * (VICTIMS + 1)];
        let site = Site::start(counts.iter().sum()).await;
        let mut devices = site.devices.iter().cloned();
        let [bystanders, held_alone, beggars, connecting] = counts.map(|count| devices.by_ref().take(count).collect());
        Self { site, bystanders, held_alone, beggars, connecting }
    }

    fn simulator(&self) -> &Simulator {
        &self.site.simulator
    }

    fn hold_victims(&self) {
        let ids = |devices: &[Device]| devices.iter().map(|device| device.id.to_string()).collect::<Vec<_>>();
        let silence = |devices: Vec<String>, state: &str| -> Value {
            json!({"devices": devices, "state": state, "when": "always", "action": "no_disposition"})
        };
        let kinds: Vec<_> = self.held_alone.chunks(CANCELS).collect();
        let victims = self.connecting.chunks(VICTIMS + 1).map(|some| &some[..VICTIMS]).collect::<Vec<_>>().concat();
        let faults = json!({"amqp": {"link_credit": CREDIT, "faults": [
            silence([ids(kinds[0]), ids(&victims)].concat(), "cbs"),
            silence(ids(kinds[1]), "attach"),
            silence([ids(kinds[2]), ids(&self.beggars)].concat(), "unsettled"),
        ]}});
        self.simulator().set_faults(serde_json::from_value(faults).expect("these are faults"));
    }

    /// Everybody who is to notice nothing sends steadily, and each send has to succeed at the first try.
    fn bystanders(&self, hub: &AmqpHub, stopped: &watch::Receiver<bool>) -> JoinSet<(String, u32, Duration)> {
        let mut sending = JoinSet::new();
        for device in self.bystanders.iter().cloned() {
            let (hub, stopped) = (hub.clone(), stopped.clone());
            sending.spawn(async move {
                let (mut count, mut longest) = (0, Duration::ZERO);
                while !*stopped.borrow() {
                    let begin = Instant::now();
                    let outcome = hub.send(&device.id, &device.key, &message("m", count, BYTES)).await;
                    outcome.unwrap_or_else(|e| panic!("{}, a bystander: {e}", device.id));
                    (count, longest) = (count + 1, longest.max(begin.elapsed()));
                    sleep(PACE).await;
                }
                (device.id.to_string(), count, longest)
            });
        }
        sending
    }

    /// Sends that use up the credit of those who are to wait for more; they go on while what is returned is held.
    async fn use_up_credit(&self, hub: &AmqpHub) -> JoinSet<()> {
        let mut sends = JoinSet::new();
        for (device, number) in self.beggars.iter().flat_map(|device| (0..CREDIT).map(move |number| (device, number))) {
            let (hub, device) = (hub.clone(), device.clone());
            sends.spawn(async move {
                // Never answered.
                let _ = hub.send(&device.id, &device.key, &message("held", number, BYTES)).await;
            });
        }
        let taken = BEGGARS * CREDIT as usize;
        until("the credit is used up", PATIENCE, async || {
            let held = self.site.ledger.all().iter().filter(|taken| taken.message.starts_with("held-")).count();
            (held == taken).then_some(())
        })
        .await;
        sends
    }

    fn nobody_noticed(&self, tap: &Arc<Tap>, sent: Vec<(String, u32, Duration)>) {
        let mut attaches: BTreeMap<String, usize> = BTreeMap::new();
        for (_, device) in tap.heard().attaches {
            *attaches.entry(device).or_default() += 1;
        }
        let again: Vec<_> = sent.iter().filter(|(id, ..)| attaches.get(id) != Some(&1)).collect();
        let longest = sent.iter().map(|(.., longest)| *longest).max().unwrap_or_default();
        let delivered: BTreeMap<String, u32> = sent.iter().map(|(id, count, _)| (id.clone(), *count)).collect();
        let verdict = self.site.ledger.judge("m", &delivered);
        println!("{BYSTANDERS} bystanders: {verdict}; the slowest send took {longest:.1?}");
        assert!(again.is_empty(), "they lost their links: {again:?}");
        assert_eq!(verdict.messages, delivered.values().sum::<u32>() as usize);
        verdict.holds(0);
    }
}

/// Sends at some time and drops the send some time later.
async fn cancelled(hub: AmqpHub, device: Device, mut rng: Rng) {
    sleep(Duration::from_millis(rng.u64(0..SPREAD_MS))).await;
    let moment = Duration::from_micros(rng.u64(0..1000 * MOMENT_MS));
    let outcome = timeout(moment, hub.send(&device.id, &device.key, &message("cancelled", 0, BYTES))).await;
    assert!(outcome.is_err(), "{} is held and was answered: {outcome:?}", device.id);
}

/// All send at once as the first thing that their client does; all but the last are dropped soon after.
async fn caught_while_connecting(hub: AmqpHub, proxy: Proxy, devices: Vec<Device>, mut rng: Rng) -> (usize, Duration) {
    let (stays, victims) = devices.split_last().expect("there is one who stays");
    let mut cancels = JoinSet::new();
    for device in victims.iter().cloned() {
        let (hub, moment) = (hub.clone(), Duration::from_micros(rng.u64(0..1000 * MOMENT_MS)));
        cancels.spawn(async move {
            let outcome = timeout(moment, hub.send(&device.id, &device.key, &message("cancelled", 0, BYTES))).await;
            assert!(outcome.is_err(), "{} is held and was answered: {outcome:?}", device.id);
        });
    }
    let begin = Instant::now();
    let outcome = hub.send(&stays.id, &stays.key, &message("stays", 0, BYTES)).await;
    outcome.unwrap_or_else(|e| panic!("{}, who stays: {e}", stays.id));
    let (took, done) = (begin.elapsed(), finish(cancels).await.len());
    assert_eq!(proxy.accepted(), 1, "nobody dialled again");
    hub.close().await;
    (done, took)
}
