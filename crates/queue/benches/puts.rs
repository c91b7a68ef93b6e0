//! Durable puts per second, and the whole way through, beside an append-only log on the same disk in the same run.
//!
//! `cargo bench -p queue --bench puts [-- DIR]`: rounds are interleaved, the median counts, the ratio is what to quote.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a bench prints, and stops when it cannot go on"
)]

#[path = "log.rs"]
mod log;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use queue::{Options, Place, Put, Queue, Settle};
use tokio::time::Instant;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(1);
/// How many wait at once, so how many share a flush.
const WAITING: [usize; 3] = [1, 64, 256];
const BODY_BYTES: usize = 1_024;

fn main() {
    // cargo adds `--bench`.
    let dir = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let dir = dir.map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-puts"), PathBuf::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    println!("1 KiB bodies, {ROUNDS} rounds of {ROUND:?} each, interleaved; median per second");
    println!("{:>8} {:>12} {:>12} {:>7} {:>14}", "waiting", "log", "queue", "ratio", "put to settle");
    for waiting in WAITING {
        let (mut logs, mut puts, mut ways) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            logs.push(runtime.block_on(with_log(&dir, waiting)));
            puts.push(runtime.block_on(with_queue(&dir, waiting, false)));
            ways.push(runtime.block_on(with_queue(&dir, waiting, true)));
        }
        let (log, put, way) = (median(logs), median(puts), median(ways));
        println!("{waiting:>8} {log:>12.0} {put:>12.0} {:>7.2} {way:>14.0}", put / log);
    }
    let _ = std::fs::remove_dir_all(&dir);
}

async fn with_log(dir: &Path, waiting: usize) -> f64 {
    let _ = std::fs::remove_dir_all(dir);
    let log = log::Log::create(dir).unwrap();
    measure(waiting, move |lane, n| {
        let log = log.clone();
        async move { log.append(body(lane, n)).await }
    })
    .await
}

async fn with_queue(dir: &Path, waiting: usize, settle: bool) -> f64 {
    let _ = std::fs::remove_dir_all(dir);
    let queue = Queue::open(Options::on_disk(dir, Arc::new(|| 0))).unwrap();
    let (done, settled) = std::sync::mpsc::channel();
    if settle {
        let mut leases = queue.leases(waiting);
        tokio::spawn(async move {
            while let Some(lease) = leases.next().await {
                let done = done.clone();
                tokio::spawn(async move {
                    // The last ones find the queue closed.
                    if lease.settle(Settle::default()).await.is_ok() {
                        let _ = done.send(());
                    }
                });
            }
        });
    }
    let putter = queue.clone();
    let per_second = measure(waiting, move |lane, n| {
        let queue = putter.clone();
        async move {
            let (lane_name, kind, head) =
                (format!("device-{lane}-{}", n % 16), "uplink_message".to_owned(), vec![0; 100]);
            let put = Put { lane: lane_name, kind, head, body: body(lane, n), accepted_at: 0, place: Place::Lane };
            queue.put(put).await.unwrap();
        }
    })
    .await;
    let both = settled.try_iter().count() as f64 / ROUND.as_secs_f64();
    queue.close().await;
    if settle { both } else { per_second }
}

/// How often `operation` ends within a second, when `waiting` of them are always under way.
async fn measure<F>(waiting: usize, operation: impl Fn(usize, usize) -> F + Clone + Send + 'static) -> f64
where
    F: Future<Output = ()> + Send + 'static,
{
    let end = Instant::now() + ROUND;
    let tasks: Vec<_> = (0..waiting)
        .map(|lane| {
            let operation = operation.clone();
            tokio::spawn(async move {
                let mut count = 0;
                while Instant::now() < end {
                    operation(lane, count).await;
                    count += 1;
                }
                count
            })
        })
        .collect();
    let mut count = 0;
    for task in tasks {
        count += task.await.unwrap();
    }
    count as f64 / ROUND.as_secs_f64()
}

fn body(lane: usize, n: usize) -> Vec<u8> {
    (0..BODY_BYTES).map(|at| (at ^ lane ^ n) as u8).collect()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
