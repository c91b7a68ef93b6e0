//! The same in a WebSocket on the HTTPS port.

use amqp::sasl::Mechanism;
use simulator::Simulator;

use crate::client::{Client, accepted, with_devices};
use crate::https::Device;
use crate::in_websocket::{Inside, upgrade};

async fn connect(simulator: &Simulator, path: &str) -> Client {
    let (head, tls) = upgrade(simulator, path, "AMQPWSB10").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(!head.to_ascii_lowercase().contains("sec-websocket-extensions"), "{head}");
    Client::on(Box::new(Inside::new(tls).await), Mechanism::None)
}

#[tokio::test]
async fn a_device_sends_through_a_websocket_at_either_address() {
    let simulator = with_devices(&["d1"]).await;
    for path in ["/$iothub/websocket", "/$servicebus/websocket?iothub-no-client-cert=true"] {
        let mut client = connect(&simulator, path).await;
        let link = client.telemetry(&Device::new(&simulator, "d1")).await;
        assert_eq!(client.send(link, &"x".repeat(200_000)).await, accepted());
    }
    assert_eq!(simulator.counts().messages_total, 2);
}

#[tokio::test]
async fn other_protocols_are_refused() {
    let simulator = with_devices(&[]).await;
    for (path, protocol) in [("/$iothub/websocket", "soap"), ("/$servicebus/websocket", "mqtt")] {
        let (head, _) = upgrade(&simulator, path, protocol).await;
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    }
}
