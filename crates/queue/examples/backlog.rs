//! What a backlog costs: fills a queue, opens it again, and tells how soon it takes a put, when it is loaded, how much
//! memory it has, and how fast it drains.
//!
//! `cargo run --release -p queue --example backlog -- DIR [MESSAGES [DEVICES]]`

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "an example prints, and stops when it cannot go on")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use queue::{Options, Place, Put, Queue, Settle};
use tokio::task::JoinSet;
use tokio::time::Instant;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().expect("a directory"));
    let mut number = |default| arguments.next().map_or(default, |number| number.parse().expect("a number"));
    let (messages, devices): (u64, u64) = (number(720_000), number(10_000));
    let open = || Queue::open(Options::on_disk(&dir, Arc::new(|| 0))).unwrap();
    fill(open(), messages, devices).await;
    println!("resident before: {} KiB", resident_kib());
    let begin = Instant::now();
    let queue = open();
    println!("opened in {:?}", begin.elapsed());
    queue.put(put(0, devices)).await.unwrap();
    println!("first put acknowledged after {:?}", begin.elapsed());
    let mut leases = queue.leases(512);
    let first = leases.next().await.unwrap();
    println!("first lease after {:?}", begin.elapsed());
    drop(first);
    while !queue.stats().loaded {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!("loaded after {:?}, resident {} KiB, {:?}", begin.elapsed(), resident_kib(), queue.stats());
    let begin = Instant::now();
    let mut settling = JoinSet::new();
    let some = messages.min(100_000);
    for _ in 0..some {
        settling.spawn(leases.next().await.unwrap().settle(Settle::default()));
        while settling.try_join_next().is_some() {}
    }
    while settling.join_next().await.is_some() {}
    println!("{:.0} settled a second, resident {} KiB", some as f64 / begin.elapsed().as_secs_f64(), resident_kib());
    queue.close().await;
}

async fn fill(queue: Queue, messages: u64, devices: u64) {
    let begin = Instant::now();
    let mut puts = JoinSet::new();
    for n in 0..messages {
        if puts.len() >= 1_000 {
            puts.join_next().await.unwrap().unwrap();
        }
        let queue = queue.clone();
        puts.spawn(async move { queue.put(put(n, devices)).await.map(|_| ()).unwrap() });
    }
    while puts.join_next().await.is_some() {}
    println!("filled with {:.0} puts a second: {:?}", messages as f64 / begin.elapsed().as_secs_f64(), queue.stats());
    queue.close().await;
}

fn put(n: u64, devices: u64) -> Put {
    Put {
        lane: format!("t/network/application/device-{}", n * 7_919 % devices),
        kind: "uplink_message".into(),
        head: vec![b'h'; 120],
        body: (0..1_300).map(|at: u64| (at ^ n) as u8).collect(),
        accepted_at: 0,
        place: Place::Lane,
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}
