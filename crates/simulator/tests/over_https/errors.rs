//! Each error of both services, with status, header and body.

use http::StatusCode;
use serde_json::json;
use simulator::{Simulator, Status, start};

use crate::client::{Ask, Device, Reply, ask, options, token};

fn error_of(reply: &Reply) -> (u16, &str) {
    let message = reply.json()["Message"].as_str().unwrap_or_default().to_owned();
    let name = reply.header("iothub-errorcode").unwrap_or_default();
    assert!(message.starts_with(&format!("ErrorCode:{name};")), "{message}");
    (reply.status.as_u16(), name)
}

#[tokio::test]
async fn the_hub_says_what_is_wrong() {
    let simulator = start(options()).await.unwrap();
    let device = Device::new(&simulator, "d1");
    assert_eq!(error_of(&device.send(&[], b"1").await.unwrap()), (404, "DeviceNotFound"));
    device.provision().await;
    let wrong_key = token("localhost/devices/d1", "AAAAAAAAAAAAAAAAAAAAAA==", None);
    assert_eq!(error_of(&device.send_as(wrong_key, &[], b"1").await.unwrap()), (401, "IotHubUnauthorized"));
    assert_eq!(error_of(&device.send(&[], &vec![b'x'; 262_145]).await.unwrap()), (413, "MessageTooLarge"));
    assert_eq!(error_of(&device.send(&[], &vec![b'x'; 2 << 20]).await.unwrap()), (413, "MessageTooLarge"));
    assert_eq!(error_of(&device.send(&[("iothub-messageid", "a b")], b"1").await.unwrap()), (400, "ArgumentInvalid"));
    let batch = [("content-type", "application/vnd.microsoft.iothub.json")];
    assert_eq!(error_of(&device.send(&batch, b"{").await.unwrap()), (400, "DeserializationError"));
    assert!(simulator.set_status("d1", Status::Disabled).unwrap());
    assert_eq!(error_of(&device.send(&[], b"1").await.unwrap()), (403, "DeviceDisabled"));
    assert!(simulator.delete_device("d1").unwrap());
    assert_eq!(error_of(&device.send(&[], b"1").await.unwrap()), (404, "DeviceNotFound"));
    assert_eq!(simulator.counts().messages_total, 0);
    assert_eq!(simulator.counts().hub_refused.get("MessageTooLarge"), Some(&2));
}

#[tokio::test]
async fn a_deleted_device_comes_back_by_registering_and_a_disabled_one_does_not() {
    let simulator = start(options()).await.unwrap();
    let device = Device::new(&simulator, "d1");
    device.provision().await;
    simulator.delete_device("d1").unwrap();
    device.provision().await;
    assert_eq!(device.send(&[], b"1").await.unwrap().status, StatusCode::NO_CONTENT);
    simulator.set_status("d1", Status::Disabled).unwrap();
    device.provision().await;
    assert_eq!(device.send(&[], b"1").await.unwrap().status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn provisioning_says_what_is_wrong() {
    let simulator = start(options()).await.unwrap();
    let good = Device::new(&simulator, "d1");
    let stranger = Device { key: "AAAAAAAAAAAAAAAAAAAAAA==".to_owned(), ..Device::new(&simulator, "d1") };
    let refused = stranger.register().await.unwrap();
    assert_eq!((refused.status, refused.header("x-ms-error-code")), (StatusCode::UNAUTHORIZED, Some("401002")));
    let body = refused.json();
    assert_eq!(body["message"], "Unauthorized");
    assert_eq!(refused.header("x-ms-request-id"), body["trackingId"].as_str());
    let code = |reply: Option<Reply>| reply.unwrap().json()["errorCode"].as_u64();
    let token = || good.registration_token();
    assert_eq!(code(good.dps("PUT", "/register", token(), "{").await), Some(400_004));
    assert_eq!(code(good.dps("GET", "/operations/5.0.0", token(), "").await), Some(404_202));
    assert_eq!(code(good.dps("DELETE", "/register", token(), "").await), Some(405_000));
    let bare = Ask { method: "PUT", path: "/s/registrations/d1/register".to_owned(), headers: vec![], body: vec![] };
    assert_eq!(code(ask(&simulator, bare).await), Some(400_004), "the version is missing");
    assert!(simulator.counts().registrations.is_empty());
}

/// A call to the registry with the owner's policy.
async fn owner(simulator: &Simulator, method: &str, if_match: Option<&str>, body: &str) -> Reply {
    let connection = &simulator.started().service_connection_string;
    let key = connection.rsplit_once("SharedAccessKey=").unwrap().1;
    let mut headers = vec![("authorization", token("localhost", key, Some("iothubowner")))];
    headers.extend(if_match.map(|etag| ("if-match", etag.to_owned())));
    let path = "/devices/own%23key?api-version=2021-04-12".to_owned();
    ask(simulator, Ask { method, path, headers, body: body.into() }).await.unwrap()
}

#[tokio::test]
async fn the_owner_makes_changes_and_deletes_a_device() {
    let simulator = start(options()).await.unwrap();
    let key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let body =
        json!({"deviceId": "own#key", "authentication": {"symmetricKey": {"primaryKey": key, "secondaryKey": key}}});
    let made = owner(&simulator, "PUT", None, &body.to_string()).await;
    assert_eq!((made.status, &made.json()["deviceId"]), (StatusCode::OK, &json!("own#key")));
    assert_eq!(owner(&simulator, "PUT", None, "{}").await.status, StatusCode::CONFLICT);
    let resource = "localhost/devices/own#key";
    let send = || async {
        let path = "/devices/own%23key/messages/events?api-version=2021-04-12".to_owned();
        let headers = vec![("authorization", token(resource, key, None))];
        ask(&simulator, Ask { method: "POST", path, headers, body: b"1".to_vec() }).await.unwrap().status
    };
    assert_eq!(send().await, StatusCode::NO_CONTENT);
    let off = owner(&simulator, "PUT", made.header("etag"), r#"{"status":"disabled"}"#).await;
    assert_eq!((off.status, send().await), (StatusCode::OK, StatusCode::FORBIDDEN));
    assert_eq!(owner(&simulator, "GET", None, "").await.json()["status"], "disabled");
    assert_eq!(owner(&simulator, "DELETE", made.header("etag"), "").await.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(owner(&simulator, "DELETE", Some("*"), "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(send().await, StatusCode::NOT_FOUND);
}
