//! Promise: a message that breaks something is buried with its reason, also one that ends the process, and no innocent one with
//! it.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bridge::app::{App, Listeners, Role};
use bridge::config;
use bridge::suspects::DEATHS_MAX;
use bridge::world::{Point, Points, Random, SystemClock, World};
use serde_json::Value;

use crate::http;
use crate::oracle::Obligations;
use crate::processes::{Process, until};
use crate::site::Site;
use crate::uplinks;

const DEVICES: u32 = 50;
const PER_DEVICE: u32 = 40;
const PATIENCE: Duration = Duration::from_secs(60);

/// Breaks over the messages of two devices, as a decoder could.
#[derive(Debug)]
struct Breaks;

impl Points for Breaks {
    fn reached(&self, _: Point) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::ready(()))
    }

    fn reads(&self, message: &queue::Message) {
        let head = String::from_utf8_lossy(&message.head);
        assert!(!head.contains("\"panics\""), "over a message, as ordered");
        if head.contains("\"kills\"") {
            std::process::abort();
        }
    }
}

/// The bridge, with [`Breaks`] in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by a_message_that_breaks_something_is_buried_alone"]
async fn child() {
    let text = std::fs::read_to_string("longhaul.toml").expect("run in the site's directory");
    let env: Vec<(String, String)> = std::env::vars().collect();
    let read = config::read(&text, &env, Path::new("."), &|path| std::fs::read_to_string(path));
    let config = read.expect("it is right").config;
    let world = World::new(Arc::new(SystemClock), Random::from_seed(1)).listening(Arc::new(Breaks));
    let listeners = Listeners { webhook: None, admin: None };
    let mut app = App::start(config, Role::All, world, listeners).await.expect("it starts");
    app.died().await;
}

fn start(site: &mut Site) {
    let this = std::env::current_exe().expect("we run");
    let mut command = Command::new(this);
    command.args(["--exact", "poison::child", "--ignored", "--nocapture"]).env("GROUP_KEY", site.group_key());
    site.bridge = Some(Process::start_with("bridge", &site.dir, &mut command, Stdio::null()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_breaks_something_is_buried_alone() {
    let mut site = Site::start_without_bridge("poison").await;
    let refused = r#"{"hub":{"refuse":[{"ids":["refused"],"answer":{"status":{"status":400,"error_code":400004,"name":"ArgumentInvalid"}}}]}}"#;
    let reply = http::post(site.ports.page, "/api/faults", &[], refused.as_bytes()).await.expect("it answers");
    assert_eq!(reply.status, 200, "{}", reply.text());
    site.write_config();
    start(&mut site);
    site.ready().await;

    let obligations = Obligations::default();
    let huge = format!(r#"{{"text":"{}"}}"#, "x".repeat(300_000));
    let poison = [
        ("-", b"[\"of nobody\"]".to_vec()),
        ("huge", uplinks::tts_with("building", "huge", 1, "AA==", &huge)),
        ("refused", uplinks::tts("building", "refused", 1)),
        ("panics", uplinks::tts("building", "panics", 1)),
        ("kills", uplinks::tts("building", "kills", 1)),
    ];
    let mut deaths = 0;
    for counter in 1..=PER_DEVICE {
        for device in 0..DEVICES {
            let device = format!("dev-{device}");
            obligations.posted(&device, counter);
            let body = uplinks::tts("building", &device, counter);
            deaths += insist(&mut site, &body).await;
            obligations.owed(&device, counter);
        }
        // One after each eight rounds.
        if let Some((_, body)) = poison.get(counter as usize / 8).filter(|_| counter % 8 == 4) {
            deaths += insist(&mut site, body).await;
        }
    }
    until("five are buried and nothing waits", PATIENCE, async || {
        deaths += revive(&mut site);
        let snapshot = http::get(site.ports.admin, "/api/v1/snapshot").await.ok()?.json();
        (snapshot["queue"]["waiting"] == 0 && snapshot["queue"]["dead_letters"].as_u64() >= Some(5)).then_some(())
    })
    .await;
    let mut letters: Vec<_> =
        site.dead_letters().await.iter().map(|letter| (text(letter, "device"), text(letter, "reason"))).collect();
    letters.sort();
    // Whoever posts it gets no answer when the process dies at once, and posts it again.
    let copies = letters.iter().filter(|(device, _)| device == "kills").count() as u32;
    letters.dedup();
    let expected = [
        ("-", "not_understood"),
        ("huge", "too_large"),
        ("kills", "worker_broke"),
        ("panics", "worker_broke"),
        ("refused", "rejected"),
    ];
    assert_eq!(letters, expected.map(|(device, reason)| (device.to_owned(), reason.to_owned())));
    let verdict = site.settled(&obligations, PATIENCE).await;
    println!("{verdict}; the process died {deaths} times");
    assert_eq!(deaths, copies * DEATHS_MAX, "once for each time it was read");
    verdict.holds((deaths * DEVICES) as usize);
}

fn text(letter: &Value, key: &str) -> String {
    letter[key].as_str().unwrap_or("-").to_owned()
}

/// Posts until it is answered 2xx, and starts the bridge again whenever it has died. Returns how often it has.
async fn insist(site: &mut Site, body: &[u8]) -> u32 {
    let mut deaths = 0;
    until("it is taken", PATIENCE, async || {
        deaths += revive(site);
        http::post(site.ports.webhook, "/tts", &[], body).await.ok().filter(|reply| reply.status == 202)
    })
    .await;
    deaths
}

fn revive(site: &mut Site) -> u32 {
    if site.bridge().exited().is_none() {
        return 0;
    }
    start(site);
    1
}
