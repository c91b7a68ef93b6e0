use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use http::HeaderValue;
use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::loopback::{Loopback, Reply};
use crate::net::Endpoint;
use crate::sas::{Token, registration_token};

type Pairs = &'static [(&'static str, &'static str)];

const ASSIGNING: &str = r#"{"operationId":"5.316aac5bdc130deb.b1e02da8","status":"assigning"}"#;
const ASSIGNED: &str = r#"{"operationId":"5.316aac5bdc130deb.b1e02da8","status":"assigned","registrationState":{
    "registrationId":"eui-1","createdDateTimeUtc":"2022-08-31T22:02:50.5163352Z","assignedHub":"Hub1.azure-devices.net",
    "deviceId":"eui-1","status":"assigned","substatus":"initialAssignment","payload":{"any":"json"}}}"#;

fn applicant() -> Applicant {
    Applicant {
        scope: "0ne00AAAA01".into(),
        registration_id: "eui-1".into(),
        model_id: Some("dtmi:com:example:T;1".into()),
    }
}

fn assignment() -> Assignment {
    Assignment { hub: "hub1.azure-devices.net".into(), device_id: "eui-1".into() }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn headers(pairs: Pairs) -> HeaderMap {
    pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

fn answer(registration: &mut Registration, status: u16, pairs: Pairs, body: &str) -> Next {
    registration.answered(StatusCode::from_u16(status).unwrap(), &headers(pairs), body.as_bytes())
}

fn class(next: Next) -> Class {
    match next {
        Next::Refused(refusal) => refusal.class,
        other => panic!("not refused: {other:?}"),
    }
}

fn registering() -> Registration {
    Registration::new(applicant())
}

fn polling() -> Registration {
    let mut registration = registering();
    answer(&mut registration, 202, &[], ASSIGNING);
    registration
}

#[test]
fn registers_then_polls_the_operation_until_it_is_assigned() {
    let mut registration = registering();
    let ask = registration.ask();
    assert_eq!(
        (ask.method, ask.target.as_str()),
        (Method::PUT, "/0ne00AAAA01/registrations/eui-1/register?api-version=2019-03-31")
    );
    let body: serde_json::Value = serde_json::from_slice(&ask.body).unwrap();
    assert_eq!(body, serde_json::json!({"registrationId": "eui-1", "payload": {"modelId": "dtmi:com:example:T;1"}}));
    assert_eq!(answer(&mut registration, 202, &[("retry-after", "3")], ASSIGNING), Next::Poll { after: secs(3) });
    let poll = registration.ask();
    assert_eq!(
        (poll.method, poll.target.as_str(), poll.body.len()),
        (
            Method::GET,
            "/0ne00AAAA01/registrations/eui-1/operations/5.316aac5bdc130deb.b1e02da8?api-version=2019-03-31",
            0
        )
    );
    assert_eq!(answer(&mut registration, 200, &[], ASSIGNED), Next::Assigned(assignment()));
}

#[test]
fn without_a_model_no_payload_is_sent() {
    let ask = Registration::new(Applicant { model_id: None, ..applicant() }).ask();
    assert_eq!(ask.body, r#"{"registrationId":"eui-1"}"#);
}

#[test]
fn names_cannot_break_out_of_the_path() {
    let odd = Applicant { scope: "a/b?c".into(), registration_id: "../x\r\n".into(), model_id: None };
    assert_eq!(
        Registration::new(odd).ask().target,
        "/a%2Fb%3Fc/registrations/..%2Fx%0D%0A/register?api-version=2019-03-31"
    );
}

#[test]
fn refusals_of_registering_are_told_apart() {
    let transient = Class::Transient { retry_after: secs(5) };
    let cases: [(u16, Pairs, &str, Class); 16] = [
        (401, &[], r#"{"errorCode":401002,"trackingId":"t","message":"Unauthorized"}"#, Class::Denied),
        (401, &[], r#"{"errorCode":401000}"#, Class::Denied),
        (400, &[], r#"{"errorCode":400209}"#, Class::Denied),
        (400, &[("x-ms-error-code", "400208")], "", Class::Denied),
        (400, &[], r#"{"errorCode":400004}"#, Class::BadRequest),
        (404, &[], r#"{"errorCode":404202}"#, Class::NotFound),
        (405, &[], "", Class::BadRequest),
        (302, &[], "", Class::BadRequest),
        (409, &[], "", transient),
        (412, &[], "", transient),
        (429, &[("retry-after", "7")], "", Class::Throttled { retry_after: Some(secs(7)) }),
        (429, &[], r#"{"errorCode":429001}"#, Class::Throttled { retry_after: None }),
        (500, &[("retry-after", "1")], "", transient),
        (503, &[("retry-after", "60")], "", Class::Transient { retry_after: secs(60) }),
        (200, &[], "not json", transient),
        (202, &[], r#"{"status":"assigning"}"#, transient),
    ];
    for (status, pairs, body, expected) in cases {
        let next = answer(&mut registering(), status, pairs, body);
        assert_eq!(class(next), expected, "{status} {body}");
    }
}

#[test]
fn operations_that_end_badly_are_told_apart() {
    let failed = |state: &str| format!(r#"{{"status":"failed","registrationState":{state}}}"#);
    let cases = [
        (r#"{"operationId":"o","status":"disabled"}"#.to_owned(), Class::Disabled),
        (
            failed(r#"{"errorCode":400207,"errorMessage":"Custom allocation failed with status code: 404"}"#),
            Class::Failed,
        ),
        (failed("null"), Class::Failed),
        (failed(r#"{"errorCode":400209}"#), Class::Denied),
        (failed(r#"{"errorCode":401002}"#), Class::Denied),
        (failed(r#"{"errorCode":429001}"#), Class::Throttled { retry_after: None }),
        (failed(r#"{"errorCode":500001}"#), Class::Transient { retry_after: secs(5) }),
        (r#"{"status":"surprised"}"#.to_owned(), Class::Failed),
        (r#"{"status":"assigned"}"#.to_owned(), Class::Failed),
        (ASSIGNED.replace("Hub1.", "evil/"), Class::Failed),
        (ASSIGNED.replace(".net", ".net:444"), Class::Failed),
        (ASSIGNED.replace("\"deviceId\":\"eui-1\"", "\"deviceId\":\"a/b\""), Class::Failed),
    ];
    for (body, expected) in cases {
        assert_eq!(class(answer(&mut polling(), 200, &[], &body)), expected, "{body}");
        assert_eq!(class(answer(&mut registering(), 200, &[], &body)), expected, "at once: {body}");
    }
}

#[test]
fn refusal_keeps_code_tracking_id_and_the_servers_clock() {
    let body = r#"{"errorCode":401002,"trackingId":"ada7d102","message":"Unauthorized"}"#;
    let Next::Refused(refusal) = answer(&mut registering(), 401, &[("date", "Thu, 01 Jan 2026 00:00:00 GMT")], body)
    else {
        panic!("not refused")
    };
    assert_eq!(
        refusal.to_string(),
        "dps refused the registration (denied): 401002 Unauthorized (tracking id ada7d102)"
    );
    assert_eq!(refusal.server_time, Some(1_767_225_600));
}

#[test]
fn poll_that_is_throttled_or_fails_is_repeated_under_the_same_operation() {
    let mut registration = polling();
    let poll = registration.ask();
    assert_eq!(answer(&mut registration, 429, &[("retry-after", "4")], "{}"), Next::Poll { after: secs(4) });
    assert_eq!(answer(&mut registration, 500, &[], ""), Next::Poll { after: secs(5) });
    assert_eq!(registration.ask(), poll);
    // A poll that lacks the operation id keeps the one that is known.
    assert_eq!(answer(&mut registration, 202, &[], r#"{"status":"assigning"}"#), Next::Poll { after: secs(2) });
    assert_eq!(registration.ask(), poll);
    assert_eq!(answer(&mut registration, 200, &[], ASSIGNED), Next::Assigned(assignment()));
}

#[test]
fn polls_that_keep_failing_end_with_their_cause() {
    let mut registration = polling();
    for _ in 0..POLL_FAILURES_MAX {
        assert!(matches!(answer(&mut registration, 503, &[], ""), Next::Poll { .. }));
    }
    assert_eq!(class(answer(&mut registration, 503, &[], "")), Class::Transient { retry_after: secs(5) });
}

#[test]
fn polls_that_are_throttled_go_on_and_slow_no_registration_down() {
    let mut registration = polling();
    for _ in 0..20 {
        assert_eq!(answer(&mut registration, 429, &[("retry-after", "0")], ""), Next::Poll { after: POLL_INTERVAL });
    }
    assert_eq!(answer(&mut registration, 429, &[("retry-after", "9")], ""), Next::Poll { after: secs(9) });
    assert_eq!(registration.clone().out_of_time().class, Class::Transient { retry_after: secs(9) });
    assert_eq!(answer(&mut registration, 200, &[], ASSIGNED), Next::Assigned(assignment()));
}

#[test]
fn a_device_is_looked_up_without_registering() {
    let ask = look_up(&applicant());
    assert_eq!(
        (ask.method, ask.target.as_str(), &ask.body[..]),
        (
            Method::POST,
            "/0ne00AAAA01/registrations/eui-1?api-version=2019-03-31",
            br#"{"registrationId":"eui-1"}"#.as_slice()
        )
    );
    let state =
        r#"{"registrationId":"eui-1","assignedHub":"Hub1.azure-devices.net","deviceId":"eui-1","status":"assigned"}"#;
    let cases = [
        (200, state.to_owned(), Found::Assigned(assignment())),
        (200, r#"{"registrationId":"eui-1","status":"assigning"}"#.to_owned(), Found::Assigning),
        (200, r#"{"registrationId":"eui-1","status":"disabled"}"#.to_owned(), Found::Nothing),
        (200, state.replace("Hub1.", "evil/"), Found::Nothing),
        (404, r#"{"errorCode":404201}"#.to_owned(), Found::Nothing),
        (401, state.to_owned(), Found::Nothing),
        (200, "not json".to_owned(), Found::Nothing),
    ];
    for (status, body, found) in cases {
        assert_eq!(looked_up(StatusCode::from_u16(status).unwrap(), body.as_bytes()), found, "{status} {body}");
    }
}

#[test]
fn forgotten_operation_means_to_begin_anew_and_a_refused_poll_is_a_refusal() {
    assert_eq!(class(answer(&mut polling(), 404, &[], "")), Class::Transient { retry_after: secs(5) });
    assert_eq!(class(answer(&mut polling(), 401, &[], "")), Class::Denied);
}

#[test]
fn zero_retry_after_is_honoured_only_as_long_as_dps_allows() {
    let mut registration = registering();
    let waits: Vec<_> = (0..6).map(|_| answer(&mut registration, 202, &[("retry-after", "0")], ASSIGNING)).collect();
    let expected = [0, 0, 0, 0, 2, 2].map(|s| Next::Poll { after: secs(s) });
    assert_eq!(waits, expected);
}

proptest! {
    #[test]
    fn any_answer_is_taken_without_panic(status in 200u16..600, body in "(\\{\"status\":\"(assigning|assigned|failed)\"|,\"operationId\":\"\\PC*\"|\\PC*|\\}){0,4}") {
        for mut registration in [registering(), polling()] {
            registration.answered(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes());
            prop_assert!(registration.ask().target.parse::<http::Uri>().is_ok());
        }
    }
}

fn client(network: &Loopback) -> DpsClient {
    let endpoint = Endpoint { host: "global.azure-devices-provisioning.net".into(), port: 443 };
    DpsClient::new(endpoint, Arc::new(network.clone()), DpsLimits::default())
}

fn token() -> Token {
    registration_token("0ne00AAAA01", "eui-1", &[1; 32], 1_767_225_600)
}

/// Answers the n-th request with the n-th entry, the last one for ever.
fn scripted(script: &'static [(u16, &'static str, &'static str)]) -> Loopback {
    let at = Arc::new(AtomicUsize::new(0));
    Loopback::answering(move |_| {
        let (status, retry_after, body) = script[at.fetch_add(1, SeqCst).min(script.len() - 1)];
        async move { Reply::with(status, &[("retry-after", retry_after)], body) }
    })
}

#[tokio::test(start_paused = true)]
async fn registration_waits_as_told_and_keeps_its_connection() {
    let network = scripted(&[(202, "3", ASSIGNING), (202, "2", ASSIGNING), (200, "", ASSIGNED)]);
    let begun = Instant::now();
    let registered = client(&network).register(applicant(), &token()).await.unwrap();
    assert_eq!((registered.assignment, begun.elapsed().as_secs()), (assignment(), 5));
    let seen = network.seen();
    assert_eq!((seen.len(), network.dials()), (3, 1));
    assert!(seen.iter().all(|s| s.headers["authorization"] == token().reveal()));
    assert_eq!(seen[0].headers["content-type"], "application/json; charset=utf-8");
    assert_eq!(seen[0].headers["host"], "global.azure-devices-provisioning.net");
}

#[tokio::test(start_paused = true)]
async fn registration_that_never_ends_is_given_up_within_its_bound() {
    let network = scripted(&[(202, "3", ASSIGNING)]);
    let begun = Instant::now();
    let refusal = client(&network).register(applicant(), &token()).await.unwrap_err();
    assert_eq!(refusal.class, Class::Transient { retry_after: secs(5) });
    assert_eq!(refusal.error.message, "still assigning when time ran out");
    assert!(begun.elapsed() <= secs(60), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn polls_throttled_beyond_the_bound_are_reported_at_once_with_their_wait() {
    let network = scripted(&[(202, "3", ASSIGNING), (429, "120", "")]);
    let begun = Instant::now();
    let refusal = client(&network).register(applicant(), &token()).await.unwrap_err();
    assert_eq!(refusal.class, Class::Transient { retry_after: secs(120) });
    assert_eq!(begun.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn service_that_does_not_answer_is_transient_whichever_way() {
    for reply in [|| Reply::Die, || Reply::Hang] {
        let network = Loopback::answering(move |_| async move { reply() });
        let begun = Instant::now();
        let refusal = client(&network).register(applicant(), &token()).await.unwrap_err();
        assert_eq!(refusal.class.retry_after(), Some(secs(5)), "{refusal}");
        assert!(begun.elapsed() <= secs(30));
    }
}

#[tokio::test(start_paused = true)]
async fn many_registrations_share_a_few_connections() {
    let network = scripted(&[(202, "3", ASSIGNING), (200, "", ASSIGNED)]);
    let client = client(&network);
    let all: Vec<_> = (0..200)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.register(applicant(), &token()).await })
        })
        .collect();
    for one in all {
        assert!(one.await.unwrap().is_ok());
    }
    assert!(network.most_open() <= DpsLimits::default().connections, "{}", network.most_open());
}
