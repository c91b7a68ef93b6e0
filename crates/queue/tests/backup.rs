//! A copy is made while the queue is at work, and is the queue as it was then.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use queue::{BackupError, Options, Place, Put, Queue, Settle};

const COPIES: u64 = 4;
/// Messages that are in the file before: it takes a while to copy them.
const BACKLOG: u64 = 6_000;

fn dir(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    dir
}

fn open(dir: &Path) -> Queue {
    Queue::open(Options::on_disk(dir, Arc::new(|| 1_780_000_000_000))).unwrap()
}

fn put(number: u64) -> Put {
    let (lane, kind) = (format!("t/app/{}", number % 50), "uplink_message".to_owned());
    let body = vec![(number % 251) as u8; 1_500];
    Put { lane, kind, head: Vec::new(), body, accepted_at: 0, place: Place::Lane }
}

/// What the writer and the reader have done.
#[derive(Default)]
struct Books {
    /// Every position up to this one is kept.
    put: AtomicU64,
    settled: Mutex<BTreeSet<u64>>,
    is_over: AtomicBool,
}

async fn write(queue: Queue, books: Arc<Books>) {
    let mut number = BACKLOG;
    while !books.is_over.load(Ordering::Acquire) {
        number += 1;
        books.put.store(queue.put(put(number)).await.unwrap().seq.0, Ordering::Release);
    }
}

async fn read(queue: Queue, books: Arc<Books>) {
    let mut leases = queue.leases(16);
    while !books.is_over.load(Ordering::Acquire) {
        let Ok(Some(lease)) = tokio::time::timeout(Duration::from_secs(10), leases.next()).await else { break };
        let seq = lease.message().seq.0;
        lease.settle(Settle::default()).await.unwrap();
        books.settled.lock().unwrap().insert(seq);
    }
}

/// The positions of all that wait in a copy.
async fn positions(copy: &Path) -> BTreeSet<u64> {
    let queue = open(copy);
    let mut leases = queue.leases(64);
    let mut found = BTreeSet::new();
    while !queue.stats().loaded || queue.stats().waiting > 0 {
        let lease = tokio::time::timeout(Duration::from_secs(10), leases.next()).await.unwrap().unwrap();
        found.insert(lease.message().seq.0);
        lease.settle(Settle::default()).await.unwrap();
    }
    assert_eq!((queue.stats().dead_letters, queue.stats().trouble), (0, None), "nothing of it is damaged");
    queue.close().await;
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_copy_made_at_work_has_all_that_was_kept_and_nothing_that_was_done() {
    let home = dir("backup");
    let (queue, books) = (open(&home), Arc::new(Books::default()));
    for number in 1..=BACKLOG {
        queue.put(put(number)).await.unwrap();
    }
    let work = [tokio::spawn(write(queue.clone(), books.clone())), tokio::spawn(read(queue.clone(), books.clone()))];
    for round in 1..=COPIES {
        let (kept, done) = (books.put.load(Ordering::Acquire), books.settled.lock().unwrap().clone());
        let backup = queue.backup("again").await.unwrap();
        let done_since = books.settled.lock().unwrap().clone();
        assert!(backup.report.is_whole(), "{:?}", backup.report);
        let found = positions(&backup.dir).await;
        let missing: Vec<_> = (1..=kept).filter(|seq| !done_since.contains(seq) && !found.contains(seq)).collect();
        assert!(missing.is_empty(), "copy {round}: kept, not done and not in it: {missing:?}");
        let back: Vec<_> = found.intersection(&done).collect();
        assert!(back.is_empty(), "copy {round}: done before, and in it: {back:?}");
        println!(
            "copy {round}: {} bytes, {} messages; {kept} kept and {} done before",
            backup.bytes,
            found.len(),
            done.len()
        );
        std::fs::remove_dir_all(&backup.dir).unwrap();
    }
    books.is_over.store(true, Ordering::Release);
    for one in work {
        one.await.unwrap();
    }
    assert_eq!(queue.stats().trouble, None);
    queue.close().await;
    std::fs::remove_dir_all(&home).unwrap();
}

#[tokio::test]
async fn a_place_that_is_taken_is_left_alone_no_name_leads_elsewhere_and_memory_has_no_files() {
    let home = dir("backup-taken");
    let queue = open(&home);
    let first = queue.backup("2026-11-27").await.unwrap();
    assert_eq!(first.dir, home.join("backups/2026-11-27"));
    let error = queue.backup("2026-11-27").await.unwrap_err();
    assert!(matches!(error, BackupError::Files(_)) && error.to_string().contains("not there yet"), "{error}");
    assert!(first.dir.join("queue.db").is_file());
    for name in ["", "..", ".hidden", "a/b", "../up", "a\0b", "\u{e4}", &"n".repeat(65)] {
        assert!(matches!(queue.backup(name).await, Err(BackupError::Name)), "{name:?}");
    }
    queue.close().await;
    let memory = Queue::open(Options::in_memory(&queue::memory::Disk::default(), Arc::new(|| 0))).unwrap();
    let error = memory.backup("copy").await.unwrap_err();
    assert!(error.to_string().contains("not kept in files"), "{error}");
    memory.close().await;
    std::fs::remove_dir_all(&home).unwrap();
}
