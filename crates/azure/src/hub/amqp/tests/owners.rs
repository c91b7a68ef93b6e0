//! Two clients, one device.

use super::*;

async fn keep_sending(hub: AmqpHub, device: &'static str, until: Instant) -> Vec<(Instant, Result<(), Why>)> {
    let mut outcomes = Vec::new();
    while Instant::now() < until {
        let outcome = send(&hub, device, "m").await;
        let wait = match outcome {
            Err(Why::Stolen { retry_after: Some(wait) }) => wait,
            _ => SECOND / 4,
        };
        outcomes.push((Instant::now(), outcome));
        sleep(wait).await;
    }
    outcomes
}

#[tokio::test(start_paused = true)]
async fn two_bridges_on_one_device_settle_on_one_owner_within_a_minute() {
    for seed in 0..10 {
        let network = Network::new(Duration::from_millis(25));
        let first = client(&network, AmqpOptions { seed, ..options() });
        let second = client(&network, AmqpOptions { seed: seed + 100, ..options() });
        let began = Instant::now();
        let until = began + SECOND * 280;
        let (first, second) = tokio::join!(keep_sending(first, "eui-1", until), keep_sending(second, "eui-1", until));
        let last = network.inside().attaches.last().unwrap().0;
        assert!(last < began + SECOND * 60, "the last one attached after {:?}", last - began);
        let delivers = |outcomes: &[(Instant, Result<(), Why>)]| outcomes.last().unwrap().1.is_ok();
        assert!(delivers(&first) != delivers(&second), "one of them has it");
        let loser = if delivers(&first) { second } else { first };
        let Err(Why::Stolen { retry_after: Some(rest) }) = loser.last().unwrap().1 else { panic!("{loser:?}") };
        assert!(rest > SECOND * 200, "and the other one is told for how long it keeps still: {rest:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_that_keeps_still_is_told_so_at_once_until_it_is_forgotten() {
    let network = Network::new(Duration::from_millis(25));
    let (ours, theirs) = (client(&network, options()), client(&network, AmqpOptions { seed: 9, ..options() }));
    assert_eq!(send(&ours, "eui-1", "m1").await, Ok(()));
    assert_eq!(send(&theirs, "eui-1", "m1").await, Ok(()));
    sleep(SECOND / 10).await;
    assert_eq!(ours.standing().stolen, 1);
    assert_eq!(ours.admit("eui-1"), Admit::Go, "the send says why");
    let Err(Why::Stolen { retry_after: Some(rest) }) = send(&ours, "eui-1", "m2").await else { panic!("it is told") };
    assert!(rest <= SECOND * 3);
    assert_eq!(send(&ours, "eui-2", "m1").await, Ok(()), "others go on");
    ours.forget("eui-1");
    assert_eq!(send(&ours, "eui-1", "m2").await, Ok(()));
}
