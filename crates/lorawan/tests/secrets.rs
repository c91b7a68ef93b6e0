//! What is taken out of a body before it is stored.

use std::borrow::Cow;

use lorawan::secrets::{strip, strip_protobuf};

fn stripped(body: &str) -> String {
    String::from_utf8(strip(body.as_bytes()).into_owned()).expect("UTF-8 stays UTF-8")
}

#[test]
fn only_the_secret_goes_and_the_rest_stays_byte_for_byte() {
    for (body, left) in [
        (r#"{ "a" : 1.00 , "downlink_url" : "u?key=K" , "b":1e-07}"#, r#"{ "a" : 1.00  , "b":1e-07}"#),
        (r#"{"downlink_url":"K", "a":-0.0 }"#, r#"{"a":-0.0 }"#),
        (r#"{"a":1 ,"downlink_url":"K" }"#, r#"{"a":1  }"#),
        (r#"{"downlink_url":"K"}"#, "{}"),
        (r#"{"downlink_url":"K","api_key":["K",{"x":"}"}],"a":{"keys":{"k":"K"}}}"#, r#"{"a":{}}"#),
        (r#"{"a":1,"downlink_url":"K","downlink_url":"K","b":2}"#, r#"{"a":1,"b":2}"#),
        (r#"[{"nwk_key":"K"},{"b":[{"root_keys":{}, "c":"é"}]}]"#, r#"[{},{"b":[{"c":"é"}]}]"#),
        (r#"{"downlink\u005furl":"K","A":1}"#, r#"{"A":1}"#),
        (r#"{"appKey":"K","X-Downlink-Apikey":"K","A":1}"#, r#"{"A":1}"#),
    ] {
        assert_eq!(stripped(body), left, "{body}");
    }
}

#[test]
fn a_byte_order_mark_stays_where_it_is() {
    let body = "\u{FEFF} {\"downlink_url\":\"K\",\"a\":1}";
    assert_eq!(stripped(body), "\u{FEFF} {\"a\":1}");
}

#[test]
fn nothing_to_take_costs_no_copy() {
    for body in [
        r#"{"a":{"b":[1,2]}}"#,
        "[]",
        "1",
        "",
        "no json {",
        r#"{"app_s_key":null}"#,
        r#"{"uplink_message":{"app_s_key":{}}}"#,
    ] {
        assert!(matches!(strip(body.as_bytes()), Cow::Borrowed(_)), "{body}");
    }
}

#[test]
fn a_session_key_leaves_an_empty_object() {
    assert_eq!(
        stripped(r#"{"uplink_message":{"app_s_key":{"encrypted_key":"K","kek_label":"L"},"f_cnt":6}}"#),
        r#"{"uplink_message":{"app_s_key":{},"f_cnt":6}}"#
    );
    assert_eq!(stripped(r#"{"join_accept":{"app_s_key":"K"}}"#), r#"{"join_accept":{"app_s_key":{}}}"#);
}

#[test]
fn what_devices_measure_is_the_users() {
    for body in [
        r#"{"uplink_message":{"decoded_payload":{"downlink_url":"x","keys":[1],"app_s_key":{"key":"x"}}}}"#,
        r#"{"payload_fields":{"password":1}}"#,
        r#"{"uplink_message":{"normalized_payload":[{"keys":1}],"attributes":{"api-key":"x"}}}"#,
        r#"{"service_data":{"service":"s","data":{"keys":1}}}"#,
    ] {
        assert!(matches!(strip(body.as_bytes()), Cow::Borrowed(_)), "{body}");
    }
    // `data` is the users' only there.
    assert_eq!(stripped(r#"{"service_data":1,"x":{"data":{"keys":1}}}"#), r#"{"service_data":1,"x":{"data":{}}}"#);
    assert_eq!(
        stripped(r#"{"data":{"keys":1,"uplink_message":{"app_s_key":{"key":"K"}}}}"#),
        r#"{"data":{"uplink_message":{"app_s_key":{}}}}"#
    );
}

#[test]
fn depth_and_width_take_neither_stack_nor_time() {
    let deep = format!(r#"{}{{"downlink_url":"K"}}{}"#, r#"{"a":["#.repeat(100_000), "]}".repeat(100_000));
    assert!(!stripped(&deep).contains('K'));
    let wide = format!("{{{}\"a\":1}}", r#""keys":"K","#.repeat(100_000));
    assert_eq!(stripped(&wide), r#"{"a":1}"#);
}

/// A protobuf field with a length.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2, u8::try_from(content.len()).expect("short")];
    bytes.extend_from_slice(content);
    bytes
}

fn ids() -> Vec<u8> {
    field(1, &[field(1, b"dev1"), field(2, &field(1, b"app1"))].concat())
}

#[test]
fn protobuf_loses_its_session_keys_and_nothing_else() {
    let key = field(9, &field(1, b"KEYKEYKEYKEYKEYK"));
    let rest = [field(1, b"session"), vec![2 << 3, 15], field(4, b"payload")].concat();
    let uplink = |inside: &[&[u8]]| [ids(), field(3, &inside.concat()), field(12, &[8, 1])].concat();
    assert_eq!(strip_protobuf(&uplink(&[&rest, &key])), Some(uplink(&[&rest])));
    assert_eq!(strip_protobuf(&uplink(&[&key, &rest, &key])), Some(uplink(&[&rest])));
    let join = |inside: &[&[u8]]| [ids(), field(4, &inside.concat())].concat();
    let join_key = field(2, b"KEYKEYKEYKEYKEYK");
    assert_eq!(strip_protobuf(&join(&[&field(1, b"s"), &join_key])), Some(join(&[&field(1, b"s")])));
    // 9 is no key outside of an uplink: there it is `correlation_ids`.
    let ack = [ids(), field(5, &field(9, b"as:downlink:1"))].concat();
    assert_eq!(strip_protobuf(&ack), Some(ack.clone()));
}

#[test]
fn what_is_no_such_protobuf_is_refused() {
    let good = [ids(), field(3, &field(4, b"payload"))].concat();
    assert!(strip_protobuf(&good).is_some());
    for end in 1..good.len() {
        // Cut between the two fields it is well formed, but no event.
        assert_eq!(strip_protobuf(&good[..end]), None, "{end}");
    }
    for bad in [
        &b""[..],
        b"{\"a\":1}",
        b"hello",
        &[0xFF; 40],
        &ids(),
        &[0x1A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
        &[0x18, 0x01],
    ] {
        assert_eq!(strip_protobuf(bad), None, "{bad:?}");
    }
}
