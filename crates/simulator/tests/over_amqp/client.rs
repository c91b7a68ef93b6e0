//! A small AMQP client on the same engine: it pumps bytes and looks for events, one test at a time.

use std::collections::VecDeque;
use std::time::Duration;

use amqp::connection::{Connection, Detachment, Ended, Event, Fate, LinkId, Options, Outgoing, SessionId, Terms};
use amqp::message::{Body, Message, MessageId, Properties};
use amqp::performative::{DeliveryState, Error, Source, Target};
use amqp::sasl::Mechanism;
use amqp::value::{Fields, Value};
use bytes::{Bytes, BytesMut};
use simulator::Simulator;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;

use crate::https::{Ask, Device, Reply, ask, tls_to, token};

/// Nothing on one machine takes longer, also on a busy one.
pub const SOON: Duration = Duration::from_secs(10);
/// Long enough to notice what should not come.
pub const A_WHILE: Duration = Duration::from_millis(300);

pub trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Wire for S {}

pub struct Client {
    pub engine: Connection,
    wire: Box<dyn Wire>,
    began: Instant,
    /// Events that nobody has asked for yet.
    seen: VecDeque<Event>,
    cbs: Option<(LinkId, LinkId)>,
    next_id: u64,
}

impl Client {
    pub async fn connect(simulator: &Simulator) -> Self {
        Self::connect_as(simulator, Mechanism::None).await
    }

    pub async fn connect_as(simulator: &Simulator, mechanism: Mechanism) -> Self {
        let wire = tls_to(simulator, simulator.started().amqp).await;
        Self::on(Box::new(wire), mechanism)
    }

    /// One that names a host when it opens.
    pub async fn connect_to(simulator: &Simulator, host: &str, mechanism: Mechanism) -> Self {
        let wire = tls_to(simulator, simulator.started().amqp).await;
        Self::opening(Box::new(wire), host, mechanism)
    }

    pub fn on(wire: Box<dyn Wire>, mechanism: Mechanism) -> Self {
        Self::opening(wire, "localhost", mechanism)
    }

    pub fn opening(wire: Box<dyn Wire>, host: &str, mechanism: Mechanism) -> Self {
        let began = Instant::now();
        let options = Options { hostname: Some(host.to_owned()), ..Options::new("test") };
        let engine = Connection::client(options, mechanism, Duration::ZERO);
        Self { engine, wire, began, seen: VecDeque::new(), cbs: None, next_id: 0 }
    }

    fn at(&self) -> Duration {
        self.began.elapsed()
    }

    /// Writes what there is.
    pub async fn flush(&mut self) {
        loop {
            let mut out = BytesMut::new();
            let at = self.at();
            self.engine.output(&mut out, at);
            if out.is_empty() {
                break;
            }
            // A connection that the server has ended may not take it.
            let _ = self.wire.write_all(&out).await;
        }
        let _ = self.wire.flush().await;
    }

    async fn pump(&mut self) {
        self.flush().await;
        // Writing is news too: what is sent settled has its fate.
        let before = self.seen.len();
        self.drain();
        if self.seen.len() > before {
            return;
        }
        let mut input = vec![0; 16 << 10];
        let read = self.wire.read(&mut input).await;
        let at = self.at();
        match read {
            Ok(0) | Err(_) => self.engine.cut(),
            Ok(length) => self.engine.receive(&input[..length], at),
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(event) = self.engine.poll() {
            self.seen.push_back(event);
        }
    }

    /// Takes the first event that `wanted` makes something of.
    pub async fn until<T>(&mut self, what: &str, wanted: impl Fn(&Event) -> Option<T>) -> T {
        self.within(SOON, wanted).await.unwrap_or_else(|| panic!("{what} did not come; seen: {:?}", self.seen))
    }

    /// The same, for what may not come.
    pub async fn within<T>(&mut self, most: Duration, wanted: impl Fn(&Event) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + most;
        let mut looked = 0;
        loop {
            self.drain();
            while let Some(event) = self.seen.get(looked) {
                if let Some(found) = wanted(event) {
                    self.seen.remove(looked);
                    return Some(found);
                }
                looked += 1;
            }
            if self.seen.iter().any(|event| matches!(event, Event::Ended(_))) {
                self.flush().await;
                return None;
            }
            if tokio::time::timeout_at(deadline, self.pump()).await.is_err() {
                return None;
            }
        }
    }

    pub async fn begin(&mut self) -> SessionId {
        self.engine.begin().unwrap()
    }

    /// Attaches; the link, and what the server's attach said.
    pub async fn attach(&mut self, session: SessionId, terms: Terms) -> LinkId {
        let link = self.engine.attach(session, terms).unwrap();
        self.until("the attach", |event| matches!(event, Event::Attached(id, _) if *id == link).then_some(())).await;
        link
    }

    pub async fn sender(&mut self, session: SessionId, address: &str) -> LinkId {
        self.next_id += 1;
        let name = format!("sender-{}", self.next_id);
        self.attach(session, Terms::sender(name, Target::at(address))).await
    }

    pub async fn receiver(&mut self, session: SessionId, address: &str) -> LinkId {
        self.next_id += 1;
        let name = format!("receiver-{}", self.next_id);
        let link = self.attach(session, Terms::receiver(name, Source::at(address))).await;
        self.engine.credit(link, 10);
        link
    }

    /// Both links on which a device is asked and answers: the one that it hears on, the one that it speaks on.
    pub async fn pair(&mut self, session: SessionId, address: &str, names: [&str; 2]) -> (LinkId, LinkId) {
        self.next_id += 1;
        let [hears, speaks] = names.map(|name| Fields::default().with("com.microsoft:channel-correlation-id", name));
        let terms = Terms::receiver(format!("hears-{}", self.next_id), Source::at(address));
        let hears = self.attach(session, Terms { properties: hears, ..terms }).await;
        self.engine.credit(hears, 10);
        let terms = Terms::sender(format!("speaks-{}", self.next_id), Target::at(address));
        let speaks = self.attach(session, Terms { properties: speaks, ..terms }).await;
        (hears, speaks)
    }

    /// How a link was detached by the server.
    pub async fn detached(&mut self, link: LinkId) -> Detachment {
        self.until("the detach", |event| match event {
            Event::Detached(id, detachment) if *id == link => Some(detachment.clone()),
            _ => None,
        })
        .await
    }

    /// The condition with which a link was detached for good.
    pub async fn closed_with(&mut self, link: LinkId) -> Error {
        let detachment = self.detached(link).await;
        assert!(detachment.closed, "{detachment:?}");
        detachment.error.expect("an error")
    }

    pub async fn ended(&mut self) -> Ended {
        self.until("the end", |event| match event {
            Event::Ended(ended) => Some(ended.clone()),
            _ => None,
        })
        .await
    }

    /// Puts a token; what it is answered.
    pub async fn put_token(&mut self, token: &str) -> (i32, String) {
        let (requests, answers) = match self.cbs {
            Some(pair) => pair,
            None => {
                let session = self.begin().await;
                let pair = (self.sender(session, "$cbs").await, self.receiver(session, "$cbs").await);
                self.cbs = Some(pair);
                pair
            }
        };
        self.next_id += 1;
        let id = MessageId::Ulong(self.next_id);
        let text = |name: &str, value: &str| (name.to_owned(), Value::from(value));
        let request = Message {
            properties: Properties { message_id: Some(id.clone()), ..Properties::default() },
            application_properties: vec![
                text("operation", "put-token"),
                text("type", "servicebus.windows.net:sastoken"),
                text("name", "whatever"),
            ],
            body: Body::Value(token.into()),
            ..Message::default()
        };
        assert_eq!(self.send_bytes(requests, request.to_bytes()).await, Fate::Settled(Some(DeliveryState::Accepted)));
        let answer = self.message(answers).await;
        assert_eq!(answer.properties.correlation_id, Some(id));
        let [(_, Value::Int(status)), (_, Value::String(text))] = answer.application_properties.as_slice() else {
            panic!("not an answer: {answer:?}")
        };
        (*status, text.clone())
    }

    /// The next message on a link, accepted.
    pub async fn message(&mut self, link: LinkId) -> Message {
        let delivery = self
            .until("a message", |event| match event {
                Event::Delivered(id, delivery) if *id == link => Some(delivery.clone()),
                _ => None,
            })
            .await;
        self.engine.settle(link, delivery.id, DeliveryState::Accepted);
        let left = self.engine.credit_left(link);
        self.engine.credit(link, left + 1);
        Message::decode(&delivery.payload).unwrap()
    }

    /// A session with a telemetry link of a device that has put its token.
    pub async fn telemetry(&mut self, device: &Device<'_>) -> LinkId {
        assert_eq!(self.put_token(&device.hub_token()).await, (200, "OK".to_owned()));
        let session = self.begin().await;
        self.sender(session, &format!("/devices/{}/messages/events", device.id)).await
    }

    /// Hands a message over to be sent, without waiting.
    pub fn post(&mut self, link: LinkId, payload: Bytes) {
        self.engine.send(link, Outgoing::message(payload)).unwrap();
    }

    pub async fn fate(&mut self, link: LinkId) -> Fate {
        self.until("the fate of a message", |event| match event {
            Event::Done(sent, fate) if sent.link() == link => Some(fate.clone()),
            _ => None,
        })
        .await
    }

    pub async fn send_bytes(&mut self, link: LinkId, payload: Bytes) -> Fate {
        self.post(link, payload);
        self.fate(link).await
    }

    pub async fn send(&mut self, link: LinkId, body: &str) -> Fate {
        self.send_bytes(link, data(body)).await
    }
}

pub fn data(body: &str) -> Bytes {
    Message { body: Body::Data(vec![Bytes::copy_from_slice(body.as_bytes())]), ..Message::default() }.to_bytes()
}

pub fn accepted() -> Fate {
    Fate::Settled(Some(DeliveryState::Accepted))
}

/// The error with which a message was refused.
pub fn rejected(fate: Fate) -> Error {
    match fate {
        Fate::Settled(Some(DeliveryState::Rejected(Some(error)))) => error,
        other => panic!("not rejected: {other:?}"),
    }
}

/// The number in an error's JSON.
pub fn code(error: &Error) -> u64 {
    let description: serde_json::Value = serde_json::from_str(error.description.as_deref().unwrap()).unwrap();
    description["errorCode"].as_u64().unwrap()
}

/// A simulator where these devices are enrolled.
pub async fn with_devices(ids: &[&str]) -> Simulator {
    let simulator = simulator::start(crate::https::options()).await.unwrap();
    simulator.enrol(&ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>()).unwrap();
    simulator
}

pub fn set_faults(simulator: &Simulator, faults: serde_json::Value) {
    simulator.set_faults(serde_json::from_value(faults).unwrap());
}

/// What the owner of the hub asks for, under a policy of its.
pub async fn owner(simulator: &Simulator, policy: &str, method: &str, path: &str, body: &serde_json::Value) -> Reply {
    let started = simulator.started();
    let key = started.service_connection_string.rsplit_once("SharedAccessKey=").unwrap().1;
    // There are other keys for other policies; a wrong name is refused all the same.
    let headers = vec![("Authorization", token(&started.hub, key, Some(policy)))];
    let path = format!("{path}?api-version=2021-04-12");
    ask(simulator, Ask { method, path, headers, body: body.to_string().into() }).await.unwrap()
}

/// Waits until something is so.
pub async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
