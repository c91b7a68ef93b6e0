//! The promises of the queue, on the reference store in virtual time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::time::Duration;

use queue::memory::{Disk, Fault};
use queue::{
    Lease, LeaseError, Note, Options, Place, Put, PutError, Queue, Reason, Retry, Seen, Seq, Settle, UnixMillis,
};
use tokio::time::{Instant, timeout};

const START: UnixMillis = 1_780_000_000_000;

/// A clock that goes with the paused runtime.
fn clock() -> queue::Clock {
    let begin = Instant::now();
    Arc::new(move || START + UnixMillis::try_from(begin.elapsed().as_millis()).unwrap())
}

fn open(disk: &Disk) -> Queue {
    open_with(Options::in_memory(disk, clock()))
}

fn open_with(options: Options) -> Queue {
    let (queue, driver) = Queue::open_here(options).unwrap();
    tokio::spawn(driver);
    queue
}

fn put(lane: &str, body: &[u8]) -> Put {
    Put {
        lane: lane.into(),
        kind: "uplink_message".into(),
        head: b"head".to_vec(),
        body: body.into(),
        accepted_at: START,
        place: Place::Lane,
    }
}

fn reason() -> Reason {
    Reason { code: "not_understood".into(), detail: "no device".into() }
}

const HOUR: Duration = Duration::from_secs(3_600);

fn retry_in(wait: Duration) -> Retry {
    Retry { wait, cause: "hub says 500".into(), freeze: None }
}

async fn soon<T>(future: impl Future<Output = T>) -> Option<T> {
    timeout(Duration::from_secs(1), future).await.ok()
}

async fn body(leases: &mut queue::Leases) -> (Lease, String) {
    let lease = soon(leases.next()).await.expect("a lease in time").expect("an open stream");
    let body = String::from_utf8(lease.message().body.clone()).unwrap();
    (lease, body)
}

#[tokio::test(start_paused = true)]
async fn one_message_of_a_lane_at_a_time_oldest_first() {
    let queue = open(&Disk::new());
    for body in ["1", "2", "3"] {
        queue.put(put("a", body.as_bytes())).await.unwrap();
    }
    queue.put(put("b", b"other")).await.unwrap();
    let mut leases = queue.leases(10);
    let (first, text) = body(&mut leases).await;
    assert_eq!(text, "1");
    let (_other, text) = body(&mut leases).await;
    assert_eq!(text, "other");
    assert!(soon(leases.next()).await.is_none(), "lane a has a lease out");
    first.settle(Settle::default()).await.unwrap();
    assert_eq!(body(&mut leases).await.1, "2");
}

#[tokio::test(start_paused = true)]
async fn a_retry_blocks_its_lane_only_and_counts() {
    let queue = open(&Disk::new());
    queue.put(put("a", b"1")).await.unwrap();
    queue.put(put("a", b"2")).await.unwrap();
    queue.put(put("b", b"3")).await.unwrap();
    let mut leases = queue.leases(10);
    let (lease, _) = body(&mut leases).await;
    let freeze = Some(b"route".to_vec());
    lease.retry(Retry { wait: Duration::from_secs(60), cause: "busy".into(), freeze }).await.unwrap();
    let (_other, text) = body(&mut leases).await;
    assert_eq!(text, "3");
    let again = leases.next().await.unwrap();
    let message = again.message().clone();
    assert_eq!((message.body.as_slice(), message.attempts), (b"1".as_slice(), 1));
    assert_eq!(message.last_cause.as_deref(), Some("busy"));
    assert_eq!(message.frozen.as_deref(), Some(b"route".as_slice()));
    assert_eq!(message.first_attempt_at, Some(START));
    again.retry(Retry { freeze: Some(b"other".to_vec()), ..retry_in(Duration::ZERO) }).await.unwrap();
    let (third, _) = body(&mut leases).await;
    assert_eq!(third.message().frozen.as_deref(), Some(b"route".as_slice()), "the first freeze stays");
}

#[tokio::test(start_paused = true)]
async fn a_wake_ends_a_release_but_not_a_retry() {
    let queue = open(&Disk::new());
    queue.put(put("a", b"1")).await.unwrap();
    let mut leases = queue.leases(10);
    body(&mut leases).await.0.release_for(HOUR);
    assert!(soon(leases.next()).await.is_none());
    queue.wake("a");
    let (lease, _) = body(&mut leases).await;
    assert_eq!(lease.message().attempts, 0);
    queue.wake("a");
    lease.release_for(2 * HOUR);
    let (lease, _) = body(&mut leases).await;
    lease.retry(retry_in(HOUR)).await.unwrap();
    queue.wake("a");
    assert!(soon(leases.next()).await.is_none(), "a retry waits for its time");
}

#[tokio::test(start_paused = true)]
async fn a_person_ends_a_retrys_wait_and_sees_what_a_lane_does() {
    let queue = open(&Disk::new());
    for lane in ["a", "b"] {
        queue.put(put(lane, b"1")).await.unwrap();
    }
    let mut leases = queue.leases(10);
    let lanes = || ["a", "b", "c"].map(str::to_owned).to_vec();
    let (lease, _) = body(&mut leases).await;
    lease.retry(retry_in(HOUR)).await.unwrap();
    let (other, _) = body(&mut leases).await;
    let state = |retry_at| Some(queue::LaneState { accepted_at: Some(START), retry_at });
    assert_eq!(queue.lanes(lanes()).await.unwrap(), [state(Some(START + 3_600_000)), state(None), None]);
    let head = queue.head("a").await.unwrap().expect("it is still there");
    assert_eq!((head.attempts, head.last_cause.as_deref()), (1, Some("hub says 500")));
    assert!(queue.head("c").await.unwrap().is_none());
    assert!(soon(leases.next()).await.is_none(), "it waits");
    assert_eq!(queue.hurry(lanes()).await.unwrap(), [true, false, false]);
    let (lease, _) = body(&mut leases).await;
    assert_eq!((lease.message().lane.as_str(), lease.message().attempts), ("a", 1));
    assert_eq!(queue.hurry(lanes()).await.unwrap(), [false; 3], "it is being tried");
    lease.retry(retry_in(HOUR)).await.unwrap();
    let (lease, _) = body(&mut leases).await;
    assert_eq!((lease.message().lane.as_str(), lease.message().attempts), ("a", 2), "a hurry is not lost to a race");
    lease.retry(retry_in(HOUR)).await.unwrap();
    assert!(soon(leases.next()).await.is_none(), "and counts once");
    other.settle(Settle { seen: Some(Seen { key: [7; 16], at: START + 5 }), notes: Vec::new() }).await.unwrap();
    assert_eq!(queue.last_seen(lanes()).await.unwrap(), [None, Some(START + 5), None]);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_breaks_its_reader_rests_for_a_second() {
    let queue = open(&Disk::new());
    queue.put(put("a", b"1")).await.unwrap();
    queue.put(put("b", b"2")).await.unwrap();
    let mut leases = queue.leases(10);
    let (lease, _) = body(&mut leases).await;
    let broken = tokio::spawn(async move {
        let _lease = lease;
        panic!("ordered");
    });
    assert!(broken.await.is_err());
    let (_held, text) = body(&mut leases).await;
    assert_eq!(text, "2", "others go on");
    let since = tokio::time::Instant::now();
    let again = timeout(Duration::from_secs(2), leases.next()).await.unwrap().unwrap();
    assert_eq!((&again.message().body[..], since.elapsed().as_secs()), (&b"1"[..], 1));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_lease_comes_back_and_is_counted() {
    let queue = open(&Disk::new());
    queue.put(put("a", b"1")).await.unwrap();
    let mut leases = queue.leases(10);
    drop(body(&mut leases).await);
    let (lease, _) = body(&mut leases).await;
    assert_eq!(queue.stats().dropped_leases, 1);
    lease.settle(Settle::default()).await.unwrap();
    queue.put(put("a", b"2")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    drop(leases);
    let mut leases = queue.leases(10);
    assert_eq!(body(&mut leases).await.1, "2");
    assert_eq!(queue.stats().dropped_leases, 1, "nobody had taken that one");
}

#[tokio::test(start_paused = true)]
async fn no_more_leases_than_asked_for() {
    let queue = open(&Disk::new());
    for lane in 0..20 {
        queue.put(put(&format!("lane-{lane}"), b"x")).await.unwrap();
    }
    let mut leases = queue.leases(3);
    let mut held = Vec::new();
    while let Some(lease) = soon(leases.next()).await {
        held.push(lease.unwrap());
    }
    assert_eq!((held.len(), queue.stats().leased), (3, 3));
    held.pop().unwrap().keep().await.unwrap();
    assert!(soon(leases.next()).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_buried_noted_and_seen_is_there_after_a_restart() {
    let disk = Disk::new();
    let queue = open(&disk);
    for lane in ["kept", "buried", "done"] {
        queue.put(put(lane, lane.as_bytes())).await.unwrap();
    }
    let straight = Put { place: Place::DeadLetters(reason()), ..put("x", b"[]") };
    queue.put(straight).await.unwrap();
    let seen = Seen { key: [7; 16], at: START };
    let note = Note { space: "claims".into(), key: "k".into(), value: Some(b"v".to_vec()) };
    let mut leases = queue.leases(10);
    for _ in 0..3 {
        let (lease, body) = body(&mut leases).await;
        let settle = Settle { seen: Some(seen), notes: vec![note.clone()] };
        match body.as_str() {
            "kept" => lease.keep().await.unwrap(),
            "buried" => lease.bury(reason(), settle).await.unwrap(),
            _ => lease.settle(settle).await.unwrap(),
        }
    }
    queue.close().await;
    assert_eq!(queue.put(put("a", b"late")).await, Err(PutError::Closed));
    assert!(!queue.stats().writable);
    let queue = open(&disk);
    assert_eq!(queue.seen("done").await.unwrap(), vec![seen]);
    assert_eq!(queue.seen("buried").await.unwrap(), vec![seen]);
    assert_eq!(queue.notes("claims").await.unwrap(), vec![("k".to_owned(), b"v".to_vec())]);
    let dead = queue.dead_letters(None, 10).await.unwrap();
    let lanes: Vec<_> = dead.iter().map(|letter| letter.message.lane.as_str()).collect();
    assert_eq!(lanes, ["buried", "x"]);
    assert_eq!(queue.dead_letters(Some(dead[0].message.seq), 10).await.unwrap().len(), 1);
    assert_eq!(queue.dead_letter_counts().await.unwrap(), vec![("not_understood".to_owned(), 2)]);
    let stats = queue.stats();
    assert_eq!((stats.waiting, stats.kept, stats.dead_letters), (0, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_failed_commit_gives_no_receipt_and_the_queue_recovers() {
    let disk = Disk::new();
    let queue = open(&disk);
    disk.fail_next_commit(Fault::Failed);
    assert!(matches!(queue.put(put("a", b"lost")).await, Err(PutError::Failed(_))));
    let receipt = queue.put(put("a", b"kept")).await.unwrap();
    disk.fail_next_commit(Fault::FailedButThere);
    assert!(matches!(queue.put(put("a", b"there")).await, Err(PutError::Failed(_))));
    let last = queue.put(put("a", b"last")).await.unwrap();
    assert!(last.seq > receipt.seq, "a number that may have been used is not used again");
    let mut leases = queue.leases(10);
    for expected in ["kept", "there", "last"] {
        let (lease, body) = body(&mut leases).await;
        assert_eq!(body, expected);
        lease.settle(Settle::default()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_settle_hands_the_message_out_again() {
    let disk = Disk::new();
    let queue = open(&disk);
    queue.put(put("a", b"1")).await.unwrap();
    let mut leases = queue.leases(10);
    let (lease, _) = body(&mut leases).await;
    disk.set_unreachable(true);
    assert!(matches!(lease.settle(Settle::default()).await, Err(LeaseError::Failed(_))));
    assert!(!queue.stats().writable);
    assert!(soon(leases.next()).await.is_none(), "nothing goes out while nothing can be settled");
    disk.set_unreachable(false);
    let lease = leases.next().await.unwrap();
    lease.settle(Settle::default()).await.unwrap();
    assert!(queue.stats().writable);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_refuses_puts_and_goes_on_draining() {
    let disk = Disk::new();
    let queue = open(&disk);
    queue.put(put("a", b"1")).await.unwrap();
    queue.put(put("b", b"2")).await.unwrap();
    disk.set_full(true);
    let mut leases = queue.leases(10);
    let (lease, _) = body(&mut leases).await;
    let (put_refused, settled) = tokio::join!(queue.put(put("c", b"3")), lease.settle(Settle::default()));
    assert!(matches!(put_refused, Err(PutError::Full(_))));
    settled.unwrap();
    assert!(matches!(queue.put(put("c", b"3")).await, Err(PutError::Full(_))));
    assert!(!queue.stats().writable && queue.stats().trouble.is_some());
    body(&mut leases).await.0.retry(retry_in(Duration::ZERO)).await.unwrap();
    body(&mut leases).await.0.bury(reason(), Settle::default()).await.unwrap();
    disk.set_full(false);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(queue.stats().writable, "it notices by itself");
    queue.put(put("c", b"3")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_message_and_its_note_are_kept_together_or_not_at_all() {
    let disk = Disk::new();
    let queue = open(&disk);
    let note = |key: &str| Note { space: "theirs".into(), key: key.into(), value: Some(vec![]) };
    queue.put_noted(put("a", b"1"), note("1")).await.unwrap();
    disk.set_full(true);
    assert!(matches!(queue.put_noted(put("a", b"2"), note("2")).await, Err(PutError::Full(_))));
    disk.set_full(false);
    queue.close().await;
    let queue = open(&disk);
    assert_eq!(queue.notes("theirs").await.unwrap(), [("1".to_owned(), vec![])]);
    assert_eq!(soon(queue.leases(10).next()).await.unwrap().unwrap().message().body, b"1");
    assert_eq!(queue.stats().waiting, 1);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_disk_is_told_and_the_late_put_is_delivered() {
    let disk = Disk::new();
    let queue = open(&disk);
    disk.stall();
    let waiting = timeout(Duration::from_secs(4), queue.put(put("a", b"late"))).await;
    assert!(waiting.is_err(), "no receipt during the stall");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let stats = queue.stats();
    assert!(!stats.writable && stats.trouble.is_some_and(|trouble| trouble.contains("commit")));
    disk.resume();
    let mut leases = queue.leases(1);
    assert_eq!(body(&mut leases).await.1, "late");
    assert!(queue.stats().writable);
}

#[tokio::test(start_paused = true)]
async fn puts_that_wait_are_bounded_in_count_and_bytes() {
    let disk = Disk::new();
    let options = Options { waiting_puts_max: 2, waiting_bytes_max: 100, ..Options::in_memory(&disk, clock()) };
    let queue = open_with(options);
    disk.stall();
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.put(put("a", b"x")).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(queue.put(put("a", b"x")).await, Err(PutError::Busy));
    disk.resume();
    for put in waiting {
        put.await.unwrap().unwrap();
    }
    assert_eq!(queue.put(put("a", &[0; 200])).await, Err(PutError::Busy));
    queue.put(put("a", b"x")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn puts_that_wait_together_share_one_commit() {
    let disk = Disk::new();
    let queue = open(&disk);
    disk.stall();
    let puts: Vec<_> = (0..300)
        .map(|i| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.put(put(&format!("lane-{i}"), b"x")).await.unwrap() })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(10)).await;
    disk.resume();
    for put in puts {
        put.await.unwrap();
    }
    assert!(disk.commits() <= 2, "{} commits", disk.commits());
}

#[tokio::test(start_paused = true)]
async fn a_damaged_message_is_buried_and_never_handed_out() {
    let disk = Disk::new();
    let queue = open(&disk);
    let damaged = queue.put(put("a", b"1")).await.unwrap().seq;
    queue.put(put("a", b"2")).await.unwrap();
    disk.damage(damaged);
    let mut leases = queue.leases(10);
    assert_eq!(body(&mut leases).await.1, "2");
    assert_eq!(queue.dead_letter_counts().await.unwrap(), vec![("damaged".to_owned(), 1)]);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_and_kept_are_bounded_and_the_loss_is_counted() {
    let options = Options { dead_letters_max: 2, kept_max: 1, ..Options::in_memory(&Disk::new(), clock()) };
    let queue = open_with(options);
    for body in ["1", "2", "3"] {
        queue.put(Put { place: Place::DeadLetters(reason()), ..put("x", body.as_bytes()) }).await.unwrap();
        queue.put(put("k", body.as_bytes())).await.unwrap();
    }
    let mut leases = queue.leases(1);
    for _ in 0..3 {
        body(&mut leases).await.0.keep().await.unwrap();
    }
    let stats = queue.stats();
    assert_eq!((stats.dead_letters, stats.dead_letters_gone, stats.kept), (2, 1, 1));
    assert_eq!(queue.dead_letters(Some(Seq(0)), 10).await.unwrap()[0].message.body, b"2");
}

#[tokio::test(start_paused = true)]
async fn the_bytes_of_dead_letters_are_bounded_and_the_last_one_stays() {
    let options = Options { dead_letters_bytes_max: Some(10_000), ..Options::in_memory(&Disk::new(), clock()) };
    let queue = open_with(options);
    let bury = |size: usize| Put { place: Place::DeadLetters(reason()), ..put("a", &vec![b'x'; size]) };
    for _ in 0..4 {
        queue.put(bury(4_000)).await.unwrap();
    }
    let stats = queue.stats();
    assert_eq!((stats.dead_letters, stats.dead_letters_bytes, stats.dead_letters_gone), (2, 2 * 4_516, 2));
    queue.put(bury(50_000)).await.unwrap();
    let stats = queue.stats();
    assert_eq!((stats.dead_letters, stats.dead_letters_bytes, stats.dead_letters_gone), (1, 50_516, 4));
}

#[tokio::test(start_paused = true)]
async fn dead_letters_stay_for_a_month_and_kept_events_for_a_week() {
    let day = Duration::from_secs(24 * 60 * 60);
    let queue = open(&Disk::new());
    queue.put(Put { place: Place::DeadLetters(reason()), ..put("a", b"1") }).await.unwrap();
    queue.put(put("b", b"2")).await.unwrap();
    body(&mut queue.leases(1)).await.0.keep().await.unwrap();
    let mut found = Vec::new();
    for days in [7, 1, 22, 1] {
        tokio::time::sleep(day * days).await;
        // Any commit looks.
        queue.write_notes("a", vec![]).await.unwrap();
        let stats = queue.stats();
        found.push((stats.dead_letters, stats.dead_letters_gone, stats.kept, stats.kept_gone));
    }
    assert_eq!(found, [(1, 0, 1, 0), (1, 0, 0, 1), (1, 0, 0, 1), (0, 1, 0, 1)]);
}
