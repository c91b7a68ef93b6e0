//! A peer that says anything, at any time, to a client or a server whose user does what it can do.
//!
//! The input is a script: a byte says what happens next, the bytes after it are its arguments. Frames are written from
//! the script (so that the machine gets past the first bytes) or are the script's own bytes.
#![no_main]

use std::time::Duration;

use amqp::connection::{Connection, Delivery, Event, LinkId, Options, Outgoing, Sent, SessionId, Terms};
use amqp::frame::{self, Protocol};
use amqp::performative::{
    Attach, Begin, Close, DeliveryState, Detach, Disposition, End, Error, Flow, Open, Performative, Role, Source,
    Target, Transfer,
};
use amqp::sasl::Mechanism;
use amqp::value::{Fields, Symbol};
use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;

mod bounds;

fuzz_target!(|data: &[u8]| bounds::within(data.len() + 65_536, || Play::new(data).run()));

struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Small numbers mostly: large ones rarely meet anything.
    fn number(&mut self) -> u32 {
        match self.byte().unwrap_or(0) {
            255 => u32::MAX,
            254 => 0x8000_0000,
            small => small.into(),
        }
    }

    fn bytes(&mut self) -> Bytes {
        let length = usize::from(self.byte().unwrap_or(0)).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        Bytes::copy_from_slice(taken)
    }
}

struct Play<'a> {
    script: Script<'a>,
    connection: Connection,
    now: Duration,
    sessions: Vec<SessionId>,
    links: Vec<LinkId>,
    sent: Vec<Sent>,
    open: usize,
    taken: Vec<(LinkId, u32)>,
    is_over: bool,
}

impl<'a> Play<'a> {
    fn new(data: &'a [u8]) -> Self {
        let mut script = Script(data);
        let kind = script.byte().unwrap_or(0);
        let options = Options {
            max_frame_size: 4096,
            channel_max: 3,
            handle_max: 3,
            links_max: 8,
            incoming_window: 4,
            partial_bytes_max: 4096,
            ..Options::new("us")
        };
        let mechanisms = vec![Symbol::known("ANONYMOUS"), Symbol::known("PLAIN")];
        let connection = match kind % 4 {
            0 => Connection::client(options, Mechanism::None, Duration::ZERO),
            1 => Connection::client(options, Mechanism::Anonymous, Duration::ZERO),
            _ => Connection::server(options, mechanisms, true, Duration::ZERO),
        };
        let mut play = Self {
            script,
            connection,
            now: Duration::ZERO,
            sessions: Vec::new(),
            links: Vec::new(),
            sent: Vec::new(),
            open: 0,
            taken: Vec::new(),
            is_over: false,
        };
        if kind & 0x80 != 0 {
            play.opens();
        }
        play
    }

    fn opens(&mut self) {
        let mut out = BytesMut::new();
        frame::put_header(&mut out, Protocol::Amqp);
        frame::put_frame(&mut out, 0, &Performative::Open(Open::default()), b"");
        self.connection.receive(&out, self.now);
    }

    fn run(mut self) {
        while let Some(what) = self.script.byte() {
            self.happens(what);
            self.listens();
        }
        self.connection.cut();
        self.listens();
        assert!(self.is_over, "a connection that was cut is over");
        assert_eq!(self.open, 0, "each delivery has a fate");
        assert!(self.connection.deadline().is_none());
    }

    fn happens(&mut self, what: u8) {
        match what % 20 {
            0 => self.raw(),
            1..=9 => self.frame(what % 20),
            10 => _ = self.connection.begin().map(|session| self.sessions.push(session)),
            11 => self.attaches(),
            12 => self.sends(),
            13 => {
                if let Some(sent) = self.pick(|play| &play.sent) {
                    self.connection.cancel(sent);
                }
            }
            14 => {
                if let Some(link) = self.pick(|play| &play.links) {
                    self.connection.detach(link, what & 0x80 != 0, None);
                }
            }
            15 => {
                if let Some(session) = self.pick(|play| &play.sessions) {
                    self.connection.end(session, None);
                }
            }
            16 => {
                if let Some(link) = self.pick(|play| &play.links) {
                    let credit = self.script.number();
                    self.connection.credit(link, credit);
                }
            }
            17 => {
                if let Some((link, delivery)) = self.pick(|play| &play.taken) {
                    self.connection.settle(link, delivery, DeliveryState::Accepted);
                }
            }
            18 => {
                self.now += Duration::from_millis(u64::from(self.script.number()) * 100);
                self.connection.tick(self.now);
            }
            _ => self.writes(),
        }
    }

    fn pick<T: Copy>(&mut self, from: impl Fn(&Self) -> &Vec<T>) -> Option<T> {
        let at = self.script.number() as usize;
        let all = from(self);
        (!all.is_empty()).then(|| all[at % all.len()])
    }

    fn attaches(&mut self) {
        let Some(session) = self.pick(|play| &play.sessions) else { return };
        let name = self.script.number().to_string();
        let terms = match self.script.number() % 2 {
            0 => Terms::sender(name, Target::at("t")),
            _ => Terms::receiver(name, Source::at("s")),
        };
        if let Ok(link) = self.connection.attach(session, terms) {
            self.links.push(link);
        }
    }

    fn sends(&mut self) {
        let Some(link) = self.pick(|play| &play.links) else { return };
        let payload = self.script.bytes();
        let settled = self.script.number() % 2 == 1;
        if let Some(sent) = self.connection.send(link, Outgoing { settled, ..Outgoing::message(payload) }) {
            self.sent.push(sent);
            self.open += 1;
        }
    }

    fn writes(&mut self) {
        let mut out = BytesMut::new();
        self.connection.output(&mut out, self.now);
        if out.starts_with(b"AMQP") {
            let _ = frame::take_header(&mut out);
        }
        while !out.is_empty() && !out.starts_with(b"AMQP") {
            let frame = frame::take_frame(&mut out, 4096).expect("we write frames that can be read, and no larger");
            assert!(frame.is_some(), "and whole ones");
        }
    }

    fn raw(&mut self) {
        let bytes = self.script.bytes();
        self.connection.receive(&bytes, self.now);
    }

    fn frame(&mut self, which: u8) {
        let channel = (self.script.number() % 5) as u16;
        let mut payload = Bytes::new();
        let performative = match which {
            1 => Performative::Open(Open { max_frame_size: self.script.number().max(512), ..Open::default() }),
            2 => Performative::Begin(Begin {
                remote_channel: Some((self.script.number() % 5) as u16).filter(|channel| *channel < 4),
                incoming_window: self.script.number(),
                next_outgoing_id: self.script.number(),
                ..Begin::default()
            }),
            3 => self.attach(),
            4 => Performative::Flow(self.flow()),
            5 => {
                let transfer = self.transfer();
                payload = self.script.bytes();
                Performative::Transfer(transfer)
            }
            6 => Performative::Disposition(Disposition {
                role: if self.script.number() % 2 == 0 { Role::Sender } else { Role::Receiver },
                first: self.script.number(),
                last: Some(self.script.number()),
                settled: self.script.number() % 2 == 0,
                state: Some(DeliveryState::Accepted),
                batchable: false,
            }),
            7 => Performative::Detach(Detach { handle: self.script.number(), closed: true, error: None }),
            8 => Performative::End(End::default()),
            _ => Performative::Close(Close { error: Some(Error::new("amqp:internal-error", "x")) }),
        };
        let mut out = BytesMut::new();
        frame::put_frame(&mut out, channel, &performative, &payload);
        self.connection.receive(&out, self.now);
    }

    fn attach(&mut self) -> Performative {
        Performative::Attach(Box::new(Attach {
            name: self.script.number().to_string(),
            handle: self.script.number(),
            role: if self.script.number() % 2 == 0 { Role::Sender } else { Role::Receiver },
            snd_settle_mode: Default::default(),
            rcv_settle_mode: Default::default(),
            source: Some(Source::at("s")),
            target: Some(Target::at("t")),
            initial_delivery_count: Some(self.script.number()),
            max_message_size: Some(u64::from(self.script.number())),
            offered_capabilities: Vec::new(),
            desired_capabilities: Vec::new(),
            properties: Fields::default(),
        }))
    }

    fn flow(&mut self) -> Flow {
        Flow {
            next_incoming_id: Some(self.script.number()),
            incoming_window: self.script.number(),
            next_outgoing_id: self.script.number(),
            outgoing_window: self.script.number(),
            handle: Some(self.script.number()).filter(|handle| *handle < 250),
            delivery_count: Some(self.script.number()),
            link_credit: Some(self.script.number()),
            available: None,
            drain: self.script.number() % 2 == 1,
            echo: self.script.number() % 2 == 1,
            properties: Fields::default(),
        }
    }

    fn transfer(&mut self) -> Transfer {
        let flags = self.script.number();
        Transfer {
            handle: self.script.number(),
            delivery_id: (flags & 1 == 0).then(|| self.script.number()),
            delivery_tag: Some(Bytes::from_static(b"tag")),
            settled: Some(flags & 2 != 0),
            more: flags & 4 != 0,
            aborted: flags & 8 != 0,
            ..Transfer::default()
        }
    }

    fn listens(&mut self) {
        while let Some(event) = self.connection.poll() {
            assert!(!self.is_over, "nothing comes after the end: {event:?}");
            match event {
                Event::Authenticating(_) => {
                    let good = self.script.number() % 4 != 3;
                    self.connection.authenticate(good);
                }
                Event::Begun(session, _) => self.sessions.push(session),
                Event::Attaching(_, link, attach) => {
                    self.links.push(link);
                    match self.script.number() % 3 {
                        0 => self.connection.refuse(link, Error::new("amqp:not-found", "x")),
                        1 => self.connection.accept(link, Terms::answer(&attach)),
                        _ => {}
                    }
                }
                Event::Delivered(link, Delivery { id, .. }) => self.taken.push((link, id)),
                Event::Done(..) => self.open -= 1,
                Event::Ended(_) => self.is_over = true,
                _ => {}
            }
        }
    }
}
