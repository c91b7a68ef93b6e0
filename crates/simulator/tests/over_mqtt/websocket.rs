//! The same in a WebSocket on the HTTPS port.

use crate::client::{Client, connack, puback, with_devices};
use crate::in_websocket::{Inside, upgrade};

#[tokio::test]
async fn a_device_sends_through_a_websocket() {
    let simulator = with_devices(&["d1"]).await;
    let (head, tls) = upgrade(&simulator, "/$iothub/websocket", "mqtt").await;
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 ") && head.contains("sec-websocket-protocol: mqtt\r\n"), "{head}");
    let mut client = Client::on(Inside::new(tls).await);
    client.connect_device(&simulator, "d1").await;
    assert_eq!(client.next().await, Some(connack(false, 0)));
    client.publish(1, "devices/d1/messages/events/", &[b'x'; 200_000]).await;
    assert_eq!(client.next().await, Some(puback(1)));
    assert_eq!((simulator.counts().messages_total, simulator.counts().mqtt.connections_ever), (1, 1));
}
