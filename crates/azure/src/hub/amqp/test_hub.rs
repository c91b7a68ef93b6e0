//! A hub for the tests of this crate, on the server's side of the same engine and without a socket. Shares no code with
//! the simulator: it only does what the tests order.

use std::collections::HashMap;
use std::time::Duration;

use amqp::connection::{Connection, Delivery, Event, LinkId, Options, Outgoing, SessionId, Terms};
use amqp::message::{Body, Message, Properties};
use amqp::performative::{Attach, DeliveryState, Error, Role};
use amqp::value::Value;
use bytes::BytesMut;
use percent_encoding::percent_decode_str;

/// What the hub has to decide.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ask<'a> {
    Token(&'a str),
    Attach(&'a str),
    Message(&'a str),
}

/// How it decides.
#[derive(Clone, Debug)]
pub(super) enum Say {
    Yes,
    /// For a token.
    Status(i32, &'static str),
    /// For an attach.
    Refuse(Error),
    /// For a message.
    Outcome(DeliveryState),
    /// Nothing, ever.
    Nothing,
}

type Script = Box<dyn FnMut(Ask<'_>) -> Say + Send>;

pub(super) struct TestHub {
    pub(super) connection: Connection,
    script: Script,
    session_of: HashMap<LinkId, SessionId>,
    token_in: Option<LinkId>,
    token_out: Option<LinkId>,
    /// Devices with a token on this connection, and how many they put.
    pub(super) tokens: HashMap<String, u32>,
    pub(super) links: HashMap<LinkId, String>,
    pub(super) sessions: usize,
    /// Credit of a device's link…
    pub(super) credit: u32,
    /// …but for this one, which has plenty.
    pub(super) favourite: &'static str,
    /// Device and message id, in the order in which they came.
    pub(super) came: Vec<(String, String)>,
    /// What was accepted, likewise.
    pub(super) accepted: Vec<(String, String)>,
    /// Held back until [`TestHub::release`].
    held: Vec<(LinkId, u32, String, String)>,
    pub(super) attaches: Vec<Attach>,
    pub(super) is_over: bool,
}

impl TestHub {
    pub(super) fn new(script: impl FnMut(Ask<'_>) -> Say + Send + 'static) -> Self {
        let options = Options { silence_max: Some(Duration::from_secs(240)), ..Options::new("DeviceGateway_test") };
        Self {
            connection: Connection::server(options, Vec::new(), true, Duration::ZERO),
            script: Box::new(script),
            session_of: HashMap::new(),
            token_in: None,
            token_out: None,
            tokens: HashMap::new(),
            links: HashMap::new(),
            sessions: 0,
            credit: 1000,
            favourite: "",
            came: Vec::new(),
            accepted: Vec::new(),
            held: Vec::new(),
            attaches: Vec::new(),
            is_over: false,
        }
    }

    /// Says yes to everything.
    pub(super) fn kind() -> Self {
        Self::new(|_| Say::Yes)
    }

    pub(super) fn script(&mut self, script: impl FnMut(Ask<'_>) -> Say + Send + 'static) {
        self.script = Box::new(script);
    }

    pub(super) fn receive(&mut self, bytes: &[u8], now: Duration) {
        self.connection.receive(bytes, now);
        self.act();
    }

    pub(super) fn output(&mut self, out: &mut BytesMut, now: Duration) {
        self.connection.output(out, now);
        self.act();
    }

    fn act(&mut self) {
        while let Some(event) = self.connection.poll() {
            match event {
                Event::Begun(..) => self.sessions += 1,
                Event::SessionEnded(..) => self.sessions -= 1,
                Event::Attaching(session, link, attach) => self.attaching(session, link, *attach),
                Event::Delivered(link, delivery) if Some(link) == self.token_in => self.token(link, &delivery),
                Event::Delivered(link, delivery) => self.message(link, &delivery),
                Event::Detached(link, _) => self.forget(link),
                Event::Ended(_) => self.is_over = true,
                _ => {}
            }
        }
    }

    fn forget(&mut self, link: LinkId) {
        self.links.remove(&link);
        self.session_of.remove(&link);
        self.token_in = self.token_in.filter(|token| *token != link);
        self.token_out = self.token_out.filter(|token| *token != link);
    }

    fn attaching(&mut self, session: SessionId, link: LinkId, attach: Attach) {
        let terminus = match attach.role {
            Role::Sender => attach.target.as_ref().and_then(|target| target.address.clone()),
            Role::Receiver => attach.source.as_ref().and_then(|source| source.address.clone()),
        };
        let terminus = terminus.unwrap_or_default();
        self.session_of.insert(link, session);
        self.attaches.push(attach.clone());
        let terms = Terms { max_message_size: Some(1 << 20), ..Terms::answer(&attach) };
        match (attach.role, terminus.as_str()) {
            (Role::Sender, "$cbs") if self.token_in.is_none() => {
                self.token_in = Some(link);
                self.connection.accept(link, terms);
                self.connection.credit(link, 100);
            }
            (Role::Receiver, "$cbs") if self.token_out.is_none() => {
                self.token_out = Some(link);
                self.connection.accept(link, terms);
            }
            (Role::Sender, address) => self.attaching_device(link, terms, address),
            _ => self.connection.refuse(link, Error::new("amqp:not-allowed", "has already been opened")),
        }
    }

    fn attaching_device(&mut self, link: LinkId, terms: Terms, address: &str) {
        let id = address.strip_prefix("/devices/").and_then(|rest| rest.strip_suffix("/messages/events"));
        let id = id.map(|id| percent_decode_str(id).decode_utf8().unwrap().into_owned()).unwrap_or_default();
        if !self.tokens.contains_key(&id) {
            return self.connection.refuse(link, Error::new("amqp:unauthorized-access", "no token"));
        }
        match (self.script)(Ask::Attach(&id)) {
            Say::Refuse(error) => self.connection.refuse(link, error),
            Say::Nothing => {}
            _ => {
                let credit = self.credit_of(&id);
                self.links.insert(link, id);
                self.connection.accept(link, terms);
                self.connection.credit(link, credit);
            }
        }
    }

    fn credit_of(&self, device: &str) -> u32 {
        if device == self.favourite { 1000 } else { self.credit }
    }

    fn token(&mut self, link: LinkId, delivery: &Delivery) {
        self.connection.settle(link, delivery.id, DeliveryState::Accepted);
        if self.connection.credit_left(link) < 50 {
            self.connection.credit(link, 100);
        }
        let message = Message::decode(&delivery.payload).unwrap();
        let find = |name: &str| message.application_properties.iter().find(|(key, _)| key == name);
        let name = find("name").and_then(|(_, value)| value.as_str()).unwrap();
        let audience = percent_decode_str(name).decode_utf8().unwrap();
        let device = audience.split_once("/devices/").unwrap().1.to_owned();
        let Body::Value(Value::String(token)) = &message.body else { panic!("no token: {message:?}") };
        assert!(token.contains(&format!("sr={name}&")), "the audience is what the token is for: {token}");
        let (status, words) = match (self.script)(Ask::Token(&device)) {
            Say::Status(status, words) => (status, words),
            Say::Nothing => return,
            _ => (200, "OK"),
        };
        if status == 200 {
            *self.tokens.entry(device).or_default() += 1;
        }
        let answer = Message {
            properties: Properties { correlation_id: message.properties.message_id, ..Properties::default() },
            application_properties: vec![
                ("status-code".to_owned(), Value::Int(status)),
                ("status-description".to_owned(), words.into()),
            ],
            body: Body::Value(Value::Null),
            ..Message::default()
        };
        if let Some(out) = self.token_out {
            self.connection.send(out, Outgoing::message(answer.to_bytes()));
        }
    }

    fn message(&mut self, link: LinkId, delivery: &Delivery) {
        let Some(device) = self.links.get(&link).cloned() else { return };
        let message = Message::decode(&delivery.payload).unwrap();
        let Some(amqp::message::MessageId::String(id)) = message.properties.message_id.clone() else { panic!("no id") };
        self.came.push((device.clone(), id.clone()));
        if self.connection.credit_left(link) == 0 {
            self.connection.credit(link, self.credit_of(&device));
        }
        match (self.script)(Ask::Message(&device)) {
            Say::Yes => {
                self.accepted.push((device, id));
                self.connection.settle(link, delivery.id, DeliveryState::Accepted);
            }
            Say::Outcome(state) => self.connection.settle(link, delivery.id, state),
            _ => self.held.push((link, delivery.id, device, id)),
        }
    }

    /// Accepts what was held back.
    pub(super) fn release(&mut self) {
        for (link, delivery, device, id) in std::mem::take(&mut self.held) {
            self.accepted.push((device, id));
            self.connection.settle(link, delivery, DeliveryState::Accepted);
        }
    }

    pub(super) fn link_of(&self, device: &str) -> Option<LinkId> {
        self.links.iter().find(|(_, id)| *id == device).map(|(link, _)| *link)
    }

    pub(super) fn detach(&mut self, device: &str, closed: bool, error: Option<Error>) {
        if let Some(link) = self.link_of(device) {
            self.connection.detach(link, closed, error);
            self.forget(link);
        }
        self.act();
    }

    pub(super) fn end(&mut self, device: &str, error: Option<Error>) {
        if let Some(session) = self.link_of(device).and_then(|link| self.session_of.get(&link).copied()) {
            self.connection.end(session, error);
        }
        self.act();
    }

    /// Takes the node for tokens away.
    pub(super) fn end_node(&mut self, error: Option<Error>) {
        if let Some(session) = self.token_in.and_then(|link| self.session_of.get(&link).copied()) {
            self.connection.end(session, error);
        }
        self.act();
    }
}
