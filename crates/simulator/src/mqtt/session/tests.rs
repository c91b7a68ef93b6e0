//! A session with its client in memory, and clocks that are moved by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;
use crate::cloud::Cloud;
use crate::cloud::tests::{GROUP, NOW_MS, cloud_with};
use crate::directory::{DesiredChange, Mailbox};
use crate::endpoint::{Endpoint, HubId};
use crate::hub::c2d;
use crate::hub::method::Invocation;
use crate::registry::Status;
use crate::sas;

/// What a client does.
pub(crate) mod client {
    fn block(bytes: &[u8]) -> Vec<u8> {
        let mut all = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        all.extend_from_slice(bytes);
        all
    }

    fn packet(first: u8, body: &[u8]) -> Vec<u8> {
        let mut all = vec![first];
        let mut length = body.len();
        loop {
            let low = u8::try_from(length & 0x7f).unwrap();
            length >>= 7;
            all.push(if length > 0 { low | 0x80 } else { low });
            if length == 0 {
                break;
            }
        }
        all.extend_from_slice(body);
        all
    }

    pub(crate) struct Connect {
        pub(crate) id: String,
        pub(crate) user_name: Option<String>,
        pub(crate) password: Option<String>,
        pub(crate) is_clean: bool,
        pub(crate) keep_alive_s: u16,
        pub(crate) will: Option<(&'static str, &'static str)>,
    }

    impl Connect {
        pub(crate) fn bytes(&self) -> Vec<u8> {
            let will = self.will.map_or(0, |_| 0x0c);
            let names = u8::from(self.user_name.is_some()) << 7 | u8::from(self.password.is_some()) << 6;
            let mut body = block(b"MQTT");
            body.extend_from_slice(&[4, names | will | u8::from(self.is_clean) << 1]);
            body.extend_from_slice(&self.keep_alive_s.to_be_bytes());
            body.extend(block(self.id.as_bytes()));
            if let Some((topic, payload)) = self.will {
                body.extend(block(topic.as_bytes()));
                body.extend(block(payload.as_bytes()));
            }
            for text in [&self.user_name, &self.password].into_iter().flatten() {
                body.extend(block(text.as_bytes()));
            }
            packet(0x10, &body)
        }
    }

    pub(crate) fn publish(topic: &str, payload: &[u8], qos: u8, id: u16) -> Vec<u8> {
        let mut body = block(topic.as_bytes());
        if qos > 0 {
            body.extend_from_slice(&id.to_be_bytes());
        }
        body.extend_from_slice(payload);
        packet(0x30 | qos << 1, &body)
    }

    pub(crate) fn puback(id: u16) -> Vec<u8> {
        packet(0x40, &id.to_be_bytes())
    }

    pub(crate) fn subscribe(id: u16, filters: &[(&str, u8)]) -> Vec<u8> {
        let mut body = id.to_be_bytes().to_vec();
        for (filter, qos) in filters {
            body.extend(block(filter.as_bytes()));
            body.push(*qos);
        }
        packet(0x82, &body)
    }

    pub(crate) fn unsubscribe(id: u16, filter: &str) -> Vec<u8> {
        let mut body = id.to_be_bytes().to_vec();
        body.extend(block(filter.as_bytes()));
        packet(0xa2, &body)
    }
}

use client::Connect;

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    ConnAck(bool, u8),
    PubAck(u16),
    SubAck(u16, Vec<u8>),
    UnsubAck(u16),
    Pong,
    Publish { topic: String, payload: Vec<u8>, id: Option<u16>, is_again: bool },
}

fn heard(mut bytes: &[u8]) -> Vec<Said> {
    let mut all = Vec::new();
    while let [first, rest @ ..] = bytes {
        let (mut length, mut at) = (0usize, 0);
        loop {
            length |= usize::from(rest[at] & 0x7f) << (7 * at);
            at += 1;
            if rest[at - 1] & 0x80 == 0 {
                break;
            }
        }
        let (body, rest) = rest[at..].split_at(length);
        let id = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
        all.push(match first >> 4 {
            2 => Said::ConnAck(body[0] == 1, body[1]),
            3 => {
                let topic_end = 2 + usize::from(id(0));
                let (id, payload_at) =
                    if first & 6 == 0 { (None, topic_end) } else { (Some(id(topic_end)), topic_end + 2) };
                let topic = String::from_utf8(body[2..topic_end].to_vec()).unwrap();
                Said::Publish { topic, payload: body[payload_at..].to_vec(), id, is_again: first & 8 != 0 }
            }
            4 => Said::PubAck(id(0)),
            9 => Said::SubAck(id(0), body[2..].to_vec()),
            11 => Said::UnsubAck(id(0)),
            13 => Said::Pong,
            other => panic!("a server does not send {other}"),
        });
        bytes = rest;
    }
    all
}

/// Several clients of one cloud.
struct World {
    cloud: Arc<Cloud>,
    now_ms: Arc<AtomicI64>,
    at: Duration,
}

/// One of them.
struct Peer {
    session: Session,
    mailbox: Arc<Mailbox>,
}

impl World {
    fn new(faults: &str) -> Self {
        let (cloud, now_ms) = cloud_with(&["d1", "d2"], serde_json::from_str(faults).unwrap());
        Self { cloud, now_ms, at: Duration::ZERO }
    }

    fn scene(&self) -> Scene<'_> {
        Scene { cloud: &self.cloud, at: self.at, now_ms: self.now_ms.load(Ordering::Relaxed) }
    }

    fn peer(&self) -> Peer {
        let (id, mailbox) = self.cloud.directory().join_as(Protocol::Mqtt, None);
        Peer { session: Session::begin(id, self.scene()), mailbox }
    }

    fn says(&self, peer: &mut Peer, bytes: &[u8]) -> Vec<Said> {
        peer.session.receive(bytes, self.scene());
        self.hears(peer)
    }

    fn hears(&self, peer: &mut Peer) -> Vec<Said> {
        let mut all = Vec::new();
        loop {
            let mut out = BytesMut::new();
            peer.session.output(&mut out, self.scene());
            if out.is_empty() {
                return all;
            }
            all.extend(heard(&out));
        }
    }

    /// A device that is let in.
    fn device(&self, id: &str) -> Peer {
        let mut peer = self.peer();
        assert_eq!(self.says(&mut peer, &device(id).bytes()), [Said::ConnAck(false, 0)]);
        peer
    }

    fn pass(&mut self, peer: &mut Peer, ms: u64) -> Vec<Said> {
        self.at += Duration::from_millis(ms);
        self.now_ms.fetch_add(i64::try_from(ms).unwrap(), Ordering::Relaxed);
        peer.session.tick(self.scene());
        self.hears(peer)
    }

    async fn heeds(&self, peer: &mut Peer) -> Vec<Said> {
        let notes = peer.mailbox.notes().await;
        peer.session.notes(notes, self.scene());
        self.hears(peer)
    }

    fn closes(&self) -> Vec<(String, u64)> {
        self.cloud.counts().mqtt.closes.into_iter().collect()
    }

    fn closed(&self, peer: &Peer, reason: &str) {
        assert!(peer.session.is_over(), "it goes on");
        assert_eq!(self.closes(), [(reason.to_owned(), 1)]);
    }

    fn messages(&self) -> u64 {
        self.cloud.counts().messages_total
    }
}

fn token(resource: &str, id: &str, for_s: i64) -> String {
    sas::tests::signed_until(resource, &sas::derive_key(GROUP, id).unwrap(), NOW_MS / 1000 + for_s)
}

fn device(id: &str) -> Connect {
    Connect {
        id: id.to_owned(),
        user_name: Some(format!("hub1/{id}/?api-version=2021-04-12")),
        password: Some(token(&format!("hub1/devices/{id}"), id, 3600)),
        is_clean: false,
        keep_alive_s: 60,
        will: None,
    }
}

fn registration(id: &str) -> Connect {
    Connect {
        user_name: Some(format!("0ne1/registrations/{id}/api-version=2019-03-31")),
        password: Some(token(&format!("0ne1/registrations/{id}"), id, 3600)),
        is_clean: true,
        ..device(id)
    }
}

const SOON: Duration = Duration::from_secs(10);
const EVENTS: &str = "devices/d1/messages/events/";
const C2D: &str = "devices/d1/messages/devicebound/#";
const DPS: &str = "$dps/registrations/res/#";
const REGISTER: &str = "$dps/registrations/PUT/iotdps-register/?$rid=r-1";

#[test]
fn a_message_stands_in_the_record_when_it_is_answered() {
    let world = World::new("{}");
    let mut peer = world.device("d1");
    let publish = client::publish(&format!("{EVENTS}%24.mid=m-1&k=v/"), b"{}", 1, 7);
    assert_eq!(world.says(&mut peer, &publish), [Said::PubAck(7)]);
    assert_eq!(world.says(&mut peer, &client::publish(EVENTS, b"{}", 0, 0)), []);
    let messages = world.cloud.messages(2);
    let first = messages.first().unwrap();
    assert_eq!((first.message_id.as_deref(), first.properties.get("k").map(String::as_str)), (Some("m-1"), Some("v")));
    assert_eq!((messages.len(), world.cloud.counts().mqtt.publishes), (2, 2));
}

#[test]
fn who_is_not_let_in_is_told_by_a_code() {
    let world = World::new("{}");
    let name = |name: &str| Some(name.to_owned());
    let cases = [
        (Connect { id: "d2".to_owned(), ..device("d1") }, 2),
        (Connect { user_name: None, password: None, ..device("d1") }, 4),
        (Connect { password: None, ..device("d1") }, 4),
        (Connect { user_name: name("hub1/d1"), ..device("d1") }, 5),
        (Connect { user_name: name("hub3/d1/?api-version=2021-04-12"), ..device("d1") }, 5),
        (Connect { user_name: name("hub2/d1/?api-version=2021-04-12"), ..device("d1") }, 5),
        (Connect { password: Some(token("hub1/devices/d1", "d2", 60)), ..device("d1") }, 5),
        (Connect { password: Some(token("hub1/devices/d1", "d1", -1)), ..device("d1") }, 5),
        (Connect { password: Some(token("hub1/devices/d2", "d2", 60)), ..device("d1") }, 5),
        (device("nobody"), 5),
        (Connect { id: "x".to_owned(), ..registration("d1") }, 2),
    ];
    for (connect, code) in &cases {
        let mut peer = world.peer();
        assert_eq!(world.says(&mut peer, &connect.bytes()), [Said::ConnAck(false, *code)], "{:?}", connect.user_name);
        assert!(peer.session.is_over());
    }
    world.cloud.set_status("d1", Status::Disabled).unwrap();
    let mut peer = world.peer();
    assert_eq!(world.says(&mut peer, &device("d1").bytes()), [Said::ConnAck(false, 5)]);
    assert_eq!(world.cloud.counts().mqtt.connects, [(2, 2), (4, 2), (5, 8)].into());
    let mut peer = world.peer();
    assert_eq!(world.says(&mut peer, b"\x10\x0c\0\x04MQTT\x05\x02\0\0\0\0"), [Said::ConnAck(false, 1)]);
}

#[test]
fn what_a_client_must_not_do_ends_its_connection() {
    let publish = |topic: &str, qos| client::publish(topic, b"{}", qos, 1);
    let mut will = device("d1");
    will.will = Some(("devices/d2/messages/events/", "x"));
    let cases = [
        ("qos_2", publish(EVENTS, 2)),
        ("topic", publish("devices/d2/messages/events/", 1)),
        ("topic", publish("test", 1)),
        ("topic", client::subscribe(1, &[("#", 1)])),
        ("topic", client::subscribe(1, &[("devices/d2/messages/devicebound/#", 1)])),
        ("malformed", b"\x50\x02\0\x01".to_vec()),
        ("malformed", device("d1").bytes()),
        ("too_large", b"\x30\xff\xff\xff\x01".to_vec()),
        ("MessageTooLarge", client::publish(EVENTS, &vec![0; 262_145], 1, 1)),
        ("ArgumentInvalid", publish("devices/d1/messages/events/$.mid=a%20b", 1)),
        ("by_client", b"\xe0\0".to_vec()),
    ];
    for (reason, bytes) in cases {
        let world = World::new("{}");
        let mut peer = world.device("d1");
        assert_eq!(world.says(&mut peer, &bytes), [], "{reason}");
        world.closed(&peer, reason);
        assert_eq!(world.messages(), 0);
        assert!(
            world.says(&mut peer, &publish(EVENTS, 1)).is_empty() && world.messages() == 0,
            "it is not read any more"
        );
    }
    let world = World::new("{}");
    let mut peer = world.peer();
    assert_eq!(world.says(&mut peer, &will.bytes()), []);
    world.closed(&peer, "will");
    let mut peer = world.peer();
    assert_eq!(world.says(&mut peer, &publish(EVENTS, 1)), []);
    assert!(peer.session.is_over() && world.messages() == 0, "before CONNECT");
}

#[test]
fn what_was_answered_before_the_end_is_still_written() {
    let world = World::new("{}");
    let mut peer = world.device("d1");
    let both = [client::publish(EVENTS, b"1", 1, 7), client::publish("test", b"2", 1, 8)].concat();
    peer.session.receive(&both, world.scene());
    assert!(!peer.session.is_over());
    assert_eq!(world.hears(&mut peer), [Said::PubAck(7)]);
    world.closed(&peer, "topic");
}

#[test]
fn topics_are_granted_once_at_most_and_five_at_a_time() {
    let world = World::new("{}");
    let mut peer = world.device("d1");
    let all = [
        (C2D, 2),
        ("$iothub/methods/POST/#", 0),
        ("$iothub/twin/res/#", 1),
        ("$iothub/twin/PATCH/properties/desired/#", 1),
        ("$iothub/twin/res/200/#", 1),
        ("$iothub/twin/res/204/#", 1),
    ];
    assert_eq!(world.says(&mut peer, &client::subscribe(9, &all)), [Said::SubAck(9, vec![1, 0, 1, 1, 1, 0x80])]);
    assert_eq!(world.says(&mut peer, &client::unsubscribe(10, C2D)), [Said::UnsubAck(10)]);
    assert_eq!(world.says(&mut peer, &client::subscribe(11, &all[5..])), [Said::SubAck(11, vec![1])]);
}

#[test]
fn only_the_way_to_hear_of_messages_is_kept_and_a_clean_session_forgets_it() {
    let world = World::new("{}");
    let mut peer = world.device("d1");
    world.says(&mut peer, &client::subscribe(1, &[(C2D, 1), ("$iothub/methods/POST/#", 1)]));
    let connect = |connect: &Connect, has_session| {
        let mut peer = world.peer();
        assert_eq!(world.says(&mut peer, &connect.bytes()), [Said::ConnAck(has_session, 0)]);
        let subscriptions = &peer.session.client.as_ref().unwrap().subscriptions;
        (subscriptions.has(Family::C2d), subscriptions.has(Family::Methods))
    };
    assert_eq!(connect(&device("d1"), true), (true, false));
    assert_eq!(connect(&Connect { is_clean: true, ..device("d1") }, false), (false, false));
    assert_eq!(connect(&device("d1"), false), (false, false));
    world.cloud.delete_device("d1").unwrap();
    world.now_ms.fetch_add(1000, Ordering::Relaxed);
    world.cloud.enrol(&["d1".to_owned()]).unwrap();
    assert_eq!(connect(&device("d1"), false), (false, false), "another device of the same name");
}

#[test]
fn a_silent_client_is_let_go_after_one_and_a_half_keep_alives() {
    let mut world = World::new("{}");
    let mut peer = world.device("d1");
    world.pass(&mut peer, 60_000);
    assert_eq!(world.says(&mut peer, b"\xc0\0"), [Said::Pong]);
    world.pass(&mut peer, 89_999);
    assert!(!peer.session.is_over());
    world.pass(&mut peer, 1);
    world.closed(&peer, "keep_alive");
}

#[test]
fn who_does_not_say_how_often_it_talks_is_waited_for_half_an_hour() {
    for keep_alive_s in [0, u16::MAX] {
        let mut world = World::new("{}");
        let mut peer = world.peer();
        world.says(&mut peer, &Connect { keep_alive_s, ..device("d1") }.bytes());
        world.pass(&mut peer, 1_766_999);
        assert!(!peer.session.is_over());
        world.pass(&mut peer, 1);
        world.closed(&peer, "keep_alive");
    }
}

#[test]
fn who_does_not_say_who_it_is_is_let_go() {
    let mut world = World::new("{}");
    let mut peer = world.peer();
    assert_eq!(peer.session.deadline(world.scene()), Some(CONNECT_MAX));
    world.says(&mut peer, &device("d1").bytes()[..20]);
    world.pass(&mut peer, 15_000);
    world.closed(&peer, "no_connect");
}

#[tokio::test]
async fn a_leap_past_the_end_of_its_token_ends_the_connection_and_one_within_does_not() {
    let world = World::new("{}");
    let mut peer = world.device("d1");
    let leap = |ms| {
        world.now_ms.fetch_add(ms, Ordering::Relaxed);
        world.cloud.directory().tell_time();
    };
    // The keep-alive of a minute is not moved.
    leap(3_599_999);
    world.heeds(&mut peer).await;
    assert!(!peer.session.is_over());
    leap(1);
    world.heeds(&mut peer).await;
    world.closed(&peer, "token_expired");
    assert_eq!(world.cloud.counts().tokens_run_out.get("d1"), Some(&1));
}

#[test]
fn a_token_that_runs_out_ends_the_connection() {
    let mut world = World::new("{}");
    let mut peer = world.peer();
    let connect = Connect { password: Some(token("hub1/devices/d1", "d1", 5)), ..device("d1") };
    world.says(&mut peer, &connect.bytes());
    assert_eq!(peer.session.deadline(world.scene()), Some(Duration::from_secs(5)));
    world.pass(&mut peer, 4_999);
    assert!(!peer.session.is_over());
    world.pass(&mut peer, 1);
    world.closed(&peer, "token_expired");
}

#[tokio::test]
async fn a_newer_connection_takes_the_device_and_the_older_is_closed() {
    let world = World::new("{}");
    let mut older = world.device("d1");
    let mut newer = world.peer();
    world.says(&mut newer, &device("d1").bytes());
    world.heeds(&mut older).await;
    world.closed(&older, "taken");
    assert_eq!(world.says(&mut newer, &client::publish(EVENTS, b"1", 1, 1)), [Said::PubAck(1)]);
    assert!(world.cloud.directory().is_connected(&Endpoint::device(HubId(0), "d1")));
    newer.session.cut(world.scene());
    assert!(!world.cloud.directory().is_connected(&Endpoint::device(HubId(0), "d1")));
}

#[tokio::test]
async fn a_device_that_is_switched_off_or_deleted_is_closed() {
    for (name, is_deleted) in [("DeviceDisabled", false), ("DeviceNotFound", true)] {
        let world = World::new("{}");
        let mut peer = world.device("d1");
        if is_deleted {
            world.cloud.delete_device("d1").unwrap();
        } else {
            world.cloud.set_status("d1", Status::Disabled).unwrap();
        }
        world.heeds(&mut peer).await;
        world.closed(&peer, name);
    }
}

#[test]
fn a_will_is_sent_unless_the_client_says_goodbye() {
    let world = World::new("{}");
    let connect = Connect { will: Some(("devices/d1/messages/events/k=v", "gone")), ..device("d1") };
    let mut peer = world.peer();
    world.says(&mut peer, &connect.bytes());
    world.says(&mut peer, b"\xe0\0");
    assert_eq!(world.messages(), 0);
    let mut peer = world.peer();
    world.says(&mut peer, &connect.bytes());
    peer.session.cut(world.scene());
    peer.session.gone(world.scene());
    let messages = world.cloud.messages(9);
    let [will] = messages.as_slice() else { panic!("{messages:?}") };
    assert_eq!(will.properties.get("iothub-MessageType").map(String::as_str), Some("Will"));
    assert_eq!((will.properties.get("k").map(String::as_str), &will.body[..]), (Some("v"), b"gone".as_slice()));
}

#[test]
fn a_twin_is_read_and_changed_and_an_error_says_why() {
    let world = World::new("{}");
    let mut peer = world.device("d1");
    world.says(&mut peer, &client::subscribe(1, &[("$iothub/twin/res/#", 0)]));
    let asked = |peer: &mut Peer, topic: &str, payload: &[u8]| {
        let said = world.says(peer, &client::publish(topic, payload, 0, 0));
        let [Said::Publish { topic, payload, id: None, .. }] = said.as_slice() else { panic!("{said:?}") };
        (topic.clone(), serde_json::from_slice::<Json>(payload).unwrap_or_default())
    };
    const REPORTED: &str = "$iothub/twin/PATCH/properties/reported/?$rid=7";
    let (topic, payload) = asked(&mut peer, REPORTED, br#"{"a":1}"#);
    assert_eq!((topic.as_str(), payload), ("$iothub/twin/res/204/?$rid=7&$version=2", Json::Null));
    let (topic, twin) = asked(&mut peer, "$iothub/twin/GET/?$rid=8", b" ");
    assert_eq!(topic, "$iothub/twin/res/200/?$rid=8");
    assert_eq!((&twin["reported"]["a"], &twin["desired"]["$version"]), (&1.into(), &1.into()));
    let (topic, error) = asked(&mut peer, REPORTED, b"[]");
    assert_eq!(topic, "$iothub/twin/res/400/?$rid=7");
    assert!(error["errorCode"].as_u64().is_some_and(|code| code / 1000 == 400) && error["message"].is_string());
    let acked = world.says(&mut peer, &client::publish("$iothub/twin/GET/?$rid=9", b"", 1, 4));
    assert!(matches!(acked.as_slice(), [Said::PubAck(4), Said::Publish { .. }]), "{acked:?}");
}

#[tokio::test]
async fn a_device_is_called_and_answers() {
    let world = World::new("{}");
    let mut peer = world.device("d1");
    let d1 = Endpoint::device(HubId(0), "d1");
    let invocation = || Invocation::parse(br#"{"methodName":"reboot","payload":{"in":5}}"#).unwrap();
    assert_eq!(world.cloud.invoke(&d1, invocation()).err().map(|refusal| refusal.code), Some(404_103));
    world.says(&mut peer, &client::subscribe(1, &[("$iothub/methods/POST/#", 0)]));
    let asked = world.cloud.invoke(&d1, invocation()).unwrap();
    let said = world.heeds(&mut peer).await;
    let [Said::Publish { topic, payload, id: None, .. }] = said.as_slice() else { panic!("{said:?}") };
    let id = topic.strip_prefix("$iothub/methods/POST/reboot/?$rid=").unwrap();
    assert_eq!(payload, br#"{"in":5}"#);
    let answer = client::publish(&format!("$iothub/methods/res/200/?$rid={id}"), b"[1]", 1, 3);
    assert_eq!(world.says(&mut peer, &answer), [Said::PubAck(3)]);
    let answered = asked.answer(SOON).await.unwrap();
    assert_eq!(&answered.body()[..], br#"{"status":200,"payload":[1]}"#);
    assert_eq!(world.says(&mut peer, &answer), [Said::PubAck(3)], "nobody waits any more");
    world.says(&mut peer, &client::publish("$iothub/methods/res/200/?$rid=1", b"no", 0, 0));
    world.closed(&peer, "DeserializationError");
}

fn published(said: &[Said]) -> Vec<(String, Option<u16>, bool)> {
    let of = |one: &Said| match one {
        Said::Publish { payload, id, is_again, .. } => {
            Some((String::from_utf8(payload.clone()).unwrap(), *id, *is_again))
        }
        _ => None,
    };
    said.iter().filter_map(of).collect()
}

fn send_c2d(world: &World, body: &'static str) {
    let message = c2d::Message { body: body.into(), ..c2d::Message::default() };
    world.cloud.send_c2d(HubId(0), "d1", message).unwrap();
}

#[tokio::test]
async fn messages_come_with_their_properties_and_end_with_their_answer() {
    let world = World::new("{}");
    let mut peer = world.device("d1");
    let message = c2d::Message {
        message_id: Some("m-1".to_owned()),
        content_type: Some("application/json".to_owned()),
        ack: c2d::Ack::Full,
        properties: [("a b".to_owned(), "c/d".to_owned())].into(),
        body: "{}".into(),
        ..c2d::Message::default()
    };
    world.cloud.send_c2d(HubId(0), "d1", message).unwrap();
    let said = world.says(&mut peer, &client::subscribe(1, &[(C2D, 1)]));
    let [Said::SubAck(1, _), Said::Publish { topic, payload, id: Some(1), is_again: false }] = said.as_slice() else {
        panic!("{said:?}")
    };
    let bag = "%24.to=%2Fdevices%2Fd1%2Fmessages%2Fdevicebound&%24.mid=m-1&%24.ct=application%2Fjson&iothub-ack=full\
               &a%20b=c%2Fd";
    assert_eq!(topic, &format!("devices/d1/messages/devicebound/{bag}"));
    assert_eq!(payload, b"{}");
    assert_eq!(world.says(&mut peer, &client::puback(1)), []);
    send_c2d(&world, "2");
    assert_eq!(published(&world.heeds(&mut peer).await), [("2".to_owned(), Some(2), false)]);
    let d1 = Endpoint::device(HubId(0), "d1");
    world.says(&mut peer, &client::puback(2));
    peer.session.cut(world.scene());
    assert_eq!(world.cloud.lock_c2d(&d1).unwrap(), None, "both are done with");
}

#[test]
fn a_message_without_an_answer_comes_again_on_the_next_connection_and_not_before() {
    let mut world = World::new("{}");
    send_c2d(&world, "1");
    send_c2d(&world, "2");
    let mut peer = world.device("d1");
    let said = world.says(&mut peer, &client::subscribe(1, &[(C2D, 1)]));
    assert_eq!(published(&said), [("1".to_owned(), Some(1), false), ("2".to_owned(), Some(2), false)]);
    world.says(&mut peer, &client::puback(1));
    world.pass(&mut peer, 61_000);
    peer.session.note_c2d(true);
    assert_eq!(world.hears(&mut peer), [], "its lock ran out and was renewed");
    peer.session.cut(world.scene());
    let mut peer = world.peer();
    let said = world.says(&mut peer, &device("d1").bytes());
    assert_eq!(said.first(), Some(&Said::ConnAck(true, 0)));
    assert_eq!(published(&said), [("2".to_owned(), Some(2), true)], "without subscribing again");
    world.says(&mut peer, &client::puback(2));
    peer.session.cut(world.scene());
    let said = world.says(&mut world.peer(), &device("d1").bytes());
    assert_eq!(said, [Said::ConnAck(true, 0)]);
}

#[test]
fn at_qos_0_a_message_is_done_with_when_it_is_written_and_at_1_only_so_many_are_on_their_way() {
    let world = World::new("{}");
    (0..30).for_each(|_| send_c2d(&world, "1"));
    let mut peer = world.device("d1");
    let said = world.says(&mut peer, &client::subscribe(1, &[(C2D, 1)]));
    assert_eq!(published(&said).len(), 16);
    assert_eq!(published(&world.says(&mut peer, &client::puback(3))), [("1".to_owned(), Some(17), false)]);
    peer.session.cut(world.scene());
    let mut peer = world.peer();
    world.says(&mut peer, &Connect { is_clean: true, ..device("d1") }.bytes());
    let said = published(&world.says(&mut peer, &client::subscribe(1, &[(C2D, 0)])));
    assert_eq!((said.len(), said.iter().all(|(_, id, _)| id.is_none())), (29, true));
    assert_eq!(world.cloud.lock_c2d(&Endpoint::device(HubId(0), "d1")).unwrap(), None);
}

#[tokio::test]
async fn changed_desired_properties_are_told_to_who_listens() {
    let world = World::new("{}");
    let mut peer = world.device("d1");
    world.says(&mut peer, &client::subscribe(1, &[("$iothub/twin/PATCH/properties/desired/#", 1)]));
    let change = DesiredChange { patch: r#"{"a":1,"$version":2}"#.into(), version: 2 };
    world.cloud.directory().tell_desired(&Endpoint::device(HubId(0), "d1"), change);
    let said = world.heeds(&mut peer).await;
    let [Said::Publish { topic, payload, .. }] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!(topic, "$iothub/twin/PATCH/properties/desired/?$version=2");
    assert_eq!(payload, br#"{"a":1,"$version":2}"#);
}

#[test]
fn a_registration_is_asked_for_asked_after_and_done() {
    let world = World::new("{}");
    let mut peer = world.peer();
    assert_eq!(world.says(&mut peer, &registration("eui-1").bytes()), [Said::ConnAck(false, 0)]);
    assert_eq!(world.says(&mut peer, &client::subscribe(1, &[(DPS, 1)])), [Said::SubAck(1, vec![1])]);
    let publish = client::publish(REGISTER, br#"{"registrationId":"eui-1","payload":null}"#, 1, 2);
    let said = world.says(&mut peer, &publish);
    let [Said::PubAck(2), Said::Publish { topic, payload, .. }] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!(topic, "$dps/registrations/res/202/?$rid=r-1&retry-after=3");
    let operation: Json = serde_json::from_slice(payload).unwrap();
    assert_eq!(operation["status"], "assigning");
    let poll = format!(
        "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=r-2&operationId={}",
        operation["operationId"].as_str().unwrap()
    );
    world.says(&mut peer, &client::publish(&poll, b" ", 1, 3));
    let said = world.says(&mut peer, &client::publish(&poll, b" ", 0, 0));
    let [Said::Publish { topic, payload, .. }] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!(topic, "$dps/registrations/res/200/?$rid=r-2");
    let answer: Json = serde_json::from_slice(payload).unwrap();
    assert_eq!(
        (answer["status"].as_str(), answer["registrationState"]["assignedHub"].as_str()),
        (Some("assigned"), Some("hub1"))
    );
    assert_eq!(world.says(&mut peer, &client::unsubscribe(4, DPS)), [Said::UnsubAck(4)]);
}

#[test]
fn provisioning_says_what_is_wrong_on_the_topic_and_not_at_the_door() {
    let topics = |faults: &str, connect: &Connect| {
        let world = World::new(faults);
        let mut peer = world.peer();
        assert_eq!(world.says(&mut peer, &connect.bytes()), [Said::ConnAck(false, 0)]);
        world.says(&mut peer, &client::subscribe(1, &[(DPS, 1)]));
        let said = world.says(&mut peer, &client::publish(REGISTER, b"{}", 0, 0));
        let [Said::Publish { topic, payload, .. }] = said.as_slice() else { panic!("{said:?}") };
        let error: Json = serde_json::from_slice(payload).unwrap();
        (topic.clone(), error["errorCode"].as_u64())
    };
    let bad = Connect { password: Some(token("0ne1/registrations/e", "other", 60)), ..registration("e") };
    assert_eq!(topics("{}", &bad), ("$dps/registrations/res/401/?$rid=r-1".to_owned(), Some(401_002)));
    let bare = Connect { password: None, ..registration("e") };
    assert_eq!(topics("{}", &bare).0, "$dps/registrations/res/401/?$rid=r-1");
    let busy = r#"{"dps":{"throttle":{"when":"always","retry_after_s":7}}}"#;
    let answer = ("$dps/registrations/res/429/?$rid=r-1&retry-after=7".to_owned(), Some(429_001));
    assert_eq!(topics(busy, &registration("e")), answer);
}

#[test]
fn faults_are_told_as_mqtt_can() {
    let connect = |faults: &str| {
        let world = World::new(faults);
        let mut peer = world.peer();
        (world.says(&mut peer, &device("d1").bytes()), world.closes())
    };
    let refused = |code| (vec![Said::ConnAck(false, code)], vec![("refused".to_owned(), 1)]);
    for (answer, code) in [
        ("throttled", 3),
        ("backlog_full", 3),
        ("unavailable", 3),
        ("unauthorized", 5),
        ("not_found", 5),
        ("disabled", 5),
    ] {
        assert_eq!(connect(&format!(r#"{{"hub":{{"refuse":[{{"answer":"{answer}"}}]}}}}"#)), refused(code), "{answer}");
    }
    assert_eq!(connect(r#"{"hub":{"outage":"unavailable"}}"#), refused(3));
    assert_eq!(connect(r#"{"hub":{"outage":"close"}}"#), (vec![], vec![("outage".to_owned(), 1)]));
    assert_eq!(connect(r#"{"mqtt":{"connack":[{"devices":["d1"],"when":{"next":1},"code":4}]}}"#), refused(4));
    assert_eq!(connect(r#"{"mqtt":{"connack":[{"devices":["d2"],"when":{"next":1},"code":4}]}}"#).1, []);

    let sent = |faults: &str| {
        let world = World::new(faults);
        let mut peer = world.device("d1");
        let said = world.says(&mut peer, &client::publish(EVENTS, b"1", 1, 1));
        (said, world.messages(), world.closes())
    };
    let closed = |reason: &str| vec![(reason.to_owned(), 1)];
    assert_eq!(sent(r#"{"hub":{"throttle":{"when":"always"}}}"#), (vec![], 0, closed("ThrottlingException")));
    assert_eq!(sent(r#"{"hub":{"lose_answer":"always"}}"#), (vec![], 1, closed("answer_lost")));
    assert_eq!(sent(r#"{"hub":{"refuse":[{"answer":"quota"}]}}"#), (vec![Said::PubAck(1)], 0, vec![]));
    assert_eq!(sent(r#"{"mqtt":{"no_puback":[{"when":"always"}]}}"#), (vec![], 1, vec![]));
}

#[tokio::test]
async fn faults_that_are_set_meet_connections_that_are_there() {
    for (faults, reason, fate) in [
        (r#"{"mqtt":{"all":"drop"}}"#, "dropped", Some(Fate::Reset)),
        (r#"{"mqtt":{"all":"half_open"}}"#, "half_open", Some(Fate::Silent)),
        (r#"{"hub":{"outage":"unavailable"}}"#, "outage", None),
        (r#"{"hub":{"outage":"close"}}"#, "outage", Some(Fate::Cut)),
        (r#"{"hub":{"outage":"hang"}}"#, "outage", Some(Fate::Silent)),
    ] {
        let world = World::new("{}");
        let mut peer = world.device("d1");
        world.cloud.set_faults(serde_json::from_str(faults).unwrap());
        world.heeds(&mut peer).await;
        world.closed(&peer, reason);
        assert_eq!(peer.session.fate(), fate);
    }
    let world = World::new("{}");
    let mut peer = world.device("d1");
    world.cloud.set_faults(serde_json::from_str(r#"{"amqp":{"all":"drop"},"dps":{"outage":"close"}}"#).unwrap());
    world.heeds(&mut peer).await;
    assert!(!peer.session.is_over(), "others are meant");
}

#[test]
fn a_full_backlog_ends_a_connected_device_with_its_next_message() {
    let world = World::new("{}");
    let mut peer = world.device("d1");
    world.cloud.set_faults(serde_json::from_str(r#"{"hub":{"refuse":[{"answer":"backlog_full"}]}}"#).unwrap());
    assert_eq!(world.says(&mut peer, &client::publish(EVENTS, b"1", 1, 1)), []);
    world.closed(&peer, "ThrottleBacklogLimitExceeded");
    assert_eq!(world.messages(), 0);
}

#[test]
fn a_slow_hub_answers_late_and_in_order_and_pings_at_once() {
    let mut world = World::new("{}");
    let mut peer = world.device("d1");
    world.cloud.set_faults(serde_json::from_str(r#"{"hub":{"delay_ms":2000}}"#).unwrap());
    let all = [client::publish(EVENTS, b"1", 1, 1), client::publish(EVENTS, b"2", 1, 2), b"\xc0\0".to_vec()].concat();
    assert_eq!(world.says(&mut peer, &all), [Said::Pong]);
    assert_eq!(world.messages(), 2, "recorded at once");
    assert_eq!(world.pass(&mut peer, 1_999), []);
    assert_eq!(world.pass(&mut peer, 1), [Said::PubAck(1), Said::PubAck(2)]);
}

#[test]
fn who_asks_for_more_than_it_reads_is_not_read() {
    let world = World::new(r#"{"dps":{"delay_ms":60000}}"#);
    let mut peer = world.peer();
    world.says(&mut peer, &registration("e").bytes());
    world.says(&mut peer, &client::subscribe(1, &[(DPS, 1)]));
    let publish = client::publish(REGISTER, b"{}", 0, 0);
    let mut rounds = 0;
    while peer.session.reads() {
        world.says(&mut peer, &publish);
        rounds += 1;
        assert!(rounds < 20_000, "there is no end to it");
    }
    assert!(rounds > 1000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_bytes_leave_a_session_in_order_or_over(is_dps in any::<bool>(), pieces in vec((0u8..8, vec(any::<u8>(), 0..40)), 0..20)) {
        let world = World::new("{}");
        let mut peer = world.peer();
        let connect = if is_dps { registration("d1") } else { device("d1") };
        world.says(&mut peer, &connect.bytes());
        for (kind, noise) in pieces {
            let text = String::from_utf8_lossy(&noise).into_owned();
            let bytes = match kind {
                0 => client::publish(&format!("{EVENTS}{text}"), &noise, 1, 1),
                1 => client::publish(&format!("$iothub/twin/{text}"), &noise, 0, 0),
                2 => client::publish(&format!("$dps/registrations/{text}"), &noise, 1, 1),
                3 => client::subscribe(1, &[(C2D, 1), (&text, 1)]),
                4 => client::unsubscribe(1, &text),
                5 => client::puback(7),
                _ => noise,
            };
            world.says(&mut peer, &bytes);
            prop_assert!(peer.session.held.len() <= PACKET_BYTES_MAX + 5);
        }
        peer.session.gone(world.scene());
        prop_assert!(peer.session.is_over() && !world.cloud.directory().is_connected(&Endpoint::device(HubId(0), "d1")));
    }
}
