//! A process dies: its runtime goes with all wires that it served, and the services go on in the next one.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use amqp::connection::{Event, Terms};
use amqp::message::{Body, Message, Properties};
use amqp::performative::Source;
use bytes::Bytes;
use simulator::Unplugged;
use tokio::io::DuplexStream;

use crate::client::{Client, accepted, data};
use crate::world::{World, runtime};

const ID: &str = "eui-70b3d57ed0050001";
/// By which everything is there that nothing keeps back; a lock that nobody gave back would last a minute.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Serves a wire until it has been looked at so often; then drops what serves it.
struct Mortal {
    life: Pin<Box<dyn Future<Output = ()>>>,
    looks_left: usize,
}

impl Mortal {
    fn new(services: Unplugged, wire: DuplexStream, looks_left: usize) -> Self {
        Self { life: Box::pin(async move { services.amqp(wire).await }), looks_left }
    }
}

impl Future for Mortal {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.looks_left.checked_sub(1) {
            None => Poll::Ready(()),
            Some(left) => {
                self.looks_left = left;
                self.life.as_mut().poll(context)
            }
        }
    }
}

/// A device that listens and sends: the message that it was handed, which it does not answer.
async fn device(world: &World, client: &mut Client) -> Message {
    assert_eq!(client.put_token(&world.token(ID)).await.0, 200);
    let session = client.begin().await;
    let up = client.sender(session, &format!("/devices/{ID}/messages/events")).await;
    let source = Source::at(format!("/devices/{ID}/messages/devicebound"));
    let down = client.attach(session, Terms::receiver("down", source)).await;
    client.engine.credit(down, 10);
    assert_eq!(client.send_bytes(up, data("up")).await, accepted());
    let handed = |event: &Event| match event {
        Event::Delivered(link, delivery) if *link == down => Some(delivery.payload.clone()),
        _ => None,
    };
    let payload = client.within(AT_ONCE, handed).await.expect("a message that nobody holds any more");
    Message::decode(&payload).unwrap()
}

/// The owner sends the device a message.
async fn send_down(world: &World) {
    let hub = world.hub_of(ID);
    let mut owner = world.amqp(&hub);
    assert_eq!(owner.put_token(&world.owner_token(&hub)).await.0, 200);
    let session = owner.begin().await;
    let link = owner.sender(session, "/messages/devicebound").await;
    let message = Message {
        properties: Properties { to: Some(format!("/devices/{ID}/messages/devicebound")), ..Properties::default() },
        body: Body::Data(vec![Bytes::from_static(b"down")]),
        ..Message::default()
    };
    assert_eq!(owner.send_bytes(link, message.to_bytes()).await, accepted());
}

#[test]
fn whatever_it_was_dropped_at_nothing_is_left_of_a_wire() {
    let world = World::new(1);
    world.services.enrol(&[ID.to_owned()]).unwrap();
    runtime().block_on(send_down(&world));
    let mut deaths = 0;
    for looks in 0.. {
        let whole = runtime().block_on(async {
            // Narrow, so that there is much to wait for.
            let (theirs, ours) = tokio::io::duplex(64);
            let mut client = Client::opening(Box::new(theirs), &world.hub_of(ID), amqp::sasl::Mechanism::None);
            tokio::select! {
                biased;
                () = Mortal::new(world.services.clone(), ours, looks) => false,
                _ = device(&world, &mut client) => true,
            }
        });
        assert_eq!(world.services.counts().amqp.connections_now, 0, "after {looks} looks");
        // The next process: the message that the dead one was handed is there at once, and nobody was robbed.
        let message = runtime().block_on(async { device(&world, &mut world.amqp(&world.hub_of(ID))).await });
        assert_eq!(message.body, Body::Data(vec![Bytes::from_static(b"down")]));
        let counts = world.services.counts();
        assert_eq!((counts.thefts, counts.amqp.connections_now), ([].into(), 0), "after {looks} looks");
        if whole {
            break;
        }
        deaths = looks + 1;
    }
    assert!(deaths > 10, "only {deaths} deaths");
    println!("died {deaths} times");
}
