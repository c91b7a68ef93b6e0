//! Trouble on request, at each moment of a link's life.

use std::time::Duration;

use amqp::connection::{Ended, Event, Fate, LinkId};
use amqp::performative::DeliveryState;
use serde_json::{Value, json};
use simulator::Simulator;

use crate::client::{A_WHILE, Client, accepted, code, eventually, rejected, set_faults, with_devices};
use crate::https::Device;

/// Every condition that a hub is known to name.
const CONDITIONS: [&str; 26] = [
    "amqp:unauthorized-access",
    "amqp:not-found",
    "com.microsoft:device-not-found",
    "amqp:not-allowed",
    "com.microsoft:argument-error",
    "com.microsoft:argument-out-of-range",
    "amqp:resource-limit-exceeded",
    "amqp:link:message-size-exceeded",
    "com.microsoft:device-container-throttled",
    "com.microsoft:timeout",
    "com.microsoft:message-lock-lost",
    "amqp:precondition-failed",
    "com.microsoft:precondition-failed",
    "com.microsoft:iot-hub-not-found-error",
    "com.microsoft:iot-hub-suspended",
    "amqp:internal-error",
    "amqp:link:detach-forced",
    "amqp:link:stolen",
    "com.microsoft:link-creation-conflict",
    "amqp:link:transfer-limit-exceeded",
    "amqp:resource-locked",
    "amqp:decode-error",
    "amqp:invalid-field",
    "amqp:illegal-state",
    "amqp:not-implemented",
    "amqp:resource-deleted",
];

fn fault(state: &str, action: Value) -> Value {
    json!({"amqp": {"faults": [{"devices": ["d1"], "state": state, "when": {"next": 1}, "action": action}]}})
}

/// A device with a link, and another that is to be left alone.
async fn linked(simulator: &Simulator) -> (Client, LinkId, LinkId) {
    let mut client = Client::connect(simulator).await;
    let link = client.telemetry(&Device::new(simulator, "d1")).await;
    let other = client.telemetry(&Device::new(simulator, "d2")).await;
    (client, link, other)
}

#[tokio::test]
async fn every_condition_detaches_an_idle_link_at_once_and_no_other() {
    let simulator = with_devices(&["d1", "d2"]).await;
    let (mut client, mut link, other) = linked(&simulator).await;
    for condition in CONDITIONS {
        set_faults(&simulator, fault("idle", json!({"detach": {"condition": condition}})));
        assert_eq!(client.closed_with(link).await.condition.as_str(), condition);
        link = client.telemetry(&Device::new(&simulator, "d1")).await;
        assert_eq!((client.send(link, "1").await, client.send(other, "2").await), (accepted(), accepted()));
    }
    assert_eq!(simulator.counts().amqp.faults.get("detach"), Some(&(CONDITIONS.len() as u64)));
}

#[tokio::test]
async fn every_condition_meets_a_message_before_and_after_it_is_recorded() {
    let simulator = with_devices(&["d1", "d2"]).await;
    let (mut client, mut link, _) = linked(&simulator).await;
    let mut recorded = 0;
    for condition in CONDITIONS {
        for (state, more) in [("mid_transfer", 0), ("unsettled", 1)] {
            set_faults(&simulator, fault(state, json!({"reject": {"condition": condition}})));
            assert_eq!(rejected(client.send(link, "1").await).condition.as_str(), condition);
            set_faults(&simulator, fault(state, json!({"detach": {"condition": condition}})));
            assert_eq!(client.send(link, "1").await, Fate::Lost { written: true });
            assert_eq!(client.closed_with(link).await.condition.as_str(), condition);
            link = client.telemetry(&Device::new(&simulator, "d1")).await;
            recorded += 2 * more;
            assert_eq!(simulator.counts().messages_total, recorded, "{condition} {state}");
        }
    }
}

#[tokio::test]
async fn a_message_is_given_back_or_never_answered() {
    let simulator = with_devices(&["d1", "d2"]).await;
    let (mut client, link, other) = linked(&simulator).await;
    set_faults(&simulator, fault("mid_transfer", json!("release")));
    assert_eq!(client.send(link, "1").await, Fate::Settled(Some(DeliveryState::Released)));
    set_faults(&simulator, fault("unsettled", json!("modify")));
    let Fate::Settled(Some(DeliveryState::Modified { delivery_failed: true, .. })) = client.send(link, "1").await
    else {
        panic!("not modified")
    };
    set_faults(&simulator, fault("unsettled", json!("no_disposition")));
    client.post(link, crate::client::data("silence"));
    assert_eq!(client.send(other, "2").await, accepted());
    let done = |event: &Event| matches!(event, Event::Done(sent, _) if sent.link() == link).then_some(());
    assert!(client.within(A_WHILE, done).await.is_none());
    assert_eq!(simulator.counts().messages.get("d1"), Some(&2), "those that were recorded and not accepted");
}

#[tokio::test]
async fn a_message_of_many_frames_is_stopped_in_its_middle() {
    let simulator = with_devices(&["d1", "d2"]).await;
    for action in [
        json!({"detach": {"condition": "amqp:link:detach-forced"}}),
        json!({"end": {"condition": "amqp:session:window-violation"}}),
        json!({"close": {"condition": "amqp:connection:forced"}}),
        json!("drop"),
        json!("steal"),
        json!("expire_token"),
    ] {
        let mut faults = fault("mid_transfer", action.clone());
        faults["amqp"]["session_window"] = json!(1);
        faults["amqp"]["frame_bytes_max"] = json!(4096);
        set_faults(&simulator, faults);
        let (mut client, link, _) = linked(&simulator).await;
        client.post(link, crate::client::data(&"x".repeat(100_000)));
        assert_eq!(client.fate(link).await, Fate::Lost { written: true }, "{action}");
        assert_eq!(simulator.counts().messages_total, 0, "{action}");
    }
}

#[tokio::test]
async fn a_message_is_held_in_its_middle_and_goes_on() {
    let simulator = with_devices(&["d1", "d2"]).await;
    let mut faults = fault("mid_transfer", json!({"delay": {"ms": 500}}));
    faults["amqp"]["session_window"] = json!(1);
    set_faults(&simulator, faults);
    let (mut client, link, _) = linked(&simulator).await;
    client.post(link, crate::client::data(&"x".repeat(200_000)));
    let done = |event: &Event| matches!(event, Event::Done(sent, _) if sent.link() == link).then_some(());
    assert!(client.within(Duration::from_millis(200), done).await.is_none());
    assert_eq!(client.fate(link).await, accepted());
}

#[tokio::test]
async fn sessions_and_connections_end_with_their_words() {
    let simulator = with_devices(&["d1", "d2"]).await;
    let (mut client, link, other) = linked(&simulator).await;
    set_faults(&simulator, fault("unsettled", json!({"end": {"condition": "amqp:internal-error"}})));
    assert_eq!(client.send(link, "1").await, Fate::Lost { written: true });
    let error = client
        .until("the end of the session", |event| match event {
            Event::SessionEnded(_, error) => Some(error.clone()),
            _ => None,
        })
        .await
        .unwrap();
    assert_eq!((error.condition.as_str(), code(&error)), ("amqp:internal-error", 500_001));
    assert_eq!(client.send(other, "2").await, accepted(), "its session is another");
    let link = client.telemetry(&Device::new(&simulator, "d1")).await;
    set_faults(
        &simulator,
        fault("unsettled", json!({"close": {"condition": "amqp:connection:forced", "description": "mine"}})),
    );
    assert_eq!(client.send(link, "3").await, Fate::Lost { written: true });
    let Ended::ByPeer(Some(error)) = client.ended().await else { panic!("not by the peer") };
    assert_eq!((error.condition.as_str(), error.description.as_deref()), ("amqp:connection:forced", Some("mine")));
    assert_eq!(simulator.counts().messages_total, 3);
}

#[tokio::test]
async fn tokens_and_attaches_meet_trouble_too() {
    let simulator = with_devices(&["d1", "d2"]).await;
    let device = Device::new(&simulator, "d1");
    let mut client = Client::connect(&simulator).await;
    set_faults(&simulator, fault("cbs", json!({"cbs": {"status": 500, "description": "busy"}})));
    assert_eq!(client.put_token(&device.hub_token()).await, (500, "busy".to_owned()));
    assert_eq!(client.put_token(&device.hub_token()).await.0, 200);
    set_faults(
        &simulator,
        fault("attach", json!({"detach": {"condition": "amqp:link:detach-forced", "info": {"x": 1}}})),
    );
    let session = client.begin().await;
    let address = "/devices/d1/messages/events";
    let link = client.sender(session, address).await;
    let error = client.closed_with(link).await;
    assert_eq!((error.condition.as_str(), error.info.get("x")), ("amqp:link:detach-forced", Some(&1_i32.into())));
    set_faults(&simulator, fault("attach", json!({"delay": {"ms": 200}})));
    let link = client.sender(session, address).await;
    assert_eq!(client.send(link, "1").await, accepted());
    set_faults(&simulator, fault("idle", json!("expire_token")));
    assert_eq!(client.closed_with(link).await.description.as_deref(), Some("Token Invalid."));
    let link = client.sender(session, address).await;
    assert_eq!(client.closed_with(link).await.condition.as_str(), "amqp:unauthorized-access");
}

#[tokio::test]
async fn faults_act_in_their_order_each_as_often_as_it_says() {
    let simulator = with_devices(&["d1", "d2"]).await;
    let (mut client, link, other) = linked(&simulator).await;
    let reject = |condition: &str, when: Value, devices: Value| json!({"devices": devices, "state": "unsettled", "when": when, "action": {"reject": {"condition": condition}}});
    set_faults(
        &simulator,
        json!({"amqp": {"faults": [
            reject("amqp:internal-error", json!({"next": 2}), json!(["d1"])),
            reject("com.microsoft:timeout", json!({"every": 2}), json!([])),
        ]}}),
    );
    let mut seen = Vec::new();
    for link in [other, link, link, link, link] {
        seen.push(match client.send(link, "1").await {
            Fate::Settled(Some(DeliveryState::Rejected(Some(error)))) => error.condition.as_str().to_owned(),
            fate => format!("{}", u8::from(fate == accepted())),
        });
    }
    assert_eq!(seen, ["1", "amqp:internal-error", "amqp:internal-error", "com.microsoft:timeout", "1"]);
}

#[tokio::test]
async fn all_connections_are_reset_or_fall_silent_at_once_and_new_ones_are_served() {
    let simulator = with_devices(&["d1", "d2"]).await;
    let (mut client, ..) = linked(&simulator).await;
    set_faults(&simulator, json!({"amqp": {"all": "drop"}}));
    assert_eq!(client.ended().await, Ended::Cut);
    let (mut client, link, _) = linked(&simulator).await;
    set_faults(&simulator, json!({"amqp": {"all": "half_open"}}));
    eventually("the silent one is let go", || simulator.counts().amqp.connections_now == 0).await;
    client.post(link, crate::client::data("1"));
    let heard = |event: &Event| matches!(event, Event::Done(..) | Event::Detached(..) | Event::Ended(_)).then_some(());
    assert!(client.within(A_WHILE, heard).await.is_none(), "it is silent");
    let (mut client, link, _) = linked(&simulator).await;
    assert_eq!(client.send(link, "2").await, accepted());
    assert_eq!(simulator.counts().messages_total, 1);
}

#[tokio::test]
async fn a_dropped_connection_is_reset_not_closed() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let simulator = with_devices(&[]).await;
    let mut wire = crate::https::tls_to(&simulator, simulator.started().amqp).await;
    wire.write_all(b"AMQP\x00\x01\x00\x00").await.unwrap();
    let mut header = [0; 8];
    wire.read_exact(&mut header).await.unwrap();
    set_faults(&simulator, json!({"amqp": {"all": "drop"}}));
    assert_eq!(wire.read_u8().await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn what_happens_to_links_is_counted() {
    let simulator = with_devices(&["d1", "d2"]).await;
    let (mut client, link, other) = linked(&simulator).await;
    let (mut newer, _, _) = linked(&simulator).await;
    client.closed_with(link).await;
    client.closed_with(other).await;
    set_faults(&simulator, fault("idle", json!({"detach": {}})));
    let detached = |event: &Event| matches!(event, Event::Detached(..)).then_some(());
    newer.until("the detach", detached).await;
    drop(newer);
    eventually("the connection is gone", || simulator.counts().amqp.connections_now == 1).await;
    let counts = simulator.counts().amqp;
    let expected = [("amqp:link:stolen", 2), ("with_connection", 3), ("without_error", 1)];
    assert_eq!(counts.detaches, expected.map(|(reason, count)| (reason.to_owned(), count)).into());
    assert_eq!((counts.connections_ever, counts.attaches.get("telemetry")), (2, Some(&4)));
    assert_eq!((counts.put_tokens, counts.faults), ([(200, 4)].into(), [("detach", 1)].into()));
}

#[tokio::test]
async fn a_link_has_the_credit_that_is_asked_for_and_answers_come_late() {
    let simulator = with_devices(&["d1", "d2"]).await;
    set_faults(&simulator, json!({"amqp": {"link_credit": 2, "accept_delay_ms": 300}}));
    let (mut client, link, _) = linked(&simulator).await;
    for _ in 0..3 {
        client.post(link, crate::client::data("1"));
    }
    client.within(Duration::from_millis(150), |_| None::<()>).await;
    assert_eq!((client.engine.waiting(link), simulator.counts().messages_total), (1, 2), "the third waits for credit");
    for _ in 0..3 {
        assert_eq!(client.fate(link).await, accepted());
    }
}

#[tokio::test]
async fn faults_of_the_hub_are_told_where_the_hub_tells_them() {
    let simulator = with_devices(&["d1", "d2"]).await;
    let (mut client, link, _) = linked(&simulator).await;
    let refuse = |answer: Value| json!({"hub": {"refuse": [{"ids": ["d1"], "answer": answer}]}});
    for (faults, condition, number) in [
        (refuse(json!("quota")), "amqp:resource-limit-exceeded", 403_002),
        (refuse(json!("throttled")), "com.microsoft:device-container-throttled", 429_001),
        (json!({"hub": {"throttle": {"when": {"next": 1}}}}), "com.microsoft:device-container-throttled", 429_001),
    ] {
        set_faults(&simulator, faults);
        let error = rejected(client.send(link, "1").await);
        assert_eq!((error.condition.as_str(), code(&error)), (condition, number));
    }
    let mut link = link;
    for (answer, condition, status) in [
        (json!("unauthorized"), "amqp:unauthorized-access", 401),
        (json!("not_found"), "amqp:not-found", 404),
        (json!("disabled"), "amqp:unauthorized-access", 401),
        (json!("unavailable"), "amqp:link:detach-forced", 503),
    ] {
        set_faults(&simulator, refuse(answer));
        assert_eq!(client.send(link, "1").await, Fate::Lost { written: true });
        assert_eq!(client.closed_with(link).await.condition.as_str(), condition);
        assert_eq!(client.put_token(&Device::new(&simulator, "d1").hub_token()).await.0, status);
        set_faults(&simulator, json!({}));
        link = client.telemetry(&Device::new(&simulator, "d1")).await;
    }
    assert_eq!(simulator.counts().messages_total, 0);
}

#[tokio::test]
async fn a_hub_that_is_away_takes_its_connections_along() {
    let simulator = with_devices(&["d1", "d2"]).await;
    let (mut client, ..) = linked(&simulator).await;
    set_faults(&simulator, json!({"hub": {"outage": "unavailable"}}));
    let Ended::ByPeer(Some(error)) = client.ended().await else { panic!("not by the peer") };
    assert_eq!(error.condition.as_str(), "amqp:connection:forced");
    set_faults(&simulator, json!({}));
    let (mut client, link, _) = linked(&simulator).await;
    set_faults(&simulator, json!({"hub": {"lose_answer": {"next": 1}}}));
    client.post(link, crate::client::data("1"));
    assert_eq!(client.ended().await, Ended::Cut);
    assert_eq!((simulator.counts().messages_total, simulator.counts().answers_lost), (1, 1));
}

#[tokio::test]
async fn a_gateway_of_the_first_generation_closes_links_of_a_device_that_is_switched_off() {
    let simulator = with_devices(&["d1", "d2"]).await;
    set_faults(&simulator, json!({"amqp": {"gateway": "gwv1"}}));
    let (mut client, link, other) = linked(&simulator).await;
    simulator.set_status("d1", simulator::Status::Disabled).unwrap();
    let detachment = client.detached(link).await;
    assert_eq!((detachment.closed, detachment.error), (true, None));
    assert_eq!(client.send(other, "1").await, accepted());
}

#[tokio::test]
async fn a_full_backlog_refuses_the_message_and_then_lets_its_device_go() {
    let simulator = with_devices(&["d1", "d2"]).await;
    let number = json!({"status": {"status": 429, "error_code": 429_002, "name": "ThrottleBacklogLimitExceeded"}});
    for (answer, token) in [(json!("backlog_full"), 429), (number, 200)] {
        for late in [json!({}), json!({"accept_delay_ms": 50})] {
            set_faults(&simulator, json!({}));
            let (mut client, link, other) = linked(&simulator).await;
            let session = client.begin().await;
            let c2d = client.receiver(session, "/devices/d1/messages/devicebound").await;
            let refuse = json!([{"ids": ["d1"], "answer": answer}]);
            set_faults(&simulator, json!({"hub": {"refuse": refuse}, "amqp": late}));
            let error = rejected(client.send(link, "1").await);
            let wanted = ("com.microsoft:device-container-throttled", 429_002);
            assert_eq!((error.condition.as_str(), code(&error)), wanted);
            for link in [link, c2d] {
                let error = client.closed_with(link).await;
                assert_eq!((error.condition.as_str(), code(&error)), wanted);
            }
            assert_eq!(client.send(other, "2").await, accepted(), "it is not about others");
            assert_eq!(client.put_token(&Device::new(&simulator, "d1").hub_token()).await.0, token);
        }
    }
    assert_eq!(simulator.counts().messages_total, 4);
}
