//! Messages to devices: sent by the service side, received and answered by devices, and told of.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use amqp::connection::{Delivery, Event, Fate, LinkId, Terms};
use amqp::message::{Body, Message, Properties};
use amqp::performative::{DeliveryState, ReceiverSettles, Target};
use amqp::value::Value;
use bytes::Bytes;
use serde_json::{Value as Json, json};
use simulator::{Options, Simulator};

use crate::client::{A_WHILE, Client, accepted, code, eventually, rejected, set_faults, with_devices};
use crate::https::{Device, now_ms, options, token, token_until};

/// A connection of the service side.
pub async fn service(simulator: &Simulator) -> Client {
    let mut client = Client::connect(simulator).await;
    assert_eq!(client.put_token(&owner_token(simulator)).await.0, 200);
    client
}

fn owner_token(simulator: &Simulator) -> String {
    let started = simulator.started();
    let key = started.service_connection_string.rsplit_once("SharedAccessKey=").unwrap().1;
    token_until(&started.hub, key, Some("iothubowner"), now_ms() / 1000 + 100 * 3600)
}

/// A message for a device, all feedback asked for.
pub fn to(device: &str, id: &str, body: Bytes) -> Bytes {
    Message {
        properties: Properties {
            to: Some(format!("/devices/{device}/messages/devicebound")),
            message_id: Some(id.into()),
            content_type: Some("text/plain".into()),
            ..Properties::default()
        },
        application_properties: vec![("iothub-ack".to_owned(), "full".into()), ("Port".to_owned(), "15".into())],
        body: Body::Data(vec![body]),
        ..Message::default()
    }
    .to_bytes()
}

pub fn text(body: &'static str) -> Bytes {
    Bytes::from_static(body.as_bytes())
}

pub async fn commands(client: &mut Client) -> LinkId {
    let session = client.begin().await;
    client.sender(session, "/messages/devicebound").await
}

/// A device that listens.
pub async fn listens(simulator: &Simulator, id: &str) -> (Client, LinkId) {
    let mut client = Client::connect(simulator).await;
    assert_eq!(client.put_token(&Device::new(simulator, id).hub_token()).await.0, 200);
    let session = client.begin().await;
    let link = client.receiver(session, &format!("/devices/{id}/messages/devicebound")).await;
    (client, link)
}

pub async fn delivery(client: &mut Client, link: LinkId) -> Delivery {
    client.until("a delivery", |event| of(event, link)).await
}

async fn no_delivery(client: &mut Client, link: LinkId) {
    assert_eq!(client.within(A_WHILE, |event| of(event, link)).await, None);
}

fn of(event: &Event, link: LinkId) -> Option<Delivery> {
    match event {
        Event::Delivered(id, delivery) if *id == link => Some(delivery.clone()),
        _ => None,
    }
}

pub fn id_of(delivery: &Delivery) -> String {
    match Message::decode(&delivery.payload).unwrap().properties.message_id {
        Some(amqp::message::MessageId::String(id)) => id,
        other => panic!("no text: {other:?}"),
    }
}

/// A simulator whose clock is moved by hand from now on.
async fn with_clock(devices: &[&str]) -> (Simulator, Arc<AtomicI64>) {
    let ahead = Arc::new(AtomicI64::new(0));
    let by = Arc::clone(&ahead);
    let clock = Arc::new(move || now_ms() + by.load(Ordering::Relaxed));
    let options = Options { clock, ..options() };
    let simulator = simulator::start(options).await.unwrap();
    simulator.enrol(&devices.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>()).unwrap();
    (simulator, ahead)
}

#[tokio::test]
async fn a_device_that_listens_gets_its_message_with_all_that_belongs_to_it() {
    let simulator = with_devices(&["Dev1"]).await;
    let (mut device, link) = listens(&simulator, "Dev1").await;
    let mut service = service(&simulator).await;
    let sender = commands(&mut service).await;
    assert_eq!(service.send_bytes(sender, to("Dev1", "m1", text("hello"))).await, accepted());
    let came = delivery(&mut device, link).await;
    assert!(came.tag.len() == 16 && !came.settled);
    let Message { message_annotations, properties, application_properties, body, .. } =
        Message::decode(&came.payload).unwrap();
    assert_eq!(properties.to.as_deref(), Some("/devices/Dev1/messages/devicebound"));
    assert_eq!(properties.content_type.unwrap().as_str(), "text/plain");
    assert!(properties.absolute_expiry_time.is_some_and(|at_ms| at_ms > now_ms() + 3_500_000));
    assert_eq!(message_annotations.get("x-opt-sequence-number"), Some(&Value::Ulong(1)));
    assert_eq!(message_annotations.get("iothub-deliverycount"), Some(&Value::Ubyte(0)));
    assert!(matches!(message_annotations.get("iothub-enqueuedtime"), Some(Value::Timestamp(_))));
    let lock = message_annotations.get("x-opt-lock-token").and_then(Value::as_str).unwrap().replace('-', "");
    let tag: String = came.tag.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((&lock[..2], &lock[16..]), (&tag[6..8], &tag[16..]), "the tag is the lock as .NET writes it");
    assert!(application_properties.contains(&("iothub-ack".to_owned(), "full".into())));
    assert!(application_properties.contains(&("Port".to_owned(), "15".into())));
    assert_eq!(body, Body::Data(vec![text("hello")]));
}

#[tokio::test]
async fn what_a_device_says_of_a_message_is_done() {
    let simulator = with_devices(&["d1"]).await;
    let mut service = service(&simulator).await;
    let sender = commands(&mut service).await;
    for id in ["m1", "m2"] {
        assert_eq!(service.send_bytes(sender, to("d1", id, text("x"))).await, accepted());
    }
    let (mut device, link) = listens(&simulator, "d1").await;
    let first = delivery(&mut device, link).await;
    let second = delivery(&mut device, link).await;
    assert_eq!((id_of(&first).as_str(), id_of(&second).as_str()), ("m1", "m2"));
    device.engine.settle(link, second.id, DeliveryState::Rejected(None));
    device.engine.settle(link, first.id, DeliveryState::Released);
    let again = delivery(&mut device, link).await;
    let count = Message::decode(&again.payload).unwrap().message_annotations;
    assert_eq!((id_of(&again).as_str(), count.get("iothub-deliverycount")), ("m1", Some(&Value::Ubyte(1))));
    device.engine.settle(link, again.id, DeliveryState::Accepted);
    device.flush().await;
    eventually("both have ended", || {
        let counts = simulator.counts().c2d;
        counts.get("completed") == Some(&1) && counts.get("rejected") == Some(&1)
    })
    .await;
    no_delivery(&mut device, link).await;
}

#[tokio::test]
async fn what_is_locked_comes_back_when_its_link_goes_and_after_a_minute() {
    let (simulator, ahead) = with_clock(&["d1"]).await;
    let mut service = service(&simulator).await;
    let sender = commands(&mut service).await;
    service.send_bytes(sender, to("d1", "m1", text("x"))).await;
    let (mut first, link) = listens(&simulator, "d1").await;
    delivery(&mut first, link).await;
    drop(first);
    let (mut second, link) = listens(&simulator, "d1").await;
    let held = delivery(&mut second, link).await;
    no_delivery(&mut second, link).await;
    ahead.fetch_add(60_000, Ordering::Relaxed);
    let again = delivery(&mut second, link).await;
    assert!(id_of(&again) == "m1" && again.tag != held.tag);
    second.engine.settle(link, held.id, DeliveryState::Accepted);
    second.flush().await;
    eventually("the lock is lost", || simulator.counts().hub_refused.contains_key("DeviceMessageLockLost")).await;
    assert_eq!(simulator.counts().c2d.get("completed"), None);
    second.engine.settle(link, again.id, DeliveryState::Accepted);
    second.flush().await;
    eventually("it is completed", || simulator.counts().c2d.get("completed") == Some(&1)).await;
}

#[tokio::test]
async fn a_link_gets_no_more_than_it_has_credit_for() {
    let simulator = with_devices(&["d1"]).await;
    let mut service = service(&simulator).await;
    let sender = commands(&mut service).await;
    for number in 0..30 {
        service.send_bytes(sender, to("d1", &format!("m{number}"), text("x"))).await;
    }
    let (mut device, link) = listens(&simulator, "d1").await;
    for _ in 0..10 {
        delivery(&mut device, link).await;
    }
    no_delivery(&mut device, link).await;
    assert_eq!(simulator.counts().c2d.get("handed_out"), Some(&10), "and no more are locked");
    device.engine.credit(link, 30);
    for number in 10..30 {
        assert_eq!(id_of(&delivery(&mut device, link).await), format!("m{number}"));
    }
}

#[tokio::test]
async fn each_way_of_refusing_a_message_has_its_condition() {
    let simulator = with_devices(&["d1", "d2"]).await;
    let mut service = service(&simulator).await;
    let session = service.begin().await;
    let sender = service.sender(session, "amqps://localhost/messages/devicebound").await;
    let refused = |fate| {
        let error = rejected(fate);
        (error.condition.as_str().to_owned(), code(&error))
    };
    let told = refused(service.send_bytes(sender, to("nobody", "m", text("x"))).await);
    assert_eq!(told, ("amqp:not-found".to_owned(), 404_001));
    let told = refused(service.send_bytes(sender, to("d1", "m", vec![0; 65_536].into())).await);
    assert_eq!(told, ("amqp:link:message-size-exceeded".to_owned(), 413_001));
    let told = refused(service.send_bytes(sender, to("d1", "not an id", text("x"))).await);
    assert_eq!(told, ("com.microsoft:argument-error".to_owned(), 400_004));
    for _ in 0..50 {
        assert_eq!(service.send_bytes(sender, to("d1", "m", text("x"))).await, accepted());
    }
    let told = refused(service.send_bytes(sender, to("d1", "m", text("x"))).await);
    assert_eq!(told, ("amqp:resource-limit-exceeded".to_owned(), 403_004));
    set_faults(&simulator, json!({"hub": {"refuse": [{"ids": ["d2"], "answer": "disabled"}]}}));
    let told = refused(service.send_bytes(sender, to("d2", "m", text("x"))).await);
    assert_eq!(told, ("amqp:unauthorized-access".to_owned(), 403_012));
    set_faults(&simulator, json!({}));
    assert_eq!(
        service.send_bytes(sender, to("d2", "m", text("x"))).await,
        accepted(),
        "the link has lived through all"
    );
}

#[tokio::test]
async fn only_policies_of_the_service_side_have_its_links() {
    let simulator = with_devices(&["d1"]).await;
    let mut client = Client::connect(&simulator).await;
    client.put_token(&Device::new(&simulator, "d1").hub_token()).await;
    let session = client.begin().await;
    let sender = client.sender(session, "/messages/devicebound").await;
    let error = client.closed_with(sender).await;
    assert_eq!((error.condition.as_str(), code(&error)), ("amqp:unauthorized-access", 401_003));
    for address in ["/messages/serviceBound/feedback", "/messages/serviceBound/filenotifications"] {
        let link = client.receiver(session, address).await;
        assert_eq!(client.closed_with(link).await.condition.as_str(), "amqp:unauthorized-access", "{address}");
    }
    let mut service = service(&simulator).await;
    let session = service.begin().await;
    let files = service.receiver(session, "/messages/serviceBound/filenotifications").await;
    assert_eq!(service.within(A_WHILE, |event| of(event, files).map(drop).or(gone(event, files))).await, None);
}

fn gone(event: &Event, link: LinkId) -> Option<()> {
    matches!(event, Event::Detached(id, _) if *id == link).then_some(())
}

#[tokio::test]
async fn feedback_is_told_to_whoever_waits_for_it() {
    let (simulator, ahead) = with_clock(&["d1"]).await;
    let mut service = service(&simulator).await;
    let session = service.begin().await;
    let feedback = service.receiver(session, "/messages/serviceBound/feedback").await;
    let sender = service.sender(session, "/messages/devicebound").await;
    let (mut device, link) = listens(&simulator, "d1").await;
    service.send_bytes(sender, to("d1", "m1", text("x"))).await;
    device.message(link).await;
    device.flush().await;
    eventually("it is completed", || simulator.counts().c2d.get("completed") == Some(&1)).await;
    service.send_bytes(sender, to("d1", "m2", text("x"))).await;
    delivery(&mut device, link).await;
    device.engine.detach(link, true, None);
    device.flush().await;
    no_delivery(&mut service, feedback).await;
    ahead.fetch_add(3_600_000, Ordering::Relaxed);
    let batch = service.message(feedback).await;
    assert_eq!(batch.properties.content_type.unwrap().as_str(), "application/vnd.microsoft.iothub.feedback.json");
    let Body::Data(sections) = batch.body else { panic!("no data") };
    let records: Json = serde_json::from_slice(&sections[0]).unwrap();
    assert_eq!(records[0]["originalMessageId"], "m1");
    assert_eq!(records[0]["statusCode"], "Success");
    assert_eq!(records[0]["deviceId"], "d1");
    if records.as_array().unwrap().len() == 1 {
        // The first was due before the second happened.
        ahead.fetch_add(15_000, Ordering::Relaxed);
        let batch = service.message(feedback).await;
        let Body::Data(sections) = batch.body else { panic!("no data") };
        let records: Json = serde_json::from_slice(&sections[0]).unwrap();
        assert_eq!((&records[0]["originalMessageId"], &records[0]["statusCode"]), (&json!("m2"), &json!("Expired")));
    } else {
        assert_eq!((&records[1]["originalMessageId"], &records[1]["statusCode"]), (&json!("m2"), &json!("Expired")));
    }
}

#[tokio::test]
async fn a_connection_of_the_service_side_ends_with_its_token() {
    let simulator = with_devices(&["d1"]).await;
    let started = simulator.started();
    let key = started.service_connection_string.rsplit_once("SharedAccessKey=").unwrap().1;
    let mut client = Client::connect(&simulator).await;
    let short = token_until(&started.hub, key, Some("iothubowner"), now_ms() / 1000 + 2);
    assert_eq!(client.put_token(&short).await.0, 200);
    let sender = commands(&mut client).await;
    assert_eq!(client.closed_with(sender).await.description.as_deref(), Some("Token Invalid."));
}

#[tokio::test]
async fn what_was_taken_survives_a_restart() {
    let dir = std::env::temp_dir().join(format!("c2d-restart-{}", std::process::id()));
    let with_dir = || Options { dir: Some(dir.clone()), ..options() };
    let simulator = simulator::start(with_dir()).await.unwrap();
    simulator.enrol(&["d1".to_owned()]).unwrap();
    let mut client = service(&simulator).await;
    let sender = commands(&mut client).await;
    for id in ["m1", "m2"] {
        assert_eq!(client.send_bytes(sender, to("d1", id, text("x"))).await, accepted());
    }
    let (mut device, link) = listens(&simulator, "d1").await;
    device.message(link).await;
    device.flush().await;
    eventually("it is completed", || simulator.counts().c2d.get("completed") == Some(&1)).await;
    drop(device);
    simulator.stop().await.unwrap();
    let simulator = simulator::start(with_dir()).await.unwrap();
    let (mut device, link) = listens(&simulator, "d1").await;
    assert_eq!(id_of(&delivery(&mut device, link).await), "m2");
    no_delivery(&mut device, link).await;
    std::fs::remove_dir_all(&dir).unwrap();
}

#[tokio::test]
async fn both_ways_at_once_and_in_bulk_neither_waits_for_the_other() {
    let simulator = with_devices(&["d1"]).await;
    let device = Device::new(&simulator, "d1");
    let mut service = service(&simulator).await;
    let sender = commands(&mut service).await;
    for number in 0..50 {
        let payload = to("d1", &format!("m{number}"), vec![0x41; 65_000].into());
        assert_eq!(service.send_bytes(sender, payload).await, accepted());
    }
    // This client reads nothing while it has something to write.
    let mut client = Client::connect(&simulator).await;
    let events = client.telemetry(&device).await;
    let session = client.begin().await;
    let link = client.receiver(session, "/devices/d1/messages/devicebound").await;
    client.engine.credit(link, 50);
    for _ in 0..200 {
        let body = Body::Data(vec![vec![0x42; 200_000].into()]);
        client.post(events, Message { body, ..Message::default() }.to_bytes());
    }
    let (mut sent, mut came) = (0, 0);
    while sent < 200 || came < 50 {
        let is_sent = client
            .until("an answer or a message", |event| match event {
                Event::Done(one, fate) if one.link() == events => {
                    assert_eq!(*fate, Fate::Settled(Some(DeliveryState::Accepted)));
                    Some(true)
                }
                event => of(event, link).map(|_| false),
            })
            .await;
        sent += i32::from(is_sent);
        came += i32::from(!is_sent);
    }
}

#[tokio::test]
async fn a_sender_that_asks_for_second_is_answered_first_and_settled() {
    let simulator = with_devices(&["d1"]).await;
    let mut service = service(&simulator).await;
    let session = service.begin().await;
    let terms = Terms {
        rcv_settle_mode: ReceiverSettles::Second,
        ..Terms::sender("python", Target::at("amqps://localhost/messages/devicebound"))
    };
    let link = service.engine.attach(session, terms).unwrap();
    let answered = service
        .until("the attach", |event| match event {
            Event::Attached(id, attach) if *id == link => Some(attach.rcv_settle_mode),
            _ => None,
        })
        .await;
    assert_eq!(answered, ReceiverSettles::First);
    assert_eq!(service.send_bytes(link, to("d1", "m1", text("x"))).await, accepted());
}

#[tokio::test]
async fn a_policy_token_for_another_path_opens_nothing() {
    let simulator = with_devices(&["d1"]).await;
    let started = simulator.started();
    let key = started.service_connection_string.rsplit_once("SharedAccessKey=").unwrap().1;
    let mut client = Client::connect(&simulator).await;
    let narrow = token(&format!("{}/devices/d1", started.hub), key, Some("iothubowner"));
    assert_eq!(client.put_token(&narrow).await.0, 200);
    let sender = commands(&mut client).await;
    assert_eq!(client.closed_with(sender).await.condition.as_str(), "amqp:unauthorized-access");
}
