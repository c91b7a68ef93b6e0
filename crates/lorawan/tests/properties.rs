//! What holds for every JSON, however it is spelled.

use lorawan::envelope::{self, Format};
use lorawan::ordered::{Members, Shape};
use lorawan::secrets::strip;
use lorawan::{fingerprint, uplink};
use proptest::prelude::*;
use serde_json::value::RawValue;

/// A JSON value whose numbers are texts.
#[derive(Clone, Debug, PartialEq)]
enum Json {
    Plain(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

const CANARY: &str = "canary-7f3a";
const SECRETS: [&str; 8] =
    ["downlink_url", "nwk_key", "session_keys", "keys", "rootKeys", "downlink_api_key", "X-Downlink-Apikey", "appKey"];
const USERS: [&str; 4] = ["decoded_payload", "payload_fields", "normalized_payload", "attributes"];

fn json() -> impl Strategy<Value = Json> {
    let number = prop_oneof!["-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", Just("-0.0".to_owned())];
    let leaf = prop_oneof![
        number.prop_map(Json::Plain),
        prop::sample::select(vec!["true", "false", "null"]).prop_map(|word| Json::Plain(word.to_owned())),
        ".{0,8}".prop_map(Json::Text),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Json::List),
            prop::collection::vec((key(), inner), 0..5).prop_map(Json::Object),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![".{0,6}", "[a-z_]{1,8}", prop::sample::select(USERS.to_vec()).prop_map(str::to_owned)]
}

/// Random choices of spelling: spaces between tokens, and which characters are escaped.
#[derive(Clone, Debug)]
struct Spelling(Vec<u8>, usize);

impl Spelling {
    fn next(&mut self) -> u8 {
        self.1 += 1;
        self.0[self.1 % self.0.len()]
    }

    fn space(&mut self, out: &mut String) {
        out.push_str(["", "", " ", "\n\t", "  "][usize::from(self.next() % 5)]);
    }

    fn text(&mut self, text: &str, out: &mut String) {
        out.push('"');
        for letter in text.chars() {
            let must = matches!(letter, '"' | '\\') || letter < ' ';
            if must || self.next().is_multiple_of(4) {
                letter.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
            } else {
                out.push(letter);
            }
        }
        out.push('"');
    }

    fn write(&mut self, json: &Json, out: &mut String) {
        self.space(out);
        match json {
            Json::Plain(word) => out.push_str(word),
            Json::Text(text) => self.text(text, out),
            Json::List(elements) => {
                self.bracketed('[', ']', elements, out, |this, element, out| this.write(element, out))
            }
            Json::Object(members) => self.bracketed('{', '}', members, out, |this, (key, value), out| {
                this.space(out);
                this.text(key, out);
                this.space(out);
                out.push(':');
                this.write(value, out);
            }),
        }
        self.space(out);
    }

    fn bracketed<T>(
        &mut self,
        open: char,
        close: char,
        items: &[T],
        out: &mut String,
        one: fn(&mut Self, &T, &mut String),
    ) {
        out.push(open);
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            one(self, item, out);
        }
        out.push(close);
    }
}

fn spelled(json: &Json, spelling: &Spelling) -> String {
    let mut out = String::new();
    spelling.clone().write(json, &mut out);
    out
}

fn spelling() -> impl Strategy<Value = Spelling> {
    prop::collection::vec(any::<u8>(), 1..40).prop_map(|choices| Spelling(choices, 0))
}

/// Reads by another way than the code under test: only through `serde_json`'s raw values.
fn parsed(raw: &RawValue) -> Json {
    match Shape::of(raw) {
        Shape::Object => Json::Object(
            Members::of(raw)
                .expect("an object")
                .iter()
                .map(|member| (serde_json::from_str(member.key_text).expect("a key"), parsed(member.value)))
                .collect(),
        ),
        Shape::Array => Json::List(
            serde_json::from_str::<Vec<&RawValue>>(raw.get()).expect("an array").into_iter().map(parsed).collect(),
        ),
        Shape::String => Json::Text(serde_json::from_str(raw.get()).expect("a string")),
        _ => Json::Plain(raw.get().to_owned()),
    }
}

/// Puts secrets into the objects outside the users' data, at places chosen by `choices`.
fn planted(json: &Json, choices: &mut impl Iterator<Item = u8>) -> Json {
    match json {
        Json::List(elements) => Json::List(elements.iter().map(|element| planted(element, choices)).collect()),
        Json::Object(members) => {
            let mut planted_members = Vec::new();
            for (key, value) in members {
                plant(&mut planted_members, choices);
                let users = USERS.contains(&key.as_str());
                planted_members.push((key.clone(), if users { value.clone() } else { planted(value, choices) }));
            }
            plant(&mut planted_members, choices);
            Json::Object(planted_members)
        }
        leaf => leaf.clone(),
    }
}

fn plant(members: &mut Vec<(String, Json)>, choices: &mut impl Iterator<Item = u8>) {
    let choice = choices.next().unwrap_or(0);
    if choice % 2 == 1 {
        let name = SECRETS[usize::from(choice / 2) % SECRETS.len()].to_owned();
        let text = Json::Text(CANARY.to_owned());
        let value = if choice > 200 { Json::Object(vec![("x".to_owned(), Json::List(vec![text]))]) } else { text };
        members.push((name, value));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn secrets_go_and_all_else_stays(json in json(), spelling in spelling(), choices in prop::collection::vec(any::<u8>(), 1..60)) {
        let with = planted(&json, &mut choices.into_iter().cycle());
        let body = spelled(&with, &spelling);
        let left = strip(body.as_bytes());
        let left = std::str::from_utf8(&left).expect("UTF-8");
        let raw: &RawValue = serde_json::from_str(left).expect("what is left is JSON");
        prop_assert_eq!(parsed(raw), json, "{}", left);
        prop_assert!(!left.contains(CANARY));
        // What is left is the body with pieces cut out: nothing was written anew.
        let mut rest = body.chars();
        prop_assert!(left.chars().all(|letter| rest.any(|other| other == letter)), "{body}\n{left}");
        // And twice is once.
        prop_assert!(matches!(strip(left.as_bytes()), std::borrow::Cow::Borrowed(_)), "{}", left);
    }

    #[test]
    fn without_secrets_no_byte_changes(json in json(), spelling in spelling()) {
        let body = spelled(&json, &spelling);
        let left = strip(body.as_bytes());
        prop_assert_eq!(left.as_ref(), body.as_bytes());
    }

    #[test]
    fn anything_at_all_is_answered(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = envelope::read(&body);
        let _ = strip(&body);
        let _ = lorawan::secrets::strip_protobuf(&body);
    }

    #[test]
    fn members_come_as_written(json in prop::collection::vec((".{0,6}", json()), 0..6), spelling in spelling()) {
        let body = spelled(&Json::Object(json.clone()), &spelling);
        let members: Members<'_> = serde_json::from_str(&body).expect("an object");
        prop_assert_eq!(members.len(), json.len());
        let mut from = 0;
        for (member, (key, value)) in members.iter().zip(&json) {
            prop_assert_eq!(member.key().expect("Unicode"), key.as_str());
            prop_assert_eq!(&parsed(member.value), value);
            // Key and value stand in the body in this order, as they are.
            from += body[from..].find(member.key_text).expect("the key as written") + member.key_text.len();
            from += body[from..].find(member.value.get()).expect("the value as written") + member.value.get().len();
        }
    }

    #[test]
    fn the_same_message_spelled_otherwise_has_the_same_fingerprint(
        decoded in prop::collection::vec((".{0,6}", json()), 0..6), a in spelling(), b in spelling(), turn in any::<prop::sample::Index>()
    ) {
        let mut turned = decoded.clone();
        turned.dedup_by(|a, b| a.0 == b.0);
        let mut keys = std::collections::HashSet::new();
        turned.retain(|(key, _)| keys.insert(key.clone()));
        let one = message(&Json::Object(turned.clone()));
        if !turned.is_empty() {
            let by = turn.index(turned.len());
            turned.rotate_left(by);
        }
        let mut other = message(&Json::Object(turned));
        if let Json::Object(members) = &mut other {
            members.reverse();
        }
        prop_assert_eq!(of(&spelled(&one, &a)), of(&spelled(&other, &b)));
    }

    #[test]
    fn another_content_has_another_fingerprint(a in json(), b in json(), spelling in spelling()) {
        let same = sorted(&a) == sorted(&b);
        let fingerprints = [a, b].map(|json| of(&spelled(&message(&Json::Object(vec![("x".to_owned(), json)])), &spelling)));
        prop_assert_eq!(fingerprints[0] == fingerprints[1], same);
    }
}

fn message(decoded: &Json) -> Json {
    let text = |text: &str| Json::Text(text.to_owned());
    Json::Object(vec![
        ("end_device_ids".to_owned(), Json::Object(vec![("device_id".to_owned(), text("dev1"))])),
        ("received_at".to_owned(), text("2026-02-12T15:15:46.014773143Z")),
        (
            "uplink_message".to_owned(),
            Json::Object(vec![
                ("f_port".to_owned(), Json::Plain("1".to_owned())),
                ("frm_payload".to_owned(), text("AQI=")),
                ("decoded_payload".to_owned(), decoded.clone()),
            ]),
        ),
    ])
}

fn of(body: &str) -> fingerprint::Fingerprint {
    fingerprint::of("ttn", &uplink::read(Format::TtsV3, body.as_bytes()).expect("an uplink"))
}

fn sorted(json: &Json) -> Json {
    match json {
        Json::List(elements) => Json::List(elements.iter().map(sorted).collect()),
        Json::Object(members) => {
            let mut members: Vec<_> = members.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Json::Object(members)
        }
        leaf => leaf.clone(),
    }
}

#[test]
fn every_part_of_a_message_is_in_its_fingerprint() {
    let body = r#"{"end_device_ids":{"device_id":"dev1","application_ids":{"application_id":"app1"}},"uplink_message":{"session_key_id":"AXA5","f_port":1,"f_cnt":8,"frm_payload":"AQI=","decoded_payload":{"a":1,"b":[1.0]},"received_at":"2026-02-12T15:15:45.8Z"}}"#;
    let mut seen = std::collections::HashSet::from([of(body)]);
    for (from, to) in [
        ("dev1", "dev2"),
        ("app1", "app2"),
        ("AXA5", "AXA6"),
        (r#""f_port":1"#, r#""f_port":2"#),
        (r#""f_cnt":8"#, r#""f_cnt":9"#),
        ("AQI=", "AQM="),
        (r#""a":1"#, r#""a":2"#),
        ("[1.0]", "[1]"),
        ("45.8Z", "45.9Z"),
        (r#","decoded_payload":{"a":1,"b":[1.0]}"#, ""),
    ] {
        assert!(seen.insert(of(&body.replace(from, to))), "{from}");
    }
    let uplink = uplink::read(Format::TtsV3, body.as_bytes()).expect("an uplink");
    assert!(seen.insert(fingerprint::of("another network", &uplink)));
    // What the network adds around a message is not the message.
    assert!(!seen.insert(of(&body.replace(r#""f_port":1"#, r#""f_port":1,"rx_metadata":[{"rssi":-3}]"#))));
}

#[test]
fn a_value_deeper_than_any_counts_by_its_text() {
    let deep = |inner: &str| {
        let value = format!("{}{inner}{}", "[".repeat(100_000), "]".repeat(100_000));
        of(&format!(r#"{{"uplink_message":{{"decoded_payload":{{"a":{value}}}}}}}"#))
    };
    assert_ne!(deep("1"), deep("2"));
    assert_eq!(deep("1"), deep("1"));
}
