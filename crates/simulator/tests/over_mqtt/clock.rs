//! The simulator's time, put forward while clients are connected.

use crate::client::{Client, connack, puback, with_devices};
use crate::https::tls_to;

#[tokio::test]
async fn a_leap_past_the_end_of_its_token_ends_a_device() {
    let simulator = with_devices(&["d1"]).await;
    let mut client = Client::device(&simulator, "d1").await;
    simulator.forward(60).unwrap();
    client.publish(1, "devices/d1/messages/events/", b"1").await;
    assert_eq!(client.next().await, Some(puback(1)), "an hour is not over");
    simulator.forward(3600).unwrap();
    assert_eq!(client.next().await, None);
    assert_eq!(simulator.counts().mqtt.closes.get("token_expired"), Some(&1));
    let mut client = Client::on(tls_to(&simulator, simulator.started().mqtt).await);
    client.connect_device(&simulator, "d1").await;
    assert_eq!(client.next().await, Some(connack(false, 5)), "a client's own clock has not moved");
}
