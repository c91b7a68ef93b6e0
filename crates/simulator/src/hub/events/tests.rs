//! The hub's own events, value by value, as Microsoft's documentation shows them.

use super::*;
use crate::hub::twin::Twin;

const THEN: i64 = 1_653_677_378_490;
const AT: i64 = 1_654_109_018_051;

fn about(module: Option<&'static str>) -> About<'static> {
    About { hub: "hub1", device: "d1", module, at_ms: AT, correlation_id: "c1".to_owned() }
}

fn body(event: &Accepted) -> Value {
    serde_json::from_slice(&event.body).unwrap()
}

fn properties<const N: usize>(pairs: [(&str, &str); N]) -> std::collections::BTreeMap<String, String> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

#[test]
fn a_connection_event_has_a_number_and_nothing_of_the_device() {
    let mut sequence = Sequence::default();
    let event = about(None).turned(false, &sequence.next(AT));
    assert_eq!(event.source, "deviceConnectionStateEvents");
    let expected = properties([
        ("hubName", "hub1"),
        ("deviceId", "d1"),
        ("opType", "deviceDisconnected"),
        ("operationTimestamp", "2022-06-01T18:43:38.0510000Z"),
        ("iothub-message-schema", "deviceConnectionStateNotification"),
    ]);
    assert_eq!(event.properties, expected);
    let system = (&event.content_type, &event.content_encoding, &event.correlation_id);
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(system, (&text("application/json"), &text("utf-8"), &text("c1")));
    assert_eq!((event.user_id.as_deref(), event.enqueued_ms), (Some(b"hub1".as_slice()), AT));
    assert_eq!((event.auth_method.as_str(), event.generation_id.as_str()), ("", ""), "nobody was let in for it");
    let number = "000000000000000001D875E781A6B13000000000000000000000000000000001";
    assert_eq!(body(&event), json!({"sequenceNumber": number}));
}

#[test]
fn sequence_numbers_go_up_also_when_the_clock_goes_back() {
    let mut sequence = Sequence::default();
    let numbers: Vec<String> = [AT, AT, AT - 5_000, AT + 1].map(|at_ms| sequence.next(at_ms)).into();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    assert!(Sequence::default().next(AT + 2) > numbers[3], "after a restart");
    assert!(numbers.iter().all(|number| number.len() == 64));
}

#[test]
fn an_identity_is_told_with_its_twin() {
    let event = about(Some("m1")).created(&Twin::new(THEN));
    assert_eq!((event.source, event.properties["opType"].as_str()), ("deviceLifecycleEvents", "createDeviceIdentity"));
    assert_eq!(event.properties["iothub-message-schema"], "deviceLifecycleNotification");
    assert_eq!((event.properties["moduleId"].as_str(), event.module_id.as_deref()), ("m1", Some("m1")));
    let section = json!({"$metadata": {"$lastUpdated": "2022-05-27T18:49:38.490Z"}, "$version": 1});
    let twin = json!({
        "deviceId": "d1", "moduleId": "m1", "etag": "AAAAAAAAAAE=", "version": 2,
        "properties": {"desired": section, "reported": section},
    });
    assert_eq!(body(&event), twin);
    let event = about(None).deleted(&Twin::new(THEN));
    assert_eq!((event.properties["opType"].as_str(), event.properties.get("moduleId")), ("deleteDeviceIdentity", None));
    assert_eq!((body(&event).get("moduleId"), event.module_id), (None, None));
}

#[test]
fn an_update_tells_what_changed_and_when() {
    let mut twin = Twin::new(THEN);
    twin.patch(&json!({"tags": {"a": 1}, "properties": {"desired": {"old": {"x": 1}, "gone": 1}}}), THEN).unwrap();
    let wish = json!({
        "tags": {"b": "new value", "a": null},
        "properties": {"desired": {"$version": 1, "p": {"q": 1}, "old": {"y": 2}, "gone": null}},
    });
    twin.patch(&wish, AT).unwrap();
    let event = about(None).twin_changed(&twin, Change::Update, &wish);
    assert_eq!((event.source, event.properties["opType"].as_str()), ("twinChangeEvents", "updateTwin"));
    assert_eq!(event.properties["iothub-message-schema"], "twinChangeNotification");
    let now = json!({"$lastUpdated": "2022-06-01T18:43:38.051Z", "$lastUpdatedVersion": 3});
    let with = |key: &str, inner: &Value| {
        let mut now = now.clone();
        now[key] = inner.clone();
        now
    };
    let mut times = with("p", &with("q", &now));
    times["old"] = with("y", &now);
    let expected = json!({
        "version": 4,
        "tags": {"b": "new value", "a": null},
        "properties": {"desired": {"p": {"q": 1}, "old": {"y": 2}, "gone": null, "$metadata": times, "$version": 3}},
    });
    assert_eq!(body(&event), expected);
}

#[test]
fn an_update_of_reported_properties_tells_them_only() {
    let mut twin = Twin::new(THEN);
    twin.patch_reported(br#"{"up":true}"#, AT).unwrap();
    let event = about(None).twin_changed(&twin, Change::Update, &json!({"properties": {"reported": {"up": true}}}));
    let time = json!({"$lastUpdated": "2022-06-01T18:43:38.051Z"});
    let mut times = time.clone();
    times["up"] = time;
    let reported = json!({"up": true, "$metadata": times, "$version": 2});
    assert_eq!(body(&event), json!({"version": 3, "properties": {"reported": reported}}));
}

#[test]
fn a_replacement_tells_the_whole_twin() {
    let mut twin = Twin::new(THEN);
    let wish = json!({"tags": {"a": 1}});
    twin.replace(&wish, AT).unwrap();
    let event = about(None).twin_changed(&twin, Change::Replace, &wish);
    assert_eq!(event.properties["opType"], "replaceTwin");
    let body = body(&event);
    assert_eq!([&body["deviceId"], &body["etag"], &body["tags"]], [&json!("d1"), &json!(twin.etag()), &wish["tags"]]);
    assert_eq!(body["properties"], twin.properties());
}
