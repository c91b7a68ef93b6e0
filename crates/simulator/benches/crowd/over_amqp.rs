//! Devices over AMQP, many on a connection: each with a token and a telemetry link of its own.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use amqp::connection::{Connection, Event, LinkId, Options, Outgoing, Terms};
use amqp::message::{Body, Message, MessageId, Properties};
use amqp::performative::{DeliveryState, Source, Target};
use amqp::sasl::Mechanism;
use amqp::value::Value;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::Crowd;
use crate::server::{Server, name};
use crate::wire::{Dialler, Wire, body, each, token};

/// A hub allows 1000 tokens on a connection.
const DEVICES_PER_CONNECTION: usize = 900;

pub(crate) struct Lines(Vec<Line>);

/// One connection.
struct Line {
    engine: Connection,
    wire: Wire,
    began: Instant,
    links: Vec<LinkId>,
    input: Box<[u8]>,
}

pub(crate) async fn crowd(server: &Server, devices: usize) -> Lines {
    let dialler = Dialler::new(server.port("amqp"), server.text("ca_pem"));
    let group_key = server.text("group_key");
    let lines = each(devices.div_ceil(DEVICES_PER_CONNECTION), |at| {
        let first = at * DEVICES_PER_CONNECTION;
        let names: Vec<String> = (first..devices.min(first + DEVICES_PER_CONNECTION)).map(name).collect();
        let dialler = &dialler;
        async move {
            let mut line = Line::new(dialler.dial().await);
            line.attach(group_key, &names).await;
            line
        }
    });
    Lines(lines.await)
}

impl Crowd for Lines {
    fn connections(&self) -> usize {
        self.0.len()
    }

    async fn talk(&mut self, rounds: usize) {
        let talks: Vec<_> = self.0.drain(..).map(|line| tokio::spawn(line.talk(rounds))).collect();
        for talk in talks {
            self.0.push(talk.await.expect("a talk"));
        }
    }
}

impl Line {
    fn new(wire: Wire) -> Self {
        let options = Options { hostname: Some("localhost".to_owned()), ..Options::new("crowd") };
        let engine = Connection::client(options, Mechanism::None, Duration::ZERO);
        Self { engine, wire, began: Instant::now(), links: Vec::new(), input: vec![0; 16 << 10].into() }
    }

    /// Writes what there is; else reads, and waits for that.
    async fn step(&mut self) {
        let mut out = BytesMut::new();
        self.engine.output(&mut out, self.began.elapsed());
        if !out.is_empty() {
            self.wire.write_all(&out).await.expect("written");
            return self.wire.flush().await.expect("flushed");
        }
        match self.wire.read(&mut self.input).await.expect("read") {
            0 => panic!("the simulator ended the connection"),
            length => self.engine.receive(&self.input[..length], self.began.elapsed()),
        }
    }

    async fn attach(&mut self, group_key: &str, names: &[String]) {
        let session = self.engine.begin().expect("a session");
        let requests = self.engine.attach(session, Terms::sender("asks", Target::at("$cbs"))).expect("a link");
        let answers = self.engine.attach(session, Terms::receiver("hears", Source::at("$cbs"))).expect("a link");
        self.engine.credit(answers, 1000);
        for (at, name) in names.iter().enumerate() {
            self.engine.send(requests, Outgoing::message(put_token(at as u64, &token(group_key, name))));
        }
        self.until(names.len(), |engine, event| match event {
            Event::Delivered(link, delivery) if link == answers => {
                engine.settle(link, delivery.id, DeliveryState::Accepted);
                true
            }
            _ => false,
        })
        .await;
        for name in names {
            let session = self.engine.begin().expect("a session");
            let target = Target::at(format!("/devices/{name}/messages/events"));
            self.links.push(self.engine.attach(session, Terms::sender("sends", target)).expect("a link"));
        }
        let links: HashSet<LinkId> = self.links.iter().copied().collect();
        self.until(names.len(), |_, event| matches!(event, Event::Attached(link, _) if links.contains(&link))).await;
    }

    /// Goes on until so many events were among those that are waited for.
    async fn until(&mut self, mut wanted: usize, mut is_one: impl FnMut(&mut Connection, Event) -> bool) {
        loop {
            while let Some(event) = self.engine.poll() {
                wanted -= usize::from(is_one(&mut self.engine, event));
            }
            if wanted == 0 {
                return;
            }
            self.step().await;
        }
    }

    async fn talk(mut self, rounds: usize) -> Self {
        let message: Bytes = Message { body: Body::Data(vec![body().into()]), ..Message::default() }.to_bytes();
        let mut left: HashMap<LinkId, usize> = self.links.iter().map(|link| (*link, rounds)).collect();
        for link in self.links.clone() {
            self.engine.send(link, Outgoing::message(message.clone()));
        }
        self.until(self.links.len() * rounds, |engine, event| {
            let Event::Done(sent, _) = event else { return false };
            let Some(left) = left.get_mut(&sent.link()) else { return false };
            *left -= 1;
            if *left > 0 {
                engine.send(sent.link(), Outgoing::message(message.clone()));
            }
            true
        })
        .await;
        self
    }
}

fn put_token(id: u64, token: &str) -> Bytes {
    let text = |name: &str, value: &str| (name.to_owned(), Value::from(value));
    let request = Message {
        properties: Properties { message_id: Some(MessageId::Ulong(id)), ..Properties::default() },
        application_properties: vec![
            text("operation", "put-token"),
            text("type", "servicebus.windows.net:sastoken"),
            text("name", "crowd"),
        ],
        body: Body::Value(token.into()),
        ..Message::default()
    };
    request.to_bytes()
}
