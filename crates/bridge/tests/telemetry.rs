//! What IoT Hub gets for an uplink. The whole bodies of real messages are in `corpus.rs`; here is what they do not show.

use bridge::uplink::{Style, Telemetry, is_of_use, telemetry};
use lorawan::envelope::Format;
use lorawan::ordered::Members;
use lorawan::uplink;
use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;

/// 2026-01-02T03:04:05.678Z.
const ARRIVAL: i64 = 1_767_323_045_678;

fn sent_in(format: Format, body: &str, style: Style) -> Option<Telemetry> {
    let uplink = uplink::read(format, body.as_bytes()).expect("an uplink");
    is_of_use(&uplink).then(|| telemetry(&uplink, "ttn", ARRIVAL, style))
}

fn v3(inside: &str) -> String {
    let ids = r#"{"device_id":"dev1","application_ids":{"application_id":"app1"},"dev_eui":"0004A30B001C0530"}"#;
    format!(
        r#"{{"end_device_ids":{ids},"uplink_message":{{"received_at":"2020-02-12T15:15:45.789585559Z",{inside}}}}}"#
    )
}

fn sent(inside: &str) -> Telemetry {
    sent_in(Format::TtsV3, &v3(inside), Style::default()).expect("of use")
}

/// The body behind our own members.
fn decoded(fields: &str, style: Style) -> String {
    let body = v3(&format!(r#""f_port":1,"decoded_payload":{fields}"#));
    let sent = sent_in(Format::TtsV3, &body, style).expect("of use");
    let text = String::from_utf8(sent.message.body.to_vec()).expect("UTF-8");
    let own = r#"{"DeviceEUI":"0004A30B001C0530","DeviceID":"dev1","ApplicationID":"app1","Port":1,"Counter":0,"ReceivedAtUTC":"2020-02-12T15:15:45.789585559Z""#;
    text.strip_prefix(own).unwrap_or_else(|| panic!("{text}")).to_owned()
}

fn plain(fields: &str) -> String {
    decoded(fields, Style::default())
}

fn central(fields: &str) -> String {
    decoded(fields, Style { central: true })
}

#[test]
fn a_decoded_field_named_like_ours_is_kept_beside() {
    assert_eq!(plain(r#"{"Port":7}"#), r#","Port_decoded":7}"#);
    assert_eq!(plain(r#"{"Port":7,"Port_decoded":8}"#), r#","Port_decoded_decoded":7,"Port_decoded":8}"#);
    assert_eq!(plain(r#"{"Port_decoded":8,"Port":7}"#), r#","Port_decoded":8,"Port_decoded_decoded":7}"#);
    assert_eq!(plain(r#"{"a":1,"a":2}"#), r#","a":1,"a_decoded":2}"#);
    assert_eq!(plain(r#"{"port":7,"counter":8}"#), r#","port":7,"counter":8}"#);
    // Also those of our names that are not in this message: an `Encrypted` is never the device's word.
    for own in [
        "DeviceEUI",
        "DeviceID",
        "ApplicationID",
        "Counter",
        "PayloadRaw",
        "ReceivedAtUTC",
        "Retry",
        "Simulated",
        "Encrypted",
    ] {
        assert_eq!(plain(&format!(r#"{{"{own}":true}}"#)), format!(r#","{own}_decoded":true}}"#));
    }
}

#[test]
fn decoded_values_go_out_as_they_came_in() {
    let fields = r#""objects":[{"a":1,"b":2},{"a":3,"b":4}],"scalars":[1,"two",true],"temperatür °C":21.50,"list":[1, [ {"a":1},{"a":2} ] ],"big":12345678901234567890.0123456789,"neg":-0.0,"exp":1E-07,"esc":"\u002B\/","deep":{"x" : {"y":[] }},"none":null,"":1,"iothub-creation-time-utc":"x\r\n""#;
    assert_eq!(plain(&format!("{{ {fields} }}")), format!(",{fields}}}"));
    assert_eq!(plain("{\n  \"a\" : 1 ,\n  \"b\" : [ 2 ]\n}"), r#","a":1,"b":[ 2 ]}"#);
}

#[test]
fn a_decoded_value_that_is_no_object_is_kept_whole() {
    for value in ["[1,2]", "7.0", r#""text""#, "true", "[]"] {
        assert_eq!(plain(value), format!(r#","decoded_payload":{value}}}"#));
    }
    assert_eq!(plain("null"), "}");
    assert_eq!(plain("{}"), "}");
    let many = format!("{{{}}}", vec![r#""a":1"#; 50_000].join(","));
    assert_eq!(plain(&many), format!(r#","decoded_payload":{many}}}"#));
}

#[test]
fn depth_takes_no_stack() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(central(&format!(r#"{{"deep":{deep}}}"#)), format!(r#","deep":{deep}}}"#));
}

#[test]
fn positions_are_also_geopoints_for_central_and_only_there() {
    let group = r#"{"gps_1":{"altitude":6.19,"latitude":-43.5309,"longitude":172.6371}}"#;
    assert_eq!(
        central(group),
        r#","gps_1":{"altitude":6.19,"latitude":-43.5309,"longitude":172.6371,"lat":-43.5309,"lon":172.6371,"alt":6.19}}"#
    );
    assert_eq!(plain(group), format!(",{}", &group[1..]));
    assert_eq!(
        central(r#"{"latitude":37.4219,"longitude":-122.0840,"t":1}"#),
        r#","latitude":37.4219,"longitude":-122.0840,"t":1,"lat":37.4219,"lon":-122.0840}"#
    );
    // Both spellings there already: nothing to add, and no failure.
    let both = r#""gps":{"latitude":1,"longitude":2,"lat":1,"lon":2}"#;
    assert_eq!(central(&format!("{{{both}}}")), format!(",{both}}}"));
}

#[test]
fn a_message_that_says_nothing_is_not_sent() {
    let none = |inside: &str| sent_in(Format::TtsV3, &v3(inside), Style::default()).is_none();
    assert!(none(r#""f_cnt":14"#));
    assert!(none(r#""f_cnt":14,"f_port":0,"frm_payload":"","decoded_payload":{}"#));
    assert!(none(r#""f_cnt":14,"frm_payload":null,"decoded_payload":null"#));
    assert!(!none(r#""f_port":8"#));
    assert!(!none(r#""frm_payload":"AQ==""#));
    assert!(!none(r#""decoded_payload":{"a":1}"#));
}

#[test]
fn a_payload_without_a_port_goes_out_without_one() {
    let sent = sent(r#""frm_payload":"gkHe","f_cnt":1"#);
    assert!(!String::from_utf8_lossy(&sent.message.body).contains("Port"));
    assert!(sent.message.properties.iter().all(|(name, _)| name != "Port"));
}

#[test]
fn times_are_the_networks_or_else_the_arrival() {
    let stamps = |time: &str| {
        let body = v3(r#""f_port":1"#).replace("2020-02-12T15:15:45.789585559Z", time);
        let sent = sent_in(Format::TtsV3, &body, Style::default()).expect("of use");
        let body: Value = serde_json::from_slice(&sent.message.body).expect("JSON");
        (body["ReceivedAtUTC"].as_str().expect("a time").to_owned(), sent.message.creation_time)
    };
    for (written, received, created) in [
        ("2020-02-12T15:15:45.789585559Z", "2020-02-12T15:15:45.789585559Z", "2020-02-12T15:15:45.789585559Z"),
        ("2019-03-03T04:20:04Z", "2019-03-03T04:20:04Z", "2019-03-03T04:20:04.0000000Z"),
        ("2019-03-03T04:20:04.5+02:00", "2019-03-03T02:20:04.5Z", "2019-03-03T02:20:04.5000000Z"),
        ("0001-01-01T00:00:00Z", "2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05.6780000Z"),
        ("2020-02-12T15:15...", "2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05.6780000Z"),
        ("", "2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05.6780000Z"),
    ] {
        assert_eq!(stamps(written), (received.to_owned(), created.parse().ok()), "{written}");
    }
}

#[test]
fn v2_says_whether_it_is_a_retry_and_a_retry_is_the_same_message() {
    let body = |retry: &str| {
        format!(
            r#"{{"app_id":"a","dev_id":"d","port":1,"counter":2,{retry}"payload_raw":"AA\u002B/","metadata":{{"time":"2020-08-30T10:18:33.1Z"}}}}"#
        )
    };
    let of = |retry: &str| sent_in(Format::TtnV2, &body(retry), Style::default()).expect("of use");
    let (first, again) = (of(""), of(r#""is_retry":true,"#));
    assert_eq!(
        String::from_utf8_lossy(&first.message.body),
        r#"{"DeviceID":"d","ApplicationID":"a","Port":1,"Counter":2,"PayloadRaw":"AA+/","ReceivedAtUTC":"2020-08-30T10:18:33.1Z","Retry":false}"#
    );
    assert!(String::from_utf8_lossy(&again.message.body).ends_with(r#""Retry":true}"#));
    assert_eq!(first.message.message_id, again.message.message_id);
}

#[test]
fn a_v2_message_without_a_downlink_url_is_sent() {
    let body = r#"{"app_id":"a","dev_id":"d","port":1,"counter":2,"payload_raw":"AA=="}"#;
    let sent = sent_in(Format::TtnV2, body, Style::default()).expect("of use");
    assert!(String::from_utf8_lossy(&sent.message.body).starts_with(r#"{"DeviceID":"d","ApplicationID":"a","Port":1"#));
}

#[test]
fn what_is_written_on_a_message() {
    let sent = sent(r#""f_port":15,"frm_payload":"AQ==""#);
    assert_eq!(
        (sent.message.content_type.as_deref(), sent.message.content_encoding.as_deref()),
        (Some("application/json"), Some("utf-8"))
    );
    let expected = [("ApplicationId", "app1"), ("DeviceEUI", "0004A30B001C0530"), ("DeviceId", "dev1"), ("Port", "15")];
    assert!(sent.message.properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(expected));
    let hex: String = sent.fingerprint.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(sent.message.message_id, hex);
    let simulated = v3(r#""f_port":1"#).replacen('{', r#"{"simulated":true,"#, 1);
    let sent = sent_in(Format::TtsV3, &simulated, Style::default()).expect("of use");
    assert_eq!(sent.message.properties.last(), Some(&("Simulated".to_owned(), "true".to_owned())));
    assert!(String::from_utf8_lossy(&sent.message.body).contains(r#","Simulated":true}"#));
}

#[test]
fn an_id_with_anything_in_it_is_safe_in_a_header() {
    let body = v3(r#""f_port":1"#).replace("dev1", "d\\r\\nX: 1 é%").replace("app1", &"a".repeat(300));
    let sent = sent_in(Format::TtsV3, &body, Style::default()).expect("of use");
    let of = |name: &str| sent.message.properties.iter().find(|(is, _)| is == name).map(|(_, value)| value.as_str());
    assert_eq!(of("DeviceId"), Some("d%0D%0AX%3A%201%20%C3%A9%25"));
    assert_eq!(of("ApplicationId"), None);
    let body: Value = serde_json::from_slice(&sent.message.body).expect("JSON");
    assert_eq!(body["DeviceID"], "d\r\nX: 1 é%");
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        ".{0,6}".prop_map(|text| Value::String(text).to_string()),
        Just(r#"{ "latitude" : 1.0,"longitude":2 }"#.to_owned()),
        Just("[ 1, {\"a\" :[null ]} ]".to_owned()),
        Just("null".to_owned()),
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,4}",
        "(Port|Counter|Retry|lat|lon|latitude|a)(_decoded){0,2}",
        Just("latitude".to_owned()),
        Just("longitude".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_decoded_value_is_in_the_body_once_under_a_name_of_its_own(
        fields in prop::collection::vec((name(), value()), 0..12), is_central in any::<bool>()
    ) {
        let members: Vec<String> = fields.iter().map(|(name, value)| format!(" {} :\t{value}", Value::String(name.clone()))).collect();
        let body = v3(&format!(r#""f_port":1,"decoded_payload":{{{}}}"#, members.join(" ,")));
        let sent = sent_in(Format::TtsV3, &body, Style { central: is_central }).expect("of use");
        let raw: &RawValue = serde_json::from_slice(&sent.message.body).expect("the body is JSON");
        let members = Members::of(raw).expect("an object");
        let names: std::collections::HashSet<_> = members.iter().map(|member| member.key().expect("Unicode")).collect();
        prop_assert_eq!(names.len(), members.len(), "a name is there twice");
        let decoded: Vec<_> = members.iter().skip(6).collect();
        let added = decoded.len() - fields.len();
        prop_assert!(added == 0 || (is_central && added == 2), "{}", raw);
        for (member, (name, value)) in decoded.iter().zip(&fields) {
            let key = member.key().expect("Unicode");
            prop_assert!(key.strip_prefix(name.as_str()).is_some_and(|rest| rest.replace("_decoded", "").is_empty()));
            let whole = value.strip_suffix('}').filter(|_| is_central).unwrap_or(value);
            prop_assert!(member.value.get().starts_with(whole), "{} {}", member.value, value);
        }
    }
}
