//! Who may come in.

use std::time::Duration;

use base64::Engine as _;
use bridge::config::Webhook;

use crate::site::{Plan, Site, UPLINK, key};

async fn site() -> Site {
    let keys = vec![
        key("key of all", &[], None),
        key("key of building", &["building"], Some("private")),
        key("key of vehicles", &["vehicles"], None),
    ];
    Site::open(Plan { webhook: Webhook { keys, ..Plan::default().webhook }, ..Plan::default() }).await
}

#[tokio::test]
async fn every_form_of_a_key_is_taken() {
    let site = site().await;
    let basic = base64::engine::general_purpose::STANDARD.encode("anybody:key of all");
    for header in [
        "authorization: Bearer key of all".to_owned(),
        format!("authorization: Basic {basic}"),
        "X-API-Key: key of all".to_owned(),
        "x-functions-key: key of all".to_owned(),
    ] {
        assert_eq!(site.post("/tts", &format!("{header}\r\n"), UPLINK).await.status, 202, "{header}");
    }
    assert_eq!(site.post("/api/UplinkProcessor?code=key%20of%20all", "", UPLINK).await.status, 202);
    assert_eq!(site.post("/tts?code=key%20of%20all", "", UPLINK).await.status, 401);
}

#[tokio::test]
async fn no_key_and_a_wrong_key_get_the_same_answer_and_nothing_is_kept() {
    let site = site().await;
    let without_date = |mut reply: crate::site::Reply| {
        reply.headers = reply.headers.lines().filter(|line| !line.starts_with("date")).collect();
        reply
    };
    let none = without_date(site.post("/tts", "", UPLINK).await);
    assert_eq!(none.status, 401);
    assert!(none.headers.contains("www-authenticate"));
    for wrong in ["key of al", "key of all ", "", "KEY OF ALL"] {
        let wrong = if wrong.ends_with(' ') { "\"key of all \"" } else { wrong };
        let reply = site.post("/tts", &format!("authorization: Bearer {wrong}\r\n"), UPLINK).await;
        assert_eq!(without_date(reply), none, "{wrong:?}");
    }
    assert!(site.is_empty());
}

#[tokio::test]
async fn a_wrong_key_is_refused_before_the_body_comes() {
    let site = site().await;
    let mut client = site.client().await;
    client.send(b"POST /tts HTTP/1.1\r\nhost: door\r\nexpect: 100-continue\r\ncontent-length: 1000000\r\n\r\n").await;
    let reply = client.reply().await;
    assert_eq!((reply.status, reply.header("connection")), (401, Some("close")));
    assert!(client.is_closed_within(Duration::from_secs(1)).await);
}

#[tokio::test]
async fn a_wrong_key_with_a_large_body_still_hears_its_answer() {
    let site = site().await;
    for _ in 0..20 {
        assert_eq!(site.post("/tts", "x-api-key: wrong\r\n", vec![b'x'; 1 << 20]).await.status, 401);
    }
}

#[tokio::test]
async fn a_key_of_one_application_brings_nothing_of_another() {
    let site = site().await;
    let reply = site.post("/tts", "x-api-key: key of vehicles\r\n", UPLINK).await;
    assert_eq!(reply.status, 403);
    assert!(!reply.body.contains("building"), "{reply:?}");
    assert!(site.is_empty());
    assert_eq!(site.post("/tts", "x-api-key: key of building\r\n", UPLINK).await.status, 202);
    assert_eq!(site.take().await.lane, "t/private/building/dev-1");
}
