//! Promise: three doors and three workers share a queue; workers are killed, stopped past their lease and cut from storage. Nothing is
//! lost, the order of each device is kept, what comes twice was under way, and nobody takes a device from another who lives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::time::Instant;

use crate::http;
use crate::network::{Campaign, is_long, seed};
use crate::oracle::{Obligations, Uplink};
use crate::processes::{raise_file_limit, until};
use crate::proxy::Proxy;
use crate::replicas::{Replica, another_door, door, worker_by};
use crate::site::Site;

/// Between two uplinks of a device: so the short form posts for two minutes, 40 a second, and something is under way at each incident.
/// Where all takes longer each device goes on, this many at a time, until the last incident is over.
const PACE: Duration = Duration::from_secs(5);
const MORE: u32 = 2;
/// Past the lease (15 s) and the look of another worker (3 s), so that the devices are in other hands when the stopped one goes on.
const STOPPED: Duration = Duration::from_secs(22);
const CUT: Duration = Duration::from_secs(60);
/// A worker has work again: a lease that runs out (15 s), looks of 3 s, partitions that are given one a look; and a busy machine.
const BACK_WITHIN: Duration = Duration::from_secs(90);
/// All are through after the last was posted.
const DRAIN: Duration = Duration::from_secs(120);
/// A lane's message is out until its outcome is committed, which is twice a second, and three times that on a busy machine.
const UNSETTLED: SignedDuration = SignedDuration::from_secs(3);
/// Who is cut goes on sending for a term (12 s), one of each device: none is settled.
const TERM: SignedDuration = SignedDuration::from_secs(12);

/// Who goes on lets go of its devices, which it looks at each second.
const LET_GO: SignedDuration = SignedDuration::from_secs(3);

/// One worker, over all its lives.
struct Worker<'a> {
    name: &'static str,
    fleet: &'a Fleet,
    connection_string: String,
    replica: Option<Replica>,
    random: fastrand::Rng,
}

/// What they all work in.
struct Fleet {
    site: Site,
    obligations: Arc<Obligations>,
    began: Instant,
    incidents: Mutex<Vec<Incident>>,
    /// When the one that was stopped did.
    went_on: Mutex<Option<Timestamp>>,
}

/// What was done to a worker.
#[derive(Clone, Debug)]
struct Incident {
    what: &'static str,
    worker: &'static str,
    at: Timestamp,
    /// How many devices it had links for, or asked for one.
    devices: u64,
    /// From where it was connected to the hub.
    peers: BTreeSet<u16>,
}

impl Incident {
    /// What arrived first within this may come again: it was under way or not settled.
    fn window(&self) -> std::ops::RangeInclusive<Timestamp> {
        let goes_on = if self.what == "cut" { TERM } else { SignedDuration::ZERO };
        self.at - UNSETTLED..=self.at + goes_on + UNSETTLED
    }
}

impl Fleet {
    fn say(&self, what: &str) {
        println!("{:6.1} s, {} answered: {what}", self.began.elapsed().as_secs_f32(), self.obligations.owed_count());
    }

    /// So many, and more until it is over: how many of each device.
    async fn post(&self, campaign: &Campaign, is_over: &AtomicBool) -> u32 {
        campaign.start(&self.obligations).finish().await;
        let mut uplinks = campaign.uplinks;
        while !is_over.load(Ordering::Relaxed) {
            let more = Campaign { first: 1 + uplinks, uplinks: MORE, ..campaign.clone() };
            more.start(&self.obligations).finish().await;
            uplinks += MORE;
        }
        uplinks
    }
}

impl Worker<'_> {
    fn start(&mut self) {
        self.replica = Some(worker_by(&self.fleet.site, self.name, &self.connection_string));
    }

    fn replica(&mut self) -> &mut Replica {
        self.replica.as_mut().expect("it was started")
    }

    /// From where it is connected to the hub.
    fn peers(&mut self) -> BTreeSet<u16> {
        let amqp = self.fleet.site.ports.amqp;
        self.replica().process.connections_to(amqp)
    }

    /// What it says of itself, all kinds together; zero while it says nothing.
    async fn count(&mut self, metric: &str) -> u64 {
        let Ok(reply) = http::get(self.replica().admin, "/metrics").await else { return 0 };
        let text = reply.text();
        let lines = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(metric));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
    }

    /// It delivers, more than it has so far: it has part of the queue.
    async fn works(&mut self) {
        let (since, before) = (Instant::now(), self.count("longhaul_delivered_total").await);
        until("a worker works", BACK_WITHIN, async || {
            let process = &mut self.replica().process;
            assert!(process.exited().is_none(), "a worker ended: {}", process.stderr());
            (self.count("longhaul_delivered_total").await > before).then_some(())
        })
        .await;
        self.fleet.say(&format!("{} works, after {:?}", self.name, since.elapsed()));
    }

    /// Some more uplinks are answered, any number, so that a worker is met at any moment of its work.
    async fn some_come(&mut self) {
        let acked = || self.fleet.obligations.owed_count();
        let enough = acked() + self.random.usize(10..100);
        until("uplinks come", BACK_WITHIN, async || (acked() >= enough).then_some(())).await;
    }

    /// Notes what is being done to it.
    async fn meets(&mut self, what: &'static str) {
        let mut devices = self.count("longhaul_hub_links").await;
        devices += self.count("longhaul_hub_links_opening").await;
        let peers = self.peers();
        assert!(!peers.is_empty() && devices > 0, "{} has nothing to do, so nothing is shown", self.name);
        self.fleet.say(&format!("{} with {devices} devices is {what}", self.name));
        let incident = Incident { what, worker: self.name, at: Timestamp::now(), devices, peers };
        self.fleet.incidents.lock().expect("nobody panics with it").push(incident);
    }

    async fn is_killed_twice(&mut self) {
        for _ in 0..2 {
            self.works().await;
            self.some_come().await;
            self.meets("killed").await;
            self.replica().process.kill();
            self.start();
        }
        self.works().await;
    }

    async fn is_stopped(&mut self) {
        self.works().await;
        self.some_come().await;
        self.meets("stopped").await;
        let (fleet, name) = (self.fleet, self.name);
        let process = &self.replica().process;
        process.signal("STOP");
        tokio::time::sleep(STOPPED).await;
        // Others are killed meanwhile: it may take them longer.
        until("another has its devices", BACK_WITHIN, async || (!thefts(&fleet.site).await.is_empty()).then_some(()))
            .await;
        process.signal("CONT");
        *fleet.went_on.lock().expect("nobody panics with it") = Some(Timestamp::now());
        fleet.say(&format!("{name} goes on"));
        self.works().await;
    }

    async fn is_cut(&mut self, proxy: &Proxy) {
        self.works().await;
        self.some_come().await;
        self.meets("cut").await;
        proxy.fall_silent();
        tokio::time::sleep(CUT).await;
        proxy.speak_again();
        self.fleet.say(&format!("{} has its storage again", self.name));
        self.works().await;
    }
}

/// What the simulator says of devices that were taken from a connection that was still there: when, which, from which port and by which.
async fn thefts(site: &Site) -> Vec<(Timestamp, String, u16, u16)> {
    let told = http::get(site.ports.page, "/api/thefts").await.expect("the simulator's page answers").json();
    let port = |side: &Value| side["peer"].as_str().and_then(|peer| peer.rsplit_once(':')?.1.parse().ok());
    let one = |theft: &Value| {
        let at = theft["at"].as_str()?.parse().ok()?;
        Some((at, theft["device_id"].as_str()?.to_owned(), port(&theft["from"])?, port(&theft["to"])?))
    };
    let thefts = told["thefts"].as_array().expect("a list");
    thefts.iter().map(|theft| one(theft).unwrap_or_else(|| panic!("not a theft: {theft}"))).collect()
}

/// When each uplink arrived, all times, by the simulator's clock, which is this machine's.
fn arrivals(record: &[Value]) -> BTreeMap<Uplink, Vec<Timestamp>> {
    let mut all: BTreeMap<Uplink, Vec<Timestamp>> = BTreeMap::new();
    for line in record {
        let device = line["device_id"].as_str().unwrap_or_default().to_owned();
        let counter = line["body"]["Counter"].as_u64().and_then(|n| n.try_into().ok()).unwrap_or(u32::MAX);
        let at = line["enqueued_at"].as_str().and_then(|at| at.parse().ok()).expect("the record has times");
        all.entry((device, counter)).or_default().push(at);
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_are_killed_stopped_and_cut_from_storage_lose_and_overtake_nothing() {
    let seed = seed();
    raise_file_limit();
    let (devices, uplinks) = if is_long() { (1_000, 50) } else { (200, 25) };
    let (site, azurite) = door("fleet").await;
    let doors = [another_door(&site, "door-b").await, another_door(&site, "door-c").await];
    let proxy = Proxy::start(azurite.port()).await;
    let obligations = Arc::new(Obligations::default());
    let campaign = Campaign {
        more_ports: doors.iter().map(|door| door.webhook).collect(),
        seed,
        pace: Some(PACE),
        ..Campaign::new(site.ports.webhook, devices, uplinks)
    };
    let fleet =
        Fleet { site, obligations, began: Instant::now(), incidents: Mutex::default(), went_on: Mutex::default() };
    let mut random = fastrand::Rng::with_seed(seed);
    let mut worker = |name, connection_string: &str| {
        let (connection_string, random) = (connection_string.to_owned(), random.fork());
        let mut worker = Worker { name, fleet: &fleet, connection_string, replica: None, random };
        worker.start();
        worker
    };
    let (here, elsewhere) = (azurite.connection_string.clone(), azurite.seen_at(proxy.port));
    let (mut a, mut b, mut c) = (worker("a", &here), worker("b", &here), worker("c", &elsewhere));
    let is_over = AtomicBool::new(false);
    let incidents = async {
        tokio::join!(a.works(), b.works(), c.works());
        // At most one of them is untouched at any time, and now and then none.
        tokio::join!(
            a.is_killed_twice(),
            async {
                b.is_stopped().await;
                b.is_killed_twice().await;
            },
            async {
                c.is_cut(&proxy).await;
                c.is_killed_twice().await;
            },
        );
        fleet.say("all incidents are over");
        is_over.store(true, Ordering::Relaxed);
    };
    let (uplinks, ()) = tokio::join!(fleet.post(&campaign, &is_over), incidents);
    fleet.say("all are answered");
    let mut record = fleet.site.record();
    until("all have arrived", DRAIN, async || fleet.obligations.judge(record.lines()).lost.is_empty().then_some(()))
        .await;
    fleet.say("all have arrived");
    // They commit what is decided and give their partitions away: nothing more comes after them.
    for worker in [&a, &b, &c] {
        worker.replica.as_ref().expect("it runs").process.signal("TERM");
    }
    for worker in [&mut a, &mut b, &mut c] {
        let status = worker.replica().process.exit_within(Duration::from_secs(15)).await;
        assert!(status.success(), "{} ends with 0, not with {status}", worker.name);
    }

    let record = record.lines();
    let verdict = fleet.obligations.judge(record);
    println!("{verdict}");
    let incidents = fleet.incidents.lock().expect("nobody panics with it").clone();
    // At each incident one message of each device that the worker had: so many a lane has out at a time.
    let leased: u64 = incidents.iter().map(|incident| incident.devices).sum();
    verdict.holds(usize::try_from(leased).expect("some hundred"));
    assert_eq!(verdict.acked, (devices * uplinks) as usize);
    assert_eq!(incidents.iter().filter(|incident| incident.what == "killed").count(), 6);

    let mut unexplained = Vec::new();
    for (uplink, times) in arrivals(record).into_iter().filter(|(_, times)| times.len() > 1) {
        let why: Vec<_> = incidents.iter().filter(|incident| incident.window().contains(&times[0])).collect();
        let why: Vec<_> = why.iter().map(|incident| (incident.what, incident.worker)).collect();
        println!("{uplink:?} came at {times:?}, around {why:?}");
        // At each of them once more.
        if times.len() > 1 + why.len() {
            unexplained.push((uplink, times));
        }
    }
    assert!(unexplained.is_empty(), "nothing was done to anybody when these were under way: {unexplained:?}");

    let thefts = thefts(&fleet.site).await;
    let stopped = incidents.iter().find(|incident| incident.what == "stopped").expect("one was");
    println!("{} thefts, of {} devices that {} had", thefts.len(), stopped.devices, stopped.worker);
    // Who is stopped keeps its connections, so the hub closes its links when another has its devices: once each, and nobody takes
    // one back. Who is killed has none any more, and who is cut from storage has let go by then.
    let until = fleet.went_on.lock().expect("nobody panics with it").expect("it did") + LET_GO;
    let mut taken = BTreeSet::new();
    for (at, device, from, to) in &thefts {
        let is_from_stopped = stopped.peers.contains(from) && !stopped.peers.contains(to);
        let is_once = taken.insert(device);
        assert!(
            is_from_stopped && is_once && (stopped.at..=until).contains(at),
            "{device} was taken at {at} from {from} by {to}: {stopped:?}, {thefts:?}"
        );
    }
}
