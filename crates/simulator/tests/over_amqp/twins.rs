//! Twins as devices have them over AMQP.

use amqp::connection::{Event, Fate, LinkId, Outgoing};
use amqp::message::{Body, Message, MessageId, Properties};
use amqp::value::{Fields, Value};
use bytes::Bytes;
use serde_json::json;
use simulator::Simulator;

use crate::client::{A_WHILE, Client, owner, set_faults, with_devices};
use crate::https::Device;

const REPORTED: &str = "/properties/reported";
const DESIRED: &str = "/notifications/twin/properties/desired";

struct Twin {
    client: Client,
    hears: LinkId,
    speaks: LinkId,
}

impl Twin {
    async fn of(simulator: &Simulator) -> Self {
        let mut client = Client::connect(simulator).await;
        client.telemetry(&Device::new(simulator, "d1")).await;
        let session = client.begin().await;
        let (hears, speaks) = client.pair(session, "/devices/d1/twin", ["twin:1", "twin:1"]).await;
        Self { client, hears, speaks }
    }

    /// Asks as SDKs do: settled.
    fn ask(&mut self, id: &MessageId, operation: &str, resource: Option<&str>, body: &str) {
        let annotations = Fields::default().with("operation", operation);
        let message = Message {
            message_annotations: resource.iter().fold(annotations, |all, one| all.with("resource", *one)),
            properties: Properties { correlation_id: Some(id.clone()), ..Properties::default() },
            body: Body::Data(vec![Bytes::copy_from_slice(body.as_bytes())]),
            ..Message::default()
        };
        let outgoing = Outgoing { settled: true, ..Outgoing::message(message.to_bytes()) };
        self.client.engine.send(self.speaks, outgoing).unwrap();
    }

    async fn told(&mut self) -> (Option<MessageId>, Fields, Vec<u8>) {
        let message = self.client.message(self.hears).await;
        let Body::Data(sections) = message.body else { panic!("no data") };
        (message.properties.correlation_id, message.message_annotations, sections.concat())
    }

    /// The status, the version and the body of the answer.
    async fn asked(&mut self, id: MessageId, operation: &str, resource: Option<&str>, body: &str) -> Answer {
        self.ask(&id, operation, resource, body);
        let (named, annotations, body) = self.told().await;
        assert_eq!(named, Some(id), "the id comes back in its type");
        let Some(Value::Int(status)) = annotations.get("status") else { panic!("no status: {annotations:?}") };
        let version = annotations.get("version").map(|version| match version {
            Value::Long(version) => *version,
            other => panic!("not a long: {other:?}"),
        });
        (*status, version, serde_json::from_slice(&body).unwrap_or_default())
    }
}

type Answer = (i32, Option<i64>, serde_json::Value);

#[tokio::test]
async fn a_device_reads_its_twin_and_reports() {
    let simulator = with_devices(&["d1"]).await;
    let mut twin = Twin::of(&simulator).await;
    let new = json!({"desired": {"$version": 1}, "reported": {"$version": 1}});
    assert_eq!(twin.asked("Get1".into(), "GET", None, " ").await, (200, None, new));
    let id = MessageId::Uuid([0x47; 16]);
    let patched = twin.asked(id, "PATCH", Some(REPORTED), r#"{"battery":97,"gone":null}"#).await;
    assert_eq!(patched, (200, Some(2), json!(null)));
    let (_, _, read) = twin.asked("Get2".into(), "GET", None, " ").await;
    assert_eq!(read["reported"], json!({"battery": 97, "$version": 2}));
}

#[tokio::test]
async fn what_a_twin_does_not_take_is_said_with_its_status() {
    let simulator = with_devices(&["d1"]).await;
    let mut twin = Twin::of(&simulator).await;
    for (operation, resource, body) in [
        ("PATCH", Some(REPORTED), "{"),
        ("PATCH", Some(REPORTED), "[]"),
        ("PATCH", None, "{}"),
        ("PUT", Some(REPORTED), " "),
        ("POST", None, " "),
    ] {
        let (status, version, error) = twin.asked("x".into(), operation, resource, body).await;
        assert_eq!((status, version), (400, None), "{operation} {resource:?} {body}");
        assert!(error["errorCode"].as_u64().is_some_and(|code| code / 1000 == 400), "{error}");
    }
    let refuse = json!({"refuse": [{"ids": ["d1"], "answer": "throttled"}]});
    set_faults(&simulator, json!({"hub": refuse}));
    for (operation, resource) in [("GET", None), ("PATCH", Some(REPORTED)), ("PUT", Some(DESIRED))] {
        assert_eq!(twin.asked("x".into(), operation, resource, "{}").await.0, 429, "{operation}");
    }
}

#[tokio::test]
async fn a_request_that_could_not_be_answered_is_rejected() {
    let simulator = with_devices(&["d1"]).await;
    let mut client = Client::connect(&simulator).await;
    client.telemetry(&Device::new(&simulator, "d1")).await;
    let session = client.begin().await;
    let half = client.sender(session, "/devices/d1/twin").await;
    let (_, whole) = client.pair(session, "/devices/d1/twin", ["twin:1", "twin:1"]).await;
    client.closed_with(half).await;
    let fate = client.send(whole, " ").await;
    assert_eq!(crate::client::rejected(fate).condition.as_str(), "com.microsoft:argument-error", "it has no id");
    let (_, lone) = client.pair(session, "/devices/d1/twin", ["twin:2", "twin:3"]).await;
    let fate: Fate = client.send(lone, " ").await;
    assert_eq!(crate::client::rejected(fate).condition.as_str(), "amqp:not-allowed", "there is no other link");
}

#[tokio::test]
async fn a_device_hears_of_desired_properties_while_it_wants_to() {
    let simulator = with_devices(&["d1"]).await;
    let mut twin = Twin::of(&simulator).await;
    let desire = async |properties: serde_json::Value| {
        let body = json!({"properties": {"desired": properties}});
        assert_eq!(owner(&simulator, "iothubowner", "PATCH", "/twins/d1", &body).await.status, 200);
    };
    desire(json!({"interval": 10, "gone": 1})).await;
    assert_eq!(twin.asked("Put1".into(), "PUT", Some(DESIRED), " ").await, (200, None, json!(null)));
    desire(json!({"interval": 20, "gone": null})).await;
    let (id, annotations, patch) = twin.told().await;
    assert_eq!((id, annotations.get("status")), (None, None), "it is no answer, and what came before is not told");
    let patch: serde_json::Value = serde_json::from_slice(&patch).unwrap();
    assert_eq!(patch, json!({"interval": 20, "gone": null, "$version": 3}));
    assert_eq!(twin.asked("Delete1".into(), "DELETE", Some(DESIRED), " ").await.0, 200);
    desire(json!({"interval": 30})).await;
    let more = twin.client.within(A_WHILE, |event| matches!(event, Event::Delivered(..)).then_some(())).await;
    assert_eq!(more, None);
}

#[tokio::test]
async fn a_twin_that_another_connection_took_is_told_nothing() {
    let simulator = with_devices(&["d1"]).await;
    let mut older = Twin::of(&simulator).await;
    assert_eq!(older.asked("Put1".into(), "PUT", Some(DESIRED), " ").await.0, 200);
    let mut newer = Twin::of(&simulator).await;
    assert_eq!(older.client.closed_with(older.hears).await.condition.as_str(), "amqp:link:stolen");
    let body = json!({"properties": {"desired": {"a": 1}}});
    assert_eq!(owner(&simulator, "iothubowner", "PATCH", "/twins/d1", &body).await.status, 200);
    let (_, _, twin) = newer.asked("Get1".into(), "GET", None, " ").await;
    assert_eq!(twin["desired"], json!({"a": 1, "$version": 2}), "it has to ask");
}
