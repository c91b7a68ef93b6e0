//! The simulator at the ports that the SDKs know, and the scripts that run them.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use simulator::{Options, Simulator, start};
use tokio::process::Command;

const HTTPS_PORT: u16 = 443;
const AMQP_PORT: u16 = 5671;
/// The longest script takes seven seconds here.
const SCRIPT_MAX: Duration = Duration::from_secs(90);

#[expect(clippy::disallowed_methods, reason = "the SDKs' tokens are made in real time")]
fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/official_sdk")
}

fn check_installed(wanted: &str, installed: &str) {
    let read = |file: &str| std::fs::read(scripts().join(file)).ok();
    let is_there = read(installed).is_some_and(|versions| Some(versions) == read(wanted));
    assert!(is_there, "NOT PROVED: the SDKs are missing or not as {wanted} says: run {}/install", scripts().display());
}

fn node() -> Command {
    check_installed("package-lock.json", "node_modules/.installed");
    Command::new("node")
}

fn python() -> Command {
    check_installed("requirements.txt", ".venv/installed.txt");
    Command::new(scripts().join(".venv/bin/python"))
}

pub(crate) async fn simulator() -> Simulator {
    let options =
        Options { https_port: HTTPS_PORT, amqp_port: AMQP_PORT, retry_after_s: 0, ..Options::new(Arc::new(now_ms)) };
    match start(options).await {
        Ok(simulator) => simulator,
        Err(error) => panic!("NOT PROVED: the SDKs need ports {HTTPS_PORT} and {AMQP_PORT}: {error}"),
    }
}

async fn output(command: &mut Command) -> Output {
    let run = command.env_remove("SSL_CERT_FILE").env("PYTHONDONTWRITEBYTECODE", "1").kill_on_drop(true).output();
    let output = tokio::time::timeout(SCRIPT_MAX, run).await.expect("the script took too long");
    let output = output.unwrap_or_else(|error| panic!("NOT PROVED: cannot run {command:?}: {error}"));
    let (told, trouble) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "the SDK failed:\n{trouble}\nafter it had said:\n{told}");
    output
}

/// What the device SDK saw over a transport: `Http`, `Amqp` or `AmqpWs`.
pub(crate) async fn device(simulator: &Simulator, transport: &str, id: &str) -> Value {
    let started = simulator.started();
    let mut node = node();
    node.arg(scripts().join("device.cjs"))
        .args([&started.host, &started.id_scope, &started.group_key])
        .args([transport, id])
        .env("NODE_EXTRA_CA_CERTS", &started.ca_file);
    serde_json::from_slice(&output(&mut node).await.stdout).unwrap()
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Reader {
    Node,
    NodeInWebSockets,
    Python,
}

/// The hub as a reader sees it, and so many events.
pub(crate) async fn read(reader: Reader, simulator: &Simulator, count: usize) -> (Value, Vec<Value>) {
    let started = simulator.started();
    let (mut command, script, way) = match reader {
        Reader::Node => (node(), "read_events.cjs", None),
        Reader::NodeInWebSockets => (node(), "read_events.cjs", Some("ws")),
        Reader::Python => (python(), "read_events.py", None),
    };
    command
        .arg(scripts().join(script))
        .args([&started.event_hub_connection_string, &count.to_string(), "30"])
        .arg(&started.ca_file)
        .args(way);
    let lines = text(&output(&mut command).await.stdout);
    let mut lines = lines.lines().map(|line| serde_json::from_str(line).unwrap());
    (lines.next().unwrap(), lines.collect())
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
