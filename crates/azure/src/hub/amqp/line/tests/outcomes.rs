//! What becomes of messages.

use amqp::performative::DeliveryState;
use amqp::value::Fields;

use super::*;

const LATER: Why = Why::Unavailable { retry_after: None };

#[test]
fn only_accepted_is_delivered() {
    let json = |code: u32| format!(r#"{{"errorCode":{code},"message":"no"}}"#);
    let reject = |condition: &'static str, text: String| DeliveryState::Rejected(Some(Error::new(condition, text)));
    let modified = DeliveryState::Modified {
        delivery_failed: true,
        undeliverable_here: false,
        message_annotations: Fields::default(),
    };
    let cases = [
        (DeliveryState::Accepted, Ok(())),
        (DeliveryState::Released, Err(LATER)),
        (modified, Err(LATER)),
        (DeliveryState::Rejected(None), Err(LATER)),
        (reject("amqp:link:message-size-exceeded", json(413_001)), Err(Why::TooLarge)),
        (reject("com.microsoft:argument-error", String::new()), Err(Why::Rejected)),
        (reject("amqp:resource-limit-exceeded", json(403_002)), Err(Why::Quota)),
        (reject("com.microsoft:device-container-throttled", "x".into()), Err(Why::Throttled { retry_after: None })),
        (reject("never:heard-of", String::new()), Err(LATER)),
    ];
    for (state, outcome) in cases {
        let mut pair = Pair::with(TestHub::kind(), &["a", "b"]);
        let say = state.clone();
        pair.hub.script(only("a", move |_| Say::Outcome(say.clone())));
        let (refused, other) = (pair.post("a"), pair.post("b"));
        pair.run();
        assert_eq!((pair.outcome(refused), pair.outcome(other)), (Some(outcome), Some(Ok(()))), "{state:?}");
        assert!(pair.gone().is_empty(), "the link stands: {state:?}");
    }
}

#[test]
fn a_device_that_is_refused_with_its_message_gets_a_fresh_token_for_the_next() {
    let mut pair = Pair::with(TestHub::kind(), &["a", "b"]);
    let refused = DeliveryState::Rejected(Some(Error::new("amqp:unauthorized-access", "Token Invalid.")));
    pair.hub.script(only("a", move |ask| match ask {
        Ask::Message(..) => Say::Outcome(refused.clone()),
        _ => Say::Yes,
    }));
    let first = pair.post("a");
    pair.run();
    assert_eq!((pair.outcome(first), pair.gone()), (Some(Err(Why::Unauthorized)), vec!["a"]));
    pair.hub.script(|_| Say::Yes);
    let next = pair.post("a");
    pair.run();
    assert_eq!((pair.outcome(next), pair.hub.tokens["a"]), (Some(Ok(())), 2));
}

#[test]
fn messages_of_a_device_are_written_in_their_order() {
    let mut pair = Pair::new(TestHub::kind());
    pair.hub.credit = 3;
    let tickets: Vec<Ticket> = (0..40).map(|_| pair.post("a")).collect();
    pair.run();
    let ids: Vec<String> = tickets.iter().map(Ticket::to_string).collect();
    let came: Vec<&String> = pair.hub.came.iter().map(|(_, id)| id).collect();
    assert_eq!(came, ids.iter().collect::<Vec<_>>());
    assert!(tickets.iter().all(|ticket| pair.outcome(*ticket) == Some(Ok(()))));
}

#[test]
fn a_message_that_was_taken_back_before_it_was_written_never_goes() {
    let mut pair = Pair::with(TestHub::kind(), &["a"]);
    let (first, second) = (pair.post("a"), pair.post("a"));
    let now = pair.now();
    pair.line.cancel(first, now);
    pair.run();
    assert_eq!((pair.outcome(first), pair.outcome(second)), (Some(Err(Why::Closed)), Some(Ok(()))));
    assert!(!pair.hub.came.iter().any(|(_, id)| *id == first.to_string()));
    let opening = pair.post("b");
    pair.line.cancel(opening, now);
    pair.run();
    assert!(!pair.hub.came.iter().any(|(device, _)| device == "b"));
    assert_eq!(pair.line.figures().unsettled, 0);
}

#[test]
fn one_taken_back_after_it_was_written_disturbs_nobody() {
    let mut pair = Pair::with(TestHub::kind(), &["a", "b"]);
    pair.hub.script(|ask| if matches!(ask, Ask::Message(..)) { Say::Nothing } else { Say::Yes });
    let (first, second) = (pair.post("a"), pair.post("b"));
    pair.run();
    let now = pair.now();
    pair.line.cancel(first, now);
    pair.hub.release();
    let third = pair.post("a");
    pair.run();
    pair.hub.release();
    pair.run();
    assert_eq!(pair.outcome(first), Some(Err(Why::Closed)));
    assert_eq!((pair.outcome(second), pair.outcome(third)), (Some(Ok(())), Some(Ok(()))));
}

#[test]
fn a_dead_connection_ends_each_message_at_once_and_says_which_may_have_arrived() {
    let mut pair = Pair::with(TestHub::kind(), &["a", "b"]);
    pair.hub.script(|ask| if matches!(ask, Ask::Message(..) | Ask::Token("c")) { Say::Nothing } else { Say::Yes });
    let written = pair.post("a");
    pair.run();
    let (unwritten, opening) = (pair.post("b"), pair.post("c"));
    let now = pair.now();
    pair.line.cut("reset by peer", now);
    pair.listen();
    let unreachable = Some(Err(Why::Unreachable));
    assert_eq!(pair.outcome(written), Some(Err(Why::Lost)));
    assert_eq!((pair.outcome(unwritten), pair.outcome(opening)), (unreachable, unreachable));
    let Some(Effect::Over { error, devices }) = pair.told.last() else { panic!("{:?}", pair.told) };
    assert_eq!((error.error.message.as_str(), devices.len()), ("reset by peer", 3));
    assert!(pair.line.is_over() && pair.line.is_empty());
    let late = pair.post("a");
    assert_eq!(pair.outcome(late), unreachable);
}

#[test]
fn a_close_of_the_hub_says_why() {
    let cases = [
        (None, Why::Unreachable),
        (Some(Error::new("amqp:connection:forced", "maintenance")), Why::Unreachable),
        (Some(Error::new("com.microsoft:iot-hub-suspended", "pay")), Why::Suspended),
    ];
    for (error, why) in cases {
        let mut pair = Pair::with(TestHub::kind(), &["a"]);
        pair.hub.connection.close(error, pair.at);
        let unwritten = pair.post("b");
        pair.carry_to_line();
        assert_eq!(pair.outcome(unwritten), Some(Err(why)));
        assert!(pair.line.is_over());
    }
}

#[test]
fn a_silent_connection_is_given_up_within_30_seconds() {
    let mut pair = Pair::with(TestHub::kind(), &["a"]);
    let ticket = pair.post("a");
    pair.carry_to_hub();
    let began = pair.at;
    while !pair.line.is_over() {
        pair.pass_deaf(SECOND);
    }
    assert!(pair.at - began <= 30 * SECOND, "{:?}", pair.at - began);
    assert_eq!(pair.outcome(ticket), Some(Err(Why::TimedOut)), "which was known before");
    assert!(matches!(pair.told[0], Effect::Suspected(true)), "{:?}", pair.told);
}

#[test]
fn a_device_that_is_not_answered_times_out_alone() {
    let mut pair = Pair::with(TestHub::kind(), &["a", "b"]);
    pair.hub.script(only("a", |_| Say::Nothing));
    let first = pair.post("a");
    pair.run();
    pair.pass(19 * SECOND);
    assert_eq!(pair.outcome(first), None);
    pair.pass(SECOND);
    assert_eq!(pair.outcome(first), Some(Err(Why::TimedOut)));
    assert!(pair.gone().is_empty() && !pair.line.is_over(), "one alone may be a slow hub");
    assert!(!pair.told.iter().any(|effect| matches!(effect, Effect::Suspected(_))), "the connection is alive");
    let second = pair.post("a");
    pair.run();
    pair.pass(20 * SECOND);
    assert_eq!(pair.outcome(second), Some(Err(Why::TimedOut)));
    assert_eq!(pair.gone(), ["a"], "twice: the link is taken for broken");
    let other = pair.post("b");
    pair.run();
    assert_eq!(pair.outcome(other), Some(Ok(())));
    pair.hub.script(|_| Say::Yes);
    let again = pair.post("a");
    pair.run();
    assert_eq!(pair.outcome(again), Some(Ok(())), "over a new link");
}

#[test]
fn a_message_larger_than_the_link_takes_is_refused_here() {
    let mut pair = Pair::with(TestHub::kind(), &["a"]);
    let key = Arc::new(Signer::device([1; 32]));
    let payload = Bytes::from(vec![0; (1 << 20) + 1]);
    pair.line.post(Post { ticket: 99, name: "a".into(), epoch: 1, key, payload }, pair.now());
    pair.run();
    assert_eq!(pair.outcome(99), Some(Err(Why::TooLarge)));
    assert_eq!(pair.hub.came.len(), 1, "it was not sent");
    let next = pair.post("a");
    pair.run();
    assert_eq!(pair.outcome(next), Some(Ok(())));
}

#[test]
fn a_connection_that_is_called_full_before_it_has_taken_anybody_is_not() {
    let full = "The maximum number of tokens per connection (1000) has been reached.";
    let mut pair = Pair::new(TestHub::new(move |ask| match ask {
        Ask::Token(_) => Say::Status(500, full),
        _ => Say::Yes,
    }));
    let (first, second) = (pair.post("a"), pair.post("b"));
    pair.run();
    assert_eq!((pair.outcome(first), pair.outcome(second)), (Some(Err(LATER)), Some(Err(LATER))));
    let is_displaced = |effect: &Effect| matches!(effect, Effect::Displaced { .. });
    assert!(!pair.told.iter().any(is_displaced), "no other connection is dialled: {:?}", pair.told);
    assert_eq!(pair.gone(), ["a", "b"]);
}

#[test]
fn a_message_that_is_rejected_because_the_connection_is_full_goes_over_another_next_time() {
    let mut pair = Pair::with(TestHub::kind(), &["a", "b"]);
    let full = DeliveryState::Rejected(Some(Error::new("amqp:resource-limit-exceeded", r#"{"errorCode":403005}"#)));
    pair.hub.script(only("a", move |_| Say::Outcome(full.clone())));
    let refused = pair.post("a");
    pair.run();
    assert_eq!(pair.outcome(refused), Some(Err(LATER)));
    let [Effect::Displaced { name, messages, .. }] = &pair.told[..] else { panic!("{:?}", pair.told) };
    assert_eq!((&**name, messages.len()), ("a", 0));
}

#[test]
fn a_written_message_whose_link_goes_without_a_word_against_it_may_have_arrived() {
    for condition in ["com.microsoft:timeout", "com.microsoft:message-lock-lost"] {
        let mut pair = Pair::with(TestHub::kind(), &["a"]);
        pair.hub.script(|ask| if matches!(ask, Ask::Message(..)) { Say::Nothing } else { Say::Yes });
        let written = pair.post("a");
        pair.run();
        pair.hub.detach("a", true, Some(Error::new(condition, "x")));
        pair.run();
        assert_eq!(pair.outcome(written), Some(Err(Why::Lost)), "{condition}");
    }
}
