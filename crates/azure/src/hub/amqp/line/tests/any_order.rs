//! Whatever happens in whatever order: each message has one outcome, in time; a device's messages come in their order; and
//! a device to which nothing happens notices nothing.

use amqp::performative::DeliveryState;
use proptest::prelude::*;

use super::*;

/// Something happens.
#[derive(Clone, Debug)]
enum Step {
    Post(usize),
    Cancel(usize),
    Forget(usize),
    /// Another key is used from here on.
    Key(usize),
    ToHub,
    ToLine,
    Run,
    Pass(u64),
    /// From now on the hub says this to the device.
    Decide(usize, Decision),
    Detach(usize, Option<&'static str>, bool),
    End(usize, Option<&'static str>),
    Release,
    Credit(u32),
    EndNode,
}

#[derive(Clone, Copy, Debug)]
enum Decision {
    Yes,
    NoToken(i32, &'static str),
    NoLink(&'static str),
    Outcome(&'static str),
    NothingToTokens,
    NothingToLinks,
    NothingToMessages,
}

/// Nothing ever happens to this one.
const QUIET: usize = 0;
const NAMES: [&str; 4] = ["quiet", "a", "b", "c"];
const FULL: &str = "The maximum number of tokens per connection (1000) has been reached.";
const CONDITIONS: [&str; 6] = [
    "amqp:unauthorized-access",
    "amqp:link:detach-forced",
    "amqp:link:message-size-exceeded",
    "amqp:link:stolen",
    "com.microsoft:device-container-throttled",
    "amqp:connection:forced",
];

fn decision() -> impl Strategy<Value = Decision> {
    let condition = prop::sample::select(&CONDITIONS[..]);
    prop_oneof![
        4 => Just(Decision::Yes),
        1 => prop_oneof![Just((401, "signature")), Just((404, "not registered")), Just((500, "x")), Just((500, FULL))]
            .prop_map(|(status, words)| Decision::NoToken(status, words)),
        1 => condition.clone().prop_map(Decision::NoLink),
        1 => condition.prop_map(Decision::Outcome),
        1 => Just(Decision::NothingToTokens),
        1 => Just(Decision::NothingToLinks),
        2 => Just(Decision::NothingToMessages),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let device = 1..NAMES.len();
    let condition = prop::option::of(prop::sample::select(&CONDITIONS[..]));
    prop_oneof![
        8 => (0..NAMES.len()).prop_map(Step::Post),
        2 => (0usize..200).prop_map(Step::Cancel),
        1 => device.clone().prop_map(Step::Forget),
        1 => device.clone().prop_map(Step::Key),
        4 => Just(Step::ToHub),
        4 => Just(Step::ToLine),
        4 => Just(Step::Run),
        2 => prop_oneof![1u64..30_000, 1u64..4_000_000].prop_map(Step::Pass),
        2 => (device.clone(), decision()).prop_map(|(device, decision)| Step::Decide(device, decision)),
        1 => (device.clone(), condition.clone(), any::<bool>()).prop_map(|(d, error, closed)| Step::Detach(d, error, closed)),
        1 => (device, condition).prop_map(|(device, error)| Step::End(device, error)),
        2 => Just(Step::Release),
        1 => (0u32..3).prop_map(Step::Credit),
        1 => Just(Step::EndNode),
    ]
}

struct World {
    pair: Pair,
    decisions: Arc<std::sync::Mutex<[Decision; NAMES.len()]>>,
    keys: [u8; NAMES.len()],
    posted: Vec<(usize, Duration)>,
    cancelled: Vec<Ticket>,
    /// The node may be lost three times in a row.
    node_ends: u32,
}

impl World {
    fn new() -> Self {
        let decisions = Arc::new(std::sync::Mutex::new([Decision::Yes; NAMES.len()]));
        let asked = decisions.clone();
        let mut hub = TestHub::new(move |ask| {
            let (Ask::Token(id) | Ask::Attach(id) | Ask::Message(id)) = ask;
            let at = NAMES.iter().position(|name| *name == id).unwrap();
            match (asked.lock().unwrap()[at], ask) {
                (Decision::NoToken(status, words), Ask::Token(_)) => Say::Status(status, words),
                (Decision::NoLink(condition), Ask::Attach(_)) => Say::Refuse(Error::new(condition, "x")),
                (Decision::Outcome(condition), Ask::Message(..)) => {
                    Say::Outcome(DeliveryState::Rejected(Some(Error::new(condition, "x"))))
                }
                (Decision::NothingToTokens, Ask::Token(_))
                | (Decision::NothingToLinks, Ask::Attach(_))
                | (Decision::NothingToMessages, Ask::Message(..)) => Say::Nothing,
                _ => Say::Yes,
            }
        });
        hub.favourite = NAMES[QUIET];
        Self {
            pair: Pair::new(hub),
            decisions,
            keys: [1; NAMES.len()],
            posted: Vec::new(),
            cancelled: Vec::new(),
            node_ends: 0,
        }
    }

    fn take(&mut self, step: Step) {
        let error = |condition: Option<&'static str>| condition.map(|condition| Error::new(condition, "x"));
        let pair = &mut self.pair;
        match step {
            Step::Post(device) => {
                pair.post_with(NAMES[device], &[self.keys[device]; 32]);
                self.posted.push((device, pair.at));
            }
            Step::Cancel(at) => {
                // The quiet one's senders do not change their mind.
                let ticket = at as Ticket;
                if self.posted.get(at).is_some_and(|(device, _)| *device != QUIET) && pair.outcome(ticket).is_none() {
                    let now = pair.now();
                    pair.line.cancel(ticket, now);
                    pair.listen();
                    self.cancelled.push(ticket);
                    assert!(pair.outcome(ticket).is_some() || self.displaced(ticket), "{ticket} has no end");
                }
            }
            Step::Forget(device) => {
                let now = pair.now();
                pair.line.forget(NAMES[device], now);
                pair.listen();
            }
            Step::Key(device) => self.keys[device] = self.keys[device].wrapping_add(1),
            Step::ToHub => drop(pair.carry_to_hub()),
            Step::ToLine => drop(pair.carry_to_line()),
            Step::Run => pair.run(),
            Step::Pass(millis) => pair.pass(Duration::from_millis(millis)),
            Step::Decide(device, decision) => self.decisions.lock().unwrap()[device] = decision,
            Step::Detach(device, condition, closed) => pair.hub.detach(NAMES[device], closed, error(condition)),
            Step::End(device, condition) => pair.hub.end(NAMES[device], error(condition)),
            Step::Release => pair.hub.release(),
            Step::Credit(credit) => pair.hub.credit = credit,
            Step::EndNode => {
                self.node_ends += 1;
                if self.node_ends <= 3 {
                    pair.hub.end_node(None);
                }
            }
        }
        self.check();
    }

    fn displaced(&self, ticket: Ticket) -> bool {
        let is_in = |effect: &Effect| match effect {
            Effect::Displaced { messages, .. } => messages.iter().any(|(other, _)| *other == ticket),
            _ => false,
        };
        self.pair.told.iter().any(is_in)
    }

    fn check(&self) {
        let Pair { line, told, .. } = &self.pair;
        assert!(!told.iter().any(|effect| matches!(effect, Effect::Over { .. })), "the line lives");
        let devices: usize = line.devices.values().map(|device| device.messages.len()).sum();
        assert_eq!(line.messages.len(), devices, "each message belongs to a device");
        assert!(line.by_sent.len() <= line.messages.len());
        let figures = line.figures();
        let ready = line.devices.values().filter(|device| device.is_ready()).count();
        assert_eq!(figures.attached, ready);
        for ticket in 0..self.pair.next {
            let ended = usize::from(self.pair.outcome(ticket).is_some()) + usize::from(self.displaced(ticket));
            let waits = usize::from(line.messages.contains_key(&ticket));
            assert_eq!(ended + waits, 1, "ticket {ticket} has one place");
        }
        assert!(!told.iter().any(|effect| matches!(effect, Effect::Gone { name, .. } if &**name == NAMES[QUIET])));
    }

    /// In the order in which they were posted, as far as each came at all.
    fn check_order(&self) {
        for name in NAMES {
            let ids = |list: &[(String, String)]| -> Vec<u64> {
                list.iter().filter(|(device, _)| device == name).map(|(_, id)| id.parse().unwrap()).collect()
            };
            let came = ids(&self.pair.hub.came);
            assert!(came.windows(2).all(|pair| pair[0] < pair[1]), "{name}: {came:?}");
        }
        for (ticket, outcome) in &self.pair.done {
            let accepted = self.pair.hub.accepted.iter().any(|(_, id)| *id == ticket.to_string());
            let came = self.pair.hub.came.iter().any(|(_, id)| *id == ticket.to_string());
            match outcome {
                Ok(()) => assert!(accepted, "{ticket} was not accepted"),
                Err(Why::Closed | Why::Unreachable) if !self.cancelled.contains(ticket) => {
                    assert!(!came, "{ticket} is said to be unsent");
                }
                Err(_) => {}
            }
        }
    }

    /// Everything has an end within its bound, and the quiet device's is a good one.
    fn finish(&mut self) {
        self.pair.pass(2 * settings().open_timeout + settings().answer_timeout + SECOND);
        self.check();
        self.check_order();
        assert!(self.pair.line.messages.is_empty(), "{:?}", self.pair.line.messages);
        for (ticket, (device, _)) in self.posted.iter().enumerate() {
            if *device == QUIET {
                assert_eq!(self.pair.outcome(ticket as Ticket), Some(Ok(())), "{ticket}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn each_message_has_one_end_and_no_device_hurts_another(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
        world.finish();
    }

    #[test]
    fn a_cut_at_any_time_ends_everything_at_once(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
        let pair = &mut world.pair;
        let now = pair.now();
        pair.line.cut("cut", now);
        pair.listen();
        prop_assert!(pair.line.is_over() && pair.line.is_empty() && pair.line.messages.is_empty());
        for ticket in 0..world.posted.len() {
            prop_assert!(world.pair.outcome(ticket as Ticket).is_some() || world.displaced(ticket as Ticket));
        }
        world.check_order();
    }
}
