//! The power goes at any moment: what was not flushed is gone with it.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use disks::Volume;

use super::load::{open, work};
use super::{random, scratch, times, witness};

/// Without flushes a power cut must lose something, or this is no power cut.
const CUTS_WITHOUT_FLUSH: u64 = 20;

/// What came of it.
#[derive(Debug, Default)]
struct Sum {
    acked: usize,
    lost: usize,
}

/// Works, loses its power after 2 to 33 ms, looks; again and again, with the same files.
fn cuts(name: &str, count: u64) -> Result<Sum, String> {
    let mut seed = u64::from(std::process::id());
    eprintln!("seed {seed}");
    let mut volume = Volume::new(&scratch(name), 64)?;
    let dir = volume.path().join("queue");
    let mut sum = Sum::default();
    for round in 0..count {
        let said = work_until_cut(&dir, round, Duration::from_millis(2 + random(&mut seed) % 32), &mut volume);
        volume.back();
        let findings = witness::look(&dir, &said);
        sum.acked += findings.acked;
        sum.lost += findings.lost.len();
        if !findings.lost.is_empty() {
            eprintln!("cut {round}: lost {:?}", findings.lost);
        }
    }
    Ok(sum)
}

#[expect(clippy::disallowed_methods, reason = "not a wait for something to happen: the moment of the cut is the point")]
fn work_until_cut(dir: &Path, round: u64, life: Duration, volume: &mut Volume) -> Vec<String> {
    let said = Arc::new(Mutex::new(Some(Vec::new())));
    let hears = said.clone();
    let say = Arc::new(move |line| {
        if let Some(said) = &mut *hears.lock().unwrap() {
            said.push(line);
        }
    });
    let queue = open(dir);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let working = runtime.spawn(work(queue.clone(), round, say));
    std::thread::sleep(life);
    volume.cut();
    // What is said once the power is gone is said by nobody; what was said before counts.
    let said = said.lock().unwrap().take().unwrap();
    working.abort();
    runtime.block_on(async {
        let _ = working.await;
        queue.close().await;
    });
    said
}

#[test]
fn acked_put_survives_a_power_cut() {
    let count = times(500, 10_000);
    match cuts("power", count) {
        Ok(Sum { acked, lost }) => {
            eprintln!("{count} power cuts, {acked} receipts, {lost} lost");
            assert!(acked > 1_000 && lost == 0, "{lost} of {acked} lost");
        }
        Err(why) => eprintln!("NOT PROVED: {why}"),
    }
}

#[test]
#[ignore = "run by without_flushes_a_power_cut_loses_what_was_acked, with a library that does not flush"]
fn child() {
    let Sum { acked, lost } = cuts("power-without-flush", CUTS_WITHOUT_FLUSH).unwrap();
    eprintln!("acked {acked}, lost {lost}");
}

/// The witness would see it.
#[test]
fn without_flushes_a_power_cut_loses_what_was_acked() {
    if let Err(why) = Volume::new(&scratch("power-at-all"), 8) {
        eprintln!("NOT PROVED: {why}");
        return;
    }
    let dir = scratch("without-flush");
    std::fs::create_dir_all(&dir).unwrap();
    let (source, library) = (dir.join("flush.c"), dir.join("libflush.so"));
    std::fs::write(&source, "int fsync(int fd) { return 0 * fd; }\nint fdatasync(int fd) { return 0 * fd; }\n")
        .unwrap();
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status().unwrap();
    assert!(built.success());
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "power::child", "--ignored", "--nocapture"])
        .env("LD_PRELOAD", &library)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let lost = said.rsplit_once(", lost ").and_then(|(_, lost)| lost.trim().parse::<u64>().ok());
    eprintln!("{CUTS_WITHOUT_FLUSH} power cuts without flushes: {lost:?} lost");
    assert!(lost.is_some_and(|lost| lost > 0), "{said}");
    let _ = std::fs::remove_dir_all(dir);
}
