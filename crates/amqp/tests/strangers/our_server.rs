//! Our server: the house of the play, as `rhea_server.cjs` and `proton_server.py` keep it.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use amqp::connection::{Delivery, Detachment, Ended, Event, Fate, LinkId, Outgoing, Sent, SessionId, Terms};
use amqp::performative::{Attach, Role};
use amqp::sasl::Init;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::CREDIT;
use crate::wire::{Log, Wire};
use crate::words::{NUMBERS, big, body, data, fate, gone, refused, taken, tally, told, verdict};

/// Serves one guest after another, and reports each.
pub(crate) async fn keep(
    listener: TcpListener,
    idle: Option<Duration>,
    reports: mpsc::UnboundedSender<Value>,
    log: Log,
) {
    while let Ok((stream, _)) = listener.accept().await {
        if let Some(report) = House::new(stream, idle, log.clone()).host().await {
            // The test may have seen enough.
            let _ = reports.send(report);
        }
    }
}

/// Takes messages; verdicts are given by their own words.
#[derive(Default)]
struct Judge {
    left: usize,
    before: Option<usize>,
}

struct House {
    wire: Wire,
    mechanism: String,
    announced: Option<u32>,
    sessions: u32,
    judges: HashMap<LinkId, Judge>,
    judged: (u64, usize, bool),
    has_overrun: bool,
    /// What senders gave away, by address, and what became of it.
    sent: HashMap<Sent, String>,
    fates: HashMap<String, Vec<String>>,
    links: Vec<String>,
    ended: Vec<String>,
}

impl House {
    fn new(stream: TcpStream, idle: Option<Duration>, log: Log) -> Self {
        Self {
            wire: Wire::server(stream, idle, log),
            mechanism: "none".to_owned(),
            announced: None,
            sessions: 0,
            judges: HashMap::new(),
            judged: (0, 0, true),
            has_overrun: false,
            sent: HashMap::new(),
            fates: HashMap::new(),
            links: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// Until the guest has gone. What he saw of it is worth a report when he was let in.
    async fn host(mut self) -> Option<Value> {
        let mut end = None;
        while let Some(event) = self.wire.event().await {
            match event {
                Event::Ended(why) => end = Some(why),
                event => self.on(event),
            }
        }
        match end.expect("the end is told before nothing more is") {
            Ended::NotAuthenticated(_) => None,
            Ended::ByPeer(error) => Some(self.report(error.as_ref().map(told))),
            Ended::ByUs => Some(self.report(None)),
            other => Some(self.report(Some(format!("{other:?}")))),
        }
    }

    fn report(self, closed: Option<String>) -> Value {
        let fates: Map<String, Value> =
            self.fates.iter().map(|(address, fates)| (address.clone(), tally(fates))).collect();
        let (messages, bytes, in_order) = self.judged;
        json!({
            "mechanism": self.mechanism, "announced": self.announced, "sessions": self.sessions,
            "judged": {"messages": messages, "bytes": bytes, "in_order": in_order},
            "overrun": self.has_overrun, "fates": fates, "links": self.links, "ended": self.ended, "closed": closed,
        })
    }

    fn on(&mut self, event: Event) {
        match event {
            Event::Authenticating(init) => self.authenticate(&init),
            Event::Opened(open) => self.announced = open.idle_time_out,
            Event::Begun(..) => self.sessions += 1,
            Event::Attaching(session, link, attach) => self.attaching(session, link, &attach),
            Event::Delivered(link, delivery) => self.judge(link, &delivery),
            Event::Done(sent, told) => self.done(sent, &told),
            Event::Detached(_, how) => self.detached(&how),
            Event::SessionEnded(_, error) => self.ended.extend(error.as_ref().map(told)),
            Event::Attached(..) | Event::Credit(..) | Event::Asked(..) | Event::Drained(_) | Event::Ended(_) => {}
        }
    }

    fn authenticate(&mut self, init: &Init) {
        let response = init.initial_response.clone().unwrap_or_default();
        self.mechanism = init.mechanism.to_string();
        let is_good = match init.mechanism.as_str() {
            "PLAIN" => {
                self.mechanism.push_str(" device");
                response.as_ref() == b"\0device\0secret"
            }
            _ => true,
        };
        self.wire.connection.authenticate(is_good);
    }

    fn attaching(&mut self, session: SessionId, link: LinkId, attach: &Attach) {
        let connection = &mut self.wire.connection;
        let ends = (attach.target.as_ref().and_then(|end| end.address.clone()), attach.source.as_ref());
        if attach.role == Role::Receiver {
            let address = ends.1.and_then(|end| end.address.clone()).expect("it wants something");
            connection.accept(link, Terms::answer(attach));
            return self.give(link, address);
        }
        let address = ends.0.expect("it wants to go somewhere");
        if address == "refuse" {
            return connection.refuse(link, refused());
        }
        connection.accept(link, Terms::answer(attach));
        match address.as_str() {
            "close" | "detach" => connection.detach(link, address == "close", Some(gone())),
            "end" => connection.end(session, Some(gone())),
            "shut" => {
                let now = self.wire.now();
                self.wire.connection.close(Some(gone()), now);
            }
            _ => {
                self.judges.insert(link, Judge { left: CREDIT, before: None });
                connection.credit(link, u32::try_from(CREDIT).expect("small"));
            }
        }
    }

    /// Hands all there is to the engine, which lets it go as credit allows.
    fn give(&mut self, link: LinkId, address: String) {
        let bodies: VecDeque<Bytes> = match address.as_str() {
            "numbers" => (0..NUMBERS).map(|n| n.to_string().into()).collect(),
            "three" => (0..3).map(|n| n.to_string().into()).collect(),
            "big" => [big()].into(),
            _ => panic!("nobody has {address}"),
        };
        for body in bodies {
            let sent = self.wire.connection.send(link, Outgoing::message(data(body)));
            self.sent.insert(sent.expect("the link is new"), address.clone());
        }
    }

    fn done(&mut self, sent: Sent, told: &Fate) {
        let address = self.sent.remove(&sent).expect("one of ours, and told once");
        self.fates.entry(address).or_default().push(fate(told));
    }

    /// Credit comes by the hundred, when the last of it is used up.
    fn judge(&mut self, link: LinkId, delivery: &Delivery) {
        let body = body(delivery);
        let word = std::str::from_utf8(&body[..body.len().min(20)]).unwrap_or_default();
        let judge = self.judges.get_mut(&link).expect("an open link");
        let (messages, bytes, in_order) = &mut self.judged;
        *messages += 1;
        *bytes += body.len();
        if let Ok(number) = word.parse::<usize>() {
            *in_order &= number == judge.before.map_or(0, |before| before + 1);
            judge.before = Some(number);
        }
        self.has_overrun |= judge.left == 0;
        judge.left = judge.left.saturating_sub(1);
        self.wire.connection.settle(link, delivery.id, verdict(word));
        if judge.left == 0 {
            judge.left = CREDIT;
            self.wire.connection.credit(link, u32::try_from(CREDIT).expect("small"));
        }
    }

    /// Links that were closed without an error ended well. The rest is told.
    fn detached(&mut self, how: &Detachment) {
        if !how.by_us && (how.error.is_some() || !how.closed) {
            self.links.push(taken(how));
        }
    }
}
