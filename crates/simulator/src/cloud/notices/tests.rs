//! What readers are told, in order, of what happens to devices.

use serde_json::{Value, json};

use super::*;
use crate::cloud::tests::{GROUP, NOW_MS, cloud_telling, cloud_with};
use crate::endpoint::HubId;
use crate::faults::Faults;
use crate::sas::tests::signed_until;
use crate::service::{Call, TwinVerb, Verb, With};
use amqp::message::Message;

const ALL: [EventSource; 3] = [EventSource::Lifecycle, EventSource::Twin, EventSource::Connection];

fn endpoint(id: &str) -> Endpoint {
    Endpoint::device(HubId(0), id)
}

fn owner(cloud: &Cloud, call: &Call<'_>, body: &Value) {
    let token = format!("{}&skn=iothubowner", signed_until("hub1", GROUP, NOW_MS / 1000 + 60));
    let body = body.to_string();
    let with = With { authorization: Some(&token), body: body.as_bytes(), ..With::default() };
    cloud.owner(HubId(0), call, &["devices"], &with).unwrap();
}

/// Source and operation of all events of a hub, by partition.
fn told(cloud: &Cloud, hub: usize) -> Vec<(String, String)> {
    let state = cloud.state();
    let events = &state.hubs[hub].events;
    let partitions = (0..events.partition_count()).filter_map(|number| events.partition(number));
    let all = partitions.flat_map(|partition| partition.from(0));
    all.map(|event| {
        let message = Message::decode(&event.message()).unwrap();
        let source = message.message_annotations.get("iothub-message-source").unwrap().as_str().unwrap().to_owned();
        let operation = message.application_properties.iter().find(|(name, _)| name == "opType");
        (source, operation.map(|(_, value)| value.as_str().unwrap().to_owned()).unwrap_or_default())
    })
    .collect()
}

fn operations(cloud: &Cloud, hub: usize) -> Vec<String> {
    told(cloud, hub).into_iter().map(|(_, operation)| operation).collect()
}

#[test]
fn identities_that_come_and_go_are_told_with_their_modules() {
    let (cloud, _) = cloud_telling(&["d1"], Faults::default(), &ALL);
    cloud.enrol(&["d1".to_owned()]).unwrap();
    assert_eq!(operations(&cloud, 0), ["createDeviceIdentity"], "to register again makes nothing");
    owner(
        &cloud,
        &Call::Identity(Verb::Put, Endpoint::module(HubId(0), "d1", "m1")),
        &json!({"deviceId": "d1", "moduleId": "m1"}),
    );
    owner(&cloud, &Call::Identity(Verb::Delete, endpoint("d1")), &Value::Null);
    let expected = [["createDeviceIdentity"; 2], ["deleteDeviceIdentity"; 2]].concat();
    assert_eq!(operations(&cloud, 0), expected, "a module goes with its device");
    assert!(told(&cloud, 0).iter().all(|(source, _)| source == "deviceLifecycleEvents"));
    assert_eq!(cloud.counts().messages_total, 0, "they are no telemetry");
    assert_eq!(cloud.messages(10), []);
}

#[test]
fn twins_are_told_when_they_change_and_only_then() {
    let (cloud, _) = cloud_telling(&["d1"], Faults::default(), &[EventSource::Twin]);
    let desired = json!({"properties": {"desired": {"a": 1}}});
    owner(&cloud, &Call::Twin(TwinVerb::Patch, endpoint("d1")), &desired);
    owner(&cloud, &Call::Twin(TwinVerb::Patch, endpoint("d1")), &json!({}));
    owner(&cloud, &Call::Twin(TwinVerb::Replace, endpoint("d1")), &desired);
    cloud.patch_reported(&endpoint("d1"), br#"{"r":1}"#).unwrap();
    cloud.patch_reported(&endpoint("d1"), b"[]").unwrap_err();
    assert_eq!(operations(&cloud, 0), ["updateTwin", "replaceTwin", "updateTwin"]);
}

#[test]
fn a_device_that_changes_its_connection_disconnects_and_connects() {
    let (cloud, _) = cloud_telling(&["d1"], Faults::default(), &[EventSource::Connection]);
    let ((a, _older), (b, _newer)) = (cloud.directory().join(), cloud.directory().join());
    cloud.own(&endpoint("d1"), a);
    cloud.own(&endpoint("d1"), b);
    cloud.give_up(&endpoint("d1"), a);
    cloud.leave_directory(b);
    let expected = ["deviceConnected", "deviceDisconnected", "deviceConnected", "deviceDisconnected"];
    assert_eq!(operations(&cloud, 0), expected);
}

#[test]
fn nothing_is_told_that_nobody_asked_for() {
    let (cloud, _) = cloud_with(&["d1"], Faults::default());
    let (me, _mailbox) = cloud.directory().join();
    cloud.own(&endpoint("d1"), me);
    owner(&cloud, &Call::Twin(TwinVerb::Patch, endpoint("d1")), &json!({"tags": {"a": 1}}));
    cloud.delete_device("d1").unwrap();
    assert_eq!(told(&cloud, 0), []);
}
