//! No uplink ever goes out under another device's name.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::cloud::{GROUP_KEY, HUB, Line, OTHER_HUB, hmac};
use crate::dps::OTHER_SCOPE;
use crate::site::{Life, MINUTE, Site, uplink_of};

async fn buried(life: &Life) -> Vec<(String, String)> {
    let letters = life.dead_letters().await.into_iter();
    letters.map(|letter| (letter.reason.code, letter.message.lane)).collect()
}

fn conflict(application: &str) -> (String, String) {
    ("identity_conflict".to_owned(), format!("t/ttn/{application}/dev"))
}

#[test]
fn of_two_applications_with_the_same_device_id_the_first_owns_the_name_also_after_a_restart() {
    let mut site = Site::new(1);
    site.live(async |life| {
        life.uplinks("first", "dev", 1..=1).await;
        life.until_empty(MINUTE).await;
        life.uplinks("second", "dev", 1..=1).await;
        life.until_empty(MINUTE).await;
        assert_eq!(buried(life).await, [conflict("second")]);
    });
    site.live(async |life| {
        life.uplinks("second", "dev", 2..=2).await;
        life.uplinks("first", "dev", 2..=2).await;
        life.until_empty(MINUTE).await;
        assert_eq!(buried(life).await, [conflict("second"), conflict("second")]);
    });
    let state = site.cloud.state();
    assert!(state.hub.attempts.iter().all(|a| a.application == "first" && a.sender == "dev"));
    assert_eq!(state.hub.check_order(), (2, 0));
}

#[test]
fn at_the_same_instant_one_of_them_is_turned_away() {
    for seed in 1..=20 {
        let mut site = Site::new(seed);
        site.live(async |life| {
            let (a, b) = (life.uplinks("first", "dev", 1..=3), life.uplinks("second", "dev", 1..=3));
            tokio::join!(a, b);
            life.until_empty(MINUTE).await;
            let buried = buried(life).await;
            assert!(buried == vec![conflict("first"); 3] || buried == vec![conflict("second"); 3], "{buried:?}");
        });
        assert_eq!(site.cloud.state().hub.check_order(), (3, 0));
    }
}

#[test]
fn a_name_is_owned_before_anything_was_sent_under_it() {
    let mut site = Site::new(1);
    site.cloud.set_line(HUB, Line::Refused);
    site.live(async |life| {
        life.uplinks("first", "dev", 1..=1).await;
        life.rest(60).await;
    });
    site.cloud.set_line(HUB, Line::Up);
    site.live(async |life| {
        life.uplinks("second", "dev", 1..=1).await;
        life.until_empty(2 * MINUTE).await;
        assert_eq!(buried(life).await, [conflict("second")]);
    });
}

#[test]
fn a_claim_that_could_not_be_written_is_tried_again() {
    let mut site = Site::new(1);
    let disk = site.disk.clone();
    site.live(async |life| {
        life.uplinks("first", "dev", 1..=1).await;
        // The next commit is the claim's.
        disk.fail_next_commit(queue::memory::Fault::Failed);
        life.until_empty(MINUTE).await;
        assert_eq!(disk.faults(), 0, "it was met");
        assert_eq!(buried(life).await, []);
    });
    assert_eq!(site.cloud.state().hub.check_order(), (1, 0));
}

#[test]
fn at_a_hub_a_name_is_one_device_whichever_way_leads_there() {
    let mut site = Site::new(1);
    let key = STANDARD.encode(hmac(GROUP_KEY, "dev"));
    site.config.push_str(&format!(
        "[targets.one]\nkind = \"iot-hub\"\nconnection_string = \"HostName={HUB};DeviceId=dev;SharedAccessKey={key}\"\n\
         [[routes]]\napplication = \"second\"\ntarget = \"one\"\n"
    ));
    site.live(async |life| {
        life.uplinks("first", "dev", 1..=1).await;
        life.until_empty(MINUTE).await;
        life.uplinks("second", "dev", 1..=1).await;
        life.until_empty(MINUTE).await;
        assert_eq!(buried(life).await, [conflict("second")], "DPS gave `dev` of that hub to the other");
    });
    assert_eq!(site.cloud.state().hub.check_order(), (1, 0));
}

/// The same key in another scope, for one port.
fn port_10_elsewhere(site: &mut Site) {
    let key = STANDARD.encode(GROUP_KEY);
    site.config.push_str(&format!(
        "[targets.ten]\nkind = \"dps\"\nendpoint = \"dps.example\"\nid_scope = \"{OTHER_SCOPE}\"\ngroup_key = \"{key}\"\n\
         [[routes]]\napplication = \"vehicles\"\nport = 10\ntarget = \"ten\"\n"
    ));
}

#[test]
fn each_port_goes_to_its_own_scope_whichever_came_first() {
    for ports in [[10, 15], [15, 10]] {
        let mut site = Site::new(1);
        port_10_elsewhere(&mut site);
        // The other scope leads to the first hub alone.
        site.cloud.state().dps.hub = OTHER_HUB;
        site.live(async |life| {
            for (port, counter) in ports.into_iter().zip(1..) {
                life.put(uplink_of("ttn", "vehicles", "dev", port, counter, "AQAI"), life.now()).await;
                life.until_empty(MINUTE).await;
            }
            assert_eq!(buried(life).await, []);
        });
        let hubs: Vec<_> = site.cloud.state().hub.attempts.iter().map(|a| a.hub.clone()).collect();
        assert_eq!(hubs, ports.map(|port| if port == 10 { HUB } else { OTHER_HUB }));
    }
}

#[test]
fn a_device_on_port_10_is_not_the_device_whose_id_ends_so() {
    let mut site = Site::new(1);
    port_10_elsewhere(&mut site);
    site.live(async |life| {
        for (device, port) in [("dev", 10), ("dev-10", 10), ("dev-10", 1), ("dev", 1)] {
            life.put(uplink_of("ttn", "vehicles", device, port, 1, "AQAI"), life.now()).await;
        }
        life.until_empty(MINUTE).await;
        assert_eq!(buried(life).await, []);
    });
    let state = site.cloud.state();
    assert_eq!(state.hub.taken(), 4);
    assert!(state.hub.attempts.iter().all(|a| a.device == a.sender), "{:?}", state.hub.attempts);
}
