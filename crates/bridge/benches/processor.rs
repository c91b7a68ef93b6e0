//! Processor time of the bridge alone: from the post to the webhook to the hub's `accepted`, over TLS, as seconds for each
//! 10 000 messages. Bridge and simulator are processes of their own; the load comes from a third. 1 000 devices, all
//! registered and attached before it is measured. Then the same over AMQP at a rate, with nobody who looks, and with a listener of
//! `/api/v1/live` while `/api/v1/snapshot` and `/metrics` are asked for each second. What the facts behind them cost when nobody
//! looks shows when the figures of the commit before them (cf9358d) are put beside.
//!
//! `cargo bench -p bridge --bench processor`

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints, and stops when it cannot go on")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

const LONGHAUL: &str = env!("CARGO_BIN_EXE_longhaul");
const DEVICES: u32 = 1_000;
const MESSAGES: u32 = 10_000;
/// Messages a second, and how many, while somebody looks or nobody does; in turns, so often.
const RATE: u32 = 5_000;
const LOOKED_AT: u32 = 50_000;
const ROUNDS: u32 = 3;
const TRANSPORTS: [&str; 3] = ["amqp", "amqp-ws", "https"];
/// As the kernel counts processor time.
const TICKS_PER_SECOND: f64 = 100.0;
/// Everything is delivered within this, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(120);

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// User and system time so far, seconds.
    fn processor_s(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: f64 = fields[11..=12].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum();
        ticks / TICKS_PER_SECOND
    }
}

fn main() {
    println!("{MESSAGES} messages of {DEVICES} devices, processor seconds");
    println!("| transport | bridge | simulator | wall s |");
    println!("|---|---|---|---|");
    for transport in TRANSPORTS {
        measure(transport);
    }
    println!("{LOOKED_AT} messages at {RATE} a second over amqp, processor seconds of the bridge");
    println!("| round | nobody looks | page and metrics each second |");
    println!("|---|---|---|");
    for round in 1..=ROUNDS {
        println!("| {round} | {:.2} | {:.2} |", at_a_rate(false), at_a_rate(true));
    }
}

/// Processor seconds of the bridge.
fn at_a_rate(looks: bool) -> f64 {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-processor-looked-at");
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    let (_simulator, azure) = simulator(&dir);
    let (bridge, webhook, admin) = bridge(&dir, &azure, "amqp");
    let record = dir.join("record.jsonl");
    post(webhook, DEVICES, None);
    wait(&record, DEVICES);
    let over = Arc::new(AtomicBool::new(!looks));
    let looker = std::thread::spawn({
        let over = over.clone();
        move || look(admin, &over)
    });
    let before = bridge.processor_s();
    post(webhook, LOOKED_AT, Some(RATE));
    wait(&record, DEVICES + LOOKED_AT);
    let took = bridge.processor_s() - before;
    over.store(true, Ordering::Relaxed);
    looker.join().unwrap();
    took
}

/// As one page and one scraper do.
#[expect(clippy::disallowed_methods, reason = "looks once a second, as they do")]
fn look(admin: u16, over: &AtomicBool) {
    if over.load(Ordering::Relaxed) {
        return;
    }
    let ask = |path: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", admin)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
        stream
    };
    let mut live = ask("/api/v1/live");
    let listener = std::thread::spawn(move || std::io::copy(&mut live, &mut std::io::sink()));
    while !over.load(Ordering::Relaxed) {
        for path in ["/api/v1/snapshot", "/metrics"] {
            let mut said = Vec::new();
            ask(path).read_to_end(&mut said).unwrap();
            assert!(said.starts_with(b"HTTP/1.1 200"), "{path}");
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    drop(listener); // it ends with the bridge
}

fn measure(transport: &str) {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-processor-{transport}"));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    let (simulator, azure) = simulator(&dir);
    let (bridge, webhook, _) = bridge(&dir, &azure, transport);
    let record = dir.join("record.jsonl");
    post(webhook, DEVICES, None);
    wait(&record, DEVICES);
    let (before, azure_before, began) = (bridge.processor_s(), simulator.processor_s(), Instant::now());
    post(webhook, MESSAGES, None);
    wait(&record, DEVICES + MESSAGES);
    println!(
        "| {transport} | {:.2} | {:.2} | {:.1} |",
        bridge.processor_s() - before,
        simulator.processor_s() - azure_before,
        began.elapsed().as_secs_f64()
    );
    drop((bridge, simulator));
    let _ = std::fs::remove_dir_all(&dir);
}

fn simulator(dir: &Path) -> (Process, serde_json::Value) {
    let mut command = Command::new(LONGHAUL);
    command.args([
        "azure-sim",
        "--https",
        "0",
        "--amqp",
        "0",
        "--mqtt",
        "0",
        "--page",
        "0",
        "--json",
        "--dps-retry-after",
        "0",
    ]);
    command.args(["--record", "record.jsonl"]).current_dir(dir).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (Process(child), serde_json::from_str(&line).unwrap())
}

fn bridge(dir: &Path, azure: &serde_json::Value, transport: &str) -> (Process, u16, u16) {
    let port = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (webhook, admin) = (port(), port());
    let text = format!(
        "[webhook]\nlisten = \"127.0.0.1:{webhook}\"\n[admin]\nlisten = \"127.0.0.1:{admin}\"\n\
         [azure]\nca_file = {}\nports = {{ https = {}, amqp = {} }}\ntransport = \"{transport}\"\n\
         registrations_per_minute = 0\nattaches_per_second = 0\n\
         [targets.main]\nkind = \"dps\"\nendpoint = {}\nid_scope = {}\ngroup_key = {}\n[[routes]]\ntarget = \"main\"\n",
        azure["ca_file"], azure["https"], azure["amqp"], azure["dps_endpoint"], azure["id_scope"], azure["group_key"],
    );
    std::fs::write(dir.join("longhaul.toml"), text).unwrap();
    let mut command = Command::new(LONGHAUL);
    command.args(["run", "--config", "longhaul.toml"]).current_dir(dir).stdout(Stdio::null()).stderr(Stdio::null());
    let bridge = Process(command.spawn().unwrap());
    let began = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", webhook)).is_err() {
        assert!(began.elapsed() < PATIENCE, "the bridge does not start");
        std::thread::yield_now();
    }
    (bridge, webhook, admin)
}

fn post(webhook: u16, count: u32, rate: Option<u32>) {
    let url = format!("http://127.0.0.1:{webhook}");
    let (devices, count) = (DEVICES.to_string(), count.to_string());
    let mut command = Command::new(LONGHAUL);
    command
        .args(["send", "--url", &url, "--devices", &devices, "--count", &count])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(rate) = rate {
        command.args(["--rate", &rate.to_string()]);
    }
    assert!(command.status().unwrap().success());
}

/// Until the hub has recorded so many.
#[expect(clippy::disallowed_methods, reason = "looks every 20 ms, with a bound")]
fn wait(record: &PathBuf, count: u32) {
    let began = Instant::now();
    loop {
        let lines = std::fs::read(record).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count();
        if lines >= count as usize {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{lines} of {count} are delivered");
        std::thread::sleep(Duration::from_millis(20));
    }
}
