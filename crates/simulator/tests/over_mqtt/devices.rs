//! Devices that register, send, are taken and switched off.

use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};
use simulator::Status;

use crate::client::{Client, connack, puback, with_devices};
use crate::https::{Device, tls_as, tls_to};

#[tokio::test]
async fn a_device_registers_and_what_it_sends_stands_in_the_record() {
    let simulator = with_devices(&[]).await;
    let started = simulator.started();
    let device = Device::new(&simulator, "eui-1");
    let mut client = Client::on(tls_to(&simulator, started.mqtt).await);
    let user_name = format!("{}/registrations/eui-1/api-version=2019-03-31&ClientVersion=test", started.id_scope);
    client.connect("eui-1", &user_name, &device.registration_token()).await;
    assert_eq!(client.next().await, Some(connack(false, 0)));
    client.subscribe(1, "$dps/registrations/res/#").await;
    client.publish(2, "$dps/registrations/PUT/iotdps-register/?$rid=1", br#"{"registrationId":"eui-1"}"#).await;
    assert_eq!(client.next().await, Some(puback(2)));
    let (topic, payload) = client.message().await;
    assert_eq!(topic, "$dps/registrations/res/202/?$rid=1&retry-after=0");
    let operation: Value = serde_json::from_slice(&payload).unwrap();
    let operation = operation["operationId"].as_str().unwrap();
    let poll = format!("$dps/registrations/GET/iotdps-get-operationstatus/?$rid=2&operationId={operation}");
    client.publish(3, &poll, b" ").await;
    assert_eq!(client.next().await, Some(puback(3)));
    let (topic, payload) = client.message().await;
    let answer: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!((topic.as_str(), &answer["status"]), ("$dps/registrations/res/200/?$rid=2", &json!("assigned")));

    let mut client = Client::device(&simulator, "eui-1").await;
    client.publish(1, "devices/eui-1/messages/events/%24.ct=application%2Fjson&k=v", br#"{"t":1.50}"#).await;
    assert_eq!(client.next().await, Some(puback(1)));
    let messages = simulator.messages(10);
    let [message] = messages.as_slice() else { panic!("{messages:?}") };
    assert_eq!((message.device_id.as_str(), message.body.as_ref()), ("eui-1", br#"{"t":1.50}"#.as_slice()));
    assert_eq!(message.content_type.as_deref(), Some("application/json"));
}

#[tokio::test]
async fn either_version_of_tls_will_do() {
    let simulator = with_devices(&["d1"]).await;
    for version in [&TLS12, &TLS13] {
        let mut client =
            Client::on(tls_as(&simulator, simulator.started().mqtt, &simulator.started().hub, &[version]).await);
        client.connect_device(&simulator, "d1").await;
        assert_eq!(client.next().await.map(|(first, _)| first), Some(0x20), "{version:?}");
        client.publish(1, "devices/d1/messages/events/", &[b'x'; 200_000]).await;
        assert_eq!(client.next().await, Some(puback(1)));
    }
    assert_eq!(simulator.counts().messages_total, 2);
}

#[tokio::test]
async fn who_is_refused_hears_why_before_the_connection_ends() {
    let simulator = with_devices(&["d1"]).await;
    let mut client = Client::on(tls_to(&simulator, simulator.started().mqtt).await);
    client.connect("d1", "localhost/d1/?api-version=2021-04-12", "SharedAccessSignature sr=x&sig=y&se=1").await;
    assert_eq!((client.next().await, client.next().await), (Some(connack(false, 5)), None));
    let counts = simulator.counts().mqtt;
    assert_eq!((counts.connects, counts.closes), ([(5, 1)].into(), [("refused".to_owned(), 1)].into()));
}

#[tokio::test]
async fn the_newer_connection_has_the_device_whatever_it_speaks() {
    let simulator = with_devices(&["d1"]).await;
    let mut older = Client::device(&simulator, "d1").await;
    let mut newer = Client::on(tls_to(&simulator, simulator.started().mqtt).await);
    newer.connect_device(&simulator, "d1").await;
    assert_eq!((newer.next().await, older.next().await), (Some(connack(true, 0)), None));
    newer.publish(1, "devices/d1/messages/events/", b"1").await;
    assert_eq!(newer.next().await, Some(puback(1)));
}

#[tokio::test]
async fn a_device_that_is_switched_off_is_closed_and_not_let_in() {
    let simulator = with_devices(&["d1"]).await;
    let mut client = Client::device(&simulator, "d1").await;
    simulator.set_status("d1", Status::Disabled).unwrap();
    assert_eq!(client.next().await, None);
    let mut client = Client::on(tls_to(&simulator, simulator.started().mqtt).await);
    client.connect_device(&simulator, "d1").await;
    assert_eq!(client.next().await, Some(connack(false, 5)));
}
