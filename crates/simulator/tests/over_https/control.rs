//! The control API over plain HTTP.

use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use simulator::{Options, Simulator, start};

use crate::client::{Device, options};

pub async fn call(simulator: &Simulator, method: Method, path: &str, host: &str, body: &str) -> (StatusCode, String) {
    let request = Request::builder().method(method).uri(path).header("host", host);
    answer(simulator, request.body(Full::from(body.to_owned())).unwrap()).await
}

async fn answer(simulator: &Simulator, request: Request<Full<bytes::Bytes>>) -> (StatusCode, String) {
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", simulator.started().page.unwrap())).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let response = sender.send_request(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn with_page() -> Simulator {
    start(Options { page_port: Some(0), ..options() }).await.unwrap()
}

#[tokio::test]
async fn state_shows_counts_devices_and_messages_but_no_keys() {
    let simulator = with_page().await;
    let device = Device::new(&simulator, "d1");
    device.provision().await;
    device.send(&[("iothub-messageid", "m1")], br#"{"t":1.50}"#).await.unwrap();
    let (status, text) = call(&simulator, Method::GET, "/api/state", "localhost:8082", "").await;
    assert_eq!(status, StatusCode::OK);
    let state: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&state["hub"], &state["device_count"]), (&json!("localhost"), &json!(1)));
    assert_eq!(state["counts"]["registrations"], json!({"d1": 1}));
    assert_eq!(state["counts"]["dps_calls"], json!({"poll": 1, "register": 1}));
    assert_eq!(state["devices"], json!([{"hub": "localhost", "device_id": "d1", "status": "enabled", "messages": 1}]));
    assert!(text.contains(r#""body":{"t":1.50}"#), "numbers stay as they were sent: {text}");
    for secret in [&simulator.started().group_key, &device.key] {
        assert!(!text.contains(secret.as_str()), "a key is shown");
    }
}

#[tokio::test]
async fn faults_and_devices_are_switched_at_run_time() {
    let simulator = with_page().await;
    let device = Device::new(&simulator, "d1");
    device.provision().await;
    let post = |path: &'static str, body: &'static str| call(&simulator, Method::POST, path, "127.0.0.1", body);
    let sent = || async { device.send(&[], b"1").await.unwrap().status.as_u16() };
    assert_eq!(post("/api/faults", r#"{"hub":{"refuse":[{"answer":"quota"}]}}"#).await.0, StatusCode::OK);
    assert_eq!(sent().await, 403);
    assert_eq!(post("/api/faults", "{}").await.0, StatusCode::OK);
    assert_eq!(sent().await, 204);
    let (status, text) = post("/api/faults", r#"{"hub":{"refuze":[]}}"#).await;
    assert!(status == StatusCode::BAD_REQUEST && text.contains("refuze"), "{text}");
    for (action, then) in [("disable", 403), ("enable", 204), ("delete", 404)] {
        let path: &'static str = format!("/api/devices/d1/{action}").leak();
        assert_eq!((post(path, "").await.0, sent().await), (StatusCode::OK, then), "{action}");
    }
    assert_eq!(post("/api/devices/d1/enable", "").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn devices_are_enrolled_by_name_and_have_their_keys_of_the_group() {
    let simulator = with_page().await;
    let post = |body: &'static str| call(&simulator, Method::POST, "/api/devices", "localhost", body);
    assert_eq!(post(r#"["d1","d2"]"#).await, (StatusCode::OK, r#"{"enrolled":2}"#.to_owned()));
    assert_eq!(Device::new(&simulator, "d2").send(&[], b"1").await.unwrap().status, StatusCode::NO_CONTENT);
    assert!(simulator.counts().registrations.is_empty(), "nobody registered");
    for refused in ["{}", r#"["d3","a b"]"#] {
        assert_eq!(post(refused).await.0, StatusCode::BAD_REQUEST, "{refused}");
    }
    assert_eq!(simulator.devices().len(), 3, "those before the one that cannot be are there");
}

#[tokio::test]
async fn the_clock_is_put_forward_and_everything_goes_by_it() {
    let simulator = with_page().await;
    let device = Device::new(&simulator, "d1");
    device.provision().await;
    let clock = |method, body: &'static str| call(&simulator, method, "/api/clock", "localhost", body);
    let (status, text) = clock(Method::POST, r#"{"forward_s":7200}"#).await;
    assert_eq!(status, StatusCode::OK);
    let told: Value = serde_json::from_str(&text).unwrap();
    let now: jiff::Timestamp = told["now"].as_str().unwrap().parse().unwrap();
    let ahead_ms = now.as_millisecond() - crate::client::now_ms();
    assert!((7_190_000..=7_200_000).contains(&ahead_ms), "{text}");
    let refused = device.send(&[], b"1").await.unwrap();
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "its token was for an hour");
    let date = jiff::fmt::rfc2822::parse(refused.header("date").unwrap()).unwrap().timestamp();
    assert!((date - now).get_seconds().abs() < 10, "who learns the time from us learns this one: {date}");
    for (body, cause) in [
        (r#"{"forward_s":-1}"#, "forward only"),
        (r#"{"forward_s":31622400}"#, "366 days ahead in all (it is 7200 s ahead)"),
        (r#"{"forward_s":99999999999999999999}"#, "forward_s"),
        (r#"{"forward_s":1.5}"#, "whole seconds"),
        (r#"{"back_s":1}"#, "back_s"),
    ] {
        let (status, text) = clock(Method::POST, body).await;
        assert!(status == StatusCode::BAD_REQUEST && text.contains(cause), "{body}: {text}");
    }
    let (status, text) = clock(Method::GET, "").await;
    assert!(status == StatusCode::OK && text.contains(r#""ahead_s":7200"#), "{text}");
    assert_eq!(clock(Method::DELETE, "").await.0, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_page_from_elsewhere_cannot_reach_in() {
    let simulator = with_page().await;
    for host in ["evil.example", "localhost.evil.example:8082", ""] {
        assert_eq!(call(&simulator, Method::GET, "/api/state", host, "").await.0, StatusCode::FORBIDDEN, "{host}");
    }
    let form = Request::post("/api/faults").header("host", "localhost").header("origin", "http://evil.example");
    assert_eq!(answer(&simulator, form.body(Full::from("{}")).unwrap()).await.0, StatusCode::FORBIDDEN);
    let own = Request::post("/api/faults").header("host", "localhost").header("origin", "http://localhost:8082");
    assert_eq!(answer(&simulator, own.body(Full::from("{}")).unwrap()).await.0, StatusCode::OK);
    let (status, page) = call(&simulator, Method::GET, "/", "[::1]:8082", "").await;
    assert!(status == StatusCode::OK && page.contains("<title>azure-sim") && !page.contains("innerHTML"));
}

/// As the page asks: JSON, and from its own origin.
async fn talk(simulator: &Simulator, path: &str, body: &str) -> (StatusCode, Value) {
    let request = Request::post(path)
        .header("host", "localhost:8082")
        .header("origin", "http://localhost:8082")
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/json");
    let (status, text) = answer(simulator, request.body(Full::from(body.to_owned())).unwrap()).await;
    (status, serde_json::from_str(&text).unwrap())
}

#[tokio::test]
async fn what_the_page_sends_is_what_the_device_gets() {
    let simulator = with_page().await;
    let device = Device::new(&simulator, "d1");
    device.provision().await;
    let wish = r#"{"body":"{\"valve\":1.50}","content_type":"application/json","ack":"full","message_id":"c1","properties":{"f_port":"15"}}"#;
    let (status, told) = talk(&simulator, "/api/devices/d1/messages", wish).await;
    assert_eq!((status, told), (StatusCode::OK, json!({"message_id": "c1", "waiting": 1})));
    let (status, twin) =
        talk(&simulator, "/api/devices/d1/twin", r#"{"properties":{"desired":{"interval_s":60}}}"#).await;
    assert_eq!((status, &twin["properties"]["desired"]["interval_s"]), (StatusCode::OK, &json!(60)));
    let (status, text) = call(&simulator, Method::GET, "/api/devices/d1/twin", "localhost", "").await;
    let twin: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &twin["cloudToDeviceMessageCount"]), (StatusCode::OK, &json!(1)));
    let received = device.receive().await;
    assert_eq!(received.body, &br#"{"valve":1.50}"#[..]);
    assert_eq!(received.header("iothub-messageid"), Some("c1"));
    assert_eq!(received.header("iothub-app-f_port"), Some("15"));
    let (status, refused) = talk(&simulator, "/api/devices/d1/methods", r#"{"methodName":"reboot"}"#).await;
    assert_eq!((status, &refused["title"]), (StatusCode::NOT_FOUND, &json!("DeviceNotOnline")), "as an SDK is told");
    for (path, body, detail) in [
        ("/api/devices/d1/messages", r#"{"bodi":"x"}"#, "bodi"),
        ("/api/devices/d1/messages", r#"{"body":"x","body_base64":"eA=="}"#, "give one of them"),
        ("/api/devices/d1/messages", r#"{"ack":"maybe"}"#, "iothub-ack"),
        ("/api/devices/d1/methods", r#"{"methodName":"a/b"}"#, "method name"),
        ("/api/devices/d1/twin", "[", "not a twin"),
        ("/api/devices/none/twin", "{}", "not known"),
    ] {
        let (status, refused) = talk(&simulator, path, body).await;
        let said = refused["detail"].as_str().unwrap().to_owned();
        assert!(status.is_client_error() && said.contains(detail), "{path} {body}: {status} {said}");
    }
}

#[tokio::test]
async fn what_another_sites_page_can_send_reaches_no_device() {
    let simulator = with_page().await;
    Device::new(&simulator, "d1").provision().await;
    let ask = |headers: &[(&'static str, &'static str)]| {
        let request = Request::post("/api/devices/d1/messages").header("host", "localhost");
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    };
    let (json, own) = (("content-type", "application/json"), ("sec-fetch-site", "same-origin"));
    for headers in [
        &[][..],
        &[("content-type", "text/plain"), own],
        &[json, ("origin", "http://evil.example")],
        &[json, ("origin", "null")],
        &[json, ("sec-fetch-site", "cross-site")],
        &[json, ("sec-fetch-site", "same-site"), ("origin", "http://localhost:3000")],
    ] {
        let (status, text) = answer(&simulator, ask(headers).body(Full::from("{}")).unwrap()).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{headers:?}: {text}");
    }
    assert_eq!(answer(&simulator, ask(&[json, own]).body(Full::from("{}")).unwrap()).await.0, StatusCode::OK);
}

#[tokio::test]
async fn devices_are_found_and_paged_and_telemetry_is_told_once() {
    let simulator = with_page().await;
    let names: Vec<String> = (0..7).map(|n| format!("dev-{n}")).chain(["other".to_owned()]).collect();
    simulator.enrol(&names).unwrap();
    let asked = &simulator;
    let get = |path: String| async move {
        let (status, text) = call(asked, Method::GET, &path, "localhost", "").await;
        (status, serde_json::from_str::<Value>(&text).unwrap())
    };
    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let (_, page) = get(format!("/api/devices?search=DEV&limit=3{after}")).await;
        let devices = page["devices"].as_array().unwrap();
        assert!(devices.len() <= 3);
        found.extend(devices.iter().map(|device| device["device_id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(found, names[..7]);
    assert_eq!(get("/api/devices?after=nonsense".to_owned()).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(get("/api/devices?hub=elsewhere".to_owned()).await.0, StatusCode::NOT_FOUND);

    let device = Device::new(&simulator, "dev-0");
    device.send(&[("iothub-messageid", "m1")], br#"{"t":1.50}"#).await.unwrap();
    let (_, first) = get("/api/telemetry".to_owned()).await;
    assert_eq!((&first["position"], &first["messages"][0]["body"]), (&json!(1), &json!(r#"{"t":1.50}"#)), "{first}");
    let (_, none) = get("/api/telemetry?after=1".to_owned()).await;
    assert_eq!(none, json!({"position": 1, "missed": 0, "messages": []}));
    for _ in 0..60 {
        device.send(&[], b"\xff").await.unwrap();
    }
    let (_, more) = get("/api/telemetry?after=1".to_owned()).await;
    assert_eq!((&more["position"], &more["missed"]), (&json!(61), &json!(10)), "the newest 50 are told");
    assert_eq!(more["messages"][0]["body_base64"], "/w==");
    assert_eq!(get("/api/telemetry?after=x".to_owned()).await.0, StatusCode::BAD_REQUEST);
    let (_, overview) = get("/api/overview".to_owned()).await;
    assert_eq!((&overview["hubs"][0]["devices"], &overview["messages_total"]), (&json!(8), &json!(61)));
}

#[tokio::test]
async fn the_page_and_its_files_run_nothing_but_themselves() {
    let simulator = with_page().await;
    for path in ["/", "/kit/style.css", "/kit/element.js", "/page/main.js"] {
        let request = Request::get(path).header("host", "localhost").body(Full::<bytes::Bytes>::default()).unwrap();
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", simulator.started().page.unwrap())).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let response = sender.send_request(request).await.unwrap();
        let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{path}: {policy}");
    }
}

#[tokio::test]
async fn thefts_are_told() {
    let simulator = with_page().await;
    let (status, text) = call(&simulator, Method::GET, "/api/thefts", "localhost", "").await;
    assert_eq!((status, text.as_str()), (StatusCode::OK, r#"{"count":0,"thefts":[]}"#));
    let (status, _) = call(&simulator, Method::POST, "/api/thefts", "localhost", "").await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
}
