//! The members of each event and error, beside those of samples that others published
//! (`crates/lorawan/samples/README.md` says from where they are). What differs is listed, with the reason; anything
//! else that differs fails.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tts_sim::{Application, DataRate, DeviceSetup, Failure, Fault, Input, Limits, Trouble, Uplink, read};

macro_rules! sample {
    ($name:literal) => {
        include_str!(concat!("../../lorawan/samples/", $name, ".json"))
    };
}

/// Paths of all members; items of a list count as one. What an application put in is not looked into.
fn paths(value: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, path: &str, paths: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    let path = format!("{path}.{name}");
                    if !["decoded_payload", "attributes"].contains(&name.as_str()) {
                        walk(value, &path, paths);
                    }
                    paths.insert(path);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, &format!("{path}[]"), paths)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    walk(value, "", &mut found);
    found
}

fn assert_shape(what: &str, ours: &Value, sample: &str, lacks: &[&str], has_more: &[&str]) {
    let (ours, theirs) = (paths(ours), paths(&serde_json::from_str(sample).expect("a sample")));
    let below = |path: &String, roots: &[&str]| roots.iter().any(|root| path.starts_with(root));
    let missing: Vec<_> = theirs.difference(&ours).filter(|path| !below(path, lacks)).collect();
    let more: Vec<_> = ours.difference(&theirs).filter(|path| !below(path, has_more)).collect();
    assert!(missing.is_empty() && more.is_empty(), "{what}: lacks {missing:?}, has {more:?} too");
    for listed in lacks {
        assert!(theirs.difference(&ours).any(|path| path.starts_with(listed)), "{what}: {listed} is not lacking");
    }
    for listed in has_more {
        assert!(ours.difference(&theirs).any(|path| path.starts_with(listed)), "{what}: {listed} is not more");
    }
}

/// One world for all: the body of the first event of this kind, and of the first that tells of this error.
struct Told(Vec<Value>);

impl Told {
    fn of(&self, key: &str) -> &Value {
        self.0.iter().find(|body| body.get(key).is_some()).unwrap_or_else(|| panic!("no {key}"))
    }

    fn failed(&self, name: &str) -> &Value {
        let is_it = |body: &&Value| body["downlink_failed"]["error"]["name"] == name;
        self.0.iter().find(is_it).unwrap_or_else(|| panic!("no {name}"))
    }
}

fn told() -> Told {
    let setup = DeviceSetup { rx2_data_rate: DataRate::DR0, ..DeviceSetup::new("dev1") };
    let mut application = Application::new("app1", Limits { default_attempts: 1, ..Limits::default() });
    let push = |item: Value| Input::Push {
        device: "dev1".into(),
        downlinks: read(json!({"downlinks": [item]}).to_string().as_bytes()).expect("a downlink"),
    };
    let item = |bytes: &str, confirmed: bool| {
        let mut item = json!({"f_port": 15, "frm_payload": bytes, "priority": "NORMAL", "confirmed": confirmed});
        item["correlation_ids"] = json!(["c2d:1e0bd5a8"]);
        push(item)
    };
    let up = |ack| {
        let frame = Uplink { f_port: 20, frm_payload: "AA5BAf0AxwIAAQ==".into(), ack: Some(ack), ..Uplink::default() };
        Input::Uplink(Uplink { device: "dev1".into(), data_rate: DataRate::DR0, ..frame })
    };
    let too_long = "A".repeat(4 * 82);
    let trouble = Trouble::Fail(Failure::default());
    let inputs = [
        Input::Add(setup),
        up(true), // frame 0: its counter is left out
        item("vu8=", false),
        up(true),
        item("vu8=", true),
        up(true),
        up(true), // acknowledged
        item("vu8=", true),
        up(true),
        up(false), // not acknowledged, and the last attempt
        item(&too_long[..4 * 20], false),
        up(true),
        Input::Arm(Fault { device: None, times: 1, trouble }),
        item("AAAA", false),
        up(true),
        item(&too_long, true),
        item("CgsM", false),
        Input::Invalidate("dev1".into()),
        Input::Join("dev1".into()),
    ];
    let steps = inputs.into_iter().flat_map(|input| application.step(input, 1_770_909_346_014).events);
    Told(steps.map(|event| event.body).collect())
}

#[test]
fn each_event_has_the_members_of_the_stacks_own() {
    let told = told();
    let uplink = told.0.iter().find(|body| body["uplink_message"]["f_cnt"] == 1).expect("frame 1");
    for (what, ours, sample, lacks, has_more) in [
        // The device has no formatter, and the gateway no place.
        (
            "uplink_message",
            uplink,
            sample!("061-v3-uplink_message-iobroker-live"),
            &[".uplink_message.decoded_payload", ".uplink_message.rx_metadata[].location"][..],
            &[][..],
        ),
        // The sample is of 2019; the source of 2024 hands on all ids of the device, and when it was received.
        (
            "downlink_queued",
            told.of("downlink_queued"),
            sample!("070-v3-downlink_queued-docs-nats"),
            &[],
            &[".end_device_ids.dev_", ".end_device_ids.join_eui", ".received_at"],
        ),
        ("downlink_ack", told.of("downlink_ack"), sample!("060-v3-downlink_ack-iobroker-live"), &[], &[]),
        ("downlink_nack", told.of("downlink_nack"), sample!("073-v3-downlink_nack-schema"), &[], &[]),
        (
            "max_retries_reached",
            told.failed("max_retries_reached"),
            sample!("074-v3-downlink_failed-schema-max-retries"),
            &[],
            &[],
        ),
        (
            "too long in its window",
            told.failed("application_downlink_too_long"),
            sample!("075-v3-downlink_failed-schema-too-long"),
            &[],
            &[],
        ),
        ("transmission", told.failed("transmission"), sample!("076-v3-downlink_failed-schema-transmission"), &[], &[]),
        (
            "downlink_queue_invalidated",
            told.of("downlink_queue_invalidated"),
            sample!("077-v3-downlink_queue_invalidated-schema"),
            &[],
            &[],
        ),
        // A device has neither attributes nor a profile here, and a join names no network.
        (
            "join_accept",
            told.of("join_accept"),
            sample!("091-v3-join_accept-schema-3.34"),
            &[".join_accept.attributes", ".join_accept.network_ids", ".join_accept.version_ids"],
            &[],
        ),
    ] {
        assert_shape(what, ours, sample, lacks, has_more);
    }
}

#[test]
fn what_fails_at_the_push_has_no_session_yet() {
    let told = told();
    let at_push = |body: &&Value| {
        let failed = &body["downlink_failed"];
        failed["error"]["attributes"]["max"] == 242 && failed["downlink"].get("f_cnt").is_none()
    };
    // The sample is older: no attributes, no attempts, and as for downlink_queued.
    assert_shape(
        "too long for all",
        told.0.iter().find(at_push).expect("refused at the push"),
        sample!("027-v3-downlink_failed-docs"),
        &[],
        &[
            ".downlink_failed.downlink.confirmed_retry",
            ".downlink_failed.error.attributes",
            ".end_device_ids.dev_",
            ".end_device_ids.join_eui",
            ".received_at",
        ],
    );
}

#[test]
fn a_confirmed_downlink_that_was_sent_has_the_members_of_the_sample() {
    let told = told();
    let is_it = |body: &&Value| body["downlink_sent"]["confirmed"] == true;
    let sent = told.0.iter().find(is_it).expect("a confirmed one");
    assert_shape("downlink_sent", sent, sample!("072-v3-downlink_sent-schema"), &[], &[]);
}

#[test]
fn errors_have_the_members_and_the_sentence_of_the_stacks_own() {
    let body = |refusal: tts_sim::Refusal| serde_json::from_slice::<Value>(&refusal.body()).expect("JSON");
    let mut application = Application::new("app1", Limits::default());
    let mut step = |input| application.step(input, 0).answer;
    step(Input::Add(DeviceSetup { joined: false, ..DeviceSetup::new("dev1") })).expect("a device");
    let push = Input::Push { device: "dev1".into(), downlinks: vec![] };
    let mut ours = body(step(push.clone()).expect_err("no session"));
    let sample: Value = serde_json::from_str(sample!("092-v3-error-push-no-session")).expect("a sample");
    ours["details"][0]["correlation_id"] = sample["details"][0]["correlation_id"].clone();
    assert_eq!(ours, sample);
    let trouble = Trouble::Answer { status: 429, retry_after_s: None, taken: false };
    step(Input::Arm(Fault { device: None, times: 1, trouble })).expect("armed");
    let limited = body(step(push).expect_err("limited"));
    // For webhooks the source has a sentence without figures.
    assert_shape("429", &limited, sample!("093-v3-error-rate-limit"), &[".details[].attributes"], &[]);
    let outcome = step(Input::Join("dev2".into())).expect_err("no such device");
    assert_eq!(body(outcome)["message"], "error:pkg/applicationserver:device_not_found (device `app1.dev2` not found)");
}
