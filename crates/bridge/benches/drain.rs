//! A hub was away, comes back, and takes so many messages a second: how long until what waited is there, and what does it cost those
//! who have something to say meanwhile?
//!
//! `cargo bench -p bridge --bench drain [-- BACKLOG [PER_SECOND]]`: bridge, simulator and senders are processes of the same binary on
//! this machine, so it must be able to carry more than the hub takes. Two thousand devices have the backlog; a thousand others, which
//! have nothing waiting, say 50 things a second. The least time is that of a hub with one spare second, less what the others take.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints, and stops when it cannot go on")]
#![expect(
    clippy::disallowed_methods,
    reason = "it only watches processes: its time is the machine's, and its thread may wait"
)]

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

const LONGHAUL: &str = env!("CARGO_BIN_EXE_longhaul");
const DEVICES: u32 = 2_000;
const OTHERS: u32 = 1_000;
const OTHERS_PER_SECOND: u32 = 50;
const HTTPS: u16 = 21_001;
const AMQP: u16 = 21_002;
const PAGE: u16 = 21_003;
const WEBHOOK: u16 = 21_004;
const ADMIN: u16 = 21_005;
const LOOK: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(120);

/// A process that ends with the bench.
struct Process(Child);

impl Process {
    fn start(dir: &Path, name: &str, arguments: &[&str], group_key: &str) -> Self {
        let file = |end: &str| File::create(dir.join(format!("{name}.{end}"))).unwrap();
        let mut command = Command::new(LONGHAUL);
        command.args(arguments).current_dir(dir).env("GROUP_KEY", group_key).stdin(Stdio::null());
        Self(command.stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap())
    }

    /// Resident memory in MiB.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn http(port: u16, method: &str, path: &str, body: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost:{port}\r\nconnection: close\r\n");
    let head = head + &format!("content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(head.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.starts_with("HTTP/1.1 200").then_some(answer)
}

fn faults(faults: &str) {
    http(PAGE, "POST", "/api/faults", faults).unwrap();
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        sleep(LOOK);
    }
}

/// What the simulated hub took, as it is written.
struct Record {
    path: PathBuf,
    file: Option<BufReader<File>>,
    line: String,
}

impl Record {
    fn new(dir: &Path) -> Self {
        Self { path: dir.join("record.jsonl"), file: None, line: String::new() }
    }

    /// The next whole line.
    fn next(&mut self) -> Option<Value> {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok().map(BufReader::new);
        }
        self.file.as_mut()?.read_line(&mut self.line).unwrap();
        if !self.line.ends_with('\n') {
            return None;
        }
        Some(serde_json::from_str(&std::mem::take(&mut self.line)).unwrap())
    }

    fn skip(&mut self, count: u32) {
        let mut left = count;
        until("they register", || {
            while left > 0 && self.next().is_some() {
                left -= 1;
            }
            left == 0
        });
    }
}

fn send(dir: &Path, application: &str, arguments: &[&str]) -> Process {
    let url = format!("http://127.0.0.1:{WEBHOOK}/tts");
    let all = [&["send", "--url", &url, "--application", application], arguments].concat();
    Process::start(dir, application, &all, "")
}

fn send_all(dir: &Path, application: &str, devices: u32, count: u32) {
    let mut sender = send(dir, application, &["--devices", &devices.to_string(), "--count", &count.to_string()]);
    assert!(sender.0.wait().unwrap().success(), "{application}: not everything was taken");
}

fn start(dir: &Path) -> (Process, Process) {
    let ports = [HTTPS, AMQP, PAGE].map(|port| port.to_string());
    let [https, amqp, page] = ports.each_ref().map(String::as_str);
    let arguments = ["azure-sim", "--https", https, "--amqp", amqp, "--mqtt", "0", "--page", page, "--json"];
    let more = ["--dir", "azure", "--record", "record.jsonl", "--dps-retry-after", "0"];
    let azure = Process::start(dir, "azure", &[arguments.as_slice(), &more].concat(), "");
    let mut said = Value::Null;
    until("the simulator is ready", || {
        let text = std::fs::read_to_string(dir.join("azure.stdout")).unwrap();
        said = text.lines().next().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
        !said.is_null()
    });
    let text = |key: &str| said[key].as_str().unwrap().to_owned();
    let mut config =
        format!("[webhook]\nlisten = \"127.0.0.1:{WEBHOOK}\"\nkeys = []\n[admin]\nlisten = \"127.0.0.1:{ADMIN}\"\n");
    let _ =
        write!(config, "[azure]\nca_file = \"{}\"\nports = {{ https = {HTTPS}, amqp = {AMQP} }}\n", text("ca_file"));
    config += "registrations_per_minute = 0\nattaches_per_second = 0\n[[routes]]\ntarget = \"main\"\n";
    let _ = write!(
        config,
        "[targets.main]\nkind = \"dps\"\nendpoint = \"localhost:{HTTPS}\"\nid_scope = \"{}\"\n",
        text("id_scope")
    );
    config += "group_key = { env = \"GROUP_KEY\" }\ndevice_id = \"{application_id}--{device_id}\"\n";
    std::fs::write(dir.join("longhaul.toml"), config).unwrap();
    let bridge = Process::start(dir, "bridge", &["run", "--config", "longhaul.toml"], &text("group_key"));
    until("the bridge is ready", || http(ADMIN, "GET", "/readyz", "").is_some());
    (azure, bridge)
}

/// Milliseconds since 1970 of what an uplink says of itself.
fn sent_at(taken: &Value) -> f64 {
    let text = taken["properties"]["iothub-creation-time-utc"].as_str().unwrap();
    text.parse::<jiff::Timestamp>().unwrap().as_millisecond() as f64
}

fn now_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() * 1000.0
}

fn main() {
    // cargo adds `--bench`.
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<u32>().ok());
    let (backlog, per_second) = (numbers.next().unwrap_or(72_000), numbers.next().unwrap_or(2_000));
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-drain");
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    let (_azure, bridge) = start(&dir);
    let mut record = Record::new(&dir);
    send_all(&dir, "backlog", DEVICES, DEVICES);
    send_all(&dir, "others", OTHERS, OTHERS);
    record.skip(DEVICES + OTHERS);
    faults(r#"{"hub":{"outage":"unavailable"}}"#);
    send_all(&dir, "backlog", DEVICES, backlog);
    let (before, mut most) = (bridge.memory(), 0);
    faults(&format!(r#"{{"hub":{{"throttle":{{"when":{{"above_per_second":{per_second}}}}}}}}}"#));
    let lifted = Instant::now();
    let (rate, lasting) = (OTHERS_PER_SECOND.to_string(), format!("{}s", backlog / per_second));
    let mut first: Option<(Instant, Process)> = None;
    let (mut drained, mut waits, mut began_ms) = (0, Vec::new(), f64::MAX);
    while drained < backlog {
        let Some(taken) = record.next() else {
            assert!(
                lifted.elapsed() < PATIENCE + Duration::from_secs(u64::from(backlog / per_second) * 2),
                "{drained}"
            );
            most = most.max(bridge.memory());
            sleep(LOOK);
            continue;
        };
        if first.is_none() {
            began_ms = now_ms();
            let devices = OTHERS.to_string();
            let others = send(&dir, "others", &["--devices", &devices, "--rate", &rate, "--for", &lasting]);
            first = Some((Instant::now(), others));
        }
        match taken["properties"]["ApplicationId"] == "others" {
            false => drained += 1,
            true if sent_at(&taken) >= began_ms => waits.push((now_ms() - sent_at(&taken)) / 1000.0),
            true => {}
        }
    }
    let (began, _others) = first.unwrap();
    let took = began.elapsed().as_secs_f64();
    let least = f64::from(backlog - per_second) / f64::from(per_second - OTHERS_PER_SECOND);
    let state = http(PAGE, "GET", "/api/state", "").unwrap();
    let state: Value = serde_json::from_str(state.split_once("\r\n\r\n").unwrap().1).unwrap();
    let refused = state["counts"]["hub_refused"]["ThrottlingException"].as_u64().unwrap_or_default();
    waits.sort_by(f64::total_cmp);
    let share = |of: f64| waits.get((waits.len() as f64 * of) as usize).copied().unwrap_or_default();
    println!(
        "| backlog | per s | tried again after s | drained in s | of the least | refused % | others wait p50/p99/max s | MiB more |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    println!(
        "| {backlog} | {per_second} | {:.1} | {took:.1} | {:.3} | {:.2} | {:.1}/{:.1}/{:.1} of {} | {} |",
        (began - lifted).as_secs_f64(),
        took / least,
        100.0 * refused as f64 / f64::from(backlog),
        share(0.5),
        share(0.99),
        waits.last().copied().unwrap_or_default(),
        waits.len(),
        most.saturating_sub(before),
    );
    let _ = std::fs::remove_dir_all(&dir);
}
