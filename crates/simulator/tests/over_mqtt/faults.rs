//! Trouble, as a client on a socket sees it.

use serde_json::json;

use crate::client::{Client, puback, set_faults, with_devices};

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
