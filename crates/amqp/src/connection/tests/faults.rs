use super::*;
use crate::performative::{Attach, Begin, Disposition, Flow, Open, Transfer};
use crate::value::Fields;

/// A server that is open, and frames by hand.
struct Raw {
    server: Connection,
}

impl Raw {
    fn open(options: Options) -> Self {
        let mut raw = Self { server: Connection::server(options, Vec::new(), true, Duration::ZERO) };
        let mut out = BytesMut::new();
        frame::put_header(&mut out, frame::Protocol::Amqp);
        raw.server.receive(&out, Duration::ZERO);
        raw.says(0, &Performative::Open(Open { container_id: "raw".into(), ..Open::default() }), b"");
        raw.says(0, &Performative::Begin(Begin { incoming_window: 100, ..Begin::default() }), b"");
        told(&mut raw.server);
        raw
    }

    fn says(&mut self, channel: u16, performative: &Performative, payload: &[u8]) -> Vec<Event> {
        let mut out = BytesMut::new();
        frame::put_frame(&mut out, channel, performative, payload);
        self.server.receive(&out, Duration::ZERO);
        told(&mut self.server)
    }

    fn attach_of(&self, name: &str, handle: u32) -> Performative {
        Performative::Attach(Box::new(Attach {
            name: name.to_owned(),
            handle,
            role: Role::Sender,
            snd_settle_mode: Default::default(),
            rcv_settle_mode: Default::default(),
            source: None,
            target: Some(Target::at("t")),
            initial_delivery_count: Some(0),
            max_message_size: None,
            offered_capabilities: Vec::new(),
            desired_capabilities: Vec::new(),
            properties: Fields::default(),
        }))
    }

    fn attaches(&mut self, handle: u32, credit: u32) -> LinkId {
        let attach = self.attach_of(&handle.to_string(), handle);
        let events = self.says(0, &attach, b"");
        let (link, attach) = attaching(&events);
        self.server.accept(link, Terms { max_message_size: Some(1000), ..Terms::answer(&attach) });
        self.server.credit(link, credit);
        link
    }

    fn transfers(&mut self, transfer: Transfer, payload: &[u8]) -> Vec<Event> {
        self.says(0, &Performative::Transfer(transfer), payload)
    }

    /// What the server has said since: the conditions of its detaches, ends and closes.
    fn conditions(&mut self) -> Vec<String> {
        let mut out = BytesMut::new();
        self.server.output(&mut out, Duration::ZERO);
        let mut found = Vec::new();
        if out.starts_with(b"AMQP") {
            let _ = frame::take_header(&mut out);
        }
        while let Ok(Some(frame)) = frame::take_frame(&mut out, u32::MAX) {
            if let Frame::Amqp { performative, .. } = frame {
                let (what, error) = match performative {
                    Performative::Detach(detach) => ("detach", detach.error),
                    Performative::End(end) => ("end", end.error),
                    Performative::Close(close) => ("close", close.error),
                    _ => continue,
                };
                let condition = error.map(|error| error.condition.to_string()).unwrap_or_default();
                found.push(format!("{what} {condition}"));
            }
        }
        found
    }
}

fn transfer(handle: u32, id: u32) -> Transfer {
    Transfer { handle, delivery_id: Some(id), delivery_tag: Some(Bytes::from_static(b"t")), ..Transfer::default() }
}

#[test]
fn a_delivery_without_credit_costs_its_link_and_no_other() {
    let mut raw = Raw::open(Options::new("server"));
    let (_, innocent) = (raw.attaches(0, 1), raw.attaches(1, 1));
    assert_eq!(deliveries(&raw.transfers(transfer(0, 0), b"1")).len(), 1);
    assert_eq!(deliveries(&raw.transfers(transfer(0, 1), b"2")).len(), 0);
    assert_eq!(raw.conditions(), ["detach amqp:link:transfer-limit-exceeded"]);
    assert_eq!(deliveries(&raw.transfers(transfer(1, 2), b"3"))[0].0, innocent);
}

#[test]
fn a_message_beyond_the_size_costs_its_link_and_no_other() {
    let mut raw = Raw::open(Options::new("server"));
    let (_, innocent) = (raw.attaches(0, 9), raw.attaches(1, 9));
    raw.transfers(Transfer { more: true, ..transfer(0, 0) }, &[0; 900]);
    raw.transfers(Transfer { more: true, ..transfer(0, 0) }, &[0; 101]);
    assert_eq!(raw.conditions(), ["detach amqp:link:message-size-exceeded"]);
    assert_eq!(deliveries(&raw.transfers(transfer(1, 1), b"3"))[0].0, innocent);
    assert_eq!(raw.server.partial_bytes, 0);
}

#[test]
fn transfers_beyond_the_window_cost_the_session() {
    let mut raw = Raw::open(Options { incoming_window: 2, ..Options::new("server") });
    raw.attaches(0, 100);
    for id in 0..3 {
        raw.transfers(transfer(0, id), b"x"); // never reading that the window is open again
    }
    assert_eq!(raw.conditions(), ["end amqp:session:window-violation"]);
}

#[test]
fn unfinished_deliveries_are_bounded_for_all_links_together() {
    let mut raw = Raw::open(Options { partial_bytes_max: 1500, ..Options::new("server") });
    raw.attaches(0, 1);
    raw.attaches(1, 1);
    raw.transfers(Transfer { more: true, ..transfer(0, 0) }, &[0; 900]);
    let events = raw.transfers(Transfer { more: true, ..transfer(1, 1) }, &[0; 900]);
    assert!(matches!(events.last(), Some(Event::Ended(Ended::Broken(_)))), "{events:?}");
    assert_eq!(raw.conditions(), ["close amqp:resource-limit-exceeded"]);
}

#[test]
fn a_name_that_is_attached_already_costs_the_session() {
    let mut raw = Raw::open(Options::new("server"));
    raw.attaches(0, 1);
    let again = raw.attach_of("0", 1);
    raw.says(0, &again, b"");
    assert_eq!(raw.conditions(), ["end amqp:resource-locked"]);
}

#[test]
fn an_aborted_delivery_is_thrown_away() {
    let mut raw = Raw::open(Options::new("server"));
    let link = raw.attaches(0, 2);
    raw.transfers(Transfer { more: true, ..transfer(0, 0) }, b"half");
    assert!(raw.server.is_receiving(link));
    assert_eq!(raw.transfers(Transfer { aborted: true, ..transfer(0, 0) }, b""), []);
    assert!(!raw.server.is_receiving(link));
    assert_eq!(deliveries(&raw.transfers(transfer(0, 1), b"whole"))[0].1.payload, "whole");
}

#[test]
fn what_is_said_on_an_ended_channel_is_let_pass() {
    let mut raw = Raw::open(Options::new("server"));
    raw.attaches(0, 2);
    raw.says(0, &Performative::End(Default::default()), b"");
    assert_eq!(raw.says(0, &Performative::Detach(Default::default()), b""), []);
    raw.says(0, &Performative::Begin(Begin { incoming_window: 100, ..Begin::default() }), b"");
    raw.attaches(0, 2);
}

#[test]
fn nonsense_ends_the_connection_with_a_word() {
    let answers = Begin { remote_channel: Some(7), ..Begin::default() };
    let nonsense: [(u16, Performative, &str); 4] = [
        (9, Performative::Flow(Flow::default()), "close amqp:not-allowed"),
        (1, Performative::Begin(answers), "close amqp:not-allowed"),
        (0, Performative::Open(Open::default()), "close amqp:not-allowed"),
        (9000, Performative::Begin(Begin::default()), "close amqp:not-allowed"),
    ];
    for (channel, performative, condition) in nonsense {
        let mut raw = Raw::open(Options::new("server"));
        let events = raw.says(channel, &performative, b"");
        assert!(matches!(events[..], [Event::Ended(Ended::Broken(_))]), "{performative:?}: {events:?}");
        assert_eq!(raw.conditions(), [condition], "{performative:?}");
    }
}

#[test]
fn a_disposition_of_everything_costs_no_more_than_there_is() {
    let mut pair = Pair::open();
    let (ours, _) = pair.sender("a", 10);
    let sent: Vec<Sent> = (0..3).filter_map(|_| pair.client.send(ours, message("x"))).collect();
    pair.run();
    let mut out = BytesMut::new();
    let all = Disposition {
        role: Role::Receiver,
        first: 0,
        last: Some(i32::MAX as u32),
        settled: true,
        state: Some(DeliveryState::Accepted),
        batchable: false,
    };
    frame::put_frame(&mut out, 0, &Performative::Disposition(all), b"");
    pair.client.receive(&out, pair.now);
    let accepted = Fate::Settled(Some(DeliveryState::Accepted));
    assert_eq!(fates(&told(&mut pair.client)), sent.map_to(&accepted));
}

trait MapTo {
    fn map_to(self, fate: &Fate) -> Vec<(Sent, Fate)>;
}

impl MapTo for Vec<Sent> {
    fn map_to(self, fate: &Fate) -> Vec<(Sent, Fate)> {
        self.into_iter().map(|sent| (sent, fate.clone())).collect()
    }
}
