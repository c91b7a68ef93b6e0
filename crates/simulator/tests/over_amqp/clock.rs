//! The simulator's time, put forward while clients are connected.

use amqp::message::Body;
use serde_json::Value as Json;
use simulator::{Options, Setup};

use crate::c2d::{commands, delivery, id_of, listens, service, text, to};
use crate::client::{Client, accepted, with_devices};
use crate::https::{Device, options};

#[tokio::test]
async fn a_leap_past_the_end_of_a_token_takes_the_links_of_its_device() {
    let simulator = with_devices(&["d1"]).await;
    let mut client = Client::connect(&simulator).await;
    let events = client.telemetry(&Device::new(&simulator, "d1")).await;
    simulator.forward(60).unwrap();
    assert_eq!(client.send(events, "1").await, accepted(), "an hour is not over");
    simulator.forward(3600).unwrap();
    let error = client.closed_with(events).await;
    assert_eq!(error.condition.as_str(), "amqp:unauthorized-access");
    let (status, text) = client.put_token(&Device::new(&simulator, "d1").hub_token()).await;
    assert_eq!(status, 401, "a client's own clock has not moved: {text}");
}

#[tokio::test]
async fn a_locked_message_comes_again_after_a_leap_of_61_seconds() {
    let simulator = with_devices(&["d1"]).await;
    let mut service = service(&simulator).await;
    let sender = commands(&mut service).await;
    service.send_bytes(sender, to("d1", "m1", text("x"))).await;
    let (mut device, link) = listens(&simulator, "d1").await;
    let held = delivery(&mut device, link).await;
    simulator.forward(61).unwrap();
    let again = delivery(&mut device, link).await;
    assert!(id_of(&again) == "m1" && again.tag != held.tag);
}

#[tokio::test]
async fn a_message_expires_as_the_hub_was_set() {
    let setup = Setup::parse(r#"{"cloud_to_device":{"default_ttl_s":60}}"#).unwrap();
    let simulator = simulator::start(Options { setup: Some(setup), ..options() }).await.unwrap();
    simulator.enrol(&["d1".to_owned()]).unwrap();
    let mut service = service(&simulator).await;
    let sender = commands(&mut service).await;
    service.send_bytes(sender, to("d1", "m1", text("x"))).await;
    simulator.forward(30).unwrap();
    assert_eq!(simulator.counts().c2d.get("expired"), None);
    simulator.forward(30).unwrap();
    assert_eq!(simulator.counts().c2d.get("expired"), Some(&1));
}

#[tokio::test]
async fn who_waits_for_feedback_hears_of_a_message_that_a_leap_made_expire() {
    let simulator = with_devices(&["d1"]).await;
    let mut service = service(&simulator).await;
    let session = service.begin().await;
    let feedback = service.receiver(session, "/messages/serviceBound/feedback").await;
    let sender = commands(&mut service).await;
    service.send_bytes(sender, to("d1", "m1", text("x"))).await;
    simulator.forward(3600 + 15).unwrap();
    let Body::Data(sections) = service.message(feedback).await.body else { panic!("no data") };
    let records: Json = serde_json::from_slice(&sections[0]).unwrap();
    assert_eq!(
        (records[0]["originalMessageId"].as_str(), records[0]["statusCode"].as_str()),
        (Some("m1"), Some("Expired"))
    );
}
