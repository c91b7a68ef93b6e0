//! What was acknowledged survives `kill -9`, at any moment.
//!
//! A child process (this test again) puts as fast as it can and says each receipt on its standard output; it is killed
//! at random. Killing a process loses no page cache: this proves the order of commit and receipt and the recovery of
//! the log, not the flush of the disk.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on has failed, and says why")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use queue::{Options, Place, Put, Queue, Reason, Retry, Settle};

const KILLS: u64 = 20;
const CHILD: [&str; 4] = ["--exact", "child", "--ignored", "--nocapture"];

fn open(dir: &Path) -> Queue {
    Queue::open(Options::on_disk(dir, Arc::new(|| 1_780_000_000_000))).unwrap()
}

fn put(lane: u64, number: u64) -> Put {
    Put {
        lane: format!("device-{lane}"),
        kind: "uplink_message".into(),
        head: Vec::new(),
        body: format!("{lane}:{number}:{}", "x".repeat(900)).into_bytes(),
        accepted_at: 1_780_000_000_000,
        place: Place::Lane,
    }
}

/// One line and one write for each, so that a kill cannot keep one back that another part of the program has seen.
fn say(line: &str) {
    std::io::stdout().lock().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Puts on 16 lanes, each in order, while everything that comes out is settled, retried or buried.
#[tokio::test(flavor = "current_thread")]
#[ignore = "run, and killed, by acked_put_survives_kill"]
async fn child() {
    let dir = PathBuf::from(std::env::var_os("QUEUE_TEST_KILLED").expect("set by acked_put_survives_kill"));
    let round: u64 = std::env::var_os("QUEUE_TEST_ROUND").unwrap().into_string().unwrap().parse().unwrap();
    // The test runner has begun a line of its own.
    say("");
    let queue = open(&dir);
    let puts: Vec<_> = (0..16).map(|lane| tokio::spawn(put_for_ever(queue.clone(), lane, round))).collect();
    let work = end_leases(queue.leases(8));
    match std::env::var_os("QUEUE_TEST_LIFE_MS") {
        Some(ms) => {
            let life = Duration::from_millis(ms.to_str().unwrap().parse().unwrap());
            let _ = tokio::time::timeout(life, work).await;
            std::process::exit(0);
        }
        None => work.await,
    }
    drop(puts);
}

/// An outcome that is refused is tried again when the message comes again.
async fn end_leases(mut leases: queue::Leases) {
    while let Some(lease) = leases.next().await {
        let body = String::from_utf8(lease.message().body.clone()).unwrap();
        let name = body.rsplit_once(':').unwrap().0.to_owned();
        let reason = Reason { code: "refused".into(), detail: "no".into() };
        let ended = match (lease.message().seq.0 % 4, lease.message().attempts) {
            (0, 0) => lease.retry(Retry { wait: Duration::ZERO, cause: "busy".into(), freeze: None }).await,
            (1, _) => lease.bury(reason, Settle::default()).await,
            _ => {
                say(&format!("settling {name}"));
                lease.settle(Settle::default()).await
            }
        };
        if ended.is_err() {
            say("refused");
        }
    }
}

async fn put_for_ever(queue: Queue, lane: u64, round: u64) {
    let mut number = round * 1_000_000;
    loop {
        match queue.put(put(lane, number)).await {
            Ok(receipt) => say(&format!("acked {lane}:{number} {}", receipt.seq.0)),
            Err(_) => {
                say("refused");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        number += 1;
    }
}

/// Starts a child, kills it after `life`, and returns what it said.
fn run_and_kill(dir: &Path, round: u64, life: Duration) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(CHILD)
        .env("QUEUE_TEST_KILLED", dir)
        .env("QUEUE_TEST_ROUND", round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (first, begun) = std::sync::mpsc::channel();
    let output = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        let lines = output.lines().map_while(Result::ok).inspect(|line| {
            if line.starts_with("acked") {
                let _ = first.send(());
            }
        });
        lines.collect::<Vec<_>>()
    });
    begun.recv_timeout(Duration::from_secs(30)).expect("the child begins to put");
    // Not a wait for something to happen: the moment of death is the point.
    let end = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    end.block_on(async { tokio::time::sleep(life).await });
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

#[test]
fn acked_put_survives_kill() {
    let dir = scratch("killed");
    let seed = u64::from(std::process::id());
    eprintln!("seed {seed}");
    let mut said = Vec::new();
    for round in 0..KILLS {
        // 5 to 260 ms, from the seed.
        let random = seed.wrapping_mul(6_364_136_223_846_793_005).rotate_left(round as u32);
        said.extend(run_and_kill(&dir, round, Duration::from_millis(5 + (random >> 56))));
    }
    check(&dir, &said);
}

/// Every 40th flush fails, as strace orders it. The system call is not made, so that nothing is promised that the disk
/// did not get.
#[test]
fn nothing_is_acked_by_a_failed_flush() {
    let dir = scratch("flush");
    let inject = ["-f", "-qq", "-o", "/dev/null", "-e", "inject=fsync,fdatasync:error=EIO:when=60+40"];
    let mut strace = Command::new("strace");
    let strace = strace.args(inject).arg(std::env::current_exe().unwrap()).args(CHILD);
    let strace = strace.env("QUEUE_TEST_KILLED", &dir).env("QUEUE_TEST_ROUND", "0").env("QUEUE_TEST_LIFE_MS", "3000");
    let Ok(output) = strace.output() else {
        eprintln!("skipped: no strace");
        return;
    };
    let said: Vec<_> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    let refused = said.iter().filter(|line| *line == "refused").count();
    assert!(refused > 10, "{refused} refused: {}", String::from_utf8_lossy(&output.stderr));
    eprintln!("{refused} refused");
    check(&dir, &said);
}

fn scratch(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    dir
}

/// Every receipt that was said is still in the queue, at its position, or was being settled.
fn check(dir: &Path, said: &[String]) {
    let (mut acked, mut settling) = (BTreeMap::new(), BTreeSet::new());
    for line in said {
        match *line.split(' ').collect::<Vec<_>>() {
            ["acked", name, seq] => drop(acked.insert(name, seq.parse::<u64>().unwrap())),
            ["settling", name] => drop(settling.insert(name)),
            _ => {}
        }
    }
    assert!(acked.len() > 200, "only {} receipts", acked.len());
    let found = tokio::runtime::Runtime::new().unwrap().block_on(everything(dir));
    let is_there = |name: &str| found.contains_key(name) || settling.contains(name);
    let lost: Vec<_> = acked.keys().filter(|name| !is_there(name)).collect();
    assert!(lost.is_empty(), "{} of {} lost: {lost:?}", lost.len(), acked.len());
    for (name, seq) in &found {
        assert!(acked.get(name.as_str()).is_none_or(|acked| acked == seq), "{name} at {seq}");
    }
    eprintln!("{} receipts, {} settled, {} found", acked.len(), settling.len(), found.len());
    let _ = std::fs::remove_dir_all(dir);
}

/// Name and position of everything that is still in the queue or buried. Checks the order on the way.
async fn everything(dir: &Path) -> BTreeMap<String, u64> {
    // Months later, so that all are due; the letters are counted, and must not have expired.
    let later = Options::on_disk(dir, Arc::new(|| 1_790_000_000_000));
    let queue = Queue::open(Options { dead_letters_age_ms_max: i64::MAX, ..later }).unwrap();
    let mut found = BTreeMap::new();
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    let mut leases = queue.leases(64);
    let mut settling = tokio::task::JoinSet::new();
    for _ in 0..queue.stats().waiting {
        let lease = leases.next().await.unwrap();
        let message = lease.message();
        let before = last.insert(message.lane.clone(), message.seq.0);
        assert!(before.is_none_or(|before| before < message.seq.0), "{} out of order", message.lane);
        found.insert(name(&message.body), message.seq.0);
        settling.spawn(lease.settle(Settle::default()));
    }
    while let Some(settled) = settling.join_next().await {
        settled.unwrap().unwrap();
    }
    for letter in queue.dead_letters(None, usize::MAX).await.unwrap() {
        found.insert(name(&letter.message.body), letter.message.seq.0);
    }
    found
}

fn name(body: &[u8]) -> String {
    String::from_utf8_lossy(body).rsplit_once(':').unwrap().0.to_owned()
}
