//! The hub's own events at the Event-Hubs-compatible endpoint.

use amqp::connection::{Event, LinkId};
use amqp::message::{Body, Message};
use amqp::performative::DeliveryState;
use amqp::value::Value;
use serde_json::json;
use simulator::{EventSource, Options, Simulator};

use crate::client::{Client, owner};
use crate::https::{Device, options};
use crate::provision_and_read::service;

async fn telling(events: &[EventSource]) -> Simulator {
    let simulator = simulator::start(Options { events: events.to_vec(), ..options() }).await.unwrap();
    simulator.enrol(&["d1".to_owned()]).unwrap();
    simulator
}

async fn reads(simulator: &Simulator) -> Client {
    let mut reader = service(simulator).await;
    let session = reader.begin().await;
    for partition in 0..4 {
        reader.receiver(session, &format!("localhost/ConsumerGroups/$Default/Partitions/{partition}")).await;
    }
    reader
}

async fn next(reader: &mut Client) -> (Message, serde_json::Value) {
    let delivered = |event: &Event| match event {
        Event::Delivered(link, delivery) => Some((*link, delivery.clone())),
        _ => None,
    };
    let (from, delivery): (LinkId, _) = reader.until("an event", delivered).await;
    reader.engine.settle(from, delivery.id, DeliveryState::Accepted);
    let message = Message::decode(&delivery.payload).unwrap();
    let Body::Data(sections) = &message.body else { panic!("no data: {message:?}") };
    let body = serde_json::from_slice(&sections[0]).unwrap();
    (message, body)
}

fn operation(message: &Message) -> &str {
    message.application_properties.iter().find(|(name, _)| name == "opType").unwrap().1.as_str().unwrap()
}

#[tokio::test]
async fn a_devices_life_is_read_as_it_goes() {
    let simulator = telling(&[EventSource::Lifecycle, EventSource::Twin, EventSource::Connection]).await;
    let mut reader = reads(&simulator).await;
    let (created, twin) = next(&mut reader).await;
    assert_eq!(
        (operation(&created), &twin["deviceId"], &twin["version"]),
        ("createDeviceIdentity", &json!("d1"), &json!(2))
    );
    let annotation = |name: &str| created.message_annotations.get(name).and_then(Value::as_str);
    assert_eq!(annotation("iothub-message-source"), Some("deviceLifecycleEvents"));
    assert_eq!(annotation("iothub-connection-device-id"), Some("d1"));
    assert_eq!(annotation("iothub-connection-auth-method"), None, "nobody was let in for it");
    assert_eq!(created.properties.user_id.as_deref(), Some(b"localhost".as_slice()));
    let mut device = Client::connect(&simulator).await;
    device.telemetry(&Device::new(&simulator, "d1")).await;
    let (connected, first) = next(&mut reader).await;
    assert_eq!(operation(&connected), "deviceConnected");
    let wish = json!({"properties": {"desired": {"a": 1}}});
    assert_eq!(owner(&simulator, "iothubowner", "PATCH", "/twins/d1", &wish).await.status, 200);
    let (changed, body) = next(&mut reader).await;
    assert_eq!((operation(&changed), &body["properties"]["desired"]["a"]), ("updateTwin", &json!(1)));
    let mut other = Client::connect(&simulator).await;
    other.telemetry(&Device::new(&simulator, "d1")).await;
    let (gone, second) = next(&mut reader).await;
    let (back, third) = next(&mut reader).await;
    assert_eq!([operation(&gone), operation(&back)], ["deviceDisconnected", "deviceConnected"], "taken over");
    let number = |body: &serde_json::Value| body["sequenceNumber"].as_str().unwrap().to_owned();
    assert!(number(&first) < number(&second) && number(&second) < number(&third));
    drop(other);
    assert_eq!(operation(&next(&mut reader).await.0), "deviceDisconnected", "without a word");
    simulator.delete_device("d1").unwrap();
    assert_eq!(operation(&next(&mut reader).await.0), "deleteDeviceIdentity");
    assert_eq!(simulator.messages(10), []);
}
