//! Trouble, as a client on a socket sees it.

use serde_json::json;

use crate::client::{Client, connack, puback, set_faults, with_devices};
use crate::https::{Device, tls_to};

const EVENTS: &str = "devices/d1/messages/events/";

#[tokio::test]
async fn a_throttled_message_ends_the_connection() {
    let simulator = with_devices(&["d1"]).await;
    let mut client = Client::device(&simulator, "d1").await;
    set_faults(&simulator, json!({"hub": {"throttle": {"when": {"next": 1}}}}));
    client.publish(1, EVENTS, b"1").await;
    assert_eq!(client.next().await, None);
    let mut client = Client::on(crate::https::tls_to(&simulator, simulator.started().mqtt).await);
    client.connect_device(&simulator, "d1").await;
    assert_eq!(client.next().await.map(|(_, body)| body), Some(vec![1, 0]), "what was kept of it is there");
    client.publish(2, EVENTS, b"1").await;
    assert_eq!((client.next().await, simulator.counts().messages_total), (Some(puback(2)), 1));
}

#[tokio::test]
async fn a_message_without_an_answer_is_recorded_and_the_connection_stays() {
    let simulator = with_devices(&["d1"]).await;
    set_faults(&simulator, json!({"mqtt": {"no_puback": [{"devices": ["d1"], "when": {"next": 1}}]}}));
    let mut client = Client::device(&simulator, "d1").await;
    client.publish(1, EVENTS, b"1").await;
    assert!(client.is_left_alone().await);
    client.publish(2, EVENTS, b"1").await;
    assert_eq!((client.next().await, simulator.counts().messages_total), (Some(puback(2)), 2));
}

#[tokio::test]
async fn all_connections_end_or_fall_silent_and_those_of_amqp_are_not_meant() {
    let simulator = with_devices(&["d1", "d2"]).await;
    let mut client = Client::device(&simulator, "d1").await;
    set_faults(&simulator, json!({"amqp": {"all": "drop"}}));
    assert!(client.is_left_alone().await);
    set_faults(&simulator, json!({"mqtt": {"all": "drop"}}));
    assert_eq!(client.next().await, None);
    let mut client = Client::device(&simulator, "d2").await;
    set_faults(&simulator, json!({"mqtt": {"all": "half_open"}}));
    client.write(0xc0, &[]).await;
    assert!(client.is_left_alone().await);
}

#[tokio::test]
async fn registrations_and_polls_are_throttled_on_their_topics() {
    let simulator = with_devices(&[]).await;
    set_faults(
        &simulator,
        json!({"dps": {"throttle": {"when": {"next": 1}, "retry_after_s": 7}, "throttle_polls": {"when": {"next": 1}, "retry_after_s": 8},
                       "device_polls": {"above_per_10_s": 1, "retry_after_s": 9}}}),
    );
    let device = Device::new(&simulator, "d1");
    let mut client = Client::on(tls_to(&simulator, simulator.started().mqtt).await);
    let user_name = format!("{}/registrations/d1/api-version=2019-03-31", simulator.started().id_scope);
    client.connect("d1", &user_name, &device.registration_token()).await;
    assert_eq!(client.next().await, Some(connack(false, 0)));
    client.subscribe(1, "$dps/registrations/res/#").await;
    let mut operation = String::new();
    for (id, asks, told) in [
        (2, "PUT/iotdps-register/?$rid=2", "429/?$rid=2&retry-after=7"),
        (3, "PUT/iotdps-register/?$rid=3", "202/?$rid=3&retry-after=0"),
        (4, "GET/iotdps-get-operationstatus/?$rid=4", "429/?$rid=4&retry-after=8"),
        (5, "GET/iotdps-get-operationstatus/?$rid=5", "200/?$rid=5"),
        (6, "GET/iotdps-get-operationstatus/?$rid=6", "429/?$rid=6&retry-after=9"),
    ] {
        client.publish(id, &format!("$dps/registrations/{asks}{operation}"), b"").await;
        assert_eq!(client.next().await, Some(puback(id)));
        let (topic, payload) = client.message().await;
        assert_eq!(topic, format!("$dps/registrations/res/{told}"));
        let answer: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        if let Some(begun) = answer["operationId"].as_str() {
            operation = format!("&operationId={begun}");
        }
    }
}
