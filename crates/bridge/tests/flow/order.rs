//! One device's messages arrive in the order in which they were committed, whatever comes between.

use std::time::Duration;

use crate::hub::Say;
use crate::site::{MINUTE, SECOND, Site, ack, uplink};

#[test]
fn order_holds_through_lost_answers_refusals_and_kills() {
    for seed in 1..=10 {
        let mut site = Site::new(seed);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut counter = 0;
        for _life in 0..4 {
            let from = counter + 1;
            counter += 10;
            let sleep = random.u64(0..8000);
            let troubles: Vec<_> = (0..12).map(|_| trouble(&mut random)).collect();
            site.live(async |life| {
                for (i, say) in troubles.into_iter().enumerate() {
                    life.cloud.state().hub.next.entry(device(i % 5)).or_default().push_back(say);
                }
                for i in 0..5 {
                    life.uplinks("app", &device(i), from..=counter).await;
                }
                tokio::time::sleep(Duration::from_millis(sleep)).await;
            });
        }
        site.live(async |life| {
            life.until_empty(10 * MINUTE).await;
        });
        let (messages, repeats) = site.cloud.state().hub.check_order();
        assert_eq!(messages, 5 * 40, "seed {seed}");
        eprintln!("seed {seed}: {repeats} repeated");
    }
}

fn device(i: usize) -> String {
    format!("dev-{i}")
}

fn trouble(random: &mut fastrand::Rng) -> Say {
    let all = [Say::Yes, Say::YesUnheard, Say::YesSilent, Say::Cut, Say::Status(500), Say::Status(503)];
    all[random.usize(0..all.len())]
}

#[test]
fn a_lost_answer_costs_one_repeat_under_the_same_name() {
    let mut site = Site::new(1);
    site.live(async |life| {
        life.cloud.state().hub.next.entry("dev".into()).or_default().push_back(Say::YesUnheard);
        life.uplinks("app", "dev", 1..=3).await;
        life.until_empty(MINUTE).await;
    });
    assert_eq!(site.cloud.state().hub.check_order(), (3, 1));
}

#[test]
fn a_kill_between_the_answer_and_the_settling_costs_one_repeat() {
    let mut site = Site::new(1);
    site.live(async |life| {
        life.cloud.state().hub.next.insert("dev".into(), [Say::Yes, Say::YesSilent].into());
        life.uplinks("app", "dev", 1..=3).await;
        // The hub has the second one, and nobody is there any more when its answer would come.
        life.until_taken(2, MINUTE).await;
    });
    assert_eq!(site.cloud.state().hub.taken(), 2);
    site.live(async |life| {
        life.until_empty(MINUTE).await;
    });
    assert_eq!(site.cloud.state().hub.check_order(), (3, 1));
}

#[test]
fn one_stuck_device_holds_up_nobody() {
    let stuck = [Say::Status(404), Say::Status(500), Say::StatusAfter(503, 1), Say::YesSilent, Say::Cut, Say::Disabled];
    for say in stuck {
        let mut site = Site::new(1);
        site.live(async |life| {
            life.cloud.state().hub.devices.insert("dev-00".into(), say);
            life.uplinks("app", "dev-00", 1..=5).await;
            for round in 1..=20 {
                for i in 1..30 {
                    life.uplinks("app", &format!("dev-{i:02}"), round..=round).await;
                }
                life.rest(10).await;
                let late = (1..30).filter(|i| life.cloud.state().hub.taken_of(&format!("dev-{i:02}")) < round as usize);
                assert_eq!(late.count(), 0, "round {round} beside {say:?}");
            }
            let attempts = life.cloud.state().hub.of("dev-00").count();
            assert!(attempts <= 30, "{attempts} attempts in 200 s for {say:?}");
        });
    }
}

#[test]
fn network_events_are_kept_while_telemetry_is_stuck() {
    let mut site = Site::new(1);
    site.live(async |life| {
        life.cloud.state().hub.devices.insert("dev".into(), Say::YesSilent);
        life.uplinks("app", "dev", 1..=2).await;
        life.until_taken(1, MINUTE).await;
        life.put(ack("app", "dev"), life.now()).await;
        life.until("the acknowledgement is kept", SECOND, || life.queue.stats().kept == 1).await;
        assert_eq!(life.queue.stats().waiting, 2, "and the uplinks still wait");
    });
}

#[test]
fn the_way_is_frozen_by_the_first_counted_attempt() {
    let mut site = Site::new(1);
    let before = site.config.clone();
    site.live(async |life| {
        life.cloud.state().hub.devices.insert("dev".into(), Say::Cut);
        life.uplinks("app", "dev", 1..=2).await;
        life.until("an attempt", MINUTE, || life.cloud.state().hub.of("dev").count() == 1).await;
        life.rest(1).await;
    });
    // A template under which the device is called otherwise.
    site.config = before.replace("kind = \"dps\"", "kind = \"dps\"\ndevice_id = \"{application_id}--{device_id}\"");
    assert_ne!(site.config, before);
    site.cloud.state().hub.devices.clear();
    site.live(async |life| {
        life.put(uplink("app", "dev", 3, "AQAI"), life.now()).await;
        life.until_empty(5 * MINUTE).await;
    });
    let state = site.cloud.state();
    let names: Vec<_> = state.hub.attempts.iter().filter(|a| a.taken).map(|a| (a.counter, a.device.as_str())).collect();
    assert_eq!(names, [(1, "dev"), (2, "app--dev"), (3, "app--dev")]);
}
