//! `send` against the door.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bridge::cli::send::{self, Options, uplinks::Style};
use bridge::config::{Secret, Webhook};
use bridge::world::{Random, SystemClock, World};

use crate::site::{Plan, Site, key};

fn world() -> World {
    World::new(Arc::new(SystemClock), Random::from_seed(1))
}

#[tokio::test]
async fn every_uplink_arrives_and_each_devices_in_order() {
    for format in [Style::TtsV3, Style::TtnV2] {
        let webhook = Webhook { keys: vec![key("the key", &[], None)], ..Plan::default().webhook };
        let site = Site::open(Plan { webhook, ..Plan::default() }).await;
        let posted = Arc::new(Mutex::new(0));
        let counted = posted.clone();
        let options = Options {
            url: format!("http://{}", site.address),
            key: Some(Secret::new("the key".to_owned())),
            format,
            devices: 300,
            count: Some(1_000),
            ..Options::default()
        };
        let observer = Arc::new(move |_: &send::Posted| *counted.lock().expect("no panic") += 1);
        let summary = send::run(options, world(), observer).await.expect("a site");
        assert!(summary.is_clean(), "{summary}");
        assert_eq!((summary.sent, *posted.lock().expect("no panic")), (1_000, 1_000));
        let mut last = BTreeMap::new();
        for _ in 0..1_000 {
            let message = site.take().await;
            let body: serde_json::Value = serde_json::from_slice(&message.body).expect("json");
            let counter = body["counter"].as_u64().or(body["uplink_message"]["f_cnt"].as_u64()).expect("a counter");
            let before = last.insert(message.lane, counter).unwrap_or_default();
            assert_eq!(counter, before + 1);
        }
        assert_eq!(last.len(), 300);
    }
}

#[tokio::test]
async fn files_go_as_they_are_and_refusals_are_counted() {
    let site = Site::plain().await;
    let dir = std::env::temp_dir().join(format!("longhaul-send-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory");
    let file = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let files = vec![file("good.json", crate::site::UPLINK), file("bad.json", "{"), file("odd.json", "[]")];
    let options = Options { url: format!("http://{}/tts/up", site.address), files, ..Options::default() };
    let summary = send::run(options, world(), Arc::new(|_| {})).await.expect("files and a site");
    assert!(!summary.is_clean());
    assert_eq!(summary.by_status, BTreeMap::from([(202, 2), (400, 1)]));
    assert_eq!(site.take().await.body, crate::site::UPLINK.as_bytes());
    std::fs::remove_dir_all(dir).expect("it was there");
}

#[tokio::test]
async fn nobody_at_home_is_counted_not_hidden() {
    let mut site = Site::plain().await;
    site.stop();
    (&mut site.serving).await.expect("an end");
    let options = Options { url: format!("http://{}", site.address), count: Some(3), ..Options::default() };
    let summary = send::run(options, world(), Arc::new(|_| {})).await.expect("an address");
    assert_eq!((summary.sent, summary.unanswered, summary.is_clean()), (3, 3, false));
    assert!(summary.to_string().contains("refused"), "{summary}");
}
