//! A hub that is gone for an hour costs a few attempts and nobody a message.

use std::time::Duration;

use crate::cloud::{HUB, Line, OTHER_HUB};
use crate::hub::Say;
use crate::site::{Life, MINUTE, SECOND, Site, configuration};

const DEVICES: usize = 60;

/// Everybody has sent once; then the hub is gone for an hour, while two more messages of each come in.
async fn an_hour(life: &Life, goes: impl FnOnce(&Life), comes_back: impl FnOnce(&Life)) -> (usize, Duration) {
    let all = |counters: std::ops::RangeInclusive<u64>| async move {
        for i in 0..DEVICES {
            life.uplinks("app", &format!("dev-{i:03}"), counters.clone()).await;
        }
    };
    all(1..=1).await;
    life.until_empty(MINUTE).await;
    let before = tries(life);
    goes(life);
    all(2..=2).await;
    life.rest(1800).await;
    all(3..=3).await;
    life.rest(1800).await;
    let tries = tries(life) - before;
    comes_back(life);
    (tries, life.until_empty(10 * MINUTE).await)
}

/// Requests that the hub saw, and connections that were tried.
fn tries(life: &Life) -> usize {
    let mut state = life.cloud.state();
    state.hub.attempts.len() + state.hosts.entry(HUB.to_owned()).or_default().dialled
}

#[test]
fn an_hour_without_a_listener_counts_nothing_against_the_messages() {
    let mut site = Site::new(1);
    site.live(async |life| {
        let (tries, took) =
            an_hour(life, |life| life.cloud.set_line(HUB, Line::Refused), |life| life.cloud.set_line(HUB, Line::Up))
                .await;
        // One probe in 30 s, and those that were under way when it began.
        assert!(tries <= 120 + 2 * DEVICES, "{tries} tries");
        assert!(took <= 45 * SECOND, "{took:?} to drain");
        let asked = life.cloud.state().dps.registrations.len() - DEVICES;
        assert!(asked <= 4, "{asked} asked where they live: one in a quarter of an hour");
    });
    assert_eq!(site.cloud.state().hub.check_order(), (3 * DEVICES, 0));
}

#[test]
fn messages_that_were_never_sent_have_no_attempts() {
    let mut site = Site::new(1);
    site.live(async |life| {
        life.cloud.set_line(HUB, Line::Refused);
        for i in 0..20 {
            life.uplinks("app", &format!("dev-{i}"), 1..=1).await;
        }
        life.rest(600).await;
        life.drain().await;
        let mut leases = life.queue.leases(100);
        for _ in 0..20 {
            let lease = leases.next().await.expect("all are there");
            let message = lease.message();
            assert_eq!((message.attempts, &message.frozen), (0, &None), "{}", message.lane);
            lease.release_for(Duration::MAX);
        }
    });
}

#[test]
fn an_hour_of_silence_costs_few_attempts() {
    let mut site = Site::new(1);
    site.live(async |life| {
        let (tries, took) =
            an_hour(life, |life| life.cloud.set_line(HUB, Line::Silent), |life| life.cloud.set_line(HUB, Line::Up))
                .await;
        assert!(tries <= 120 + 2 * DEVICES, "{tries} tries");
        // A probe that is being swallowed takes 20 s to fail, and the longest back-off is 38 s.
        assert!(took <= 65 * SECOND, "{took:?} to drain");
    });
    let (messages, repeats) = site.cloud.state().hub.check_order();
    assert_eq!((messages, repeats), (3 * DEVICES, 0), "a silent host has taken nothing");
}

#[test]
fn an_hour_of_errors_costs_few_attempts() {
    for say in [Say::Status(503), Say::Status(500), Say::StatusAfter(503, 20), Say::StatusAfter(429, 20)] {
        let mut site = Site::new(1);
        site.live(async |life| {
            let (tries, took) =
                an_hour(life, |life| life.cloud.state().hub.all = say, |life| life.cloud.state().hub.all = Say::Yes)
                    .await;
            assert!(tries <= 200 + 4 * DEVICES, "{tries} tries during {say:?}");
            assert!(took <= 65 * SECOND, "{took:?} to drain after {say:?}");
        });
        assert_eq!(site.cloud.state().hub.check_order(), (3 * DEVICES, 0));
    }
}

#[test]
fn a_throttling_hub_is_left_alone_for_as_long_as_it_says() {
    let mut site = Site::new(1);
    site.live(async |life| {
        for i in 0..30 {
            life.uplinks("app", &format!("dev-{i}"), 1..=1).await;
        }
        life.until_empty(MINUTE).await;
        life.cloud.state().hub.all = Say::StatusAfter(429, 90);
        life.uplinks("app", "dev-0", 2..=2).await;
        life.rest(1).await;
        for i in 0..30 {
            life.uplinks("app", &format!("dev-{i}"), 3..=3).await;
        }
        life.rest(88).await;
        assert_eq!(life.cloud.state().hub.attempts.len(), 31, "it said 90 s to all");
        life.cloud.state().hub.all = Say::Yes;
        life.rest(35).await;
        assert_eq!(life.queue.stats().waiting, 0);
    });
}

#[test]
fn a_used_up_quota_is_asked_for_hourly_and_no_more() {
    let mut site = Site::new(1);
    site.live(async |life| {
        life.cloud.state().hub.all = Say::Quota;
        for hour in 1..=10 {
            for i in 0..20 {
                life.uplinks("app", &format!("dev-{i}"), hour..=hour).await;
            }
            life.rest(3600).await;
        }
        let tries = life.cloud.state().hub.attempts.len();
        assert!((10..=20 + 11).contains(&tries), "{tries} tries in ten hours");
        life.cloud.state().hub.all = Say::Yes;
        life.until_empty(61 * MINUTE).await;
    });
    assert_eq!(site.cloud.state().hub.check_order(), (200, 0));
}

#[test]
fn a_hub_that_is_gone_for_good_is_left_by_all_after_a_quarter_of_an_hour() {
    const MANY: usize = 300;
    let mut site = Site::new(1);
    site.config = configuration("registrations_per_minute = 1000");
    let all = async |life: &Life, counter: u64| {
        for i in 0..MANY {
            life.uplinks("app", &format!("dev-{i:03}"), counter..=counter).await;
        }
    };
    site.live(async |life| {
        all(life, 1).await;
        life.until_empty(MINUTE).await;
        life.cloud.set_line(HUB, Line::Refused);
        life.cloud.state().dps.hub = OTHER_HUB;
        all(life, 2).await;
        life.rest(14 * 60).await;
        assert_eq!(life.cloud.state().dps.registrations.len(), MANY, "it may come back");
        let took = life.until_empty(10 * MINUTE).await;
        println!("{took:?} after the fourteenth minute all {MANY} are at the new one");
        assert!(took <= 5 * MINUTE, "{took:?}");
        all(life, 3).await;
        life.until_empty(MINUTE).await;
    });
    let state = site.cloud.state();
    assert_eq!((state.dps.registrations.len(), state.hub.check_order()), (2 * MANY, (3 * MANY, 0)), "one more each");
    let elsewhere = state.hub.attempts.iter().filter(|attempt| attempt.taken && attempt.hub == OTHER_HUB).count();
    assert_eq!(elsewhere, 2 * MANY);
}

#[test]
fn devices_that_a_kill_left_behind_leave_a_hub_that_is_gone_all_the_same() {
    let mut site = Site::new(1);
    site.live(async |life| {
        for i in 0..50 {
            life.uplinks("app", &format!("dev-{i:03}"), 1..=1).await;
        }
        life.until_empty(MINUTE).await;
        life.cloud.set_line(HUB, Line::Refused);
        life.cloud.state().dps.hub = OTHER_HUB;
        for i in 0..50 {
            life.uplinks("app", &format!("dev-{i:03}"), 2..=2).await;
        }
        life.rest(17 * 60).await;
    });
    site.live(async |life| {
        for i in 0..50 {
            life.uplinks("app", &format!("dev-{i:03}"), 3..=3).await;
        }
        life.until_empty(25 * MINUTE).await;
    });
    let state = site.cloud.state();
    assert_eq!((state.dps.registrations.len(), state.hub.check_order()), (100, (150, 0)));
}
