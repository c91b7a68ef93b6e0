//! What a line says, and that it is there in time.

use super::*;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

fn recorded(body: &'static [u8]) -> Recorded {
    let telemetry = Telemetry {
        body: Bytes::from_static(body),
        message_id: Some("m-1".to_owned()),
        properties: [("Port".to_owned(), "1".to_owned())].into(),
        ..Telemetry::default()
    };
    Recorded::new("localhost", "d1", telemetry, 1_767_225_600_123)
}

#[test]
fn a_line_has_the_agreed_members_in_order() {
    let expected = r#"{"hub":"localhost","device_id":"d1","enqueued_at":"2026-01-01T00:00:00.123Z","message_id":"m-1","content_type":null,"properties":{"Port":"1"},"body":{"t":1}}"#;
    assert_eq!(recorded(br#"{"t":1}"#).line(), expected);
}

#[test]
fn json_bodies_stand_byte_for_byte() {
    for body in ["21.50", "1e400", "12345678901234567890123", r#"{"b":1,"a":"\u00fc","b":2}"#, "\"ü\"", "[1, 2]"] {
        assert!(recorded(Box::leak(body.as_bytes().into())).line().ends_with(&format!(r#""body":{body}}}"#)), "{body}");
    }
}

#[test]
fn a_body_with_line_ends_stays_one_line_and_the_same_value() {
    let line = recorded(b"{\n  \"a\": \"x\\ny\",\r\n  \"b\": 1\n}").line();
    assert!(!line.contains(['\n', '\r']));
    let value: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["body"], json!({"a": "x\ny", "b": 1}));
}

#[test]
fn other_bodies_stand_as_base64() {
    for (body, base64) in [(&b""[..], ""), (b"plain", "cGxhaW4="), (b"\x00\xff", "AP8="), (b"\"\xff\"", "Iv8i")] {
        let value: Value = serde_json::from_str(&recorded(body).line()).unwrap();
        assert_eq!((value.get("body"), &value["body_base64"]), (None, &json!(base64)));
    }
}

#[test]
fn deep_nesting_is_json_too() {
    let body = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    assert!(recorded(body.leak()).line().contains(r#""body":[["#));
}

#[test]
fn listeners_are_told_after_the_file_has_it() {
    let path = std::env::temp_dir().join(format!("record-listener-{}.jsonl", std::process::id()));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let listener: Listener = {
        let (seen, path) = (Arc::clone(&seen), path.clone());
        Arc::new(move |_| seen.lock().unwrap().push(std::fs::read_to_string(&path).unwrap().lines().count()))
    };
    let mut record = Record::open(Some(&path), Some(listener)).unwrap();
    record.append(&[recorded(b"1")]).unwrap();
    record.append(&[recorded(b"2"), recorded(b"3")]).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(*seen.lock().unwrap(), [1, 3, 3]);
}

#[test]
fn the_last_messages_are_bounded() {
    let mut record = Record::open(None, None).unwrap();
    for _ in 0..LAST_MAX + 5 {
        record.append(&[recorded(b"1")]).unwrap();
    }
    assert_eq!((record.last(usize::MAX).len(), record.last(3).len()), (LAST_MAX, 3));
}
