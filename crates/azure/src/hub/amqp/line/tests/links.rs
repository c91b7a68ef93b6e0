//! Tokens, links, and how they are lost.

use super::*;
use crate::hub::amqp::theft::Tenure;

#[test]
fn the_token_comes_first_and_link_and_message_follow_in_one_flight() {
    let mut pair = Pair::new(TestHub::kind());
    let ticket = pair.post("Dev 1");
    let mut flights = 0;
    while pair.outcome(ticket).is_none() {
        pair.carry_to_hub();
        pair.carry_to_line();
        flights += 1;
    }
    // Open; the node; the token; session and link; the message.
    assert_eq!(flights, 5);
    let attach = pair.hub.attaches.last().unwrap();
    assert_eq!(attach.target.as_ref().unwrap().address.as_deref(), Some("/devices/Dev%201/messages/events"));
    assert_eq!(attach.properties.get("com.microsoft:api-version").unwrap().as_str(), Some("2021-04-12"));
    assert!(attach.properties.get("com.microsoft:client-version").is_some());
    let next = pair.post("Dev 1");
    pair.carry_to_hub();
    pair.carry_to_line();
    assert_eq!(pair.outcome(next), Some(Ok(())), "one flight when the link stands");
}

#[test]
fn nine_hundred_devices_share_a_connection_and_each_has_a_session() {
    let mut pair = Pair::new(TestHub::kind());
    let names: Vec<String> = (0..900).map(|n| format!("eui-{n:04}")).collect();
    for name in &names {
        pair.post(name);
    }
    let mut flights = 0;
    while pair.done.len() < names.len() {
        assert!(pair.carry_to_hub() + pair.carry_to_line() > 0, "stuck with {}", pair.done.len());
        flights += 1;
    }
    assert!(pair.done.values().all(Result::is_ok));
    assert_eq!((pair.hub.sessions, pair.hub.links.len(), pair.line.figures().attached), (901, 900, 900));
    // 100 tokens a flight as the node's credit allows, as on the real hub.
    assert!(flights <= 24, "{flights}");
}

#[test]
fn a_refused_token_ends_one_device_and_its_words_are_its_outcome() {
    let cases = [
        (404, "Device d at IotHub h not registered.", Why::NotFound),
        (401, "The specified SAS token has an invalid signature.", Why::Unauthorized),
        (429, "slow down", Why::Throttled { retry_after: None }),
        (500, "what", Why::Unavailable { retry_after: None }),
    ];
    for (status, words, why) in cases {
        let mut pair = Pair::new(TestHub::new(only("a", move |_| Say::Status(status, words))));
        let (first, second, other) = (pair.post("a"), pair.post("a"), pair.post("b"));
        pair.run();
        assert_eq!((pair.outcome(first), pair.outcome(second)), (Some(Err(why)), Some(Err(why))), "{words}");
        assert_eq!(pair.outcome(other), Some(Ok(())));
        assert_eq!((pair.gone(), pair.hub.sessions), (vec!["a"], 2), "nothing was begun for it");
    }
}

#[test]
fn a_full_connection_hands_the_device_on_with_its_messages_in_order() {
    let full = "The maximum number of tokens per connection (1000) has been reached.";
    let mut pair = Pair::new(TestHub::new(only("a", move |_| Say::Status(500, full))));
    let other = pair.post("b");
    pair.run();
    let (first, second) = (pair.post("a"), pair.post("a"));
    pair.run();
    assert_eq!((pair.outcome(first), pair.outcome(second), pair.outcome(other)), (None, None, Some(Ok(()))));
    let [Effect::Displaced { name, messages, .. }] = &pair.told[..] else { panic!("{:?}", pair.told) };
    let tickets: Vec<Ticket> = messages.iter().map(|(ticket, _)| *ticket).collect();
    assert_eq!((&**name, tickets), ("a", vec![first, second]));
    assert_eq!(pair.line.figures(), Figures { attached: 1, ..Figures::default() });
}

#[test]
fn a_refused_link_ends_one_device() {
    let json = r#"{"errorCode":404001,"message":"no such device"}"#;
    let mut pair = Pair::new(TestHub::new(only("a", move |ask| match ask {
        Ask::Attach(_) => Say::Refuse(Error::new("amqp:not-found", json)),
        _ => Say::Yes,
    })));
    let (refused, other) = (pair.post("a"), pair.post("b"));
    pair.run();
    assert_eq!((pair.outcome(refused), pair.outcome(other)), (Some(Err(Why::NotFound)), Some(Ok(()))));
    assert_eq!((pair.gone(), pair.hub.sessions), (vec!["a"], 2));
}

#[test]
fn a_link_that_is_never_answered_times_out_alone() {
    for is_token in [true, false] {
        let mut pair = Pair::new(TestHub::new(only("a", move |ask| match ask {
            Ask::Token(_) if is_token => Say::Nothing,
            Ask::Attach(_) => Say::Nothing,
            _ => Say::Yes,
        })));
        let (ticket, other) = (pair.post("a"), pair.post("b"));
        pair.run();
        pair.pass(20 * SECOND);
        assert_eq!((pair.outcome(ticket), pair.outcome(other)), (Some(Err(Why::TimedOut)), Some(Ok(()))));
        assert_eq!(pair.gone(), ["a"]);
    }
}

#[test]
fn a_link_lost_without_a_word_is_opened_again_once_under_a_fresh_token() {
    for closed in [true, false] {
        let mut pair = Pair::with(TestHub::kind(), &["a", "b"]);
        pair.hub.detach("a", closed, None);
        let waiting = pair.post("a");
        // The detach crosses the message: it must not be written before it comes.
        pair.carry_to_line();
        pair.run();
        assert_eq!(pair.outcome(waiting), Some(Ok(())));
        assert_eq!(pair.hub.tokens["a"], 2, "a disabled device hears it from the answer to its token");
        assert_eq!(pair.hub.tokens["b"], 1);
    }
}

#[test]
fn a_device_that_is_switched_off_while_connected_is_told_so() {
    let mut pair = Pair::with(TestHub::kind(), &["a", "b"]);
    pair.hub.script(only("a", |ask| match ask {
        Ask::Token(_) => Say::Status(401, r#"{"errorCode":401003,"message":"DEVICE_DISABLED"}"#),
        _ => Say::Yes,
    }));
    pair.hub.detach("a", false, None);
    let waiting = pair.post("a");
    pair.carry_to_line();
    pair.run();
    assert_eq!(pair.outcome(waiting), Some(Err(Why::Disabled)));
    let other = pair.post("b");
    pair.run();
    assert_eq!(pair.outcome(other), Some(Ok(())));
}

#[test]
fn a_link_that_is_lost_without_a_word_twice_is_no_link() {
    let mut pair = Pair::with(TestHub::kind(), &["a"]);
    pair.hub.credit = 0;
    pair.hub.detach("a", false, None);
    let waiting = pair.post("a");
    pair.carry_to_line();
    pair.run();
    assert_eq!(pair.outcome(waiting), None, "it waits for credit on the second link");
    pair.hub.detach("a", false, None);
    pair.run();
    assert_eq!(pair.outcome(waiting), Some(Err(Why::Unauthorized)));
    assert_eq!(pair.gone(), ["a"]);
}

#[test]
fn an_idle_device_that_lost_its_link_comes_back_with_its_next_message() {
    let mut pair = Pair::with(TestHub::kind(), &["a"]);
    pair.hub.end("a", None);
    pair.run();
    assert_eq!((pair.gone(), pair.line.is_empty(), pair.hub.sessions), (vec!["a"], true, 1));
    let next = pair.post("a");
    pair.run();
    assert_eq!(pair.outcome(next), Some(Ok(())));
}

#[test]
fn what_a_detach_says_is_the_outcome_of_what_waits() {
    let later = Why::Unavailable { retry_after: None };
    let throttled = Why::Throttled { retry_after: None };
    let cases = [
        ("amqp:unauthorized-access", Why::Unauthorized, Why::Unauthorized),
        ("amqp:not-found", Why::NotFound, Why::NotFound),
        ("com.microsoft:device-container-throttled", throttled, throttled),
        ("amqp:link:detach-forced", Why::Lost, later),
    ];
    for (condition, written, unwritten) in cases {
        for by_session in [false, true] {
            let mut pair = Pair::with(TestHub::kind(), &["a", "b"]);
            pair.hub.script(|ask| if matches!(ask, Ask::Message(..)) { Say::Nothing } else { Say::Yes });
            let first = pair.post("a");
            pair.run();
            let second = pair.post("a");
            let error = Some(Error::new(condition, "Token Invalid."));
            if by_session {
                pair.hub.end("a", error);
            } else {
                pair.hub.detach("a", true, error);
            }
            pair.carry_to_line();
            let outcomes = (pair.outcome(first), pair.outcome(second));
            assert_eq!(outcomes, (Some(Err(written)), Some(Err(unwritten))), "{condition}");
            assert_eq!(pair.gone(), ["a"]);
            pair.hub.script(|_| Say::Yes);
            let other = pair.post("b");
            pair.run();
            assert_eq!(pair.outcome(other), Some(Ok(())));
        }
    }
}

#[test]
fn a_message_that_costs_the_link_is_blamed_and_the_next_ones_go() {
    let mut pair = Pair::with(TestHub::kind(), &["a"]);
    pair.hub.script(|ask| if matches!(ask, Ask::Message(..)) { Say::Nothing } else { Say::Yes });
    let (first, second) = (pair.post("a"), pair.post("a"));
    pair.run();
    let third = pair.post("a");
    pair.hub.detach("a", true, Some(Error::new("amqp:link:message-size-exceeded", "too large")));
    pair.hub.script(|_| Say::Yes);
    pair.carry_to_line();
    pair.run();
    assert_eq!(pair.outcome(first), Some(Err(Why::TooLarge)));
    assert_eq!(pair.outcome(second), Some(Err(Why::Lost)), "it was on its way, and is not to blame");
    assert_eq!(pair.outcome(third), Some(Ok(())));
}

#[test]
fn somebody_who_takes_the_device_is_told_with_how_long_it_was_ours() {
    let mut pair = Pair::with(TestHub::kind(), &["a", "b"]);
    pair.pass(90 * SECOND);
    pair.hub.script(only("a", |ask| if matches!(ask, Ask::Message(..)) { Say::Nothing } else { Say::Yes }));
    let written = pair.post("a");
    pair.run();
    let words = "Another AMQP Client has opened a Receive Link";
    pair.hub.detach("a", true, Some(Error::new("amqp:internal-error", words)));
    pair.run();
    let stolen = Why::Stolen { retry_after: None };
    assert_eq!(pair.outcome(written), Some(Err(stolen)));
    let [Effect::Stolen { name, tenure, .. }, Effect::Gone { .. }] = &pair.told[..] else { panic!("{:?}", pair.told) };
    assert_eq!((&**name, *tenure), ("a", Tenure { lasted: 90 * SECOND, deliveries: 1 }));
}

#[test]
fn a_token_is_renewed_in_place_before_it_runs_out() {
    let mut pair = Pair::with(TestHub::kind(), &["a", "b"]);
    let attaches = pair.hub.attaches.len();
    pair.pass(SECOND * 3600 * 24);
    assert!((28..=34).contains(&pair.hub.tokens["a"]), "{}", pair.hub.tokens["a"]);
    assert_eq!(pair.hub.attaches.len(), attaches, "no link was touched");
    let figures = pair.line.figures();
    assert_eq!((figures.attached, figures.renewals), (2, u64::from(pair.hub.tokens["a"] + pair.hub.tokens["b"] - 2)));
}

#[test]
fn a_renewal_that_fails_is_tried_every_five_seconds_while_the_token_lasts() {
    let mut pair = Pair::with(TestHub::kind(), &["a", "b"]);
    pair.hub.script(only("a", |ask| match ask {
        Ask::Token(_) => Say::Status(500, "internal"),
        _ => Say::Yes,
    }));
    pair.pass(SECOND * 3594);
    let ticket = pair.post("a");
    pair.run();
    assert_eq!(pair.outcome(ticket), Some(Ok(())), "the old token is as good as before");
    pair.pass(SECOND * 6);
    assert_eq!(pair.gone(), ["a"]);
    assert_eq!(pair.line.figures().attached, 1);
}

#[test]
fn a_renewal_that_is_refused_ends_the_device_with_the_reason() {
    let mut pair = Pair::with(TestHub::kind(), &["a", "b"]);
    pair.hub.script(only("a", |ask| match ask {
        Ask::Token(_) => Say::Status(404, "Device a at IotHub h not registered."),
        _ => Say::Nothing,
    }));
    let mut ticket = pair.post("a");
    while pair.gone().is_empty() {
        pair.pass(SECOND * 10);
        pair.hub.release();
        pair.run();
        if pair.outcome(ticket) == Some(Ok(())) {
            ticket = pair.post("a");
            pair.run();
        }
    }
    assert_eq!(pair.outcome(ticket), Some(Err(Why::NotFound)));
    assert_eq!(pair.line.figures().attached, 1);
}

#[test]
fn another_key_is_used_at_once_without_touching_the_link() {
    let mut pair = Pair::with(TestHub::kind(), &["a"]);
    let ticket = pair.post_with("a", &[2; 32]);
    pair.run();
    assert_eq!((pair.outcome(ticket), pair.hub.tokens["a"]), (Some(Ok(())), 2));
    assert!(pair.gone().is_empty());
    let same = pair.post_with("a", &[2; 32]);
    pair.run();
    assert_eq!((pair.outcome(same), pair.hub.tokens["a"]), (Some(Ok(())), 2));
}

#[test]
fn a_node_that_is_taken_away_is_attached_again_and_no_device_notices() {
    let mut pair = Pair::with(TestHub::kind(), &["a"]);
    pair.hub.end_node(Some(Error::new("amqp:internal-error", "moved")));
    let (attached, opening) = (pair.post("a"), pair.post("b"));
    pair.run();
    assert_eq!((pair.outcome(attached), pair.outcome(opening)), (Some(Ok(())), Some(Ok(()))));
    assert!(pair.told.is_empty(), "{:?}", pair.told);
    for _ in 0..4 {
        pair.hub.end_node(None);
        pair.run();
    }
    assert!(pair.line.is_over(), "not for ever");
}

#[test]
fn a_device_that_is_let_go_leaves_nothing_behind() {
    let mut pair = Pair::with(TestHub::kind(), &["a", "b"]);
    pair.hub.script(only("a", |ask| if matches!(ask, Ask::Message(..)) { Say::Nothing } else { Say::Yes }));
    let written = pair.post("a");
    pair.run();
    let unwritten = pair.post("a");
    let now = pair.now();
    pair.line.forget("a", now);
    pair.listen();
    assert_eq!((pair.outcome(written), pair.outcome(unwritten)), (Some(Err(Why::Lost)), Some(Err(Why::Closed))));
    pair.run();
    assert_eq!((pair.hub.sessions, pair.hub.links.len()), (2, 1));
    pair.hub.script(|_| Say::Yes);
    let again = pair.post("a");
    pair.run();
    assert_eq!(pair.outcome(again), Some(Ok(())));
}

#[test]
fn a_close_is_polite_and_bounded() {
    let mut pair = Pair::with(TestHub::kind(), &["a"]);
    let unwritten = pair.post("a");
    let now = pair.now();
    pair.line.close(now);
    pair.listen();
    assert_eq!(pair.outcome(unwritten), Some(Err(Why::Closed)));
    let late = pair.post("a");
    assert_eq!(pair.outcome(late), Some(Err(Why::Closed)));
    pair.run();
    assert!(pair.line.is_over() && pair.hub.is_over);
    let mut deaf = Pair::with(TestHub::kind(), &["a"]);
    let now = deaf.now();
    deaf.line.close(now);
    deaf.pass_deaf(20 * SECOND);
    assert!(deaf.line.is_over());
}

#[test]
fn timers_of_what_is_gone_do_not_pile_up() {
    let mut pair = Pair::with(TestHub::kind(), &["a"]);
    pair.hub.script(|ask| match ask {
        Ask::Token("silent") | Ask::Message("slow") => Say::Nothing,
        _ => Say::Yes,
    });
    // These two wait long, and all timers that come later stand behind theirs.
    pair.post("slow");
    pair.post("silent");
    for n in 0..2000 {
        pair.post("a");
        pair.post(&format!("d{n}"));
        pair.run();
        let now = pair.now();
        pair.line.forget(&format!("d{n}"), now);
        pair.run();
    }
    let Line { renewals, answers, opens, .. } = &pair.line;
    assert!(renewals.len().max(answers.len()).max(opens.len()) <= 100);
    assert_eq!((pair.line.by_sent.len(), pair.line.by_link.len(), pair.line.by_session.len()), (1, 2, 2));
}
