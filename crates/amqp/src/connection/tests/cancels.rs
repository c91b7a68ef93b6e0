//! A model beside the machine: each delivery gets one fate, each of a healthy link is accepted, in order.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// What is done to one of the links, or to the time.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The client sends so many bytes.
    Send(usize, usize),
    /// It takes its last delivery back.
    Cancel(usize),
    /// It gives the link up, for good or not.
    Detach(usize, bool),
    /// It gives the session up.
    End(usize),
    /// It attaches again where it gave up.
    Attach(usize),
    /// Bytes go so far, one way or the other.
    Carry(bool, usize),
    /// The server settles what has come.
    Settle,
}

fn step(links: usize) -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..links, 1..3000_usize).prop_map(|(at, bytes)| Step::Send(at, bytes)),
        2 => (0..links).prop_map(Step::Cancel),
        1 => ((0..links), any::<bool>()).prop_map(|(at, closed)| Step::Detach(at, closed)),
        1 => (0..links).prop_map(Step::End),
        2 => (0..links).prop_map(Step::Attach),
        8 => (any::<bool>(), 1..4000_usize).prop_map(|(up, bytes)| Step::Carry(up, bytes)),
        3 => Just(Step::Settle),
    ]
}

#[derive(Default)]
struct Place {
    session: Option<SessionId>,
    link: Option<LinkId>,
    sent: Vec<Sent>,
    /// Nothing of it was ever given up.
    is_healthy: bool,
}

struct Model {
    pair: Pair,
    places: Vec<Place>,
    /// On their way, a byte at a time.
    up: BytesMut,
    down: BytesMut,
    fates: BTreeMap<Sent, Fate>,
    cancelled: BTreeSet<Sent>,
    to_settle: Vec<(LinkId, u32)>,
    arrived: Vec<Bytes>,
    next: u64,
}

impl Model {
    fn new(links: usize) -> Self {
        let small = |name| Options { max_frame_size: 512, incoming_window: 8, ..Options::new(name) };
        let pair = Pair::open_with(small("client"), small("server"));
        let places = (0..links).map(|_| Place { is_healthy: true, ..Place::default() }).collect();
        let mut model = Self {
            pair,
            places,
            up: BytesMut::new(),
            down: BytesMut::new(),
            fates: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            to_settle: Vec::new(),
            arrived: Vec::new(),
            next: 0,
        };
        (0..links).for_each(|at| model.attach(at));
        model
    }

    fn attach(&mut self, at: usize) {
        let place = &mut self.places[at];
        if place.link.is_some() {
            return;
        }
        let session = *place.session.get_or_insert_with(|| self.pair.client.begin().expect("there is room"));
        // A fresh name each time: the old link may not have gone yet.
        let name = format!("{at}-{}", self.next);
        self.next += 1;
        place.link =
            Some(self.pair.client.attach(session, Terms::sender(name, Target::at("t"))).expect("there is room"));
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Send(at, bytes) => {
                let Some(link) = self.places[at].link else { return };
                let mut payload = BytesMut::zeroed(bytes.max(16));
                payload[..8].copy_from_slice(&(at as u64).to_be_bytes());
                payload[8..16].copy_from_slice(&self.next.to_be_bytes());
                self.next += 1;
                let sent = self.pair.client.send(link, Outgoing::message(payload.freeze()));
                self.places[at].sent.push(sent.expect("it was not given up"));
            }
            Step::Cancel(at) => {
                if let Some(sent) = self.places[at].sent.last().copied() {
                    self.pair.client.cancel(sent);
                    self.cancelled.insert(sent);
                }
            }
            Step::Detach(at, closed) => {
                if let Some(link) = self.places[at].link.take() {
                    self.places[at].is_healthy = false;
                    self.pair.client.detach(link, closed, None);
                }
            }
            Step::End(at) => {
                if let Some(session) = self.places[at].session.take() {
                    (self.places[at].link, self.places[at].is_healthy) = (None, false);
                    self.pair.client.end(session, None);
                }
            }
            Step::Attach(at) => self.attach(at),
            Step::Carry(up, bytes) => self.carry(up, bytes),
            Step::Settle => {
                for (link, id) in std::mem::take(&mut self.to_settle) {
                    self.pair.server.settle(link, id, DeliveryState::Accepted);
                }
            }
        }
        self.listen();
    }

    fn carry(&mut self, up: bool, bytes: usize) {
        let Pair { client, server, now, .. } = &mut self.pair;
        let (from, to, way) = if up { (client, server, &mut self.up) } else { (server, client, &mut self.down) };
        if way.is_empty() {
            from.output(way, *now);
        }
        let piece = way.split_to(bytes.min(way.len()));
        to.receive(&piece, *now);
    }

    fn listen(&mut self) {
        for event in told(&mut self.pair.client) {
            match event {
                Event::Done(sent, fate) => {
                    assert_eq!(self.fates.insert(sent, fate), None, "{sent:?} has two fates");
                }
                Event::Ended(how) => panic!("the connection ended: {how:?}"),
                _ => {}
            }
        }
        for event in told(&mut self.pair.server) {
            match event {
                Event::Attaching(_, link, attach) => {
                    self.pair.server.accept(link, Terms::answer(&attach));
                    self.pair.server.credit(link, 1_000_000);
                }
                Event::Delivered(link, delivery) => {
                    self.to_settle.push((link, delivery.id));
                    self.arrived.push(delivery.payload);
                }
                Event::Ended(how) => panic!("the connection ended: {how:?}"),
                _ => {}
            }
        }
    }

    /// Lets everything come to an end, and judges.
    fn finish(mut self) {
        for _ in 0..100_000 {
            let quiet = self.up.is_empty() && self.down.is_empty() && self.to_settle.is_empty();
            if quiet && !self.pair.client.has_output() && !self.pair.server.has_output() {
                break;
            }
            for step in [Step::Carry(true, usize::MAX), Step::Carry(false, usize::MAX), Step::Settle] {
                self.take(step);
            }
        }
        for (at, place) in self.places.iter().enumerate() {
            for sent in &place.sent {
                let fate = self.fates.get(sent).unwrap_or_else(|| panic!("{sent:?} of {at} has no fate"));
                let may_be_cancelled = self.cancelled.contains(sent) && *fate == Fate::Cancelled;
                let accepted = *fate == Fate::Settled(Some(DeliveryState::Accepted));
                assert!(accepted || may_be_cancelled || !place.is_healthy, "{sent:?} of {at}: {fate:?}");
            }
        }
        let mut last: BTreeMap<u64, u64> = BTreeMap::new();
        for payload in &self.arrived {
            let word = |from: usize| u64::from_be_bytes(payload[from..from + 8].try_into().expect("eight bytes"));
            let before = last.insert(word(0), word(8));
            assert!(before.is_none_or(|before| before < word(8)), "a link's deliveries are out of order");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_given_up_nobody_else_notices(steps in prop::collection::vec(step(4), 1..150)) {
        let mut model = Model::new(4);
        steps.into_iter().for_each(|step| model.take(step));
        model.finish();
    }
}
