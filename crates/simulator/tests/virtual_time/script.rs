//! A day of trouble, written down: the same calls in the same order each time.

use amqp::connection::{LinkId, Terms};
use amqp::performative::{Source, Target};
use serde_json::json;
use simulator::{Counts, GroupKey, Status};

use crate::client::{Client, accepted, data};
use crate::world::{GROUP, SCOPE, World, runtime};

/// Enough that an order that is left to chance comes out otherwise: eight links have 40 320 orders.
const DEVICES: usize = 8;
const NEW_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZg==";

/// What the services said, and what they counted.
pub fn play(seed: u64) -> (Vec<u8>, Counts) {
    let world = World::new(seed);
    runtime().block_on(day(&world));
    let counts = world.services.counts();
    let mut said = world.said();
    said.extend_from_slice(format!("{counts:?}{:?}", world.services.devices()).as_bytes());
    (said, counts)
}

async fn day(world: &World) {
    let all: Vec<String> = (0..DEVICES).map(|n| format!("eui-70b3d57ed005{n:04}")).collect();
    for id in &all {
        world.register(id).await;
    }
    let hub = world.hub_of(&all[0]);
    let ids: Vec<&str> = all.iter().map(String::as_str).filter(|id| world.hub_of(id) == hub).collect();
    let (first, second, last) = (ids[0], ids[1], ids[ids.len() - 1]);
    let mut clients = [world.amqp(&hub), world.amqp(&hub), world.amqp(&hub)];
    let [everybody, nobody, thief] = &mut clients;
    let links = attach_all(world, everybody, &ids).await;
    attach_all(world, nobody, &[]).await;
    say_all(everybody, &links).await;
    faults(world, &links, everybody).await;

    // Both hear of it in the order in which they came, and one of them loses all that it has.
    let links = attach_all(world, everybody, &ids).await;
    set(
        world,
        json!({"amqp": {"faults": [{"state": "idle", "when": "always", "action": {"detach":
        {"condition": "com.microsoft:device-container-throttled"}}}]}}),
    );
    for link in links {
        everybody.closed_with(link).await;
    }
    set(world, json!({}));

    let links = attach_all(world, everybody, &ids).await;
    disable_while_they_send(world, everybody, ids.iter().copied().zip(links)).await;

    // Disabled while it is connected, deleted while it is connected, taken while it is connected.
    let links = attach_all(world, everybody, &ids).await;
    world.services.set_status(first, Status::Disabled).unwrap();
    everybody.detached(links[0]).await;
    world.services.set_status(first, Status::Enabled).unwrap();
    world.services.delete_device(second).unwrap();
    everybody.closed_with(links[1]).await;
    attach_all(world, thief, &[last]).await;
    everybody.closed_with(links[links.len() - 1]).await;

    groups(world, second).await;
    // An hour later all tokens have run out, those of the thief as well.
    let still = attach_all(world, everybody, &ids[..ids.len() - 1]).await;
    world.services.forward(3700).unwrap();
    for link in still {
        everybody.closed_with(link).await;
    }
    world.pass(5).await;
    set(world, json!({"amqp": {"all": "drop"}}));
    for client in &mut clients {
        client.ended().await;
    }
    world.pass(60).await;
}

/// Puts tokens in CBS and attaches a link for telemetry to each, after a receiver for messages.
async fn attach_all(world: &World, client: &mut Client, ids: &[&str]) -> Vec<LinkId> {
    for id in ids {
        assert_eq!(client.put_token(&world.token(id)).await.0, 200, "{id}");
    }
    let session = client.begin().await;
    let mut links = Vec::new();
    for id in ids {
        let source = Source::at(format!("/devices/{id}/messages/devicebound"));
        client.attach(session, Terms::receiver(format!("down-{id}-{:?}", session), source)).await;
        let target = Target::at(format!("/devices/{id}/messages/events"));
        links.push(client.attach(session, Terms::sender(format!("up-{id}-{:?}", session), target)).await);
    }
    client.flush().await;
    links
}

/// A message and the owner's word come to the services at the same time.
async fn disable_while_they_send<'a>(
    world: &World,
    client: &mut Client,
    devices: impl Iterator<Item = (&'a str, LinkId)>,
) {
    for (id, link) in devices {
        client.post(link, data("{}"));
        client.flush().await;
        world.services.set_status(id, Status::Disabled).unwrap();
        client.detached(link).await;
        world.services.set_status(id, Status::Enabled).unwrap();
    }
}

async fn say_all(client: &mut Client, links: &[LinkId]) {
    for link in links {
        assert_eq!(client.send(*link, r#"{"temperature":21.5}"#).await, accepted());
    }
}

/// Faults on and off, by messages.
async fn faults(world: &World, links: &[LinkId], client: &mut Client) {
    set(world, json!({"hub": {"delay_ms": 700}, "amqp": {"accept_delay_ms": 300}}));
    say_all(client, links).await;
    set(world, json!({"hub": {"throttle": {"when": {"every": 2}}}}));
    for link in links {
        client.send(*link, "{}").await;
    }
    set(world, json!({"hub": {"refuse": [{"answer": "disabled"}]}}));
    client.send(links[0], "{}").await;
    set(world, json!({"dps": {"refuse": [{"answer": "not_enrolled"}]}}));
    let path = format!("/{SCOPE}/registrations/eui-1/register?api-version=2019-03-31");
    assert!(world.https("PUT", &path, "SharedAccessSignature sr=x", "{}").await.contains("401002"));
    set(world, json!({}));
}

/// What an owner does with a group and a registration.
async fn groups(world: &World, id: &str) {
    world.services.switch_group(None, GROUP, false).unwrap();
    world.services.switch_group(None, GROUP, true).unwrap();
    world.services.replace_group_key(None, GROUP, GroupKey::Secondary, NEW_KEY).unwrap();
    world.register(id).await;
    let other = world.services.hubs().into_iter().find(|hub| hub.hub != world.hub_of(id)).unwrap().hub;
    world.services.move_to(None, id, &other).unwrap();
    world.register(id).await;
    assert_eq!(world.hub_of(id), other);
    world.services.move_to(None, id, &world.services.registration(id).unwrap().first_hub).unwrap();
    world.register(id).await;
}

fn set(world: &World, faults: serde_json::Value) {
    world.services.set_faults(serde_json::from_value(faults).unwrap());
}
