//! Several hubs behind one port: the host name of the open says which is meant.

use amqp::sasl::Mechanism;
use simulator::{Options, Setup, Simulator, start};

use crate::client::{Client, accepted, code};
use crate::https::{Device, options, token};

const HUB1: &str = "hub1.azure-devices.net";
const HUB2: &str = "hub2.azure-devices.net";

/// Where `d1` is at the first hub.
async fn two_hubs() -> Simulator {
    let text = format!(
        r#"{{"hubs":["{HUB1}","{HUB2}"],"scopes":[{{"groups":[{{"name":"g","allocation":{{"static":"{HUB1}"}}}}]}}]}}"#
    );
    let simulator = start(Options { setup: Some(Setup::parse(&text).unwrap()), ..options() }).await.unwrap();
    simulator.enrol(&["d1".to_owned()]).unwrap();
    simulator
}

/// What a device is told that puts a token for `audience` on a connection to `host`.
async fn told(simulator: &Simulator, host: &str, audience: &str) -> i32 {
    let mut client = Client::connect_to(simulator, host, Mechanism::None).await;
    let key = Device::new(simulator, "d1").key;
    client.put_token(&token(&format!("{audience}/devices/d1"), &key, None)).await.0
}

#[tokio::test]
async fn the_host_name_of_the_open_chooses_the_hub_and_an_unknown_one_the_first() {
    let simulator = two_hubs().await;
    for host in [HUB1, "HUB1.azure-devices.net", "localhost", "gateway.example", "127.0.0.1"] {
        assert_eq!(told(&simulator, host, HUB1).await, 200, "{host}");
    }
    assert_eq!(told(&simulator, HUB2, HUB2).await, 404, "the device is not at the other hub");
    assert_eq!(told(&simulator, HUB2, HUB1).await, 401, "a token for the other hub");
    assert_eq!(told(&simulator, HUB1, HUB2).await, 401);
}

#[tokio::test]
async fn a_reader_is_sent_to_the_endpoint_of_the_hub_that_it_asked() {
    let simulator = two_hubs().await;
    let started = simulator.started();
    for (host, string) in
        [(HUB1, &started.service_connection_string), (HUB2, &started.more_hubs[0].service_connection_string)]
    {
        let name = host.split('.').next().unwrap();
        let key = string.rsplit_once("SharedAccessKey=").unwrap().1;
        let password = token(&format!("{host}/messages/events"), key, Some("iothubowner"));
        let user = format!("iothubowner@sas.root.{name}");
        let mut client = Client::connect_to(&simulator, host, Mechanism::Plain { user, password }).await;
        let session = client.begin().await;
        let link = client.receiver(session, "/messages/events/$management").await;
        let error = client.closed_with(link).await;
        let address = format!("amqps://{host}:{}/{name}/$management", started.amqp);
        assert_eq!(error.condition.as_str(), "amqp:link:redirect");
        assert_eq!(error.info.get("address"), Some(&address.into()));
        assert_eq!(error.info.get("hostname"), Some(&host.into()));
    }
}

#[tokio::test]
async fn a_device_that_is_moved_loses_its_links_at_once() {
    let simulator = two_hubs().await;
    let device = Device::new(&simulator, "d1");
    let mut client = Client::connect_to(&simulator, HUB1, Mechanism::None).await;
    let link = client.telemetry(&device).await;
    assert_eq!(client.send(link, "1").await, accepted());
    simulator.move_to(None, "d1", HUB2).unwrap();
    let error = client.closed_with(link).await;
    assert_eq!((error.condition.as_str(), code(&error)), ("amqp:not-found", 404_001));
    let token = token(&format!("{HUB2}/devices/d1"), &device.key, None);
    let mut client = Client::connect_to(&simulator, HUB2, Mechanism::None).await;
    assert_eq!(client.put_token(&token).await.0, 200);
    let session = client.begin().await;
    let link = client.sender(session, "/devices/d1/messages/events").await;
    assert_eq!(client.send(link, "2").await, accepted());
    assert_eq!(simulator.messages(2).iter().map(|message| message.hub.as_str()).collect::<Vec<_>>(), [HUB1, HUB2]);
}
