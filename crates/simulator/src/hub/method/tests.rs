use super::*;
use crate::endpoint::HubId;

fn refused(body: &str) -> (u16, u32) {
    let refusal = Invocation::parse(body.as_bytes()).unwrap_err();
    (refusal.status, refusal.code)
}

fn d(id: &str) -> Endpoint {
    Endpoint::device(HubId(0), id)
}

#[test]
fn an_invocation_is_read_as_sdks_write_it() {
    let node = r#"{"methodName":"reboot","payload":{"n":1.50,"big":12345678901234567890},"responseTimeoutInSeconds":15,"connectTimeoutInSeconds":7}"#;
    let found = Invocation::parse(node.as_bytes()).unwrap();
    assert_eq!(found.payload, r#"{"n":1.50,"big":12345678901234567890}"#, "as it was written");
    assert_eq!((found.response_within.as_secs(), found.connect_within.as_secs()), (15, 7));
    let python =
        r#"{"methodName":"a*b","payload":null,"responseTimeoutInSeconds":null,"connectTimeoutInSeconds":null}"#;
    let found = Invocation::parse(python.as_bytes()).unwrap();
    assert_eq!((found.name.as_str(), &found.payload[..]), ("a*b", &b"null"[..]));
    assert_eq!((found.response_within.as_secs(), found.connect_within.as_secs()), (30, 0));
    assert_eq!(Invocation::parse(br#"{"methodName":"x"}"#).unwrap().payload, "null");
}

#[test]
fn what_cannot_be_asked_is_refused() {
    for body in ["", "[]", "{", r#"{"methodName":7}"#, r#"{"methodName":"x","responseTimeoutInSeconds":-1}"#] {
        assert_eq!(refused(body), (400, 400_012), "{body}");
    }
    let long = format!(r#"{{"methodName":"{}"}}"#, "n".repeat(129));
    for body in [
        "{}",
        r#"{"methodName":""}"#,
        r#"{"methodName":"a/b"}"#,
        r#"{"methodName":"a\nb"}"#,
        &long,
        r#"{"methodName":"x","responseTimeoutInSeconds":4}"#,
        r#"{"methodName":"x","responseTimeoutInSeconds":301}"#,
        r#"{"methodName":"x","connectTimeoutInSeconds":301}"#,
    ] {
        assert_eq!(refused(body), (400, 400_004), "{body}");
    }
    let of = |bytes: usize| format!(r#"{{"methodName":"x","payload":"{}"}}"#, "p".repeat(bytes - 2));
    assert!(Invocation::parse(of(PAYLOAD_BYTES_MAX).as_bytes()).is_ok());
    assert_eq!(refused(&of(PAYLOAD_BYTES_MAX + 1)), (413, 413_001));
}

#[test]
fn an_answer_is_json_or_nothing_and_told_as_it_was_written() {
    let answer = |status, payload: &str| Answer::new(status, Bytes::copy_from_slice(payload.as_bytes()));
    assert_eq!(answer(200, r#"{"a":1.0}"#).unwrap().body(), r#"{"status":200,"payload":{"a":1.0}}"#);
    assert_eq!(answer(-7, "").unwrap().body(), r#"{"status":-7,"payload":null}"#);
    for nonsense in ["{", "1 2", "\u{0}"] {
        assert_eq!(answer(200, nonsense).unwrap_err().status, 400, "{nonsense:?}");
    }
    assert_eq!(Answer::new(200, Bytes::from_static(b"\"\xff\"")).unwrap_err().status, 400);
    assert_eq!(answer(200, &"1".repeat(PAYLOAD_BYTES_MAX + 1)).unwrap_err().status, 413);
}

#[test]
fn only_who_was_asked_answers_and_only_once() {
    let mut pending = Pending::default();
    pending.add(&d("d1"), [7; 16], "caller").unwrap();
    assert_eq!(pending.take(&d("d2"), [7; 16]), None);
    assert_eq!(pending.take(&Endpoint::module(HubId(0), "d1", "m"), [7; 16]), None);
    assert_eq!(pending.take(&d("d1"), [7; 16]), Some("caller"));
    assert_eq!(pending.take(&d("d1"), [7; 16]), None);
}

#[test]
fn a_device_that_answers_nothing_is_not_asked_for_ever() {
    let mut pending = Pending::default();
    for n in 0..IN_FLIGHT_OF_ONE_MAX {
        pending.add(&d("d1"), [n as u8; 16], ()).unwrap();
    }
    assert_eq!(pending.add(&d("d1"), [99; 16], ()).unwrap_err().code, 403_800);
    pending.add(&d("d0"), [0; 16], ()).expect("others are asked");
    pending.add(&d("d2"), [0; 16], ()).expect("others are asked");
    pending.take(&d("d1"), [0; 16]);
    pending.add(&d("d1"), [99; 16], ()).expect("there is room again");
}
