//! Which calls are hit, counted by hand.

use super::counter::Counter;
use super::*;

/// Which of the calls at these times are hit.
fn hits(when: When, at_ms: &[i64]) -> Vec<bool> {
    let mut counter = Counter::default();
    at_ms.iter().map(|now_ms| counter.hits(when, 1, *now_ms)).collect()
}

#[test]
fn counted_faults_hit_the_calls_that_they_name() {
    let six = [0; 6];
    assert_eq!(hits(When::Always, &six), [true; 6]);
    assert_eq!(hits(When::Next(2), &six), [true, true, false, false, false, false]);
    assert_eq!(hits(When::Every(3), &six), [false, false, true, false, false, true]);
    assert_eq!(hits(When::Every(0), &six), [false; 6]);
}

#[test]
fn a_rate_lets_one_period_through_at_once_and_then_its_pace() {
    assert_eq!(hits(When::AbovePerSecond(2), &[0, 0, 0, 499, 500, 500]), [false, false, true, true, false, true]);
    assert_eq!(hits(When::AbovePerMinute(1), &[0, 1, 59_999, 60_000]), [false, true, true, false]);
    assert_eq!(hits(When::AbovePerSecond(0), &[0, 5_000]), [true, true]);
}

#[test]
fn a_rate_survives_a_clock_that_goes_back() {
    assert_eq!(hits(When::AbovePerSecond(1), &[10_000, 0, 1_000]), [false, true, false]);
}

#[test]
fn a_batch_weighs_as_many_messages_as_it_has() {
    let throttle = Throttle { when: When::AbovePerSecond(10), retry_after_s: Some(7) };
    let mut armed =
        Armed::new(Faults { hub: HubFaults { throttle: Some(throttle), ..HubFaults::default() }, ..Faults::default() });
    assert_eq!(armed.throttles_telemetry(8, 0), None);
    assert_eq!(armed.throttles_telemetry(3, 0), Some(throttle));
    assert_eq!(armed.throttles_telemetry(2, 0), None);
}

#[test]
fn devices_are_refused_by_name_or_all() {
    let refuse = |ids: &[&str], answer| DpsRefuse { ids: ids.iter().map(|id| (*id).to_owned()).collect(), answer };
    let dps = DpsFaults {
        refuse: vec![refuse(&["d1"], DpsRefusal::Disabled), refuse(&["d2"], DpsRefusal::NotFound)],
        ..DpsFaults::default()
    };
    let armed = Armed::new(Faults { dps, ..Faults::default() });
    assert_eq!(armed.dps_refusal("D1"), Some(&DpsRefusal::Disabled));
    assert_eq!(armed.dps_refusal("d2"), Some(&DpsRefusal::NotFound));
    assert_eq!(armed.dps_refusal("d3"), None);
    let hub = HubFaults { refuse: vec![HubRefuse { ids: vec![], answer: HubRefusal::Quota }], ..HubFaults::default() };
    assert_eq!(Armed::new(Faults { hub, ..Faults::default() }).hub_refusal("any"), Some(&HubRefusal::Quota));
}

#[test]
fn faults_are_written_as_documented_and_slips_are_refused() {
    let text = r#"{
        "dps": {"throttle": {"when": {"next": 5}, "retry_after_s": 2}, "delay_ms": 10,
                "refuse": [{"ids": ["d1"], "answer": {"failed": {"error_code": 400209, "message": "no"}}}]},
        "hub": {"throttle": {"when": {"above_per_second": 90}}, "outage": "hang", "lose_answer": {"every": 10},
                "refuse": [{"answer": "quota"}]}
    }"#;
    let faults: Faults = serde_json::from_str(text).unwrap();
    assert_eq!(faults.dps.throttle, Some(Throttle { when: When::Next(5), retry_after_s: Some(2) }));
    assert_eq!((faults.hub.outage, faults.hub.lose_answer), (Some(Outage::Hang), Some(When::Every(10))));
    let again: Faults = serde_json::from_str(&serde_json::to_string(&faults).unwrap()).unwrap();
    assert_eq!(again, faults);
    assert!(serde_json::from_str::<Faults>(r#"{"hub":{"thottle":null}}"#).is_err());
}

#[test]
fn every_fault_that_the_documentation_shows_is_understood() {
    let text = include_str!("../../../../docs/azure-sim.md");
    let examples = text.lines().filter_map(|line| line.split_once("/api/faults -d '")?.1.strip_suffix('\''));
    let read =
        examples.map(|json| serde_json::from_str::<Faults>(json).unwrap_or_else(|error| panic!("{json}: {error}")));
    assert!(read.count() >= 20, "examples are missing");
}

#[test]
fn faults_of_links_hit_in_their_order_and_count_by_themselves() {
    let text = r#"{"amqp":{"faults":[
        {"devices":["d1"],"state":"idle","when":{"next":1},"action":"steal"},
        {"state":"idle","when":{"every":2},"action":"drop"},
        {"state":"cbs","when":"always","action":"no_disposition"}]}}"#;
    let mut armed = Armed::new(serde_json::from_str(text).unwrap());
    let mut at = |state, device| armed.amqp_action(state, device, 0).map(|action| action.word());
    assert_eq!(at(LinkState::Idle, Some("d2")), None, "the first of two");
    assert_eq!(at(LinkState::Idle, Some("d1")), Some("steal"), "the second fault was not looked at");
    assert_eq!(at(LinkState::Idle, Some("d1")), Some("drop"));
    assert_eq!(at(LinkState::Cbs, None), Some("no_disposition"));
    assert_eq!(at(LinkState::Attach, Some("d1")), None);
}
