//! Promise: devices that nobody has seen before are registered once each, at the pace that DPS takes, also when the bridge
//! is killed in the middle; those that are there already notice nothing, and a restart asks nothing again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http;
use crate::network::{Campaign, is_long, seed};
use crate::oracle::Obligations;
use crate::processes::until;
use crate::site::Site;
use crate::uplinks;

const KNOWN: u32 = 20;
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_new_devices_at_once_keep_the_pace_of_dps_and_cost_known_ones_nothing() {
    seed();
    crate::processes::raise_file_limit();
    // The long campaign has the real service's pace. Here the last of them wait a minute for theirs.
    let (devices, per_minute) = if is_long() { (5_000, 1_000) } else { (1_000, 600) };
    let mut site = Site::empty("new-devices");
    site.dps_retry_after_s = 3;
    site.settings.more = format!("registrations_per_minute = {per_minute}\nattaches_per_second = 0\n");
    site.start_simulator().await;
    throttle(&site, per_minute).await;
    site.start_bridge().await;
    let obligations = Arc::new(Obligations::default());
    let known = Campaign { prefix: "known", ..Campaign::new(site.ports.webhook, KNOWN, 1) };
    known.start(&obligations).finish().await;
    site.settled(&obligations, PATIENCE).await.holds(0);

    let before = latency(&site, &obligations, 2..22).await;
    let begun = Instant::now();
    let posting = Campaign::new(site.ports.webhook, devices, 2).start(&obligations);
    let during = latency(&site, &obligations, 22..42).await;
    println!("a known device's message takes {before:?}, and {during:?} while {devices} new ones come");
    assert!(during < Duration::from_secs(1), "it waits for nobody's registration");
    posting.finish().await;

    let middle = per_minute as usize * 5 / 6;
    until("the middle", PATIENCE, async || (registrations(&site).await >= middle).then_some(())).await;
    site.bridge().kill();
    let registered = registrations(&site).await;
    site.start_bridge().await;
    let assigned = until("the metrics", PATIENCE, async || metric(&site, "longhaul_devices_assigned").await).await;
    let under_way = registered.saturating_sub(assigned);
    println!("killed after {registered} registrations, {under_way} of them not ended");
    let verdict = site.settled(&obligations, Duration::from_secs(420)).await;
    println!("{verdict}, all within {:?}", begun.elapsed());
    // Of what was under way when it was killed, one a device.
    verdict.holds(devices as usize);

    let counts = site.azure_state().await["counts"].clone();
    let all = counts["registrations"].as_object().cloned().unwrap_or_default();
    let times: u64 = all.values().filter_map(Value::as_u64).sum();
    println!("{} devices, {times} registrations, {}", all.len(), counts["dps_calls"]);
    assert_eq!(all.len(), (devices + KNOWN) as usize);
    assert_eq!(counts["dps_refused"], serde_json::json!({}), "never above the pace, the kill included");
    let most = (all.len() as u64 * 101).div_ceil(100);
    assert!(times <= most, "{times} registrations of {} devices: what the kill cut off is looked up", all.len());

    site.bridge().signal("TERM");
    site.bridge().exit_within(Duration::from_secs(10)).await;
    site.start_bridge().await;
    let third = Campaign { first: 3, ..Campaign::new(site.ports.webhook, devices, 1) };
    third.start(&obligations).finish().await;
    site.settled(&obligations, PATIENCE).await.holds(devices as usize);
    assert_eq!(site.azure_state().await["counts"]["dps_calls"], counts["dps_calls"], "a restart asks nothing again");
}

/// The simulator answers 429 beyond so many registrations a minute.
async fn throttle(site: &Site, per_minute: u32) {
    let faults =
        format!(r#"{{"dps":{{"throttle":{{"when":{{"above_per_minute":{per_minute}}},"retry_after_s":10}}}}}}"#);
    let reply = http::post(site.ports.page, "/api/faults", &[], faults.as_bytes()).await.expect("the page answers");
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// A gauge of the bridge.
async fn metric(site: &Site, name: &str) -> Option<usize> {
    let text = site.admin("/metrics").await.text();
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// How often each device has registered, as the simulator counts.
async fn registrations(site: &Site) -> usize {
    site.azure_state().await["counts"]["registrations"].as_object().map_or(0, serde_json::Map::len)
}

/// Posts a known device's messages one after another; the middle of the times that they took to the hub.
async fn latency(site: &Site, obligations: &Obligations, counters: std::ops::Range<u32>) -> Duration {
    let mut record = site.record();
    let mut took = Vec::new();
    for counter in counters {
        obligations.posted("known-0000", counter);
        let body = uplinks::tts("building", "known-0000", counter);
        let begun = Instant::now();
        assert_eq!(site.post("/tts", &body).await.status, 202);
        obligations.owed("known-0000", counter);
        until("a known device's message arrives", PATIENCE, async || {
            let is_it = |line: &Value| line["device_id"] == "known-0000" && line["body"]["Counter"] == counter;
            record.lines().iter().any(is_it).then_some(())
        })
        .await;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    took[took.len() / 2]
}
