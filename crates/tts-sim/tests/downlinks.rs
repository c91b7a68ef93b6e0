//! What becomes of downlinks, told by events and by the journal of the radio. No clock, no sockets.

use serde_json::{Value, json};
use tts_sim::{
    Application, Class, DataRate, DeviceSetup, EVENTS_MAX, Encoded, Event, EventKind, FAULTS_MAX, Failure, Fate, Fault,
    Input, Limits, Outcome, Transmission, Trouble, Uplink, read,
};

/// 2026-02-12T15:15:46Z.
const NOON_MS: i64 = 1_770_909_346_000;

struct World {
    application: Application,
    now_ms: i64,
}

impl World {
    fn new(class: Class) -> Self {
        Self::with(DeviceSetup { class, ..DeviceSetup::new("dev1") }, Limits::default())
    }

    fn with(setup: DeviceSetup, limits: Limits) -> Self {
        let mut world = Self { application: Application::new("app1", limits), now_ms: NOON_MS };
        world.step(Input::Add(setup)).answer.expect("a device");
        world
    }

    fn step(&mut self, input: Input) -> Outcome {
        self.application.step(input, self.now_ms)
    }

    fn later(&mut self, ms: i64) -> Vec<Event> {
        self.now_ms += ms;
        self.step(Input::TimePasses).events
    }

    fn push(&mut self, downlinks: Value) -> Outcome {
        let body = json!({"downlinks": downlinks}).to_string();
        self.step(Input::Push { device: "dev1".into(), downlinks: read(body.as_bytes()).expect("downlinks") })
    }

    fn replace(&mut self, downlinks: Value) -> Outcome {
        let body = json!({"downlinks": downlinks}).to_string();
        self.step(Input::Replace { device: "dev1".into(), downlinks: read(body.as_bytes()).expect("downlinks") })
    }

    fn uplink_at(&mut self, data_rate: DataRate) -> Vec<Event> {
        let uplink = Uplink { device: "dev1".into(), f_port: 1, data_rate, ..Uplink::default() };
        let outcome = self.step(Input::Uplink(uplink));
        outcome.answer.expect("an uplink");
        outcome.events
    }

    fn uplink(&mut self) -> Vec<Event> {
        self.uplink_at(DataRate::DR5)
    }

    fn arm(&mut self, times: u32, trouble: Trouble) {
        self.step(Input::Arm(Fault { device: None, times, trouble })).answer.expect("a fault");
    }

    fn radioed(&self) -> Vec<Transmission> {
        self.application.journal(0).cloned().collect()
    }

    fn waiting(&self) -> Vec<Value> {
        self.application.view("dev1").expect("dev1").queue
    }
}

fn words(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.kind.as_str()).collect()
}

fn one(id: &str) -> Value {
    json!([{"f_port": 15, "frm_payload": "vu8=", "correlation_ids": [id]}])
}

fn confirmed(id: &str) -> Value {
    json!([{"f_port": 15, "frm_payload": "vu8=", "confirmed": true, "correlation_ids": [id]}])
}

/// `bytes` zeros.
fn long(bytes: usize) -> Value {
    let engine = base64::engine::general_purpose::STANDARD;
    json!([{"f_port": 2, "frm_payload": base64::Engine::encode(&engine, vec![0; bytes])}])
}

fn refused(outcome: &Outcome) -> (u16, &str) {
    let refusal = outcome.answer.as_ref().expect_err("a refusal");
    (refusal.status(), refusal.name.as_str())
}

fn error_of(event: &Event) -> &str {
    event.body["downlink_failed"]["error"]["name"].as_str().expect("a name")
}

#[test]
fn class_a_waits_for_an_uplink_and_gets_one_downlink_for_each() {
    let mut world = World::new(Class::A);
    let pushed = world.push(json!([one("c2d:1")[0], one("c2d:2")[0]]));
    assert_eq!((pushed.answer, words(&pushed.events)), (Ok(()), vec!["downlink_queued", "downlink_queued"]));
    assert_eq!(words(&world.later(3_600_000)), Vec::<&str>::new());
    assert_eq!(world.radioed(), []);
    assert_eq!(words(&world.uplink()), ["uplink_message", "downlink_sent"]);
    assert_eq!(words(&world.uplink()), ["uplink_message", "downlink_sent"]);
    assert_eq!(words(&world.uplink()), ["uplink_message"]);
    let radioed = world.radioed();
    assert_eq!(radioed.iter().map(|it| it.f_cnt).collect::<Vec<_>>(), [1, 2]);
    assert!(radioed[0].correlation_ids.contains(&"c2d:1".to_owned()), "{radioed:?}");
    assert_eq!((radioed[1].frm_payload.as_str(), radioed[1].f_port, radioed[1].at_ms), ("vu8=", 15, world.now_ms));
}

#[test]
fn class_c_gets_at_once_all_that_needs_no_answer() {
    let mut world = World::new(Class::C);
    let pushed = world.push(json!([one("c2d:1")[0], one("c2d:2")[0]]));
    assert_eq!(words(&pushed.events), ["downlink_queued", "downlink_queued", "downlink_sent", "downlink_sent"]);
    assert_eq!(world.radioed().len(), 2);
}

#[test]
fn class_c_gives_a_confirmed_downlink_five_minutes_and_then_forgets_it_without_a_word() {
    let mut world = World::new(Class::C);
    world.push(json!([confirmed("c2d:1")[0], confirmed("c2d:2")[0]]));
    assert_eq!(world.radioed().len(), 1);
    assert_eq!(world.application.wakes_at_ms(), Some(NOON_MS + 300_000));
    assert_eq!(words(&world.later(299_999)), Vec::<&str>::new());
    assert_eq!(words(&world.later(1)), ["downlink_sent"]);
    let events = world.uplink();
    assert_eq!(words(&events), ["downlink_ack", "uplink_message"]);
    assert_eq!(events[0].body["downlink_ack"]["f_cnt"], 2, "the first was forgotten");
}

#[test]
fn an_uplink_ends_the_rest_of_class_c_after_a_confirmed_downlink() {
    let mut world = World::new(Class::C);
    world.push(confirmed("c2d:1"));
    world.uplink();
    assert_eq!(words(&world.push(confirmed("c2d:2")).events), ["downlink_queued", "downlink_sent"]);
}

#[test]
fn trouble_strikes_as_often_as_it_was_asked_for_and_whom_it_was_meant_for() {
    let mut world = World::new(Class::A);
    world.step(Input::Add(DeviceSetup::new("dev2"))).answer.expect("a second device");
    let trouble = Trouble::Answer { status: 503, retry_after_s: None, taken: false };
    world.step(Input::Arm(Fault { device: Some("dev2".into()), times: 2, trouble })).answer.expect("a fault");
    assert_eq!(world.push(one("c2d:1")).answer, Ok(()));
    let mut push = || {
        let downlinks = read(json!({"downlinks": one("c2d:2")}).to_string().as_bytes()).expect("downlinks");
        world.step(Input::Push { device: "dev2".into(), downlinks }).answer.map_err(|refusal| refusal.status())
    };
    assert_eq!([push(), push(), push()], [Err(503), Err(503), Ok(())]);
}

#[test]
fn the_callers_ids_come_back_with_one_of_the_server_in_order() {
    let mut world = World::new(Class::C);
    let events = world.push(one("c2d:1")).events;
    for event in &events {
        let inside = &event.body[event.kind.as_str()]["correlation_ids"];
        let ids: Vec<&str> = inside.as_array().expect("ids").iter().filter_map(Value::as_str).collect();
        assert!(ids.len() == 2 && ids[0].starts_with("as:downlink:") && ids[1] == "c2d:1", "{ids:?}");
        assert_eq!(&event.body["correlation_ids"], inside);
    }
    let queued = &events[0].body["downlink_queued"];
    assert!(queued.get("f_cnt").is_none() && queued.get("session_key_id").is_none(), "{queued}");
    assert_eq!(events[1].body["downlink_sent"]["f_cnt"], 1);
}

#[test]
fn an_acknowledgement_comes_with_the_next_uplink() {
    let mut world = World::new(Class::A);
    world.push(confirmed("c2d:1"));
    assert_eq!(words(&world.uplink()), ["uplink_message", "downlink_sent"]);
    let events = world.uplink();
    assert_eq!(words(&events), ["downlink_ack", "uplink_message"]);
    let ack = &events[0].body;
    assert_eq!(ack["downlink_ack"]["confirmed_retry"], json!({"attempt": 1}));
    let outside: Vec<&str> = ack["correlation_ids"].as_array().expect("ids").iter().filter_map(Value::as_str).collect();
    assert!(outside.len() == 3 && outside[1] == "c2d:1" && outside[2].starts_with("gs:uplink:"), "{outside:?}");
    assert_eq!(ack["downlink_ack"]["correlation_ids"].as_array().map(Vec::len), Some(2));
}

#[test]
fn what_is_not_acknowledged_goes_behind_what_waits_with_a_new_counter_and_without_downlink_queued() {
    let mut world = World::new(Class::A);
    world.arm(1, Trouble::Nack);
    world.push(confirmed("c2d:1"));
    world.push(one("c2d:2"));
    world.uplink();
    let events = world.uplink();
    assert_eq!(words(&events), ["downlink_nack", "uplink_message", "downlink_sent"]);
    assert_eq!(events[0].body["downlink_nack"]["confirmed_retry"], json!({"attempt": 2}));
    assert_eq!(words(&world.uplink()), ["uplink_message", "downlink_sent"]);
    assert_eq!(words(&world.uplink()), ["downlink_ack", "uplink_message"]);
    let radioed = world.radioed();
    let sent: Vec<_> = radioed.iter().map(|it| (it.f_cnt, it.confirmed)).collect();
    assert_eq!(sent, [(1, true), (2, false), (3, true)]);
}

#[test]
fn after_its_attempts_a_confirmed_downlink_fails_and_the_last_nack_comes_behind() {
    for (max_attempts, times) in [(None, 8), (Some(3), 3)] {
        let mut world = World::with(DeviceSetup { acknowledges: false, ..DeviceSetup::new("dev1") }, Limits::default());
        let mut item = confirmed("c2d:1");
        if let Some(max) = max_attempts {
            item[0]["confirmed_retry"] = json!({"max_attempts": max, "attempt": 1});
        }
        world.push(item);
        world.uplink();
        for _ in 1..times {
            assert_eq!(words(&world.uplink()), ["downlink_nack", "uplink_message", "downlink_sent"]);
        }
        let events = world.uplink();
        assert_eq!(words(&events), ["downlink_failed", "downlink_nack", "uplink_message"]);
        assert_eq!(error_of(&events[0]), "max_retries_reached");
        assert_eq!(events[0].body["downlink_failed"]["error"]["attributes"], json!({"max_retries": times}));
        assert_eq!(world.radioed().len(), times);
        assert_eq!(words(&world.uplink()), ["uplink_message"]);
    }
}

#[test]
fn what_no_data_rate_carries_is_refused_and_told_to_have_failed() {
    let mut world = World::new(Class::A);
    let outcome = world.push(long(243));
    assert_eq!(refused(&outcome), (400, "application_downlink_too_long"));
    assert_eq!(words(&outcome.events), ["downlink_failed"]);
    assert_eq!(world.push(long(242)).answer, Ok(()));
}

#[test]
fn what_the_data_rate_of_the_moment_does_not_carry_fails_and_the_next_one_goes_in_its_place() {
    for (window, rx2, max) in [
        (DataRate::DR0, DataRate::DR0, 51),
        (DataRate::DR2, DataRate::DR0, 51),
        (DataRate::DR0, DataRate::DR3, 115),
        (DataRate::DR3, DataRate::DR0, 115),
        (DataRate::DR4, DataRate::DR0, 242),
    ] {
        let setup = DeviceSetup { rx2_data_rate: rx2, ..DeviceSetup::new("dev1") };
        let mut world = World::with(setup, Limits::default());
        if max < 242 {
            world.push(long(max + 1));
        }
        world.push(long(max));
        let events = world.uplink_at(window);
        if max < 242 {
            assert_eq!(words(&events), ["uplink_message", "downlink_failed", "downlink_sent"], "{window:?} {rx2:?}");
            assert_eq!(
                events[1].body["downlink_failed"]["error"]["attributes"],
                json!({"length": max + 1, "max": max})
            );
        } else {
            assert_eq!(words(&events), ["uplink_message", "downlink_sent"], "{window:?} {rx2:?}");
        }
        assert_eq!(world.radioed().len(), 1);
    }
}

#[test]
fn each_refusal_is_the_stacks_and_says_whether_an_event_tells_it_too() {
    let item = |changed: Value| {
        let mut item = one("c2d:1");
        for (name, value) in changed.as_object().expect("members") {
            item[0][name] = value.clone();
        }
        item
    };
    for (push, status, name, is_told) in [
        (item(json!({"f_port": 0})), 400, "no_f_port", true),
        (item(json!({"frm_payload": null})), 400, "no_payload", false),
        (json!([{"f_port": 0}]), 400, "no_payload", false),
        (
            item(json!({"confirmed": true, "confirmed_retry": {"max_attempts": 33}})),
            400,
            "downlink_max_retries_invalid",
            false,
        ),
        (item(json!({"class_b_c": {"absolute_time": "2026-02-12T15:15:48.499Z"}})), 400, "downlink_expired", true),
    ] {
        let mut world = World::new(Class::A);
        // All or none: a good one goes with it.
        let outcome = world.push(json!([one("c2d:0")[0], push[0]]));
        assert_eq!(refused(&outcome), (status, name));
        let told = if is_told { vec!["downlink_failed"; 2] } else { Vec::new() };
        assert_eq!(words(&outcome.events), told, "{name}");
        assert_eq!(world.waiting(), Vec::<Value>::new(), "{name}");
    }
}

#[test]
fn without_a_session_nothing_is_queued_until_the_device_joins() {
    let mut world = World::with(DeviceSetup { joined: false, ..DeviceSetup::new("dev1") }, Limits::default());
    let outcome = world.push(one("c2d:1"));
    assert_eq!(refused(&outcome), (400, "no_device_session"));
    assert_eq!(words(&outcome.events), ["downlink_failed"]);
    assert_eq!(words(&world.step(Input::Join("dev1".into())).events), ["join_accept"]);
    assert_eq!(world.push(one("c2d:2")).answer, Ok(()));
    world.step(Input::Remove("dev1".into())).answer.expect("removed");
    let outcome = world.push(one("c2d:3"));
    assert_eq!((refused(&outcome), outcome.events.len()), ((404, "device_not_found"), 0));
}

#[test]
fn a_full_queue_takes_nothing_more_and_keeps_what_it_has() {
    let mut world = World::with(DeviceSetup::new("dev1"), Limits { queue_capacity: 2, ..Limits::default() });
    world.push(json!([one("c2d:1")[0], one("c2d:2")[0]]));
    let outcome = world.push(one("c2d:3"));
    assert_eq!(refused(&outcome), (429, "downlink_queue_capacity"));
    assert_eq!(words(&outcome.events), ["downlink_failed"]);
    assert_eq!(world.waiting().len(), 2);
    // What was refused used up no counter.
    world.uplink();
    world.push(one("c2d:4"));
    assert_eq!(world.waiting()[1]["f_cnt"], 3);
}

#[test]
fn replaced_downlinks_go_without_an_event_and_an_empty_replace_clears() {
    let mut world = World::new(Class::A);
    world.push(json!([one("c2d:1")[0], one("c2d:2")[0]]));
    let replaced = world.replace(one("c2d:3"));
    assert_eq!(words(&replaced.events), ["downlink_queued"]);
    assert_eq!(world.waiting().len(), 1);
    assert_eq!(world.waiting()[0]["f_cnt"], 3);
    assert_eq!(refused(&world.replace(long(243))), (400, "application_downlink_too_long"));
    assert_eq!(world.waiting().len(), 1, "a replace that is refused replaces nothing");
    let cleared = world.replace(json!([]));
    assert_eq!((cleared.answer, cleared.events), (Ok(()), vec![]));
    assert_eq!(words(&world.uplink()), ["uplink_message"]);
    assert_eq!(world.radioed(), []);
}

#[test]
fn a_queue_moves_to_the_new_session_of_a_device_that_joins_again() {
    let mut world = World::new(Class::A);
    world.push(one("c2d:1"));
    world.uplink();
    world.push(one("c2d:2"));
    let before = world.application.view("dev1").expect("dev1").session_key_id;
    world.step(Input::Join("dev1".into()));
    let after = world.application.view("dev1").expect("dev1");
    assert_ne!(after.session_key_id, before);
    assert_eq!((after.queue.len(), &after.queue[0]["f_cnt"]), (1, &json!(1)));
    assert_eq!(words(&world.uplink()), ["uplink_message", "downlink_sent"]);
}

#[test]
fn a_downlink_for_class_b_or_c_never_goes_in_a_window_of_class_a_and_waits_for_its_time() {
    let at = json!({"absolute_time": "2026-02-12T15:16:46Z"});
    let item = json!([{"f_port": 1, "frm_payload": "AQ", "class_b_c": at}]);
    let mut world = World::new(Class::A);
    world.push(item.clone());
    assert_eq!(words(&world.uplink()), ["uplink_message"]);
    let mut world = World::new(Class::C);
    world.push(item);
    assert_eq!(words(&world.later(59_999)), Vec::<&str>::new());
    assert_eq!(words(&world.later(1)), ["downlink_sent"]);
}

#[test]
fn an_object_goes_through_the_formatter_and_bytes_win_over_it() {
    let formatter = Some(Encoded { f_port: 7, frm_payload: "AQI=".into() });
    let mut world =
        World::with(DeviceSetup { class: Class::C, formatter, ..DeviceSetup::new("dev1") }, Limits::default());
    world.push(json!([{"decoded_payload": {"valve": "open"}}]));
    world.push(json!([{"f_port": 9, "decoded_payload": {"valve": "open"}, "frm_payload": "Aw=="}]));
    let sent: Vec<_> = world.radioed().iter().map(|it| (it.f_port, it.frm_payload.clone())).collect();
    assert_eq!(sent, [(7, "AQI=".to_owned()), (9, "Aw==".to_owned())]);
}

#[test]
fn an_answer_that_fails_may_have_been_taken_or_not() {
    let answer = |status, taken| Trouble::Answer { status, retry_after_s: Some(7), taken };
    let mut world = World::new(Class::A);
    world.arm(1, answer(429, false));
    world.arm(1, answer(504, true));
    let outcome = world.push(one("c2d:1"));
    assert_eq!(refused(&outcome), (429, "rate_limit_exceeded"));
    assert_eq!(outcome.answer.expect_err("refused").retry_after_s, Some(7));
    assert_eq!((outcome.events, world.waiting().len()), (vec![], 0));
    let outcome = world.push(one("c2d:2"));
    assert_eq!(refused(&outcome).0, 504);
    assert_eq!((words(&outcome.events), world.waiting().len()), (vec!["downlink_queued"], 1));
    assert_eq!(world.push(one("c2d:3")).answer, Ok(()));
}

#[test]
fn events_may_be_lost_doubled_or_late() {
    let fate = |fate| Trouble::Event { kind: Some(EventKind::DownlinkSent), fate };
    let mut world = World::new(Class::C);
    world.arm(1, fate(Fate::Lost));
    world.arm(1, fate(Fate::Doubled));
    world.arm(1, fate(Fate::Delayed(5_000)));
    assert_eq!(words(&world.push(one("c2d:1")).events), ["downlink_queued"]);
    assert_eq!(words(&world.push(one("c2d:2")).events), ["downlink_queued", "downlink_sent", "downlink_sent"]);
    assert_eq!(words(&world.push(one("c2d:3")).events), ["downlink_queued"]);
    assert_eq!(words(&world.later(4_999)), Vec::<&str>::new());
    assert_eq!(words(&world.later(1)), ["downlink_sent"]);
    assert_eq!(world.radioed().len(), 3, "the radio knows nothing of that");
    let lost: Vec<bool> = world.application.told(1).map(|told| told.is_lost).collect();
    assert_eq!(lost, [true, false, false, false, false, false]);
}

#[test]
fn a_transmission_that_fails_is_told_and_is_not_on_the_air() {
    let mut world = World::new(Class::A);
    world.arm(1, Trouble::Fail(Failure::default()));
    world.push(json!([one("c2d:1")[0], one("c2d:2")[0]]));
    let events = world.uplink();
    assert_eq!(words(&events), ["uplink_message", "downlink_failed"]);
    assert_eq!(error_of(&events[1]), "transmission");
    assert_eq!(world.radioed(), []);
    assert_eq!(words(&world.uplink()), ["uplink_message", "downlink_sent"]);
}

#[test]
fn a_confirmed_downlink_that_a_gateway_failed_to_transmit_is_sent_again_after_all() {
    let mut world = World::new(Class::A);
    world.arm(1, Trouble::Fail(Failure::default()));
    world.push(confirmed("c2d:1"));
    let events = world.uplink();
    assert_eq!(words(&events), ["uplink_message", "downlink_failed"]);
    assert!(events[1].body["downlink_failed"]["downlink"].get("confirmed_retry").is_none());
    // The device, which heard nothing, acknowledges nothing.
    assert_eq!(words(&world.uplink()), ["downlink_nack", "uplink_message", "downlink_sent"]);
    assert_eq!(world.radioed().len(), 1);
    // What no gateway took is gone.
    let fixed = Failure { name: "fixed_paths".into(), ..Failure::default() };
    world.arm(1, Trouble::Fail(fixed));
    world.uplink();
    world.push(confirmed("c2d:2"));
    assert_eq!(words(&world.uplink()), ["uplink_message", "downlink_failed"]);
    assert_eq!(words(&world.uplink()), ["uplink_message"]);
}

#[test]
fn what_is_kept_is_bounded_and_the_numbers_go_on() {
    let mut world = World::new(Class::A);
    world.push(vec![one("c2d:1")[0].clone(); EVENTS_MAX + 10].into());
    let told: Vec<u64> = world.application.told(0).map(|told| told.number).collect();
    assert_eq!((told.len(), told.first(), told.last()), (EVENTS_MAX, Some(&11), Some(&(EVENTS_MAX as u64 + 10))));
    assert_eq!(world.application.told(EVENTS_MAX as u64).count(), 10);
    for armed in 0..=FAULTS_MAX {
        let fault = Fault { device: None, times: 1, trouble: Trouble::Nack };
        assert_eq!(world.step(Input::Arm(fault)).answer.is_ok(), armed < FAULTS_MAX);
    }
}

#[test]
fn an_invalidated_queue_is_told_of_and_empty() {
    let mut world = World::new(Class::A);
    world.push(json!([one("c2d:1")[0], one("c2d:2")[0]]));
    let events = world.step(Input::Invalidate("dev1".into())).events;
    let told = &events[0].body["downlink_queue_invalidated"];
    assert_eq!((told["downlinks"].as_array().map(Vec::len), &told["last_f_cnt_down"]), (Some(2), &json!(2)));
    assert_eq!(world.waiting(), Vec::<Value>::new());
}

#[test]
fn the_same_story_is_told_in_the_same_words() {
    let story = || {
        let mut world = World::new(Class::A);
        world.push(json!([confirmed("c2d:1")[0], long(243)[0]]));
        world.push(confirmed("c2d:2"));
        [world.uplink(), world.uplink()].concat()
    };
    assert_eq!(story(), story());
}

#[test]
fn a_body_is_read_as_proto_reads_json() {
    let read = |body: &str| read(body.as_bytes());
    let lenient = r#"{"downlinks":[{"fPort":3,"frmPayload":"-_8","priority":5,"else":1}],"more":{}}"#;
    let downlink = read(lenient).expect("lenient").remove(0);
    assert_eq!((downlink.f_port, downlink.frm_payload, downlink.priority), (3, Some(vec![0xFB, 0xFF]), 5));
    assert_eq!(read("{}").expect("empty").len(), 0);
    for (body, name) in [
        ("[", "decode_body"),
        (r#"{"downlinks":[{"priority":"URGENT"}]}"#, "decode_body"),
        (r#"{"downlinks":[{"priority":7}]}"#, "decode_body"),
        (r#"{"downlinks":[{"frm_payload":"?"}]}"#, "decode_body"),
        (r#"{"downlinks":[{"f_port":256}]}"#, "validate_body"),
        (r#"{"downlinks":[{"f_port":224}]}"#, "validate_body"),
    ] {
        assert_eq!(read(body).expect_err(body).name, name, "{body}");
    }
    let id = "x".repeat(101);
    let body = json!({"downlinks": [{"correlation_ids": [id]}]}).to_string();
    assert_eq!(read(&body).expect_err("too long").name, "validate_body");
}
