//! Promise: whoever runs the bridge sees each device and how it stands, and what was mended goes on at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::http;
use crate::network::{Campaign, seed};
use crate::oracle::Obligations;
use crate::processes::until;
use crate::settings::main_target;
use crate::site::Site;
use crate::uplinks;

const PATIENCE: Duration = Duration::from_secs(30);
/// `devices retry` is no use if the message takes its time all the same.
const AT_ONCE: Duration = Duration::from_secs(2);

/// All devices, page by page.
async fn list(site: &Site, query: &str, limit: usize) -> (Vec<Value>, usize) {
    let (mut devices, mut pages, mut after) = (Vec::new(), 0, String::new());
    loop {
        let page = site.admin(&format!("/api/v1/devices?limit={limit}{query}{after}")).await.json();
        let found = page["devices"].as_array().expect("a page has devices").clone();
        assert!(found.len() <= limit, "{} on a page of {limit}", found.len());
        devices.extend(found);
        pages += 1;
        match page["next"].as_str() {
            Some(next) => after = format!("&after={}", next.replace('%', "%25")),
            None => return (devices, pages),
        }
    }
}

async fn retry(site: &Site, path: &str, body: &Value) -> usize {
    let reply = http::post(site.ports.admin, path, &[], body.to_string().as_bytes()).await.expect("it answers");
    assert_eq!(reply.status, 200, "{}", reply.text());
    usize::try_from(reply.json()["woken"].as_u64().expect("a number")).expect("a small one")
}

/// Enables or disables a device at its hub.
async fn switch(site: &Site, device: &str, action: &str) {
    let path = format!("/api/devices/{device}/{action}");
    let reply = http::post(site.ports.page, &path, &[], b"").await.expect("the simulator answers");
    assert_eq!(reply.status, 200, "{}", reply.text());
}

async fn held(site: &Site, device: &str) -> Value {
    until("the device is held", PATIENCE, async || {
        let reply = site.admin(&format!("/api/v1/devices/ttn/building/{device}")).await;
        Some(reply).filter(|reply| reply.status == 200).map(|reply| reply.json()).filter(|one| one["state"] == "held")
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_device_goes_on_at_once_when_a_person_says_that_it_is_mended() {
    let site = Site::start("devices-retry").await;
    for device in ["lame", "sound"] {
        assert_eq!(site.post("/tts", &uplinks::tts("building", device, 1)).await.status, 202);
    }
    site.drained(PATIENCE).await;
    switch(&site, "lame", "disable").await;
    assert_eq!(site.post("/tts", &uplinks::tts("building", "lame", 2)).await.status, 202);
    let one = held(&site, "lame").await;
    assert!(one["retry_at"].is_i64() && one["waiting_since"].is_i64(), "{one}");
    assert_eq!(one["tried"]["attempts"], 1, "{one}");
    assert!(one["tried"]["last_cause"].as_str().is_some_and(|cause| !cause.is_empty()), "{one}");
    let (devices, _) = list(&site, "&state=held", 10).await;
    assert_eq!(devices.len(), 1, "the other one is well: {devices:?}");

    switch(&site, "lame", "enable").await;
    for (path, body) in [
        ("/api/v1/devices/ttn/building/sound/retry", json!({})),
        ("/api/v1/devices/retry", json!({"application": "nobody"})),
    ] {
        assert_eq!(retry(&site, path, &body).await, 0, "nobody of these was held");
    }
    let begin = Instant::now();
    assert_eq!(retry(&site, "/api/v1/devices/ttn/building/lame/retry", &json!({})).await, 1);
    site.drained(AT_ONCE).await;
    println!("{:?} from the request to an empty queue", begin.elapsed());
    let one = site.admin("/api/v1/devices/ttn/building/lame").await.json();
    assert_eq!((&one["state"], &one["retry_at"]), (&json!("attached"), &Value::Null), "{one}");
    assert!(one["last_uplink_at"].is_i64(), "{one}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refused_by_the_provisioning_service_is_asked_again_at_once() {
    let site = Site::start("devices-refused").await;
    let faults = async |text: &str| {
        let reply = http::post(site.ports.page, "/api/faults", &[], text.as_bytes()).await.expect("it answers");
        assert_eq!(reply.status, 200, "{}", reply.text());
    };
    faults(r#"{"dps":{"refuse":[{"ids":["new"],"answer":"not_enrolled"}]}}"#).await;
    assert_eq!(site.post("/tts", &uplinks::tts("building", "new", 1)).await.status, 202);
    let one = held(&site, "new").await;
    let refused = &one["names"][0]["refused"];
    assert!(refused["until"].is_i64() && refused["class"] == "denied" && refused["times"] == 1, "{one}");
    faults("{}").await;
    assert_eq!(retry(&site, "/api/v1/devices/retry", &json!({"all": true})).await, 1);
    site.drained(AT_ONCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_devices_come_page_by_page_and_are_there_after_a_restart() {
    seed();
    crate::processes::raise_file_limit();
    let mut site = Site::start("devices-list").await;
    let obligations = Arc::new(Obligations::default());
    Campaign::new(site.ports.webhook, 1_000, 1).start(&obligations).finish().await;
    site.settled(&obligations, Duration::from_secs(60)).await.holds(0);
    let key = |device: &Value| [&device["network"], &device["application"], &device["device"]].map(Value::to_string);
    let (devices, pages) = list(&site, "", 300).await;
    println!("{} devices on {pages} pages", devices.len());
    assert_eq!((devices.len(), pages), (1_000, 4));
    let keys: Vec<_> = devices.iter().map(key).collect();
    assert!(keys.is_sorted(), "in order");
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), 1_000, "each once");
    for device in &devices {
        assert_eq!(device["state"], "attached", "{device}");
        assert!(device["last_uplink_at"].is_i64() && device["names"][0]["hub"].is_string(), "{device}");
        assert_eq!(device["names"][0]["targets"], json!(["main"]), "{device}");
    }
    let wanted = devices[7]["device"].as_str().expect("a name").to_owned();
    let (found, _) = list(&site, &format!("&search={}", wanted.to_uppercase()), 10).await;
    assert!(found.iter().any(|one| one["device"] == wanted.as_str()), "{found:?}");
    assert!(list(&site, "&application=nobody", 10).await.0.is_empty());

    site.bridge().signal("TERM");
    site.bridge().exit_within(PATIENCE).await;
    site.start_bridge().await;
    let (after, _) = list(&site, "", 1_000).await;
    assert_eq!(after.iter().map(key).collect::<Vec<_>>(), keys, "a restart forgets nobody");
    let kept = |devices: &[Value]| devices.iter().map(|one| one["last_uplink_at"].clone()).collect::<Vec<_>>();
    assert_eq!(kept(&after), kept(&devices), "nor when it sent last");
    assert!(after.iter().all(|one| one["state"] == "assigned"), "links are made when there is something to send");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_that_are_no_words_are_told_and_found_all_the_same() {
    let mut site = Site::empty("devices-hostile");
    site.start_simulator().await;
    let id_scope = site.azure["id_scope"].as_str().expect("the simulator says it").to_owned();
    let target = main_target(site.ports.https, &id_scope);
    site.settings.targets = Some(format!("{target}device_id = \"dev-{{dev_eui}}\"\n[[routes]]\ntarget = \"main\"\n"));
    site.start_bridge().await;
    // As JSON writes them, what they are, and how an address writes them.
    let ids = [
        (r"a\/..\/b", "a/../b", "a%2F..%2Fb"),
        (r"\u001b[2J\u202e", "\u{1b}[2J\u{202e}", "%1B%5B2J%E2%80%AE"),
        (r#"\"<script>%41?"#, "\"<script>%41?", "%22%3Cscript%3E%2541%3F"),
    ];
    for (written, ..) in ids {
        assert_eq!(site.post("/tts", &uplinks::tts(written, written, 1)).await.status, 202, "{written}");
    }
    site.drained(PATIENCE).await;
    let (devices, _) = list(&site, "", 1).await;
    assert_eq!(devices.len(), ids.len(), "{devices:?}");
    for (_, id, address) in ids {
        let reply = site.admin(&format!("/api/v1/devices/ttn/{address}/{address}")).await;
        assert_eq!(reply.status, 200, "{address}: {}", reply.text());
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!((&reply.json()["application"], &reply.json()["device"]), (&json!(id), &json!(id)));
    }
    for (path, status) in [
        ("/api/v1/devices/ttn/building/nobody", 404),
        ("/api/v1/devices/ttn/building/%FF", 400),
        ("/api/v1/devices?limit=many", 400),
        ("/api/v1/devices?state=odd", 400),
        ("/api/v1/devices?after=nowhere", 400),
        ("/api/v1/devices?colour=red", 400),
    ] {
        let reply = site.admin(path).await;
        assert_eq!((reply.status, reply.header("content-type")), (status, Some("application/problem+json")), "{path}");
        assert!(reply.json()["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_wakes_devices_from_another_sites_page_or_without_the_token() {
    let mut site = Site::start("devices-guard").await;
    let post = async |site: &Site, headers: &[(&str, &str)]| {
        let path = "/api/v1/devices/retry";
        http::post(site.ports.admin, path, headers, br#"{"all":true}"#).await.expect("it answers").status
    };
    assert_eq!(post(&site, &[]).await, 200, "a program of this machine");
    for refused in [
        ("content-type", "text/plain"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("origin", "http://evil.example"),
        ("sec-fetch-site", "cross-site"),
    ] {
        assert_eq!(post(&site, &[refused]).await, 403, "{refused:?}");
    }
    let reply = http::post(site.ports.admin, "/api/v1/devices/retry", &[], b"{}").await.expect("it answers");
    assert_eq!(reply.status, 400, "nobody is woken by mistake: {}", reply.text());

    site.bridge().signal("TERM");
    site.bridge().exit_within(PATIENCE).await;
    site.env.push(("LONGHAUL__ADMIN__TOKEN".to_owned(), "a-token-of-this-test-0001".to_owned()));
    site.start_bridge().await;
    let bearer = ("authorization", "Bearer a-token-of-this-test-0001");
    assert_eq!(post(&site, &[]).await, 401);
    assert_eq!(post(&site, &[bearer]).await, 200);
    assert_eq!(post(&site, &[bearer, ("origin", "http://evil.example")]).await, 403, "a browser that remembers it");
    assert_eq!(site.admin("/api/v1/devices").await.status, 401);
}
