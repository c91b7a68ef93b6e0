//! What a flipped bit in the files costs: no wrong payload, no queue that does not open, no loss that goes unsaid, and none of
//! more than a page.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stderr, reason = "what came of the flips is for people, and the seed for having them again")]

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use queue::{Lease, Leases, Note, OpenError, Options, Place, Put, Queue, Reason, Retry, Seen, Settle};

const MESSAGES: u64 = 400;
/// Unless `QUEUE_TEST_FLIPS` says otherwise; in the long run ten times as many. In the other files a quarter of it.
const FLIPS: u64 = 1_000;
/// Messages on a page of 16 KiB: their rows take 1.1 KiB at the least, and what leads to them 60 bytes.
const PAGE_MESSAGES: u64 = 16_384 / 60;
const PAGE: u64 = 16_384;

const NOW: i64 = 1_780_000_000_000;

fn open(dir: &Path) -> Result<Queue, OpenError> {
    open_with(dir, Arc::new(|| NOW))
}

fn open_with(dir: &Path, clock: queue::Clock) -> Result<Queue, OpenError> {
    Queue::open(Options::on_disk(dir, clock))
}

/// What a queue holds, by position.
#[derive(Clone, Debug, Default)]
struct Holds {
    waiting: BTreeSet<u64>,
    dead: BTreeSet<u64>,
    kept: BTreeSet<u64>,
    settled: BTreeSet<u64>,
    has_large: bool,
}

impl Holds {
    /// In the one with everything, some are on pages of their own.
    fn body(&self, seq: u64) -> Vec<u8> {
        let large = if self.has_large && seq.is_multiple_of(20) { 20_000 + seq * 97 % 30_000 } else { 0 };
        (0..1_000 + seq * 7 % 900 + large).map(|at| ((at * seq * 31) >> 3) as u8).collect()
    }
}

fn lane(seq: u64) -> String {
    format!("t/network/application/device-{}", seq % 40)
}

async fn fill(queue: &Queue, holds: &Holds, seqs: std::ops::RangeInclusive<u64>) {
    for seq in seqs {
        let (kind, head) = ("uplink_message".to_owned(), seq.to_le_bytes().to_vec());
        let put = Put { lane: lane(seq), kind, head, body: holds.body(seq), accepted_at: 0, place: Place::Lane };
        let receipt = queue.put(put).await.unwrap();
        assert_eq!(receipt.seq.0, seq);
    }
}

/// Takes the next message within ten seconds.
async fn next(leases: &mut Leases) -> Lease {
    tokio::time::timeout(Duration::from_secs(10), leases.next()).await.unwrap().unwrap()
}

/// 400 that wait, and nothing else.
async fn only_waiting(dir: &Path) -> Holds {
    let holds = Holds { waiting: (1..=MESSAGES).collect(), ..Holds::default() };
    let queue = open(dir).unwrap();
    fill(&queue, &holds, 1..=MESSAGES).await;
    queue.close().await;
    // Empties the log into the file, as any later start does.
    open(dir).unwrap().close().await;
    holds
}

/// 160 that wait, twenty of them tried; twenty buried; twenty kept; notes, seen keys, and the free pages of 300 that are done.
async fn everything(queue: &Queue) -> Holds {
    let mut holds = Holds { has_large: true, ..Holds::default() };
    fill(queue, &holds, 1..=360).await;
    let mut leases = queue.leases(40);
    let mut handled = BTreeSet::new();
    while handled.len() < 360 {
        let lease = next(&mut leases).await;
        let seq = lease.message().seq.0;
        if !handled.insert(seq) {
            lease.release_for(Duration::MAX);
            continue;
        }
        let note = Note { space: "addresses".into(), key: format!("device-{seq}"), value: Some(vec![seq as u8; 90]) };
        let settle = Settle { seen: Some(Seen { key: [seq as u8; 16], at: NOW }), notes: vec![note] };
        let retry = Retry { wait: Duration::ZERO, cause: "throttled".into(), freeze: Some(vec![7; 60]) };
        let reason = Reason { code: "rejected".into(), detail: "the hub answered 400".into() };
        let set = match seq {
            1..=300 => {
                lease.settle(settle).await.unwrap();
                &mut holds.settled
            }
            301..=320 => {
                lease.bury(reason, settle).await.unwrap();
                &mut holds.dead
            }
            321..=340 => {
                lease.keep().await.unwrap();
                &mut holds.kept
            }
            _ => {
                lease.retry(retry).await.unwrap();
                &mut holds.waiting
            }
        };
        set.insert(seq);
    }
    drop(leases);
    fill(queue, &holds, 361..=500).await;
    holds.waiting.extend(361..=500);
    holds
}

/// A generator of its own, so that a failure can be had again from its seed.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 20
}

fn flip(file: &Path, bit: u64) {
    let file = std::fs::File::options().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, bit / 8).unwrap();
    byte[0] ^= 1 << (bit % 8);
    file.write_all_at(&byte, bit / 8).unwrap();
}

/// Unless it is one that is to be had again.
fn one(bit: u64) -> u64 {
    number("QUEUE_TEST_BIT", bit)
}

/// One bit of a page that holds messages or leads to them: the room set aside is no target.
fn bit_of(pages: &[u32], state: &mut u64) -> u64 {
    let page = u64::from(pages[random(state) as usize % pages.len()] - 1);
    one(page * PAGE * 8 + random(state) % (PAGE * 8))
}

/// With the page that says what the others are, and the one that lists the free ones.
fn used_pages(dir: &Path) -> Vec<u32> {
    let file = rusqlite::Connection::open(dir.join("queue.db")).unwrap();
    let mut select = file.prepare("SELECT pageno FROM dbstat WHERE name <> 'reserve'").unwrap();
    let pages = select.query_map([], |row| row.get(0)).unwrap();
    let mut pages: Vec<u32> = pages.map(Result::unwrap).collect();
    let mut trunk = [0; 4];
    std::fs::File::open(dir.join("queue.db")).unwrap().read_exact_at(&mut trunk, 32).unwrap();
    pages.extend([2, u32::from_be_bytes(trunk)].into_iter().filter(|page| *page > 0));
    pages
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
async fn drain(dir: &Path, holds: &Holds) -> (&'static str, u64) {
    let later = Arc::new(AtomicI64::new(0));
    let clock = later.clone();
    let queue = match open_with(dir, Arc::new(move || NOW + clock.load(Relaxed))) {
        Ok(queue) => queue,
        // The one bit that makes another format of it cannot be told from one.
        Err(OpenError::Newer { .. }) => return ("newer", MESSAGES),
        Err(error) => {
            eprintln!("{error}");
            return ("refused to open", MESSAGES);
        }
    };
    let mut leases = queue.leases(64);
    let mut out = BTreeSet::new();
    let mut again = 0;
    // What is hidden stays counted as waiting, and does not come: only then is there anything to wait for.
    while !queue.stats().loaded || queue.stats().waiting > 0 {
        let Ok(Some(lease)) = tokio::time::timeout(Duration::from_millis(100), leases.next()).await else {
            // A flipped bit in the end of a wait makes it an hour at the most.
            if later.swap(3_700_000, Relaxed) != 0 {
                break;
            }
            let _ = queue.notes("the writer looks at the clock").await;
            continue;
        };
        let message = lease.message();
        let seq = message.seq.0;
        assert!(holds.waiting.contains(&seq), "{seq} does not wait, and was handed out");
        assert_eq!(message.body, holds.body(seq), "a wrong payload of {seq}");
        assert_eq!((message.head.as_slice(), &message.lane), (seq.to_le_bytes().as_slice(), &lane(seq)));
        again += u64::from(!out.insert(seq));
        assert!(again < MESSAGES, "handed out again and again: {seq}");
        let _ = lease.settle(Settle::default()).await;
    }
    let mut missing = holds.waiting.difference(&out).count() as u64;
    // Again when reading them was what found the damage.
    let mut letters = queue.dead_letters(None, 1_000).await;
    if letters.is_err() {
        letters = queue.dead_letters(None, 1_000).await;
    }
    let mut damaged = 0;
    let mut dead = BTreeSet::new();
    for letter in letters.unwrap_or_default() {
        let (seq, is_whole) = (letter.message.seq.0, letter.is_whole);
        assert!(!is_whole || !holds.settled.contains(&seq), "{seq} is done, and came back");
        assert!(!is_whole || letter.message.body == holds.body(seq), "a wrong payload of {seq}");
        // Also one that is whole, when what is known of its attempts is not.
        damaged += u64::from(!is_whole || letter.reason.code == "damaged");
        dead.extend(is_whole.then_some(seq));
    }
    missing += holds.dead.difference(&dead).count() as u64;
    let mut verified = queue.verify(None).await;
    if verified.is_err() {
        verified = queue.verify(None).await;
    }
    let damaged_kept = verified.map_or(0, |verified| verified.damaged.len() as u64).saturating_sub(damaged);
    let stats = queue.stats();
    missing += (holds.kept.len() as u64).saturating_sub(stats.kept) + damaged_kept;
    let outcome = match (missing, stats.trouble.is_some()) {
        (0, false) => "nothing",
        (0, true) => "trouble told, all out",
        (_, true) => "trouble told",
        (_, false) if damaged + damaged_kept >= missing => "buried as damaged",
        _ => "silent",
    };
    if outcome == "silent" || missing > number("QUEUE_TEST_SHOW", 3) {
        let lost: Vec<_> = holds.waiting.difference(&out).chain(holds.dead.difference(&dead)).collect();
        eprintln!("{lost:?}, {damaged} and {damaged_kept} damaged, {stats:?}");
    }
    let _ = tokio::time::timeout(Duration::from_secs(1), queue.close()).await;
    (outcome, missing)
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var_os(name).map_or(default, |number| number.to_str().unwrap().parse().unwrap())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// Where files are in memory, when there is such a place; it goes with the test.
struct Base(PathBuf);

impl Base {
    fn new(name: &str) -> Self {
        let fast = Path::new("/dev/shm");
        let base = if fast.is_dir() { fast } else { Path::new(env!("CARGO_TARGET_TMPDIR")) };
        Self(base.join(format!("queue-{name}-{}", std::process::id())))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// By outcome: how many, how many of them took more than a page, and the most that one took.
type Outcomes = BTreeMap<&'static str, (u64, u64, u64)>;

fn flips(share: u64, mut one: impl FnMut(&mut u64) -> (u64, (&'static str, u64))) -> Outcomes {
    let mut state = number("QUEUE_TEST_SEED", u64::from(std::process::id()));
    let is_long = std::env::var_os("LONGHAUL_TEST_LONG").is_some();
    let flips = number("QUEUE_TEST_FLIPS", if is_long { 10 * FLIPS } else { FLIPS }) / share;
    eprintln!("seed {state}");
    let mut outcomes = Outcomes::new();
    for _ in 0..flips {
        let (bit, (outcome, missing)) = one(&mut state);
        let (count, beyond, most) = outcomes.entry(outcome).or_default();
        (*count, *most) = (*count + 1, (*most).max(missing));
        *beyond += u64::from(missing > PAGE_MESSAGES);
        if missing > number("QUEUE_TEST_SHOW", 3) || ["silent", "refused to open"].contains(&outcome) {
            eprintln!("bit {bit} (page {}, byte {}): {outcome}, {missing}", bit / 8 / PAGE + 1, bit / 8 % PAGE);
        }
    }
    for (outcome, (count, beyond, most)) in &outcomes {
        eprintln!("{count:4} flips: {outcome}; {beyond} of them took more than a page, at most {most} messages");
    }
    outcomes
}

/// One bit at a time of a copy of `whole`, which holds this.
fn flip_used_pages(share: u64, (whole, flipped): (&Path, &Path), holds: &Holds, runtime: &tokio::runtime::Runtime) {
    let pages = used_pages(whole);
    let outcomes = flips(share, |state| {
        copy(whole, flipped);
        let bit = bit_of(&pages, state);
        flip(&flipped.join("queue.db"), bit);
        (bit, runtime.block_on(drain(flipped, holds)))
    });
    assert!(!outcomes.contains_key("silent") && !outcomes.contains_key("refused to open"), "{outcomes:?}");
    let beyond: u64 =
        outcomes.iter().filter(|(outcome, _)| **outcome != "newer").map(|(_, (_, beyond, _))| beyond).sum();
    assert_eq!(beyond, 0, "{outcomes:?}");
}

#[test]
fn a_flipped_bit_is_found_and_said() {
    let (base, runtime) = (Base::new("flips"), runtime());
    let (whole, flipped) = (base.at("whole"), base.at("flipped"));
    let holds = runtime.block_on(only_waiting(&whole));
    flip_used_pages(1, (&whole, &flipped), &holds, &runtime);
}

#[test]
fn a_flipped_bit_brings_nothing_back_that_is_done() {
    let (base, runtime) = (Base::new("flips-all"), runtime());
    let (whole, flipped) = (base.at("whole"), base.at("flipped"));
    let holds = runtime.block_on(async {
        let queue = open(&whole).unwrap();
        let holds = everything(&queue).await;
        queue.close().await;
        open(&whole).unwrap().close().await;
        holds
    });
    flip_used_pages(4, (&whole, &flipped), &holds, &runtime);
}

/// Of 100 bytes that say what the file is, with nobody to contradict them.
#[test]
fn a_flipped_bit_in_the_files_head_costs_nothing() {
    let (base, runtime) = (Base::new("flips-head"), runtime());
    let (whole, flipped) = (base.at("whole"), base.at("flipped"));
    let holds = runtime.block_on(only_waiting(&whole));
    let mut newer = Vec::new();
    let is_long = std::env::var_os("LONGHAUL_TEST_LONG").is_some();
    for bit in (0..800).filter(|bit| is_long || bit % 4 == 0 || (480..512).contains(bit)) {
        copy(&whole, &flipped);
        flip(&flipped.join("queue.db"), bit);
        match runtime.block_on(drain(&flipped, &holds)) {
            ("newer", _) => newer.push(bit),
            ("nothing" | "trouble told, all out", 0) => {}
            outcome => panic!("bit {bit} of byte {}: {outcome:?}", bit / 8),
        }
    }
    // Those of the format that make a small number of it: 3, 6, 10, 18, 34, 66.
    assert_eq!(newer, [504, 506, 507, 508, 509, 510], "and these cannot be told from a newer program's file");
}

/// As a kill leaves it, with what was committed last in the log. SQLite ends the log at a wrong frame.
#[test]
fn a_flipped_bit_in_the_log_costs_nothing() {
    let (base, runtime) = (Base::new("flips-log"), runtime());
    let (running, whole, flipped) = (base.at("running"), base.at("whole"), base.at("flipped"));
    let holds = runtime.block_on(async {
        let queue = open(&running).unwrap();
        let holds = everything(&queue).await;
        copy(&running, &whole);
        std::fs::copy(running.join("queue.db-wal"), whole.join("queue.db-wal")).unwrap();
        queue.close().await;
        holds
    });
    let frames = frames(&whole.join("queue.db-wal"));
    eprintln!("{frames} frames");
    assert!(frames > 20, "the log holds something");
    let outcomes = flips(4, |state| {
        copy(&whole, &flipped);
        std::fs::copy(whole.join("queue.db-wal"), flipped.join("queue.db-wal")).unwrap();
        let bit = one(random(state) % ((32 + frames * (24 + PAGE)) * 8));
        flip(&flipped.join("queue.db-wal"), bit);
        (bit, runtime.block_on(drain(&flipped, &holds)))
    });
    // Told, all of them; and where it cannot be known which bit it was, the wrong one costs what is on that page at the most.
    for (outcome, (_, _, most)) in &outcomes {
        assert!(outcome.starts_with("trouble told") && *most <= PAGE_MESSAGES / 10, "{outcomes:?}");
    }
}

/// Those that belong to the log as it is now: with its salts.
fn frames(log: &Path) -> u64 {
    let log = std::fs::File::open(log).unwrap();
    let mut salts = [0; 8];
    log.read_exact_at(&mut salts, 16).unwrap();
    let is_ours = |frame: &u64| {
        let mut found = [0; 8];
        log.read_exact_at(&mut found, 32 + frame * (24 + PAGE) + 8).is_ok() && found == salts
    };
    (0..).take_while(is_ours).count() as u64
}
