//! Promise: every sample of the corpus becomes what the committed list says, on the whole way from the webhook to the
//! record, and `explain` prints each body as it will be, byte for byte.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::processes::run;
use crate::site::Site;

#[derive(Deserialize)]
struct Expected {
    samples: BTreeMap<String, Sample>,
}

/// What one file becomes. Files that may not be copied here are left to the list's own test.
#[derive(Deserialize)]
struct Sample {
    becomes: String,
    #[serde(default)]
    not_here: bool,
    body: Option<String>,
    message_id: Option<String>,
    device: Option<String>,
    reason: Option<String>,
    status: Option<u16>,
}

/// A line of the record with its body as it stands there.
#[derive(Deserialize)]
struct Line {
    device_id: String,
    message_id: String,
    body: Box<RawValue>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sample_becomes_what_the_list_says() {
    let site = Site::start("corpus").await;
    let samples = samples();
    let telemetry: Vec<_> = samples.iter().filter(|(_, sample)| sample.becomes == "telemetry").collect();
    assert!(telemetry.len() >= 30, "the list is there");

    let (mut expected_reasons, mut kept) = (Vec::new(), 0);
    for (name, sample) in &samples {
        let bytes = std::fs::read(folder().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let reply = site.post("/api/UplinkProcessor", &bytes).await;
        assert_eq!(reply.status, sample.status.unwrap_or(202), "{name}: {}", reply.text());
        match sample.becomes.as_str() {
            "dead_letter" => expected_reasons.push(sample.reason.clone().unwrap_or_default()),
            "kept" => kept += 1,
            _ => {}
        }
    }
    site.drained(Duration::from_secs(60)).await;
    expected_reasons.sort();
    assert_eq!(site.dead_letter_reasons().await, expected_reasons, "dead letters and their reasons");

    let text = site.record().text();
    let mut lines = Vec::new();
    for line in text.lines() {
        lines.push(serde_json::from_str::<Line>(line).unwrap_or_else(|e| panic!("{e}: {line}")));
    }
    for (name, sample) in &telemetry {
        compare(&site, name, sample, &lines).await;
    }
    println!(
        "{} samples: {} telemetry, {kept} kept, {} dead letters",
        samples.len(),
        lines.len(),
        expected_reasons.len()
    );
    assert_eq!(lines.len(), telemetry.len(), "each telemetry sample came once, and nothing else");
}

/// Record against list, and `explain` against record.
async fn compare(site: &Site, name: &str, sample: &Sample, lines: &[Line]) {
    let id = sample.message_id.as_deref().unwrap_or_default();
    let body = sample.body.as_deref().unwrap_or_default();
    let has_arrival = body.contains("{arrival}");
    let found = lines.iter().find(|line| match has_arrival {
        // Its id depends on nothing but the network's words, so that it is the same at any time.
        true => Some(line.device_id.as_str()) == sample.device.as_deref() && matches(body, line.body.get()),
        false => line.message_id == id,
    });
    let Some(line) = found else { panic!("{name} is not in the record; expected {id} {body}") };
    assert_eq!(line.message_id, id, "{name}: its id");
    assert_eq!(Some(line.device_id.as_str()), sample.device.as_deref(), "{name}: whose it is");
    assert!(matches(body, line.body.get()), "{name}:\n{}\nis not\n{body}", line.body.get());

    let file = folder().join(name);
    let arguments = ["explain", "--config", "longhaul.toml", "--body", file.to_str().expect("a path of ours")];
    let explained = explain(site, &arguments).await;
    if has_arrival {
        assert!(matches(body, &explained), "{name}: {explained}");
    } else {
        assert_eq!(explained, line.body.get(), "{name}: explain prints what was sent");
    }
}

/// Like `run`, with the group key that the configuration wants.
async fn explain(site: &Site, arguments: &[&str]) -> String {
    let config = std::fs::read_to_string(site.config()).expect("it was written");
    let plain = config.replace("{ env = \"GROUP_KEY\" }", &format!("\"{}\"", site.group_key()));
    std::fs::write(site.config(), plain).expect("the file can be written");
    let (code, stdout, stderr) = run(&site.dir, arguments, Duration::from_secs(30)).await;
    assert_eq!(code, 0, "{arguments:?}: {stderr}");
    stdout
}

/// Equal, where `{arrival}` stands for any time stamp.
fn matches(expected: &str, found: &str) -> bool {
    match expected.split_once("{arrival}") {
        None => expected == found,
        Some((before, after)) => {
            let middle = found.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
            middle.is_some_and(|time| time.ends_with('Z') && time.len() >= 20 && !time.contains('"'))
        }
    }
}

fn samples() -> BTreeMap<String, Sample> {
    let text = std::fs::read_to_string(folder().join("expected.json")).expect("the list is in the repository");
    let expected: Expected = serde_json::from_str(&text).expect("the list is JSON");
    expected.samples.into_iter().filter(|(_, sample)| !sample.not_here).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../lorawan/samples")
}
