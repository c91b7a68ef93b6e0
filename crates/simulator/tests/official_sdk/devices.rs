//! The device SDK registers and sends over each transport.

use serde_json::json;
use simulator::{Recorded, Simulator};

use crate::namespace::alone;
use crate::sdk::{device, simulator, text};

fn property<'a>(message: &'a Recorded, name: &str) -> Option<&'a str> {
    message.properties.get(name).map(String::as_str)
}

/// Registers and sends, and gives the record of it.
async fn registers_and_sends(simulator: &Simulator, transport: &str, id: &str) -> Vec<Recorded> {
    let seen = device(simulator, transport, id).await;
    assert_eq!(seen["assigned"]["assignedHub"], "localhost");
    assert_eq!(seen["assigned"]["deviceId"], id);
    assert_eq!(simulator.counts().registrations.get(id), Some(&1));
    let (refused, unknown) = classes(transport);
    let named =
        ["registerWithWrongKey", "sendWithWrongKey", "sendAsUnknown", "sendTooLarge"].map(|key| seen[key].clone());
    let classes = [refused, "UnauthorizedError", unknown, "MessageTooLargeError"];
    assert_eq!(named, classes.map(|name| json!(name)), "the classes that the SDK makes of our errors");

    let record = simulator.messages(100);
    assert!(record.iter().all(|message| message.device_id == id));
    assert_eq!(record[2].body.as_ref(), [0x00, 0xff, 0x10]);
    let described = &record[1];
    assert_eq!(described.message_id.as_deref(), Some("sdk-2"));
    assert_eq!(described.correlation_id.as_deref(), Some("c-2"));
    assert_eq!(described.content_type.as_deref(), Some("application/json"));
    assert_eq!(described.content_encoding.as_deref(), Some("utf-8"));
    assert_eq!(property(described, "DeviceEUI"), Some("70B3D57ED0051234"), "{:?}", described.properties);
    assert_eq!(property(described, "Port"), Some("1"));
    record
}

/// What the SDK makes of a refused registration and of an unknown device. Over AMQP it hands the first on as it came, and takes
/// whatever `$cbs` refuses for a matter of rights.
fn classes(transport: &str) -> (&'static str, &'static str) {
    match transport {
        "Http" => ("UnauthorizedError", "DeviceNotFoundError"),
        _ => ("amqp:unauthorized-access", "UnauthorizedError"),
    }
}

fn bodies(record: &[Recorded]) -> Vec<String> {
    record.iter().map(|message| text(&message.body)).collect()
}

const DESCRIBED: &str = r#"{"place":"Zürich ☃","reading":21.5}"#;
const BINARY: &str = "\0\u{fffd}\u{10}";

#[test]
fn a_device_registers_and_sends_over_https() {
    alone("devices::a_device_registers_and_sends_over_https", async {
        let record = registers_and_sends(&simulator().await, "Http", "sdk-over-http").await;
        assert_eq!(bodies(&record), ["plain text", DESCRIBED, BINARY, r#"{"batch":1}"#, r#"{"batch":2}"#]);
        assert_eq!(property(&record[3], "Nth"), Some("first"));
    });
}

#[test]
fn a_device_registers_and_sends_over_amqp() {
    alone("devices::a_device_registers_and_sends_over_amqp", async {
        let record = registers_and_sends(&simulator().await, "Amqp", "sdk-over-amqp").await;
        assert_eq!(bodies(&record), ["plain text", DESCRIBED, BINARY, r#"{"single":4}"#]);
    });
}

#[test]
fn a_device_registers_and_sends_over_amqp_in_websockets() {
    alone("devices::a_device_registers_and_sends_over_amqp_in_websockets", async {
        let record = registers_and_sends(&simulator().await, "AmqpWs", "sdk-over-amqp-ws").await;
        assert_eq!(bodies(&record), ["plain text", DESCRIBED, BINARY, r#"{"single":4}"#]);
    });
}
