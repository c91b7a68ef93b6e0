//! Creating, changing and deleting identities, and reading calls, without a socket.

use serde_json::json;

use super::identities::MODULES_MAX;
use super::*;
use crate::endpoint::HubId;
use crate::hub::twin::Live;
use crate::random::tests::stamp;
use crate::registry::{Device, Status};
use crate::sas::tests::signed_until;

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

fn endpoint() -> Endpoint {
    Endpoint::device(HubId(0), "Dev")
}

fn put_device(device: Option<&Device>, if_match: Option<&str>, body: &str) -> Result<Device, u32> {
    let device = match device {
        None => created(&endpoint(), body.as_bytes(), stamp(1000)),
        Some(device) => updated(device, &endpoint(), "hub1", if_match, body.as_bytes(), stamp(2000)),
    };
    device.map_err(|refusal| refusal.code)
}

#[test]
fn a_device_is_made_with_its_own_keys_or_with_new_ones() {
    let own = format!(
        r#"{{"deviceId":"Dev","authentication":{{"symmetricKey":{{"primaryKey":"{KEY}","secondaryKey":""}}}}}}"#
    );
    let device = put_device(None, None, &own).unwrap();
    assert_eq!((device.id.as_str(), device.keys.primary.as_str(), device.status), ("Dev", KEY, Status::Enabled));
    assert_eq!(device.keys.secondary.len(), 44, "32 bytes as base64");
    assert_ne!(put_device(None, None, "{}").unwrap().keys, put_device(None, None, "{}").unwrap().keys);
}

#[test]
fn a_change_needs_the_etag_or_a_star() {
    let device = put_device(None, None, "{}").unwrap();
    let (quoted, weak) = (format!("\"{}\"", device.etag), format!("W/\"{}\"", device.etag));
    let off = r#"{"status":"disabled","statusReason":"lost"}"#;
    for if_match in ["*", "\"*\"", &quoted, &weak] {
        let changed = put_device(Some(&device), Some(if_match), off).unwrap();
        assert_eq!((changed.status, &changed.keys), (Status::Disabled, &device.keys));
        assert_eq!((changed.status_reason.as_deref(), changed.status_updated_ms), (Some("lost"), Some(2000)));
        assert_ne!(changed.etag, device.etag);
    }
    assert_eq!(put_device(Some(&device), Some("\"old\""), off), Err(412_001));
    assert_eq!(put_device(Some(&device), None, off), Err(409_001));
    assert_eq!(put_device(Some(&device), Some("*"), "{}").unwrap().status_updated_ms, None, "nothing was switched");
}

#[test]
fn what_is_shown_has_the_members_of_the_registry_api() {
    let device = put_device(None, None, "{}").unwrap();
    let live = Live { is_connected: true, last_activity_ms: Some(1_767_225_600_123), ..Live::default() };
    let answer = shown(&device, &live);
    let body = answer.body.unwrap();
    assert_eq!(body["authentication"]["symmetricKey"]["primaryKey"], device.keys.primary.as_str());
    assert_eq!((&body["status"], &body["authentication"]["type"]), (&json!("enabled"), &json!("sas")));
    assert_eq!(body["connectionState"], "Connected");
    assert_eq!(body["lastActivityTime"], "2026-01-01T00:00:00.123Z");
    assert_eq!(body["connectionStateUpdatedTime"], "0001-01-01T00:00:00Z");
    assert_eq!(answer.headers, [("etag", format!("\"{}\"", device.etag))]);
    let module = Device { module: Some("m".to_owned()), ..device };
    let body = shown(&module, &live).body.unwrap();
    assert_eq!((&body["moduleId"], &body["deviceId"], body.get("status")), (&json!("m"), &json!("Dev"), None));
}

#[test]
fn bodies_and_ids_that_make_no_sense_are_refused() {
    assert_eq!(put_device(None, None, "{"), Err(400_012));
    assert_eq!(put_device(None, None, r#"{"deviceId":"other"}"#), Err(400_004));
    assert_eq!(put_device(None, None, r#"{"moduleId":"m"}"#), Err(400_004));
    assert_eq!(put_device(None, None, r#"{"authentication":{"type":"selfSigned"}}"#), Err(400_004));
    assert_eq!(put_device(None, None, &json!({"statusReason": "x".repeat(129)}).to_string()), Err(400_004));
    let long = "x".repeat(129);
    for bad in ["a/b", "", "ä", &long] {
        let of = [Endpoint::device(HubId(0), bad), Endpoint::module(HubId(0), "d", bad)];
        assert!(of.iter().all(|of| created(of, b"{}", stamp(0)).is_err()), "{bad}");
    }
}

#[test]
fn addresses_mean_what_the_sdks_ask_for() {
    let hub = HubId(1);
    let of = |method, path: &str| {
        let path: Vec<&str> = path.split('/').collect();
        format!("{:?}", Asked::of(hub, method, &path, None))
    };
    let call = |call: Call<'_>| format!("{:?}", Asked::Call(call));
    let (device, module) = (Endpoint::device(hub, "d"), Endpoint::module(hub, "d", "m"));
    assert_eq!(of("GET", "devices/d"), call(Call::Identity(Verb::Get, device.clone())));
    assert_eq!(of("PUT", "devices/d/modules/m"), call(Call::Identity(Verb::Put, module.clone())));
    assert_eq!(of("GET", "devices/d/modules"), call(Call::Modules { device: "d" }));
    assert_eq!(of("GET", "devices/"), call(Call::Devices { top: None }));
    assert_eq!(of("GET", "devices"), call(Call::Devices { top: None }));
    assert_eq!(of("POST", "devices"), call(Call::Bulk));
    assert_eq!(of("POST", "devices/"), call(Call::Bulk));
    assert_eq!(of("POST", "devices/query"), call(Call::Query));
    assert_eq!(of("GET", "devices/query"), call(Call::Identity(Verb::Get, Endpoint::device(hub, "query"))));
    assert_eq!(of("PATCH", "twins/d"), call(Call::Twin(TwinVerb::Patch, device)));
    assert_eq!(of("PUT", "twins/d/modules/m"), call(Call::Twin(TwinVerb::Replace, module)));
    assert_eq!(of("GET", "statistics/service"), call(Call::ServiceStatistics));
    assert_eq!(of("POST", "devices/d"), "NotAllowed");
    assert_eq!(of("DELETE", "twins/d"), "NotAllowed");
    for nothing in ["devices/d/x", "devices/d/modules/", "twins", "twins/", "statistics/x", "devices/d/modules/m/x"] {
        assert_eq!(of("GET", nothing), "Nothing", "{nothing}");
    }
}

#[test]
fn a_bulk_call_is_read_whole_or_refused() {
    let read = |body: Value| elements(HubId(0), body.to_string().as_bytes()).map_err(|refusal| refusal.code);
    let one = read(json!([{"id": "d", "importMode": "UpdateIfMatchETag", "eTag": "abc", "status": "disabled"}]));
    let one = one.unwrap().remove(0);
    assert_eq!(one.mode, Mode::UpdateIfMatchEtag);
    let device = put_device(None, None, "{}").unwrap();
    assert_eq!(one.identity(Some(&device), "hub1", stamp(0)).map_err(|refusal| refusal.code), Err(412_001));
    assert_eq!(one.identity(None, "hub1", stamp(0)).map_err(|refusal| refusal.code), Err(404_001));
    let same = Device { etag: "abc".to_owned(), ..device };
    assert_eq!(one.identity(Some(&same), "hub1", stamp(0)).unwrap().status, Status::Disabled);
    assert_eq!(read(json!([{"id": "d"}, {"id": "d"}])).err(), Some(400_011));
    assert_eq!(read(json!([{"id": "d"}, {"id": "d", "moduleId": "m"}])).map(|all| all.len()), Ok(2));
    assert_eq!(read(json!([{"id": "d", "importMode": "explode"}])).err(), Some(400_004));
    assert_eq!(read(json!({"id": "d"})).err(), Some(400_012));
    let many = |count| (0..count).map(|n| json!({"id": format!("d{n}")})).collect::<Value>();
    assert_eq!(read(many(100)).map(|all| all.len()), Ok(100));
    assert_eq!(read(many(101)).err(), Some(413_002));
}

#[test]
fn lists_have_an_end() {
    assert_eq!((top(None), top(Some("1000")), MODULES_MAX), (Ok(1000), Ok(1000), 50));
    assert!(["0", "1001", "x", "-1"].iter().all(|bad| top(Some(bad)).is_err()));
}

#[test]
fn each_policy_may_do_its_own() {
    const NOW_MS: i64 = 1_767_225_600_000;
    let keys = crate::identity::Keys { primary: KEY.to_owned(), secondary: KEY.to_owned() };
    let all = ["iothubowner", "service", "device", "registryRead", "registryReadWrite"];
    let policies: crate::identity::Policies = all.map(|name| (name.to_owned(), keys.clone())).into();
    let hosts = ["hub1".to_owned()];
    let names = Names { hosts: &hosts, policies: &policies };
    let may = |call: &Call<'_>| {
        let admitted = |policy: &&str| {
            let token = format!("{}&skn={policy}", signed_until("hub1", KEY, NOW_MS / 1000 + 60));
            admit(&names, call, &["devices", "Dev"], Some(&token), NOW_MS).is_ok()
        };
        all.into_iter().filter(admitted).collect::<Vec<_>>()
    };
    let readers = ["iothubowner", "registryRead", "registryReadWrite"];
    assert_eq!(may(&Call::Identity(Verb::Get, endpoint())), readers);
    assert_eq!(may(&Call::Devices { top: None }), readers);
    assert_eq!(may(&Call::Modules { device: "Dev" }), readers);
    assert_eq!(may(&Call::DeviceStatistics), readers);
    assert_eq!(may(&Call::Identity(Verb::Put, endpoint())), ["iothubowner", "registryReadWrite"]);
    assert_eq!(may(&Call::Identity(Verb::Delete, endpoint())), ["iothubowner", "registryReadWrite"]);
    assert_eq!(may(&Call::Bulk), ["iothubowner", "registryReadWrite"]);
    assert_eq!(may(&Call::Twin(TwinVerb::Get, endpoint())), ["iothubowner", "service"]);
    assert_eq!(may(&Call::Query), ["iothubowner", "service"]);
    let elsewhere = format!("{}&skn=iothubowner", signed_until("hub1/devices/other", KEY, NOW_MS / 1000 + 60));
    assert!(admit(&names, &Call::Query, &["devices", "query"], Some(&elsewhere), NOW_MS).is_err());
    assert!(admit(&names, &Call::Query, &["devices", "query"], None, NOW_MS).is_err());
}
