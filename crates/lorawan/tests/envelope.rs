//! What the door learns of a body, and how it refuses.

use lorawan::envelope::{Envelope, Format, Unreadable, read};
use lorawan::event::EventKind;
use lorawan::uplink;

fn v3(event: &str) -> String {
    format!(
        r#"{{"end_device_ids":{{"device_id":"dev1","application_ids":{{"application_id":"app1"}},"dev_eui":"0004A30B001C0530"}},"{event}":{{}}}}"#
    )
}

fn detail(body: &str) -> String {
    match read(body.as_bytes()) {
        Err(Unreadable::NotUnderstood { detail }) => detail,
        other => panic!("{body:.200}: {other:?}"),
    }
}

fn not_json(body: &[u8]) -> (usize, usize, String) {
    match read(body) {
        Err(Unreadable::NotJson { line, column, cause }) => (line, column, cause),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_event_of_v3_is_known_by_its_one_key() {
    for kind in EventKind::ALL {
        let envelope = read(v3(kind.as_str()).as_bytes()).expect("a v3 event");
        let expected = Envelope {
            format: Format::TtsV3,
            kind,
            application: Some("app1".into()),
            device: Some("dev1".into()),
            dev_eui: Some("0004A30B001C0530".into()),
        };
        assert_eq!(envelope, expected);
    }
}

#[test]
fn v2_is_known_by_its_shape() {
    let body = r#"{"app_id":"a_b","dev_id":"d_1","hardware_serial":"0102030405060708","port":1,"counter":0,"payload_raw":null,"metadata":{}}"#;
    let envelope = read(body.as_bytes()).expect("a V2 uplink");
    assert_eq!((envelope.format, envelope.kind), (Format::TtnV2, EventKind::UplinkMessage));
    assert_eq!((envelope.application.as_deref(), envelope.device.as_deref()), (Some("a_b"), Some("d_1")));
}

#[test]
fn a_message_without_a_device_is_still_a_message() {
    for body in [
        r#"{"uplink_message":{}}"#,
        r#"{"uplink_message":{},"end_device_ids":null}"#,
        r#"{"uplink_message":{},"end_device_ids":{"application_ids":{}}}"#,
        r#"{"uplink_message":{},"end_device_ids":{"device_id":"","application_ids":{"application_id":null}}}"#,
        r#"{"app_id":"","dev_id":"","counter":1,"metadata":{}}"#,
        r#"{"hardware_serial":"0102030405060708","counter":1}"#,
    ] {
        let envelope = read(body.as_bytes()).expect(body);
        assert_eq!((envelope.application, envelope.device), (None, None), "{body}");
    }
}

#[test]
fn what_is_not_json_is_refused_with_its_place() {
    assert_eq!(not_json(b""), (1, 1, "it is empty".into()));
    assert_eq!(not_json(b" \n "), (2, 2, "it is empty".into()));
    assert_eq!(not_json(b"\xEF\xBB\xBF"), (1, 1, "it is empty".into()));
    assert_eq!(not_json(b"{\n\"a\":\"\xFF\"}"), (2, 6, "a byte that is not UTF-8".into()));
    let (line, column, cause) = not_json(b"{\"a\":1,\n \"b\" 2}");
    assert_eq!((line, column), (2, 6), "{cause}");
    assert!(!cause.contains("line"), "{cause}");
    for body in ["hello", "{", r#"{"a":1,}"#, "{'a':1}", "[1", "01", "{1:2}", "nul", r#"{"a":NaN}"#, "\u{0}"] {
        not_json(body.as_bytes());
    }
    assert!(not_json(b"{}{}").2.contains("one message a request"));
    not_json("[".repeat(100_000).as_bytes());
}

#[test]
fn json_that_is_no_object_is_not_understood() {
    for (body, what) in [
        ("[]", "an array"),
        ("42", "a number"),
        ("-0.0", "a number"),
        (r#""x""#, "a string"),
        ("null", "null"),
        ("true", "true or false"),
        (" [ 1 ] ", "an array"),
    ] {
        assert_eq!(detail(body), format!("the body is {what}, not an object"));
    }
    assert!(detail("{}").contains("the object is empty"));
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let body = format!("\u{FEFF}{}", v3("join_accept"));
    assert_eq!(read(body.as_bytes()).expect("a join").kind, EventKind::JoinAccept);
}

#[test]
fn depth_100_000_overflows_nothing() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(detail(&deep), "the body is an array, not an object");
    let objects = format!("{}1{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    assert!(detail(&objects).contains("it holds `a`"));
    let message = v3("uplink_message").replace(
        r#""uplink_message":{}"#,
        &format!(r#""uplink_message":{{"f_port":1,"decoded_payload":{{"deep":{deep}}}}}"#),
    );
    assert_eq!(read(message.as_bytes()).expect("a message").kind, EventKind::UplinkMessage);
    assert!(uplink::read(Format::TtsV3, message.as_bytes()).expect("an uplink").decoded.is_some());
}

#[test]
fn what_could_be_read_in_two_ways_is_not_understood() {
    for (body, said) in [
        (r#"{"uplink_message":{},"join_accept":{}}"#, "two events, `uplink_message` and `join_accept`"),
        (r#"{"uplink_message":{},"uplink_message":{}}"#, "`uplink_message` is there twice"),
        (r#"{"uplink_message":{},"uplink\u005fmessage":{}}"#, "`uplink_message` is there twice"),
        (r#"{"uplink_message":{},"end_device_ids":{},"end_device_ids":{}}"#, "`end_device_ids` is there twice"),
        (
            r#"{"uplink_message":{},"end_device_ids":{"device_id":"a","device_id":"b"}}"#,
            "`end_device_ids.device_id` is there twice",
        ),
        (
            r#"{"uplink_message":{},"end_device_ids":{"device_id":"a","device_id":null}}"#,
            "`end_device_ids.device_id` is there twice",
        ),
        (
            r#"{"uplink_message":{},"end_device_ids":{"application_ids":{"application_id":"a","application_id":"a"}}}"#,
            "`end_device_ids.application_ids.application_id` is there twice",
        ),
        (r#"{"app_id":"a","dev_id":"b","dev_id":"c","counter":1}"#, "`dev_id` is there twice"),
    ] {
        assert!(detail(body).contains(said), "{body}: {}", detail(body));
    }
    // Nothing to choose from: absent, and null which says the same.
    assert!(read(br#"{"uplink_message":{},"join_accept":null}"#).is_ok());
}

#[test]
fn identity_of_the_wrong_type_is_not_understood_and_named() {
    for (body, said) in [
        (r#"{"uplink_message":[]}"#, "`uplink_message` is an array, not an object"),
        (r#"{"uplink_message":{},"end_device_ids":"x"}"#, "`end_device_ids` is a string, not an object"),
        (
            r#"{"uplink_message":{},"end_device_ids":{"device_id":7}}"#,
            "`end_device_ids.device_id` is a number, not a string",
        ),
        (
            r#"{"uplink_message":{},"end_device_ids":{"application_ids":[]}}"#,
            "`end_device_ids.application_ids` is an array, not an object",
        ),
        (
            r#"{"uplink_message":{},"end_device_ids":{"dev_eui":true}}"#,
            "`end_device_ids.dev_eui` is true or false, not a string",
        ),
        (
            r#"{"uplink_message":{},"end_device_ids":{"device_id":"\ud800"}}"#,
            "`end_device_ids.device_id` holds half of a surrogate pair",
        ),
        (r#"{"app_id":{},"dev_id":"b","counter":1}"#, "`app_id` is an object, not a string"),
    ] {
        assert_eq!(detail(body), said);
    }
}

#[test]
fn strangers_are_told_what_they_sent() {
    for (body, said) in [
        (
            r#"{"name":"as.up.data.forward","identifiers":[],"data":{}}"#,
            "as the Console shows it; the message itself is under `data`",
        ),
        (r#"{"format":"json","payload":{},"topic":"x"}"#, "under `payload`"),
        (r#"{"result":{}}"#, "under `result`"),
        (r#"{"downlinks":[]}"#, "request for a downlink"),
        (r#"{"end_device_ids":{}}"#, "field mask"),
        (r#"{"deviceInfo":{}}"#, "ChirpStack"),
        (r#"{"dev_id":"a","port":1,"payload_raw":"AQ=="}"#, "V2 downlink"),
        (r#"{"a b":1,"NNSXS.SECRET":2,"ok":3}"#, "it holds `…`, `…`, `ok`"),
    ] {
        assert!(detail(body).contains(said), "{body}: {}", detail(body));
    }
}

#[test]
fn a_needed_field_of_the_wrong_type_is_named() {
    let read = |inside: &str| {
        let body = v3("uplink_message").replace(r#""uplink_message":{}"#, &format!(r#""uplink_message":{{{inside}}}"#));
        uplink::read(Format::TtsV3, body.as_bytes()).map(drop).map_err(|error| error.to_string())
    };
    for (inside, said) in [
        (r#""f_port":{}"#, "`uplink_message.f_port` is an object, not a number"),
        (r#""f_port":256"#, "`uplink_message.f_port` is no whole number from 0 to 255"),
        (r#""f_cnt":-1"#, "`uplink_message.f_cnt` is no whole number from 0 to 4294967295"),
        (r#""frm_payload":[1]"#, "`uplink_message.frm_payload` is an array, not a string"),
        (r#""frm_payload":"AQ==","frm_payload":"Ag==""#, "`uplink_message.frm_payload` is there twice"),
        (r#""decoded_payload":{},"decoded_payload":{}"#, "`uplink_message.decoded_payload` is there twice"),
        (r#""session_key_id":1"#, "`uplink_message.session_key_id` is a number, not a string"),
    ] {
        assert_eq!(read(inside), Err(said.to_owned()));
    }
    // What nobody needs may be anything; a clock that is wrong costs nobody a message.
    for inside in [
        r#""settings":7,"rx_metadata":"x","locations":null,"version_ids":[]"#,
        r#""received_at":7"#,
        r#""received_at":{}"#,
        r#""f_port":"15","f_cnt":"4294967295""#,
    ] {
        assert_eq!(read(inside), Ok(()), "{inside}");
    }
}

#[test]
fn times_that_are_none_count_as_absent() {
    let time = |written: &str| {
        let body = format!(r#"{{"uplink_message":{{"received_at":"{written}"}}}}"#);
        uplink::read(Format::TtsV3, body.as_bytes()).expect("an uplink").received_at.map(|time| time.text.into_owned())
    };
    for written in [
        "",
        "0001-01-01T00:00:00Z",
        "2020-02-12T15:15...",
        "yesterday",
        "2020-02-30T00:00:00Z",
        "2020-02-12 15:15:45Z",
        "2020-02-12T15:15:45",
        "2020-02-12T15:15:45.Z",
        "2020-02-12T15:15:45Z[UTC]",
        "20200212T151545Z",
        "2020-02-12T25:15:45Z",
        "2020-02-12T15:15:45.1234567890Z",
    ] {
        assert_eq!(time(written), None, "{written}");
    }
    for written in [
        "2020-02-12T15:15:45Z",
        "2020-02-12T15:15:45.789585559Z",
        "1970-01-01T00:00:00Z",
        "2020-02-12T15:15:45.7+02:00",
    ] {
        assert_eq!(time(written).as_deref(), Some(written));
    }
}

#[test]
fn the_session_key_says_that_a_payload_is_encrypted_also_after_it_is_gone() {
    let body = br#"{"uplink_message":{"frm_payload":"Kx8=","app_s_key":{"key":"AAAA"}}}"#;
    for body in [body.to_vec(), lorawan::secrets::strip(body).into_owned()] {
        assert!(uplink::read(Format::TtsV3, &body).expect("an uplink").encrypted);
    }
    assert!(!uplink::read(Format::TtsV3, br#"{"uplink_message":{"app_s_key":null}}"#).expect("an uplink").encrypted);
}
