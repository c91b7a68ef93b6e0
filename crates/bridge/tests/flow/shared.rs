//! Several processes on one queue: what one of them knows of names and devices, the others know as well.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bridge::world::{Point, Points};
use queue::blobs::double::Account;
use tokio::sync::watch;

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
fn who_gives_its_parts_away_goes_on_taking_messages_for_the_others() {
    let mut site = Site::new(1);
    site.begin(async |site| {
        let account = account(site);
        let (one, other) = (works(site, &account, "one").await, works(site, &account, "other").await);
        one.drain().await;
        one.queue.leave().await;
        for device in 0..8 {
            one.uplinks("first", &format!("dev-{device}"), 1..=1).await;
        }
        // Sooner than a lease runs out, which is 15 s.
        other.until_taken(8, Duration::from_secs(10)).await;
        one.uplinks("first", "dev-0", 2..=2).await;
        one.queue.close().await;
        other.until_taken(9, SOON).await;
    });
    assert_eq!(site.cloud.state().hub.check_order(), (9, 0));
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

/// Holds whatever is about to be sent, as a machine that is too busy would.
#[derive(Debug)]
struct Held {
    is_open: watch::Sender<bool>,
    came: AtomicU32,
}

impl Points for Held {
    fn reached(&self, point: Point) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        if point != Point::DeviceBeforeSend {
            return Box::pin(std::future::ready(()));
        }
        self.came.fetch_add(1, Ordering::Relaxed);
        let mut is_open = self.is_open.subscribe();
        Box::pin(async move {
            let _ = is_open.wait_for(|is_open| *is_open).await;
        })
    }

    fn reads(&self, _: &queue::Message) {}
}

/// A process that has claimed a message, and looked at all that there is to look at, but has not sent it yet.
async fn about_to_send(site: &Site, account: &Account) -> (Life, Arc<Held>) {
    let held = Arc::new(Held { is_open: watch::channel(false).0, came: AtomicU32::new(0) });
    let life = Life::shares_in(site, account, "one", site.world().listening(held.clone())).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    life.uplinks("first", "dev", 1..=1).await;
    life.until("it is about to be sent", SOON, || held.came.load(Ordering::Relaxed) == 1).await;
    (life, held)
}

#[test]
fn a_term_that_ends_between_the_claim_and_the_send_sends_nothing() {
    let mut site = Site::new(1);
    site.begin(async |site| {
        let account = account(site);
        let (one, held) = about_to_send(site, &account).await;
        one.client.as_ref().unwrap().cut(true);
        tokio::time::sleep(Duration::from_secs(15)).await;
        held.is_open.send_replace(true);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(site.cloud.state().hub.attempts.len(), 0, "who has lost the right asks the hub for nothing");
        let other = works(site, &account, "other").await;
        other.uplinks("first", "dev", 2..=2).await;
        other.until_taken(2, MINUTE).await;
    });
    let state = site.cloud.state();
    assert_eq!((state.hub.check_order(), state.hub.attempts.len()), ((2, 0), 2));
}

#[test]
fn what_was_claimed_under_an_earlier_right_is_not_sent_when_the_right_has_come_back() {
    let mut site = Site::new(1);
    site.begin(async |site| {
        let account = account(site);
        let (one, held) = about_to_send(site, &account).await;
        one.client.as_ref().unwrap().cut(true);
        tokio::time::sleep(Duration::from_secs(13)).await;
        // Another sends it, and the next one, and goes.
        let other = works(site, &account, "other").await;
        other.uplinks("first", "dev", 2..=2).await;
        other.until_taken(2, MINUTE).await;
        other.rest(2).await; // it is settled as well
        other.drain().await;
        other.queue.close().await;
        one.client.as_ref().unwrap().cut(false);
        let lane = one.applicant("first", "dev").lane;
        one.until("the right is back", SOON, || one.queue.holds(&lane)).await;
        held.is_open.send_replace(true);
        one.uplinks("first", "dev", 3..=3).await;
        one.until_taken(3, SOON).await;
    });
    let state = site.cloud.state();
    assert_eq!((state.hub.check_order(), state.hub.attempts.len()), ((3, 0), 3));
}
