//! A second copy of a message is not sent; other content is, whatever its counter says.

use crate::hub::Say;
use crate::site::{MINUTE, Site, uplink};

fn counters(site: &Site) -> Vec<u64> {
    site.cloud.state().hub.attempts.iter().filter(|a| a.taken).map(|a| a.counter).collect()
}

#[test]
fn a_copy_among_the_last_64_of_a_day_is_not_sent_again_also_after_a_restart() {
    let mut site = Site::new(1);
    site.live(async |life| {
        life.uplinks("app", "dev", 1..=64).await;
        life.uplinks("app", "dev", 1..=64).await;
        life.until_empty(MINUTE).await;
    });
    site.live(async |life| {
        life.rest(23 * 3600).await;
        life.uplinks("app", "dev", 1..=64).await;
        life.until_empty(MINUTE).await;
    });
    assert_eq!(counters(&site), (1..=64).collect::<Vec<_>>());
}

#[test]
fn beyond_64_messages_or_a_day_a_copy_is_sent() {
    let mut site = Site::new(1);
    site.live(async |life| {
        life.uplinks("app", "dev", 1..=65).await;
        life.until_empty(MINUTE).await;
        life.uplinks("app", "dev", 1..=1).await;
        life.until_empty(MINUTE).await;
        assert_eq!(life.cloud.state().hub.taken(), 66);
        life.rest(24 * 3600).await;
        life.uplinks("app", "dev", 65..=65).await;
        life.until_empty(MINUTE).await;
    });
    assert_eq!(counters(&site).len(), 67);
}

#[test]
fn other_content_under_the_same_counter_is_sent_under_its_own_name() {
    let mut site = Site::new(1);
    site.live(async |life| {
        for payload in ["AQAI", "AQAJ", "AQAI"] {
            life.put(uplink("app", "dev", 1, payload), life.now()).await;
        }
        life.until_empty(MINUTE).await;
    });
    let state = site.cloud.state();
    let ids: std::collections::BTreeSet<_> = state.hub.attempts.iter().map(|a| &a.message_id).collect();
    assert_eq!((state.hub.attempts.len(), ids.len()), (2, 2));
}

#[test]
fn what_the_hub_has_is_not_sent_again_because_the_disk_failed() {
    let mut site = Site::new(1);
    let disk = site.disk.clone();
    site.live(async |life| {
        life.uplinks("app", "dev", 1..=1).await;
        life.until_empty(MINUTE).await;
        life.cloud.state().hub.next.insert("dev".into(), [Say::Yes].into());
        life.uplinks("app", "dev", 2..=3).await;
        disk.fail_next_commit(queue::memory::Fault::Failed);
        life.until_empty(MINUTE).await;
        assert_eq!(disk.faults(), 0, "it was met");
    });
    assert_eq!(counters(&site), [1, 2, 3]);
}
