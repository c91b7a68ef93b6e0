//! Trouble on request, as a client meets it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use simulator::{Faults, Options, Simulator, start};

use crate::client::{Device, options};

/// A simulator with one registered device's worth of state and no faults yet.
async fn with_device(id: &str) -> Simulator {
    let simulator = start(options()).await.unwrap();
    Device::new(&simulator, id).provision().await;
    simulator
}

fn set(simulator: &Simulator, faults: serde_json::Value) {
    simulator.set_faults(serde_json::from_value::<Faults>(faults).unwrap());
}

#[tokio::test]
async fn a_throttled_registration_says_when_to_come_back() {
    let simulator = start(options()).await.unwrap();
    set(&simulator, json!({"dps": {"throttle": {"when": {"next": 1}, "retry_after_s": 7}}}));
    let device = Device::new(&simulator, "d1");
    let throttled = device.register().await.unwrap();
    assert_eq!((throttled.status, throttled.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, Some("7")));
    assert_eq!(
        (&throttled.json()["errorCode"], throttled.header("x-ms-error-code")),
        (&json!(429_001), Some("429001"))
    );
    assert_eq!(device.provision().await["status"], "assigned");
    assert_eq!(simulator.counts().dps_refused.get(&429_001), Some(&1));
}

#[tokio::test]
async fn refused_registrations_end_as_asked() {
    let simulator = start(options()).await.unwrap();
    set(
        &simulator,
        json!({"dps": {"refuse": [
            {"ids": ["no-key"], "answer": "unauthorized"}, {"ids": ["new"], "answer": "not_enrolled"},
            {"ids": ["off"], "answer": "disabled"},
            {"ids": ["bad"], "answer": {"failed": {"error_code": 400_209, "message": "waiting for approval"}}},
        ]}}),
    );
    for (id, code) in [("no-key", 401_002), ("new", 401_000)] {
        let refused = Device::new(&simulator, id).register().await.unwrap();
        assert_eq!((refused.status, &refused.json()["errorCode"]), (StatusCode::UNAUTHORIZED, &json!(code)));
    }
    assert_eq!(Device::new(&simulator, "off").provision().await["status"], "disabled");
    let failed = Device::new(&simulator, "bad").provision().await;
    assert_eq!((&failed["status"], &failed["registrationState"]["errorCode"]), (&json!("failed"), &json!(400_209)));
    assert_eq!(Device::new(&simulator, "good").provision().await["status"], "assigned");
}

#[tokio::test]
async fn a_throttled_hub_has_no_retry_after_and_takes_nothing() {
    let simulator = with_device("d1").await;
    set(&simulator, json!({"hub": {"throttle": {"when": {"next": 1}}}}));
    let device = Device::new(&simulator, "d1");
    let throttled = device.send(&[], b"1").await.unwrap();
    assert_eq!((throttled.status, throttled.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, None));
    assert_eq!(throttled.header("iothub-errorcode"), Some("ThrottlingException"));
    assert_eq!(device.send(&[], b"2").await.unwrap().status, StatusCode::NO_CONTENT);
    assert_eq!(simulator.counts().messages_total, 1);
}

#[tokio::test]
async fn a_lost_answer_leaves_the_message_in_the_record() {
    let simulator = with_device("d1").await;
    set(&simulator, json!({"hub": {"lose_answer": {"next": 1}}}));
    let device = Device::new(&simulator, "d1");
    assert!(device.send(&[("iothub-messageid", "m")], b"1").await.is_none(), "an answer came");
    assert_eq!(device.send(&[("iothub-messageid", "m")], b"1").await.unwrap().status, StatusCode::NO_CONTENT);
    assert_eq!(simulator.messages(9).len(), 2);
    assert_eq!(simulator.counts().answers_lost, 1);
}

#[tokio::test]
async fn outages_are_503_a_closed_connection_or_silence() {
    let simulator = with_device("d1").await;
    let device = Device::new(&simulator, "d1");
    set(&simulator, json!({"dps": {"outage": "unavailable"}, "hub": {"outage": "unavailable"}}));
    assert_eq!(device.send(&[], b"1").await.unwrap().status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(device.register().await.unwrap().json()["errorCode"], 503_001);
    set(&simulator, json!({"dps": {"outage": "close"}, "hub": {"outage": "close"}}));
    assert!(device.send(&[], b"1").await.is_none());
    assert!(device.register().await.is_none());
    set(&simulator, json!({"hub": {"outage": "hang"}}));
    // Not a wait for something to happen but the proof that nothing does: an answer takes a few milliseconds.
    assert!(tokio::time::timeout(Duration::from_millis(300), device.send(&[], b"1")).await.is_err());
    set(&simulator, json!({}));
    assert_eq!(device.send(&[], b"1").await.unwrap().status, StatusCode::NO_CONTENT);
    assert_eq!(simulator.messages(9).len(), 1);
}

#[tokio::test]
async fn a_token_is_judged_by_the_clock_that_was_handed_in() {
    let now = Arc::new(Mutex::new(crate::client::now_ms()));
    let clock = {
        let now = Arc::clone(&now);
        Arc::new(move || *now.lock().unwrap())
    };
    let simulator = start(Options { clock, ..options() }).await.unwrap();
    let device = Device::new(&simulator, "d1");
    device.provision().await;
    *now.lock().unwrap() += 2 * 3_600_000;
    let refused = device.send(&[], b"1").await.unwrap();
    assert_eq!(
        (refused.status, refused.header("iothub-errorcode")),
        (StatusCode::UNAUTHORIZED, Some("IotHubUnauthorized"))
    );
}
