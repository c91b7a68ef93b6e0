//! All engines of the queue against the same model.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use queue::blobs::double::Account;
use queue::memory::Disk;
use queue::{Engine, Options, Queue};

mod run;

use run::{On, START, histories, holds, runner};

fn cases(short: u32, long: u32) -> u32 {
    if std::env::var_os("LONGHAUL_TEST_LONG").is_some() { long } else { short }
}

#[test]
fn the_reference_store_keeps_to_the_model() {
    let outcome = runner(cases(20_000, 1_000_000)).run(&histories(100), |steps| {
        holds(On::Engine(Engine::Memory(Disk::new())), &steps);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

/// As far as one process can tell. What several do to each other is in `fleet.rs`.
#[test]
fn a_shared_queue_keeps_to_the_model() {
    let outcome = runner(cases(20_000, 200_000)).run(&histories(100), |steps| {
        holds(On::Account(Box::new(|clock| Arc::new(Account::new(clock).client()))), &steps);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn files_keep_to_the_model() {
    let base = scratch();
    let (new, dir) = (base.join("new"), base.join("queue"));
    let clock = Arc::new(|| START);
    // Made once, and copied with holes where it is empty: a queue begins with 20 MiB of room for later.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async { Queue::open(Options::on_disk(&new, clock)).unwrap().close().await });
    let outcome = runner(cases(2_000, 20_000)).run(&histories(50), |steps| {
        let _ = std::fs::remove_dir_all(&dir);
        let copied = Command::new("cp").args(["-r", "--sparse=always"]).args([&new, &dir]).status();
        assert!(copied.unwrap().success());
        holds(On::Engine(Engine::Directory(dir.clone())), &steps);
        Ok(())
    });
    let _ = std::fs::remove_dir_all(&base);
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

/// In memory where there is such a file system: the logic is what is tried here, not the disk.
fn scratch() -> PathBuf {
    let fast = Path::new("/dev/shm");
    let base = if fast.is_dir() { fast } else { Path::new(env!("CARGO_TARGET_TMPDIR")) };
    base.join(format!("queue-model-{}", std::process::id()))
}
