//! Devices that put tokens and send, alone and many on a connection.

use amqp::connection::Fate;
use amqp::sasl::Mechanism;
use serde_json::json;

use crate::client::{A_WHILE, Client, accepted, code, rejected, with_devices};
use crate::https::{Device, now_ms, token, token_until};

#[tokio::test]
async fn a_device_puts_its_token_and_what_it_sends_stands_in_the_record() {
    let simulator = with_devices(&["d1"]).await;
    for mechanism in [Mechanism::None, Mechanism::Mssbcbs, Mechanism::Anonymous, Mechanism::External] {
        let mut client = Client::connect_as(&simulator, mechanism).await;
        let link = client.telemetry(&Device::new(&simulator, "d1")).await;
        assert_eq!(client.send(link, r#"{"t":1.50}"#).await, accepted());
    }
    let messages = simulator.messages(10);
    assert_eq!(messages.len(), 4);
    assert_eq!((messages[0].device_id.as_str(), messages[0].body.as_ref()), ("d1", br#"{"t":1.50}"#.as_slice()));
}

#[tokio::test]
async fn many_devices_share_a_connection_and_a_wrong_one_disturbs_none() {
    let simulator = with_devices(&["d1", "d2"]).await;
    let mut client = Client::connect(&simulator).await;
    let one = client.telemetry(&Device::new(&simulator, "d1")).await;
    let (status, text) = client.put_token(&Device::new(&simulator, "nobody").hub_token()).await;
    assert_eq!((status, text.as_str()), (404, "Device nobody at IotHub localhost not registered."));
    let wrong = token("localhost/devices/d2", "AAAA", None);
    let (status, text) = client.put_token(&wrong).await;
    assert!(status == 401 && text.starts_with("The specified SAS token has an invalid signature."), "{status} {text}");
    let two = client.telemetry(&Device::new(&simulator, "d2")).await;
    assert_eq!((client.send(one, "1").await, client.send(two, "2").await), (accepted(), accepted()));
    assert_eq!(simulator.counts().messages, [("d1".to_owned(), 1), ("d2".to_owned(), 1)].into());
}

#[tokio::test]
async fn a_link_needs_a_token_of_its_own_device() {
    let simulator = with_devices(&["d1", "d2"]).await;
    let mut client = Client::connect(&simulator).await;
    client.telemetry(&Device::new(&simulator, "d1")).await;
    let session = client.begin().await;
    let link = client.sender(session, "/devices/d2/messages/events").await;
    let error = client.closed_with(link).await;
    assert_eq!((error.condition.as_str(), code(&error)), ("amqp:unauthorized-access", 401_003));
}

#[tokio::test]
async fn a_policy_that_connects_devices_opens_all_of_them() {
    let simulator = with_devices(&["d1", "d2"]).await;
    let started = simulator.started();
    let key = started.service_connection_string.rsplit_once("SharedAccessKey=").unwrap().1;
    let mut client = Client::connect(&simulator).await;
    assert_eq!(client.put_token(&token(&started.hub, key, Some("iothubowner"))).await.0, 200);
    let session = client.begin().await;
    for id in ["d1", "d2"] {
        let link = client.sender(session, &format!("amqps://localhost/devices/{id}/messages/events")).await;
        assert_eq!(client.send(link, "1").await, accepted());
    }
}

#[tokio::test]
async fn a_token_that_runs_out_takes_its_links_with_it_unless_it_is_renewed() {
    let simulator = with_devices(&["short", "long"]).await;
    let (short, long) = (Device::new(&simulator, "short"), Device::new(&simulator, "long"));
    let mut client = Client::connect(&simulator).await;
    let until = now_ms() / 1000 + 2;
    let session = client.begin().await;
    let mut links = Vec::new();
    for device in [&short, &long] {
        let token = token_until(&format!("localhost/devices/{}", device.id), &device.key, None, until);
        assert_eq!(client.put_token(&token).await.0, 200);
        links.push(client.sender(session, &format!("/devices/{}/messages/events", device.id)).await);
    }
    assert_eq!(client.put_token(&long.hub_token()).await.0, 200, "renewed in place");
    let error = client.closed_with(links[0]).await;
    assert_eq!(
        (error.condition.as_str(), error.description.as_deref()),
        ("amqp:unauthorized-access", Some("Token Invalid."))
    );
    assert_eq!(client.send(links[1], "1").await, accepted());
}

#[tokio::test]
async fn the_newer_connection_takes_a_device_and_the_older_is_told() {
    let simulator = with_devices(&["d1", "d2"]).await;
    let (one, two) = (Device::new(&simulator, "d1"), Device::new(&simulator, "d2"));
    let (mut older, mut newer) = (Client::connect(&simulator).await, Client::connect(&simulator).await);
    let (lost, kept) = (older.telemetry(&one).await, older.telemetry(&two).await);
    let taken = newer.telemetry(&one).await;
    assert_eq!(older.closed_with(lost).await.condition.as_str(), "amqp:link:stolen");
    assert_eq!(older.send(kept, "1").await, accepted());
    assert_eq!(newer.send(taken, "2").await, accepted());
    let again = older.telemetry(&one).await;
    assert_eq!(newer.closed_with(taken).await.condition.as_str(), "amqp:link:stolen");
    assert_eq!(older.send(again, "3").await, accepted());
    let told = simulator.thefts();
    let [there, back] = told.thefts.as_slice() else { panic!("two, not {told:?}") };
    assert_eq!((told.count, there.device_id.as_str(), there.hub.as_str()), (2, "d1", "localhost"));
    assert!(there.from.peer.is_some() && there.from.peer != there.to.peer);
    assert_eq!((&back.from, &back.to), (&there.to, &there.from), "it was taken back");
}

#[tokio::test]
async fn only_one_pair_of_cbs_links_is_granted() {
    let simulator = with_devices(&["d1"]).await;
    let mut client = Client::connect(&simulator).await;
    client.telemetry(&Device::new(&simulator, "d1")).await;
    let session = client.begin().await;
    let second = client.sender(session, "$cbs").await;
    let error = client.closed_with(second).await;
    assert_eq!(error.condition.as_str(), "amqp:not-allowed");
    assert!(error.description.unwrap().ends_with("$cbs node has already been opened."));
}

#[tokio::test]
async fn a_device_that_is_switched_off_or_deleted_loses_its_links() {
    let simulator = with_devices(&["d1", "d2", "d3"]).await;
    let mut client = Client::connect(&simulator).await;
    let mut links = Vec::new();
    for id in ["d1", "d2", "d3"] {
        links.push(client.telemetry(&Device::new(&simulator, id)).await);
    }
    simulator.set_status("d1", simulator::Status::Disabled).unwrap();
    let detachment = client.detached(links[0]).await;
    assert_eq!((detachment.closed, detachment.error), (false, None), "as newer gateways do");
    assert_eq!(client.put_token(&Device::new(&simulator, "d1").hub_token()).await.0, 401);
    simulator.delete_device("d2").unwrap();
    let error = client.closed_with(links[1]).await;
    assert_eq!((error.condition.as_str(), code(&error)), ("amqp:not-found", 404_001));
    assert_eq!(client.put_token(&Device::new(&simulator, "d2").hub_token()).await.0, 404);
    assert_eq!(client.send(links[2], "1").await, accepted());
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_and_one_beyond_the_link_ends_it() {
    let simulator = with_devices(&["d1"]).await;
    let mut client = Client::connect(&simulator).await;
    let link = client.telemetry(&Device::new(&simulator, "d1")).await;
    assert_eq!(client.send(link, &"x".repeat(262_144)).await, accepted());
    let error = rejected(client.send(link, &"x".repeat(262_145)).await);
    assert_eq!((error.condition.as_str(), code(&error)), ("amqp:link:message-size-exceeded", 413_001));
    assert_eq!(client.send(link, "1").await, accepted());
    assert_eq!(simulator.counts().messages_total, 2);
}

#[tokio::test]
async fn a_device_speaks_for_itself_by_sasl_plain() {
    let simulator = with_devices(&["d1"]).await;
    let device = Device::new(&simulator, "d1");
    let plain = |user: &str, password: String| Mechanism::Plain { user: user.to_owned(), password };
    let mut client = Client::connect_as(&simulator, plain("d1@sas.localhost", device.hub_token())).await;
    let session = client.begin().await;
    let link = client.sender(session, "/devices/d1/messages/events").await;
    assert_eq!(client.send(link, "1").await, accepted());
    let mut stranger = Client::connect_as(&simulator, plain("d1@sas.localhost", "nonsense".to_owned())).await;
    assert!(matches!(stranger.ended().await, amqp::connection::Ended::NotAuthenticated(_)));
}

#[tokio::test]
async fn no_more_tokens_are_taken_than_a_connection_may_hold() {
    let simulator = with_devices(&["d1", "d2"]).await;
    crate::client::set_faults(&simulator, json!({"amqp": {"cbs_tokens_max": 1}}));
    let mut client = Client::connect(&simulator).await;
    let link = client.telemetry(&Device::new(&simulator, "d1")).await;
    let refused = client.put_token(&Device::new(&simulator, "d2").hub_token()).await;
    assert_eq!(refused, (500, "The maximum number of tokens per connection (1) has been reached.".to_owned()));
    assert_eq!(client.put_token(&Device::new(&simulator, "d1").hub_token()).await.0, 200, "renewal takes no place");
    assert_eq!(client.send(link, "1").await, accepted());
}

#[tokio::test]
async fn a_message_without_an_answer_leaves_the_link_as_it_was() {
    let simulator = with_devices(&["d1"]).await;
    let mut client = Client::connect(&simulator).await;
    let link = client.telemetry(&Device::new(&simulator, "d1")).await;
    client.engine.send(
        link,
        amqp::connection::Outgoing { settled: true, ..amqp::connection::Outgoing::message(crate::client::data("1")) },
    );
    assert_eq!(client.fate(link).await, Fate::Unanswered);
    assert_eq!(client.send(link, "2").await, accepted());
    assert_eq!(simulator.counts().messages_total, 2);
    assert!(
        client
            .within(A_WHILE, |event| matches!(event, amqp::connection::Event::Detached(..)).then_some(()))
            .await
            .is_none()
    );
}

#[tokio::test]
async fn a_thousand_devices_fit_on_a_connection_and_the_next_one_needs_another() {
    let names: Vec<String> = (0..=1000).map(|number| format!("d{number}")).collect();
    let simulator = with_devices(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut client = Client::connect(&simulator).await;
    let mut links = Vec::new();
    for name in &names[..1000] {
        links.push(client.telemetry(&Device::new(&simulator, name)).await);
    }
    let (status, text) = client.put_token(&Device::new(&simulator, &names[1000]).hub_token()).await;
    assert_eq!((status, text.contains("(1000) has been reached")), (500, true));
    for link in &links {
        client.post(*link, crate::client::data("1"));
    }
    for link in &links {
        assert_eq!(client.fate(*link).await, accepted());
    }
    assert_eq!(simulator.counts().messages_total, 1000);
}
