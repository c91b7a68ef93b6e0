use super::*;
use crate::performative::Disposition;

#[test]
fn a_message_arrives_and_its_outcome_comes_back() {
    let outcomes = [
        DeliveryState::Accepted,
        DeliveryState::Released,
        DeliveryState::Rejected(Some(error())),
        DeliveryState::Modified {
            delivery_failed: true,
            undeliverable_here: false,
            message_annotations: crate::value::Fields::default(),
        },
    ];
    let mut pair = Pair::open();
    let (ours, theirs) = pair.sender("a", 100);
    for outcome in outcomes {
        let sent = pair.client.send(ours, message("hello")).expect("it is attached");
        let (_, told) = pair.run();
        let [(at, delivery)] = &deliveries(&told)[..] else { panic!("{told:?}") };
        assert_eq!((*at, &delivery.payload[..], delivery.settled), (theirs, &b"hello"[..], false));
        pair.server.settle(theirs, delivery.id, outcome.clone());
        let (told, _) = pair.run();
        assert_eq!(fates(&told), [(sent, Fate::Settled(Some(outcome)))]);
    }
}

#[test]
fn large_messages_go_in_frames_and_many_links_take_turns() {
    let mut pair = Pair::open_with(
        Options { max_frame_size: 512, incoming_window: 3, ..Options::new("client") },
        Options { max_frame_size: 512, incoming_window: 3, ..Options::new("server") },
    );
    pair.piece = 100;
    let (a, at_a) = pair.sender("a", 10);
    let (b, at_b) = pair.sender("b", 10);
    let large = "x".repeat(300_000);
    pair.client.send(a, message(&large));
    pair.client.send(b, message("small"));
    pair.client.send(a, message("after"));
    let (_, told) = pair.run();
    let got = deliveries(&told);
    let texts: Vec<(LinkId, usize)> = got.iter().map(|(link, one)| (*link, one.payload.len())).collect();
    assert_eq!(texts[0], (at_b, 5), "the small one did not wait for the large one");
    assert_eq!(texts[1..], [(at_a, 300_000), (at_a, 5)]);
    assert_eq!(got[1].1.payload, large);
}

#[test]
fn credit_is_never_exceeded_and_what_waits_goes_when_it_comes() {
    let mut pair = Pair::open();
    let (ours, theirs) = pair.sender("a", 3);
    let all: Vec<Sent> = (0..10).filter_map(|n| pair.client.send(ours, message(&n.to_string()))).collect();
    let (_, told) = pair.run();
    let first = deliveries(&told);
    assert_eq!((first.len(), pair.client.waiting(ours), pair.server.credit_left(theirs)), (3, 7, 0));
    pair.server.credit(theirs, 100);
    let (_, told) = pair.run();
    let second = deliveries(&told);
    for (_, delivery) in first.iter().chain(&second) {
        pair.server.settle(theirs, delivery.id, DeliveryState::Accepted);
    }
    let (told, _) = pair.run();
    let accepted: Vec<(Sent, Fate)> =
        all.into_iter().map(|sent| (sent, Fate::Settled(Some(DeliveryState::Accepted)))).collect();
    assert_eq!(fates(&told), accepted, "in order, each once");
}

#[test]
fn draining_uses_credit_up_or_gives_it_back() {
    let mut pair = Pair::open();
    let (ours, theirs) = pair.sender("a", 0);
    pair.client.send(ours, message("one"));
    pair.run();
    pair.server.drain(theirs, 5);
    let (_, told) = pair.run();
    assert_eq!(deliveries(&told).len(), 1);
    assert!(told.contains(&Event::Drained(theirs)), "{told:?}");
    assert_eq!(pair.server.credit_left(theirs), 0);
    pair.client.send(ours, message("two"));
    let (_, told) = pair.run();
    assert_eq!(deliveries(&told).len(), 0, "given back is given back");
    pair.server.credit(theirs, 1);
    assert_eq!(deliveries(&pair.run().1).len(), 1);
}

#[test]
fn settled_messages_want_no_answer() {
    let mut pair = Pair::open();
    let (ours, _) = pair.sender("a", 10);
    let sent = pair.client.send(ours, Outgoing { settled: true, ..message("x") }).expect("it is attached");
    let (client, server) = pair.run();
    assert_eq!(fates(&client), [(sent, Fate::Unanswered)]);
    assert!(deliveries(&server)[0].1.settled);
}

#[test]
fn the_server_sends_as_well() {
    let mut pair = Pair::open();
    let session = pair.client.begin().expect("there is room");
    let ours = pair.client.attach(session, Terms::receiver("r", Source::at("r"))).expect("there is room");
    pair.client.credit(ours, 2);
    let (_, told) = pair.run();
    let (theirs, attach) = attaching(&told);
    assert_eq!(attach.role, Role::Receiver);
    pair.server.accept(theirs, Terms::answer(&attach));
    let sent = pair.server.send(theirs, message("down")).expect("it stands");
    let (told, _) = pair.run();
    assert!(matches!(told[0], Event::Attached(link, _) if link == ours), "{told:?}");
    let [(_, delivery)] = &deliveries(&told)[..] else { panic!("{told:?}") };
    pair.client.settle(ours, delivery.id, DeliveryState::Accepted);
    assert_eq!(fates(&pair.run().1), [(sent, Fate::Settled(Some(DeliveryState::Accepted)))]);
}

#[test]
fn a_link_can_be_refused_with_words() {
    let mut pair = Pair::open();
    let session = pair.client.begin().expect("there is room");
    let ours = pair.client.attach(session, Terms::sender("a", Target::at("nowhere"))).expect("there is room");
    let waiting = pair.client.send(ours, message("x")).expect("it waits");
    let (_, told) = pair.run();
    pair.server.refuse(attaching(&told).0, error());
    let (told, _) = pair.run();
    assert!(matches!(told[0], Event::Attached(link, _) if link == ours), "{told:?}");
    assert_eq!(told[1], Event::Done(waiting, Fate::Lost { written: false }));
    let refused = Detachment { closed: true, error: Some(error()), by_us: false };
    assert_eq!(told[2], Event::Detached(ours, refused));
    pair.sender_in(session, "a", 1);
}

#[test]
fn names_and_handles_are_free_again_only_after_both_detached() {
    let mut pair = Pair::open();
    let session = pair.client.begin().expect("there is room");
    for round in 0..100 {
        let (ours, theirs) = pair.sender_in(session, "same name", 1);
        if round % 2 == 0 {
            pair.client.detach(ours, round % 4 == 0, None);
        } else {
            pair.server.detach(theirs, true, Some(error()));
        }
        let (client, server) = pair.run();
        assert!(client.iter().any(|event| matches!(event, Event::Detached(link, _) if *link == ours)), "{client:?}");
        assert!(server.iter().any(|event| matches!(event, Event::Detached(link, _) if *link == theirs)), "{server:?}");
    }
    assert_eq!(pair.client.links.len() + pair.server.links.len() + pair.client.names.len(), 0);
}

#[test]
fn a_second_link_of_the_same_name_is_not_begun_and_the_first_lives() {
    let mut pair = Pair::open();
    let session = pair.client.begin().expect("there is room");
    let (first, _) = pair.sender_in(session, "a", 10);
    let second = pair.client.attach(session, Terms::sender("a", Target::at("a")));
    assert_eq!(second, Err(Full::Name));
    pair.client.attach(session, Terms::receiver("a", Source::at("a"))).expect("the other direction is another link");
    pair.client.send(first, message("still here"));
    assert_eq!(deliveries(&pair.run().1).len(), 1);
}

#[test]
fn links_beyond_the_bound_are_refused_and_nobody_above_hears_of_them() {
    let mut pair = Pair::open_with(Options::new("client"), Options { links_max: 2, ..Options::new("server") });
    let session = pair.client.begin().expect("there is room");
    pair.sender_in(session, "a", 1);
    pair.sender_in(session, "b", 1);
    let third = pair.client.attach(session, Terms::sender("c", Target::at("c"))).expect("the client does not know");
    let (client, server) = pair.run();
    assert_eq!(server, []);
    let refused = |event: &Event| match event {
        Event::Detached(link, how) => *link == third && how.error.is_some(),
        _ => false,
    };
    assert!(client.iter().any(refused), "{client:?}");
}

#[test]
fn an_ended_session_takes_its_links_and_no_other() {
    let mut pair = Pair::open();
    let (gone, _) = pair.sender("a", 10);
    let (stays, _) = pair.sender("b", 10);
    let lost = pair.client.send(gone, message("x")).expect("it is attached");
    let (_, server) = pair.run();
    let (at, _) = deliveries(&server)[0];
    let session = pair.server.session_id(pair.server.links.get(at.index).expect("it is there").session);
    pair.server.end(session, Some(error()));
    let (client, server) = pair.run();
    assert_eq!(fates(&client), [(lost, Fate::Lost { written: true })]);
    assert!(matches!(client.last(), Some(Event::SessionEnded(_, Some(_)))), "{client:?}");
    assert!(matches!(server.last(), Some(Event::SessionEnded(_, None))), "{server:?}");
    pair.client.send(stays, message("still here"));
    assert_eq!(deliveries(&pair.run().1).len(), 1);
    pair.sender("c", 1);
}

#[test]
fn closing_gives_each_delivery_its_fate_on_both_sides() {
    let mut pair = Pair::open();
    let (ours, _) = pair.sender("a", 1);
    let written = pair.client.send(ours, message("1")).expect("it is attached");
    let waiting = pair.client.send(ours, message("2")).expect("it is attached");
    pair.run();
    pair.server.close(Some(error()), pair.now);
    let (client, server) = pair.run();
    let lost = [(written, Fate::Lost { written: true }), (waiting, Fate::Lost { written: false })];
    assert_eq!(fates(&client), lost);
    assert_eq!(client.last(), Some(&Event::Ended(Ended::ByPeer(Some(error())))));
    assert_eq!(server.last(), Some(&Event::Ended(Ended::ByUs)));
    assert_eq!(pair.client.begin(), Err(Full::Ended));
    assert_eq!(pair.client.send(ours, message("3")), None);
}

#[test]
fn a_socket_that_dies_fails_everything_at_once() {
    let mut pair = Pair::open();
    let links: Vec<LinkId> = (0..1000).map(|n| pair.sender(&n.to_string(), 10).0).collect();
    let sent: Vec<Sent> = links.iter().filter_map(|link| pair.client.send(*link, message("x"))).collect();
    pair.run();
    pair.client.cut();
    let events = told(&mut pair.client);
    let mut lost: Vec<Sent> = fates(&events).into_iter().map(|(sent, _)| sent).collect();
    lost.sort_unstable();
    let mut sent = sent;
    sent.sort_unstable();
    assert_eq!(lost, sent);
    assert_eq!(events.last(), Some(&Event::Ended(Ended::Cut)));
}

#[test]
fn a_receiver_settles_as_it_has_answered_and_not_as_it_was_asked() {
    let first = crate::performative::ReceiverSettles::First;
    let second = crate::performative::ReceiverSettles::Second;
    for (granted, is_settled) in [(first, true), (second, false)] {
        let mut pair = Pair::open_with(Options::new("client"), Options::new("server"));
        let session = pair.client.begin().expect("there is room");
        let terms = Terms { rcv_settle_mode: second, ..Terms::sender("a", Target::at("a")) };
        let ours = pair.client.attach(session, terms).expect("there is room");
        let (theirs, attach) = attaching(&pair.run().1);
        pair.server.accept(theirs, Terms { rcv_settle_mode: granted, ..Terms::answer(&attach) });
        pair.server.credit(theirs, 1);
        pair.run();
        pair.client.send(ours, message("m")).expect("there is credit");
        let came = deliveries(&pair.run().1);
        pair.server.settle(theirs, came[0].1.id, DeliveryState::Accepted);
        let mut out = BytesMut::new();
        pair.server.output(&mut out, pair.now);
        let frame = frame::take_frame(&mut out, 65_536).expect("a whole frame").expect("a frame");
        let Frame::Amqp { performative: Performative::Disposition(said), .. } = frame else { panic!("{frame:?}") };
        assert_eq!(said.settled, is_settled);
    }
}

#[test]
fn who_settles_second_gets_the_word_that_the_caller_has_last() {
    let server = Options { agrees_with_second: false, ..Options::new("server") };
    let mut pair = Pair::open_with(Options::new("client"), server);
    let session = pair.client.begin().expect("there is room");
    let second = crate::performative::ReceiverSettles::Second;
    let terms = Terms { rcv_settle_mode: second, ..Terms::receiver("a", Source::at("a")) };
    let ours = pair.client.attach(session, terms).expect("there is room");
    let (theirs, attach) = attaching(&pair.run().1);
    pair.server.accept(theirs, Terms::answer(&attach));
    pair.client.credit(ours, 3);
    pair.run();
    assert_eq!((pair.server.credit_left(theirs), pair.client.credit_left(ours)), (3, 3));
    let sent: Vec<Sent> = (0..3).filter_map(|_| pair.server.send(theirs, message("m"))).collect();
    let came = deliveries(&pair.run().0);
    assert_eq!(pair.server.credit_left(theirs), 0);
    for (_, delivery) in &came[..2] {
        pair.client.settle(ours, delivery.id, DeliveryState::Accepted);
    }
    let asked = |sent| Event::Asked(sent, DeliveryState::Accepted);
    assert_eq!(pair.run().1, [asked(sent[0]), asked(sent[1])], "and nothing is settled yet");
    let lost = DeliveryState::Rejected(Some(error()));
    pair.server.conclude(sent[1], lost.clone());
    pair.server.conclude(sent[2], DeliveryState::Released);
    pair.server.conclude(sent[1], DeliveryState::Accepted);
    let mut out = BytesMut::new();
    pair.server.output(&mut out, pair.now);
    let said: Vec<Disposition> = std::iter::from_fn(|| frame::take_frame(&mut out, 65_536).expect("whole frames"))
        .filter_map(|frame| match frame {
            Frame::Amqp { performative: Performative::Disposition(said), .. } => Some(said),
            _ => None,
        })
        .collect();
    assert_eq!(said.iter().map(|one| (one.role, one.settled)).collect::<Vec<_>>(), [(Role::Sender, true); 2]);
    assert_eq!((said[0].first, said[0].state.clone()), (came[1].1.id, Some(lost.clone())));
    let told = [(sent[1], Fate::Settled(Some(lost))), (sent[2], Fate::Settled(Some(DeliveryState::Released)))];
    assert_eq!(fates(&super::told(&mut pair.server)), told, "each once");
}
