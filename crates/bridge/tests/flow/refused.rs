//! A device that its hub refuses: the clock first, then one registration, then patience; and never all at once.

use crate::cloud::{HUB, OTHER_HUB};
use crate::hub::Say;
use crate::site::{Life, MINUTE, SECOND, Site};

async fn everybody(life: &Life, devices: usize, counter: u64) {
    for i in 0..devices {
        life.uplinks("app", &format!("dev-{i}"), counter..=counter).await;
    }
}

#[test]
fn a_refused_device_is_sent_again_registered_once_and_then_held() {
    for say in [Say::Status(401), Say::Status(404)] {
        let mut site = Site::new(1);
        site.live(async |life| {
            everybody(life, 100, 1).await;
            life.until_empty(MINUTE).await;
            life.cloud.state().hub.devices.insert("dev-0".into(), say);
            life.uplinks("app", "dev-0", 2..=3).await;
            life.rest(170).await;
            assert_eq!(life.cloud.state().dps.registrations_of("dev-0").len(), 2, "once new, once refused");
            assert_eq!(life.cloud.state().hub.of("dev-0").count(), 1 + 3, "fresh token, new registration, held");
            life.cloud.state().hub.devices.clear();
            let took = life.until_empty(5 * MINUTE).await;
            assert!(took <= 130 * SECOND, "{took:?}");
        });
        assert_eq!(site.cloud.state().hub.check_order(), (102, 0));
    }
}

#[test]
fn a_clock_that_goes_wrong_costs_no_registration() {
    let mut site = Site::new(1);
    site.live(async |life| {
        everybody(life, 30, 1).await;
        life.until_empty(MINUTE).await;
        life.cloud.set_clock_ahead(HUB, 7200);
        everybody(life, 30, 2).await;
        let took = life.until_empty(MINUTE).await;
        assert!(took <= 2 * SECOND, "{took:?}");
    });
    let state = site.cloud.state();
    assert_eq!((state.dps.registrations.len(), state.hub.check_order()), (30, (60, 0)));
}

#[test]
fn when_a_hub_refuses_many_nobody_is_registered_again_and_assignments_stay() {
    let mut site = Site::new(1);
    site.live(async |life| {
        everybody(life, 300, 1).await;
        life.until_empty(5 * MINUTE).await;
        life.cloud.state().hub.all = Say::Status(401);
        everybody(life, 300, 2).await;
        life.rest(1800).await;
        let again = life.cloud.state().dps.registrations.len() - 300;
        assert!(again < 20, "{again} registered again before the breaker opened");
        assert!(life.shared.provision.devices_of(HUB) >= 300 - 19, "assignments stay");
        let refuses_many = || life.shared.pool.standing().iter().any(|hub| hub.refuses_many);
        assert!(refuses_many(), "whoever looks sees it");
        life.cloud.state().hub.all = Say::Yes;
        let took = life.until_empty(5 * MINUTE).await;
        println!("{again} registered again, and {took:?} from the end of it to an empty queue");
        assert!(!refuses_many(), "and that it is over");
    });
    assert_eq!(site.cloud.state().hub.check_order(), (600, 0));
}

#[test]
fn a_moved_device_goes_on_at_its_new_hub_also_after_a_restart() {
    let mut site = Site::new(1);
    site.live(async |life| {
        everybody(life, 50, 1).await;
        life.until_empty(MINUTE).await;
        let gone = ((HUB.to_owned(), "dev-0".to_owned()), Say::Status(404));
        life.cloud.state().hub.at.extend([gone]);
        life.cloud.state().dps.hub = OTHER_HUB;
        life.uplinks("app", "dev-0", 2..=3).await;
        life.until_empty(MINUTE).await;
    });
    site.live(async |life| {
        life.uplinks("app", "dev-0", 4..=4).await;
        life.until_empty(MINUTE).await;
    });
    let state = site.cloud.state();
    let hubs: Vec<_> = state.hub.of("dev-0").filter(|a| a.taken).map(|a| a.hub.as_str()).collect();
    assert_eq!(hubs, [HUB, OTHER_HUB, OTHER_HUB, OTHER_HUB]);
    assert_eq!(state.dps.registrations_of("dev-0").len(), 2);
}

#[test]
fn many_devices_that_moved_together_all_go_on() {
    let mut site = Site::new(1);
    site.live(async |life| {
        everybody(life, 100, 1).await;
        life.until_empty(MINUTE).await;
        for i in 0..100 {
            life.cloud.state().hub.at.insert((HUB.to_owned(), format!("dev-{i}")), Say::Disabled);
        }
        life.cloud.state().dps.hub = OTHER_HUB;
        everybody(life, 100, 2).await;
        let took = life.until_empty(5 * MINUTE).await;
        assert!(took <= 20 * SECOND, "{took:?}");
    });
    let state = site.cloud.state();
    assert_eq!((state.dps.registrations.len(), state.hub.check_order()), (200, (200, 0)));
}

#[test]
fn a_device_that_is_disabled_holds_up_nobody_and_recovers_by_itself_within_five_minutes() {
    let mut site = Site::new(1);
    site.live(async |life| {
        everybody(life, 30, 1).await;
        life.until_empty(MINUTE).await;
        life.cloud.state().hub.devices.insert("dev-0".into(), Say::Disabled);
        for minute in 0..20 {
            everybody(life, 30, 2 + minute).await;
            life.rest(60).await;
        }
        assert_eq!(life.cloud.state().hub.taken(), 30 + 29 * 20, "the others do not notice");
        life.cloud.state().hub.devices.clear();
        let took = life.until_empty(10 * MINUTE).await;
        println!("{took:?} after it was enabled");
        assert!(took <= 5 * MINUTE, "{took:?}");
    });
    assert_eq!(site.cloud.state().hub.check_order(), (30 * 21, 0));
}

#[test]
fn a_device_that_was_deleted_goes_on_as_a_new_one_within_seconds() {
    let mut site = Site::new(1);
    site.live(async |life| {
        everybody(life, 30, 1).await;
        life.until_empty(MINUTE).await;
        // Registering makes it again: the double takes it at its other hub only.
        life.cloud.state().hub.at.insert((HUB.to_owned(), "dev-0".to_owned()), Say::Status(404));
        life.cloud.state().dps.hub = OTHER_HUB;
        everybody(life, 30, 2).await;
        let took = life.until_empty(MINUTE).await;
        println!("{took:?}");
        assert!(took <= 30 * SECOND, "{took:?}");
    });
    let state = site.cloud.state();
    assert_eq!((state.dps.registrations.len(), state.hub.check_order()), (31, (60, 0)));
}

#[test]
fn devices_that_move_one_after_another_are_no_alarm() {
    let mut site = Site::new(1);
    site.live(async |life| {
        everybody(life, 60, 1).await;
        life.until_empty(MINUTE).await;
        life.cloud.state().dps.hub = OTHER_HUB;
        for i in 0..40 {
            let device = format!("dev-{i}");
            life.cloud.state().hub.at.insert((HUB.to_owned(), device.clone()), Say::Status(404));
            life.uplinks("app", &device, 2..=2).await;
            let took = life.until_empty(MINUTE).await;
            assert!(took <= 5 * SECOND, "{device}: {took:?}");
        }
        assert!(life.shared.pool.standing().iter().all(|hub| !hub.refuses_many));
    });
    assert_eq!(site.cloud.state().hub.check_order(), (100, 0));
}

#[test]
fn a_fleet_that_is_moved_all_at_once_goes_on_within_half_a_minute() {
    let mut site = Site::new(1);
    site.live(async |life| {
        everybody(life, 300, 1).await;
        life.until_empty(5 * MINUTE).await;
        life.cloud.state().dps.hub = OTHER_HUB;
        for i in 0..300 {
            life.cloud.state().hub.at.insert((HUB.to_owned(), format!("dev-{i}")), Say::Status(404));
        }
        everybody(life, 300, 2).await;
        let took = life.until_empty(5 * MINUTE).await;
        println!("{took:?}");
        assert!(took <= 30 * SECOND, "{took:?}");
        assert!(life.shared.pool.standing().iter().all(|hub| !hub.refuses_many));
    });
    let state = site.cloud.state();
    assert_eq!((state.dps.registrations.len(), state.hub.check_order()), (600, (600, 0)), "one more each");
}
