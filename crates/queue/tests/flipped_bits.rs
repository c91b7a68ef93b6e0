//! What a flipped bit in the files costs. A wrong payload is never handed out, and no loss goes unsaid.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use queue::{Options, Place, Put, Queue, Settle};

const MESSAGES: u64 = 400;
/// Unless `QUEUE_TEST_FLIPS` says otherwise; in the long run ten times as many.
const FLIPS: u64 = 1_000;
/// Messages on a page of 16 KiB: their rows take 1.1 KiB at the least, and what leads to them 60 bytes.
const PAGE_MESSAGES: u64 = 16_384 / 60;

fn open(dir: &Path) -> Result<Queue, queue::OpenError> {
    Queue::open(Options::on_disk(dir, Arc::new(|| 1_780_000_000_000)))
}

fn body(seq: u64) -> Vec<u8> {
    (0..1_000 + seq * 7 % 900).map(|at| ((at * seq * 31) >> 3) as u8).collect()
}

async fn fill(dir: &Path) {
    let queue = open(dir).unwrap();
    for seq in 1..=MESSAGES {
        let lane = format!("t/network/application/device-{}", seq % 40);
        let (kind, head) = ("uplink_message".to_owned(), seq.to_le_bytes().to_vec());
        let put = Put { lane, kind, head, body: body(seq), accepted_at: 0, place: Place::Lane };
        let receipt = queue.put(put).await.unwrap();
        assert_eq!(receipt.seq.0, seq);
    }
    queue.close().await;
}

/// A generator of its own, so that a failure can be had again from its seed.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 20
}

/// One bit of a page that holds messages or leads to them: the room set aside is no target.
fn flip(dir: &Path, pages: &[u32], state: &mut u64) {
    let file = std::fs::File::options().read(true).write(true).open(dir.join("queue.db")).unwrap();
    let page = u64::from(pages[random(state) as usize % pages.len()] - 1);
    let bit = random(state) % (16_384 * 8);
    let at = page * 16_384 + bit / 8;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    byte[0] ^= 1 << (bit % 8);
    file.write_all_at(&byte, at).unwrap();
}

fn used_pages(dir: &Path) -> Vec<u32> {
    let file = rusqlite::Connection::open(dir.join("queue.db")).unwrap();
    let mut select = file.prepare("SELECT pageno FROM dbstat WHERE name <> 'reserve'").unwrap();
    let pages = select.query_map([], |row| row.get(0)).unwrap();
    pages.map(Result::unwrap).collect()
}

/// Without the log: read again, it would hide what is wrong in the file.
fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir_all(to).unwrap();
    std::fs::copy(from.join("queue.db"), to.join("queue.db")).unwrap();
    // Room for a log, which takes time to make.
    std::fs::File::create(to.join("queue.db-wal")).unwrap().set_len(16 << 20).unwrap();
}

/// What is said about a damaged file, and how many messages did not come out.
async fn drain(dir: &Path) -> (&'static str, u64) {
    let Ok(queue) = open(dir) else { return ("refused to open", MESSAGES) };
    let mut leases = queue.leases(64);
    let mut out = BTreeSet::new();
    let mut again = 0;
    // What is hidden stays counted as waiting, and does not come: only then is there anything to wait for.
    while !queue.stats().loaded || queue.stats().waiting > 0 {
        let Ok(Some(lease)) = tokio::time::timeout(Duration::from_millis(100), leases.next()).await else { break };
        let message = lease.message();
        assert_eq!(message.body, body(message.seq.0), "a wrong payload of {:?}", message.seq);
        assert_eq!(message.head, message.seq.0.to_le_bytes());
        assert_eq!(message.lane, format!("t/network/application/device-{}", message.seq.0 % 40));
        again += u64::from(!out.insert(message.seq.0));
        assert!(again < MESSAGES, "handed out again and again: {:?}", message.seq);
        let _ = lease.settle(Settle::default()).await;
    }
    let stats = queue.stats();
    let missing = MESSAGES - out.len() as u64;
    let outcome = match (missing, stats.trouble.is_some(), stats.dead_letters) {
        (0, false, _) => "nothing",
        (0, true, _) => "trouble told, all out",
        (_, true, _) => "trouble told",
        (_, false, dead) if dead >= missing => "buried as damaged",
        _ => "silent",
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), queue.close()).await;
    (outcome, missing)
}

#[test]
fn a_flipped_bit_is_found_and_said() {
    let fast = Path::new("/dev/shm");
    let base = if fast.is_dir() { fast } else { Path::new(env!("CARGO_TARGET_TMPDIR")) };
    let base: PathBuf = base.join(format!("queue-flips-{}", std::process::id()));
    let (whole, flipped) = (base.join("whole"), base.join("flipped"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(fill(&whole));
    // Empties the log into the file, as any later start does.
    runtime.block_on(async { open(&whole).unwrap().close().await });
    let pages = used_pages(&whole);
    let number =
        |name, default| std::env::var_os(name).map_or(default, |number| number.to_str().unwrap().parse().unwrap());
    let mut state = number("QUEUE_TEST_SEED", u64::from(std::process::id()));
    let is_long = std::env::var_os("LONGHAUL_TEST_LONG").is_some();
    let flips = number("QUEUE_TEST_FLIPS", if is_long { 10_000 } else { FLIPS });
    eprintln!("seed {state}, {} pages", pages.len());
    let mut outcomes: BTreeMap<&str, (u64, u64, u64)> = BTreeMap::new();
    for _ in 0..flips {
        copy(&whole, &flipped);
        flip(&flipped, &pages, &mut state);
        let (outcome, missing) = runtime.block_on(drain(&flipped));
        let (count, beyond, most) = outcomes.entry(outcome).or_default();
        (*count, *most) = (*count + 1, (*most).max(missing));
        *beyond += u64::from(missing > PAGE_MESSAGES);
    }
    for (outcome, (count, beyond, most)) in &outcomes {
        eprintln!(
            "{count:4} flips: {outcome}; {beyond} of them took more than a page with them, at most {most} messages"
        );
    }
    let _ = std::fs::remove_dir_all(&base);
    assert!(!outcomes.contains_key("silent"), "{outcomes:?}");
}
