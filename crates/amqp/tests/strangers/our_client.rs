//! Our client: plays the scenes of the play, as `rhea_client.cjs` and `proton_client.py` do.

use std::collections::HashMap;
use std::time::Duration;

use amqp::connection::{Connection, Ended, Event, LinkId, Outgoing, SessionId, Terms};
use amqp::performative::{Error, Source, Target};
use amqp::sasl::Mechanism;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::wire::{Log, Wire};
use crate::words::{NUMBERS, VERDICTS, big, body, bye, data, fate, sum, taken, tally, told, verdict};
use crate::{CREDIT, IDLE, QUIET, Scene};

pub(crate) async fn play(scene: Scene, port: u16, log: Log) -> Value {
    match scene {
        Scene::Work => work(port, log).await,
        Scene::Errors => errors(port, log).await,
        Scene::Quiet => quiet(port, log).await,
        Scene::Doors => doors(port, log).await,
    }
}

struct Guest {
    wire: Wire,
    links: u32,
    /// What the peer announced.
    idle_ms: Option<u32>,
}

impl Guest {
    /// A connection that stands; none when the peer did not like who we are.
    async fn enter(port: u16, mechanism: Mechanism, idle: Option<Duration>, log: Log) -> Option<Self> {
        let wire = Wire::client(port, mechanism, idle, log).await;
        let mut guest = Self { wire, links: 0, idle_ms: None };
        let open = guest.until(|_, event| match event {
            Event::Opened(open) => Some(Some(open)),
            Event::Ended(Ended::NotAuthenticated(_)) => Some(None),
            _ => None,
        });
        guest.idle_ms = open.await?.idle_time_out;
        Some(guest)
    }

    async fn until<T>(&mut self, mut pick: impl FnMut(&mut Connection, Event) -> Option<T>) -> T {
        loop {
            let event = self.wire.event().await.expect("the connection ended too early");
            if let Some(found) = pick(&mut self.wire.connection, event) {
                return found;
            }
        }
    }

    fn begin(&mut self) -> SessionId {
        self.wire.connection.begin().expect("a session fits")
    }

    fn name(&mut self) -> String {
        self.links += 1;
        format!("link-{}", self.links)
    }

    fn sender(&mut self, session: SessionId, address: &str) -> LinkId {
        let terms = Terms::sender(self.name(), Target::at(address));
        self.wire.connection.attach(session, terms).expect("a link fits")
    }

    fn receiver(&mut self, session: SessionId, address: &str) -> LinkId {
        let terms = Terms::receiver(self.name(), Source::at(address));
        self.wire.connection.attach(session, terms).expect("a link fits")
    }

    async fn detach(&mut self, link: LinkId, closed: bool, error: Option<Error>) {
        self.wire.connection.detach(link, closed, error);
        self.until(|_, event| matches!(event, Event::Detached(one, ref how) if one == link && how.by_us).then_some(()))
            .await;
    }

    /// Hands all messages over at once, over a link for each address; gives their fates, in order.
    async fn send(&mut self, jobs: &[(SessionId, Vec<Bytes>)]) -> Vec<String> {
        let links: Vec<LinkId> = jobs.iter().map(|(session, _)| self.sender(*session, "judge")).collect();
        let mut order = HashMap::new();
        for (link, (_, bodies)) in links.iter().zip(jobs) {
            for body in bodies {
                let sent = self.wire.connection.send(*link, Outgoing::message(data(body.clone())));
                order.insert(sent.expect("the link is new"), order.len());
            }
        }
        let mut fates = vec![String::new(); order.len()];
        while !order.is_empty() {
            let (sent, said) = self
                .until(|_, event| match event {
                    Event::Done(sent, told) => Some((sent, fate(&told))),
                    _ => None,
                })
                .await;
            fates[order.remove(&sent).expect("one of ours, and told once")] = said;
        }
        for link in links {
            self.detach(link, true, None).await;
        }
        fates
    }

    async fn send_one(&mut self, session: SessionId, body: impl Into<Bytes>) -> Vec<String> {
        self.send(&[(session, vec![body.into()])]).await
    }

    /// Takes so many deliveries with credit for 100 at a time, and judges them in turn.
    async fn receive(&mut self, session: SessionId, address: &str, wanted: usize) -> Vec<Bytes> {
        let link = self.receiver(session, address);
        let grant = |taken: usize| u32::try_from((wanted - taken).min(CREDIT)).expect("small");
        self.wire.connection.credit(link, grant(0));
        let mut bodies = Vec::new();
        while bodies.len() < wanted {
            let delivery = self
                .until(|_, event| match event {
                    Event::Delivered(one, delivery) if one == link => Some(delivery),
                    _ => None,
                })
                .await;
            self.wire.connection.settle(link, delivery.id, verdict(VERDICTS[bodies.len() % 4]));
            bodies.push(body(&delivery));
            if bodies.len() % CREDIT == 0 {
                self.wire.connection.credit(link, grant(bodies.len()));
            }
        }
        self.detach(link, true, None).await;
        bodies
    }

    /// Gives credit for ten, asks for what there is. Not pipelined: fe2o3-amqp does not answer a drain before it attached.
    async fn drain(&mut self, session: SessionId, address: &str) -> usize {
        let link = self.receiver(session, address);
        self.until(|_, event| matches!(event, Event::Attached(one, _) if one == link).then_some(())).await;
        self.wire.connection.drain(link, 10);
        let mut count = 0;
        self.until(|connection, event| match event {
            Event::Delivered(_, delivery) => {
                connection.settle(link, delivery.id, verdict("accepted"));
                count += 1;
                None
            }
            Event::Drained(one) => (one == link).then_some(()),
            _ => None,
        })
        .await;
        self.detach(link, true, None).await;
        count
    }

    /// Attaches, and says how the other side took the link away.
    async fn rebuffed(&mut self, session: SessionId, address: &str) -> String {
        let link = self.sender(session, address);
        self.until(|_, event| match event {
            Event::Detached(one, how) if one == link => Some(taken(&how)),
            _ => None,
        })
        .await
    }

    /// Takes a link away from the other side, and waits for its answer.
    async fn leave(&mut self, session: SessionId, closed: bool) {
        let link = self.sender(session, "judge");
        self.until(|_, event| matches!(event, Event::Attached(one, _) if one == link).then_some(())).await;
        self.detach(link, closed, Some(bye())).await;
    }

    async fn ended(&mut self, session: SessionId) -> Option<Error> {
        self.until(|_, event| match event {
            Event::SessionEnded(one, error) if one == session => Some(error),
            _ => None,
        })
        .await
    }
}

async fn anonymous(port: u16, log: Log) -> Guest {
    Guest::enter(port, Mechanism::Anonymous, None, log).await.expect("everybody is let in")
}

fn numbers(count: usize) -> Vec<Bytes> {
    (0..count).map(|n| n.to_string().into()).collect()
}

async fn work(port: u16, log: Log) -> Value {
    let mut guest = anonymous(port, log).await;
    let (first, second) = (guest.begin(), guest.begin());
    let small = guest.send(&[(first, numbers(1000)), (second, numbers(1000))]).await;
    let mut verdicts = Vec::new();
    for word in VERDICTS {
        verdicts.extend(guest.send_one(first, word).await);
    }
    let whole = guest.send_one(second, big()).await;
    let got = guest.receive(first, "numbers", NUMBERS).await;
    let big_received = guest.receive(second, "big", 1).await.remove(0);
    let drained = guest.drain(first, "three").await;
    guest.wire.close(None).await;
    json!({
        "small": tally(&small), "verdicts": verdicts, "big": tally(&whole),
        "numbers": {"count": got.len(), "in_order": got == numbers(NUMBERS)},
        "big_received": {"bytes": big_received.len(), "sum": sum(&big_received)},
        "drained": drained,
    })
}

async fn errors(port: u16, log: Log) -> Value {
    let mut guest = anonymous(port, log.clone()).await;
    let session = guest.begin();
    let mut seen = json!({});
    for address in ["close", "detach", "refuse"] {
        seen[address] = guest.rebuffed(session, address).await.into();
    }
    guest.leave(session, true).await;
    guest.leave(session, false).await;
    let ended = guest.begin();
    guest.sender(ended, "end");
    seen["end"] = guest.ended(ended).await.as_ref().map(told).into();
    let another = guest.begin();
    guest.until(|_, event| matches!(event, Event::Begun(one, _) if one == another).then_some(())).await;
    guest.wire.connection.end(another, Some(bye()));
    guest.ended(another).await;
    seen["after"] = tally(&guest.send_one(session, "x").await);
    guest.wire.close(Some(bye())).await;

    let mut guest = anonymous(port, log).await;
    let session = guest.begin();
    guest.sender(session, "shut");
    let error = guest.until(|_, event| match event {
        Event::Ended(Ended::ByPeer(error)) => Some(error),
        _ => None,
    });
    seen["shut"] = error.await.as_ref().map(told).into();
    assert_eq!(guest.wire.event().await, None, "nothing follows the end, and our own close is written");
    seen
}

async fn quiet(port: u16, log: Log) -> Value {
    let mut guest = Guest::enter(port, Mechanism::Anonymous, Some(IDLE), log).await.expect("everybody is let in");
    let session = guest.begin();
    let silence = guest.until(|_, event| matches!(event, Event::Ended(_)).then_some(()));
    assert!(tokio::time::timeout(QUIET, silence).await.is_err(), "the connection ended in between");
    let after = guest.send_one(session, "x").await;
    guest.wire.close(None).await;
    json!({"announced": guest.idle_ms, "after": tally(&after)})
}

async fn doors(port: u16, log: Log) -> Value {
    let plain = |password: &str| Mechanism::Plain { user: "device".to_owned(), password: password.to_owned() };
    let doors = [
        ("none", Mechanism::None),
        ("anonymous", Mechanism::Anonymous),
        ("plain", plain("secret")),
        ("wrong", plain("guess")),
    ];
    let mut seen = json!({});
    for (name, mechanism) in doors {
        seen[name] = match Guest::enter(port, mechanism, None, log.clone()).await {
            None => "refused".into(),
            Some(mut guest) => {
                let session = guest.begin();
                let fates = guest.send_one(session, "x").await;
                guest.wire.close(None).await;
                tally(&fates)
            }
        };
    }
    seen
}
