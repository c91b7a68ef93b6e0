//! One device: sends, losses, ends.

use super::network::Order;
use super::*;

const RTT: Duration = Duration::from_millis(50);

#[tokio::test(start_paused = true)]
async fn a_message_takes_one_round_trip_once_its_device_is_attached() {
    let network = Network::new(RTT / 2);
    let hub = client(&network, options());
    assert_eq!(send(&hub, "eui-1", "m1").await, Ok(()));
    let began = Instant::now();
    assert_eq!(send(&hub, "eui-1", "m2").await, Ok(()));
    assert!(began.elapsed() < RTT * 2, "{:?}", began.elapsed());
    assert_eq!(network.accepted("eui-1"), ["m1", "m2"]);
    let links = Links { connections: 1, attached: 1, ..Links::default() };
    assert_eq!((hub.standing(), network.dials()), (links, 1));
}

#[tokio::test(start_paused = true)]
async fn a_half_open_connection_is_found_within_30_seconds_and_all_that_waits_ends() {
    let network = Network::new(RTT / 2);
    let hub = client(&network, options());
    assert!(send_all(&hub, names(10), "m1").await.iter().all(Result::is_ok));
    sleep(SECOND * 600).await;
    assert_eq!(network.open(), 1, "it is kept alive");
    network.freeze(true);
    let began = Instant::now();
    let mut waiting = Vec::new();
    for (n, device) in names(10).enumerate() {
        let hub = hub.clone();
        waiting.push(tokio::spawn(async move {
            sleep(SECOND * n as u32).await;
            (send(&hub, &device, "m2").await, Instant::now())
        }));
    }
    while hub.standing().connections > 0 {
        sleep(SECOND / 10).await;
    }
    assert!(began.elapsed() <= SECOND * 30, "{:?}", began.elapsed());
    for task in waiting {
        let (outcome, when) = task.await.unwrap();
        assert!(matches!(outcome, Err(Why::TimedOut | Why::Lost)), "{outcome:?}");
        assert!(when <= began + SECOND * 30);
    }
    network.freeze(false);
    assert_eq!(send(&hub, "eui-00000", "m3").await, Ok(()), "over a new connection");
    assert_eq!(network.dials(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_send_that_is_dropped_before_it_is_written_never_arrives_and_hurts_nobody() {
    let network = Network::new(RTT / 2);
    let hub = client(&network, options());
    assert_eq!(send(&hub, "eui-1", "m1").await, Ok(()));
    {
        let dropped = std::pin::pin!(send(&hub, "eui-2", "m1"));
        assert!(tokio::time::timeout(RTT, dropped).await.is_err(), "its device is being attached");
    }
    assert_eq!(send(&hub, "eui-1", "m2").await, Ok(()));
    assert_eq!(send(&hub, "eui-2", "m2").await, Ok(()));
    assert_eq!(network.accepted("eui-2"), ["m2"]);
    // After it was written: it may arrive, and the next one goes as if nothing were.
    {
        let dropped = std::pin::pin!(send(&hub, "eui-1", "m3"));
        assert!(tokio::time::timeout(RTT / 4, dropped).await.is_err());
    }
    assert_eq!(send(&hub, "eui-1", "m4").await, Ok(()));
    assert_eq!(network.accepted("eui-1"), ["m1", "m2", "m3", "m4"]);
    assert_eq!(hub.standing().unsettled, 0);
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_cannot_be_reached_is_said_so_and_dialled_once_a_second_at_the_most() {
    let network = Network::new(RTT / 2);
    let hub = client(&network, options());
    network.refuse(true);
    let error = hub.send("eui-1", &signer(), &telemetry("m1")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "not delivered (unreachable): cannot reach hub1.azure-devices.net:5671: connection refused"
    );
    assert_eq!(send(&hub, "eui-2", "m1").await, Err(Why::Unreachable));
    assert_eq!(network.dials(), 1);
    network.refuse(false);
    sleep(SECOND).await;
    assert_eq!(send(&hub, "eui-1", "m1").await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn every_wait_ends_within_its_bound() {
    let network = Network::new(RTT / 2);
    let hub = client(&network, options());
    network.swallow(true);
    let began = Instant::now();
    assert_eq!(send(&hub, "eui-1", "m1").await, Err(Why::Unreachable));
    assert_eq!(began.elapsed(), SECOND * 10, "the dial");
    network.swallow(false);
    sleep(SECOND).await;
    for silent in ["token", "attach", "message"] {
        network.script(move |ask| match (silent, ask) {
            ("token", Ask::Token(_)) | ("attach", Ask::Attach(_)) | ("message", Ask::Message(_)) => Say::Nothing,
            _ => Say::Yes,
        });
        let began = Instant::now();
        assert_eq!(send(&hub, silent, "m1").await, Err(Why::TimedOut), "{silent}");
        assert!(began.elapsed() < SECOND * 21, "{silent}: {:?}", began.elapsed());
    }
    network.freeze(true);
    let fresh = client(&network, options());
    let began = Instant::now();
    assert_eq!(send(&fresh, "eui-1", "m1").await, Err(Why::Unreachable));
    assert!(began.elapsed() < SECOND * 21, "the handshake: {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_cut_connection_ends_what_waits_at_once_and_the_next_message_opens_another() {
    let network = Network::new(RTT / 2);
    let hub = client(&network, options());
    assert!(send_all(&hub, names(20), "m1").await.iter().all(Result::is_ok));
    network.script(|ask| if matches!(ask, Ask::Message(_)) { Say::Nothing } else { Say::Yes });
    let waiting = tokio::spawn({
        let hub = hub.clone();
        async move { send_all(&hub, names(20), "m2").await }
    });
    sleep(RTT * 2).await;
    let began = Instant::now();
    network.order(|| Order::Cut);
    assert!(waiting.await.unwrap().iter().all(|outcome| *outcome == Err(Why::Lost)));
    assert!(began.elapsed() <= RTT, "{:?}", began.elapsed());
    network.script(|_| Say::Yes);
    assert!(send_all(&hub, names(20), "m2").await.iter().all(Result::is_ok));
    assert_eq!((hub.standing().attached, network.dials()), (20, 2));
}

#[tokio::test(start_paused = true)]
async fn what_the_hub_says_of_a_device_comes_with_its_time_and_without_the_token() {
    let network = Network::new(RTT / 2);
    network.script(|ask| match ask {
        Ask::Token(_) => Say::Status(
            401,
            r#"{"errorCode":401003,"trackingId":"t1-TimeStamp:01/01/2026 00:10:00","message":"IoTHubUnauthorized"}"#,
        ),
        _ => Say::Yes,
    });
    let hub = client(&network, options());
    let error = hub.send("eui-1", &signer(), &telemetry("m1")).await.unwrap_err();
    assert_eq!((error.why, error.server_time), (Why::Unauthorized, Some(BEGAN + 600)));
    let shown = format!("{error} {error:?} {hub:?}");
    assert!(!shown.contains("sig=") && !shown.contains("SharedAccess"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn a_device_that_is_forgotten_comes_back_with_its_new_key() {
    let network = Network::new(RTT / 2);
    let hub = client(&network, options());
    assert_eq!(send(&hub, "eui-1", "m1").await, Ok(()));
    hub.forget("eui-1");
    hub.forget("nobody");
    sleep(RTT).await;
    assert_eq!(hub.standing().attached, 0);
    assert!(hub.send("eui-1", &Signer::device([2; 32]), &telemetry("m2")).await.is_ok());
    assert_eq!((network.inside().tokens.len(), network.dials()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn message_that_no_hub_takes_is_not_sent() {
    let network = Network::new(RTT / 2);
    let hub = client(&network, options());
    let large = Telemetry { body: vec![0; crate::hub::MESSAGE_BYTES_MAX + 1].into(), ..telemetry("m1") };
    assert_eq!(hub.send("eui-1", &signer(), &large).await.unwrap_err().why, Why::TooLarge);
    assert_eq!(send(&hub, "eui-1", "").await, Err(Why::Rejected));
    assert_eq!(network.dials(), 0);
    let largest = Telemetry { body: vec![0; crate::hub::MESSAGE_BYTES_MAX - 2].into(), ..telemetry("m1") };
    assert!(hub.send("eui-1", &signer(), &largest).await.is_ok(), "in several frames");
}

#[tokio::test(start_paused = true)]
async fn a_close_lets_what_is_under_way_end_and_is_bounded() {
    let network = Network::new(RTT / 2);
    let hub = client(&network, options());
    assert_eq!(send(&hub, "eui-1", "m1").await, Ok(()));
    let waiting = tokio::spawn({
        let hub = hub.clone();
        async move { send(&hub, "eui-1", "m2").await }
    });
    tokio::task::yield_now().await;
    hub.close().await;
    assert_eq!(waiting.await.unwrap(), Ok(()));
    assert_eq!(send(&hub, "eui-1", "m3").await, Err(Why::Closed));
    sleep(RTT).await;
    assert_eq!((network.open(), hub.standing().connections), (0, 0));

    let network = Network::new(RTT / 2);
    let deaf = client(&network, options());
    assert_eq!(send(&deaf, "eui-1", "m1").await, Ok(()));
    network.freeze(true);
    let waiting = tokio::spawn({
        let deaf = deaf.clone();
        async move { send(&deaf, "eui-1", "m2").await }
    });
    tokio::task::yield_now().await;
    let began = Instant::now();
    deaf.close().await;
    assert!(began.elapsed() <= SECOND * 2, "{:?}", began.elapsed());
    assert_eq!(waiting.await.unwrap(), Err(Why::Lost));
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_that_goes_closes_the_connections() {
    let network = Network::new(RTT / 2);
    let hub = client(&network, options());
    assert_eq!(send(&hub, "eui-1", "m1").await, Ok(()));
    drop(hub);
    sleep(SECOND * 3).await;
    assert_eq!(network.open(), 0);
    network.swallow(true);
    let dialling = client(&network, options());
    let send = tokio::spawn({
        let dialling = dialling.clone();
        async move { send(&dialling, "eui-1", "m1").await }
    });
    sleep(SECOND).await;
    dialling.close().await;
    assert_eq!(send.await.unwrap(), Err(Why::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_pipe_that_takes_a_few_bytes_at_a_time_loses_none() {
    let network = Network::of(Duration::from_millis(1), false, 7);
    let hub = client(&network, options());
    assert!(send_all(&hub, names(50), "m1").await.iter().all(Result::is_ok));
    let large = Telemetry { body: vec![7; 50_000].into(), ..telemetry("m2") };
    assert!(hub.send("eui-00000", &signer(), &large).await.is_ok());
    assert_eq!(network.accepted("eui-00000"), ["m1", "m2"]);
}

#[tokio::test(start_paused = true)]
async fn devices_on_a_connection_stay_within_what_the_hub_takes() {
    for (asked, connections) in [(0, 3), (1, 3), (2, 2), (usize::MAX, 1)] {
        let network = Network::new(RTT / 2);
        let hub = client(&network, AmqpOptions { devices_per_connection: asked, ..options() });
        assert!(send_all(&hub, names(3), "m1").await.iter().all(Result::is_ok));
        assert_eq!(hub.standing().connections, connections, "{asked}");
    }
    let network = Network::new(RTT / 2);
    let hub = client(&network, AmqpOptions { devices_per_connection: usize::MAX, ..options() });
    assert!(send_all(&hub, names(996), "m1").await.iter().all(Result::is_ok));
    assert_eq!(hub.standing().connections, 2);
}
