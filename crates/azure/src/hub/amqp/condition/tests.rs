//! What is known of conditions, line by line.

use amqp::value::Fields;

use super::*;

fn plain(condition: &'static str) -> Judgement {
    judge(&Error::new(condition, "text"))
}

#[test]
fn each_condition_of_the_table_means_what_the_table_says() {
    const LATER: Why = Why::Unavailable { retry_after: None };
    let stolen = Why::Stolen { retry_after: None };
    let rows = [
        ("amqp:unauthorized-access", Why::Unauthorized, Scope::Device),
        ("amqp:not-found", Why::NotFound, Scope::Device),
        ("com.microsoft:device-not-found", Why::NotFound, Scope::Device),
        ("com.microsoft:iot-hub-not-found-error", Why::NotFound, Scope::Device),
        ("com.microsoft:iot-hub-suspended", Why::Suspended, Scope::Device),
        ("amqp:resource-deleted", Why::NotFound, Scope::Device),
        ("amqp:not-allowed", Why::Rejected, Scope::Message),
        ("com.microsoft:argument-error", Why::Rejected, Scope::Message),
        ("com.microsoft:argument-out-of-range", Why::Rejected, Scope::Message),
        ("amqp:precondition-failed", Why::Rejected, Scope::Message),
        ("com.microsoft:precondition-failed", Why::Rejected, Scope::Message),
        ("amqp:decode-error", Why::Rejected, Scope::Message),
        ("amqp:invalid-field", Why::Rejected, Scope::Message),
        ("amqp:not-implemented", Why::Rejected, Scope::Message),
        ("amqp:link:message-size-exceeded", Why::TooLarge, Scope::Message),
        ("com.microsoft:timeout", LATER, Scope::Message),
        ("com.microsoft:message-lock-lost", LATER, Scope::Message),
        ("amqp:resource-limit-exceeded", LATER, Scope::Device),
        ("com.microsoft:device-container-throttled", Why::Throttled { retry_after: None }, Scope::Device),
        ("amqp:link:stolen", stolen, Scope::Device),
        ("com.microsoft:link-creation-conflict", stolen, Scope::Device),
        ("amqp:internal-error", LATER, Scope::Device),
        ("com.microsoft:server-busy", LATER, Scope::Device),
        ("com.microsoft:operation-cancelled", LATER, Scope::Device),
        ("amqp:link:detach-forced", LATER, Scope::Device),
        ("amqp:link:transfer-limit-exceeded", LATER, Scope::Device),
        ("amqp:link:redirect", LATER, Scope::Device),
        ("amqp:resource-locked", LATER, Scope::Device),
        ("amqp:illegal-state", LATER, Scope::Device),
        ("amqp:frame-size-too-small", LATER, Scope::Device),
        ("amqp:session:window-violation", LATER, Scope::Device),
        ("amqp:session:errant-link", LATER, Scope::Device),
        ("amqp:session:handle-in-use", LATER, Scope::Device),
        ("amqp:session:unattached-handle", LATER, Scope::Device),
        ("amqp:session:new-word", LATER, Scope::Device),
        ("amqp:transaction:unknown-id", LATER, Scope::Device),
        ("amqp:connection:forced", LATER, Scope::Connection),
        ("amqp:connection:framing-error", LATER, Scope::Connection),
        ("amqp:connection:redirect", LATER, Scope::Connection),
        ("amqp:connection:new-word", LATER, Scope::Connection),
        ("com.microsoft:never-heard-of", LATER, Scope::Device),
    ];
    for ((condition, why, scope), (name, ..)) in rows.into_iter().zip(TABLE) {
        assert!(condition.starts_with(name), "{condition} stands where {name} does");
        let judged = plain(condition);
        assert_eq!((judged.why, judged.scope, judged.is_full), (why, scope, false), "{condition}");
    }
}

#[test]
fn the_number_decides_over_the_condition() {
    let json = |code: u32| format!(r#"{{"errorCode":{code},"trackingId":"t1","message":"no"}}"#);
    let cases = [
        ("amqp:resource-limit-exceeded", 403_002, Why::Quota, false),
        ("amqp:resource-limit-exceeded", 403_004, Why::Unavailable { retry_after: None }, false),
        ("amqp:resource-limit-exceeded", 403_005, Why::Unavailable { retry_after: None }, true),
        ("amqp:internal-error", 429_001, Why::Throttled { retry_after: None }, false),
        ("amqp:internal-error", 409_002, Why::Stolen { retry_after: None }, false),
        ("amqp:not-found", 404_006, Why::Unavailable { retry_after: None }, false),
        ("amqp:not-found", 404_001, Why::NotFound, false),
        ("amqp:unauthorized-access", 403_012, Why::Disabled, false),
        ("com.microsoft:iot-hub-not-found-error", 401_001, Why::NotFound, false),
        ("amqp:internal-error", 413_001, Why::TooLarge, false),
    ];
    for (condition, code, why, is_full) in cases {
        let judged = judge(&Error::new(condition, json(code)));
        assert_eq!((judged.why, judged.is_full), (why, is_full), "{condition} {code}");
        assert_eq!((judged.error.code, judged.error.tracking_id.as_deref()), (Some(code), Some("t1")));
    }
}

#[test]
fn words_and_info_are_read_where_there_is_no_number() {
    let words = |condition: &'static str, text: &str| judge(&Error::new(condition, text)).why;
    assert_eq!(
        words("amqp:internal-error", "Another AMQP Client has opened a Receive Link"),
        Why::Stolen { retry_after: None }
    );
    assert_eq!(words("amqp:resource-limit-exceeded", "Total number of messages on IotHub 'h' exceeded"), Why::Quota);
    let throttled = words("com.microsoft:device-container-throttled", "Wait 10 seconds and try again");
    assert_eq!(throttled, Why::Throttled { retry_after: None }, "whatever was too many, it says so");
    let unavailable = words("amqp:internal-error", "Wait 17 seconds and try again");
    assert_eq!(unavailable, Why::Unavailable { retry_after: Some(Duration::from_secs(17)) });
    let mut error = Error::new("com.microsoft:device-container-throttled", "slow down");
    error.info = Fields::default()
        .with("com.microsoft:retry-after", 10)
        .with("com.microsoft:error-code", 429_002)
        .with("com.microsoft:tracking-id", "t2-TimeStamp:08/17/2017 10:48:44");
    let judged = judge(&error);
    assert_eq!(judged.why, Why::Throttled { retry_after: Some(Duration::from_secs(10)) }, "a number is one");
    assert_eq!((judged.error.code, judged.server_time), (Some(429_002), Some(1_502_966_924)));
    assert_eq!(judged.error.tracking_id.as_deref(), Some("t2-TimeStamp:08/17/2017 10:48:44"));
}

#[test]
fn a_real_refusal_of_an_address_shows_its_number_and_time() {
    let json = r#"{"errorCode":404006,"trackingId":"c6f75a3404b54748ad90849ef5a469f9-G:2-TimeStamp:08/17/2017 10:48:44","message":"The link address '/x' did not match any of the expected formats.","timestampUtc":"2017-08-17T10:48:44.5309043Z"}"#;
    let judged = judge(&Error::new("amqp:not-found", json));
    assert_eq!(judged.server_time, Some(1_502_966_924));
    assert!(judged.error.to_string().starts_with("404006 amqp:not-found The link address"), "{}", judged.error);
}

#[test]
fn answers_to_a_token_are_told_apart() {
    let cases = [
        (404, "Device d at IotHub h not registered.", Why::NotFound, false),
        (
            401,
            "The specified SAS token has an invalid signature. It does not match either the primary or secondary key.",
            Why::Unauthorized,
            false,
        ),
        (401, "", Why::Unauthorized, false),
        (401, r#"{"errorCode":401003,"message":"IoTHubUnauthorized;DEVICE_DISABLED"}"#, Why::Disabled, false),
        (403, r#"{"errorCode":403002}"#, Why::Quota, false),
        (
            500,
            "The maximum number of tokens per connection (1000) has been reached.",
            Why::Unavailable { retry_after: None },
            true,
        ),
        (500, "internal", Why::Unavailable { retry_after: None }, false),
        (429, "Wait 10 seconds", Why::Throttled { retry_after: None }, false),
        (404, r#"{"errorCode":404012}"#, Why::Unavailable { retry_after: None }, false),
        (302, "", Why::Unavailable { retry_after: None }, false),
    ];
    for (status, text, why, is_full) in cases {
        let judged = judge_token(status, text);
        assert_eq!((judged.why, judged.is_full), (why, is_full), "{status} {text}");
    }
    assert_eq!(judge_token(500, "").error.to_string(), "put-token: 500");
}
