use std::sync::Arc;

use super::*;
use crate::feed::journeys::{Journeys, Parcel};
use crate::lane::DeviceKey;

const ACCEPTED_AT: i64 = 1_763_899_200_000;

fn stamp(us: u64) -> Stamp {
    Stamp { at: ACCEPTED_AT + us.cast_signed() / 1000, us: 5_000_000 + us }
}

fn delivered() -> Journey {
    let device = DeviceKey { network: "ttn".into(), application: "building".into(), device: "dev-1".into() };
    let (journeys, device) = (Journeys::default(), Arc::new(device));
    let parcel =
        Parcel { seq: 7, kind: "uplink_message", accepted_at: ACCEPTED_AT, attempts: 0, device: Some(&device) };
    journeys.note(parcel, |journey| {
        journey.state = State::Delivered;
        journey.stamps.read = Some(stamp(0));
        journey.stamps.accepted = Some(stamp(2_500));
        journey.stamps.leased = Some(stamp(2_900));
        journey.stamps.sent = Some(stamp(90_000));
        journey.stamps.answered = Some(stamp(100_000));
        journey.stamps.ended = Some(stamp(101_000));
        journey.registered_at = Some(ACCEPTED_AT + 80);
        journey.message_id = Some(Fingerprint([0xab; 16]));
    });
    journeys.of(7).expect("it was noted")
}

#[test]
fn a_walk_is_told_from_the_door_to_the_commit() {
    let spans = walk(&delivered());
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["uplink", "accept", "wait", "settle", "provision", "send"]);
    let root = &spans[0];
    let begin = ACCEPTED_AT.cast_unsigned() * 1_000_000;
    assert_eq!((root.start_time_unix_nano, root.end_time_unix_nano), (begin, begin + 101_000_000));
    assert!(root.parent_span_id.is_empty() && root.trace_id == [0xab; 16]);
    let mut ids: Vec<_> = spans.iter().map(|span| &span.span_id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 6, "each has an id of its own");
    for child in &spans[1..] {
        assert_eq!((&child.trace_id, &child.parent_span_id), (&root.trace_id, &root.span_id));
        assert!(child.start_time_unix_nano >= root.start_time_unix_nano, "{}", child.name);
        assert!(child.end_time_unix_nano <= root.end_time_unix_nano, "{}", child.name);
        assert!(child.start_time_unix_nano <= child.end_time_unix_nano, "{}", child.name);
    }
    assert_eq!(spans[1].end_time_unix_nano - spans[1].start_time_unix_nano, 2_500_000, "to the microsecond");
}

#[test]
fn what_is_not_known_is_not_told() {
    let mut journey = delivered();
    (journey.stamps.read, journey.stamps.accepted, journey.registered_at) = (None, None, None);
    let spans = walk(&journey);
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["uplink", "settle", "send"], "another process accepted it");
    assert_eq!(spans[0].start_time_unix_nano, ACCEPTED_AT.cast_unsigned() * 1_000_000);
    journey.stamps.ended = None;
    assert!(walk(&journey).is_empty());
}

#[test]
fn somebody_who_sets_the_clock_changes_no_time_that_was_measured() {
    let mut journey = delivered();
    for stamp in [&mut journey.stamps.sent, &mut journey.stamps.answered, &mut journey.stamps.ended] {
        stamp.as_mut().expect("it was").at -= 3_600_000;
    }
    assert_eq!(walk(&journey), walk(&delivered()));
}

#[test]
fn a_failed_send_and_a_burial_name_their_cause() {
    let mut journey = delivered();
    (journey.state, journey.attempts) = (State::Held, 1);
    let span = failed(&journey, stamp(95_000), "the hub throttles").expect("it was sent");
    let status = span.status.clone().expect("an error");
    assert_eq!((status.code, status.message.as_str()), (Code::Error.into(), "the hub throttles"));
    journey.cause("IoT Hub does not take it");
    journey.state = State::Buried;
    let spans = walk(&journey);
    assert_eq!(spans[0].status.as_ref().map(|status| status.message.as_str()), Some("IoT Hub does not take it"));
    assert!(spans.iter().all(|span| span.name != "send"), "no send went well");
    assert_eq!(span.parent_span_id, spans[0].span_id, "the attempt hangs below the same root");
}
