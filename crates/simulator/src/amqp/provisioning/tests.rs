//! A device's way through registration, and every way it can be refused.

use std::sync::Arc;

use amqp::message::MessageId;
use serde_json::{Value as Json, json};

use super::*;
use crate::cloud::tests::{GROUP, NOW_MS, cloud_with};
use crate::faults::{DpsFaults, DpsRefusal, DpsRefuse, Faults, Throttle, When};
use crate::sas;

const ID: &str = "eui-1";

fn cloud(dps: DpsFaults) -> Arc<Cloud> {
    cloud_with(&[], Faults { dps, ..Faults::default() }).0
}

fn token() -> String {
    let key = sas::derive_key(GROUP, ID).unwrap();
    sas::tests::signed_until(&format!("0ne1/registrations/{ID}"), &key, NOW_MS / 1000 + 60)
}

fn asked(cloud: &Cloud, token: &str, request: &Message) -> Result<Message, Error> {
    let call =
        DpsCall { api_version: Some("2019-03-31"), scope: "0ne1", registration_id: ID, authorization: Some(token) };
    answer(cloud, &call, request, "tracking-1")
}

fn request(pairs: &[(&str, &str)], body: Body) -> Message {
    Message {
        properties: Properties { correlation_id: Some("c-1".into()), ..Properties::default() },
        application_properties: pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect(),
        body,
        ..Message::default()
    }
}

fn register(body: &'static str) -> Message {
    request(&[(OPERATION_TYPE, "iotdps-register")], Body::Data(vec![Bytes::from_static(body.as_bytes())]))
}

/// As Node polls: the body is an empty string.
fn poll(operation: &str) -> Message {
    let pairs = [(OPERATION_TYPE, "iotdps-get-operationstatus"), (OPERATION_ID, operation)];
    request(&pairs, Body::Value("".into()))
}

fn json_of(message: &Message) -> Json {
    let Body::Data(sections) = &message.body else { panic!("data is wanted") };
    serde_json::from_slice(&sections.concat()).unwrap()
}

fn refused(dps: DpsFaults, request: &Message) -> Error {
    asked(&cloud(dps), &token(), request).unwrap_err()
}

/// The error's description, which is JSON.
fn described(error: &Error) -> Json {
    serde_json::from_str(error.description.as_deref().unwrap()).unwrap()
}

#[test]
fn a_device_registers_polls_and_is_assigned() {
    let cloud = cloud(DpsFaults::default());
    let begun = asked(&cloud, &token(), &register(r#"{"registrationId":"eui-1"}"#)).unwrap();
    assert_eq!(begun.properties.correlation_id, Some(MessageId::String("c-1".to_owned())));
    let seconds = [("retry-after", 3), ("Retry-After", 3)].map(|(name, s)| (name.to_owned(), Value::Int(s)));
    assert_eq!(begun.application_properties, seconds);
    let operation = json_of(&begun)["operationId"].as_str().unwrap().to_owned();
    assert_eq!(json_of(&begun), json!({"operationId": operation, "status": "assigning"}));

    let pending = asked(&cloud, &token(), &poll(&operation)).unwrap();
    assert_eq!((json_of(&pending)["status"].as_str(), pending.application_properties.len()), (Some("assigning"), 2));
    let assigned = asked(&cloud, &token(), &poll(&operation)).unwrap();
    assert_eq!(assigned.application_properties, []);
    let json = json_of(&assigned);
    assert_eq!((&json["status"], &json["registrationState"]["assignedHub"]), (&"assigned".into(), &"hub1".into()));

    let looked_up = asked(&cloud, &token(), &request(&[(OPERATION_TYPE, "iotdps-get-registration")], Body::Empty));
    assert_eq!(json_of(&looked_up.unwrap())["deviceId"], ID);
}

#[test]
fn a_body_may_be_missing_or_wrapped_in_another_way() {
    let split = Body::Data(vec![Bytes::from_static(b"{\"registration"), Bytes::from_static(b"Id\":\"eui-1\"}")]);
    for body in [Body::Empty, Body::Data(vec![]), Body::Value(Value::Null), Body::Value("{}".into()), split] {
        let request = request(&[(OPERATION_TYPE, "iotdps-register")], body);
        assert!(asked(&cloud(DpsFaults::default()), &token(), &request).is_ok(), "{request:?}");
    }
    let split = Body::Data(vec![Bytes::from_static(b"{\"registrationId\":"), Bytes::from_static(b"\"other\"}")]);
    let error = refused(DpsFaults::default(), &request(&[(OPERATION_TYPE, "iotdps-register")], split));
    assert_eq!(error.condition.as_str(), "com.microsoft:argument-error");
}

#[test]
fn answers_name_their_request_in_its_own_type() {
    for (correlation_id, message_id, expected) in [
        (Some(MessageId::Uuid([1; 16])), None, MessageId::Uuid([1; 16])),
        (Some(MessageId::Ulong(1)), Some("m".into()), MessageId::Ulong(1)),
        (None, Some(MessageId::Ulong(2)), MessageId::Ulong(2)),
    ] {
        let mut request = register("{}");
        request.properties = Properties { correlation_id, message_id, ..Properties::default() };
        let answer = asked(&cloud(DpsFaults::default()), &token(), &request).unwrap();
        assert_eq!(answer.properties.correlation_id, Some(expected));
    }
}

#[test]
fn a_wrong_token_is_refused_with_the_services_json() {
    let error = asked(&cloud(DpsFaults::default()), "SharedAccessSignature x", &register("{}")).unwrap_err();
    assert_eq!((error.condition.as_str(), error.info.is_empty()), ("amqp:unauthorized-access", true));
    let expected = json!({"errorCode": 401_002, "trackingId": "tracking-1", "message": "Unauthorized", "timestampUtc": "2026-01-01T00:00:00.0000000Z"});
    assert_eq!(described(&error), expected);
}

#[test]
fn a_throttled_device_is_told_how_long_to_wait() {
    let throttle = |retry_after_s| DpsFaults {
        throttle: Some(Throttle { when: When::Always, retry_after_s }),
        ..DpsFaults::default()
    };
    let error = refused(throttle(Some(10)), &register("{}"));
    assert_eq!(error.condition.as_str(), "com.microsoft:device-container-throttled");
    let seconds = [("retry-after", 10), ("Retry-After", 10)].map(|(name, s)| (Symbol::known(name), Value::Int(s)));
    assert_eq!(error.info, Fields(seconds.into()));
    assert_eq!(described(&error)["errorCode"], 429_001);
    assert!(refused(throttle(None), &register("{}")).info.is_empty());
}

#[test]
fn refusals_have_the_condition_of_their_status() {
    for (status, expected) in [
        (400, "com.microsoft:argument-error"),
        (401, "amqp:unauthorized-access"),
        (404, "amqp:not-found"),
        (409, "amqp:precondition-failed"),
        (412, "amqp:precondition-failed"),
        (413, "amqp:link:message-size-exceeded"),
        (415, "com.microsoft:argument-error"),
        (429, "com.microsoft:device-container-throttled"),
        (500, "amqp:internal-error"),
        (503, "amqp:internal-error"),
    ] {
        let answer = DpsRefusal::Status { status, error_code: u32::from(status) * 1000 };
        let refuse = vec![DpsRefuse { ids: vec![], answer }];
        let error = refused(DpsFaults { refuse, ..DpsFaults::default() }, &register("{}"));
        assert_eq!(error.condition.as_str(), expected, "{status}");
    }
}

#[test]
fn requests_that_are_none_are_refused() {
    for (request, expected) in [
        (request(&[], Body::Empty), "com.microsoft:argument-error"),
        (request(&[(OPERATION_TYPE, "iotdps-delete")], Body::Empty), "com.microsoft:argument-error"),
        (register("{"), "com.microsoft:argument-error"),
        (poll("5.0.0"), "amqp:not-found"),
        (poll(""), "amqp:not-found"),
    ] {
        assert_eq!(refused(DpsFaults::default(), &request).condition.as_str(), expected, "{request:?}");
    }
}

#[test]
fn the_version_is_the_links() {
    let named = |value: Value| Fields::default().with(API_VERSION, value);
    assert_eq!(api_version(&named("2019-03-31".into())), Some("2019-03-31"));
    assert_eq!(api_version(&named(Value::Symbol("2021-06-01".into()))), Some("2021-06-01"));
    assert_eq!((api_version(&named(Value::Int(1))), api_version(&Fields::default())), (None, None));
    let call = DpsCall { api_version: None, scope: "0ne1", registration_id: ID, authorization: Some(&token()) };
    let error = answer(&cloud(DpsFaults::default()), &call, &register("{}"), "t").unwrap_err();
    assert_eq!(error.condition.as_str(), "com.microsoft:argument-error");
}

#[test]
fn an_answer_survives_the_wire() {
    let message = asked(&cloud(DpsFaults::default()), &token(), &register("{}")).unwrap();
    assert_eq!(Message::decode(&message.to_bytes()).unwrap(), message);
}
