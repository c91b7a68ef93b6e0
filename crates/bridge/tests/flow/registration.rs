//! DPS is asked once for a device, at its pace, and not again before it makes sense.

use std::time::Duration;

use crate::cloud::DPS;
use crate::dps::Verdict;
use crate::site::{MINUTE, SECOND, Site, configuration};

#[test]
fn a_thousand_new_devices_make_a_thousand_registrations() {
    let mut site = Site::new(1);
    site.config = configuration("registrations_per_minute = 0");
    site.live(async |life| {
        for i in 0..1000 {
            life.uplinks("app", &format!("dev-{i}"), 1..=2).await;
        }
        life.until_empty(MINUTE).await;
    });
    let state = site.cloud.state();
    assert_eq!(state.hub.check_order(), (2000, 0));
    assert_eq!((state.dps.registrations.len(), state.dps.overlapping), (1000, 0));
}

#[test]
fn a_slow_registration_is_asked_for_once() {
    let mut site = Site::new(1);
    site.live(async |life| {
        life.cloud.state().dps.takes = 50;
        for counter in 1..=40 {
            life.uplinks("app", "dev", counter..=counter).await;
            life.rest(1).await;
        }
        life.until_empty(MINUTE).await;
    });
    let state = site.cloud.state();
    assert_eq!((state.dps.registrations.len(), state.dps.overlapping), (1, 0));
    assert_eq!(state.hub.check_order(), (40, 0));
}

#[test]
fn the_pace_holds_in_every_minute_and_the_last_device_is_not_forgotten() {
    let mut site = Site::new(1);
    site.config = configuration("registrations_per_minute = 100");
    site.live(async |life| {
        for i in 0..550 {
            life.uplinks("app", &format!("dev-{i}"), 1..=1).await;
        }
        let took = life.until_empty(10 * MINUTE).await;
        assert!(took < 6 * MINUTE, "{took:?} for 550 at 100 a minute");
    });
    let state = site.cloud.state();
    assert_eq!((state.dps.registrations.len(), state.dps.overlapping), (550, 0));
    assert!(state.dps.most_in_a_minute() <= 100, "{}", state.dps.most_in_a_minute());
}

#[test]
fn nobody_is_registered_again_after_a_restart() {
    let mut site = Site::new(1);
    for counter in 1..=3 {
        site.live(async |life| {
            for i in 0..50 {
                life.uplinks("app", &format!("dev-{i}"), counter..=counter).await;
            }
            life.until_empty(MINUTE).await;
        });
    }
    let state = site.cloud.state();
    assert_eq!((state.dps.registrations.len(), state.hub.check_order()), (50, (150, 0)));
}

#[test]
fn a_throttling_dps_is_left_alone_for_as_long_as_it_says() {
    let mut site = Site::new(1);
    site.live(async |life| {
        life.cloud.state().dps.all = Verdict::StatusAfter(429, 45);
        life.uplinks("app", "first", 1..=1).await;
        life.rest(1).await;
        for i in 0..20 {
            life.uplinks("app", &format!("dev-{i}"), 1..=1).await;
        }
        life.rest(40).await;
        assert_eq!(life.cloud.state().dps.registrations.len(), 1, "it said 45 s to all");
        life.cloud.state().dps.all = Verdict::Assign;
        let took = life.until_empty(MINUTE).await;
        assert!(took < 20 * SECOND, "{took:?}");
    });
}

#[test]
fn a_denied_device_is_asked_again_at_its_times_and_recovers() {
    let mut site = Site::new(1);
    site.live(async |life| {
        life.cloud.state().dps.devices.insert("dev".into(), Verdict::Status(401));
        life.uplinks("app", "dev", 1..=3).await;
        life.uplinks("app", "other", 1..=3).await;
        life.rest(3 * 3600).await;
        let asked = life.cloud.state().dps.registrations_of("dev");
        let waits: Vec<_> = asked.windows(2).map(|pair| (pair[1] - pair[0]) / 1000).collect();
        assert_eq!(waits, [300, 600, 1200, 2400, 3600], "seconds between two");
        assert_eq!(life.cloud.state().hub.taken_of("other"), 3);
        life.cloud.state().dps.devices.clear();
        life.until_empty(Duration::from_secs(3700)).await;
        assert_eq!(life.cloud.state().hub.taken_of("dev"), 3);
    });
    assert_eq!(site.cloud.state().hub.check_order(), (6, 0));
}

#[test]
fn what_dps_never_takes_is_buried_with_the_reason_and_asked_once() {
    let mut site = Site::new(1);
    site.live(async |life| {
        life.cloud.state().dps.devices.insert("dev".into(), Verdict::Status(400));
        life.uplinks("app", "dev", 1..=3).await;
        life.until_empty(MINUTE).await;
        let reasons: Vec<_> = life.dead_letters().await.into_iter().map(|letter| letter.reason.code).collect();
        assert_eq!(reasons, ["registration_refused"; 3]);
    });
    assert_eq!(site.cloud.state().dps.registrations.len(), 1);
}

#[test]
fn a_server_clock_two_hours_ahead_costs_no_wait() {
    let mut site = Site::new(1);
    site.cloud.set_clock_ahead(DPS, 7200);
    site.cloud.set_clock_ahead(crate::cloud::HUB, 7200);
    site.live(async |life| {
        for i in 0..50 {
            life.uplinks("app", &format!("dev-{i}"), 1..=2).await;
        }
        let took = life.until_empty(10 * MINUTE).await;
        assert!(took < 20 * SECOND, "{took:?}");
    });
    assert_eq!(site.cloud.state().hub.check_order(), (100, 0));
}

#[test]
fn an_hour_without_dps_costs_few_registrations_and_nothing_else() {
    for verdict in [Verdict::Status(503), Verdict::StatusAfter(503, 20), Verdict::Silent] {
        let mut site = Site::new(1);
        site.live(async |life| {
            life.cloud.state().dps.all = verdict;
            for i in 0..100 {
                life.uplinks("app", &format!("dev-{i}"), 1..=2).await;
            }
            life.rest(3600).await;
            let tries = life.cloud.state().dps.registrations.len();
            assert!(tries <= 1000, "{tries} registrations of 100 devices while {verdict:?}");
            life.cloud.state().dps.all = Verdict::Assign;
            let took = life.until_empty(5 * MINUTE).await;
            assert!(took <= 2 * MINUTE, "{took:?} after {verdict:?}");
        });
        assert_eq!(site.cloud.state().hub.check_order(), (200, 0));
    }
}
