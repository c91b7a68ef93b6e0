//! Many devices, few connections, paces.

use super::network::Order;
use super::*;

const RTT: Duration = Duration::from_millis(50);

fn per_second(times: &[(Instant, String)], began: Instant) -> Vec<usize> {
    let mut seconds = Vec::new();
    for (when, _) in times {
        let second = (*when - began).as_secs() as usize;
        seconds.resize(seconds.len().max(second + 1), 0);
        seconds[second] += 1;
    }
    seconds
}

#[tokio::test(start_paused = true)]
async fn a_thousand_devices_are_attached_on_two_connections_in_half_a_second() {
    let network = Network::new(RTT / 2);
    let hub = client(&network, AmqpOptions { devices_per_connection: 500, ..options() });
    let began = Instant::now();
    assert!(send_all(&hub, names(1000), "m1").await.iter().all(Result::is_ok));
    let took = began.elapsed();
    assert_eq!((network.dials(), hub.standing().attached), (2, 1000));
    assert!(took < Duration::from_millis(700), "with TCP, TLS and the first message: {took:?}");
    let began = Instant::now();
    assert!(send_all(&hub, names(1000), "m2").await.iter().all(Result::is_ok));
    assert!(began.elapsed() < RTT * 3, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn devices_fill_one_connection_after_the_other_and_empty_ones_go() {
    let network = Network::new(RTT / 2);
    let hub = client(&network, AmqpOptions { devices_per_connection: 100, ..options() });
    assert!(send_all(&hub, names(250), "m1").await.iter().all(Result::is_ok));
    assert_eq!(network.open(), 3);
    names(250).skip(120).for_each(|name| hub.forget(&name));
    sleep(SECOND).await;
    assert_eq!((hub.standing().attached, network.open()), (120, 3));
    sleep(SECOND * 61).await;
    assert_eq!((hub.standing().connections, network.open()), (2, 2), "the empty one went");
    assert!(send_all(&hub, names(250), "m2").await.iter().all(Result::is_ok));
    assert_eq!(network.open(), 3);
}

#[tokio::test(start_paused = true)]
async fn attaches_are_paced_and_each_device_is_told_its_own_time() {
    let network = Network::new(RTT / 2);
    let hub = client(&network, AmqpOptions { attaches_per_second: 90, ..options() });
    let began = Instant::now();
    let tasks: Vec<_> = names(450)
        .map(|name| {
            let hub = hub.clone();
            tokio::spawn(async move {
                let mut asked = 0;
                while let Admit::Later(wait) = hub.admit(&name) {
                    asked += 1;
                    sleep(wait).await;
                }
                (send(&hub, &name, "m1").await, asked)
            })
        })
        .collect();
    for task in tasks {
        let (outcome, asked) = task.await.unwrap();
        assert_eq!(outcome, Ok(()));
        assert!(asked <= 2, "the time that it was told was its time, unless the connection was still being opened");
    }
    let seconds = per_second(&network.inside().attaches, began);
    assert!(seconds.iter().all(|attaches| *attaches <= 90 + 9), "{seconds:?}");
    assert!(seconds.len() <= 6, "and no permit is lost: {seconds:?}");
    assert_eq!(hub.admit("eui-00000"), Admit::Go, "it is attached");
    assert_eq!(hub.standing().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_was_not_admitted_waits_for_its_turn_or_hears_when_it_comes() {
    let network = Network::new(RTT / 2);
    let hub = client(&network, AmqpOptions { attaches_per_second: 10, ..options() });
    let outcomes = send_all(&hub, names(300), "m1").await;
    let later: Vec<Duration> = outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            Err(Why::NotYet { retry_after }) => Some(*retry_after),
            other => {
                assert_eq!(*other, Ok(()));
                None
            }
        })
        .collect();
    // Less those whose turns fell due while the connection was being opened.
    assert!((98..=104).contains(&later.len()), "200 have their turn within 20 s: {}", later.len());
    assert!(later.iter().all(|wait| *wait > SECOND * 19 && *wait <= SECOND * 30));
}

#[tokio::test(start_paused = true)]
async fn the_device_that_was_idle_longest_makes_room() {
    let network = Network::new(RTT / 2);
    let hub = client(&network, AmqpOptions { max_links: 10, ..options() });
    for name in names(10) {
        assert_eq!(send(&hub, &name, "m1").await, Ok(()));
    }
    assert_eq!(send(&hub, "eui-00000", "m2").await, Ok(()));
    assert_eq!(send(&hub, "new", "m1").await, Ok(()));
    sleep(RTT).await;
    assert_eq!(hub.standing().attached, 10);
    let attaches = network.inside().attaches.len();
    assert_eq!(send(&hub, "eui-00000", "m3").await, Ok(()));
    assert_eq!(network.inside().attaches.len(), attaches, "it was used since");
    assert_eq!(send(&hub, "eui-00001", "m2").await, Ok(()));
    assert_eq!(network.inside().attaches.len(), attaches + 1, "this one was not");
    network.script(|ask| if matches!(ask, Ask::Message(_)) { Say::Nothing } else { Say::Yes });
    let busy = tokio::spawn({
        let hub = hub.clone();
        let attached: Vec<String> = network.inside().owners.keys().cloned().collect();
        async move { send_all(&hub, attached, "m4").await }
    });
    sleep(RTT * 4).await;
    let waits = hub.standing().unsettled;
    assert!(waits >= 10, "{waits}");
    assert_eq!(hub.admit("another"), Admit::Later(SECOND), "none that is busy has to go");
    assert_eq!(send(&hub, "another", "m1").await, Err(Why::NotYet { retry_after: SECOND }));
    network.order(|| Order::Release);
    busy.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn tokens_are_renewed_evenly_and_devices_that_say_nothing_are_let_go() {
    let network = Network::new(RTT / 2);
    let hub = client(&network, options());
    assert!(send_all(&hub, names(300), "m1").await.iter().all(Result::is_ok));
    let began = Instant::now();
    for hour in 1..=12 {
        assert!(send_all(&hub, names(150), "again").await.iter().all(Result::is_ok));
        sleep((began + SECOND * 3600 * hour).saturating_duration_since(Instant::now())).await;
    }
    let links = hub.standing();
    assert_eq!(links.attached, 150, "those that send stay");
    assert_eq!(network.inside().attaches.len(), 300, "and were never attached again");
    let tokens = &network.inside().tokens[300..];
    assert_eq!(links.renewals, tokens.len() as u64);
    let mut quarters = [0usize; 48];
    for (when, _) in tokens {
        quarters[((*when - began).as_secs() / 900) as usize % 48] += 1;
    }
    // Half an hour of 150 devices is 94 renewals; in the first hours there are twice as many devices.
    let later = &quarters[16..];
    let mean = later.iter().sum::<usize>() as f64 / later.len() as f64;
    assert!(later.iter().all(|count| (*count as f64) <= 2.0 * mean), "{later:?}, {mean} on average");
}

#[tokio::test(start_paused = true)]
async fn renewals_go_through_the_same_pace_as_attaches() {
    let network = Network::new(RTT / 2);
    let paced = AmqpOptions { attaches_per_second: 5, token_life: SECOND * 600, ..options() };
    let hub = client(&network, paced);
    for name in names(200) {
        while let Admit::Later(wait) = hub.admit(&name) {
            sleep(wait).await;
        }
        assert_eq!(send(&hub, &name, "m1").await, Ok(()));
    }
    let began = Instant::now();
    let before = network.inside().tokens.len();
    sleep(SECOND * 1800).await;
    let tokens = network.inside().tokens[before..].to_vec();
    let seconds = per_second(&tokens, began);
    assert!(seconds.iter().all(|count| *count <= 6), "{seconds:?}");
    assert_eq!(hub.standing().attached, 200, "all in time");
    assert!(tokens.len() >= 200 * 3, "{}", tokens.len());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_the_hub_calls_full_sends_its_surplus_to_another() {
    let network = Network::new(RTT / 2);
    let tokens = Arc::new(AtomicI64::new(0));
    network.script(move |ask| match ask {
        // The first connection takes 60; the devices that are sent away come to the second.
        Ask::Token(_) if (60..100).contains(&tokens.fetch_add(1, Ordering::SeqCst)) => {
            Say::Status(500, "The maximum number of tokens per connection (1000) has been reached.")
        }
        _ => Say::Yes,
    });
    let hub = client(&network, options());
    assert!(send_all(&hub, names(100), "m1").await.iter().all(Result::is_ok));
    let links = hub.standing();
    assert_eq!((links.connections, links.attached), (2, 100));
    let dials = network.dials();
    assert_eq!(send(&hub, "one more", "m1").await, Ok(()));
    assert_eq!(network.dials(), dials, "it goes where there is room");
}

#[tokio::test(start_paused = true)]
async fn trouble_of_a_device_is_not_its_neighbours_trouble() {
    let network = Network::new(RTT / 2);
    network.script(|ask| match ask {
        Ask::Token("eui-00001") => Say::Status(404, "Device eui-00001 at IotHub h not registered."),
        Ask::Attach("eui-00002") => Say::Refuse(Error::new("amqp:unauthorized-access", "disabled")),
        Ask::Token("eui-00003") | Ask::Attach("eui-00004") | Ask::Message("eui-00005") => Say::Nothing,
        _ => Say::Yes,
    });
    let hub = client(&network, options());
    let outcomes = send_all(&hub, names(20), "m1").await;
    let troubled =
        [Err(Why::NotFound), Err(Why::Unauthorized), Err(Why::TimedOut), Err(Why::TimedOut), Err(Why::TimedOut)];
    assert_eq!(outcomes[1..6], troubled);
    assert!(outcomes[6..].iter().all(Result::is_ok) && outcomes[0].is_ok());
    assert_eq!((network.dials(), network.open()), (1, 1));
    for name in names(20).skip(6) {
        network.order(|| Order::Detach("eui-00000".to_owned(), Some(Error::new("amqp:link:detach-forced", "x"))));
        network.order(|| Order::EndNode);
        sleep(SECOND * 61).await;
        assert_eq!(send(&hub, &name, "m2").await, Ok(()));
    }
    network.order(|| Order::Close(Some(Error::new("amqp:connection:forced", "maintenance"))));
    sleep(RTT).await;
    assert!(send_all(&hub, names(20).skip(6), "m3").await.iter().all(Result::is_ok));
    assert_eq!(network.dials(), 2);
}

#[tokio::test(start_paused = true)]
async fn sends_are_paced_where_that_is_asked_for() {
    let network = Network::new(RTT / 2);
    let hub = client(&network, AmqpOptions { sends_per_second: 20, ..options() });
    assert!(send_all(&hub, names(10), "m1").await.iter().all(Result::is_ok));
    let began = Instant::now();
    for n in 0..10 {
        assert!(send_all(&hub, names(10), &format!("m{n}")).await.iter().all(Result::is_ok));
    }
    assert!(began.elapsed() >= SECOND * 4, "{:?}", began.elapsed());
    assert!(began.elapsed() <= SECOND * 6, "{:?}", began.elapsed());
}
