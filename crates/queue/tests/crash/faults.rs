//! Each call to the disk of a short life goes wrong, one at a time, in each way that a disk knows: nothing is promised that is not
//! there, and the next life begins as if nothing had been.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use queue::{Lease, OpenError, Queue, Reason, Retry, Settle};
use tokio::time::timeout;

use super::load::{name, options, put};
use super::{scratch, times, witness};

const FAULTS: [&str; 7] = ["eio", "enospc", "eintr", "short", "delay", "kill", "kill_after"];
/// Fewer would mean that the library does not hear of them.
const CALLS_MIN: usize = 40;
/// A refused put is tried again at this pace until the queue is open again, which is tried twice a second.
const AGAIN: Duration = Duration::from_millis(50);
/// What a life says that could not begin.
const NOT_OPENED: &str = "not opened";
const PATIENCE: Duration = Duration::from_secs(10);

/// Six puts, and one of each outcome: what is refused is done again, so that every life comes to its end.
#[tokio::test(flavor = "current_thread")]
#[ignore = "run by every_call_to_the_disk_may_go_wrong, with a library that has them go wrong"]
async fn child() {
    let dir = PathBuf::from(std::env::var_os("QUEUE_TEST_FAULTS").expect("set by who runs this"));
    let say = |line: String| std::io::stdout().lock().write_all(format!("{line}\n").as_bytes()).unwrap();
    say(String::new());
    // Whoever runs it starts it again, and reads why.
    let queue = match Queue::open(options(&dir)) {
        Ok(queue) => queue,
        Err(error @ OpenError::Store { .. }) => {
            say(format!("{NOT_OPENED}: {error}"));
            std::process::exit(0);
        }
        Err(error) => panic!("{error}"),
    };
    let (mut kept, mut number) = (0, 0);
    while kept < 6 {
        // What was refused may be there all the same, so it is another message.
        number += 1;
        match queue.put(put(kept % 3, number)).await {
            Ok(receipt) => {
                say(format!("acked {}:{number} {}", kept % 3, receipt.seq.0));
                kept += 1;
            }
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
    let mut leases = queue.leases(1);
    for nth in 0..4 {
        loop {
            let lease = timeout(PATIENCE, leases.next()).await.expect("it comes again").unwrap();
            if nth != 0 && nth != 3 {
                say(format!("settling {}", name(&lease.message().body)));
            }
            if end(lease, nth).await {
                break;
            }
        }
    }
    drop(leases);
    queue.close().await;
    say("done".into());
    std::process::exit(0);
}

async fn end(lease: Lease, nth: u32) -> bool {
    let reason = Reason { code: "refused".into(), detail: "no".into() };
    let retry = Retry { wait: Duration::from_secs(3_600), cause: "busy".into(), freeze: None };
    let ended = match nth {
        0 => lease.bury(reason, Settle::default()).await,
        1 => lease.keep().await,
        2 => lease.settle(Settle::default()).await,
        _ => lease.retry(retry).await,
    };
    ended.is_ok()
}

struct Life {
    said: Vec<String>,
    is_whole: bool,
    is_open: bool,
    stderr: String,
}

fn live(dir: &Path, library: &Path, fault: Option<(&str, usize)>, count: &Path) -> Life {
    let (what, at) = fault.unwrap_or(("none", 0));
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "faults::child", "--ignored", "--nocapture"])
        .env("QUEUE_TEST_FAULTS", dir)
        .env("LD_PRELOAD", library)
        .env("FAULT", what)
        .env("FAULT_AT", at.to_string())
        .env("FAULT_COUNT", count)
        .output()
        .unwrap();
    let said: Vec<_> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    let is_whole = said.iter().any(|line| line == "done");
    let is_open = said.iter().all(|line| !line.starts_with(NOT_OPENED));
    Life { said, is_whole, is_open, stderr: String::from_utf8_lossy(&output.stderr).into_owned() }
}

/// As `before` says, or from nothing.
fn try_one(dir: &Path, before: Option<&Path>, library: &Path, (what, at): (&str, usize)) -> Option<String> {
    let count = dir.with_extension("count");
    let _ = std::fs::remove_dir_all(dir);
    if let Some(before) = before {
        // With holes where it is empty: it is mostly room for later.
        let copied = Command::new("cp").args(["-r", "--sparse=always"]).args([before, dir]).status();
        assert!(copied.unwrap().success());
    }
    let life = live(dir, library, Some((what, at)), &count);
    if life.is_open && !life.is_whole && !what.starts_with("kill") {
        return Some(format!("{what} at {at}: it broke: {}{}", life.said.join("\n"), life.stderr));
    }
    let findings = witness::look(dir, &life.said);
    (!findings.lost.is_empty()).then(|| format!("{what} at {at}: lost {:?}", findings.lost))
}

#[test]
fn every_call_to_the_disk_may_go_wrong() {
    // In memory, for what a call does to the disk is not what is tried.
    let base = match Path::new("/dev/shm") {
        memory if memory.is_dir() => memory.join(format!("queue-faults-{}", std::process::id())),
        _ => scratch("faults"),
    };
    std::fs::create_dir_all(&base).unwrap();
    let (source, library) = (base.join("faults.c"), base.join("libfaults.so"));
    std::fs::write(&source, include_str!("faults.c")).unwrap();
    let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).status();
    assert!(built.unwrap().success());
    let (count, before) = (base.join("count"), base.join("before"));
    let calls = |dir: &Path| {
        let life = live(dir, &library, None, &count);
        assert!(life.is_whole, "{}", life.stderr);
        std::fs::read_to_string(&count).unwrap().parse::<usize>().unwrap()
    };
    let from_nothing = calls(&before);
    witness::look(&before, &[]);
    let copied = base.join("copied");
    assert_eq!(try_one(&copied, Some(&before), &library, ("none", 0)), None);
    let from_before = std::fs::read_to_string(copied.with_extension("count")).unwrap().parse::<usize>().unwrap();
    assert!(from_before >= CALLS_MIN, "{from_before}");

    // Making the files is some two thousand calls, most of them alike.
    let step = usize::try_from(times(100, 1)).unwrap();
    let making = (1..=from_nothing).step_by(step).map(|at| (None, at));
    let points: Vec<_> = (1..=from_before).map(|at| (Some(&before), at)).chain(making).collect();
    // Those that come to little are tried at each fourth of them, unless there is time.
    let little = |what: &str| ["eintr", "delay", "kill_after"].contains(&what);
    let step = |what: &str| if little(what) { usize::try_from(times(4, 1)).unwrap() } else { 1 };
    let of = |what: &'static str| points.iter().step_by(step(what)).map(move |point| (what, *point));
    let cases: Vec<_> = FAULTS.into_iter().flat_map(of).collect();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(BTreeSet::new()));
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (base, library, cases, next, wrong) = (&base, &library, &cases, &next, &wrong);
            scope.spawn(move || {
                let dir = base.join(format!("queue-{thread}"));
                while let Some((what, (before, at))) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let before = before.map(PathBuf::as_path);
                    if let Some(what) = try_one(&dir, before, library, (what, *at)) {
                        wrong.lock().unwrap().insert(what);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    let ways = FAULTS.len();
    eprintln!("{from_before} of {from_nothing} calls, {ways} ways: {} lives, {} wrong", cases.len(), wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    let _ = std::fs::remove_dir_all(base);
}
