//! What goes to the network, what it answers, and what it tells later.

use std::time::Duration;

use lorawan::downlink::{Answer, Downlink, Payload, Priority, Queue, answer};
use lorawan::event::EventKind;
use lorawan::ordered::Members;
use lorawan::tidings::{News, Tidings, read};
use serde_json::value::RawValue;

fn downlink(payload: Payload) -> Downlink {
    Downlink {
        f_port: Some(15),
        payload,
        confirmed: true,
        priority: Priority::High,
        correlation_ids: ["longhaul:0123".to_owned()],
    }
}

#[test]
fn a_push_is_what_the_network_reads() {
    let raw = downlink(Payload::Raw(vec![0xBE, 0xEF]));
    let decoded =
        Downlink { f_port: None, confirmed: false, ..downlink(Payload::Decoded(r#"{"valve": 1.50}"#.to_owned())) };
    let body = serde_json::to_string(&Queue { downlinks: &[raw, decoded] }).expect("plain fields");
    assert_eq!(
        body,
        concat!(
            r#"{"downlinks":[{"f_port":15,"frm_payload":"vu8=","confirmed":true,"priority":"HIGH","correlation_ids":["longhaul:0123"]},"#,
            r#"{"decoded_payload":{"valve": 1.50},"priority":"HIGH","correlation_ids":["longhaul:0123"]}]}"#
        )
    );
    let cleared = serde_json::to_string(&Queue { downlinks: &[] }).expect("plain fields");
    assert_eq!(cleared, r#"{"downlinks":[]}"#);
}

#[test]
fn a_priority_may_be_written_as_people_write_it() {
    for (word, is) in [
        ("HIGH", Some(Priority::High)),
        ("high", Some(Priority::High)),
        ("BelowNormal", Some(Priority::BelowNormal)),
        ("below_normal", Some(Priority::BelowNormal)),
        ("3", Some(Priority::Normal)),
        ("7", None),
        ("", None),
        ("urgent", None),
    ] {
        assert_eq!(Priority::from_word(word), is, "{word}");
    }
}

/// The error body of a push to a device that never joined.
const NO_SESSION: &str = r#"{"code":9,"message":"error:pkg/applicationserver:no_device_session (no device session; check device activation)","details":[{"@type":"type.googleapis.com/ttn.lorawan.v3.ErrorDetails","namespace":"pkg/applicationserver","name":"no_device_session","message_format":"no device session; check device activation","code":9}]}"#;

#[test]
fn an_answer_says_whether_the_network_has_it() {
    assert_eq!(answer(200, None, b""), Answer::Taken);
    let refused = "no_device_session: no device session; check device activation";
    assert_eq!(answer(400, None, NO_SESSION.as_bytes()), Answer::Refused(refused.to_owned()));
    let later = |status, retry, body: &[u8]| matches!(answer(status, retry, body), Answer::Later { .. });
    for status in [401, 403, 406, 409, 429, 503] {
        assert!(later(status, None, b""), "{status}");
    }
    assert!(later(400, None, br#"{"details":[{"name":"downlink_queue_capacity"}]}"#));
    let Answer::Later { wait, .. } = answer(429, Some("7"), b"") else { panic!("429 is for later") };
    assert_eq!(wait, Some(Duration::from_secs(7)));
    for status in [404, 405, 413, 422, 501] {
        assert!(matches!(answer(status, None, b"<html>"), Answer::Refused(_)), "{status}");
    }
    for status in [100, 301, 499, 500, 502, 504, 599] {
        assert!(matches!(answer(status, None, b""), Answer::Doubt(_)), "{status}");
    }
}

#[test]
fn a_networks_long_sentence_is_cut_between_characters() {
    let body = format!(r#"{{"message":"{}"}}"#, "ü".repeat(1000));
    let Answer::Refused(why) = answer(400, None, body.as_bytes()) else { panic!("400 is final") };
    assert!(why.starts_with("the network answered 400: ü") && why.len() < 350, "{}", why.len());
}

fn sample(name: &str) -> String {
    let path = format!("{}/samples/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn told<R>(body: &str, kind: EventKind, judge: impl FnOnce(Option<Tidings<'_>>) -> R) -> R {
    let raw: &RawValue = serde_json::from_str(body).expect("JSON");
    let members = Members::of(raw).expect("an object");
    judge(read(kind, &members).expect("as the API has it"))
}

#[test]
fn each_event_names_its_downlinks() {
    let cases = [
        (
            "026-v3-downlink_ack-docs.json",
            EventKind::DownlinkAck,
            "acknowledged",
            "as:downlink:01E19B99501X84X6CV471TVSZ1",
        ),
        (
            "027-v3-downlink_failed-docs.json",
            EventKind::DownlinkFailed,
            "application_downlink_too_long",
            "as:downlink:01E19Z5W3BZBG7CXSJE9C0A3CE",
        ),
        ("070-v3-downlink_queued-docs-nats.json", EventKind::DownlinkQueued, "queued", "as:downlink:"),
        ("072-v3-downlink_sent-schema.json", EventKind::DownlinkSent, "sent", "c2d:"),
        ("073-v3-downlink_nack-schema.json", EventKind::DownlinkNack, "not acknowledged", "c2d:"),
        (
            "074-v3-downlink_failed-schema-max-retries.json",
            EventKind::DownlinkFailed,
            "max_retries_reached",
            "c2d:1e0bd5a8",
        ),
        (
            "077-v3-downlink_queue_invalidated-schema.json",
            EventKind::DownlinkQueueInvalidated,
            "session_ended",
            "c2d:4",
        ),
    ];
    for (file, kind, is, id) in cases {
        told(&sample(file), kind, |tidings| {
            let tidings = tidings.unwrap_or_else(|| panic!("{file} tells of a downlink"));
            let word = match &tidings.news {
                News::Queued => "queued",
                News::Sent => "sent",
                News::Acknowledged => "acknowledged",
                News::NotAcknowledged => "not acknowledged",
                News::Failed { name, .. } => name.as_ref(),
            };
            assert_eq!(word, is, "{file}");
            assert!(tidings.downlinks.concat().iter().any(|found| found.starts_with(id)), "{file}: {tidings:?}");
        });
    }
    told(&sample("024-v3-join_accept-docs.json"), EventKind::JoinAccept, |tidings| assert_eq!(tidings, None));
    told(&sample("025-v3-uplink_message-docs-full.json"), EventKind::UplinkMessage, |tidings| {
        assert_eq!(tidings, None)
    });
}

#[test]
fn an_event_that_is_not_as_the_api_has_it_names_the_member() {
    for (body, named) in [
        (r#"{"downlink_sent":{"correlation_ids":"one"}}"#, "`downlink_sent.correlation_ids` is not a list"),
        (r#"{"downlink_sent":{"correlation_ids":[1]}}"#, "`downlink_sent.correlation_ids`"),
        (r#"{"downlink_queue_invalidated":{"downlinks":{}}}"#, "`downlink_queue_invalidated.downlinks` is not a list"),
    ] {
        let raw: &RawValue = serde_json::from_str(body).expect("JSON");
        let members = Members::of(raw).expect("an object");
        let kind = if body.contains("sent") { EventKind::DownlinkSent } else { EventKind::DownlinkQueueInvalidated };
        let error = read(kind, &members).expect_err(body).to_string();
        assert!(error.contains(named), "{error}");
    }
}
