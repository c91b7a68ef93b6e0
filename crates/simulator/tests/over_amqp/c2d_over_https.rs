//! Messages to devices over HTTPS: fetched and answered by the device, purged by the service side; feedback fetched.
//! They are sent over AMQP, as there is no other way.

use http::StatusCode;
use serde_json::json;

use simulator::Simulator;

use crate::c2d::{commands, service as service_side, to};
use crate::client::{accepted, with_devices};
use crate::https::{Ask, Device, Reply, ask, token};

async fn with_device() -> Simulator {
    with_devices(&["d1"]).await
}

/// Sends one message as often as asked for.
async fn send(simulator: &Simulator, id: &str, times: usize) {
    let mut client = service_side(simulator).await;
    let sender = commands(&mut client).await;
    for _ in 0..times {
        assert_eq!(client.send_bytes(sender, to("d1", id, bytes::Bytes::from_static(b"hello"))).await, accepted());
    }
}

async fn call(simulator: &Simulator, method: &str, path: &str, authorization: String, if_match: Option<&str>) -> Reply {
    let path = format!("{path}{}api-version=2021-04-12", if path.contains('?') { '&' } else { '?' });
    let mut headers = vec![("authorization", authorization)];
    headers.extend(if_match.map(|text| ("if-match", text.to_owned())));
    ask(simulator, Ask { method, path, headers, body: Vec::new() }).await.unwrap()
}

async fn device(simulator: &Simulator, method: &str, below: &str, if_match: Option<&str>) -> Reply {
    let path = format!("/devices/d1/messages/devicebound{below}");
    call(simulator, method, &path, Device::new(simulator, "d1").hub_token(), if_match).await
}

async fn service(simulator: &Simulator, method: &str, path: &str) -> Reply {
    let started = simulator.started();
    let key = started.service_connection_string.rsplit_once("SharedAccessKey=").unwrap().1;
    call(simulator, method, path, token(&started.hub, key, Some("iothubowner")), None).await
}

/// The lock of a message, without its quotes.
fn lock(reply: &Reply) -> String {
    let quoted = reply.header("etag").unwrap();
    assert!(quoted.len() == 38 && quoted.starts_with('"') && quoted.ends_with('"'), "{quoted}");
    quoted.trim_matches('"').to_owned()
}

#[tokio::test]
async fn a_device_fetches_a_message_and_says_what_becomes_of_it() {
    let simulator = with_device().await;
    assert_eq!(device(&simulator, "GET", "", None).await.status, StatusCode::NO_CONTENT);
    for id in ["m1", "m2", "m3"] {
        send(&simulator, id, 1).await;
    }
    let first = device(&simulator, "GET", "", None).await;
    assert_eq!((first.status, first.body.as_ref()), (StatusCode::OK, b"hello".as_ref()));
    let shown = ["iothub-messageid", "iothub-sequencenumber", "iothub-deliverycount", "iothub-ack", "iothub-app-Port"];
    assert_eq!(shown.map(|name| first.header(name)), [Some("m1"), Some("1"), Some("0"), Some("full"), Some("15")]);
    assert_eq!(first.header("iothub-to"), Some("/devices/d1/messages/devicebound"));
    let second = device(&simulator, "GET", "", None).await;
    assert_eq!(second.header("iothub-messageid"), Some("m2"), "the first is locked");

    let abandoned = device(&simulator, "POST", &format!("/{}/abandon", lock(&first)), Some(&lock(&first))).await;
    assert_eq!(abandoned.status, StatusCode::NO_CONTENT);
    let again = device(&simulator, "GET", "", None).await;
    assert_eq!((again.header("iothub-messageid"), again.header("iothub-deliverycount")), (Some("m1"), Some("1")));
    let quoted = format!("\"{}\"", lock(&again));
    let completed = device(&simulator, "DELETE", &format!("/{}", lock(&again)), Some(&quoted)).await;
    assert_eq!(completed.status, StatusCode::NO_CONTENT);
    let rejected = device(&simulator, "DELETE", &format!("/{}?reject", lock(&second)), None).await;
    assert_eq!(rejected.status, StatusCode::NO_CONTENT);
    let counts = simulator.counts().c2d;
    assert_eq!((counts.get("completed"), counts.get("rejected")), (Some(&1), Some(&1)));
}

#[tokio::test]
async fn a_lock_that_is_not_held_is_lost() {
    let simulator = with_device().await;
    send(&simulator, "m1", 1).await;
    let held = lock(&device(&simulator, "GET", "", None).await);
    let other = "00000000-0000-0000-0000-000000000000";
    for (method, below, if_match) in [
        ("DELETE", format!("/{other}"), None),
        ("DELETE", "/not-a-lock".to_owned(), None),
        ("POST", format!("/{other}/abandon"), None),
        ("DELETE", format!("/{held}"), Some(other)),
    ] {
        let reply = device(&simulator, method, &below, if_match).await;
        assert_eq!(reply.status, StatusCode::PRECONDITION_FAILED, "{below}");
        assert_eq!(reply.header("iothub-errorcode"), Some("DeviceMessageLockLost"));
    }
    assert_eq!(device(&simulator, "DELETE", "", None).await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(device(&simulator, "DELETE", &format!("/{held}"), None).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn only_the_device_itself_fetches_and_only_the_service_side_purges() {
    let simulator = with_device().await;
    send(&simulator, "m1", 1).await;
    send(&simulator, "m2", 1).await;
    let wrong = token("localhost/devices/d1", "AAAA", None);
    let reply = call(&simulator, "GET", "/devices/d1/messages/devicebound", wrong, None).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    let own = Device::new(&simulator, "d1").hub_token();
    assert_eq!(call(&simulator, "DELETE", "/devices/d1/commands", own, None).await.status, StatusCode::UNAUTHORIZED);
    let purged = service(&simulator, "DELETE", "/devices/d1/commands").await;
    assert_eq!(purged.json(), json!({"totalMessagesPurged": 2, "deviceId": "d1", "moduleId": null}));
    assert_eq!(service(&simulator, "DELETE", "/devices/d2/commands").await.status, StatusCode::NOT_FOUND);
    assert_eq!(device(&simulator, "GET", "", None).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn feedback_is_fetched_and_settled() {
    let simulator = with_device().await;
    assert_eq!(service(&simulator, "GET", "/messages/serviceBound/feedback").await.status, StatusCode::NO_CONTENT);
    send(&simulator, "m1", 32).await;
    service(&simulator, "DELETE", "/devices/d1/commands").await;
    send(&simulator, "m2", 32).await;
    service(&simulator, "DELETE", "/devices/d1/commands").await;
    let batch = service(&simulator, "GET", "/messages/servicebound/feedback").await;
    assert_eq!(batch.header("content-type"), Some("application/vnd.microsoft.iothub.feedback.json"));
    let records = batch.json();
    assert_eq!(records.as_array().unwrap().len(), 64);
    assert_eq!((&records[0]["statusCode"], &records[63]["originalMessageId"]), (&json!("Purged"), &json!("m2")));
    let place = format!("/messages/serviceBound/feedback/{}", lock(&batch));
    assert_eq!(service(&simulator, "POST", &format!("{place}/abandon")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(service(&simulator, "DELETE", &place).await.status, StatusCode::PRECONDITION_FAILED);
    let again = service(&simulator, "GET", "/messages/serviceBound/feedback").await;
    assert_eq!(again.header("iothub-deliverycount"), Some("1"));
    let place = format!("/messages/serviceBound/feedback/{}", lock(&again));
    assert_eq!(service(&simulator, "DELETE", &place).await.status, StatusCode::NO_CONTENT);
    let own = Device::new(&simulator, "d1").hub_token();
    let reply = call(&simulator, "GET", "/messages/serviceBound/feedback", own, None).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
}
