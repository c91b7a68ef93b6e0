//! Who may register and what is answered, without a socket.

use super::*;
use crate::sas;

const GROUP: &str = "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw==";
const OTHER_GROUP: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
/// Signed with the key that `GROUP` gives to this device; from the protocol notes.
const TOKEN: &str = "SharedAccessSignature sr=0ne00AAAA01%2Fregistrations%2Feui-70b3d57ed0051234&sig=yy%2BqHbveEuVRpmj2TJsvlqkDE1pX3UkCS%2B3c8c78p54%3D&se=1767225600&skn=registration";
const ID: &str = "eui-70b3d57ed0051234";
const BEFORE_MS: i64 = 1_767_225_000_000;

fn admitted(primary: &str, secondary: &str, scope: &str, id: &str, now_ms: i64) -> Result<Keys, u32> {
    let group = Keys { primary: primary.to_owned(), secondary: secondary.to_owned() };
    let enrolment = Enrolment { id_scope: "0ne00AAAA01", group: &group };
    admit(&enrolment, scope, id, Some(TOKEN), now_ms).map_err(|refusal| refusal.code)
}

#[test]
fn either_group_key_admits_and_a_device_gets_both_keys() {
    let keys = admitted(GROUP, OTHER_GROUP, "0ne00AAAA01", ID, BEFORE_MS).unwrap();
    assert_eq!(Some(keys.primary), sas::derive_key(GROUP, ID));
    assert_eq!(Some(keys.secondary), sas::derive_key(OTHER_GROUP, ID));
    assert!(admitted(OTHER_GROUP, GROUP, "0ne00AAAA01", ID, BEFORE_MS).is_ok());
}

#[test]
fn another_key_scope_device_or_time_is_401002() {
    for refused in [
        admitted(OTHER_GROUP, OTHER_GROUP, "0ne00AAAA01", ID, BEFORE_MS),
        admitted(GROUP, GROUP, "0ne00AAAA02", ID, BEFORE_MS),
        admitted(GROUP, GROUP, "0ne00AAAA01", "eui-70b3d57ed0051235", BEFORE_MS),
        admitted(GROUP, GROUP, "0ne00AAAA01", ID, BEFORE_MS + 600_000),
    ] {
        assert_eq!(refused.err(), Some(401_002));
    }
}

#[test]
fn the_group_key_itself_signs_nothing() {
    let group = Keys { primary: GROUP.to_owned(), secondary: GROUP.to_owned() };
    let derived = sas::derive_key(GROUP, ID).unwrap();
    assert!(!admit_with(&group, GROUP), "the group key was taken for a device's");
    assert!(admit_with(&group, &derived));
}

/// Whether a token signed with `key` is admitted.
fn admit_with(group: &Keys, key: &str) -> bool {
    let enrolment = Enrolment { id_scope: "s", group };
    let token = sas::tests::signed_until(&format!("s/registrations/{ID}"), key, BEFORE_MS / 1000 + 60);
    admit(&enrolment, "s", ID, Some(&token), BEFORE_MS).is_ok()
}

#[test]
fn ids_and_versions_are_checked() {
    let long = "a".repeat(REGISTRATION_ID_CHARS_MAX);
    for id in ["a", "A1", "eui-70b3", "a.b_c:d", "a-", &long] {
        assert_eq!(check_call(Some("2019-03-31"), id), Ok(()), "{id}");
    }
    let longer = "a".repeat(REGISTRATION_ID_CHARS_MAX + 1);
    for id in ["", "-a", "a.", "a b", "a/b", "zürich", &longer] {
        assert_eq!(check_call(Some("2019-03-31"), id).map_err(|r| r.status), Err(400), "{id}");
    }
    for version in [None, Some("2017-01-01"), Some("")] {
        assert_eq!(check_call(version, "a").map_err(|r| r.status), Err(400), "{version:?}");
    }
}

#[test]
fn a_body_must_be_json_and_name_the_same_device() {
    for body in [
        "",
        r#"{"registrationId":"d1"}"#,
        r#"{"registrationId":"D1","payload":{"modelId":"dtmi:a;1"}}"#,
        r#"{"payload":null}"#,
    ] {
        assert_eq!(check_register_body("d1", body.as_bytes()), Ok(()), "{body}");
    }
    for body in ["{", r#"{"registrationId":"d2"}"#, r#"{"registrationId":7}"#] {
        assert_eq!(check_register_body("d1", body.as_bytes()).map_err(|r| r.status), Err(400), "{body}");
    }
}

#[test]
fn an_operation_is_put_off_as_often_as_asked_and_then_stays_final() {
    let mut operations = Operations::default();
    let outcome = Outcome::Assigned(registered(None, "d1", "hub", 0));
    let begun = operations.begin(outcome, 2);
    assert!(begun.is_pending && begun.operation_id.starts_with("5."));
    let mut words = Vec::new();
    for _ in 0..4 {
        words.push(operations.poll("D1", &begun.operation_id).unwrap().status);
    }
    assert_eq!(words, ["assigning", "assigning", "assigned", "assigned"]);
    assert_eq!(
        operations.poll("d2", &begun.operation_id).map_err(|r| r.code),
        Err(404_202),
        "another device's operation"
    );
    assert_eq!(operations.poll("d1", "5.0.0").map_err(|r| r.code), Err(404_202));
}

#[test]
fn operations_are_bounded_and_the_oldest_go_first() {
    let mut operations = Operations::default();
    let begin =
        |operations: &mut Operations| operations.begin(refused("d1", &DpsRefusal::Disabled).unwrap(), 0).operation_id;
    let first = begin(&mut operations);
    let second = begin(&mut operations);
    for _ in 0..OPERATIONS_MAX - 1 {
        begin(&mut operations);
    }
    assert!(operations.poll("d1", &first).is_err());
    assert!(operations.poll("d1", &second).is_ok());
    assert_eq!(operations.open.len(), OPERATIONS_MAX);
}

#[test]
fn bad_ends_have_their_status_and_reason() {
    let failed = DpsRefusal::Failed { error_code: 400_209, message: "waiting for approval".to_owned() };
    let state = refused("d1", &failed).unwrap().state();
    assert_eq!(
        state,
        json!({"registrationId": "d1", "status": "failed", "errorCode": 400_209, "errorMessage": "waiting for approval"})
    );
    assert_eq!(refused("d1", &DpsRefusal::Disabled).unwrap().word(), "disabled");
    let codes = [DpsRefusal::Unauthorized, DpsRefusal::NotEnrolled, DpsRefusal::NotFound]
        .map(|r| refused("d1", &r).unwrap_err());
    assert_eq!(codes.map(|r| (r.status, r.code)), [(401, 401_002), (401, 401_000), (404, 404_201)]);
}

#[test]
fn registering_again_keeps_name_and_first_date() {
    let first = registered(None, "d1", "hub1", 1_000);
    let again = registered(Some(&first), "D1", "hub2", 2_000);
    assert_eq!((again.device_id.as_str(), again.hub.as_str()), ("d1", "hub2"));
    assert_eq!((again.created_ms, again.updated_ms), (1_000, 2_000));
    assert_ne!(again.etag, first.etag);
}

#[test]
fn an_error_has_the_members_that_clients_read() {
    let body = Refusal::new(401, 401_002, "Unauthorized").body("t", 1_574_199_545_157);
    let expected = json!({"errorCode": 401_002, "trackingId": "t", "message": "Unauthorized", "timestampUtc": "2019-11-19T21:39:05.1570000Z"});
    assert_eq!(body, expected);
}
