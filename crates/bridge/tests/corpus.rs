//! What every sample becomes: the contract in `crates/lorawan/samples/expected.json`, file by file.
//!
//! With `LONGHAUL_BLESS` set the list is written anew instead of compared: for a decision, to be read line by line in the
//! diff. Bodies stand in it as text; where our own stamp stands for a time that the network left out, as `{arrival}`.
//! Samples that are not in the repository are listed by digest and checked where they are present.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bridge::config::{self, Config};
use bridge::device::plan::{Outbound, Plan, plan};
use bridge::webhook::keys::Admission;
use bridge::webhook::sort::{Arrival, sort};
use queue::{Place, Reason, Seq};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The sender's name in the configuration, and the arrival of every sample.
const NETWORK: &str = "ttn";
const ARRIVAL: i64 = 1_767_323_045_678;
const ARRIVAL_TEXT: &str = "2026-01-02T03:04:05.678Z";

fn own() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../lorawan/samples")
}

fn beside() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/samples")
}

/// Names of the samples in a folder; none when there is no such folder.
fn names(folder: &Path) -> BTreeSet<String> {
    let Ok(entries) = folder.read_dir() else { return BTreeSet::new() };
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.ok()?.file_name().into_string().ok();
    let sample = |name: &String| name.ends_with(".json") && name.starts_with(|first: char| first.is_ascii_digit());
    entries.filter_map(name).filter(sample).collect()
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One default route to one scope: what a newcomer writes.
fn config() -> Config {
    let key = "A".repeat(86) + "==";
    let text = format!(
        "[targets.main]\nkind = \"dps\"\nid_scope = \"0ne00000000\"\ngroup_key = \"{key}\"\n[[routes]]\ntarget = \"main\"\n"
    );
    let no_files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    config::read(&text, &[], Path::new(""), &no_files).expect("a configuration without mistakes").config
}

/// The way of a body, by the door's and the device worker's own decisions.
fn fate(body: &[u8], config: &Config) -> Value {
    let admission = Admission { network: NETWORK.to_owned(), applications: None };
    let sorted = match sort(Arrival { body, binary: false, path: "/tts", admission: &admission }) {
        Ok(sorted) => sorted,
        Err(answer) => return json!({"becomes": "refused", "status": answer.status().as_u16()}),
    };
    let (application, device) = (sorted.head.application.clone(), sorted.head.device.clone());
    let put = sorted.into_put(ARRIVAL);
    if let Place::DeadLetters(reason) = &put.place {
        return buried(reason);
    }
    let kind = put.kind.clone();
    let message = put.into_message(Seq(0));
    match plan(&message, config).plan {
        Plan::Keep(why) => {
            json!({"becomes": "kept", "kind": kind, "why": why, "application": application, "device": device})
        }
        Plan::Bury(reason) => buried(&reason),
        Plan::Drop(route) => json!({"becomes": "dropped", "route": route}),
        Plan::Send(outbound) => sent_as(&outbound),
    }
}

fn buried(reason: &Reason) -> Value {
    json!({"becomes": "dead_letter", "reason": reason.code, "detail": reason.detail})
}

fn sent_as(outbound: &Outbound) -> Value {
    let message = &outbound.telemetry.message;
    let body = std::str::from_utf8(&message.body).expect("telemetry is UTF-8");
    let parsed: Value = serde_json::from_str(body).expect("telemetry is JSON");
    let stamp = format!("\"ReceivedAtUTC\":\"{ARRIVAL_TEXT}\"");
    let time = if body.contains(&stamp) { &Value::Null } else { &parsed["ReceivedAtUTC"] };
    json!({
        "becomes": "telemetry",
        "device": outbound.owner.device,
        "application": outbound.owner.application,
        "registration_id": outbound.way.id,
        "port": parsed.get("Port"),
        "counter": parsed.get("Counter"),
        "raw": parsed.get("PayloadRaw"),
        "time": time,
        "message_id": message.message_id,
        "body": body.replace(&stamp, "\"ReceivedAtUTC\":\"{arrival}\""),
    })
}

/// What may be said of a file that is not ours to show.
fn in_digests(sample: &[u8], fate: &Value) -> Value {
    let mut said = json!({"not_here": true, "sample_sha256": digest(sample)});
    for key in ["becomes", "status", "reason", "kind", "why", "message_id"] {
        if let Some(value) = fate.get(key) {
            said[key] = value.clone();
        }
    }
    if let Some(body) = fate.get("body").and_then(Value::as_str) {
        said["body_sha256"] = json!(digest(body.replace("{arrival}", ARRIVAL_TEXT).as_bytes()));
    }
    said
}

fn found() -> BTreeMap<String, Value> {
    let (mut found, config) = (BTreeMap::new(), config());
    for name in names(&beside()) {
        let body = std::fs::read(beside().join(&name)).expect("a sample can be read");
        found.insert(name, in_digests(&body, &fate(&body, &config)));
    }
    for name in names(&own()) {
        let body = std::fs::read(own().join(&name)).expect("a sample can be read");
        found.insert(name, fate(&body, &config));
    }
    found
}

#[test]
fn every_sample_becomes_what_the_list_says() {
    let list = own().join("expected.json");
    let found = found();
    if std::env::var_os("LONGHAUL_BLESS").is_some() {
        let about = "What each sample becomes. `{arrival}` stands for our own stamp; digests are of the body with the arrival below.";
        let text = json!({"about": about, "network": NETWORK, "arrival": ARRIVAL_TEXT, "samples": found});
        let text = serde_json::to_string_pretty(&text).expect("a list has a JSON form");
        std::fs::write(&list, text + "\n").expect("the list can be written");
        return;
    }
    let expected: Value = serde_json::from_slice(&std::fs::read(&list).expect("the list is there")).expect("JSON");
    let expected = expected["samples"].as_object().expect("an object of samples");
    assert_eq!(expected.len(), 115, "the list is complete");
    let here = expected.iter().filter(|(_, said)| said.get("not_here").is_none());
    let listed_here: BTreeSet<String> = here.map(|(name, _)| name.clone()).collect();
    assert_eq!(listed_here, names(&own()), "the files and the list are the same");
    for (name, is) in &found {
        assert_eq!(expected.get(name), Some(is), "{name}");
    }
}
