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
const MQTT_PORT: u16 = 8883;
/// The cells of one language have 90 s.
const SCRIPT_MAX: Duration = Duration::from_secs(120);

#[expect(clippy::disallowed_methods, reason = "the SDKs' tokens are made in real time")]
fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

fn scripts_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/official_sdk")
}

fn check_installed(wanted: &str, installed: &str) {
    let read = |file: &str| std::fs::read(scripts_dir().join(file)).ok();
    let is_there = read(installed).is_some_and(|versions| Some(versions) == read(wanted));
    assert!(
        is_there,
        "NOT PROVED: the SDKs are missing or not as {wanted} says: run {}/install",
        scripts_dir().display()
    );
}

fn node() -> Command {
    check_installed("package-lock.json", "node_modules/.installed");
    Command::new("node")
}

fn python() -> Command {
    check_installed("requirements.txt", ".venv/installed.txt");
    Command::new(scripts_dir().join(".venv/bin/python"))
}

pub(crate) async fn simulator() -> Simulator {
    simulator_named(&[], &[]).await
}

/// Under these names, the first of them is the hub's; under `localhost` when there are none. With more hubs beside it.
pub(crate) async fn simulator_named(hosts: &[&str], more_hubs: &[&str]) -> Simulator {
    let names = |names: &[&str]| names.iter().copied().map(str::to_owned).collect();
    simulator_as(Options { hosts: names(hosts), more_hubs: names(more_hubs), ..usual() }).await
}

/// As a simulator is here when nothing else is asked for.
pub(crate) fn usual() -> Options {
    Options {
        https_port: HTTPS_PORT,
        amqp_port: AMQP_PORT,
        mqtt_port: MQTT_PORT,
        page_port: Some(0),
        retry_after_s: 0,
        ..Options::new(Arc::new(now_ms))
    }
}

pub(crate) async fn simulator_as(options: Options) -> Simulator {
    match start(options).await {
        Ok(simulator) => simulator,
        Err(error) => panic!("NOT PROVED: the SDKs need ports {HTTPS_PORT}, {AMQP_PORT} and {MQTT_PORT}: {error}"),
    }
}

async fn output(command: &mut Command) -> Output {
    let run = command.env_remove("SSL_CERT_FILE").env("PYTHONDONTWRITEBYTECODE", "1").kill_on_drop(true).output();
    let output = tokio::time::timeout(SCRIPT_MAX, run).await.expect("the script took too long");
    let output = output.unwrap_or_else(|error| panic!("NOT PROVED: cannot run {command:?}: {error}"));
    let (told, trouble) = (text(&output.stdout), text(&output.stderr));
    if std::env::var_os("CELLS_TRACE").is_some() {
        eprintln!("{trouble}");
    }
    assert!(output.status.success(), "the SDK failed:\n{trouble}\nafter it had said:\n{told}");
    output
}

/// Whose SDKs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Node,
    Python,
}

/// What `azure-sim --json` prints, the page's port and the name of DPS; `hub` of them is the one to talk to, the first is 0.
pub(crate) fn told(simulator: &Simulator, dps: &str, hub: usize) -> Value {
    let mut told = serde_json::to_value(simulator.started()).unwrap();
    told["dps"] = dps.into();
    if let Some(other) = hub.checked_sub(1) {
        let other = told["more_hubs"][other].take();
        for (key, value) in other.as_object().unwrap() {
            told[key] = value.clone();
        }
    }
    told
}

/// What the scripts of a room (`cells`, `faults`) say of all cells, or of those whose "SDK transport operation" has the
/// pattern; one line of JSON each.
///
/// They get the simulator as JSON in `AZURE_SIM`, see [`told`].
pub(crate) async fn cells(
    room: &str,
    language: Language,
    simulator: &Simulator,
    told: &Value,
    only: Option<&str>,
) -> String {
    let started = simulator.started();
    let (mut command, script) = match language {
        Language::Node => (node(), "main.cjs"),
        Language::Python => (python(), "main.py"),
    };
    command
        .arg(scripts_dir().join(room).join(script))
        .env("NODE_EXTRA_CA_CERTS", &started.ca_file)
        .env("AZURE_SIM", told.to_string());
    // One by hand: for a look at a few cells.
    if let (None, Some(only)) = (std::env::var_os("CELLS_ONLY"), only) {
        command.env("CELLS_ONLY", only);
    }
    text(&output(&mut command).await.stdout)
}

/// What the device SDK saw over a transport: `Http`, `Amqp` or `AmqpWs`.
pub(crate) async fn device(simulator: &Simulator, transport: &str, id: &str) -> Value {
    let started = simulator.started();
    let mut node = node();
    node.arg(scripts_dir().join("device.cjs"))
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
        .arg(scripts_dir().join(script))
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
