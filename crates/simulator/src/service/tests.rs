//! Creating, changing and deleting device identities, without a socket.

use super::*;

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

fn call<'a>(verb: Verb, if_match: Option<&'a str>, body: &'a str) -> Call<'a> {
    Call { verb, device_id: "Dev", authorization: None, if_match, body: body.as_bytes() }
}

fn put_device(device: Option<&Device>, if_match: Option<&str>, body: &str) -> Result<Device, u32> {
    match decide(device, &call(Verb::Put, if_match, body), 0).map_err(|refusal| refusal.code)?.change {
        Change::Put(device) => Ok(device),
        other => panic!("not a put: {other:?}"),
    }
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
    let quoted = format!("\"{}\"", device.etag);
    let off = r#"{"status":"disabled"}"#;
    for if_match in ["*", "\"*\"", &quoted] {
        let changed = put_device(Some(&device), Some(if_match), off).unwrap();
        assert_eq!((changed.status, &changed.keys), (Status::Disabled, &device.keys));
        assert_ne!(changed.etag, device.etag);
    }
    assert_eq!(put_device(Some(&device), Some("\"old\""), off), Err(412_001));
    assert_eq!(put_device(Some(&device), None, off), Err(409_001));
    assert_eq!(put_device(None, Some("*"), off), Err(404_001));
}

#[test]
fn what_is_shown_has_the_members_of_the_registry_api() {
    let device = put_device(None, None, "{}").unwrap();
    let shown = decide(Some(&device), &call(Verb::Get, None, ""), 0).unwrap();
    assert_eq!(shown.change, Change::None);
    let body = shown.answer.body.unwrap();
    assert_eq!(body["authentication"]["symmetricKey"]["primaryKey"], device.keys.primary.as_str());
    assert_eq!((&body["status"], &body["authentication"]["type"]), (&json!("enabled"), &json!("sas")));
    assert_eq!(shown.answer.etag, Some(format!("\"{}\"", device.etag)));
}

#[test]
fn a_delete_answers_204_once() {
    let device = put_device(None, None, "{}").unwrap();
    let deleted = decide(Some(&device), &call(Verb::Delete, Some("*"), ""), 0).unwrap();
    assert_eq!((deleted.change, deleted.answer.status), (Change::Delete("Dev".to_owned()), 204));
    assert_eq!(decide(None, &call(Verb::Delete, None, ""), 0).map_err(|r| r.code), Err(404_001));
}

#[test]
fn bodies_and_ids_that_make_no_sense_are_refused() {
    assert_eq!(put_device(None, None, "{"), Err(400_012));
    assert_eq!(put_device(None, None, r#"{"deviceId":"other"}"#), Err(400_004));
    let bad_id = Call { device_id: "a/b", ..call(Verb::Put, None, "{}") };
    assert_eq!(decide(None, &bad_id, 0).map_err(|r| r.code), Err(400_004));
}
