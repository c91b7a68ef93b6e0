//! Two connections that talk to each other without a socket, in a time that the test moves.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::*;
use crate::performative::{DeliveryState, Error, Role, Source, Target};

mod cancels; // whatever is given up, nobody else notices
mod faults; // peers that break the rules
mod handshakes;
mod lives; // sessions, links, deliveries

/// A client and a server, and what they told.
struct Pair {
    client: Connection,
    server: Connection,
    now: Duration,
    /// Bytes that each may write at a time; small, to cut frames anywhere.
    piece: usize,
}

impl Pair {
    fn of(client: Connection, server: Connection) -> Self {
        Self { client, server, now: Duration::ZERO, piece: usize::MAX }
    }

    /// Opened, with the opening events taken.
    fn open() -> Self {
        Self::open_with(Options::new("client"), Options::new("server"))
    }

    fn open_with(client: Options, server: Options) -> Self {
        let client = Connection::client(client, Mechanism::None, Duration::ZERO);
        let server = Connection::server(server, Vec::new(), true, Duration::ZERO);
        let mut pair = Self::of(client, server);
        let (client, server) = pair.run();
        assert!(matches!(client[..], [Event::Opened(_)]), "{client:?}");
        assert!(matches!(server[..], [Event::Opened(_)]), "{server:?}");
        pair
    }

    /// Carries bytes until neither has any; what each told.
    fn run(&mut self) -> (Vec<Event>, Vec<Event>) {
        loop {
            let moved = carry(&mut self.client, &mut self.server, self.piece, self.now)
                + carry(&mut self.server, &mut self.client, self.piece, self.now);
            if moved == 0 {
                return (told(&mut self.client), told(&mut self.server));
            }
        }
    }

    /// A session with a link that sends to `address`, credit given.
    fn sender(&mut self, address: &str, credit: u32) -> (LinkId, LinkId) {
        let session = self.client.begin().expect("there is room");
        self.sender_in(session, address, credit)
    }

    fn sender_in(&mut self, session: SessionId, address: &str, credit: u32) -> (LinkId, LinkId) {
        let terms = Terms::sender(address, Target::at(address));
        let ours = self.client.attach(session, terms).expect("there is room");
        let (_, server) = self.run();
        let (theirs, attach) = attaching(&server);
        self.server.accept(theirs, Terms { max_message_size: Some(1 << 20), ..Terms::answer(&attach) });
        self.server.credit(theirs, credit);
        self.run();
        (ours, theirs)
    }
}

fn carry(from: &mut Connection, to: &mut Connection, piece: usize, now: Duration) -> usize {
    let mut bytes = BytesMut::new();
    from.output(&mut bytes, now);
    for piece in bytes.chunks(piece) {
        to.receive(piece, now);
    }
    bytes.len()
}

fn told(connection: &mut Connection) -> Vec<Event> {
    std::iter::from_fn(|| connection.poll()).collect()
}

fn attaching(events: &[Event]) -> (LinkId, crate::performative::Attach) {
    let found = events.iter().find_map(|event| match event {
        Event::Attaching(_, link, attach) => Some((*link, (**attach).clone())),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no link is wanted: {events:?}"))
}

fn deliveries(events: &[Event]) -> Vec<(LinkId, Delivery)> {
    let delivery = |event: &Event| match event {
        Event::Delivered(link, delivery) => Some((*link, delivery.clone())),
        _ => None,
    };
    events.iter().filter_map(delivery).collect()
}

fn fates(events: &[Event]) -> Vec<(Sent, Fate)> {
    let fate = |event: &Event| match event {
        Event::Done(sent, fate) => Some((*sent, fate.clone())),
        _ => None,
    };
    events.iter().filter_map(fate).collect()
}

fn message(text: &str) -> Outgoing {
    Outgoing::message(Bytes::copy_from_slice(text.as_bytes()))
}

fn error() -> Error {
    Error::new("amqp:internal-error", "on request")
}
