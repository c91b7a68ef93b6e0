//! What is refused, and how.

use crate::client::{Client, code, with_devices};
use crate::https::Device;

#[tokio::test]
async fn an_address_that_means_nothing_is_attached_and_then_closed() {
    let simulator = with_devices(&["d1"]).await;
    let mut client = Client::connect(&simulator).await;
    client.telemetry(&Device::new(&simulator, "d1")).await;
    let session = client.begin().await;
    for address in ["/devices/d1/methods", "/devices/d1/twins", "/nowhere", "/messages/elsewhere"] {
        let link = client.sender(session, address).await;
        let error = client.closed_with(link).await;
        assert_eq!((error.condition.as_str(), code(&error)), ("amqp:not-found", 404_006), "{address}");
        assert_eq!(error.info.get("com.microsoft:is-filtered"), Some(&true.into()));
        assert!(error.description.unwrap().contains(address), "the address is named");
    }
    for of in ["/devices/d1/modules/m1/messages/events", "/devices/d2/methods/devicebound", "/devices/d2/twin"] {
        let link = client.sender(session, of).await;
        let error = client.closed_with(link).await;
        let expected = ("amqp:unauthorized-access", 401_003);
        assert_eq!((error.condition.as_str(), code(&error)), expected, "each has a token of its own: {of}");
    }
}

#[tokio::test]
async fn a_device_may_listen_beside_what_it_sends() {
    let simulator = with_devices(&["d1"]).await;
    let mut client = Client::connect(&simulator).await;
    let sends = client.telemetry(&Device::new(&simulator, "d1")).await;
    let session = client.begin().await;
    client.receiver(session, "/devices/d1/messages/deviceBound").await;
    assert_eq!(client.send(sends, "1").await, crate::client::accepted());
    let attaches = simulator.counts().amqp.attaches;
    assert_eq!(
        (attaches.get("devicebound"), attaches.get("telemetry"), attaches.get("cbs")),
        (Some(&1), Some(&1), Some(&2))
    );
}
