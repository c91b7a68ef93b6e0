//! What is answered to what, and what is kept of it.

use bridge::head::Head;

use crate::site::{Plan, Site, UPLINK, key, post};

const JSON: &str = "content-type: application/json\r\n";

#[tokio::test]
async fn an_uplink_is_answered_with_its_place_and_kept() {
    let site = Site::plain().await;
    for path in ["/tts", "/tts/uplink-message", "/ttn/v2", "/api/UplinkProcessor"] {
        let reply = site.post(path, JSON, UPLINK).await;
        assert_eq!(reply.status, 202, "{path}: {reply:?}");
        let message = site.take().await;
        assert_eq!(reply.body, format!(r#"{{"id":"{}"}}"#, message.seq.0));
        assert_eq!(message.lane, "t/ttn/building/dev-1");
        assert_eq!(message.kind, "uplink_message");
        assert_eq!(message.body, UPLINK.as_bytes());
        let head = Head::read(&message.head).expect("a head");
        let expected = Head {
            network: "ttn".to_owned(),
            application: Some("building".to_owned()),
            device: Some("dev-1".to_owned()),
            dev_eui: Some("70B3D57ED0000001".to_owned()),
            format: "tts-v3".to_owned(),
            path: path.to_owned(),
        };
        assert_eq!(head, expected);
    }
}

#[tokio::test]
async fn a_v2_uplink_is_kept_under_its_device() {
    let site = Site::plain().await;
    let body = r#"{"app_id":"building","dev_id":"dev-2","port":1,"counter":2,"payload_raw":"AQ==","metadata":{}}"#;
    assert_eq!(site.post("/tts", JSON, body).await.status, 202);
    let message = site.take().await;
    assert_eq!((message.lane.as_str(), message.kind.as_str()), ("t/ttn/building/dev-2", "uplink_message"));
}

#[tokio::test]
async fn every_other_event_goes_to_the_news_lane() {
    let site = Site::plain().await;
    for kind in ["join_accept", "downlink_ack", "downlink_failed", "location_solved", "service_data"] {
        let body = UPLINK.replace("uplink_message", kind);
        assert_eq!(site.post("/tts", JSON, body).await.status, 202, "{kind}");
        let message = site.take().await;
        assert_eq!((message.lane.as_str(), message.kind.as_str()), ("n/ttn/building/dev-1", kind));
    }
}

#[tokio::test]
async fn json_that_is_no_message_becomes_a_dead_letter() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for body in ["[]", "42", "null", "\"text\"", "{}", r#"{"end_device_ids":7,"uplink_message":{}}"#, deep.as_str()] {
        let site = Site::plain().await;
        let shown = &body[..body.len().min(40)];
        assert_eq!(site.post("/tts", JSON, body).await.status, 202, "{shown}");
        let letter = site.dead_letter().await;
        assert_eq!(letter.reason.code, "not_understood", "{shown}");
        assert_eq!(letter.message.body, body.as_bytes(), "{shown}");
        assert_eq!(site.count("buried_total{reason=\"not_understood\"}"), 1);
    }
}

#[tokio::test]
async fn a_deep_payload_is_still_a_message() {
    let site = Site::plain().await;
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let body = UPLINK.replace("\"AQ==\"", &format!("\"AQ==\",\"decoded_payload\":{{\"a\":{deep}}}"));
    assert_eq!(site.post("/tts", JSON, &body).await.status, 202);
    assert_eq!(site.take().await.body, body.as_bytes());
}

#[tokio::test]
async fn a_message_without_an_identity_becomes_a_dead_letter() {
    for body in [
        r#"{"uplink_message":{"f_port":1}}"#.to_owned(),
        UPLINK.replace("\"device_id\":\"dev-1\",", ""),
        UPLINK.replace("\"application_id\":\"building\"", ""),
        UPLINK.replace("dev-1", ""),
        UPLINK.replace("dev-1", &"d".repeat(100_000)),
    ] {
        let site = Site::plain().await;
        assert_eq!(site.post("/tts", JSON, &body).await.status, 202, "{body}");
        let letter = site.dead_letter().await;
        assert_eq!((letter.reason.code.as_str(), letter.message.lane.as_str()), ("no_identity", "x/ttn"), "{body}");
        assert!(letter.message.head.len() < 1_000);
        assert_eq!(letter.message.body, body.as_bytes());
    }
}

#[tokio::test]
async fn what_is_not_json_is_refused_with_its_place() {
    let site = Site::plain().await;
    let reply = site.post("/tts", JSON, "{\n  \"a\": oops").await;
    assert_eq!((reply.status, reply.header("content-type")), (400, Some("application/problem+json")));
    let problem: serde_json::Value = serde_json::from_str(&reply.body).expect("a problem document");
    assert_eq!((&problem["line"], &problem["status"]), (&2.into(), &400.into()));
    for body in [&b""[..], b"{", b"\xff\xfe", b"{\"a\":1} x"] {
        assert_eq!(site.post("/tts", JSON, body).await.status, 400, "{body:?}");
    }
    assert!(site.is_empty());
}

#[tokio::test]
async fn a_protobuf_body_becomes_a_dead_letter_that_says_how_to_switch() {
    // An ApplicationUp with a device id and an uplink; field numbers as in its schema.
    let body = [&[0x0a, 7, 0x0a, 5][..], b"dev-1", &[0x1a, 2, 0x10, 1]].concat();
    for kind in ["application/octet-stream", "application/x-protobuf; v=1", "Application/Protobuf"] {
        let site = Site::plain().await;
        let reply = site.post("/tts", &format!("content-type: {kind}\r\n"), &body).await;
        assert_eq!(reply.status, 202, "{kind}");
        let reason = site.dead_letter().await.reason;
        assert_eq!(reason.code, "protobuf_format");
        assert!(reason.detail.contains("JSON"), "{reason:?}");
    }
    let site = Site::plain().await;
    assert_eq!(site.post("/tts", JSON, &body).await.status, 400);
    assert_eq!(site.post("/tts", "content-type: application/octet-stream\r\n", UPLINK).await.status, 202);
    assert_eq!(site.take().await.kind, "uplink_message");
}

#[tokio::test]
async fn other_paths_and_methods_are_told_apart() {
    let site = Site::plain().await;
    assert_eq!(site.post("/", JSON, UPLINK).await.status, 404);
    assert_eq!(site.post("/tts/a/b", JSON, UPLINK).await.status, 404);
    let mut client = site.client().await;
    client.send(b"GET /tts HTTP/1.1\r\nhost: door\r\n\r\n").await;
    let reply = client.reply().await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")));
    assert!(site.is_empty());
}

#[tokio::test]
async fn a_large_body_is_refused_and_its_sender_hears_it() {
    let site = Site::plain().await;
    let large = vec![b' '; 10 << 20];
    let reply = site.post("/tts", JSON, &large).await;
    assert_eq!((reply.status, reply.header("connection")), (413, Some("close")));

    let mut client = site.client().await;
    client.send(b"POST /tts HTTP/1.1\r\nhost: door\r\ntransfer-encoding: chunked\r\n\r\n").await;
    for _ in 0..17 {
        client.send(b"10000\r\n").await;
        client.send(&[b' '; 0x10000]).await;
        client.send(b"\r\n").await;
    }
    assert_eq!(client.reply().await.status, 413);
    assert!(site.is_empty());
}

#[tokio::test]
async fn the_largest_body_is_taken_whole_and_chunked() {
    let site = Site::plain().await;
    let padding = " ".repeat((1 << 20) - UPLINK.len());
    let body = format!("{UPLINK}{padding}");
    assert_eq!(site.post("/tts", JSON, &body).await.status, 202);
    let mut client = site.client().await;
    client.send(b"POST /tts HTTP/1.1\r\nhost: door\r\ntransfer-encoding: chunked\r\n\r\n").await;
    client.send(format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).as_bytes()).await;
    assert_eq!(client.reply().await.status, 202);
    site.holds(2).await;
}

#[tokio::test]
async fn a_head_beyond_its_bound_is_refused() {
    let site = Site::plain().await;
    let header = format!("x-long: {}\r\n", "y".repeat(20_000));
    assert_eq!(site.post("/tts", &header, UPLINK).await.status, 431);
    assert!(site.is_empty());
}

#[tokio::test]
async fn no_secret_of_a_message_is_stored() {
    let site = Site::open(Plan {
        webhook: bridge::config::Webhook {
            keys: vec![key("canary-webhook-key", &[], None)],
            ..Plan::default().webhook
        },
        ..Plan::default()
    })
    .await;
    let v2 = r#"{"app_id":"a","dev_id":"d","port":1,"counter":1,"payload_raw":"AQ==","metadata":{},
        "downlink_url":"https://network.example/down?key=canary-v2"}"#;
    let v3 = UPLINK.replace("\"f_port\"", "\"app_s_key\":{\"key\":\"canary-session\"},\"f_port\"");
    let headers = format!(
        "{JSON}x-downlink-apikey: canary-header\r\nx-downlink-push: https://x/canary\r\nx-functions-key: canary-webhook-key\r\n"
    );
    for body in [v2, v3.as_str(), r#"{"not":"a message","downlink_url":"canary-stranger"}"#] {
        assert_eq!(site.post("/api/UplinkProcessor?code=canary-query", &headers, body).await.status, 202);
    }
    let letter = site.dead_letter().await;
    for message in [site.take().await, site.take().await, letter.message] {
        let kept = format!("{} {}", String::from_utf8_lossy(&message.head), String::from_utf8_lossy(&message.body));
        assert!(!kept.contains("canary"), "{kept}");
    }
}

#[tokio::test]
async fn requests_on_one_connection_are_answered_in_turn() {
    let site = Site::plain().await;
    let mut client = site.client().await;
    let both = [post("/tts", JSON, UPLINK.as_bytes()), post("/nowhere", JSON, b""), post("/tts", JSON, b"[]")].concat();
    client.send(&both[..both.len() - 1]).await;
    assert_eq!(client.reply().await.status, 202);
    assert_eq!(client.reply().await.status, 404);
}
