//! `kill -9` at any moment, and flushes that fail.
//!
//! A child process (this test again) is at work and says what it knows on its standard output. Killing a process loses no page
//! cache: this proves the order of commit and receipt and the recovery of the log, not the flush of the disk.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::load::{open, work};
use super::{random, scratch, times, witness};

const CHILD: [&str; 4] = ["--exact", "kill::child", "--ignored", "--nocapture"];

/// One line and one write for each, so that a kill cannot keep one back that another part of the program has seen.
fn say(line: &str) {
    std::io::stdout().lock().write_all(format!("{line}\n").as_bytes()).unwrap();
}

#[tokio::test(flavor = "current_thread")]
#[ignore = "run, and killed, by acked_put_survives_kill"]
async fn child() {
    let dir = PathBuf::from(std::env::var_os("QUEUE_TEST_KILLED").expect("set by acked_put_survives_kill"));
    let round: u64 = std::env::var_os("QUEUE_TEST_ROUND").unwrap().into_string().unwrap().parse().unwrap();
    // The test runner has begun a line of its own.
    say("");
    let work = work(open(&dir), round, Arc::new(|line: String| say(&line)));
    match std::env::var_os("QUEUE_TEST_LIFE_MS") {
        Some(ms) => {
            let life = Duration::from_millis(ms.to_str().unwrap().parse().unwrap());
            let _ = tokio::time::timeout(life, work).await;
            std::process::exit(0);
        }
        None => work.await,
    }
}

/// Starts a child, kills it after `life`, and returns what it said.
#[expect(clippy::disallowed_methods, reason = "not a wait for something to happen: the moment of death is the point")]
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
    std::thread::sleep(life);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

#[test]
fn acked_put_survives_kill() {
    let dir = scratch("killed");
    let mut seed = u64::from(std::process::id());
    eprintln!("seed {seed}");
    let mut said = Vec::new();
    let kills = times(30, 2_000);
    for round in 0..kills {
        said.extend(run_and_kill(&dir, round, Duration::from_millis(5 + random(&mut seed) % 256)));
    }
    holds(&dir, &said);
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
    holds(&dir, &said);
}

/// Every receipt that was said is still in the queue, at its position, or was being settled.
fn holds(dir: &Path, said: &[String]) {
    let findings = witness::look(dir, said);
    assert!(findings.acked > 200, "only {} receipts", findings.acked);
    assert!(findings.lost.is_empty(), "{} of {} lost: {:?}", findings.lost.len(), findings.acked, findings.lost);
    eprintln!("{} receipts, {} settled, {} found", findings.acked, findings.settled, findings.found);
    let _ = std::fs::remove_dir_all(dir);
}
