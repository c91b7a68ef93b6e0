//! What a shared queue asks of the storage account that holds it, and what that costs: `cargo bench -p queue --bench cost`.
//!
//! Doors and workers on a double of the account, in virtual time, with the paces that the product has. Messages come at random
//! moments from many devices, through any door; a hub takes each 50 ms after it was handed out. Calls are counted by the class in which they
//! are billed (docs/wire/azure-storage.md); prices are Microsoft's sample prices, to compare with and not to plan by.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints, and stops when it cannot go on")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use queue::blobs::double::{Account, Client};
use queue::blobs::{Asked, Blobs, LeaseId, New, Over, Page};
use queue::memory::Disk;
use queue::{Clock, Options, Place, Put, Queue, Settle, Shared};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// Of an uplink of The Things Stack as it is kept.
const BODY: usize = 1_700;
/// From a hand-out to the hub's answer.
const HUB: Duration = Duration::from_millis(50);
/// A call to the account.
const CALL: Duration = Duration::from_millis(10);
/// Partitions find their owners and puts their rhythm.
const SETTLING: Duration = Duration::from_secs(60);
/// Dollars a call, hot tier.
const WRITE: f64 = 0.055 / 10_000.0;
const READ: f64 = 0.0044 / 10_000.0;
const SECONDS_A_MONTH: f64 = 30.0 * 86_400.0;

/// Calls so far, by what they are billed as. Deletions cost nothing.
#[derive(Debug, Default)]
struct Bill {
    writes: AtomicU64,
    reads: AtomicU64,
    lists: AtomicU64,
    others: AtomicU64,
}

impl Bill {
    fn so_far(&self) -> [u64; 4] {
        [&self.writes, &self.reads, &self.lists, &self.others].map(|count| count.load(Ordering::Relaxed))
    }
}

/// A line to the account on which every call is counted.
#[derive(Debug)]
struct Counted(Client, Arc<Bill>);

fn one_more(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

impl Blobs for Counted {
    fn put_new<'a>(&'a self, name: &'a str, body: Bytes) -> Asked<'a, New> {
        one_more(&self.1.writes);
        self.0.put_new(name, body)
    }

    fn put_over<'a>(&'a self, name: &'a str, body: Bytes, lease: Option<&'a LeaseId>) -> Asked<'a, Over> {
        one_more(&self.1.writes);
        self.0.put_over(name, body, lease)
    }

    fn get<'a>(&'a self, name: &'a str) -> Asked<'a, Option<Bytes>> {
        one_more(&self.1.reads);
        self.0.get(name)
    }

    fn list<'a>(&'a self, prefix: &'a str, from: Option<&'a str>) -> Asked<'a, Page> {
        one_more(&self.1.lists);
        self.0.list(prefix, from)
    }

    fn delete<'a>(&'a self, name: &'a str) -> Asked<'a, bool> {
        self.0.delete(name)
    }

    fn acquire<'a>(&'a self, name: &'a str, length: Duration) -> Asked<'a, Option<LeaseId>> {
        one_more(&self.1.others);
        self.0.acquire(name, length)
    }

    fn renew<'a>(&'a self, name: &'a str, lease: &'a LeaseId) -> Asked<'a, bool> {
        one_more(&self.1.others);
        self.0.renew(name, lease)
    }

    fn release<'a>(&'a self, name: &'a str, lease: &'a LeaseId) -> Asked<'a, bool> {
        one_more(&self.1.others);
        self.0.release(name, lease)
    }

    fn break_lease<'a>(&'a self, name: &'a str) -> Asked<'a, ()> {
        one_more(&self.1.others);
        self.0.break_lease(name)
    }
}

/// So many processes of each kind, and what they have to carry.
struct Plant {
    a_second: u32,
    doors: u32,
    workers: u32,
    partitions: u16,
    /// How long it is watched.
    watched: Duration,
}

fn put(device: u32) -> Put {
    Put {
        lane: format!("t/n/a/dev-{device}"),
        kind: "uplink_message".to_owned(),
        head: b"{}".to_vec(),
        body: vec![b'x'; BODY],
        accepted_at: 1_780_000_000_000,
        place: Place::Lane,
    }
}

/// Whoever leases and settles, for ever.
async fn work(mut leases: queue::Leases, settled: Arc<AtomicU64>) {
    while let Some(lease) = leases.next().await {
        let settled = settled.clone();
        tokio::spawn(async move {
            sleep(HUB).await;
            lease.settle(Settle::default()).await.unwrap();
            one_more(&settled);
        });
    }
}

/// Puts so many a second for `during`, each when its time has come.
async fn come(doors: &[Queue], a_second: u32, during: Duration, random: &mut fastrand::Rng) {
    if a_second == 0 {
        sleep(during).await;
        return;
    }
    // A device says something every minute.
    let devices = a_second * 60;
    let (end, mut at) = (Instant::now() + during, Instant::now());
    let mut puts = JoinSet::new();
    loop {
        at += Duration::from_secs_f64(-(1.0 - random.f64()).ln() / f64::from(a_second));
        if at >= end {
            break;
        }
        sleep_until(at).await;
        let door = doors[random.usize(..doors.len())].clone();
        let device = random.u32(..devices);
        puts.spawn(async move { door.put(put(device)).await.unwrap() });
        while puts.try_join_next().is_some() {}
    }
    sleep_until(end).await;
}

async fn watch(plant: &Plant) {
    let began = Instant::now();
    let clock: Clock = Arc::new(move || 1_780_000_000_000 + i64::try_from(began.elapsed().as_millis()).unwrap());
    let (account, bill, settled) =
        (Account::new(clock.clone()), Arc::new(Bill::default()), Arc::new(AtomicU64::new(0)));
    let mut doors = Vec::new();
    for process in 0..plant.doors + plant.workers {
        let works = process >= plant.doors;
        let client = account.client();
        client.set_latency(|| CALL);
        let blobs = Arc::new(Counted(client, bill.clone()));
        let shared = Shared::new(blobs, format!("p{process}"), clock.clone());
        let shared = Shared { has_door: !works, works, partitions: plant.partitions, ..shared };
        let queue = Queue::join(shared, Options::in_memory(&Disk::new(), clock.clone())).await.unwrap();
        if works {
            tokio::spawn(work(queue.leases(1_000), settled.clone()));
            // As long as the plant runs.
            std::mem::forget(queue);
        } else {
            doors.push(queue);
        }
    }
    let mut random = fastrand::Rng::with_seed(7);
    come(&doors, plant.a_second, SETTLING, &mut random).await;
    let (before, settled_before) = (bill.so_far(), settled.load(Ordering::Relaxed));
    come(&doors, plant.a_second, plant.watched, &mut random).await;
    let seconds = plant.watched.as_secs_f64();
    let after = bill.so_far();
    #[expect(clippy::cast_precision_loss, reason = "counts of minutes")]
    let each = [0, 1, 2, 3].map(|class| (after[class] - before[class]) as f64 / seconds);
    #[expect(clippy::cast_precision_loss, reason = "counts of minutes")]
    let arrived = (settled.load(Ordering::Relaxed) - settled_before) as f64 / seconds;
    let [writes, reads, lists, others] = each;
    let dollars = (writes + lists) * WRITE + (reads + others) * READ;
    println!(
        "| {} | {}, {}, {} | {writes:.1} | {reads:.1} | {lists:.1} | {others:.1} | {arrived:.1} | {:.0} | {} |",
        plant.a_second,
        plant.doors,
        plant.workers,
        plant.partitions,
        dollars * SECONDS_A_MONTH,
        if plant.a_second == 0 {
            "–".to_owned()
        } else {
            format!("{:.2}", dollars / f64::from(plant.a_second) * 1e6)
        },
    );
}

fn main() {
    println!(
        "| msg/s | doors, workers, partitions | writes/s | reads/s | lists/s | others/s | settled/s | $ a month | $ a million |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (a_second, doors, workers, partitions, seconds) in [
        (0, 1, 1, 4, 1_800),
        (1, 1, 1, 4, 1_800),
        (10, 2, 2, 4, 600),
        (100, 3, 3, 4, 300),
        (1_000, 3, 3, 4, 120),
        (1_000, 3, 8, 16, 120),
        (1_670, 3, 8, 128, 60),
    ] {
        let plant = Plant { a_second, doors, workers, partitions, watched: Duration::from_secs(seconds) };
        // A runtime of its own, so that what is left of one plant costs the next nothing.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(watch(&plant));
    }
}
