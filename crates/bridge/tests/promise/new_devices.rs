//! Promise: a thousand devices that nobody has seen before are registered once each, and a restart asks nothing again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::network::{Campaign, seed};
use crate::oracle::Obligations;
use crate::site::Site;

const DEVICES: u32 = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_new_devices_register_once_each() {
    seed();
    crate::processes::raise_file_limit();
    let mut site = Site::empty("new-devices");
    site.dps_retry_after_s = 3;
    site.start_simulator().await;
    site.start_bridge().await;
    let obligations = Arc::new(Obligations::default());
    Campaign::new(site.ports.webhook, DEVICES, 2).start(&obligations).finish().await;
    let verdict = site.settled(&obligations, Duration::from_secs(120)).await;
    println!("{verdict}");
    verdict.holds(0);

    let state = site.azure_state().await;
    let registrations = counts(&state)["registrations"].as_object().cloned().unwrap_or_default();
    println!("{} devices registered, calls {}", registrations.len(), counts(&state)["dps_calls"]);
    assert_eq!(registrations.len(), DEVICES as usize);
    let more: Vec<_> = registrations.iter().filter(|(_, count)| count.as_u64() != Some(1)).collect();
    assert!(more.is_empty(), "registered more than once: {more:?}");

    let calls_before = counts(&state)["dps_calls"].clone();
    site.bridge().signal("TERM");
    site.bridge().exit_within(Duration::from_secs(10)).await;
    site.start_bridge().await;
    let second = Campaign { first: 3, ..Campaign::new(site.ports.webhook, DEVICES, 1) };
    second.start(&obligations).finish().await;
    let verdict = site.settled(&obligations, Duration::from_secs(60)).await;
    println!("after the restart: {verdict}");
    verdict.holds(0);
    assert_eq!(counts(&site.azure_state().await)["dps_calls"], calls_before, "a second start asks DPS nothing");
}

/// Where the simulator's page keeps its counts.
fn counts(state: &Value) -> &Value {
    let counts = &state["counts"];
    assert!(counts.is_object(), "no counts in the simulator's state: {state}");
    counts
}
