//! Workers end well, and when one does not, only its own device waits.

use crate::cloud::{HUB, Line};
use crate::hub::Say;
use crate::site::{MINUTE, SECOND, Site};

#[test]
fn a_drain_finishes_what_is_on_the_wire_and_gives_the_rest_back() {
    let mut site = Site::new(1);
    site.live(async |life| {
        for i in 0..100 {
            life.uplinks("app", &format!("dev-{i}"), 1..=5).await;
        }
        life.until_taken(50, MINUTE).await;
        let since = tokio::time::Instant::now();
        life.drain().await;
        assert!(since.elapsed() < 2 * SECOND, "{:?}", since.elapsed());
        life.rest(1).await;
        assert_eq!(life.queue.stats().leased, 0);
        let (taken, waiting) = (life.cloud.state().hub.taken(), life.queue.stats().waiting);
        assert_eq!(taken + usize::try_from(waiting).unwrap(), 500, "what the hub has is settled, the rest is there");
    });
    site.live(async |life| {
        life.until_empty(MINUTE).await;
    });
    assert_eq!(site.cloud.state().hub.check_order(), (500, 0));
}

#[test]
fn a_drain_does_not_wait_for_lanes_that_rest() {
    let mut site = Site::new(1);
    site.live(async |life| {
        life.cloud.set_line(HUB, Line::Refused);
        life.cloud.state().dps.devices.insert("dev-0".into(), crate::dps::Verdict::Status(401));
        for i in 0..50 {
            life.uplinks("app", &format!("dev-{i}"), 1..=2).await;
        }
        life.rest(100).await;
        let since = tokio::time::Instant::now();
        life.drain().await;
        assert!(since.elapsed() < SECOND, "{:?}", since.elapsed());
        assert_eq!(life.queue.stats().waiting, 100);
    });
}

#[test]
fn a_thousand_idle_devices_come_back() {
    let mut site = Site::new(1);
    site.live(async |life| {
        for round in 1..=3 {
            for i in 0..300 {
                life.uplinks("app", &format!("dev-{i}"), round..=round).await;
            }
            life.until_empty(MINUTE).await;
            // Beyond the time after which workers end, and exactly at it.
            life.rest(if round == 1 { 60 } else { 90 }).await;
        }
    });
    assert_eq!(site.cloud.state().hub.check_order(), (900, 0));
}

#[test]
fn a_worker_that_panics_stops_nobody_and_does_not_spin() {
    let mut site = Site::new(1);
    site.live(async |life| {
        life.cloud.state().hub.devices.insert("poison".into(), Say::Yes);
        life.cloud.break_on("hub-poison.example");
        life.cloud.state().dps.hub = "hub-poison.example";
        life.uplinks("app", "poison", 1..=2).await;
        life.until("a panic", MINUTE, || life.cloud.panics() > 0).await;
        life.cloud.state().dps.hub = HUB;
        for i in 0..50 {
            life.uplinks("app", &format!("dev-{i}"), 1..=3).await;
        }
        life.until_taken(150, MINUTE).await;
        life.rest(60).await;
        let panics = life.cloud.panics();
        assert!((10..=70).contains(&panics), "{panics} panics in a minute");
        assert_eq!(life.queue.stats().waiting, 2, "its messages are there");
        life.cloud.mend();
        life.until_empty(MINUTE).await;
    });
    assert_eq!(site.cloud.state().hub.check_order(), (152, 0));
}
