//! A line against a hub, without sockets, in a time that the test moves.

use std::collections::BTreeMap;

use super::*;
use crate::hub::Telemetry;
use crate::hub::amqp::encode;
use crate::hub::amqp::test_hub::{Ask, Say, TestHub};

mod any_order; // whatever happens in whatever order
mod links; // tokens, links, and how they are lost
mod outcomes; // what becomes of messages

const SECOND: Duration = Duration::from_secs(1);
/// 2026-01-01T00:00:00Z.
const BEGAN: UnixSeconds = 1_767_225_600;

struct Pair {
    line: Line,
    hub: TestHub,
    at: Duration,
    /// Outcomes, by ticket.
    done: BTreeMap<Ticket, Result<(), Why>>,
    told: Vec<Effect>,
    next: Ticket,
    /// Renewals go at once.
    renews: bool,
}

fn settings() -> Arc<Settings> {
    Arc::new(Settings {
        host: "hub1.azure-devices.net".into(),
        name: "test".into(),
        token_life: SECOND * 3600,
        open_timeout: SECOND * 20,
        answer_timeout: SECOND * 20,
        silence_max: SECOND * 28,
    })
}

fn payload(id: &str) -> Bytes {
    encode::message(&Telemetry { message_id: id.to_owned(), body: "{}".into(), ..Telemetry::default() })
}

impl Pair {
    fn new(hub: TestHub) -> Self {
        let now = Now { at: Duration::ZERO, unix: BEGAN };
        Self {
            line: Line::new(settings(), 0, now),
            hub,
            at: Duration::ZERO,
            done: BTreeMap::new(),
            told: Vec::new(),
            next: 0,
            renews: true,
        }
    }

    /// With these devices attached.
    fn with(hub: TestHub, devices: &[&str]) -> Self {
        let mut pair = Self::new(hub);
        for device in devices {
            pair.post(device);
        }
        pair.run();
        assert!(pair.done.values().all(Result::is_ok), "{:?}", pair.done);
        pair
    }

    fn now(&self) -> Now {
        Now { at: self.at, unix: BEGAN + self.at.as_secs().cast_signed() }
    }

    /// A message for a device, under the next ticket.
    fn post(&mut self, device: &str) -> Ticket {
        self.post_with(device, &[1; 32])
    }

    fn post_with(&mut self, device: &str, key: &[u8]) -> Ticket {
        let ticket = self.next;
        self.next += 1;
        let key = Arc::new(Signer::device(key));
        let post = Post { ticket, name: device.into(), epoch: 1, key, payload: payload(&ticket.to_string()) };
        self.line.post(post, self.now());
        self.listen();
        ticket
    }

    /// Carries bytes until neither side has any.
    fn run(&mut self) {
        while self.carry_to_hub() + self.carry_to_line() > 0 {}
        self.listen();
    }

    fn carry_to_hub(&mut self) -> usize {
        let mut bytes = BytesMut::new();
        let now = self.now();
        self.line.output(&mut bytes, now);
        self.hub.receive(&bytes, self.at);
        self.listen();
        bytes.len()
    }

    fn carry_to_line(&mut self) -> usize {
        let mut bytes = BytesMut::new();
        self.hub.output(&mut bytes, self.at);
        if !bytes.is_empty() {
            let now = self.now();
            self.line.receive(&bytes, now);
        }
        self.listen();
        bytes.len()
    }

    fn listen(&mut self) {
        while let Some(effect) = self.line.effect() {
            match effect {
                Effect::Done(ticket, outcome) => {
                    let outcome = outcome.map(|_| ()).map_err(|error| error.why);
                    assert_eq!(self.done.insert(ticket, outcome), None, "ticket {ticket} ended twice");
                }
                Effect::RenewalDue { life, .. } if self.renews => {
                    let now = self.now();
                    self.line.renew(life, now.at, now);
                }
                other => self.told.push(other),
            }
        }
    }

    /// Lets time pass, with both sides awake whenever they want to be.
    fn pass(&mut self, time: Duration) {
        let until = self.at + time;
        self.run();
        loop {
            let next = self.line.deadline().into_iter().chain(self.hub.connection.deadline()).min();
            self.at = next.map_or(until, |next| next.clamp(self.at, until));
            let now = self.now();
            self.line.tick(now);
            self.hub.connection.tick(self.at);
            self.run();
            if self.at >= until {
                return;
            }
        }
    }

    /// As [`Pair::pass`], with a hub that hears and says nothing.
    fn pass_deaf(&mut self, time: Duration) {
        let until = self.at + time;
        while self.at < until {
            self.at = self.line.deadline().map_or(until, |next| next.clamp(self.at, until));
            let now = self.now();
            self.line.tick(now);
            self.listen();
        }
    }

    fn outcome(&self, ticket: Ticket) -> Option<Result<(), Why>> {
        self.done.get(&ticket).copied()
    }

    fn gone(&self) -> Vec<&str> {
        let gone = self.told.iter().filter_map(|effect| match effect {
            Effect::Gone { name, .. } => Some(&**name),
            _ => None,
        });
        gone.collect()
    }
}

/// Says this to one device, yes to all others.
fn only(device: &'static str, say: impl Fn(Ask<'_>) -> Say + Send + 'static) -> impl FnMut(Ask<'_>) -> Say + Send {
    move |ask| match ask {
        Ask::Token(id) | Ask::Attach(id) | Ask::Message(id) if id == device => say(ask),
        _ => Say::Yes,
    }
}
