//! Direct methods: asked over HTTPS, answered over AMQP.

use amqp::connection::LinkId;
use amqp::message::{Body, Message, MessageId, Properties};
use amqp::value::Value;
use bytes::Bytes;
use serde_json::json;
use simulator::{Simulator, Status};

use crate::client::{A_WHILE, Client, accepted, code, owner, set_faults, with_devices};
use crate::https::{Device, Reply, token};

const METHODS: &str = "/devices/d1/methods/devicebound";

async fn invoke_as(simulator: &Simulator, policy: &str, id: &str, body: serde_json::Value) -> Reply {
    owner(simulator, policy, "POST", &format!("/twins/{id}/methods"), &body).await
}

async fn invoke(simulator: &Simulator, body: serde_json::Value) -> Reply {
    invoke_as(simulator, "iothubowner", "d1", body).await
}

fn named(reply: &Reply) -> (u16, &str) {
    (reply.status.as_u16(), reply.header("iothub-errorcode").unwrap_or_default())
}

/// A device that takes methods.
async fn listening(simulator: &Simulator) -> (Client, LinkId, LinkId) {
    let mut client = Client::connect(simulator).await;
    client.telemetry(&Device::new(simulator, "d1")).await;
    let session = client.begin().await;
    let (hears, speaks) = client.pair(session, METHODS, ["methods:1", "methods:1"]).await;
    (client, hears, speaks)
}

fn answer(id: MessageId, status: i32, body: &str) -> Bytes {
    let message = Message {
        properties: Properties { correlation_id: Some(id), ..Properties::default() },
        application_properties: vec![("IoThub-status".to_owned(), Value::Int(status))],
        body: Body::Data(vec![Bytes::copy_from_slice(body.as_bytes())]),
        ..Message::default()
    };
    message.to_bytes()
}

#[tokio::test]
async fn a_method_reaches_the_device_and_its_answer_whoever_asked() {
    let simulator = with_devices(&["d1"]).await;
    let (mut client, hears, speaks) = listening(&simulator).await;
    let device = async {
        for as_text in [false, true] {
            let call = client.message(hears).await;
            assert_eq!(call.application_properties, [("IoThub-methodname".to_owned(), "reboot".into())]);
            assert_eq!(call.body, Body::Data(vec![Bytes::from_static(br#"{"in":5}"#)]));
            let Some(MessageId::Uuid(id)) = call.properties.correlation_id else { panic!("not a uuid: {call:?}") };
            assert_eq!((id[6] >> 4, id[8] >> 6), (4, 2), "Node echoes a uuid of version 4 as one");
            let text = format!("{:032x}", u128::from_be_bytes(id));
            let id = if as_text { MessageId::String(text) } else { MessageId::Uuid(id) };
            assert_eq!(client.send_bytes(speaks, answer(id, 207, r#"{"done":1.0}"#)).await, accepted());
        }
    };
    let owner = async {
        for _ in 0..2 {
            let reply = invoke(&simulator, json!({"methodName": "reboot", "payload": {"in": 5}})).await;
            assert_eq!(
                (reply.status.as_u16(), &reply.body[..]),
                (200, &br#"{"status":207,"payload":{"done":1.0}}"#[..])
            );
        }
    };
    tokio::join!(device, owner);
}

#[tokio::test]
async fn a_device_takes_methods_only_while_both_links_of_a_pair_are_there() {
    let simulator = with_devices(&["d1"]).await;
    let call = || json!({"methodName": "reboot"});
    let not_online = (404, "DeviceNotOnline");
    assert_eq!(named(&invoke(&simulator, call()).await), not_online, "nobody is there");
    let mut client = Client::connect(&simulator).await;
    let telemetry = client.telemetry(&Device::new(&simulator, "d1")).await;
    assert_eq!(named(&invoke(&simulator, call()).await), not_online, "it only sends");
    let session = client.begin().await;
    let (older, _) = client.pair(session, METHODS, ["methods:1", "methods:2"]).await;
    assert_eq!(client.closed_with(older).await.condition.as_str(), "amqp:link:stolen", "another name, another pair");
    assert_eq!(named(&invoke(&simulator, call()).await), not_online, "half a pair");
    let (hears, speaks) = client.pair(session, METHODS, ["methods:3", "methods:3"]).await;
    let device = async {
        let call = client.message(hears).await;
        assert_eq!(call.body, Body::Data(vec![Bytes::from_static(b"null")]));
        client.send_bytes(speaks, answer(call.properties.correlation_id.unwrap(), 200, "")).await;
    };
    let (reply, ()) = tokio::join!(invoke(&simulator, call()), device);
    assert_eq!(&reply.body[..], br#"{"status":200,"payload":null}"#);
    client.engine.detach(speaks, true, None);
    client.detached(speaks).await;
    assert_eq!(named(&invoke(&simulator, call()).await), not_online, "one is gone");
    assert_eq!(client.send(telemetry, "1").await, accepted(), "telemetry is another matter");
}

#[tokio::test]
async fn who_waits_for_a_device_gets_through_when_it_comes() {
    let simulator = with_devices(&["d1"]).await;
    let mut asks = Box::pin(invoke(&simulator, json!({"methodName": "reboot", "connectTimeoutInSeconds": 60})));
    assert!(tokio::time::timeout(A_WHILE, &mut asks).await.is_err(), "it is not told at once");
    let device = async {
        let (mut client, hears, speaks) = listening(&simulator).await;
        let call = client.message(hears).await;
        client.send_bytes(speaks, answer(call.properties.correlation_id.unwrap(), 200, "7")).await;
    };
    let (reply, ()) = tokio::join!(asks, device);
    assert_eq!(reply.json(), json!({"status": 200, "payload": 7}));
}

#[tokio::test]
async fn methods_follow_a_device_to_its_newer_connection() {
    let simulator = with_devices(&["d1"]).await;
    let (mut older, _, speaks) = listening(&simulator).await;
    let (mut newer, hears, answers) = listening(&simulator).await;
    assert_eq!(older.closed_with(speaks).await.condition.as_str(), "amqp:link:stolen");
    let device = async {
        let call = newer.message(hears).await;
        newer.send_bytes(answers, answer(call.properties.correlation_id.unwrap(), 200, "\"newer\"")).await;
    };
    let (reply, ()) = tokio::join!(invoke(&simulator, json!({"methodName": "x"})), device);
    assert_eq!(reply.json()["payload"], "newer");
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_as_the_service_refuses_it() {
    let simulator = with_devices(&["d1"]).await;
    let (_client, ..) = listening(&simulator).await;
    assert_eq!(named(&invoke_as(&simulator, "device", "d1", json!({})).await), (401, "IotHubUnauthorized"));
    let call = json!({"methodName": "x"});
    assert_eq!(named(&invoke_as(&simulator, "iothubowner", "d9", call.clone()).await), (404, "DeviceNotFound"));
    assert_eq!(named(&invoke(&simulator, json!({})).await), (400, "ArgumentInvalid"));
    let large = json!({"methodName": "x", "payload": "p".repeat(131_072)});
    assert_eq!(named(&invoke(&simulator, large).await), (413, "MessageTooLarge"));
    set_faults(&simulator, json!({"hub": {"outage": "unavailable"}}));
    assert_eq!(named(&invoke(&simulator, call).await), (503, "ServiceUnavailable"));
}

#[tokio::test]
async fn an_answer_that_is_none_is_rejected_and_the_next_one_taken() {
    let simulator = with_devices(&["d1"]).await;
    let (mut client, hears, speaks) = listening(&simulator).await;
    let device = async {
        let id = client.message(hears).await.properties.correlation_id.unwrap();
        for (id, body) in [(MessageId::from("nonsense"), "1"), (id.clone(), "{")] {
            let error = crate::client::rejected(client.send_bytes(speaks, answer(id, 200, body)).await);
            assert_eq!(error.condition.as_str(), "com.microsoft:argument-error");
        }
        client.send_bytes(speaks, answer(id, 200, "1")).await;
    };
    let (reply, ()) = tokio::join!(invoke(&simulator, json!({"methodName": "x"})), device);
    assert_eq!(reply.json()["payload"], 1);
}

#[tokio::test]
async fn faults_of_an_attach_meet_these_links_too() {
    let simulator = with_devices(&["d1"]).await;
    let mut client = Client::connect(&simulator).await;
    client.telemetry(&Device::new(&simulator, "d1")).await;
    let detach = json!({"detach": {"condition": "amqp:link:detach-forced"}});
    set_faults(
        &simulator,
        json!({"amqp": {"faults": [{"devices": ["d1"], "state": "attach", "when": {"next": 2}, "action": detach}]}}),
    );
    let session = client.begin().await;
    for address in [METHODS, "/devices/d1/twin"] {
        let link = client.sender(session, address).await;
        let error = client.closed_with(link).await;
        assert_eq!((error.condition.as_str(), code(&error)), ("amqp:link:detach-forced", 503_001), "{address}");
    }
}

/// A module `m1` of device `d1`, made and let in.
async fn module(simulator: &Simulator) -> (Client, String) {
    let made = json!({"deviceId": "d1", "moduleId": "m1"});
    let made = owner(simulator, "iothubowner", "PUT", "/devices/d1/modules/m1", &made).await.json();
    let key = made["authentication"]["symmetricKey"]["primaryKey"].as_str().unwrap();
    let token = token("localhost/devices/d1/modules/m1", key, None);
    let mut client = Client::connect(simulator).await;
    assert_eq!(client.put_token(&token).await.0, 200);
    (client, token)
}

#[tokio::test]
async fn a_module_goes_with_its_device_when_that_is_switched_off() {
    let simulator = with_devices(&["d1"]).await;
    let (mut client, token) = module(&simulator).await;
    let session = client.begin().await;
    let link = client.sender(session, "/devices/d1/modules/m1/messages/events").await;
    simulator.set_status("d1", Status::Disabled).unwrap();
    assert!(client.detached(link).await.error.is_none(), "it is not told why");
    assert_eq!(client.put_token(&token).await.0, 401);
}

#[tokio::test]
async fn a_module_takes_methods_of_its_own() {
    let simulator = with_devices(&["d1"]).await;
    let (mut client, _) = module(&simulator).await;
    let session = client.begin().await;
    let address = "/devices/d1/modules/m1/methods/devicebound";
    let (hears, speaks) = client.pair(session, address, ["methods:1", "methods:1"]).await;
    let device = async {
        let call = client.message(hears).await;
        client.send_bytes(speaks, answer(call.properties.correlation_id.unwrap(), 200, "1")).await;
    };
    let (reply, ()) =
        tokio::join!(invoke_as(&simulator, "iothubowner", "d1/modules/m1", json!({"methodName": "x"})), device);
    assert_eq!(reply.json()["status"], 200);
    assert_eq!(named(&invoke(&simulator, json!({"methodName": "x"})).await), (404, "DeviceNotOnline"));
}
