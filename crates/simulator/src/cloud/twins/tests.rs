//! Twins through the cloud: what reaches a device, and what it may do.

use serde_json::json;

use super::*;
use crate::cloud::tests::{GROUP, NOW_MS, cloud_with};
use crate::directory::Ears;
use crate::faults::Faults;
use crate::registry::Status;
use crate::sas::tests::signed_until;
use crate::service::{Call, TwinVerb, With};

fn d1() -> Endpoint {
    Endpoint::device(HubId(0), "d1")
}

fn patch(cloud: &Cloud, wish: &Value) -> Value {
    let token = format!("{}&skn=service", signed_until("hub1", GROUP, NOW_MS / 1000 + 60));
    let body = wish.to_string();
    let with = With { authorization: Some(&token), body: body.as_bytes(), ..With::default() };
    cloud.owner(HubId(0), &Call::Twin(TwinVerb::Patch, d1()), &["twins", "d1"], &with).unwrap().body.unwrap()
}

fn desired(value: u64) -> Value {
    json!({"properties": {"desired": {"a": value}}})
}

#[tokio::test]
async fn a_device_hears_of_desired_properties_while_it_listens() {
    let (cloud, _) = cloud_with(&["d1"], Faults::default());
    patch(&cloud, &desired(1));
    let (me, mailbox) = cloud.directory().join();
    cloud.directory().own(&d1(), me);
    patch(&cloud, &desired(2));
    cloud.directory().listen(&d1(), me, Ears { desired: true, ..Ears::default() });
    let shown = patch(&cloud, &desired(3));
    assert_eq!(shown["connectionState"], "Connected");
    patch(&cloud, &json!({"tags": {"t": 1}}));
    let notes = mailbox.notes().await;
    let heard: Vec<_> = notes.desired.iter().map(|(of, change)| (of.clone(), change.patch.clone())).collect();
    assert_eq!(heard, [(d1(), Bytes::from(r#"{"$version":4,"a":3}"#))], "neither what was before nor tags");
}

#[tokio::test]
async fn a_device_reads_its_twin_and_reports() {
    let (cloud, clock) = cloud_with(&["d1", "d2"], Faults::default());
    patch(&cloud, &desired(1));
    assert_eq!(cloud.patch_reported(&d1(), br#"{"r":1}"#), Ok(2));
    let read = cloud.twin_for_device(&d1()).unwrap();
    assert_eq!(read, r#"{"desired":{"$version":2,"a":1},"reported":{"$version":2,"r":1}}"#);
    clock.store(NOW_MS + 1000, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(cloud.patch_reported(&d1(), b"[]").unwrap_err().code, 400_004);
    assert_eq!(patch(&cloud, &desired(2))["lastActivityTime"], "2026-01-01T00:00:01.000Z", "it did try");
    let d2 = Endpoint::device(HubId(0), "d2");
    cloud.set_status("d2", Status::Disabled).unwrap();
    assert_eq!(cloud.twin_for_device(&d2).unwrap_err().code, 403_012);
    cloud.delete_device("d2").unwrap();
    assert_eq!(cloud.patch_reported(&d2, b"{}").unwrap_err().code, 404_001);
    assert_eq!(cloud.counts().hub_refused.get("DeviceNotFound"), Some(&1));
}

#[tokio::test]
async fn connections_that_come_and_go_are_seen_with_their_time() {
    let (cloud, clock) = cloud_with(&["d1"], Faults::default());
    let shown = || patch(&cloud, &json!({}));
    assert_eq!(shown()["lastActivityTime"], "0001-01-01T00:00:00Z");
    let (me, _mailbox) = cloud.directory().join();
    clock.store(NOW_MS + 1000, std::sync::atomic::Ordering::Relaxed);
    cloud.directory().own(&d1(), me);
    let connected = shown();
    assert_eq!(
        (&connected["connectionState"], &connected["lastActivityTime"]),
        (&json!("Connected"), &json!("2026-01-01T00:00:01.000Z"))
    );
    clock.store(NOW_MS + 2000, std::sync::atomic::Ordering::Relaxed);
    cloud.directory().leave(me);
    assert_eq!(shown()["connectionState"], "Disconnected");
    assert_eq!(cloud.directory().turned_ms(&d1()), Some(NOW_MS + 2000));
}
