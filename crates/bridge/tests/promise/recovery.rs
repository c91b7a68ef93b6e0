//! Promise: when Azure moves a device, forgets it, or replaces its group's key, it goes on within half a minute, under its own
//! name, with nothing lost; and so does everybody after a hub that refused them all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http;
use crate::network::{Campaign, seed};
use crate::oracle::Obligations;
use crate::processes::until;
use crate::site::Site;

const HUBS: [&str; 2] = ["localhost", "127.0.0.1"];
const DEVICES: u32 = 40;
/// From the event to the last message at its hub.
const WITHIN: Duration = Duration::from_secs(30);

fn key(name: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(format!("{name:-<64}"))
}

/// One group, whose devices go to the first hub unless they are moved.
fn setup(primary: &str) -> String {
    let group = json!({
        "name": "all", "primary_key": key(primary), "secondary_key": key("second"), "hubs": HUBS,
        "allocation": { "static": HUBS[0] },
    });
    json!({ "hubs": HUBS, "scopes": [{ "id_scope": "0ne00000001", "groups": [group] }] }).to_string()
}

async fn ask(site: &Site, path: &str, body: &str) {
    let reply = http::post(site.ports.page, path, &[], body.as_bytes()).await.expect("the simulator answers");
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
}

async fn start(name: &str) -> Site {
    seed();
    let mut site = Site::empty(name);
    std::fs::write(site.dir.join("setup.json"), setup("first")).expect("it can be written");
    site.simulator_arguments = ["--setup", "setup.json"].map(str::to_owned).to_vec();
    site.start_simulator().await;
    let (dps, first, second) = (site.ports.https, key("first"), key("second"));
    site.settings.targets = Some(format!(
        "[targets.main]\nkind = \"dps\"\nendpoint = \"localhost:{dps}\"\nid_scope = \"0ne00000001\"\n\
         group_key = \"{first}\"\nsecondary_group_key = \"{second}\"\n[[routes]]\ntarget = \"main\"\n"
    ));
    site.start_bridge().await;
    site
}

/// Everybody sends once; all has to be there within the promised time.
async fn everybody(site: &Site, obligations: &Arc<Obligations>, what: &str, counter: u32) {
    let begin = Instant::now();
    let campaign = Campaign { first: counter, ..Campaign::new(site.ports.webhook, DEVICES, 1) };
    campaign.start(obligations).finish().await;
    let verdict = site.settled(obligations, WITHIN).await;
    println!("{what}: {:?} from the uplinks to the hubs; {verdict}", begin.elapsed());
    verdict.holds(DEVICES as usize);
    assert!(begin.elapsed() < WITHIN);
}

/// Hubs that have a device's messages, in their order.
fn hubs_of(site: &Site, device: &str) -> Vec<String> {
    let of_device = |line: &&Value| line["device_id"] == device;
    let hub = |line: &Value| line["hub"].as_str().unwrap_or_default().to_owned();
    site.record().lines().iter().filter(of_device).map(hub).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_that_are_moved_or_deleted_and_groups_whose_key_is_replaced_go_on_within_half_a_minute() {
    let mut site = start("recovery").await;
    let obligations = Arc::new(Obligations::default());
    everybody(&site, &obligations, "new", 1).await;
    for device in 0..10 {
        let path = format!("/api/registrations/dev-{device:04}/move");
        ask(&site, &path, &json!({ "hub": HUBS[1] }).to_string()).await;
    }
    everybody(&site, &obligations, "ten moved", 2).await;
    assert_eq!(hubs_of(&site, "dev-0003"), [HUBS[0], HUBS[1]]);
    assert_eq!(hubs_of(&site, "dev-0030"), [HUBS[0], HUBS[0]]);
    for device in 10..20 {
        ask(&site, &format!("/api/devices/dev-{device:04}/delete"), "").await;
    }
    everybody(&site, &obligations, "ten deleted", 3).await;
    let registrations = site.azure_state().await["counts"]["registrations"].clone();
    let times = |device: &str| registrations[device].as_u64().unwrap_or_default();
    assert_eq!([times("dev-0003"), times("dev-0013"), times("dev-0030")], [2, 2, 1], "one for each event");

    // The primary key is another one now. Who is there goes on as it is; who is new is taken with the secondary key.
    std::fs::write(site.dir.join("setup.json"), setup("third")).expect("it can be written");
    site.simulator().kill();
    site.start_simulator().await;
    everybody(&site, &obligations, "key replaced", 4).await;
    let begin = Instant::now();
    let fresh = Campaign { prefix: "fresh", ..Campaign::new(site.ports.webhook, DEVICES, 1) };
    fresh.start(&obligations).finish().await;
    site.settled(&obligations, WITHIN).await.holds(DEVICES as usize);
    println!("new ones after it: {:?}", begin.elapsed());
    assert!(site.bridge().stderr().contains("dps.group_key_changed"), "and somebody is told");
    assert!(site.dead_letters().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_refuses_everybody_makes_an_alarm_and_no_storm_and_is_found_again() {
    let mut site = start("refuses-all").await;
    let obligations = Arc::new(Obligations::default());
    everybody(&site, &obligations, "new", 1).await;
    ask(&site, "/api/faults", r#"{"hub":{"refuse":[{"answer":"unauthorized"}]}}"#).await;
    Campaign { first: 2, ..Campaign::new(site.ports.webhook, DEVICES, 1) }.start(&obligations).finish().await;
    let refuses_many = async |wanted: bool| {
        let hubs = site.admin("/api/v1/snapshot").await.json()["hubs"].clone();
        hubs.as_array()?.iter().any(|hub| hub["refuses_many"] == wanted).then_some(())
    };
    until("the alarm", WITHIN, async || refuses_many(true).await).await;
    let registrations = site.azure_state().await["counts"]["registrations"].clone();
    let times: u64 = registrations.as_object().into_iter().flatten().filter_map(|(_, times)| times.as_u64()).sum();
    println!("{times} registrations of {DEVICES} devices");
    assert!(times <= u64::from(DEVICES) + 20, "{times}");
    ask(&site, "/api/faults", "{}").await;
    // By itself within five minutes (tests/flow/refused.rs); at once when somebody says so.
    let reply =
        http::post(site.ports.admin, "/api/v1/devices/retry", &[], br#"{"all":true}"#).await.expect("it answers");
    assert_eq!(reply.status, 200);
    let verdict = site.settled(&obligations, WITHIN).await;
    verdict.holds(DEVICES as usize);
    until("the all-clear", WITHIN, async || refuses_many(false).await).await;
    for says in ["hub.breaker_opened", "hub.breaker_closed"] {
        assert!(site.bridge().stderr().contains(says), "no {says}");
    }
}
