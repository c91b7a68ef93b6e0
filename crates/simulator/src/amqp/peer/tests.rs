//! A connection with both its ends in memory, and clocks that are moved by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use amqp::connection::{Fate as Fated, LinkId, Outgoing, Terms};
use amqp::frame::Frame;
use amqp::message::{Body, Message};
use amqp::performative::{DeliveryState, Performative, Source, Target};
use amqp::sasl::Mechanism;
use bytes::Bytes;

use super::super::tokens::{Grant, Holder};
use super::*;
use crate::cloud::tests::{NOW_MS, cloud_with};
use crate::directory::Notes;
use crate::endpoint::{Endpoint, HubId};
use crate::faults::Faults;

/// A cloud with devices, and its clock.
pub(in crate::amqp) fn cloud(devices: &[&str]) -> (Arc<Cloud>, Arc<AtomicI64>) {
    cloud_with(devices, Faults::default())
}

fn endpoint(device: &str) -> Endpoint {
    Endpoint::device(HubId(0), device)
}

/// Both ends.
struct Pair {
    cloud: Arc<Cloud>,
    now_ms: Arc<AtomicI64>,
    at: Duration,
    client: Connection,
    peer: Peer,
    seen: Vec<Event>,
}

impl Pair {
    fn new(devices: &[&str]) -> Self {
        let (cloud, now_ms) = cloud(devices);
        let (id, _) = cloud.directory().join();
        let scene = Scene { cloud: &cloud, at: Duration::ZERO, now_ms: NOW_MS };
        let peer = Peer::new(id, scene);
        let client = Connection::client(Options::new("test"), Mechanism::None, Duration::ZERO);
        Self { at: Duration::ZERO, client, peer, seen: Vec::new(), cloud, now_ms }
    }

    /// Lets both say all that they have to say.
    fn talk(&mut self) {
        let cloud = Arc::clone(&self.cloud);
        let scene = Scene { cloud: &cloud, at: self.at, now_ms: self.now_ms.load(Ordering::Relaxed) };
        loop {
            let (mut up, mut down) = (BytesMut::new(), BytesMut::new());
            self.client.output(&mut up, self.at);
            self.peer.receive(&up, scene);
            self.peer.output(&mut down, scene);
            self.client.receive(&down, self.at);
            self.seen.extend(std::iter::from_fn(|| self.client.poll()));
            if up.is_empty() && down.is_empty() {
                return;
            }
        }
    }

    /// Moves both clocks, and ticks where somebody wants it.
    fn pass(&mut self, ms: u64) {
        self.at += Duration::from_millis(ms);
        self.now_ms.fetch_add(i64::try_from(ms).unwrap(), Ordering::Relaxed);
        let cloud = Arc::clone(&self.cloud);
        let scene = Scene { cloud: &cloud, at: self.at, now_ms: self.now_ms.load(Ordering::Relaxed) };
        self.peer.tick(scene);
        self.talk();
    }

    /// A telemetry link of a device whose token is good for so long.
    fn telemetry(&mut self, device: &str, ms: i64) -> LinkId {
        let holder = Holder::Endpoint(endpoint(device));
        self.peer.tokens.put(Grant { holder, expires_ms: NOW_MS + ms }, 1000).unwrap();
        let session = self.client.begin().unwrap();
        let target = Target::at(format!("/devices/{device}/messages/events"));
        let link = self.client.attach(session, Terms::sender("events", target)).unwrap();
        self.talk();
        link
    }

    fn send(&mut self, link: LinkId) {
        let payload = Message { body: Body::Data(vec![Bytes::from_static(b"1")]), ..Message::default() }.to_bytes();
        self.client.send(link, Outgoing::message(payload)).unwrap();
    }

    fn fates(&self, link: LinkId) -> Vec<&Fated> {
        let of = |event| match event {
            &Event::Done(sent, ref fate) if sent.link() == link => Some(fate),
            _ => None,
        };
        self.seen.iter().filter_map(of).collect()
    }

    fn is_detached(&self, link: LinkId) -> bool {
        self.seen.iter().any(|event| matches!(event, Event::Detached(id, _) if *id == link))
    }

    fn set_faults(&mut self, faults: &str) {
        self.cloud.set_faults(serde_json::from_str(faults).unwrap());
    }
}

#[test]
fn a_token_ends_by_the_clock_of_the_cloud_and_only_its_own_links() {
    let mut pair = Pair::new(&["d1", "d2"]);
    let (short, long) = (pair.telemetry("d1", 60_000), pair.telemetry("d2", 120_000));
    pair.pass(59_999);
    assert!(!pair.is_detached(short));
    let cloud = Arc::clone(&pair.cloud);
    let scene = Scene { cloud: &cloud, at: pair.at, now_ms: NOW_MS + 59_999 };
    assert_eq!(pair.peer.deadline(scene), Some(pair.at + Duration::from_millis(1)));
    assert!(pair.cloud.counts().tokens_run_out.is_empty());
    pair.pass(1);
    assert!(pair.is_detached(short) && !pair.is_detached(long));
    assert_eq!(pair.cloud.counts().tokens_run_out, [("d1".to_owned(), 1)].into());
}

#[test]
fn a_token_that_runs_out_under_nobody_is_not_counted() {
    let mut pair = Pair::new(&["d1"]);
    let holder = Holder::Endpoint(endpoint("d1"));
    pair.peer.tokens.put(Grant { holder, expires_ms: NOW_MS + 1000 }, 1000).unwrap();
    pair.pass(1000);
    assert!(pair.peer.tokens.is_empty() && pair.cloud.counts().tokens_run_out.is_empty());
}

#[test]
fn who_is_told_of_a_leap_looks_at_its_tokens_at_once_and_at_no_timer() {
    let mut pair = Pair::new(&["d1", "d2"]);
    let (short, long) = (pair.telemetry("d1", 3_600_000), pair.telemetry("d2", 4_000_000));
    let scene = Scene { cloud: &Arc::clone(&pair.cloud), at: pair.at, now_ms: NOW_MS };
    let later = Scene { now_ms: NOW_MS + 3_600_000, ..scene };
    pair.peer.notes(Notes::default(), later);
    pair.talk();
    assert!(!pair.is_detached(short), "other notes are no reason");
    pair.peer.notes(Notes { time: true, ..Notes::default() }, later);
    pair.talk();
    assert!(pair.is_detached(short) && !pair.is_detached(long) && !pair.peer.is_over());
}

#[test]
fn answers_that_are_held_back_come_in_order_when_they_are_due() {
    let mut pair = Pair::new(&["d1"]);
    pair.set_faults(r#"{"hub":{"delay_ms":100},"amqp":{"accept_delay_ms":100}}"#);
    let link = pair.telemetry("d1", 600_000);
    pair.pass(100);
    pair.send(link);
    pair.talk();
    assert_eq!(pair.cloud.counts().messages_total, 1, "recorded at once");
    pair.pass(199);
    assert!(pair.fates(link).is_empty());
    pair.pass(1);
    assert_eq!(pair.fates(link), [&Fated::Settled(Some(DeliveryState::Accepted))]);
}

#[test]
fn no_more_messages_wait_for_an_answer_than_a_link_has_credit() {
    let mut pair = Pair::new(&["d1"]);
    pair.set_faults(
        r#"{"amqp":{"link_credit":10,"faults":[{"state":"unsettled","when":"always","action":"no_disposition"}]}}"#,
    );
    let link = pair.telemetry("d1", 600_000);
    for _ in 0..50 {
        pair.send(link);
        pair.talk();
    }
    assert_eq!((pair.cloud.counts().messages_total, pair.client.waiting(link)), (10, 40));
}

#[test]
fn credit_is_topped_up_without_end() {
    let mut pair = Pair::new(&["d1"]);
    let link = pair.telemetry("d1", 600_000);
    for _ in 0..3000 {
        pair.send(link);
    }
    pair.talk();
    assert_eq!(pair.fates(link).len(), 3000);
    assert_eq!(pair.cloud.counts().messages_total, 3000);
}

#[test]
fn nothing_is_looked_at_while_the_connection_is_held() {
    let mut pair = Pair::new(&["d1"]);
    let link = pair.telemetry("d1", 600_000);
    pair.peer.paused_until = Some(Duration::from_secs(5));
    pair.send(link);
    pair.talk();
    assert!(!pair.peer.reads() && pair.cloud.counts().messages_total == 0);
    pair.pass(5_000);
    assert_eq!(pair.fates(link), [&Fated::Settled(Some(DeliveryState::Accepted))]);
}

#[test]
fn a_note_that_comes_late_does_not_take_a_link_that_is_newer() {
    let mut pair = Pair::new(&["d1"]);
    let older = pair.telemetry("d1", 600_000);
    let (other, _) = pair.cloud.directory().join();
    let stolen = pair.cloud.directory().own(&endpoint("d1"), other);
    let newer = pair.telemetry("d1", 600_000);
    let notes = Notes { stolen: [(endpoint("d1"), stolen)].into(), ..Notes::default() };
    let cloud = Arc::clone(&pair.cloud);
    pair.peer.notes(notes, Scene { cloud: &cloud, at: pair.at, now_ms: NOW_MS });
    pair.talk();
    assert!(pair.is_detached(older) && !pair.is_detached(newer));
}

/// Microsoft's SDK for Node does so when it is closed while it attaches a link that it is refused.
#[test]
fn an_end_is_answered_once_also_when_it_crosses_the_refusal_of_a_link() {
    let mut pair = Pair::new(&["d1"]);
    let session = pair.client.begin().unwrap();
    pair.talk();
    pair.client
        .attach(session, Terms::receiver("inputs", Source::at("/devices/d1/modules/m/messages/events")))
        .unwrap();
    pair.client.end(session, None);
    let (mut up, mut down) = (BytesMut::new(), BytesMut::new());
    pair.client.output(&mut up, pair.at);
    let cloud = Arc::clone(&pair.cloud);
    let scene = Scene { cloud: &cloud, at: pair.at, now_ms: NOW_MS };
    for byte in up {
        pair.peer.receive(&[byte], scene);
        pair.peer.output(&mut down, scene);
    }
    let said = std::iter::from_fn(|| amqp::frame::take_frame(&mut down, u32::MAX).unwrap());
    let said: Vec<_> = said
        .map(|frame| match frame {
            Frame::Amqp { performative: Performative::Attach(_), .. } => "attach",
            Frame::Amqp { performative: Performative::Detach(_), .. } => "detach",
            Frame::Amqp { performative: Performative::End(_), .. } => "end",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(said, ["attach", "detach", "end"]);
}

#[test]
fn a_client_that_reads_no_answers_cannot_go_on_asking() {
    let mut pair = Pair::new(&["d1"]);
    let session = pair.client.begin().unwrap();
    let requests = pair.client.attach(session, Terms::sender("a", Target::at("$cbs"))).unwrap();
    pair.client.attach(session, Terms::receiver("b", Source::at("$cbs"))).unwrap();
    pair.talk();
    for _ in 0..500 {
        pair.send(requests);
        pair.talk();
    }
    let taken = pair.fates(requests).len();
    assert!((100..=200).contains(&taken), "{taken} were taken without credit for answers");
}
