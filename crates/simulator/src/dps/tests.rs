//! Who may register and what is answered, without a socket.

use super::operations::OPERATIONS_MAX;
use super::*;
use crate::identity::Keys;
use crate::random::Random;
use crate::sas;
use crate::setup::{Allocation, Reprovision};

mod assignments; // which hub, and from which

const GROUP: &str = "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw==";
const OTHER_GROUP: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
/// Signed with the key that `GROUP` gives to this device; from the protocol notes.
const TOKEN: &str = "SharedAccessSignature sr=0ne00AAAA01%2Fregistrations%2Feui-70b3d57ed0051234&sig=yy%2BqHbveEuVRpmj2TJsvlqkDE1pX3UkCS%2B3c8c78p54%3D&se=1767225600&skn=registration";
const ID: &str = "eui-70b3d57ed0051234";
const BEFORE_MS: i64 = 1_767_225_000_000;

/// A group for tests.
pub(crate) fn group(name: &str, primary: &str, secondary: &str, hubs: &[String]) -> Group {
    Group {
        name: name.to_owned(),
        keys: Keys { primary: primary.to_owned(), secondary: secondary.to_owned() },
        hubs: hubs.to_vec(),
        allocation: Allocation::Hashed,
        reprovision: Reprovision::Migrate,
        is_enabled: true,
        payload: None,
    }
}

fn hubs(count: usize) -> Vec<String> {
    (1..=count).map(|at| format!("hub{at}.azure-devices.net")).collect()
}

fn scopes(groups: Vec<Group>) -> Scopes {
    Scopes(vec![Scope { id: "0ne00AAAA01".to_owned(), groups: groups.into_iter().map(Arc::new).collect() }])
}

fn admitted(primary: &str, secondary: &str, scope: &str, id: &str, now_ms: i64) -> Result<Keys, u32> {
    let scopes = scopes(vec![group("g", primary, secondary, &hubs(1))]);
    scopes.admit(scope, id, Some(TOKEN), now_ms).map(|admitted| admitted.keys).map_err(|refusal| refusal.code)
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
fn a_registration_belongs_to_the_group_whose_key_signed() {
    let scopes = scopes(vec![group("a", OTHER_GROUP, OTHER_GROUP, &hubs(1)), group("b", OTHER_GROUP, GROUP, &hubs(1))]);
    let by = |token: &str| scopes.admit("0NE00aaaa01", ID, Some(token), BEFORE_MS).map(|it| it.group.name.clone());
    assert_eq!(by(TOKEN).as_deref(), Ok("b"));
    let other = sas::derive_key(OTHER_GROUP, ID).unwrap();
    let token = sas::tests::signed_until(&format!("0ne00AAAA01/registrations/{ID}"), &other, BEFORE_MS / 1000 + 60);
    assert_eq!(by(&token).as_deref(), Ok("a"));
}

#[test]
fn the_group_key_itself_signs_nothing() {
    let derived = sas::derive_key(GROUP, ID).unwrap();
    assert!(!admits(GROUP), "the group key was taken for a device's");
    assert!(admits(&derived));
}

/// Whether a token signed with `key` is admitted.
fn admits(key: &str) -> bool {
    let token = sas::tests::signed_until(&format!("0ne00AAAA01/registrations/{ID}"), key, BEFORE_MS / 1000 + 60);
    scopes(vec![group("g", GROUP, GROUP, &hubs(1))]).admit("0ne00AAAA01", ID, Some(&token), BEFORE_MS).is_ok()
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
        assert_eq!(read_register_body("d1", body.as_bytes()).map(drop), Ok(()), "{body}");
    }
    for body in ["{", r#"{"registrationId":"d2"}"#, r#"{"registrationId":7}"#] {
        assert_eq!(read_register_body("d1", body.as_bytes()).map_err(|r| r.status), Err(400), "{body}");
    }
}

#[test]
fn an_operation_is_put_off_as_often_as_asked_and_then_stays_final() {
    let mut operations = Operations::default();
    let outcome = Outcome::Disabled { registration_id: "d1".to_owned() };
    let begun = operations.begin("s", outcome, 2, &Random::default());
    assert!(begun.is_pending && begun.operation_id.starts_with("5."));
    let mut words = Vec::new();
    for _ in 0..4 {
        words.push(operations.poll("S", "D1", &begun.operation_id).unwrap().status);
    }
    assert_eq!(words, ["assigning", "assigning", "disabled", "disabled"]);
    assert_eq!(
        operations.poll("s", "d2", &begun.operation_id).map_err(|r| r.code),
        Err(404_202),
        "another device's operation"
    );
    assert_eq!(operations.poll("t", "d1", &begun.operation_id).map_err(|r| r.code), Err(404_202), "another scope's");
    assert_eq!(operations.poll("s", "d1", "5.0.0").map_err(|r| r.code), Err(404_202));
}

#[test]
fn operations_are_bounded_and_the_oldest_go_first() {
    let mut operations = Operations::default();
    let random = Random::default();
    let begin = |operations: &mut Operations| {
        operations.begin("s", refused("d1", &DpsRefusal::Disabled).unwrap(), 0, &random).operation_id
    };
    let first = begin(&mut operations);
    let second = begin(&mut operations);
    for _ in 0..OPERATIONS_MAX - 1 {
        begin(&mut operations);
    }
    assert!(operations.poll("s", "d1", &first).is_err());
    assert!(operations.poll("s", "d1", &second).is_ok());
    assert_eq!(operations.len(), OPERATIONS_MAX);
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
fn an_error_has_the_members_that_clients_read() {
    let body = Refusal::new(401, 401_002, "Unauthorized").body("t", 1_574_199_545_157);
    let expected = json!({"errorCode": 401_002, "trackingId": "t", "message": "Unauthorized", "timestampUtc": "2019-11-19T21:39:05.1570000Z"});
    assert_eq!(body, expected);
}
