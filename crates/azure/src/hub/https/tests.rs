use std::sync::Arc;

use super::*;
use crate::hub::Remedy;
use crate::key::Signer;
use crate::loopback::{Loopback, Reply};
use crate::sas::device_token;

fn hub(network: &Loopback) -> HttpsHub {
    let endpoint = Endpoint { host: "localhost".into(), port: 8443 };
    HttpsHub::new(endpoint, Arc::new(network.clone()), HttpsOptions::default())
}

fn telemetry() -> Telemetry {
    Telemetry {
        body: "{\"Port\":10}".into(),
        message_id: "m1".into(),
        properties: vec![("ApplicationId".into(), "building".into())],
        ..Telemetry::default()
    }
}

fn token() -> Token {
    device_token("localhost", "eui-1", &Signer::device([1; 32]), 1_767_225_600)
}

#[tokio::test(start_paused = true)]
async fn message_is_delivered_when_the_hub_says_204_and_its_clock_comes_back() {
    let date = ("date", "Thu, 01 Jan 2026 00:00:00 GMT");
    let network = Loopback::answering(move |_| async move { Reply::with(204, &[date], "") });
    let delivered = hub(&network).send("eui-1", &token(), &telemetry()).await.unwrap();
    assert_eq!(delivered.server_time, Some(1_767_225_600));
    let seen = &network.seen()[0];
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str()),
        ("POST", "/devices/eui-1/messages/events?api-version=2021-04-12")
    );
    assert_eq!(seen.headers["authorization"], token().reveal());
    assert_eq!(seen.headers["host"], "localhost:8443");
    assert_eq!(seen.headers["content-type"], request::BATCH);
    assert!(seen.body.starts_with(b"[{\"body\":\"eyJQb3J0IjoxMH0=\""), "{:?}", seen.body);
}

#[tokio::test(start_paused = true)]
async fn each_trouble_says_what_follows() {
    let network = Loopback::answering(|seen| async move {
        match seen.target.split('/').nth(2) {
            Some("unknown") => Reply::with(404, &[], r#"{"Message":"ErrorCode:DeviceNotFound;no such device"}"#),
            Some("busy") => Reply::with(429, &[("retry-after", "9")], ""),
            Some("dies") => Reply::Die,
            _ => Reply::Hang,
        }
    });
    let hub = hub(&network);
    let after = |seconds| Remedy::Retry { after: Some(Duration::from_secs(seconds)) };
    let cases = [
        ("unknown", "not_found", Remedy::Provision, false),
        ("busy", "throttled", after(9), false),
        ("dies", "lost", Remedy::Retry { after: None }, true),
        ("silent", "timed_out", Remedy::Retry { after: None }, true),
    ];
    for (device, word, remedy, may_have_arrived) in cases {
        let error = hub.send(device, &token(), &telemetry()).await.unwrap_err();
        assert_eq!(
            (error.why.word(), error.remedy(), error.why.may_have_arrived()),
            (word, remedy, may_have_arrived),
            "{error}"
        );
    }
    network.refuse(true);
    let error = hub.send("any", &token(), &telemetry()).await.unwrap_err();
    assert_eq!(error.to_string(), "not delivered (unreachable): cannot reach localhost:8443: connection refused");
    hub.close();
    assert_eq!(hub.send("any", &token(), &telemetry()).await.unwrap_err().why, Why::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_hubs_clock_is_read_from_any_answer_and_never_waited_for_long() {
    let date = ("date", "Thu, 01 Jan 2026 00:00:00 GMT");
    let network = Loopback::answering(move |_| async move { Reply::with(404, &[date], "") });
    assert_eq!(hub(&network).clock().await, Some(1_767_225_600));
    assert!(!network.seen()[0].headers.contains_key("authorization"), "nothing secret goes along");
    let silent = Loopback::answering(|_| async { Reply::Hang });
    let began = tokio::time::Instant::now();
    assert_eq!(hub(&silent).clock().await, None);
    assert_eq!(began.elapsed(), CLOCK_TIMEOUT);
    silent.refuse(true);
    assert_eq!(hub(&silent).clock().await, None);
}

#[tokio::test(start_paused = true)]
async fn message_that_no_hub_takes_is_not_sent() {
    let network = Loopback::answering(|_| async { Reply::status(204) });
    let large = Telemetry { body: vec![0; crate::hub::MESSAGE_BYTES_MAX + 1].into(), ..telemetry() };
    assert_eq!(hub(&network).send("eui-1", &token(), &large).await.unwrap_err().why, Why::TooLarge);
    let split = Telemetry { properties: vec![("A".into(), "x\r\nhost: evil".into())], ..telemetry() };
    assert_eq!(hub(&network).send("eui-1", &token(), &split).await.unwrap_err().remedy(), Remedy::Bury);
    assert_eq!(network.dials(), 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_shown_of_a_send_holds_its_token() {
    let network = Loopback::answering(|seen| async move {
        let echoed = seen.headers["authorization"].to_str().unwrap().to_owned();
        Reply::with(401, &[], &format!("{{\"Message\":\"bad: {echoed}\"}}"))
    });
    let hub = hub(&network);
    let error = hub.send("eui-1", &token(), &telemetry()).await.unwrap_err();
    let signature = token().reveal().split('&').nth(1).unwrap().to_owned();
    assert!(signature.starts_with("sig="));
    let shown = format!("{error} {error:?} {hub:?} {:?}", token());
    assert!(!shown.contains(&signature), "{shown}");
}
