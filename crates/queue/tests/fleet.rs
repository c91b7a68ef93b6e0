//! Several processes on one storage account: what each of them promises, in virtual time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::time::Duration;

use queue::blobs::double::{Account, Client};
use queue::memory::Disk;
use queue::{Clock, Lease, Leases, Note, Options, Place, Put, Queue, Reason, Retry, Seen, Seq, Settle, Shared};
use tokio::time::{Instant, sleep, timeout};

#[path = "blobs/conformance.rs"]
mod conformance;

fn clock() -> Clock {
    let began = Instant::now();
    Arc::new(move || 1_780_000_000_000 + i64::try_from(began.elapsed().as_millis()).unwrap())
}

struct Site {
    account: Account,
    lives: u32,
    clock: Clock,
}

struct Process {
    queue: Queue,
    client: Client,
    leases: Leases,
}

impl Site {
    fn new() -> Self {
        let clock = clock();
        Self { account: Account::new(clock.clone()), lives: 0, clock }
    }

    async fn process(&mut self, has_door: bool, works: bool) -> Process {
        self.lives += 1;
        let client = self.account.client();
        client.set_latency(|| Duration::from_millis(5));
        let shared = Shared::new(Arc::new(client.clone()), format!("p{}", self.lives), self.clock.clone());
        let shared = Shared { has_door, works, ..shared };
        let options = Options::in_memory(&Disk::new(), self.clock.clone());
        let queue = Queue::join(shared, options).await.unwrap();
        let leases = queue.leases(100);
        Process { queue, client, leases }
    }
}

fn put(lane: &str, body: &str) -> Put {
    Put {
        lane: lane.to_owned(),
        kind: "uplink_message".to_owned(),
        head: b"{}".to_vec(),
        body: body.as_bytes().to_vec(),
        accepted_at: 1_780_000_000_000,
        place: Place::Lane,
    }
}

impl Process {
    async fn put(&self, lane: &str, body: &str) -> Seq {
        self.queue.put(put(lane, body)).await.unwrap().seq
    }

    async fn next(&mut self) -> Lease {
        timeout(Duration::from_secs(60), self.leases.next()).await.expect("a message within a minute").unwrap()
    }

    async fn none(&mut self) {
        assert!(timeout(Duration::from_secs(20), self.leases.next()).await.is_err());
    }
}

fn body(lease: &Lease) -> String {
    String::from_utf8(lease.message().body.clone()).unwrap()
}

async fn settle(lease: Lease) {
    lease.settle(Settle::default()).await.unwrap();
}

fn reason(code: &str) -> Reason {
    Reason { code: code.to_owned(), detail: "no".to_owned() }
}

#[tokio::test(start_paused = true)]
async fn the_double_is_judged_as_the_account_is() {
    let client = Account::new(clock()).client();
    conformance::conformance(&client, Some(&|length| Box::pin(sleep(length)))).await;
    conformance::long_lists_come_in_pages(&client).await;
}

#[tokio::test(start_paused = true)]
async fn what_one_door_took_another_worker_hands_out_in_order() {
    let mut site = Site::new();
    let door = site.process(true, false).await;
    let mut worker = site.process(false, true).await;
    for n in 0..5 {
        door.put("t/n/a/d", &n.to_string()).await;
    }
    for n in 0..5 {
        let lease = worker.next().await;
        assert_eq!(body(&lease), n.to_string());
        settle(lease).await;
    }
    worker.none().await;
    assert_eq!(worker.queue.stats().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn rows_of_several_doors_come_in_the_order_of_their_answers() {
    let mut site = Site::new();
    let mut doors = Vec::new();
    for _ in 0..3 {
        doors.push(site.process(true, false).await);
    }
    let mut worker = site.process(false, true).await;
    let writer = tokio::spawn(async move {
        for n in 0..60 {
            doors[n * 7 % 3].put("t/n/a/d", &n.to_string()).await;
            sleep(Duration::from_millis(n as u64 * 13 % 90)).await;
        }
        doors
    });
    for n in 0..60 {
        let lease = worker.next().await;
        assert_eq!(body(&lease), n.to_string());
        settle(lease).await;
    }
    drop(writer.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_dies_is_followed_by_another_within_thirty_seconds_who_knows_all_that_was_committed() {
    let mut site = Site::new();
    let door = site.process(true, false).await;
    let mut first = site.process(false, true).await;
    door.put("t/n/a/d", "settled").await;
    door.put("t/n/a/d", "retried").await;
    door.put("t/n/a/d", "waits").await;
    let note = Note { space: "s".into(), key: "k".into(), value: Some(b"v".to_vec()) };
    let seen = Seen { key: [7; 16], at: 1_780_000_000_000 };
    let lease = first.next().await;
    lease.settle(Settle { seen: Some(seen), notes: vec![note] }).await.unwrap();
    let lease = first.next().await;
    let retry = Retry { wait: Duration::from_secs(2), cause: "busy".into(), freeze: Some(b"f".to_vec()) };
    lease.retry(retry).await.unwrap();
    drop(first);
    let died = Instant::now();
    let mut second = site.process(false, true).await;
    let lease = second.next().await;
    assert!(died.elapsed() < Duration::from_secs(30), "{:?}", died.elapsed());
    let message = lease.message();
    assert_eq!((body(&lease).as_str(), message.attempts, message.frozen.as_deref()), ("retried", 1, Some(&b"f"[..])));
    assert_eq!(second.queue.notes("s").await.unwrap(), [("k".to_owned(), b"v".to_vec())]);
    assert_eq!(second.queue.seen("t/n/a/d").await.unwrap(), [seen]);
    settle(lease).await;
    let lease = second.next().await;
    assert_eq!(body(&lease), "waits");
    settle(lease).await;
    second.none().await;
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_is_given_away_is_handed_out_by_the_next_at_once() {
    let mut site = Site::new();
    let door = site.process(true, false).await;
    let mut first = site.process(false, true).await;
    door.put("t/n/a/d", "1").await;
    settle(first.next().await).await;
    let mut second = site.process(false, true).await;
    first.queue.close().await;
    let closed = Instant::now();
    door.put("t/n/a/d", "2").await;
    let lease = second.next().await;
    assert_eq!(body(&lease), "2");
    assert!(closed.elapsed() < Duration::from_secs(8), "{:?}", closed.elapsed());
    settle(lease).await;
    second.none().await;
}

#[tokio::test(start_paused = true)]
async fn doors_that_are_never_silent_hold_up_no_take_over() {
    let mut site = Site::new();
    let doors = [site.process(true, false).await, site.process(true, false).await, site.process(true, false).await];
    let posting = doors.map(|door| {
        tokio::spawn(async move {
            for n in 0_u32.. {
                door.put(&format!("t/n/a/d{}", n % 50), &n.to_string()).await;
            }
        })
    });
    sleep(Duration::from_secs(5)).await;
    let mut worker = site.process(false, true).await;
    let first = timeout(Duration::from_secs(10), worker.leases.next()).await.expect("all can be read in that time");
    settle(first.unwrap()).await;
    posting.iter().for_each(tokio::task::JoinHandle::abort);
}

/// Whoever acts for a lane looks each second whether it still may.
#[tokio::test(start_paused = true)]
async fn a_partition_is_given_away_when_nothing_of_it_is_out_and_everybody_has_let_go() {
    let mut site = Site::new();
    let door = site.process(true, false).await;
    let mut first = site.process(false, true).await;
    let lanes: Vec<String> = (0..16).map(|n| format!("t/n/a/d{n}")).collect();
    for lane in &lanes {
        door.put(lane, "1").await;
    }
    let mut out = Vec::new();
    for _ in &lanes {
        out.push(first.next().await);
    }
    let mut second = site.process(false, true).await;
    // The first looks who lives while all of it is out, and an answer takes its time.
    sleep(Duration::from_millis(3_500)).await;
    for lease in out {
        settle(lease).await;
    }
    let mut let_go = std::collections::BTreeMap::new();
    let mut gaps = Vec::new();
    while gaps.len() < 8 {
        sleep(Duration::from_millis(10)).await;
        for lane in &lanes {
            let (is_first, is_second) = (first.queue.holds(lane), second.queue.holds(lane));
            assert!(!is_first || !is_second, "two hold {lane}");
            if !is_first {
                let_go.entry(lane).or_insert_with(Instant::now);
            }
        }
        let taken = lanes.iter().filter(|lane| second.queue.holds(lane));
        gaps = taken.map(|lane| let_go[lane].elapsed()).collect();
    }
    let shortest = gaps.iter().min().unwrap();
    assert!(*shortest > Duration::from_millis(1_400), "{shortest:?}");
    second.none().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_cut_off_stops_before_another_begins() {
    let mut site = Site::new();
    let door = site.process(true, false).await;
    let mut first = site.process(false, true).await;
    door.put("t/n/a/d", "1").await;
    let held = first.next().await;
    assert!(first.queue.holds("t/n/a/d"));
    let mut second = site.process(false, true).await;
    // Both have their share now; the one that holds the message may have given its partition away: then it is not the one.
    sleep(Duration::from_secs(10)).await;
    let (held, mut other, cut) = match first.queue.holds("t/n/a/d") {
        true => (held, second, first),
        false => {
            drop(held);
            (second.next().await, first, second)
        }
    };
    cut.client.cut(true);
    let begun = Instant::now();
    let again = other.next().await;
    assert_eq!((body(&again), body(&held)), ("1".to_owned(), "1".to_owned()));
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert!(!cut.queue.holds("t/n/a/d") && other.queue.holds("t/n/a/d"));
    held.settle(Settle::default()).await.unwrap_err();
    settle(again).await;
    cut.client.cut(false);
    other.none().await;
}

#[tokio::test(start_paused = true)]
async fn letters_are_moved_from_any_process_and_survive_their_owner() {
    let mut site = Site::new();
    let mut door = site.process(true, false).await;
    let mut worker = site.process(false, true).await;
    let seq = door.put("t/n/a/d", "1").await;
    let direct = Put { place: Place::DeadLetters(reason("no_identity")), ..put("x/n", "2") };
    let direct = door.queue.put(direct).await.unwrap().seq;
    worker.next().await.bury(reason("refused"), Settle::default()).await.unwrap();
    sleep(Duration::from_secs(2)).await;
    let letters = door.queue.dead_letters(None, 10).await.unwrap();
    let told: Vec<_> = letters.iter().map(|l| (l.message.seq, l.reason.code.as_str())).collect();
    assert_eq!(told, [(seq, "refused"), (direct, "no_identity")]);
    assert_eq!(letters[1].message.body, b"2");
    drop(worker);
    let mut worker = site.process(false, true).await;
    worker.none().await;
    assert_eq!(worker.queue.stats().dead_letters, 2);
    use queue::Moved::{Done, Missing};
    assert_eq!(door.queue.replay(vec![seq, seq, Seq(5)]).await.unwrap(), [Done, Missing, Missing]);
    let lease = worker.next().await;
    assert_eq!((lease.message().seq, lease.message().replays, body(&lease)), (seq, 1, "1".to_owned()));
    settle(lease).await;
    assert_eq!(door.queue.discard(vec![direct]).await.unwrap(), [Done]);
    sleep(Duration::from_secs(3)).await;
    assert_eq!((worker.queue.stats().dead_letters, site.account.names("dead/").len()), (0, 0));
    door.leases.stop();
}

#[tokio::test(start_paused = true)]
async fn every_partition_is_worked_on_by_one_of_three_workers() {
    let mut site = Site::new();
    let door = site.process(true, false).await;
    let mut workers = Vec::new();
    for _ in 0..3 {
        workers.push(site.process(false, true).await);
    }
    sleep(Duration::from_secs(40)).await;
    for n in 0..40 {
        door.put(&format!("t/n/a/d{n}"), &n.to_string()).await;
    }
    let mut found = Vec::new();
    for worker in &mut workers {
        let mut ours = 0;
        while let Ok(Some(lease)) = timeout(Duration::from_secs(5), worker.leases.next()).await {
            found.push(body(&lease).parse::<u32>().unwrap());
            ours += 1;
            settle(lease).await;
        }
        assert!(ours > 0, "each has its share");
    }
    found.sort_unstable();
    assert_eq!(found, (0..40).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_the_first_ones_whichever_worker_hears_of_it() {
    let mut site = Site::new();
    let (one, other) = (site.process(false, true).await, site.process(false, true).await);
    sleep(Duration::from_secs(30)).await;
    // Lanes of both of them.
    let lane = |process: &Process| {
        let lanes = (0..40).map(|n| format!("t/n/a/d{n}"));
        lanes.into_iter().find(|lane| process.queue.holds(lane)).unwrap()
    };
    let (ours, theirs) = (lane(&one), lane(&other));
    let claim = |value: &str| Note { space: "claims".into(), key: "scope\nid".into(), value: Some(value.into()) };
    assert_eq!(one.queue.claim(&ours, claim("one")).await.unwrap(), None);
    assert_eq!(one.queue.claim(&ours, claim("one")).await.unwrap(), None, "said again");
    assert_eq!(other.queue.claim(&theirs, claim("other")).await.unwrap(), Some(b"one".to_vec()));
    assert_eq!(one.queue.notes_of(&ours, "claims").await.unwrap(), [("scope\nid".to_owned(), b"one".to_vec())]);
    assert_eq!(other.queue.notes_of(&theirs, "claims").await.unwrap(), []);
    assert!(one.queue.tenancy(&theirs).is_none() && one.queue.tenancy(&ours).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_state_of_many_pieces_goes_from_owner_to_owner_and_leaves_nothing_behind() {
    let mut site = Site::new();
    let mut left = Vec::new();
    for life in 0..3_u8 {
        let worker = site.process(true, true).await;
        let lane = "t/n/a/d";
        while worker.queue.tenancy(lane).is_none() {
            sleep(Duration::from_millis(100)).await;
        }
        let notes = worker.queue.notes_of(lane, "s").await.unwrap();
        assert_eq!(notes.len(), usize::from(life) * 5, "of {life} lives before");
        assert!(notes.iter().all(|(_, value)| value.len() == 1_000_000));
        for key in 0..5 {
            let note = Note { space: "s".into(), key: format!("{life}-{key}"), value: Some(vec![life; 1_000_000]) };
            worker.queue.write_notes(lane, vec![note]).await.unwrap();
        }
        worker.queue.close().await;
        sleep(Duration::from_secs(60)).await;
        let states: Vec<_> = site.account.names("part/").into_iter().filter(|name| name.contains("/state/")).collect();
        left.push(states.len());
    }
    // Of four partitions: three are one piece each; this one has 5, 10 and 15 MB in pieces of 4 MiB.
    assert_eq!(left, [3 + 2, 3 + 3, 3 + 4]);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_needs_goes_and_the_log_of_a_dead_door_is_closed() {
    let mut site = Site::new();
    let dead = site.process(true, false).await;
    let door = site.process(true, false).await;
    let mut worker = site.process(false, true).await;
    let waits = dead.put("t/n/a/waits", "0").await;
    let lease = worker.next().await;
    lease.release_for(Duration::from_secs(3_000_000));
    for n in 0..20 {
        dead.put("t/n/a/d", &n.to_string()).await;
        door.put("t/n/a/d", &n.to_string()).await;
        settle(worker.next().await).await;
        settle(worker.next().await).await;
    }
    drop(dead);
    sleep(Duration::from_secs(5 * 60)).await;
    assert!(!site.account.names("live/door-").contains(&"live/door-00000000".to_owned()), "it is closed");
    let of = |log: u32| site.account.names(&format!("door/{log:08}/"));
    let (first, last) = (of(0).len(), of(0).last().unwrap().clone());
    assert!(first > 20 && of(1).len() == 20, "nothing is removed yet, and the living one is not closed");
    // A day, and a change now and then.
    for n in 0..30 {
        sleep(Duration::from_secs(3_600)).await;
        door.put("t/n/a/d", &n.to_string()).await;
        settle(worker.next().await).await;
    }
    assert_eq!(of(0), ["door/00000000/000000000001".to_owned(), last], "what waits, and the end");
    assert!(of(1).len() < 40, "{:?}", of(1));
    drop(worker);
    let mut worker = site.process(false, true).await;
    let lease = worker.next().await;
    assert_eq!((lease.message().seq, body(&lease)), (waits, "0".to_owned()));
    settle(lease).await;
    worker.none().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_blob_is_damaged_is_a_letter_that_can_be_thrown_away() {
    let mut site = Site::new();
    let door = site.process(true, false).await;
    let mut first = site.process(false, true).await;
    let seq = door.put("t/n/a/d", "1").await;
    first.next().await.release_for(Duration::from_secs(3_600));
    // It has written down that the message waits, and nobody has it at hand.
    first.queue.close().await;
    site.account.meddle("door/00000000/000000000001", Some("not what was written".into()));
    let mut second = site.process(false, true).await;
    second.none().await;
    let letters = door.queue.dead_letters(None, 10).await.unwrap();
    let told: Vec<_> = letters.iter().map(|l| (l.message.seq, l.message.lane.as_str(), l.is_whole)).collect();
    assert_eq!(told, [(seq, "t/n/a/d", false)]);
    assert_eq!(door.queue.replay(vec![seq]).await.unwrap(), [queue::Moved::Damaged]);
    assert_eq!(door.queue.discard(vec![seq]).await.unwrap(), [queue::Moved::Done]);
    sleep(Duration::from_secs(3)).await;
    assert_eq!((second.queue.stats().dead_letters, site.account.names("dead/").len()), (0, 0));
}
