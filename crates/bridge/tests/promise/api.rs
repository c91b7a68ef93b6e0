//! Promise: the description of the admin API is true. What it names answers, and each answer is what it says.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::http;
use crate::processes::until;
use crate::site::Site;
use crate::uplinks;

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_documented_path_answers_with_what_is_documented() {
    let site = Site::start("api").await;
    for (device, counter) in [("room-1", 1), ("room-1", 2), ("room-1", 5), ("room-2", 1)] {
        assert_eq!(site.post("/tts", &uplinks::tts("building", device, counter)).await.status, 202);
    }
    let nobody = br#"{"uplink_message":{"f_port":1,"frm_payload":"AQ=="}}"#;
    assert_eq!(site.post("/tts", nobody).await.status, 202);
    let letter = until("its letter is there", PATIENCE, async || site.dead_letters().await.first().cloned()).await;
    site.drained(PATIENCE).await;
    let api = site.admin("/api/v1/openapi.json").await.json();
    assert!(api["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{}", api["openapi"]);
    let mut asked = BTreeSet::new();
    for (path, operations) in api["paths"].as_object().expect("there are some") {
        for (method, operation) in operations.as_object().expect("by method") {
            if path == "/api/v1/live" {
                listened(&site, &api, operation).await;
                continue;
            }
            let case = Case::of(path, method, letter["seq"].as_u64().expect("a position"));
            let reply = case.ask(&site).await;
            assert_eq!(reply.status, 200, "{method} {}: {}", case.path, reply.text());
            check(&api, &operation["responses"]["200"]["content"]["application/json"]["schema"], &reply.json(), path);
            asked.insert((method.clone(), path.clone()));
        }
    }
    assert!(asked.len() >= 21, "{asked:?}");
    facts(&site).await;
    problems(&site, &api).await;
}

/// How an operation is asked.
struct Case {
    path: String,
    body: Option<Value>,
}

impl Case {
    fn of(path: &str, method: &str, letter: u64) -> Self {
        let device = [("{network}", "ttn"), ("{application}", "building"), ("{device}", "room-1"), ("{id}", "1")];
        let filled = device.iter().fold(path.to_owned(), |path, (name, value)| path.replace(name, value));
        let filled = filled.replace("{seq}", &letter.to_string());
        let path = if path == "/api/v1/series" { format!("{filled}?span=5min") } else { filled };
        let body = match path.rsplit('/').next() {
            _ if method == "get" => None,
            Some("replay" | "drop") => Some(json!({ "seqs": [9_999_999] })),
            Some("import") => Some(json!({ "letters": [] })),
            Some("backup") => Some(json!({ "name": "of-the-api" })),
            Some("provision") => Some(json!([{ "application": "building", "device_id": "room-9" }])),
            Some("retry") if path == "/api/v1/devices/retry" => Some(json!({ "application": "building" })),
            Some("retry") => Some(json!({})),
            _ => panic!("no case for {method} {path}"),
        };
        Self { path, body }
    }

    async fn ask(&self, site: &Site) -> http::Reply {
        match &self.body {
            None => site.admin(&self.path).await,
            Some(body) => {
                http::post(site.ports.admin, &self.path, &[], body.to_string().as_bytes()).await.expect("it answers")
            }
        }
    }
}

/// Validates, and sees to it that nothing is told that is not described.
fn check(api: &Value, schema: &Value, answer: &Value, of: &str) {
    assert!(schema.is_object(), "{of} describes no answer");
    let mut whole = schema.clone();
    whole["components"] = api["components"].clone();
    let validator = jsonschema::validator_for(&whole).unwrap_or_else(|e| panic!("{of}: {e}"));
    let errors: Vec<_> = validator.iter_errors(answer).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{of}: {errors:?} in {answer}");
    described(api, schema, answer, of);
}

fn described(api: &Value, schema: &Value, answer: &Value, of: &str) {
    let schema = match schema["$ref"].as_str() {
        Some(name) => api.pointer(name.trim_start_matches('#')).expect("it is there"),
        None => schema,
    };
    match answer {
        Value::Array(items) => items.iter().for_each(|item| described(api, &schema["items"], item, of)),
        Value::Object(members) if schema["properties"].is_object() => {
            for (name, value) in members {
                let known = &schema["properties"][name];
                assert!(!known.is_null(), "{of} tells `{name}`, which is not described");
                described(api, known, value, of);
            }
        }
        _ => {}
    }
}

/// Server-sent events: two ticks, a second apart.
async fn listened(site: &Site, api: &Value, operation: &Value) {
    let mut stream = TcpStream::connect(("127.0.0.1", site.ports.admin)).await.expect("it listens");
    stream.write_all(b"GET /api/v1/live HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("it reads");
    let mut said = String::new();
    while said.matches("event: tick\n").count() < 3 {
        let mut piece = [0; 4096];
        let read = timeout(PATIENCE, stream.read(&mut piece)).await.expect("ticks come").expect("it goes on");
        assert!(read > 0, "it ended: {said}");
        said.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
    assert!(said.contains("text/event-stream"), "{said}");
    let schema = &operation["responses"]["200"]["content"]["text/event-stream"]["schema"];
    let ticks: Vec<Value> =
        said.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect();
    ticks.iter().for_each(|tick| check(api, schema, tick, "live"));
    let between = ticks[1]["at"].as_i64().expect("a time") - ticks[0]["at"].as_i64().expect("a time");
    assert!((500..5_000).contains(&between), "{between} ms");
}

/// A few of the answers, against what was done.
async fn facts(site: &Site) {
    let radio = site.admin("/api/v1/devices/ttn/building/room-1/radio").await.json();
    assert_eq!((radio["receptions"].as_array().map(Vec::len), &radio["missed"]), (Some(3), &json!(2)), "{radio}");
    assert_eq!(radio["receptions"][0]["rssi_dbm"], -97, "{radio}");
    let device = site.admin("/api/v1/devices/ttn/building/room-1").await.json();
    assert_eq!((&device["radio"]["spreading_factor"], &device["radio"]["f_cnt"]), (&json!(7), &json!(5)), "{device}");
    let messages = site.admin("/api/v1/messages?device=room-2").await.json();
    let message = &messages["messages"][0];
    assert_eq!((&message["state"], &message["device_id"]), (&json!("delivered"), &json!("room-2")), "{message}");
    let steps: Vec<_> = message["steps"].as_array().expect("some").iter().map(|step| step["step"].clone()).collect();
    assert!(steps.first() == Some(&json!("accepted")) && steps.last() == Some(&json!("delivered")), "{steps:?}");
    assert!(message["body"].as_str().is_some_and(|body| body.contains("room-2")), "{message}");
    for id in [message["message_id"].as_str().expect("it has one"), "as:up:01J0000000002"] {
        let found = site.admin(&format!("/api/v1/messages/{id}")).await.json();
        assert_eq!(found["found"].as_array().map(Vec::len), Some(1), "{id}: {found}");
    }
    let targets = site.admin("/api/v1/targets").await.json();
    let hub = &targets["targets"][0]["hubs"][0];
    assert_eq!((&hub["open"], &hub["units"]["used"]), (&json!(true), &json!(4)), "{targets}");
    let building = &targets["networks"].as_array().expect("some").iter().find(|one| one["application"] == "building");
    let building = building.unwrap_or_else(|| panic!("{targets}"));
    let told = (&building["accepted"], &building["devices"], &building["missed"]);
    assert_eq!(told, (&json!(4), &json!(2), &json!(2)), "{building}");
    let series = site.admin("/api/v1/series?span=day").await.json();
    let accepted: i64 = series["points"].as_array().expect("some").iter().filter_map(|point| point[1].as_i64()).sum();
    assert_eq!(accepted, 5, "{series}");
    let configuration = site.admin("/api/v1/configuration").await;
    assert!(!configuration.text().contains(&site.group_key()), "a secret is told");
    assert!(configuration.json()["file"].as_str().is_some_and(|file| file.ends_with("longhaul.toml")));
}

/// Refusals are described as well.
async fn problems(site: &Site, api: &Value) {
    for (path, template, status) in [
        ("/api/v1/messages/no-such-id", "/api/v1/messages/{id}", 404),
        ("/api/v1/series?span=year", "/api/v1/series", 400),
        ("/api/v1/dead-letters/424242", "/api/v1/dead-letters/{seq}", 404),
    ] {
        let reply = site.admin(path).await;
        assert_eq!(reply.status, status, "{path}: {}", reply.text());
        let content = &api["paths"][template]["get"]["responses"][status.to_string()]["content"];
        check(api, &content["application/problem+json"]["schema"], &reply.json(), path);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_listens_holds_up_no_drain_and_only_so_many_do() {
    let mut site = Site::start("api-live").await;
    let ask = async || {
        let mut stream = TcpStream::connect(("127.0.0.1", site.ports.admin)).await.expect("it listens");
        stream.write_all(b"GET /api/v1/live HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("it reads");
        let mut head = vec![0; 1024];
        let read = timeout(PATIENCE, stream.read(&mut head)).await.expect("it answers").expect("it answers");
        (stream, String::from_utf8_lossy(&head[..read]).into_owned())
    };
    let mut listeners = Vec::new();
    for _ in 0..32 {
        let (stream, head) = ask().await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        listeners.push(stream);
    }
    let (_, refused) = ask().await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("too_many_listeners"), "{refused}");
    listeners.pop();
    until("there is a place again", PATIENCE, async || ask().await.1.starts_with("HTTP/1.1 200").then_some(())).await;
    let begin = std::time::Instant::now();
    site.bridge().signal("TERM");
    site.bridge().exit_within(PATIENCE).await;
    assert!(begin.elapsed() < Duration::from_secs(4), "listeners held it up: {:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_hub_counted_today_outlives_a_restart() {
    let mut site = Site::start("api-units").await;
    for counter in 1..=3 {
        assert_eq!(site.post("/tts", &uplinks::tts("building", "room-1", counter)).await.status, 202);
    }
    site.drained(PATIENCE).await;
    site.bridge().signal("TERM");
    site.bridge().exit_within(PATIENCE).await;
    site.start_bridge().await;
    assert_eq!(site.post("/tts", &uplinks::tts("building", "room-1", 4)).await.status, 202);
    let used = async || {
        let targets = site.admin("/api/v1/targets").await.json();
        let used = targets["targets"][0]["hubs"][0]["units"]["used"].as_u64()?;
        (used >= 4).then_some(used)
    };
    // Unless midnight passes in between: then it is one, of the new day.
    assert_eq!(until("all are counted", PATIENCE, used).await, 4);
}
