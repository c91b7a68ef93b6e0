use std::sync::atomic::Ordering;

use crate::cloud::tests::{NOW_MS, cloud_with};
use crate::directory::Ears;
use crate::faults::Faults;
use crate::hub::c2d::Ack;
use crate::random::Random;
use crate::random::tests::stamp;

use super::*;

const HUB: HubId = HubId(0);

fn message(id: &str) -> Message {
    Message { message_id: Some(id.to_owned()), ack: Ack::Full, ..Message::default() }
}

fn device() -> Endpoint {
    Endpoint::device(HUB, "d1")
}

#[tokio::test]
async fn who_listens_is_told_of_a_new_message_and_of_one_that_came_back() {
    let (cloud, now_ms) = cloud_with(&["d1"], Faults::default());
    let (me, mailbox) = cloud.directory().join();
    cloud.directory().own(&device(), me);
    cloud.directory().listen(&device(), me, Ears { c2d: true, ..Ears::default() });
    cloud.send_c2d(HUB, "d1", message("m1")).unwrap();
    assert!(mailbox.notes().await.c2d.contains(&device()));
    let first = cloud.lock_c2d(&device()).unwrap().unwrap();
    assert_eq!(cloud.lock_c2d(&device()).unwrap(), None);
    now_ms.fetch_add(60_000, Ordering::Relaxed);
    cloud.let_time_pass();
    assert!(mailbox.notes().await.c2d.contains(&device()));
    assert_eq!(cloud.settle_c2d(&device(), first.lock, Outcome::Complete).unwrap_err().code, 412_002);
    let again = cloud.lock_c2d(&device()).unwrap().unwrap();
    cloud.settle_c2d(&device(), again.lock, Outcome::Abandon).unwrap();
    assert!(mailbox.notes().await.c2d.contains(&device()));
}

#[tokio::test]
async fn who_waits_for_feedback_is_told_when_there_is_some() {
    let (cloud, now_ms) = cloud_with(&["d1"], Faults::default());
    let (me, mailbox) = cloud.directory().join();
    cloud.directory().wait_for_feedback(HUB, me, true);
    cloud.send_c2d(HUB, "d1", message("m1")).unwrap();
    let lock = cloud.lock_c2d(&device()).unwrap().unwrap().lock;
    cloud.settle_c2d(&device(), lock, Outcome::Complete).unwrap();
    assert_eq!(cloud.lock_feedback(HUB), None);
    now_ms.fetch_add(15_000, Ordering::Relaxed);
    cloud.let_time_pass();
    assert!(mailbox.notes().await.feedback);
    let batch = cloud.lock_feedback(HUB).unwrap();
    assert_eq!(cloud.lock_feedback(HubId(1)), None, "each hub has its own");
    cloud.settle_feedback(HUB, batch.lock, Outcome::Complete).unwrap();
    assert_eq!(cloud.settle_feedback(HUB, batch.lock, Outcome::Complete).unwrap_err().code, 412_002);
    let counts = cloud.counts().c2d;
    assert_eq!(counts, [("taken", 1), ("handed_out", 1), ("completed", 1)].into());
}

#[test]
fn a_device_that_is_not_there_gets_nothing_and_one_that_is_deleted_loses_it() {
    let (cloud, _) = cloud_with(&["d1"], Faults::default());
    assert_eq!(cloud.send_c2d(HUB, "other", message("m1")).unwrap_err().code, 404_001);
    cloud.send_c2d(HUB, "d1", message("m1")).unwrap();
    cloud.delete_device("d1").unwrap();
    assert_eq!(cloud.lock_c2d(&device()).unwrap_err().code, 404_001);
    cloud.enrol(&["d1".to_owned()]).unwrap();
    assert_eq!((cloud.lock_c2d(&device()).unwrap(), cloud.counts().c2d.get("purged")), (None, Some(&1)));
}

#[test]
fn faults_of_the_hub_refuse_messages_to_devices_too() {
    let faults = r#"{"hub":{"refuse":[{"ids":["d1"],"answer":"quota"}]}}"#;
    let (cloud, _) = cloud_with(&["d1", "d2"], serde_json::from_str(faults).unwrap());
    assert_eq!(cloud.send_c2d(HUB, "d1", message("m1")).unwrap_err().code, 403_002);
    assert!(cloud.send_c2d(HUB, "d2", message("m1")).is_ok());
}

#[test]
fn what_was_taken_is_there_after_a_restart_and_the_journal_stays_small() {
    let dir = std::env::temp_dir().join(format!("c2d-{}", Random::default().guid()));
    std::fs::create_dir_all(&dir).unwrap();
    let device = crate::registry::Device::new("d1", Random::default().keys(32), stamp(0));
    let open = || KeptPost::open(Some(&dir), "hub1", PostRules::default(), NOW_MS).unwrap();
    let mut kept = open();
    for number in 0..6_000 {
        let pushed = kept.post.accepts(&device, Message::default(), NOW_MS).unwrap();
        kept.write(&Step::Pushed(pushed.clone())).unwrap();
        kept.post.push(pushed);
        if number > 0 {
            let lock = Lock(u128::to_be_bytes(number));
            kept.post.lock_next("d1", NOW_MS, lock).unwrap();
            let steps = kept.post.settle("d1", lock, Outcome::Complete, NOW_MS).unwrap();
            kept.note(&steps);
        }
    }
    let lines = std::fs::read_to_string(dir.join("c2d-hub1.jsonl")).unwrap().lines().count();
    let mut again = open();
    let left = again.post.lock_next("d1", NOW_MS, Lock([1; 16])).map(|delivery| delivery.sequence);
    std::fs::remove_dir_all(&dir).unwrap();
    assert_eq!((left, again.post.pending("d1")), (Some(6_000), 1));
    assert!(lines < 2 * IDLE_LINES_MAX, "{lines}");
}
