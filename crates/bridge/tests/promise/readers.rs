//! Promise: what the bridge sent is read by Microsoft's own readers of events, unpatched: the same messages as the record's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::network::{Campaign, seed};
use crate::oracle::Obligations;
use crate::site::Site;

const DEVICES: u32 = 12;
const UPLINKS: u32 = 10;
const EVENTS: usize = (DEVICES * UPLINKS) as usize;
/// What the readers give themselves; they need about three.
const SECONDS: &str = "40";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn microsofts_readers_read_what_the_bridge_sent() {
    seed();
    let site = Site::start("readers").await;
    let obligations = Arc::new(Obligations::default());
    Campaign::new(site.ports.webhook, DEVICES, UPLINKS).start(&obligations).finish().await;
    let verdict = site.settled(&obligations, Duration::from_secs(60)).await;
    verdict.holds(0);
    let recorded = of_record(site.record().lines());
    assert_eq!(recorded.len(), EVENTS);

    let scripts = scripts();
    let node = (Path::new("node").to_owned(), "read_events.cjs");
    let python = (scripts.join(".venv/bin/python"), "read_events.py");
    for (program, script) in [node, python] {
        let read = of_reader(&read(&site, &program, &scripts.join(script)));
        let other: Vec<_> = recorded.iter().filter(|(id, message)| read.get(*id) != Some(*message)).take(3).collect();
        assert!(other.is_empty(), "{script} reads {} of {EVENTS}; others in the record: {other:?}", read.len());
        println!("{script}: {} events, as recorded", read.len());
    }
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../simulator/tests/official_sdk")
}

/// What a reader printed: its first line tells of the hub, each other of an event.
fn read(site: &Site, program: &Path, script: &Path) -> Vec<Value> {
    let connection = site.azure["event_hub_connection_string"].as_str().expect("the simulator says how to read");
    // The host is bare: the port is ours to say.
    let connection = connection.replace("sb://localhost/", &format!("sb://localhost:{}/", site.ports.amqp));
    let ca_file = site.azure["ca_file"].as_str().expect("the simulator names its CA");
    let mut command = Command::new(program);
    command.arg(script).args([&connection, &EVENTS.to_string(), SECONDS, ca_file]);
    let done =
        command.output().unwrap_or_else(|e| panic!("NOT PROVED: {program:?} does not run ({e}): ./test installs it"));
    let words = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{script:?}: {words}");
    let lines = String::from_utf8(done.stdout).expect("it prints JSON");
    lines.lines().skip(1).map(|line| serde_json::from_str(line).expect("it prints JSON")).collect()
}

/// By message id: the device as the hub names it, content type and body.
type Messages = BTreeMap<String, (String, String, Value)>;

fn of_record(lines: &[Value]) -> Messages {
    let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let message = |line: &Value| {
        let body = line["body"].clone();
        (text(line, "message_id"), (text(line, "device_id"), text(line, "content_type"), body))
    };
    lines.iter().map(message).collect()
}

fn of_reader(events: &[Value]) -> Messages {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let message = |event: &Value| {
        let body = STANDARD.decode(text(&event["body"])).expect("it prints base64");
        let body = serde_json::from_slice(&body).expect("the bridge sends JSON");
        let device = text(&event["system_properties"]["iothub-connection-device-id"]);
        (text(&event["message_id"]), (device, text(&event["content_type"]), body))
    };
    events.iter().map(message).collect()
}
