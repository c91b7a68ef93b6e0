//! The owner's side of a hub: devices, modules, twins, queries, bulk calls, statistics.

use std::path::Path;

use serde_json::{Value, json};
use simulator::{Options, Simulator, start};

use crate::client::{Ask, Device, Reply, ask, options, token};

/// A call under the owner's policy.
async fn call(
    simulator: &Simulator,
    method: &str,
    path: &str,
    headers: &[(&'static str, &str)],
    body: &Value,
) -> Reply {
    let connection = &simulator.started().service_connection_string;
    let key = connection.rsplit_once("SharedAccessKey=").unwrap().1;
    let mut all = vec![("authorization", token("localhost", key, Some("iothubowner")))];
    all.extend(headers.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let sign = if path.contains('?') { '&' } else { '?' };
    let path = format!("{path}{sign}api-version=2021-04-12");
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    ask(simulator, Ask { method, path, headers: all, body }).await.unwrap()
}

async fn get(simulator: &Simulator, path: &str) -> Value {
    let reply = call(simulator, "GET", path, &[], &Value::Null).await;
    assert_eq!(reply.status.as_u16(), 200, "{path}: {:?}", reply.body);
    reply.json()
}

async fn put(simulator: &Simulator, path: &str, body: Value) -> Value {
    let reply = call(simulator, "PUT", path, &[], &body).await;
    assert_eq!(reply.status.as_u16(), 200, "{path}: {:?}", reply.body);
    reply.json()
}

fn error_of(reply: &Reply) -> (u16, &str) {
    (reply.status.as_u16(), reply.header("iothub-errorcode").unwrap_or_default())
}

async fn with_devices(ids: &[&str]) -> Simulator {
    let simulator = start(options()).await.unwrap();
    for id in ids {
        put(&simulator, &format!("/devices/{id}"), json!({"deviceId": id})).await;
    }
    simulator
}

#[tokio::test]
async fn devices_are_listed_and_counted() {
    let simulator = with_devices(&["b", "a", "c"]).await;
    let off = json!({"deviceId": "b", "status": "disabled"});
    assert_eq!(call(&simulator, "PUT", "/devices/b", &[("if-match", "*")], &off).await.status, 200);
    let names = |list: Value| list.as_array().unwrap().iter().map(|one| one["deviceId"].clone()).collect::<Vec<_>>();
    assert_eq!(names(get(&simulator, "/devices/").await), ["a", "b", "c"]);
    assert_eq!(names(get(&simulator, "/devices?top=2").await), ["a", "b"]);
    assert_eq!(error_of(&call(&simulator, "GET", "/devices?top=0", &[], &Value::Null).await), (400, "ArgumentInvalid"));
    let counted = json!({"totalDeviceCount": 3, "enabledDeviceCount": 2, "disabledDeviceCount": 1});
    assert_eq!(get(&simulator, "/statistics/devices").await, counted);
    assert_eq!(get(&simulator, "/statistics/service").await, json!({"connectedDeviceCount": 0}));
    let nowhere = call(&simulator, "GET", "/jobs/v2/query", &[], &Value::Null).await;
    assert_eq!(error_of(&nowhere), (404, "InvalidUrl"));
    let post = call(&simulator, "POST", "/devices/a", &[], &Value::Null).await;
    assert_eq!(error_of(&post), (405, "MethodNotAllowed"));
}

#[tokio::test]
async fn what_a_device_does_is_seen_in_its_identity_and_twin() {
    let simulator = start(options()).await.unwrap();
    let device = Device::new(&simulator, "d1");
    device.provision().await;
    let before = get(&simulator, "/devices/d1").await;
    assert_eq!(
        (&before["lastActivityTime"], &before["connectionState"]),
        (&json!("0001-01-01T00:00:00Z"), &json!("Disconnected"))
    );
    device.send(&[], b"1").await.unwrap();
    let after = get(&simulator, "/devices/d1").await;
    assert!(after["lastActivityTime"].as_str().unwrap().starts_with("20"), "{after}");
    assert_eq!(get(&simulator, "/twins/d1").await["lastActivityTime"], after["lastActivityTime"]);
}

#[tokio::test]
async fn a_twin_is_patched_and_replaced_under_its_etag() {
    let simulator = with_devices(&["d1"]).await;
    let twin = get(&simulator, "/twins/d1").await;
    assert_eq!((&twin["etag"], &twin["version"]), (&json!("AAAAAAAAAAE="), &json!(2)));
    let wish = json!({"tags": {"place": "hall"}, "properties": {"desired": {"every": 60, "o": {"x": 1}}}});
    let patched = call(&simulator, "PATCH", "/twins/d1", &[("if-match", "\"AAAAAAAAAAE=\"")], &wish).await;
    assert_eq!((patched.status.as_u16(), patched.header("etag")), (200, Some("\"AAAAAAAAAAI=\"")));
    let body = patched.json();
    assert_eq!((&body["tags"], &body["properties"]["desired"]["$version"]), (&json!({"place": "hall"}), &json!(2)));
    let stale = call(&simulator, "PATCH", "/twins/d1", &[("if-match", "\"AAAAAAAAAAE=\"")], &wish).await;
    assert_eq!(error_of(&stale), (412, "PreconditionFailed"));
    let mut whole = body.clone();
    whole["properties"]["desired"] = json!({"every": 30, "$version": 2});
    let replaced = call(&simulator, "PUT", "/twins/d1", &[("if-match", "*")], &whole).await.json();
    assert_eq!((&replaced["properties"]["desired"]["o"], &replaced["tags"]), (&Value::Null, &json!({"place": "hall"})));
    assert_eq!(replaced, get(&simulator, "/twins/d1").await);
    let bad = json!({"tags": {"a.b": 1}});
    assert_eq!(error_of(&call(&simulator, "PATCH", "/twins/d1", &[], &bad).await), (400, "ArgumentInvalid"));
    assert_eq!(error_of(&call(&simulator, "GET", "/twins/x", &[], &Value::Null).await), (404, "DeviceNotFound"));
}

#[tokio::test]
async fn modules_are_identities_with_twins_of_their_own() {
    let simulator = with_devices(&["d1"]).await;
    let made = put(&simulator, "/devices/d1/modules/m1", json!({"moduleId": "m1", "managedBy": "me"})).await;
    assert_eq!((&made["moduleId"], &made["deviceId"], &made["managedBy"]), (&json!("m1"), &json!("d1"), &json!("me")));
    assert_eq!(get(&simulator, "/devices/d1/modules").await, json!([made]));
    let again = call(&simulator, "PUT", "/devices/d1/modules/m1", &[], &json!({})).await;
    assert_eq!(error_of(&again), (409, "ModuleAlreadyExistsOnDevice"));
    let orphan = call(&simulator, "PUT", "/devices/d2/modules/m1", &[], &json!({})).await;
    assert_eq!(error_of(&orphan), (404, "DeviceNotFound"));
    let missing = call(&simulator, "GET", "/devices/d1/modules/m2", &[], &Value::Null).await;
    assert_eq!(error_of(&missing), (404, "ModuleNotFound"));
    let wish = json!({"properties": {"desired": {"a": 1}}});
    let twin = call(&simulator, "PATCH", "/twins/d1/modules/m1", &[], &wish).await.json();
    assert_eq!((&twin["moduleId"], &twin["properties"]["desired"]["a"]), (&json!("m1"), &json!(1)));
    assert_eq!(get(&simulator, "/twins/d1").await["properties"]["desired"]["$version"], 1);
    let question = json!({"query": "SELECT * FROM devices.modules WHERE moduleId = 'm1'"});
    assert_eq!(call(&simulator, "POST", "/devices/query", &[], &question).await.json(), json!([twin]));
    for n in 2..=50 {
        put(&simulator, &format!("/devices/d1/modules/m{n}"), json!({})).await;
    }
    let one_more = call(&simulator, "PUT", "/devices/d1/modules/m51", &[], &json!({})).await;
    assert_eq!(error_of(&one_more), (400, "ArgumentInvalid"));
    assert_eq!(
        call(&simulator, "DELETE", "/devices/d1/modules/m1", &[("if-match", "*")], &Value::Null).await.status,
        204
    );
    assert_eq!(call(&simulator, "DELETE", "/devices/d1", &[("if-match", "*")], &Value::Null).await.status, 204);
    let gone = call(&simulator, "GET", "/twins/d1/modules/m2", &[], &Value::Null).await;
    assert_eq!(error_of(&gone), (404, "DeviceNotFound"));
}

#[tokio::test]
async fn a_query_is_answered_in_pages() {
    let simulator = with_devices(&["d1", "d2", "d3", "e1"]).await;
    let question = json!({"query": "SELECT deviceId FROM devices WHERE STARTSWITH(deviceId, 'd')"});
    let first = call(&simulator, "POST", "/devices/query", &[("x-ms-max-item-count", "2")], &question).await;
    assert_eq!(first.json(), json!([{"deviceId": "d1"}, {"deviceId": "d2"}]));
    assert_eq!(first.header("x-ms-item-type"), Some("Raw"));
    let more = first.header("x-ms-continuation").unwrap();
    let headers = [("x-ms-max-item-count", "2"), ("x-ms-continuation", more)];
    let second = call(&simulator, "POST", "/devices/query", &headers, &question).await;
    assert_eq!((second.json(), second.header("x-ms-continuation")), (json!([{"deviceId": "d3"}]), None));
    let count = json!({"query": "SELECT COUNT() AS n FROM devices"});
    assert_eq!(call(&simulator, "POST", "/devices/query", &[], &count).await.json(), json!([{"n": 4}]));
    let all = call(&simulator, "POST", "/devices/query", &[], &json!({"query": "SELECT * FROM devices"})).await;
    assert_eq!((all.header("x-ms-item-type"), all.json().as_array().map(Vec::len)), (Some("Twin"), Some(4)));
    let bad = call(&simulator, "POST", "/devices/query", &[], &json!({"query": "SELEKT"})).await;
    assert_eq!(error_of(&bad), (400, "ArgumentInvalid"));
}

#[tokio::test]
async fn a_bulk_call_does_what_it_can_and_tells_the_rest() {
    let simulator = with_devices(&["old", "gone"]).await;
    let body = json!([
        {"id": "new", "importMode": "create", "tags": {"t": 1}, "properties": {"desired": {"a": 1}}},
        {"id": "old", "importMode": "create"},
        {"id": "gone", "importMode": "delete"},
        {"id": "nobody", "importMode": "Update", "status": "disabled"},
    ]);
    let reply = call(&simulator, "POST", "/devices/", &[], &body).await;
    assert_eq!(reply.status.as_u16(), 200);
    let errors = json!([
        {"deviceId": "old", "errorCode": 409_001, "errorStatus": "DeviceAlreadyExists"},
        {"deviceId": "nobody", "errorCode": 404_001, "errorStatus": "DeviceNotFound"},
    ]);
    assert_eq!(reply.json(), json!({"isSuccessful": false, "errors": errors, "warnings": []}));
    let twin = get(&simulator, "/twins/new").await;
    assert_eq!((&twin["tags"]["t"], &twin["properties"]["desired"]["a"]), (&json!(1), &json!(1)));
    let update = json!([{"id": "new", "importMode": "updateTwinIfMatchETag", "twinETag": "old", "tags": {"t": 2}}]);
    let stale = call(&simulator, "POST", "/devices", &[], &update).await.json();
    assert_eq!(stale["errors"][0]["errorCode"], 412_001);
    let update = json!([{"id": "new", "importMode": "updateTwin", "twinETag": "*", "tags": {"t": 2}}]);
    let good = call(&simulator, "POST", "/devices", &[], &update).await.json();
    assert_eq!((&good["isSuccessful"], &get(&simulator, "/twins/new").await["tags"]["t"]), (&json!(true), &json!(2)));
    assert_eq!(get(&simulator, "/statistics/devices").await["totalDeviceCount"], 2);
}

fn kept_in(dir: &Path) -> Options {
    Options { dir: Some(dir.to_owned()), ..options() }
}

#[tokio::test]
async fn twins_and_modules_survive_a_restart() {
    let dir = std::env::temp_dir().join(format!("simulator-twins-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let simulator = start(kept_in(&dir)).await.unwrap();
    put(&simulator, "/devices/d1", json!({"deviceId": "d1"})).await;
    let module = put(&simulator, "/devices/d1/modules/m1", json!({})).await;
    let wish = json!({"tags": {"t": 1}, "properties": {"desired": {"a": {"b": 1}}}});
    let twin = call(&simulator, "PATCH", "/twins/d1", &[], &wish).await.json();
    simulator.stop().await.unwrap();
    let simulator = start(kept_in(&dir)).await.unwrap();
    assert_eq!(get(&simulator, "/twins/d1").await, twin);
    assert_eq!(get(&simulator, "/devices/d1/modules/m1").await, module);
    std::fs::remove_dir_all(dir).unwrap();
}
