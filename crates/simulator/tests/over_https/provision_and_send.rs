//! A device from nothing to its message in the record, over real sockets and TLS.

use crate::client::{Device, options};
use http::StatusCode;
use serde_json::{Value, json};
use simulator::{Options, StartError, start};

#[tokio::test]
async fn a_new_device_registers_and_its_message_is_recorded() {
    let simulator = start(options()).await.unwrap();
    let device = Device::new(&simulator, "eui-70b3d57ed0051234");

    let accepted = device.register().await.unwrap();
    assert_eq!(accepted.status, StatusCode::ACCEPTED);
    assert_eq!(accepted.json()["status"], "assigning");
    assert_eq!(accepted.header("retry-after"), Some("0"));
    let assigned = device.provision().await;
    assert_eq!(assigned["status"], "assigned");
    assert_eq!(assigned["registrationState"]["assignedHub"], "localhost");
    assert_eq!(assigned["registrationState"]["deviceId"], "eui-70b3d57ed0051234");

    let body = br#"{"t":21.50,"name":"Z\u00fcrich \u2603","big":12345678901234567890}"#;
    let headers = [("iothub-messageid", "m-1"), ("iothub-contenttype", "application/json"), ("iothub-app-port", "1")];
    assert_eq!(device.send(&headers, body).await.unwrap().status, StatusCode::NO_CONTENT);

    let recorded = simulator.messages(10);
    assert_eq!(recorded.len(), 1);
    assert_eq!(recorded[0].device_id, "eui-70b3d57ed0051234");
    assert_eq!(recorded[0].message_id.as_deref(), Some("m-1"));
    assert_eq!(recorded[0].properties.get("Port").map(String::as_str), Some("1"), "{:?}", recorded[0].properties);
    assert_eq!(recorded[0].body.as_ref(), body);
    assert!(
        recorded[0].line().contains(r#""body":{"t":21.50,"name":"Z\u00fcrich \u2603","big":12345678901234567890}"#)
    );
    assert_eq!(simulator.counts().registrations.get("eui-70b3d57ed0051234"), Some(&2));
    simulator.stop().await.unwrap();
}

#[tokio::test]
async fn pending_polls_and_their_pace_are_as_asked() {
    let simulator = start(Options { assigning_polls: 2, retry_after_s: 3, ..options() }).await.unwrap();
    let device = Device::new(&simulator, "d1");
    let operation = device.register().await.unwrap();
    assert_eq!(operation.header("retry-after"), Some("3"));
    assert!(operation.header("location").is_some_and(|address| address.contains("/registrations/d1/operations/5.")));
    for _ in 0..2 {
        let reply = device.poll(&operation.json()).await.unwrap();
        assert_eq!((reply.status, reply.header("retry-after")), (StatusCode::ACCEPTED, Some("3")));
    }
    assert_eq!(device.poll(&operation.json()).await.unwrap().status, StatusCode::OK);
    assert_eq!(device.poll(&operation.json()).await.unwrap().json()["status"], "assigned", "asking again is allowed");
}

#[tokio::test]
async fn a_status_look_up_tells_without_registering() {
    let simulator = start(options()).await.unwrap();
    let device = Device::new(&simulator, "d1");
    let look_up = || device.dps("POST", "", device.registration_token(), "{}");
    assert_eq!(look_up().await.unwrap().status, StatusCode::NOT_FOUND);
    device.provision().await;
    let state = look_up().await.unwrap();
    assert_eq!((state.status, &state.json()["assignedHub"]), (StatusCode::OK, &json!("localhost")));
    assert_eq!(simulator.counts().registrations.get("d1"), Some(&1));
}

#[tokio::test]
async fn state_in_a_directory_survives_a_restart() {
    let dir = scratch("restart");
    let kept = || Options { dir: Some(dir.clone()), record: Some(dir.join("record.jsonl")), ..options() };
    let first = start(kept()).await.unwrap();
    let device = Device::new(&first, "d1");
    device.provision().await;
    assert_eq!(device.send(&[], b"1").await.unwrap().status, StatusCode::NO_CONTENT);
    let error = start(kept()).await.map(drop).unwrap_err();
    assert!(matches!(error, StartError::InUse { .. }), "two simulators in one directory: {error}");
    let (before, ca) = (first.started().clone(), first.ca_pem().to_owned());
    drop(first); // not stopped in order: as a kill would

    let second = start(kept()).await.unwrap();
    assert_eq!(second.started().id_scope, before.id_scope);
    assert_eq!(second.started().group_key, before.group_key);
    assert_eq!(second.ca_pem(), ca);
    assert_eq!(std::fs::read_to_string(&second.started().ca_file).unwrap(), ca);
    let device = Device::new(&second, "d1");
    assert_eq!(
        device.send(&[], &[0xff, 0x00]).await.unwrap().status,
        StatusCode::NO_CONTENT,
        "no new registration needed"
    );
    let lines: Vec<Value> = std::fs::read_to_string(dir.join("record.jsonl"))
        .unwrap()
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!((&lines[0]["body"], &lines[1]["body_base64"]), (&json!(1), &json!("/wA=")));
    assert_eq!(second.registration("D1").map(|r| r.device_id), Some("d1".to_owned()));
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn other_names_are_in_the_certificate_and_the_first_is_the_hub() {
    let simulator = start(Options { hosts: vec!["hub1.azure-devices.net".to_owned()], ..options() }).await.unwrap();
    let device = Device::new(&simulator, "d1");
    let assigned = device.provision().await;
    assert_eq!(assigned["registrationState"]["assignedHub"], "hub1.azure-devices.net");
    assert_eq!(device.send(&[], b"{}").await.unwrap().status, StatusCode::NO_CONTENT);
}

fn scratch(name: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("simulator-{name}-{}", std::process::id()))
}
