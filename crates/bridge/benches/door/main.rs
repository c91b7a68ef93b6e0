//! The door under load: messages accepted and durable per second, beside the same server without a store and beside one
//! that only appends to a log.
//!
//! `cargo bench -p bridge --bench door [-- DIR]`: the load comes from a process of its own, so that the processor time is
//! the door's alone; rounds are interleaved, the median counts, the ratio is what to quote. Nothing drains the queue
//! meanwhile: this is a hub that is down.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints, and stops when it cannot go on")]

mod load;
mod stores;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::load::Result;
use self::stores::{Store, Up};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(1_500);
const CONNECTIONS: [usize; 2] = [64, 256];
const KEY: &str = "a key of the usual length, 32 up";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, address, connections] = &arguments[..]
        && mode == "--load"
    {
        return load::main(address.parse().unwrap(), connections.parse().unwrap());
    }
    // cargo adds `--bench`.
    let dir = arguments.into_iter().find(|argument| !argument.starts_with('-'));
    let dir = dir.map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-door"), PathBuf::from);
    // As `longhaul run` has it: a worker thread for each core.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let bytes = load::requests(0).first().map_or(0, Vec::len);
    println!("{bytes} bytes a request, {ROUNDS} rounds of {ROUND:?} each, interleaved; medians");
    println!("| connections | behind the door | per second | of no store | p50 ms | p99 ms | processor us |");
    println!("|---|---|---|---|---|---|---|");
    for connections in CONNECTIONS {
        let mut results = Store::ALL.map(|_| Vec::new());
        for _ in 0..ROUNDS {
            for (store, results) in Store::ALL.iter().zip(&mut results) {
                results.push(runtime.block_on(round(*store, &dir, connections)));
            }
        }
        print(connections, &results);
    }
    let _ = std::fs::remove_dir_all(&dir);
}

async fn round(store: Store, dir: &Path, connections: usize) -> Result {
    let _ = std::fs::remove_dir_all(dir);
    let up = Up::open(store, dir).await;
    let before = processor_time();
    let mut result = drive(up.address, connections).await;
    result.processor_us = (processor_time() - before).as_secs_f64() * 1e6 / result.answered;
    up.close(result.answered).await;
    result
}

async fn drive(address: SocketAddr, connections: usize) -> Result {
    let program = std::env::current_exe().unwrap();
    let arguments = ["--load".to_owned(), address.to_string(), connections.to_string()];
    let output = tokio::process::Command::new(program).args(arguments).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Result::read(&String::from_utf8(output.stdout).unwrap())
}

fn print(connections: usize, results: &[Vec<Result>]) {
    let of = |results: &[Result], figure: fn(&Result) -> f64| median(results.iter().map(figure).collect());
    let bare = of(&results[0], |r| r.per_second);
    for (store, results) in Store::ALL.iter().zip(results) {
        let per_second = of(results, |r| r.per_second);
        println!(
            "| {connections} | {} | {per_second:.0} | {:.2} | {:.2} | {:.2} | {:.0} |",
            store.name(),
            per_second / bare,
            of(results, |r| r.p50_ms),
            of(results, |r| r.p99_ms),
            of(results, |r| r.processor_us),
        );
    }
}

/// Of this process so far, all threads. The kernel counts in hundredths of a second.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
