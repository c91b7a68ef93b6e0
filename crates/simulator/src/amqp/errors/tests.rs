//! Conditions and words, held against the list of conditions that clients know.

use super::*;
use crate::random::tests::stamp;

const NOW_MS: i64 = 1_503_006_524_530;

#[test]
fn each_refusal_of_the_hub_has_its_condition() {
    let condition = |refusal: &Refusal| of(refusal, stamp(NOW_MS)).1.condition.as_str().to_owned();
    for (refusal, wanted) in [
        (Refusal::unauthorized(), "amqp:unauthorized-access"),
        (Refusal::device_not_found("d"), "amqp:not-found"),
        (Refusal::throttled(None), "com.microsoft:device-container-throttled"),
        (Refusal::unavailable(), "amqp:link:detach-forced"),
        (Refusal::too_large(), "amqp:link:message-size-exceeded"),
        (Refusal::argument("x"), "com.microsoft:argument-error"),
        (Refusal::not_json("x"), "com.microsoft:argument-error"),
        (Refusal::new(418, 418_000, "Teapot", "x"), "com.microsoft:argument-error"),
        (Refusal::new(599, 599_000, "Odd", "x"), "amqp:internal-error"),
    ] {
        assert_eq!(condition(&refusal), wanted, "{refusal:?}");
    }
}

#[test]
fn a_description_is_json_as_the_hub_writes_it() {
    let error = no_such_address("/devices/d/nowhere", stamp(NOW_MS));
    let description: serde_json::Value = serde_json::from_str(error.description.as_deref().unwrap()).unwrap();
    assert_eq!(description["errorCode"], 404_006);
    let text = "The link address '/devices/d/nowhere' did not match any of the expected formats.";
    assert_eq!(description["message"], text);
    assert_eq!(description["timestampUtc"], "2017-08-17T21:48:44.5300000Z");
    assert!(description["trackingId"].as_str().unwrap().ends_with("-G:0-TimeStamp:08/17/2017 21:48:44"));
    assert_eq!(error.info.get("com.microsoft:is-filtered"), Some(&Value::Bool(true)));
    assert_eq!(error.info.get("com.microsoft:error-code"), Some(&Value::Int(404_006)));
}

#[test]
fn every_condition_of_the_hub_can_be_asked_for_and_brings_its_code() {
    let code = |condition: &str| {
        let text = wanted(condition, None, stamp(NOW_MS)).description.unwrap();
        serde_json::from_str::<serde_json::Value>(&text).map_or(0, |json| json["errorCode"].as_u64().unwrap())
    };
    for (condition, wanted) in [
        ("amqp:resource-limit-exceeded", 403_002),
        ("amqp:not-found", 404_001),
        ("amqp:link:stolen", 400_027),
        ("com.microsoft:timeout", 500_008),
        ("com.microsoft:iot-hub-suspended", 403_001),
        ("com.microsoft:message-lock-lost", 412_002),
        ("amqp:decode-error", 0),
        ("amqp:never-heard-of", 0),
    ] {
        assert_eq!(code(condition), wanted, "{condition}");
    }
    assert_eq!(wanted("amqp:x", Some("mine"), stamp(NOW_MS)), Error::new("amqp:x".to_owned(), "mine"));
}
