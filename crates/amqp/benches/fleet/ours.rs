//! This engine over tokio: one task reads, decides and writes.

use std::time::Duration;

use amqp::connection::{Connection, Event, Fate, LinkId, Options, Outgoing, Terms};
use amqp::message::{Body, Message, Properties};
use amqp::performative::{DeliveryState, Target};
use amqp::sasl::Mechanism;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::{BODY_BYTES, Figures, Load, held};

struct Driver {
    connection: Connection,
    stream: TcpStream,
    began: Instant,
    read: BytesMut,
    write: BytesMut,
}

impl Driver {
    fn new(connection: Connection, stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        let buffer = || BytesMut::with_capacity(64 << 10);
        Self { connection, stream, began: Instant::now(), read: buffer(), write: buffer() }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Writes what there is and waits for bytes. False: the peer has gone.
    async fn turn(&mut self) -> bool {
        while self.connection.has_output() {
            let now = self.now();
            self.connection.output(&mut self.write, now);
            if self.write.is_empty() {
                break;
            }
            self.stream.write_all(&self.write).await.unwrap();
            self.write.clear();
        }
        self.read.clear();
        self.read.reserve(64 << 10);
        if self.stream.read_buf(&mut self.read).await.unwrap_or(0) == 0 {
            return false;
        }
        let now = self.now();
        self.connection.receive(&self.read, now);
        true
    }
}

pub(crate) async fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let connection = Connection::server(Options::new("server"), Vec::new(), true, Duration::ZERO);
        let mut driver = Driver::new(connection, stream);
        loop {
            while let Some(event) = driver.connection.poll() {
                answer(&mut driver.connection, event);
            }
            if !driver.turn().await {
                break;
            }
        }
    }
}

fn answer(connection: &mut Connection, event: Event) {
    match event {
        Event::Attaching(_, link, attach) => {
            connection.accept(link, Terms::answer(&attach));
            connection.credit(link, 1000);
        }
        Event::Delivered(link, delivery) => {
            connection.settle(link, delivery.id, DeliveryState::Accepted);
            if connection.credit_left(link) < 500 {
                connection.credit(link, 1000);
            }
        }
        _ => {}
    }
}

fn message() -> Bytes {
    let message = Message {
        properties: Properties { message_id: Some("0123456789abcdef".into()), ..Properties::default() },
        application_properties: vec![("DeviceEUI".into(), "0004A30B001C0530".into())],
        body: Body::Data(vec![Bytes::from(vec![b'x'; BODY_BYTES])]),
        ..Message::default()
    };
    message.to_bytes()
}

pub(crate) async fn measure(port: u16, load: Load) -> Figures {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let connection = Connection::client(Options::new("client"), Mechanism::None, Duration::ZERO);
    let mut driver = Driver::new(connection, stream);
    while driver.connection.poll().is_none() {
        assert!(driver.turn().await);
    }
    let (before, began) = (held::bytes(), Instant::now());
    let links: Vec<LinkId> = (0..load.devices).map(|device| attach(&mut driver.connection, device)).collect();
    let mut ready = 0;
    while ready < load.devices {
        while let Some(event) = driver.connection.poll() {
            ready += usize::from(matches!(event, Event::Credit(..)));
        }
        if ready < load.devices {
            assert!(driver.turn().await);
        }
    }
    let attach = began.elapsed();
    let bytes_a_device = held::bytes().saturating_sub(before) / load.devices;
    let began = Instant::now();
    send_all(&mut driver, &links, load).await;
    Figures { attach, bytes_a_device, send: began.elapsed() }
}

fn attach(connection: &mut Connection, device: usize) -> LinkId {
    let session = connection.begin().unwrap();
    let address = format!("/devices/device-{device}/messages/events");
    connection.attach(session, Terms::sender(format!("telemetry-{device}"), Target::at(address))).unwrap()
}

async fn send_all(driver: &mut Driver, links: &[LinkId], load: Load) {
    let mut left: std::collections::HashMap<LinkId, usize> = links.iter().map(|link| (*link, load.messages)).collect();
    for link in links {
        for _ in 0..load.window {
            send(&mut driver.connection, *link, &mut left);
        }
    }
    let mut settled = 0;
    while settled < load.devices * load.messages {
        while let Some(event) = driver.connection.poll() {
            let Event::Done(sent, fate) = event else { continue };
            assert_eq!(fate, Fate::Settled(Some(DeliveryState::Accepted)));
            settled += 1;
            send(&mut driver.connection, sent.link(), &mut left);
        }
        if settled < load.devices * load.messages {
            assert!(driver.turn().await);
        }
    }
}

fn send(connection: &mut Connection, link: LinkId, left: &mut std::collections::HashMap<LinkId, usize>) {
    let left = left.get_mut(&link).unwrap();
    if *left > 0 {
        *left -= 1;
        connection.send(link, Outgoing::message(message())).unwrap();
    }
}
