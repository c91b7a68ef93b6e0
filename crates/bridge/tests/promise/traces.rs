//! Promise: a message's walk is told as one trace to whoever takes OTLP, as OpenTelemetry's own messages read it; and a collector that
//! is down, silent or refuses costs the flow nothing.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::network::{Campaign, quantile, seed};
use crate::oracle::Obligations;
use crate::processes::{Process, until};
use crate::settings::Settings;
use crate::site::{Site, UP_WITHIN};
use crate::uplinks;

/// A walk is told a second after it has ended; a batch that is refused is tried again after another.
const TOLD_WITHIN: Duration = Duration::from_secs(30);
const KEY: &str = "k-5f8d1c2b9a7e4630";
const DEVICES: u32 = 20;
const UPLINKS: u32 = 15;

/// Answers with these statuses, the last one for ever.
fn receiver(site: &Site, statuses: &[&str]) -> Process {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/promise/otlp");
    let python = place.join(".venv/bin/python");
    assert!(python.exists(), "NOT PROVED: OpenTelemetry's messages are not there: ./test installs them");
    Process::start("receiver", &site.dir, Command::new(python).arg(place.join("receiver.py")).args(statuses))
}

async fn port(receiver: &Process) -> u16 {
    until("the receiver says its port", UP_WITHIN, async || receiver.stdout().lines().next()?.parse().ok()).await
}

fn settings(port: u16, sample: &str) -> Settings {
    let mut settings = Settings::default();
    settings.more.push_str(&format!(
        "[traces]\nendpoint = \"http://127.0.0.1:{port}\"\nsample = {sample}\nheaders = {{ x-collector-key = {{ env = \"COLLECTOR_KEY\" }} }}\n"
    ));
    settings
}

/// The spans of each trace.
fn traces(receiver: &Process) -> BTreeMap<String, Vec<Value>> {
    let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for span in receiver.stdout().lines().skip(1).filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        all.entry(span["trace_id"].as_str().expect("an id").to_owned()).or_default().push(span);
    }
    all
}

fn named<'a>(spans: &'a [Value], name: &str) -> &'a Value {
    let mut found = spans.iter().filter(|span| span["name"] == name);
    let first = found.next().unwrap_or_else(|| panic!("no {name} among {spans:#?}"));
    assert!(found.next().is_none(), "{name} is there once");
    first
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_one_trace_from_the_webhook_to_the_hub() {
    let mut site = Site::start_without_bridge("traces").await;
    // The first try is refused for now.
    let receiver = receiver(&site, &["503", "200"]);
    site.settings = settings(port(&receiver).await, "1.0");
    site.env.push(("COLLECTOR_KEY".to_owned(), KEY.to_owned()));
    site.start_bridge().await;
    assert_eq!(site.post("/tts", &uplinks::tts("building", "dev-1", 1)).await.status, 202);
    assert_eq!(site.post("/tts", b"{}").await.status, 202);
    site.drained(TOLD_WITHIN).await;

    let mut record = site.record();
    let line = record.lines().first().expect("it arrived").clone();
    let message_id = line["message_id"].as_str().expect("it has an id").to_owned();
    let spans = until("the whole trace", TOLD_WITHIN, async || {
        assert!(!receiver.stderr().contains("Traceback"), "{}", receiver.stderr());
        traces(&receiver).remove(&message_id)
    })
    .await;
    let root = named(&spans, "uplink");
    assert_eq!((root["parent"].as_str(), root["kind"].as_str()), (Some(""), Some("SPAN_KIND_CONSUMER")));
    assert_eq!(root["resource"]["service.name"], "longhaul");
    assert_eq!(root["key"], KEY, "the collector's header comes along");
    let attributes = [
        ("messaging.message.id", message_id.as_str()),
        ("longhaul.state", "delivered"),
        ("longhaul.network", "ttn"),
        ("longhaul.application", "building"),
        ("longhaul.device", "dev-1"),
        ("longhaul.target", "main"),
    ];
    for (name, value) in attributes {
        assert_eq!(root["attributes"][name], value, "{name}");
    }
    let nanos = |span: &Value, key: &str| span[key].as_u64().expect("a time");
    for name in ["accept", "wait", "provision", "send", "settle"] {
        let span = named(&spans, name);
        assert_eq!(span["parent"], root["span_id"], "{name} hangs below the root");
        assert!(nanos(span, "start") >= nanos(root, "start") && nanos(span, "end") <= nanos(root, "end"), "{name}");
        assert!(nanos(span, "start") <= nanos(span, "end"), "{name}");
    }
    assert_eq!(spans.len(), 6);
    let order = ["accept", "wait", "provision", "send", "settle"].map(|name| nanos(named(&spans, name), "start"));
    assert!(order.is_sorted(), "one after the other: {order:?}");
    let send = named(&spans, "send");
    assert_eq!(send["kind"], "SPAN_KIND_PRODUCER");
    assert_eq!(send["attributes"]["messaging.system"], "azure_iothub");
    assert_eq!(send["attributes"]["messaging.destination.name"], line["hub"]);
    assert!(nanos(send, "end") > nanos(send, "start"), "the hub took its time");

    let buried = until("the buried one's trace", TOLD_WITHIN, async || {
        traces(&receiver).into_values().flatten().find(|span| span["attributes"]["longhaul.state"] == "buried")
    })
    .await;
    assert_eq!(buried["status"], "STATUS_CODE_ERROR");
    assert!(buried["message"].as_str().is_some_and(|cause| !cause.is_empty()), "{buried}");
    assert!(!site.bridge().stderr().contains(KEY), "no secret in the log");
}

/// Many messages with a collector that is no use; nothing of it is seen at the door, in the record, or when the process ends.
async fn costs_nothing(name: &str, settings: Settings) -> (Site, String) {
    seed();
    let mut site = Site::start_without_bridge(name).await;
    site.settings = settings;
    site.env.push(("COLLECTOR_KEY".to_owned(), KEY.to_owned()));
    site.start_bridge().await;
    let obligations = Arc::new(Obligations::default());
    let answers = Campaign::new(site.ports.webhook, DEVICES, UPLINKS).start(&obligations).finish().await;
    assert!(quantile(&answers, 0.99) < Duration::from_secs(2), "the door waits for nobody");
    let verdict = site.settled(&obligations, Duration::from_secs(60)).await;
    verdict.holds(0);
    let metrics = site.admin("/metrics").await.text();
    (site, metrics)
}

async fn ends_at_once(mut site: Site) {
    let begun = Instant::now();
    site.bridge().signal("TERM");
    let status = site.bridge().exit_within(Duration::from_secs(12)).await;
    assert!(status.success() && begun.elapsed() < Duration::from_secs(6), "{status} after {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_down_or_silent_costs_the_flow_nothing() {
    // Connections are taken by the system, and nobody ever answers; then nobody is there at all.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("bound").port();
    let (site, metrics) = costs_nothing("traces-silent", settings(port, "1.0")).await;
    assert!(metrics.contains("longhaul_traces_sent_total 0\n"), "nobody took one");
    ends_at_once(site).await;
    drop(silent);
    let (site, metrics) = costs_nothing("traces-down", settings(port, "1.0")).await;
    assert!(metrics.contains("longhaul_traces_sent_total 0\n"), "nobody took one");
    ends_at_once(site).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_answers_500_costs_the_flow_nothing_and_is_told_of() {
    let place = Site::empty("traces-refused-receiver");
    let receiver = receiver(&place, &["500"]);
    let (site, _) = costs_nothing("traces-refused", settings(port(&receiver).await, "1.0")).await;
    let lost = format!("longhaul_traces_lost_total{{why=\"refused\"}} {}\n", DEVICES * UPLINKS);
    until("each is counted as lost", TOLD_WITHIN, async || {
        site.admin("/metrics").await.text().contains(&lost).then_some(())
    })
    .await;
    assert!(site.bridge.as_ref().is_some_and(|bridge| bridge.stderr().contains("traces.lost")), "and said");
    ends_at_once(site).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_of_the_messages_is_told_wholly_and_the_others_not_at_all() {
    let place = Site::empty("traces-share-receiver");
    let receiver = receiver(&place, &["200"]);
    let (site, _) = costs_nothing("traces-share", settings(port(&receiver).await, "0.25")).await;
    let mut record = site.record();
    // The last seven bytes of the id, as a share of all that they can be.
    let share = |id: &str| u64::from_str_radix(&id[18..], 16).map(|number| number as f64 / (1u64 << 56) as f64);
    let ids = record.lines().iter().filter_map(|line| line["message_id"].as_str().map(str::to_owned));
    let wanted: Vec<_> = ids.filter(|id| share(id).expect("hexadecimal") < 0.25).collect();
    assert!((30..=120).contains(&wanted.len()), "a quarter of 300 are 75 or so: {}", wanted.len());
    until("each of them is told", TOLD_WITHIN, async || (traces(&receiver).len() >= wanted.len()).then_some(())).await;
    ends_at_once(site).await;
    let told = traces(&receiver);
    assert_eq!(told.keys().cloned().collect::<std::collections::BTreeSet<_>>(), wanted.into_iter().collect());
    assert!(told.values().all(|spans| spans.iter().any(|span| span["name"] == "uplink")), "each has its root");
}
