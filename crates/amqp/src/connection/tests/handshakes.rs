use super::*;

fn server(mechanisms: &[&'static str], bare: bool) -> Connection {
    let mechanisms = mechanisms.iter().map(|one| Symbol::known(one)).collect();
    Connection::server(Options::new("server"), mechanisms, bare, Duration::ZERO)
}

fn client(mechanism: Mechanism) -> Connection {
    Connection::client(Options::new("client"), mechanism, Duration::ZERO)
}

#[test]
fn every_mechanism_gets_in_where_it_is_offered() {
    let plain = Mechanism::Plain { user: "u".into(), password: "p".into() };
    for mechanism in [Mechanism::Anonymous, Mechanism::External, Mechanism::Mssbcbs, plain] {
        for piece in [1, 7, usize::MAX] {
            let mut pair =
                Pair::of(client(mechanism.clone()), server(&["MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL"], true));
            pair.piece = piece;
            let (_, told) = pair.run();
            let [Event::Authenticating(init)] = &told[..] else { panic!("{told:?}") };
            assert_eq!(Some(init.mechanism.as_str()), mechanism.name());
            if let Mechanism::Plain { .. } = mechanism {
                assert_eq!(init.initial_response.as_deref(), Some(&b"\0u\0p"[..]));
            }
            pair.server.authenticate(true);
            let (client, server) = pair.run();
            assert!(matches!(client[..], [Event::Opened(_)]), "{client:?}");
            assert!(matches!(server[..], [Event::Opened(_)]), "{server:?}");
        }
    }
}

#[test]
fn refused_credentials_and_missing_mechanisms_are_told_apart() {
    let mut pair = Pair::of(client(Mechanism::Anonymous), server(&["ANONYMOUS"], true));
    pair.run();
    pair.server.authenticate(false);
    let (told, _) = pair.run();
    assert!(matches!(&told[..], [Event::Ended(Ended::NotAuthenticated(why))] if why.contains("refused")), "{told:?}");

    let (told, _) = Pair::of(client(Mechanism::External), server(&["PLAIN"], true)).run();
    assert!(matches!(&told[..], [Event::Ended(Ended::NotAuthenticated(why))] if why.contains("PLAIN")), "{told:?}");

    let (told, _) = Pair::of(client(Mechanism::None), server(&["PLAIN"], false)).run();
    assert!(matches!(&told[..], [Event::Ended(Ended::NotAuthenticated(_))]), "{told:?}");
}

#[test]
fn a_stranger_hears_which_protocol_is_spoken() {
    let mut connection = server(&[], true);
    connection.receive(b"GET / HTTP/1.1\r\n\r\n", Duration::ZERO);
    let mut out = BytesMut::new();
    connection.output(&mut out, Duration::ZERO);
    assert_eq!(&out[..], b"AMQP\0\x01\0\0");
    assert!(matches!(told(&mut connection)[..], [Event::Ended(Ended::Broken(_))]));
}

#[test]
fn nobody_waits_for_ever_for_a_handshake() {
    let mut connection = client(Mechanism::None);
    let deadline = connection.deadline().expect("a handshake has a bound");
    connection.tick(deadline - Duration::from_millis(1));
    assert_eq!(connection.poll(), None);
    connection.tick(deadline);
    assert_eq!(connection.poll(), Some(Event::Ended(Ended::HandshakeTooLong)));
    assert_eq!(connection.deadline(), None, "and then nothing more happens");
}

#[test]
fn a_silent_peer_is_given_up_and_a_living_one_hears_of_us() {
    let quick = Options { silence_max: Some(Duration::from_secs(10)), ..Options::new("server") };
    let mut pair = Pair::open_with(Options { silence_max: None, ..Options::new("client") }, quick);
    for _ in 0..20 {
        pair.now = pair.client.deadline().expect("it has to be heard");
        assert!(pair.now < pair.server.deadline().expect("it listens"), "heartbeats are early enough");
        pair.client.tick(pair.now);
        assert_eq!(pair.run(), (Vec::new(), Vec::new()));
    }
    pair.now = pair.server.deadline().expect("it listens");
    pair.server.tick(pair.now);
    assert_eq!(told(&mut pair.server), [Event::Ended(Ended::Silent)]);
    let (client, _) = pair.run();
    assert!(matches!(&client[..], [Event::Ended(Ended::ByPeer(Some(_)))]), "{client:?}");
}

#[test]
fn what_is_begun_before_open_is_pipelined_and_not_sent_too_early() {
    let mut pair = Pair::of(client(Mechanism::None), server(&[], true));
    let session = pair.client.begin().expect("there is room");
    let link = pair.client.attach(session, Terms::sender("a", Target::at("a"))).expect("there is room");
    pair.client.send(link, message("early")).expect("it waits");
    let mut first = BytesMut::new();
    pair.client.output(&mut first, Duration::ZERO);
    pair.server.receive(&first, Duration::ZERO);
    assert!(matches!(told(&mut pair.server)[..], [Event::Opened(_)]), "begin waits for the peer's open");
    let (_, told) = pair.run();
    let (theirs, attach) = attaching(&told);
    pair.server.accept(theirs, Terms::answer(&attach));
    pair.server.credit(theirs, 1);
    let (_, told) = pair.run();
    assert_eq!(deliveries(&told)[0].1.payload, "early");
}
