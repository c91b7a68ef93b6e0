//! Promise: whatever comes to the door gets the answer that is written down for it, and nothing of it gets stuck.

use std::time::Duration;

use crate::http::{self, Reply};
use crate::site::Site;
use crate::uplinks;

const PATIENCE: Duration = Duration::from_secs(30);

/// What is posted, the answer, and the reason under which it is kept, if it is.
struct Case {
    name: &'static str,
    body: Vec<u8>,
    content_type: &'static str,
    status: u16,
    reason: Option<&'static str>,
}

fn case(name: &'static str, body: impl Into<Vec<u8>>, status: u16, reason: Option<&'static str>) -> Case {
    Case { name, body: body.into(), content_type: "application/json", status, reason }
}

fn cases() -> Vec<Case> {
    const ODD: Option<&str> = Some("not_understood");
    let deep = |depth: usize| "[".repeat(depth);
    let nested = format!("{}{}", deep(100_000), "]".repeat(100_000));
    let deep_fields = format!("{{\"x\":{nested}}}");
    let ids = r#""end_device_ids":{"device_id":"d","application_ids":{"application_id":"building"}}"#;
    let text = |text: &str| text.as_bytes().to_vec();
    let mut cases = vec![
        case("no JSON", "hello", 400, None),
        case("half a message", r#"{"end_device_ids":{"device_id":"#, 400, None),
        case("nothing", "", 400, None),
        case("no UTF-8", vec![b'"', 0xff, 0xfe, b'"'], 400, None),
        case("100 000 deep, never closed", deep(100_000), 400, None),
        case("100 000 deep", nested.clone(), 202, ODD),
        case("an array", "[]", 202, ODD),
        case("a number", "42", 202, ODD),
        case("null", "null", 202, ODD),
        case("an object of nothing", "{}", 202, ODD),
        case("another's message", r#"{"deviceInfo":{"deviceName":"x"},"fCnt":1,"data":"AQ=="}"#, 202, ODD),
        case(
            "a device that is a number",
            text(&format!(r#"{{"uplink_message":{{}},{}}}"#, ids.replace("\"d\"", "5"))),
            202,
            ODD,
        ),
        case("ids that are an array", r#"{"end_device_ids":[],"uplink_message":{"f_port":1}}"#, 202, ODD),
        case(
            "a port that is a word",
            text(&format!(r#"{{{ids},"uplink_message":{{"f_port":"x","frm_payload":"AQ=="}}}}"#)),
            202,
            ODD,
        ),
        case("no device", r#"{"uplink_message":{"f_port":1,"frm_payload":"AQ=="}}"#, 202, Some("no_identity")),
        case(
            "no application",
            r#"{"end_device_ids":{"device_id":"d"},"uplink_message":{"f_port":1}}"#,
            202,
            Some("no_identity"),
        ),
        case("unknown application", uplinks::tts("unknown", "dev-1", 1), 202, Some("no_route")),
        case("a name that DPS refuses", uplinks::tts("building", "Bad Device!", 1), 202, Some("bad_registration_id")),
        case("10 MB", vec![b' '; 10 << 20], 413, None),
        case("fields 100 000 deep", uplinks::tts_with("building", "deep", 1, "AQID", &deep_fields), 202, None),
    ];
    let protobuf = vec![0x0a, 0x03, 0x0a, 0x01, b'd', 0x1a, 0x02, 0x10, 0x01];
    let kept = Some("protobuf_format");
    cases.push(Case { content_type: "application/octet-stream", ..case("protobuf", protobuf, 202, kept) });
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_gets_its_answer_and_nothing_is_stuck() {
    let mut site = Site::empty("bad-input");
    site.start_simulator().await;
    let scope = site.azure["id_scope"].as_str().expect("the simulator names its scope");
    let target = crate::settings::main_target(site.ports.https, scope);
    // No default route, so that an unknown application has none.
    site.settings.targets = Some(format!("{target}\n[[routes]]\napplication = \"building\"\ntarget = \"main\"\n"));
    site.start_bridge().await;

    let mut reasons = Vec::new();
    for case in cases() {
        let headers = [("content-type", case.content_type)];
        let reply = http::post(site.ports.webhook, "/tts", &headers, &case.body).await;
        let reply = reply.unwrap_or_else(|e| panic!("{}: no answer: {e}", case.name));
        assert_eq!(reply.status, case.status, "{}: {}", case.name, reply.text());
        says_what_it_should(case.name, &reply);
        reasons.extend(case.reason.map(str::to_owned));
    }
    // A good one behind them all is served.
    assert_eq!(site.post("/tts", &uplinks::tts("building", "good", 1)).await.status, 202);
    site.drained(PATIENCE).await;
    reasons.sort();
    assert_eq!(site.dead_letter_reasons().await, reasons);
    let mut record = site.record();
    let devices: Vec<_> = record.lines().iter().map(|line| line["device_id"].clone()).collect();
    assert!(devices.contains(&"good".into()), "{devices:?}");
    assert!(devices.contains(&"deep".into()), "deep fields are the user's own: {devices:?}");
    assert_eq!(devices.len(), 2, "{devices:?}");
}

fn says_what_it_should(name: &str, reply: &Reply) {
    match reply.status {
        202 => assert!(!reply.json()["id"].is_null(), "{name}: 202 with the id: {}", reply.text()),
        400 => assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{name}"),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_paths_and_methods_get_their_answers() {
    let mut site = Site::empty("keys");
    site.settings.keys = vec![
        "\"key-for-everything\"".to_owned(),
        "{ key = \"key-for-building\", applications = [\"building\"] }".to_owned(),
    ];
    site.start_simulator().await;
    site.start_bridge().await;
    let (building, vehicles) = (uplinks::tts("building", "dev-1", 1), uplinks::tts("vehicles", "car-1", 1));
    let posts: [(&str, &str, &[u8], u16); 9] = [
        ("/tts", "", &building, 401),
        ("/tts", "wrong", &building, 401),
        ("/tts", "key-for-everythin", &building, 401),
        ("/tts", "wrong", b"not JSON", 401),
        ("/tts", "key-for-building", &vehicles, 403),
        ("/tts", "key-for-building", &building, 202),
        ("/tts", "key-for-everything", &vehicles, 202),
        ("/nowhere", "key-for-everything", &vehicles, 404),
        ("/api/UplinkProcessor?code=key-for-everything", "", &uplinks::tts("building", "dev-1", 2), 202),
    ];
    for (path, key, body, status) in posts {
        let headers: &[(&str, &str)] = if key.is_empty() { &[] } else { &[("x-api-key", key)] };
        let reply = http::post(site.ports.webhook, path, headers, body).await.expect("the door answers");
        assert_eq!(reply.status, status, "{path} with {key:?}: {}", reply.text());
    }
    let reply = http::get(site.ports.webhook, "/tts").await.expect("the door answers");
    assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")));
    site.drained(PATIENCE).await;
    assert_eq!(site.record().lines().len(), 3, "what was refused is not sent");
    assert_eq!(site.dead_letter_reasons().await, [""; 0], "nor kept");
}
