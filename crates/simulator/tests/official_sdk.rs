//! Microsoft's own SDK for Node, unpatched, registers and sends; judged by the record.
//!
//! It knows no port but 443. Where that cannot be had, or Node is missing, the test fails and says that nothing is proved:
//! a skipped proof looks the same as a good one.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use simulator::{Options, Recorded, Simulator, start};
use tokio::process::Command;

const SDK_PORT: u16 = 443;
/// Fetching some forty packages on a slow line, once.
const INSTALL_MAX: Duration = Duration::from_secs(300);
/// The script takes two seconds here.
const SCRIPT_MAX: Duration = Duration::from_secs(60);

#[expect(clippy::disallowed_methods, reason = "the SDK's tokens are made in real time")]
fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/official_sdk")
}

async fn output(command: &mut Command, limit: Duration) -> std::process::Output {
    let run = command.kill_on_drop(true).output();
    let output = tokio::time::timeout(limit, run).await.expect("NOT PROVED: the command took too long");
    output.unwrap_or_else(|error| panic!("NOT PROVED: cannot run {command:?}: {error}"))
}

async fn install() {
    if scripts().join("node_modules/azure-iot-device").is_dir() {
        return;
    }
    let done = output(&mut Command::new(scripts().join("install")), INSTALL_MAX).await;
    assert!(done.status.success(), "NOT PROVED: the SDKs could not be installed: {}", text(&done.stderr));
}

async fn simulator() -> Simulator {
    let options = Options { https_port: SDK_PORT, retry_after_s: 0, ..Options::new(Arc::new(now_ms)) };
    match start(options).await {
        Ok(simulator) => simulator,
        Err(error) => panic!("NOT PROVED: the SDK needs port {SDK_PORT}: {error}"),
    }
}

/// What the SDK saw.
async fn run(simulator: &Simulator) -> Value {
    let started = simulator.started();
    let mut node = Command::new("node");
    node.arg(scripts().join("node.cjs"))
        .args([&started.host, &started.id_scope, &started.group_key])
        .env("NODE_EXTRA_CA_CERTS", &started.ca_file)
        .env_remove("SSL_CERT_FILE");
    let done = output(&mut node, SCRIPT_MAX).await;
    assert!(done.status.success(), "the SDK failed: {}", text(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn property<'a>(message: &'a Recorded, name: &str) -> Option<&'a str> {
    message.properties.get(name).map(String::as_str)
}

#[tokio::test]
async fn microsofts_node_sdk_registers_and_sends_unpatched() {
    install().await;
    let simulator = simulator().await;
    let seen = run(&simulator).await;

    assert_eq!(seen["assigned"]["assignedHub"], "localhost");
    assert_eq!(seen["assigned"]["deviceId"], "sdk-over-http");
    let record = simulator.messages(100);
    assert!(record.iter().all(|message| message.device_id == "sdk-over-http"));
    let bodies: Vec<String> = record.iter().map(|message| text(&message.body)).collect();
    let expected = [
        "plain text",
        r#"{"place":"Zürich ☃","reading":21.5}"#,
        "\0\u{fffd}\u{10}",
        r#"{"batch":1}"#,
        r#"{"batch":2}"#,
    ];
    assert_eq!(bodies, expected);
    assert_eq!(record[2].body.as_ref(), [0x00, 0xff, 0x10]);

    let described = &record[1];
    assert_eq!(described.message_id.as_deref(), Some("sdk-2"));
    assert_eq!(described.correlation_id.as_deref(), Some("c-2"));
    assert_eq!(described.content_type.as_deref(), Some("application/json"));
    assert_eq!(described.content_encoding.as_deref(), Some("utf-8"));
    assert_eq!(property(described, "DeviceEUI"), Some("70B3D57ED0051234"), "{:?}", described.properties);
    assert_eq!(property(described, "Port"), Some("1"));
    assert_eq!(property(&record[3], "Nth"), Some("first"));

    let named =
        ["registerWithWrongKey", "sendWithWrongKey", "sendAsUnknown", "sendTooLarge"].map(|key| seen[key].clone());
    let classes = ["UnauthorizedError", "UnauthorizedError", "DeviceNotFoundError", "MessageTooLargeError"];
    assert_eq!(named, classes.map(|name| json!(name)), "the classes that the SDK makes of our errors");
    assert_eq!(simulator.counts().registrations.get("sdk-over-http"), Some(&1));
}
