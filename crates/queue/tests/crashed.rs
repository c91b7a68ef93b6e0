//! A crash while the disk is at it, on the reference store in virtual time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::time::Duration;

use queue::memory::{Disk, Tail};
use queue::{Options, Place, Put, Queue, Reason, Settle};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

const COMMIT: Duration = Duration::from_millis(20);

fn open(disk: &Disk) -> (Queue, JoinHandle<()>) {
    let (queue, writer) = Queue::open_here(Options::in_memory(disk, Arc::new(|| 1_780_000_000_000))).unwrap();
    (queue, tokio::spawn(writer))
}

fn put(lane: &str) -> Put {
    Put {
        lane: lane.into(),
        kind: "uplink_message".into(),
        head: Vec::new(),
        body: b"body".to_vec(),
        accepted_at: 1_780_000_000_000,
        place: Place::Lane,
    }
}

fn slow() -> Disk {
    let disk = Disk::new();
    disk.set_latency(|| COMMIT);
    disk
}

/// A burial that is under way: two rows, of which the first takes the message out of its lane.
async fn burying(disk: &Disk) {
    let (queue, _writer) = open(disk);
    queue.put(put("a")).await.unwrap();
    let lease = queue.leases(1).next().await.unwrap();
    let reason = Reason { code: "refused".into(), detail: String::new() };
    tokio::spawn(async move { lease.bury(reason, Settle::default()).await });
    sleep(COMMIT / 2).await;
    assert_eq!(disk.under_way(), Some(2), "out of the lane, and to the dead letters");
}

/// Waiting, and dead letters.
async fn found(disk: &Disk) -> (u64, u64) {
    let (queue, _writer) = open(disk);
    let stats = queue.stats();
    (stats.waiting, stats.dead_letters)
}

#[tokio::test(start_paused = true)]
async fn a_commit_takes_its_time_and_what_comes_meanwhile_goes_together() {
    let disk = slow();
    let (queue, _writer) = open(&disk);
    let begin = Instant::now();
    let puts = (0..10).map(|number| {
        let queue = queue.clone();
        tokio::spawn(async move { queue.put(put(&format!("lane-{number}"))).await.unwrap() })
    });
    for put in puts.collect::<Vec<_>>() {
        put.await.unwrap();
    }
    assert!(begin.elapsed() >= COMMIT && begin.elapsed() < COMMIT * 3, "{:?}", begin.elapsed());
    assert!(disk.commits() <= 2, "{}", disk.commits());
}

#[tokio::test(start_paused = true)]
async fn a_crash_leaves_all_of_a_commit_or_nothing() {
    let disk = slow();
    burying(&disk).await;
    assert_eq!(found(&disk.crash(Tail::Absent)).await, (1, 0));
    assert_eq!(found(&disk.crash(Tail::Whole)).await, (0, 1));
    for rows in 0..=2 {
        assert_eq!(found(&disk.crash(Tail::Torn { rows })).await, (1, 0), "{rows} rows and no end mark");
    }
}

#[tokio::test(start_paused = true)]
async fn half_a_commit_would_lose_a_message_if_nobody_looked_for_the_end_mark() {
    let disk = slow();
    burying(&disk).await;
    let torn = disk.crash(Tail::Torn { rows: 1 });
    torn.forget_the_end_mark();
    assert_eq!(found(&torn).await, (0, 0), "neither waiting nor buried");
}

#[tokio::test(start_paused = true)]
async fn what_the_dead_still_do_reaches_nobody() {
    let disk = slow();
    let (queue, _still_running) = open(&disk);
    queue.put(put("a")).await.unwrap();
    let late = tokio::spawn(async move { queue.put(put("b")).await });
    sleep(COMMIT / 2).await;
    let next = disk.crash(Tail::Absent);
    let (after, _writer) = open(&next);
    late.await.unwrap().expect("the dead think that they have kept it");
    assert_eq!((after.stats().waiting, next.commits()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_lies_loses_what_it_said_it_had() {
    let disk = slow();
    let (queue, _writer) = open(&disk);
    queue.put(put("a")).await.unwrap();
    disk.lie();
    queue.put(put("b")).await.unwrap();
    assert_eq!(found(&disk.crash(Tail::Whole)).await, (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stalled_commit_is_lost_or_kept_as_any_other() {
    let disk = Disk::new();
    disk.stall();
    let (queue, _writer) = open(&disk);
    assert!(timeout(Duration::from_secs(1), queue.put(put("a"))).await.is_err(), "no receipt during the stall");
    let next = disk.crash(Tail::Whole);
    next.resume();
    assert_eq!(found(&next).await, (1, 0));
    assert_eq!(found(&disk.crash(Tail::Absent)).await, (0, 0));
}
