//! The readers of events see what devices sent, whichever way it came.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use simulator::{EventSource, Options, Recorded};

use crate::namespace::alone;
use crate::sdk::{Reader, device, read, simulator, simulator_as, usual};

/// What a reader must see of each message, whatever else it says.
fn expected(message: &Recorded) -> Value {
    json!({
        "body": STANDARD.encode(&message.body),
        "message_id": message.message_id,
        "correlation_id": message.correlation_id,
        "content_type": message.content_type,
        "content_encoding": message.content_encoding,
        "properties": message.properties,
        "device": message.device_id,
    })
}

/// The same of what it saw; absent and null are one.
fn shown(event: &Value) -> Value {
    let mut shown = json!({"device": event["system_properties"]["iothub-connection-device-id"]});
    for part in ["body", "message_id", "correlation_id", "content_type", "content_encoding", "properties"] {
        shown[part] = event[part].clone();
    }
    shown
}

/// What the hub adds to each event.
fn check_system_properties(event: &Value) {
    let system = &event["system_properties"];
    let method: Value = serde_json::from_str(system["iothub-connection-auth-method"].as_str().unwrap()).unwrap();
    assert_eq!((&method["scope"], &method["type"]), (&json!("device"), &json!("sas")), "{event:#}");
    assert!(system["iothub-connection-auth-generation-id"].is_string(), "{event:#}");
    assert!(system.get("iothub-enqueuedtime").is_some(), "{event:#}");
    assert_eq!(system["iothub-message-source"], "Telemetry", "{event:#}");
    assert!(event["sequence_number"].is_u64() && event["offset"].is_string(), "{event:#}");
    assert!(event["enqueued_ms"].as_i64().unwrap() > 0, "{event:#}");
}

/// Sequence numbers of each device, in the order of the record: a device has one partition, and keeps its order there.
fn check_order(events: &[Value], hub: &Value) {
    let mut partitions: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for event in events {
        let partition = event["partition"].as_str().unwrap();
        partitions.entry(partition).or_default().push(event["sequence_number"].as_u64().unwrap());
    }
    for told in hub["partitions"].as_array().unwrap() {
        let numbers = partitions.remove(told["id"].as_str().unwrap()).unwrap_or_default();
        assert!(numbers.is_sorted(), "{numbers:?}");
        assert_eq!(told["is_empty"], json!(numbers.is_empty()), "{hub:#}");
        if let Some(last) = numbers.last() {
            assert_eq!((&told["begin"], &told["last"]), (&json!(numbers[0]), &json!(last)), "{hub:#}");
        }
    }
    assert!(partitions.is_empty(), "events of partitions that the hub did not name: {partitions:?}");
}

#[test]
fn readers_see_every_event_of_every_partition() {
    alone("readers::readers_see_every_event_of_every_partition", async {
        let simulator = simulator().await;
        // Four devices, so that more than one partition has something.
        for (transport, id) in [("Http", "first"), ("Amqp", "second"), ("AmqpWs", "third"), ("Http", "fourth")] {
            device(&simulator, transport, id).await;
        }
        let record = simulator.messages(100);
        let mut sent: Vec<String> = record.iter().map(|message| expected(message).to_string()).collect();
        assert_eq!(sent.len(), 5 + 4 + 4 + 5);
        sent.sort();
        for reader in [Reader::Node, Reader::NodeInWebSockets, Reader::Python] {
            let (hub, events) = read(reader, &simulator, record.len()).await;
            assert_eq!(hub["name"], "localhost", "{reader:?}");
            assert_eq!(hub["partition_ids"], json!(["0", "1", "2", "3"]), "{reader:?}");
            let mut seen: Vec<String> = events.iter().map(|event| shown(event).to_string()).collect();
            seen.sort();
            assert_eq!(seen, sent, "{reader:?}");
            events.iter().for_each(check_system_properties);
            check_order(&events, &hub);
        }
    });
}

#[test]
fn readers_see_what_the_hub_itself_tells() {
    alone("readers::readers_see_what_the_hub_itself_tells", async {
        let simulator = simulator_as(Options { events: vec![EventSource::Lifecycle], ..usual() }).await;
        simulator.enrol(&["d1".to_owned()]).unwrap();
        simulator.delete_device("d1").unwrap();
        for reader in [Reader::Node, Reader::Python] {
            let (_, events) = read(reader, &simulator, 2).await;
            for (event, operation) in events.iter().zip(["createDeviceIdentity", "deleteDeviceIdentity"]) {
                assert_eq!(event["system_properties"]["iothub-message-source"], "deviceLifecycleEvents", "{event:#}");
                assert_eq!(event["system_properties"]["iothub-connection-device-id"], "d1", "{event:#}");
                let named = ["opType", "hubName", "deviceId"].map(|name| event["properties"][name].as_str().unwrap());
                assert_eq!(named, [operation, "localhost", "d1"], "{reader:?}");
                assert_eq!([&event["content_type"], &event["content_encoding"]], ["application/json", "utf-8"]);
                let body: Value =
                    serde_json::from_slice(&STANDARD.decode(event["body"].as_str().unwrap()).unwrap()).unwrap();
                assert_eq!((&body["deviceId"], &body["properties"]["desired"]["$version"]), (&json!("d1"), &json!(1)));
            }
        }
    });
}
