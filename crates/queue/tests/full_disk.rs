//! A full disk refuses puts and stops nothing else. On a real file system with 0 bytes free: a small tmpfs in a mount
//! namespace of our own, or the directory named by `QUEUE_TEST_FULL_DISK` (give it a small file system of its own; run
//! as a user that may not use the blocks kept for root).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use queue::{Leases, Note, Options, Place, Put, PutError, Queue, Reason, Retry, Seen, Settle};

const START: i64 = 1_780_000_000_000;

fn open(dir: &Path) -> Queue {
    Queue::open(Options::on_disk(dir.join("queue"), Arc::new(|| START))).expect("opens, also on a full disk")
}

fn put(n: u64) -> Put {
    Put {
        lane: format!("t/network/application/device-{}", n % 300),
        kind: "uplink_message".into(),
        head: vec![b'h'; 120],
        body: (0..1_400).map(|at| (at as u64 ^ n) as u8).collect(),
        accepted_at: START,
        place: Place::Lane,
    }
}

/// Puts at full speed until one is refused. Returns how many were kept.
async fn fill(queue: &Queue) -> u64 {
    let mut kept = 0;
    loop {
        let puts: Vec<_> = (0..64)
            .map(|n| {
                tokio::spawn({
                    let queue = queue.clone();
                    async move { queue.put(put(kept + n)).await }
                })
            })
            .collect();
        let mut is_full = false;
        for put in puts {
            match put.await.unwrap() {
                Ok(_) => kept += 1,
                Err(PutError::Full(_)) => is_full = true,
                Err(other) => panic!("{other}"),
            }
        }
        if is_full {
            return kept;
        }
    }
}

/// Somebody else takes what is left, to the last byte.
fn take_the_rest(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("greedy");
    let mut file = File::options().create(true).append(true).open(&path).unwrap();
    for size in [1 << 20, 4_096, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
    let _ = file.sync_all();
    path
}

/// Nothing but dead letters on the disk: the oldest go, and no put is refused, not even when the rest is taken.
async fn dead_letters_give_way(dir: &Path) {
    let queue = open(&dir.join("letters"));
    let reason = Reason { code: "not_understood".into(), detail: "no device".into() };
    let letter = Put { body: vec![7; 60_000], place: Place::DeadLetters(reason), ..put(0) };
    while queue.stats().dead_letters_gone < 200 {
        queue.put(letter.clone()).await.unwrap();
    }
    let greedy = take_the_rest(dir);
    for n in 0..200 {
        queue.put(put(n)).await.unwrap_or_else(|error| panic!("put {n}: {error}; {:?}", queue.stats()));
    }
    assert_eq!(queue.stats().waiting, 200);
    queue.close().await;
    std::fs::remove_file(greedy).unwrap();
    std::fs::remove_dir_all(dir.join("letters")).unwrap();
}

/// Every way of ending a lease, and all of what goes with it.
async fn drain_some(leases: &mut Leases, count: u64) -> u64 {
    let mut left = 0;
    for n in 0..count {
        let lease = leases.next().await.unwrap();
        let key = [n as u8; 16];
        let note = Note { space: "claims".into(), key: format!("device-{}", n % 300), value: Some(vec![2; 60]) };
        let settle = Settle { seen: Some(Seen { key, at: START + n as i64 }), notes: vec![note] };
        let reason = Reason { code: "refused".into(), detail: "the hub does not know this device".into() };
        let retry =
            Retry { wait: Duration::ZERO, cause: "the hub answered 500, and again".into(), freeze: Some(vec![3; 200]) };
        let ended = match n % 8 {
            0 => lease.retry(retry).await,
            1 => lease.bury(reason, settle).await,
            2 => lease.keep().await,
            _ => lease.settle(settle).await,
        };
        ended.unwrap_or_else(|error| panic!("lease {n} of {count}: {error}"));
        left += u64::from(n % 8 != 0);
    }
    left
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by full_disk_drains in a file system of its own"]
async fn inner() {
    let dir = std::path::PathBuf::from(std::env::var_os("QUEUE_TEST_FULL_DISK").expect("set by full_disk_drains"));
    dead_letters_give_way(&dir).await;
    let queue = open(&dir);
    let kept = fill(&queue).await;
    let greedy = take_the_rest(&dir);
    let refused_in = Instant::now();
    assert!(matches!(queue.put(put(0)).await, Err(PutError::Full(_))));
    assert!(refused_in.elapsed() < Duration::from_millis(100), "{:?}", refused_in.elapsed());
    let mut leases = queue.leases(100);
    let mut left = drain_some(&mut leases, kept / 4).await;
    drop(leases);
    queue.close().await;
    // Again from the start, with nothing free.
    take_the_rest(&dir);
    let queue = open(&dir);
    assert_eq!(queue.stats().waiting, kept - left);
    let mut leases = queue.leases(100);
    left += drain_some(&mut leases, kept / 4).await;
    take_the_rest(&dir);
    left += drain_some(&mut leases, kept / 4).await;
    assert_eq!(queue.stats().waiting, kept - left);
    std::fs::remove_file(greedy).unwrap();
    let resumed = Instant::now();
    while queue.put(put(kept)).await.is_err() {
        assert!(resumed.elapsed() < Duration::from_secs(5), "{:?}", queue.stats());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let resumed_after = resumed.elapsed();
    let rest = queue.stats().waiting;
    let mut settled = 0;
    while settled < rest {
        leases.next().await.unwrap().settle(Settle::default()).await.unwrap();
        settled += 1;
    }
    assert_eq!((queue.stats().waiting, queue.stats().waiting_bytes), (0, 0));
    let stats = queue.stats();
    let gone = (stats.kept_gone, stats.dead_letters_gone);
    eprintln!("kept {kept} until full; drained all; took puts again after {resumed_after:?}; {gone:?} set aside went");
}

#[test]
fn full_disk_drains() {
    let this = std::env::current_exe().unwrap();
    let mounted = "d=$(mktemp -d) && mount -t tmpfs -o size=48m tmpfs $d && QUEUE_TEST_FULL_DISK=$d exec \"$0\" \"$@\"";
    let mut inner = Command::new("unshare");
    inner.args(["--map-root-user", "--mount", "sh", "-c", mounted]).arg(&this);
    let output = inner.args(["--exact", "inner", "--ignored", "--nocapture"]).output();
    let output = output.expect("unshare is there (util-linux)");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if said.contains("Operation not permitted") && !said.contains("running 1 test") {
        eprintln!("skipped: no mount namespaces for this user");
        return;
    }
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// As often as in `./test`.
const CYCLES: u32 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by a_full_disk_of_somebody_without_rights_is_left_again_and_again as nobody, on a disk of its own"]
async fn cycles() {
    let dir = std::path::PathBuf::from(std::env::var_os("QUEUE_TEST_FULL_DISK").expect("set by who runs this"));
    let queue = open(&dir);
    let mut waiting = 0;
    let (mut refused, mut again) = (Duration::ZERO, Duration::ZERO);
    for cycle in 0..CYCLES {
        let greedy = take_the_rest(&dir);
        waiting += fill(&queue).await;
        let begun = Instant::now();
        assert!(matches!(queue.put(put(0)).await, Err(PutError::Full(_))), "cycle {cycle}");
        refused = refused.max(begun.elapsed());
        let mut leases = queue.leases(100);
        waiting -= drain_some(&mut leases, waiting).await;
        drop(leases);
        assert_eq!(queue.stats().waiting, waiting, "cycle {cycle}");
        std::fs::remove_file(greedy).unwrap();
        let begun = Instant::now();
        while queue.put(put(waiting)).await.is_err() {
            assert!(begun.elapsed() < Duration::from_secs(5), "cycle {cycle}: {:?}", queue.stats());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        again = again.max(begun.elapsed());
        waiting += 1;
    }
    assert!(refused < Duration::from_millis(100), "{refused:?}");
    eprintln!("{CYCLES} times full: refused within {refused:?}, took puts again within {again:?}, {waiting} kept");
}

#[test]
fn a_full_disk_of_somebody_without_rights_is_left_again_and_again() {
    let at = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("full-{}", std::process::id()));
    let volume = match disks::Volume::new(&at, 48) {
        Ok(volume) => volume,
        Err(why) => return eprintln!("NOT PROVED: {why}"),
    };
    volume.open_to_all();
    // Where nobody may read it.
    let this = Path::new("/dev/shm").join(format!("full-disk-{}", std::process::id()));
    std::fs::copy(std::env::current_exe().unwrap(), &this).unwrap();
    let disk = Path::new("/dev/shm").join(format!("full-disk-{}-mount", std::process::id()));
    std::fs::create_dir_all(&disk).unwrap();
    let bound = Command::new("mount").arg("--bind").args([volume.path(), &disk]).status().unwrap();
    assert!(bound.success());
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&this)
        .args(["--exact", "cycles", "--ignored", "--nocapture"])
        .env("QUEUE_TEST_FULL_DISK", &disk)
        .output()
        .expect("setpriv is there (util-linux)");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let _ = Command::new("umount").arg(&disk).status();
    let _ = (std::fs::remove_file(&this), std::fs::remove_dir(&disk));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    eprintln!("{}", said.lines().find(|line| line.contains("times full")).unwrap_or_default());
}
