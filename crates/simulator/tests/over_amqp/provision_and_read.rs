//! Registration, and reading back what was sent.

use amqp::connection::{Event, LinkId, Terms};
use amqp::message::{Body, Message, MessageId, Properties};
use amqp::performative::{DeliveryState, Source};
use amqp::sasl::Mechanism;
use amqp::value::{Fields, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use simulator::Simulator;

use crate::client::{Client, accepted, code, rejected, set_faults, with_devices};
use crate::https::{Device, token};

/// A connection as a device that wants to be registered, and its pair of links.
async fn registering(simulator: &Simulator, device: &Device<'_>, password: String) -> (Client, LinkId, LinkId) {
    let user = format!("{}/registrations/{}", simulator.started().id_scope, device.id);
    registering_as(simulator, device, Mechanism::Plain { user, password }).await
}

async fn registering_as(simulator: &Simulator, device: &Device<'_>, mechanism: Mechanism) -> (Client, LinkId, LinkId) {
    let address = format!("{}/registrations/{}", simulator.started().id_scope, device.id);
    let mut client = Client::connect_as(simulator, mechanism).await;
    let session = client.begin().await;
    let mut terms = Terms::receiver("answers", Source::at(&address));
    terms.properties = Fields::default().with("com.microsoft:api-version", "2019-03-31");
    let answers = client.attach(session, terms).await;
    client.engine.credit(answers, 10);
    let requests = client.sender(session, &address).await;
    (client, requests, answers)
}

fn asks(properties: &[(&str, &str)]) -> bytes::Bytes {
    let id = Some(MessageId::from("c-1"));
    let pairs = properties.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value)));
    Message {
        properties: Properties { correlation_id: id, ..Properties::default() },
        application_properties: pairs.collect(),
        body: Body::Data(vec!["{}".into()]),
        ..Message::default()
    }
    .to_bytes()
}

fn json_of(message: &Message) -> serde_json::Value {
    let Body::Data(sections) = &message.body else { panic!("no data: {message:?}") };
    serde_json::from_slice(&sections[0]).unwrap()
}

#[tokio::test]
async fn a_device_registers_and_sends_over_one_port() {
    let simulator = with_devices(&[]).await;
    let device = Device::new(&simulator, "d1");
    let (mut client, requests, answers) = registering(&simulator, &device, device.registration_token()).await;
    assert_eq!(client.send_bytes(requests, asks(&[("iotdps-operation-type", "iotdps-register")])).await, accepted());
    let answer = client.message(answers).await;
    assert_eq!(answer.properties.correlation_id, Some(MessageId::from("c-1")));
    let operation = json_of(&answer);
    assert_eq!(operation["status"], "assigning");
    let poll = [
        ("iotdps-operation-type", "iotdps-get-operationstatus"),
        ("iotdps-operation-id", operation["operationId"].as_str().unwrap()),
    ];
    client.post(requests, asks(&poll));
    let state = json_of(&client.message(answers).await);
    assert_eq!(
        (&state["status"], &state["registrationState"]["assignedHub"]),
        (&json!("assigned"), &json!("localhost"))
    );
    let mut client = Client::connect(&simulator).await;
    let link = client.telemetry(&device).await;
    assert_eq!(client.send(link, "1").await, accepted());
}

#[tokio::test]
async fn a_wrong_key_is_refused_when_it_registers_and_a_fault_says_when_to_come_back() {
    let simulator = with_devices(&[]).await;
    let device = Device::new(&simulator, "d1");
    let register = || asks(&[("iotdps-operation-type", "iotdps-register")]);
    let (mut client, requests, _) = registering(&simulator, &device, device.hub_token()).await;
    let error = rejected(client.send_bytes(requests, register()).await);
    assert_eq!((error.condition.as_str(), code(&error)), ("amqp:unauthorized-access", 401_002));
    set_faults(&simulator, json!({"dps": {"throttle": {"when": {"next": 1}, "retry_after_s": 7}}}));
    let (mut client, requests, _) = registering(&simulator, &device, device.registration_token()).await;
    let error = rejected(client.send_bytes(requests, register()).await);
    assert_eq!(error.condition.as_str(), "com.microsoft:device-container-throttled");
    assert_eq!(error.info.get("retry-after").and_then(Value::as_i64), Some(7));
}

#[tokio::test]
async fn polls_are_throttled_too_all_of_them_and_those_of_one_device() {
    let simulator = with_devices(&[]).await;
    let device = Device::new(&simulator, "d1");
    let (mut client, requests, answers) = registering(&simulator, &device, device.registration_token()).await;
    client.post(requests, asks(&[("iotdps-operation-type", "iotdps-register")]));
    let operation = json_of(&client.message(answers).await);
    assert_eq!(client.fate(requests).await, accepted());
    let id = operation["operationId"].as_str().unwrap();
    let poll = || asks(&[("iotdps-operation-type", "iotdps-get-operationstatus"), ("iotdps-operation-id", id)]);
    set_faults(
        &simulator,
        json!({"dps": {"throttle_polls": {"when": {"next": 1}, "retry_after_s": 8}, "device_polls": {"above_per_10_s": 1, "retry_after_s": 9}}}),
    );
    for seconds in [Some(8), None, Some(9)] {
        let fate = client.send_bytes(requests, poll()).await;
        let Some(seconds) = seconds else {
            assert_eq!(fate, accepted());
            continue;
        };
        let error = rejected(fate);
        assert_eq!((error.condition.as_str(), code(&error)), ("com.microsoft:device-container-throttled", 429_001));
        assert_eq!(error.info.get("retry-after").and_then(Value::as_i64), Some(seconds));
    }
}

/// As a device with a certificate does: the layer is left out, or names the mechanism for it.
#[tokio::test]
async fn who_says_nothing_at_the_door_is_refused_at_its_request() {
    let simulator = with_devices(&[]).await;
    let device = Device::new(&simulator, "d1");
    for mechanism in [Mechanism::None, Mechanism::External] {
        let (mut client, requests, _) = registering_as(&simulator, &device, mechanism).await;
        let register = asks(&[("iotdps-operation-type", "iotdps-register")]);
        let error = rejected(client.send_bytes(requests, register).await);
        assert_eq!((error.condition.as_str(), code(&error)), ("amqp:unauthorized-access", 401_002));
        let session = client.begin().await;
        let other = format!("{}/registrations/d2", simulator.started().id_scope);
        let link = client.sender(session, &other).await;
        assert_eq!(
            client.closed_with(link).await.condition.as_str(),
            "amqp:unauthorized-access",
            "one device a connection"
        );
    }
}

#[tokio::test]
async fn a_registration_link_is_for_who_said_so_at_the_door() {
    let simulator = with_devices(&[]).await;
    let device = Device::new(&simulator, "d1");
    let (mut client, ..) = registering(&simulator, &device, device.registration_token()).await;
    let session = client.begin().await;
    let other = format!("{}/registrations/d2", simulator.started().id_scope);
    let link = client.sender(session, &other).await;
    assert_eq!(client.closed_with(link).await.condition.as_str(), "amqp:unauthorized-access");
}

/// A connection of a service with a token for the whole hub.
pub async fn service(simulator: &Simulator) -> Client {
    let mut client = Client::connect_as(simulator, Mechanism::Anonymous).await;
    let key = simulator.started().service_connection_string.rsplit_once("SharedAccessKey=").unwrap().1;
    // For events the secret is the text of the key.
    let token = token("sb://localhost/localhost", &STANDARD.encode(key), Some("iothubowner"));
    assert_eq!(client.put_token(&token).await.0, 200);
    client
}

#[tokio::test]
async fn what_a_device_sends_is_read_at_its_partition() {
    let simulator = with_devices(&["d1"]).await;
    let mut device = Client::connect(&simulator).await;
    let link = device.telemetry(&Device::new(&simulator, "d1")).await;
    assert_eq!(device.send(link, "before").await, accepted());
    let mut reader = service(&simulator).await;
    let session = reader.begin().await;
    let mut links = Vec::new();
    for partition in 0..4 {
        let address = format!("amqps://localhost/localhost/ConsumerGroups/$Default/Partitions/{partition}");
        links.push(reader.receiver(session, &address).await);
    }
    assert_eq!(device.send(link, "after").await, accepted());
    for expected in ["before", "after"] {
        let (from, delivery) = reader
            .until("an event", |event| match event {
                Event::Delivered(link, delivery) => Some((*link, delivery.clone())),
                _ => None,
            })
            .await;
        reader.engine.settle(from, delivery.id, DeliveryState::Accepted);
        let message = Message::decode(&delivery.payload).unwrap();
        assert_eq!(message.body, Body::Data(vec![expected.into()]));
        assert_eq!(message.message_annotations.get("iothub-connection-device-id"), Some(&"d1".into()));
    }
}

#[tokio::test]
async fn a_reader_takes_no_more_than_its_credit_and_all_there_is() {
    let simulator = with_devices(&["d1"]).await;
    let mut device = Client::connect(&simulator).await;
    let link = device.telemetry(&Device::new(&simulator, "d1")).await;
    for number in 0..600 {
        device.post(link, crate::client::data(&number.to_string()));
    }
    for _ in 0..600 {
        assert_eq!(device.fate(link).await, accepted());
    }
    let mut reader = service(&simulator).await;
    let session = reader.begin().await;
    for partition in 0..4 {
        reader.receiver(session, &format!("localhost/ConsumerGroups/$Default/Partitions/{partition}")).await;
    }
    for number in 0..600 {
        let (from, delivery) = reader
            .until("an event", |event| match event {
                Event::Delivered(link, delivery) => Some((*link, delivery.clone())),
                _ => None,
            })
            .await;
        reader.engine.settle(from, delivery.id, DeliveryState::Accepted);
        if reader.engine.credit_left(from) == 0 {
            reader.engine.credit(from, 10);
        }
        let body = Message::decode(&delivery.payload).unwrap().body;
        assert_eq!(body, Body::Data(vec![number.to_string().into()]));
    }
}

#[tokio::test]
async fn a_service_that_asks_the_hub_is_sent_to_the_endpoint() {
    let simulator = with_devices(&[]).await;
    let started = simulator.started();
    let key = started.service_connection_string.rsplit_once("SharedAccessKey=").unwrap().1;
    let password = token("localhost/messages/events", key, Some("iothubowner"));
    let user = "iothubowner@sas.root.localhost".to_owned();
    let mut client = Client::connect_as(&simulator, Mechanism::Plain { user, password }).await;
    let session = client.begin().await;
    for (asked, below) in [
        ("/messages/events/$management", "$management"),
        (
            "amqps://localhost/messages/events/ConsumerGroups/$Default/Partitions/0",
            "ConsumerGroups/$Default/Partitions/0",
        ),
    ] {
        let link = client.receiver(session, asked).await;
        let error = client.closed_with(link).await;
        assert_eq!((error.condition.as_str(), error.description), ("amqp:link:redirect", None));
        let address = format!("amqps://localhost:{}/localhost/{below}", started.amqp);
        assert_eq!(error.info.get("address"), Some(&address.into()));
        assert_eq!(error.info.get("hostname"), Some(&"localhost".into()));
    }
}

#[tokio::test]
async fn the_endpoint_tells_its_partitions() {
    let simulator = with_devices(&[]).await;
    let mut client = service(&simulator).await;
    let session = client.begin().await;
    let (requests, answers) =
        (client.sender(session, "$management").await, client.receiver(session, "$management").await);
    let text = |name: &str, value: &str| (name.to_owned(), Value::from(value));
    let request = Message {
        properties: Properties { message_id: Some(MessageId::Uuid([7; 16])), ..Properties::default() },
        application_properties: vec![
            text("operation", "READ"),
            text("type", "com.microsoft:eventhub"),
            text("name", "localhost"),
        ],
        ..Message::default()
    };
    client.post(requests, request.to_bytes());
    let answer = client.message(answers).await;
    assert_eq!(answer.properties.correlation_id, Some(MessageId::Uuid([7; 16])));
    let Body::Value(Value::Map(map)) = answer.body else { panic!("no map: {answer:?}") };
    let ids = Value::Array(["0", "1", "2", "3"].map(Value::from).into());
    assert!(map.contains(&("partition_ids".into(), ids)), "{map:?}");
}

#[tokio::test]
async fn a_device_cannot_read_what_others_send() {
    let simulator = with_devices(&["d1"]).await;
    let mut client = Client::connect(&simulator).await;
    client.telemetry(&Device::new(&simulator, "d1")).await;
    let session = client.begin().await;
    for address in ["localhost/ConsumerGroups/$Default/Partitions/0", "$management", "messages/events/$management"] {
        let link = client.receiver(session, address).await;
        assert_eq!(client.closed_with(link).await.condition.as_str(), "amqp:unauthorized-access", "{address}");
    }
}
