//! Several hubs, scopes and groups in one simulator.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use simulator::{Options, Setup, Simulator, Status, start};

use crate::client::{Ask, Device, Reply, ask, hmac, options, token};
use crate::control::call;

const HUB1: &str = "hub1.azure-devices.net";
const HUB2: &str = "hub2.azure-devices.net";
const KEYS: [&str; 2] =
    ["MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "YWJjZGVmZ2hpamtsbW5vcGFiY2RlZmdoaWprbG1ub3A="];

fn setup(scopes: Value) -> Options {
    let setup = json!({"hubs": [HUB1, HUB2], "scopes": scopes}).to_string();
    Options { setup: Some(Setup::parse(&setup).unwrap()), page_port: Some(0), ..options() }
}

/// All devices begin at the first hub.
fn one_group(reprovision: &str) -> Options {
    let group =
        json!({"name": "g", "primary_key": KEYS[0], "allocation": {"static": HUB1}, "reprovision": reprovision});
    setup(json!([{"id_scope": "0ne1", "groups": [group]}]))
}

/// A device of a scope and a group, by the group's key.
struct Member<'a> {
    simulator: &'a Simulator,
    scope: &'a str,
    id: &'a str,
    key: String,
}

impl<'a> Member<'a> {
    fn new(simulator: &'a Simulator, scope: &'a str, group_key: &str, id: &'a str) -> Self {
        Self { simulator, scope, id, key: hmac(group_key, id) }
    }

    async fn dps(&self, method: &str, rest: &str, body: &str) -> Reply {
        let (scope, id) = (self.scope, self.id);
        let authorization = token(&format!("{scope}/registrations/{id}"), &self.key, Some("registration"));
        let path = format!("/{scope}/registrations/{id}{rest}?api-version=2019-03-31");
        let headers = vec![("authorization", authorization)];
        ask(self.simulator, Ask { method, path, headers, body: body.into() }).await.unwrap()
    }

    /// Registers, and gives the state that it finds.
    async fn provision(&self) -> Value {
        let begun = self.dps("PUT", "/register", r#"{"payload":{"modelId":"dtmi:a;1"}}"#).await;
        assert_eq!(begun.status, StatusCode::ACCEPTED, "{begun:?}");
        let operation = format!("/operations/{}", begun.json()["operationId"].as_str().unwrap());
        let ended = self.dps("GET", &operation, "").await;
        assert_eq!(ended.status, StatusCode::OK);
        ended.json()["registrationState"].clone()
    }

    /// Sends to one host with a token for another.
    async fn send(&self, host: &str, audience: &str) -> u16 {
        let headers = vec![
            ("host", host.to_owned()),
            ("authorization", token(&format!("{audience}/devices/{}", self.id), &self.key, None)),
        ];
        let path = format!("/devices/{}/messages/events?api-version=2021-04-12", self.id);
        ask(self.simulator, Ask { method: "POST", path, headers, body: b"1".into() }).await.unwrap().status.as_u16()
    }
}

/// Twins and identities, as the owner of a hub sees them.
async fn owner(simulator: &Simulator, hub: &str, method: &str, path: &str, body: Value) -> Reply {
    let started = simulator.started();
    let more = started.more_hubs.iter().find(|one| one.hub == hub).map(|one| &one.service_connection_string);
    let key = more.unwrap_or(&started.service_connection_string).rsplit_once("SharedAccessKey=").unwrap().1;
    let headers = vec![
        ("host", hub.to_owned()),
        ("authorization", token(hub, key, Some("iothubowner"))),
        ("if-match", "*".into()),
    ];
    let path = format!("{path}?api-version=2021-04-12");
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    ask(simulator, Ask { method, path, headers, body }).await.unwrap()
}

async fn post(simulator: &Simulator, path: &str, body: &str) -> (u16, Value) {
    let (status, text) = call(simulator, Method::POST, path, "localhost", body).await;
    (status.as_u16(), serde_json::from_str(&text).unwrap())
}

#[tokio::test]
async fn hubs_do_not_know_each_others_devices_and_tokens() {
    let simulator = start(one_group("migrate")).await.unwrap();
    let device = Member::new(&simulator, "0ne1", KEYS[0], "d1");
    assert_eq!(device.provision().await["assignedHub"], HUB1);
    assert_eq!(device.send(HUB1, HUB1).await, 204);
    assert_eq!(device.send("localhost", HUB1).await, 204, "the first hub answers to every name");
    assert_eq!(device.send("127.0.0.1:8443", HUB1).await, 204);
    assert_eq!(device.send(HUB1, HUB2).await, 401, "a token for the other hub");
    assert_eq!(device.send(HUB2, HUB2).await, 404, "it is not there");
    assert_eq!(device.send(HUB2, HUB1).await, 404);
    assert_eq!(owner(&simulator, HUB2, "GET", "/devices/d1", Value::Null).await.status, StatusCode::NOT_FOUND);
    assert_eq!(simulator.messages(9).iter().map(|message| message.hub.as_str()).collect::<Vec<_>>(), [HUB1; 3]);
}

#[tokio::test]
async fn a_moved_device_is_gone_registers_again_and_has_its_twin_at_the_new_hub() {
    let simulator = start(one_group("migrate")).await.unwrap();
    let device = Member::new(&simulator, "0ne1", KEYS[0], "d1");
    device.provision().await;
    let tags = json!({"tags": {"floor": 3}});
    assert_eq!(owner(&simulator, HUB1, "PATCH", "/twins/d1", tags).await.status, StatusCode::OK);
    let (status, said) = post(&simulator, "/api/registrations/D1/move", &json!({"hub": HUB2}).to_string()).await;
    assert_eq!((status, &said["hub"]), (200, &json!(HUB2)));
    assert_eq!(device.send(HUB1, HUB1).await, 404);
    let state = device.provision().await;
    assert_eq!((&state["assignedHub"], &state["substatus"]), (&json!(HUB2), &json!("deviceDataMigrated")));
    assert_eq!(device.send(HUB2, HUB2).await, 204);
    assert_eq!(device.send(HUB1, HUB1).await, 404);
    let twin = owner(&simulator, HUB2, "GET", "/twins/d1", Value::Null).await.json();
    assert_eq!(twin["tags"], json!({"floor": 3}));
    assert_eq!(device.provision().await["assignedHub"], HUB2, "it stays there");
}

#[tokio::test]
async fn a_reset_device_begins_anew_and_one_that_never_moves_is_not_moved() {
    let simulator = start(one_group("reset")).await.unwrap();
    let device = Member::new(&simulator, "0ne1", KEYS[0], "d1");
    device.provision().await;
    owner(&simulator, HUB1, "PATCH", "/twins/d1", json!({"tags": {"floor": 3}})).await;
    simulator.move_to(None, "d1", HUB2).unwrap();
    assert_eq!([device.send(HUB1, HUB1).await, device.send(HUB2, HUB2).await], [404, 404], "it is nowhere");
    let state = device.provision().await;
    assert_eq!((&state["assignedHub"], &state["substatus"]), (&json!(HUB2), &json!("deviceDataReset")));
    let twin = owner(&simulator, HUB2, "GET", "/twins/d1", Value::Null).await.json();
    assert_eq!(twin.get("tags").filter(|tags| *tags != &json!({})), None, "{twin}");

    let simulator = start(one_group("never")).await.unwrap();
    let device = Member::new(&simulator, "0ne1", KEYS[0], "d1");
    device.provision().await;
    let (status, said) = post(&simulator, "/api/registrations/d1/move", &json!({"hub": HUB2}).to_string()).await;
    assert!(status == 409 && said["detail"].as_str().unwrap().contains("never"), "{said}");
    assert_eq!(device.send(HUB1, HUB1).await, 204);
}

#[tokio::test]
async fn moves_that_cannot_be_say_why() {
    let simulator = start(one_group("migrate")).await.unwrap();
    Member::new(&simulator, "0ne1", KEYS[0], "d1").provision().await;
    for (path, body, status, why) in [
        ("/api/registrations/d1/move", r#"{"hub":"hub9"}"#, 409, "one of hub1.azure-devices.net, hub2"),
        ("/api/registrations/d2/move", r#"{"hub":"hub2.azure-devices.net"}"#, 404, "not known"),
        ("/api/registrations/d1/move?scope=0ne2", r#"{"hub":"hub2.azure-devices.net"}"#, 404, "not known"),
        ("/api/registrations/d1/move", r#"{"to":"hub2"}"#, 400, "unknown field `to`"),
        ("/api/registrations/d1", "", 405, "method"),
        ("/api/registrations/d1/jump", "", 404, "nothing here"),
        ("/api/groups/other/disable", "", 404, "not in the setup"),
    ] {
        let (answered, said) = post(&simulator, path, body).await;
        assert!(answered == status && said["detail"].as_str().unwrap().contains(why), "{path} {body}: {said}");
    }
}

#[tokio::test]
async fn moves_switches_and_made_keys_survive_a_restart() {
    let dir = std::env::temp_dir().join(format!("simulator-hubs-{}", std::process::id()));
    let groups = json!([{"name": "a", "allocation": {"static": HUB1}}, {"name": "b"}]);
    let kept = || Options { dir: Some(dir.clone()), ..setup(json!([{"groups": groups}])) };
    let first = start(kept()).await.unwrap();
    let (scope, key) = (first.started().id_scope.clone(), first.started().group_key.clone());
    Member::new(&first, &scope, &key, "d1").provision().await;
    first.move_to(None, "d1", HUB2).unwrap();
    assert_eq!(first.switch_group(None, "B", false).unwrap(), 1);
    let before = first.started().clone();
    drop(first); // as a kill would

    let second = start(kept()).await.unwrap();
    let keys = |started: &simulator::Started| {
        let hubs = started.more_hubs.iter().map(|hub| hub.service_connection_string.clone());
        let groups = started.more_groups.iter().map(|group| group.group_key.clone());
        (started.group_key.clone(), hubs.chain(groups).collect::<Vec<_>>())
    };
    assert_eq!(keys(second.started()), keys(&before));
    let device = Member::new(&second, &scope, &key, "d1");
    assert_eq!(device.send(HUB1, HUB1).await, 404);
    let state = device.provision().await;
    assert_eq!((&state["assignedHub"], &state["substatus"]), (&json!(HUB2), &json!("deviceDataMigrated")));
    assert!(second.forget_registration(None, "D1").unwrap());
    let off = Member::new(&second, &scope, &second.started().more_groups[0].group_key, "d2");
    assert_eq!(off.provision().await["status"], "disabled", "its group was switched off before");
    drop(second);
    let third = start(kept()).await.unwrap();
    assert_eq!(third.registration("d1"), None);
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn a_forgotten_registration_begins_anew_and_the_device_stays_at_its_hub() {
    let simulator = start(one_group("migrate")).await.unwrap();
    let device = Member::new(&simulator, "0ne1", KEYS[0], "d1");
    device.provision().await;
    simulator.move_to(Some("0ne1"), "d1", HUB2).unwrap();
    device.provision().await;
    let (status, _) = call(&simulator, Method::DELETE, "/api/registrations/d1", "localhost", "").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(device.send(HUB2, HUB2).await, 204);
    assert_eq!(device.dps("POST", "", "{}").await.status, StatusCode::NOT_FOUND);
    let state = device.provision().await;
    assert_eq!((&state["assignedHub"], &state["substatus"]), (&json!(HUB1), &json!("initialAssignment")));
    let (status, said) = post(&simulator, "/api/devices/d1/disable", "").await;
    assert!(status == 409 && said["detail"].as_str().unwrap().contains("?hub="), "now both hubs have it: {said}");
    assert_eq!(post(&simulator, &format!("/api/devices/d1/disable?hub={HUB2}"), "").await.0, 200);
    assert_eq!([device.send(HUB1, HUB1).await, device.send(HUB2, HUB2).await], [204, 403]);
    assert!(simulator.set_status("d1", Status::Enabled).is_err());
    assert!(simulator.delete_device_at(HUB2, "d1").unwrap() && simulator.delete_device("d1").unwrap());
}

#[tokio::test]
async fn scopes_and_groups_are_told_apart_by_key() {
    let group = |name: &str, key: &str, hub: &str| json!({"name": name, "primary_key": key, "secondary_key": KEYS[1], "hubs": [hub], "payload": {"group": name}});
    let scopes = json!([
        {"id_scope": "0ne1", "groups": [group("a", KEYS[0], HUB1)]},
        {"id_scope": "0ne2", "groups": [group("b", KEYS[0], HUB2), {"name": "c", "enabled": false}]},
    ]);
    let simulator = start(setup(scopes)).await.unwrap();
    let started = simulator.started();
    let groups: Vec<_> = started.more_groups.iter().map(|it| (it.id_scope.as_str(), it.group.as_str())).collect();
    assert_eq!((started.id_scope.as_str(), groups), ("0ne1", vec![("0ne2", "b"), ("0ne2", "c")]));
    for (scope, key, hub, name) in
        [("0ne1", KEYS[0], HUB1, "a"), ("0ne2", KEYS[0], HUB2, "b"), ("0ne2", KEYS[1], HUB2, "b")]
    {
        let state = Member::new(&simulator, scope, key, "d1").provision().await;
        assert_eq!((&state["assignedHub"], &state["payload"]), (&json!(hub), &json!({"group": name})));
        assert_eq!(state["symmetricKey"], json!({"enrollmentGroupId": name}));
    }
    let off = Member::new(&simulator, "0ne2", &started.more_groups[1].group_key, "d2");
    assert_eq!(off.provision().await, json!({"registrationId": "d2", "status": "disabled"}));
    assert_eq!(off.dps("POST", "", "{}").await.json()["status"], "disabled");
    assert_eq!(post(&simulator, "/api/groups/c/enable", "").await.0, 200);
    assert_eq!(off.provision().await["status"], "assigned");
    assert_eq!(post(&simulator, "/api/groups/c/disable?scope=0ne1", "").await.0, 404);

    let (_, text) = call(&simulator, Method::GET, "/api/state", "localhost", "").await;
    let state: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(state["registrations"][0]["payload"], json!({"modelId": "dtmi:a;1"}));
    assert_eq!((&state["registration_count"], &state["groups"][2]["enabled"]), (&json!(3), &json!(true)));
    let (_, started) = call(&simulator, Method::GET, "/api/started", "localhost", "").await;
    assert!(started.contains(HUB2) && started.contains("0ne2"), "{started}");
    for secret in KEYS.iter().copied().chain(["SharedAccessKey", "group_key"]) {
        assert!(!text.contains(secret) && !started.contains(secret), "a key is shown");
    }
}

#[tokio::test]
async fn with_more_hubs_the_usual_group_spreads_over_all() {
    let names = ["hub1.azure-devices.net", "global.azure-devices-provisioning.net"];
    let hosts = names.map(str::to_owned).into();
    let simulator = start(Options { hosts, more_hubs: vec![HUB2.to_owned()], ..options() }).await.unwrap();
    let started = simulator.started();
    let mut hubs = std::collections::BTreeSet::new();
    for id in ["d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8"] {
        let device = Member::new(&simulator, &started.id_scope, &started.group_key, id);
        hubs.insert(device.provision().await["assignedHub"].as_str().unwrap().to_owned());
    }
    assert_eq!(hubs, [HUB1, HUB2].map(str::to_owned).into());
}

#[tokio::test]
async fn the_service_and_every_hub_have_their_name_in_the_certificate() {
    let names = ["hub1.azure-devices.net", "global.azure-devices-provisioning.net"];
    let hosts = names.map(str::to_owned).into();
    let simulator = start(Options { hosts, more_hubs: vec![HUB2.to_owned()], ..options() }).await.unwrap();
    let port = simulator.started().https;
    for name in [HUB1, HUB2, names[1], "localhost"] {
        crate::client::tls_as(&simulator, port, name, rustls::DEFAULT_VERSIONS).await;
    }
    let device = Device::new(&simulator, "d1");
    let path = format!("/{}/registrations/d1/register?api-version=2019-03-31", simulator.started().id_scope);
    let headers = vec![("host", names[1].to_owned()), ("authorization", device.registration_token())];
    let begun = ask(&simulator, Ask { method: "PUT", path, headers, body: b"{}".into() }).await.unwrap();
    assert_eq!(begun.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_device_that_polls_too_often_is_throttled_by_itself() {
    let simulator = start(one_group("migrate")).await.unwrap();
    let limit = json!({"dps": {"device_polls": {"above_per_10_s": 2, "retry_after_s": 4}}});
    simulator.set_faults(serde_json::from_value(limit).unwrap());
    for id in ["d1", "d2"] {
        let device = Member::new(&simulator, "0ne1", KEYS[0], id);
        let begun = device.dps("PUT", "/register", "{}").await.json();
        let operation = format!("/operations/{}", begun["operationId"].as_str().unwrap());
        let mut answers = Vec::new();
        for _ in 0..3 {
            answers.push(device.dps("GET", &operation, "").await);
        }
        assert_eq!([0, 1, 2].map(|at| answers[at].status.as_u16()), [200, 200, 429], "{id}");
        assert_eq!(answers[2].header("retry-after"), Some("4"));
    }
}
