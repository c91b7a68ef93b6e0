//! Several processes on one queue: what one of them knows of names and devices, the others know as well.

use std::time::Duration;

use queue::blobs::double::Account;

use crate::site::{Life, MINUTE, Site, account};

/// A part that was given away is taken within 3 s, a new device registers, and commits are paced.
const SOON: Duration = Duration::from_secs(30);

async fn buried(life: &Life, letters: usize) -> Vec<(String, String)> {
    for _ in 0..600 {
        let found = life.dead_letters().await;
        if found.len() >= letters {
            return found.into_iter().map(|letter| (letter.reason.code, letter.message.lane)).collect();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no {letters} dead letters within a minute");
}

async fn works(site: &Site, account: &Account, name: &str) -> Life {
    let life = Life::shares(site, account, name).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    life
}

#[test]
fn a_name_belongs_to_one_device_whichever_process_has_the_other() {
    let mut site = Site::new(1);
    site.begin(async |site| {
        let account = account(site);
        let (one, _other) = (works(site, &account, "one").await, works(site, &account, "other").await);
        // So many that each process has some of each application's.
        for device in 0..8 {
            one.uplinks("first", &format!("dev-{device}"), 1..=1).await;
        }
        one.until_taken(8, SOON).await;
        for device in 0..8 {
            one.uplinks("second", &format!("dev-{device}"), 1..=1).await;
        }
        let buried = buried(&one, 8).await;
        assert!(
            buried.iter().all(|(code, lane)| code == "identity_conflict" && lane.contains("/second/")),
            "{buried:?}"
        );
        one.uplinks("first", "dev-0", 2..=2).await;
        one.until_taken(9, SOON).await;
    });
    assert!(site.cloud.state().hub.attempts.iter().all(|attempt| attempt.application == "first"));
}

#[test]
fn a_device_that_another_process_registered_is_registered_no_more() {
    let mut site = Site::new(1);
    site.begin(async |site| {
        let account = account(site);
        let one = works(site, &account, "one").await;
        for device in 0..5 {
            one.uplinks("first", &format!("dev-{device}"), 1..=2).await;
        }
        one.until_taken(10, MINUTE).await;
        let other = works(site, &account, "other").await;
        one.drain().await;
        one.queue.close().await;
        for device in 0..5 {
            other.uplinks("first", &format!("dev-{device}"), 3..=4).await;
        }
        other.until_taken(20, SOON).await;
    });
    let state = site.cloud.state();
    for device in 0..5 {
        assert_eq!(state.dps.registrations_of(&format!("dev-{device}")).len(), 1);
    }
    assert_eq!(state.hub.check_order(), (20, 0));
}

#[test]
fn a_process_that_has_lost_the_account_sends_nothing_more() {
    let mut site = Site::new(1);
    site.begin(async |site| {
        let account = account(site);
        let one = works(site, &account, "one").await;
        one.uplinks("first", "dev", 1..=1).await;
        one.until_taken(1, SOON).await;
        one.rest(2).await; // it is settled as well
        let lane = one.applicant("first", "dev").lane;
        assert!(one.shared.enter(&lane).await.unwrap().is_some());
        one.client.as_ref().unwrap().cut(true);
        tokio::time::sleep(Duration::from_secs(15)).await;
        assert_eq!(one.shared.enter(&lane).await.unwrap(), None);
        let hub = one.shared.pool.hub(crate::cloud::HUB).await;
        assert!(!one.shared.pool.lodges(&lane, &hub, "dev"), "nothing is sent for it");
        let other = works(site, &account, "other").await;
        other.uplinks("first", "dev", 2..=2).await;
        other.until_taken(2, MINUTE).await;
    });
    assert_eq!(site.cloud.state().hub.check_order(), (2, 0));
}
