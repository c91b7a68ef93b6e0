//! DPS is asked once for a device, at its pace, and not again before it makes sense.

use std::time::Duration;

use bridge::ahead::{Standing, Wanted};
use bridge::provision::line::Joined;

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
fn a_dps_that_throttles_polls_sees_no_registration_twice_and_no_fewer_of_others() {
    let mut site = Site::new(1);
    site.live(async |life| {
        life.cloud.state().dps.polls_throttled = 700;
        for i in 0..100 {
            life.uplinks("app", &format!("dev-{i}"), 1..=1).await;
        }
        life.rest(1).await;
        assert_eq!(life.cloud.state().dps.registrations.len(), 100, "all have registered");
        life.rest(20).await;
        life.uplinks("app", "late", 1..=1).await;
        life.rest(1).await;
        assert_eq!(life.cloud.state().dps.registrations_of("late").len(), 1, "registering is not throttled");
        life.until_empty(MINUTE).await;
    });
    let state = site.cloud.state();
    assert_eq!((state.dps.registrations.len(), state.hub.check_order()), (101, (101, 0)));
}

#[test]
fn devices_with_messages_register_before_those_that_nobody_waits_for() {
    let mut site = Site::new(1);
    site.config = configuration("registrations_per_minute = 100");
    site.live(async |life| {
        let provision = &life.shared.provision;
        for i in 0..1000 {
            assert_eq!(provision.ahead(life.applicant("app", &format!("new-{i}"))), Joined::InLine);
        }
        life.rest(1).await;
        let [progress] = &provision.progress()[..] else { panic!("one scope") };
        assert_eq!((progress.waiting_ahead, progress.under_way, progress.per_minute), (900, 100, 100));
        assert_eq!(progress.seconds_left, Some(9 * 60 - 1), "the last has its turn in the ninth minute");
        for i in 0..50 {
            life.uplinks("app", &format!("sends-{i}"), 1..=1).await;
        }
        life.uplinks("app", "new-999", 1..=1).await;
        let took = life.until_taken(51, 2 * MINUTE).await;
        assert!(took < MINUTE + 5 * SECOND, "{took:?}: they wait for the pace, not for those before them");
        let done = || life.shared.provision.assigned() == 1050;
        life.until("all are there", 12 * MINUTE, done).await;
        // The next message of one that is there asks nobody.
        life.uplinks("app", "new-1", 1..=1).await;
        assert!(life.until_taken(52, MINUTE).await < SECOND);
    });
    let state = site.cloud.state();
    assert_eq!((state.dps.registrations.len(), state.dps.overlapping), (1050, 0));
    assert!(state.dps.most_in_a_minute() <= 100, "{}", state.dps.most_in_a_minute());
}

#[test]
fn known_devices_are_not_kept_waiting_by_a_thousand_new_ones() {
    let mut site = Site::new(1);
    site.config = configuration("registrations_per_minute = 100");
    site.live(async |life| {
        life.uplinks("app", "known", 1..=1).await;
        life.until_empty(MINUTE).await;
        for i in 0..1000 {
            life.uplinks("app", &format!("new-{i}"), 1..=1).await;
        }
        for counter in 2..=20 {
            life.uplinks("app", "known", counter..=counter).await;
            let taken = || life.cloud.state().hub.taken_of("known") == usize::try_from(counter).unwrap();
            let took = life.until("the known device's message", MINUTE, taken).await;
            assert!(took < SECOND, "{took:?}");
            life.rest(10).await;
        }
        life.until_empty(10 * MINUTE).await;
    });
    let state = site.cloud.state();
    assert_eq!((state.dps.registrations.len(), state.hub.check_order()), (1001, (1020, 0)));
}

#[test]
fn kills_in_the_middle_of_a_thousand_registrations_cost_none_and_keep_the_pace() {
    let mut site = Site::new(1);
    site.config = configuration("registrations_per_minute = 100");
    site.live(async |life| {
        for i in 0..1000 {
            life.uplinks("app", &format!("new-{i}"), 1..=1).await;
        }
        // Each has registered and none is assigned yet.
        life.until("a minute's pace", MINUTE, || life.cloud.state().dps.registrations.len() == 100).await;
    });
    for seconds in [1, 30, 200] {
        site.live(async |life| life.rest(seconds).await);
    }
    site.live(async |life| {
        life.until_empty(15 * MINUTE).await;
    });
    let state = site.cloud.state();
    let (registrations, look_ups) = (state.dps.registrations.len(), state.dps.look_ups);
    println!("{registrations} registrations, {look_ups} looked up");
    assert_eq!(registrations, 1000, "those that had begun are looked up");
    assert!(state.dps.most_in_a_minute() <= 100, "{}", state.dps.most_in_a_minute());
    assert_eq!(state.hub.check_order(), (1000, 0));
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
fn a_denial_after_a_service_that_was_down_is_the_first_of_its_kind() {
    let mut site = Site::new(1);
    site.live(async |life| {
        life.cloud.state().dps.all = Verdict::Status(503);
        life.uplinks("app", "dev", 1..=1).await;
        life.rest(600).await;
        let before = life.cloud.state().dps.registrations_of("dev").len();
        assert!(before > 5, "{before} tries");
        life.cloud.state().dps.all = Verdict::Status(401);
        life.rest(90).await;
        life.cloud.state().dps.all = Verdict::Assign;
        let took = life.until_empty(3600 * SECOND).await;
        assert!(took <= 300 * SECOND, "{took:?}: five minutes after the denial, not an hour");
    });
    assert_eq!(site.cloud.state().hub.check_order(), (1, 0));
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

#[test]
fn a_device_that_was_asked_for_is_there_before_its_first_message_and_owns_its_name() {
    let mut site = Site::new(1);
    site.live(async |life| {
        let wanted = |application: &str| Wanted {
            network: None,
            application: application.into(),
            device_id: "dev".into(),
            dev_eui: None,
            port: None,
        };
        assert_eq!(life.shared.provision_ahead(&wanted("app")).await, Standing::InLine);
        assert_eq!(life.shared.provision_ahead(&wanted("app")).await, Standing::InLine, "twice does no harm");
        life.rest(5).await;
        let there = life.shared.provision_ahead(&wanted("app")).await;
        assert!(matches!(there, Standing::Assigned { .. }), "{there:?}");
        let other = life.shared.provision_ahead(&wanted("other")).await;
        assert!(matches!(&other, Standing::Refused { reason, .. } if reason == "identity_conflict"), "{other:?}");
        life.uplinks("app", "dev", 1..=1).await;
        assert!(life.until_taken(1, MINUTE).await < SECOND, "its first message waits for nobody");
    });
    assert_eq!(site.cloud.state().dps.registrations.len(), 1);
}

#[test]
fn those_that_wait_for_a_registration_do_not_fail_with_it() {
    let mut site = Site::new(1);
    site.live(async |life| {
        life.cloud.state().dps.all = Verdict::Status(500);
        life.uplinks("app", "dev", 1..=20).await;
        life.rest(600).await;
        assert!(life.cloud.state().dps.registrations.len() > 3, "it was tried and failed");
        assert_eq!((life.queue.stats().waiting, life.dead_letters().await.len()), (20, 0));
        life.cloud.state().dps.all = Verdict::Assign;
        life.until_empty(10 * MINUTE).await;
    });
    let state = site.cloud.state();
    assert_eq!((state.hub.check_order(), state.dps.overlapping), ((20, 0), 0));
}

#[test]
fn a_dps_that_denies_everybody_is_asked_little_and_all_go_on_by_themselves() {
    let mut site = Site::new(1);
    site.config = configuration("registrations_per_minute = 0");
    site.live(async |life| {
        life.cloud.state().dps.all = Verdict::Status(401);
        for i in 0..1000 {
            life.uplinks("app", &format!("dev-{i}"), 1..=1).await;
        }
        life.rest(3600).await;
        let asked = life.cloud.state().dps.registrations.len();
        println!("{asked} registrations of 1000 devices in an hour");
        assert!(asked <= 4_000, "{asked}: at once, after 5, 15 and 35 minutes, for some may only wait for approval");
        let denies_many = || life.shared.provision.progress().iter().any(|scope| scope.denies_many);
        assert!(denies_many(), "an alarm says so");
        life.cloud.state().dps.all = Verdict::Assign;
        life.until_empty(61 * MINUTE).await;
        assert!(!denies_many());
    });
    assert_eq!(site.cloud.state().hub.check_order(), (1000, 0));
}

#[test]
fn a_device_whose_enrolment_is_disabled_recovers_by_itself_within_five_minutes() {
    let mut site = Site::new(1);
    site.live(async |life| {
        life.cloud.state().dps.devices.insert("dev".into(), Verdict::Disabled);
        life.uplinks("app", "dev", 1..=3).await;
        life.uplinks("app", "other", 1..=3).await;
        life.rest(1800).await;
        assert_eq!(life.cloud.state().hub.taken_of("other"), 3);
        life.cloud.state().dps.devices.clear();
        let took = life.until_empty(10 * MINUTE).await;
        println!("{took:?} after it was enabled");
        assert!(took <= 5 * MINUTE, "{took:?}");
    });
    assert_eq!(site.cloud.state().hub.check_order(), (6, 0));
}
