//! The two keys of an enrolment group: when one is replaced, everybody goes on with the other.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bridge::provision::Known;

use crate::cloud::{GROUP_KEY, SECONDARY_KEY};
use crate::site::{Life, MINUTE, SECOND, Site, configuration};

fn site() -> Site {
    let mut site = Site::new(1);
    let secondary = format!("secondary_group_key = \"{}\"\n[[routes]]", STANDARD.encode(SECONDARY_KEY));
    site.config = configuration("registrations_per_minute = 0").replace("[[routes]]", &secondary);
    site.cloud.state().dps.group_keys = vec![GROUP_KEY, SECONDARY_KEY];
    site
}

async fn new_devices(life: &Life, of: std::ops::Range<usize>) {
    for i in of {
        life.uplinks("app", &format!("dev-{i}"), 1..=1).await;
    }
}

#[test]
fn when_the_primary_key_is_replaced_all_go_on_with_the_secondary() {
    let mut site = site();
    site.live(async |life| {
        new_devices(life, 0..100).await;
        life.until_empty(MINUTE).await;
        life.cloud.state().dps.group_keys = vec![SECONDARY_KEY];
        new_devices(life, 100..200).await;
        let took = life.until_empty(MINUTE).await;
        assert!(took <= 30 * SECOND, "{took:?}");
        // Those that come now begin with the right one.
        let before = life.cloud.state().dps.registrations.len();
        new_devices(life, 200..300).await;
        life.until_empty(MINUTE).await;
        assert_eq!(life.cloud.state().dps.registrations.len() - before, 100);
    });
    let state = site.cloud.state();
    assert_eq!(state.hub.check_order(), (300, 0));
    assert!((100..200).all(|i| state.dps.registrations_of(&format!("dev-{i}")).len() == 2), "each with both, once");
}

/// A group's key that was replaced in its file or vault, and at the service.
#[test]
fn a_fleet_whose_group_key_was_replaced_over_a_restart_registers_again_and_alarms_nobody() {
    let mut site = Site::new(1);
    site.config = configuration("registrations_per_minute = 0");
    site.live(async |life| {
        new_devices(life, 0..100).await;
        life.until_empty(MINUTE).await;
    });
    site.config = site.config.replace(&STANDARD.encode(GROUP_KEY), &STANDARD.encode(SECONDARY_KEY));
    site.cloud.state().dps.group_keys = vec![SECONDARY_KEY];
    site.live(async |life| {
        for i in 0..100 {
            life.uplinks("app", &format!("dev-{i}"), 2..=2).await;
        }
        let took = life.until_empty(MINUTE).await;
        assert!(took <= 30 * SECOND, "{took:?}");
    });
    let state = site.cloud.state();
    assert_eq!(state.hub.check_order(), (200, 0));
    assert!((0..100).all(|i| state.dps.registrations_of(&format!("dev-{i}")).len() == 2), "each once more");
    assert!(state.hub.attempts.iter().all(|attempt| attempt.taken), "and no hub had to refuse anybody first");
}

#[test]
fn the_way_back_to_the_primary_key_is_the_same() {
    let mut site = site();
    site.live(async |life| {
        life.cloud.state().dps.group_keys = vec![SECONDARY_KEY];
        new_devices(life, 0..10).await;
        life.until_empty(MINUTE).await;
        life.cloud.state().dps.group_keys = vec![GROUP_KEY];
        life.rest(300).await;
        new_devices(life, 10..20).await;
        let took = life.until_empty(MINUTE).await;
        assert!(took <= 30 * SECOND, "{took:?}");
    });
    assert_eq!(site.cloud.state().hub.check_order(), (20, 0));
}

#[test]
fn devices_that_are_refused_with_both_keys_do_not_alternate() {
    let mut site = site();
    site.live(async |life| {
        life.cloud.state().dps.group_keys = Vec::new();
        new_devices(life, 0..20).await;
        life.rest(3600).await;
        let state = life.cloud.state();
        // At once, after 5, 15 and 35 minutes, and every five minutes one of all tries the other key.
        let most = (0..20).map(|i| state.dps.registrations_of(&format!("dev-{i}")).len()).max();
        assert!(most <= Some(4 + 4), "{most:?} registrations of one device in an hour");
        assert!(state.dps.registrations.len() <= 20 * 4 + 12, "{}", state.dps.registrations.len());
    });
}

#[test]
fn a_devices_key_where_a_groups_belongs_is_named_as_the_likely_cause() {
    let mut site = Site::new(1);
    let group_key = STANDARD.encode(GROUP_KEY);
    site.config = configuration("").replace(&group_key, &STANDARD.encode([7; 32]));
    site.live(async |life| {
        life.uplinks("app", "dev", 1..=1).await;
        let name = life.applicant("app", "dev").name;
        let cause = || match life.shared.provision.known(&name) {
            Known::Held { cause, never: false, .. } => Some(cause),
            _ => None,
        };
        life.until("it is refused", MINUTE, || cause().is_some()).await;
        let cause = cause().expect("just now");
        assert!(cause.contains("group_key has 32 bytes") && cause.contains("401002"), "{cause}");
    });
}
