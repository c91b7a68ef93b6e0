//! No uplink ever goes out under another device's name.

use crate::cloud::{HUB, Line};
use crate::site::{Life, MINUTE, Site};

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
