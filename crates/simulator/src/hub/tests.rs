//! What the hub takes and refuses, without a socket.

use super::*;
use crate::identity::Keys;
use crate::random::tests::stamp;
use crate::sas::tests::signed_until;

const NOW_MS: i64 = 1_767_225_000_000;
const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const SECOND_KEY: &str = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";
const WRONG_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

fn keys() -> Keys {
    Keys { primary: KEY.to_owned(), secondary: SECOND_KEY.to_owned() }
}

fn policies() -> Policies {
    ["iothubowner", "device", "registryRead"].map(|name| (name.to_owned(), keys())).into()
}

/// What a request with this token for device `d1` is told: status and code.
fn admitted(device: Option<&Device>, authorization: &str) -> Result<(), (u16, u32)> {
    let hosts = ["hub1".to_owned(), "localhost".to_owned()];
    let names = Names { hosts: &hosts, policies: &policies() };
    admit_device(&names, device, "d1", Some(authorization), NOW_MS).map(drop).map_err(|r| (r.status, r.code))
}

fn token(resource: &str, key: &str) -> String {
    signed_until(resource, key, NOW_MS / 1000 + 60)
}

#[test]
fn a_device_speaks_with_either_of_its_keys_under_any_name_of_the_hub() {
    let device = Device::new("d1", keys(), stamp(NOW_MS));
    for (resource, key) in [("hub1/devices/d1", KEY), ("localhost%2Fdevices%2Fd1", SECOND_KEY)] {
        assert_eq!(admitted(Some(&device), &token(resource, key)), Ok(()));
    }
}

#[test]
fn each_refusal_has_its_code() {
    let device = Device::new("d1", keys(), stamp(NOW_MS));
    let off = Device { status: Status::Disabled, ..device.clone() };
    let good = token("hub1/devices/d1", KEY);
    assert_eq!(admitted(None, &good), Err((404, 404_001)));
    assert_eq!(admitted(Some(&off), &good), Err((403, 403_012)));
    assert_eq!(admitted(Some(&device), &token("hub1/devices/d1", WRONG_KEY)), Err((401, 401_003)));
    assert_eq!(admitted(Some(&device), &token("hub1/devices/d2", KEY)), Err((401, 401_003)));
    assert_eq!(admitted(Some(&device), &token("hub1", KEY)), Err((401, 401_003)), "a device's key for the whole hub");
    assert_eq!(admitted(Some(&device), &signed_until("hub1/devices/d1", KEY, NOW_MS / 1000)), Err((401, 401_003)));
    assert_eq!(admitted(Some(&device), ""), Err((401, 401_003)));
}

#[test]
fn a_policy_that_connects_devices_speaks_for_any() {
    let device = Device::new("d1", keys(), stamp(NOW_MS));
    let with = |policy: &str| admitted(Some(&device), &format!("{}&skn={policy}", token("hub1", KEY)));
    assert_eq!(with("iothubowner"), Ok(()));
    assert_eq!(with("device"), Ok(()));
    assert_eq!(with("registryRead"), Err((401, 401_003)));
    assert_eq!(with("no-such-policy"), Err((401, 401_003)));
}

fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn headers_become_properties_and_keep_their_case() {
    let pairs = headers(&[
        ("IoTHub-MessageId", "m:1"),
        ("iothub-correlationid", "c"),
        ("iothub-contenttype", "application/json"),
        ("iothub-contentencoding", "utf-8"),
        ("iothub-app-DeviceEUI", "70B3"),
        ("IOTHUB-APP-a", "1"),
        ("iothub-app-iothub-creation-time-utc", "2026-01-01T00:00:00.5Z"),
        ("user-agent", "x"),
    ]);
    let telemetry = Telemetry::from_headers(Bytes::from_static(b"1"), pairs).unwrap();
    assert_eq!(telemetry.message_id.as_deref(), Some("m:1"));
    assert_eq!(telemetry.correlation_id.as_deref(), Some("c"));
    assert_eq!(telemetry.content_type.as_deref(), Some("application/json"));
    assert_eq!(telemetry.content_encoding.as_deref(), Some("utf-8"));
    let named: Vec<&str> = telemetry.properties.keys().map(String::as_str).collect();
    assert_eq!(named, ["DeviceEUI", "a", "iothub-creation-time-utc"]);
}

#[test]
fn size_counts_properties_and_ends_at_256_kib() {
    let sized = |body: usize| {
        let pairs = headers(&[("iothub-app-ab", "cd"), ("iothub-messageid", "m")]);
        Telemetry::from_headers(vec![b'x'; body].into(), pairs).map(drop).map_err(|r| (r.status, r.code))
    };
    assert_eq!(sized(MESSAGE_BYTES_MAX - 5), Ok(()));
    assert_eq!(sized(MESSAGE_BYTES_MAX - 4), Err((413, 413_001)));
}

#[test]
fn ids_and_properties_with_other_characters_are_refused() {
    let long = "m".repeat(MESSAGE_ID_CHARS_MAX + 1);
    for (name, value) in
        [("iothub-messageid", "a b"), ("iothub-messageid", &long), ("iothub-app-a", "ü"), ("iothub-app-", "x")]
    {
        let refused = Telemetry::from_headers(Bytes::new(), headers(&[(name, value)])).map_err(|r| r.code);
        assert_eq!(refused.err(), Some(400_004), "{name}: {value}");
    }
}

#[test]
fn a_batch_is_taken_whole_or_not_at_all() {
    let messages = batch(br#"[{"body":"eyJ0IjoxfQ==","properties":{"iothub-app-K":"v","iothub-messageid":"m1"}},{"body":"plain","base64Encoded":false}]"#).unwrap();
    assert_eq!(messages[0].body.as_ref(), br#"{"t":1}"#);
    assert_eq!(messages[0].properties.get("K").map(String::as_str), Some("v"));
    assert_eq!(messages[0].message_id.as_deref(), Some("m1"));
    assert_eq!(messages[1].body.as_ref(), b"plain");

    let code = |text: &str| batch(text.as_bytes()).map(|m| m.len()).map_err(|r| r.code);
    assert_eq!(code(r#"[{"body":"eyJ0IjoxfQ=="},{"body":"!"}]"#), Err(400_012));
    assert_eq!(code(r#"{"body":"eyJ0IjoxfQ=="}"#), Err(400_012));
    let many = |count: usize, size: usize| {
        let one = format!(r#"{{"base64Encoded":false,"body":"{}"}}"#, "x".repeat(size));
        format!("[{}]", vec![one; count].join(","))
    };
    assert_eq!(code(&many(500, 1)), Ok(500));
    assert_eq!(code(&many(501, 1)), Err(413_001));
    assert_eq!(code(&many(2, MESSAGE_BYTES_MAX / 2)), Ok(2));
    assert_eq!(code(&many(2, MESSAGE_BYTES_MAX / 2 + 1)), Err(413_001));
}

#[test]
fn an_error_names_its_code_where_sdks_look() {
    let body = Refusal::device_not_found("d1").body("00112233-4455-6677-8899-aabbccddeeff", 1_634_022_482_000);
    assert_eq!(body["Message"], "ErrorCode:DeviceNotFound;Device d1 not registered");
    let tracking = body["ExceptionMessage"].as_str().unwrap();
    assert!(
        tracking.starts_with("Tracking ID:") && tracking.ends_with("-G:0-TimeStamp:10/12/2021 07:08:02"),
        "{tracking}"
    );
}

#[test]
fn refusals_on_request_have_their_codes() {
    let status = HubRefusal::Status { status: 403, error_code: 403_001, name: "IotHubSuspended".to_owned() };
    let all = [
        HubRefusal::Unauthorized,
        HubRefusal::NotFound,
        HubRefusal::Disabled,
        HubRefusal::Quota,
        HubRefusal::Throttled,
        HubRefusal::BacklogFull,
        HubRefusal::Unavailable,
        status,
    ];
    let codes = all.map(|refusal| refused("d1", &refusal).code);
    assert_eq!(codes, [401_003, 404_001, 403_012, 403_002, 429_001, 429_002, 503_001, 403_001]);
}
