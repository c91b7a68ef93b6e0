//! The whole way: from a post to the webhook to the record of the simulated IoT Hub, over real sockets and TLS, with
//! every device registered before it is measured.
//!
//! `cargo bench -p bridge --bench whole_way [-- DIR]`: bridge, simulator and sender share one process and its processors,
//! so the figures are a lower bound for a bridge that has the machine to itself.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints, and stops when it cannot go on")]

mod books;
mod site;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use self::books::Books;
use self::site::Site;

const ROUNDS: u32 = 5;
const DEVICES: [u32; 2] = [100, 1_000];
const TRANSPORTS: [&str; 3] = ["amqp", "amqp-ws", "https"];
/// Messages in one round at full speed.
const BURST: u32 = 10_000;
/// Messages in one round at a rate, and how many of them a second.
const CALM: u32 = 400;
const RATE: f64 = 200.0;

fn main() {
    // cargo adds `--bench`.
    let dir = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let dir = dir.map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-whole-way"), PathBuf::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("{ROUNDS} rounds each: {BURST} messages as fast as they are answered, {CALM} at {RATE} a second; medians");
    println!(
        "| transport | devices | answered, per s | delivered, per s | at {RATE}/s: answer p50/p99 ms | record p50/p99 ms |"
    );
    println!("|---|---|---|---|---|---|");
    for devices in DEVICES {
        for transport in TRANSPORTS {
            runtime.block_on(measure(&dir, devices, transport));
        }
    }
    let _ = std::fs::remove_dir_all(&dir);
}

async fn measure(dir: &Path, devices: u32, transport: &str) {
    let _ = std::fs::remove_dir_all(dir);
    let books = Arc::new(Books::default());
    let site = Site::start(dir, books.clone(), transport).await;
    site.post(devices, 1, 1, None).await; // everybody registers
    books.all_recorded(u64::from(devices)).await;
    let (mut answered, mut delivered, mut calm) = (Vec::new(), Vec::new(), Vec::new());
    let mut next = 2;
    for _ in 0..ROUNDS {
        let each = BURST / devices;
        books.begin();
        let began = Instant::now();
        site.post(devices, next, each, None).await;
        answered.push(f64::from(each * devices) / began.elapsed().as_secs_f64());
        books.all_recorded(u64::from(each * devices)).await;
        delivered.push(f64::from(each * devices) / began.elapsed().as_secs_f64());
        next += each;

        let each = (CALM / devices).max(1);
        let many = CALM.min(devices);
        books.begin();
        site.post(many, next, each, Some(RATE)).await;
        books.all_recorded(u64::from(each * many)).await;
        calm.push(books.waits());
        next += each;
    }
    site.stop().await;
    let calm = |figure: fn(&books::Waits) -> f64| median(calm.iter().map(figure).collect());
    println!(
        "| {transport} | {devices} | {:.0} | {:.0} | {:.1} / {:.1} | {:.1} / {:.1} |",
        median(answered),
        median(delivered),
        calm(|w| w.answer_p50_ms),
        calm(|w| w.answer_p99_ms),
        calm(|w| w.record_p50_ms),
        calm(|w| w.record_p99_ms),
    );
}

/// When the message with this number goes, counted from `began`.
async fn moment(began: Instant, number: u32, rate: Option<f64>) -> Instant {
    if let Some(rate) = rate {
        let moment = began + Duration::from_secs_f64(f64::from(number) / rate);
        sleep_until(moment).await;
        return moment;
    }
    Instant::now()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
