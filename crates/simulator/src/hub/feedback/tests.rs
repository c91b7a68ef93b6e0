use super::*;

/// When all records here happened.
const NOW_MS: i64 = 1_767_225_600_000;

fn record(id: &str) -> Record {
    Record {
        original_message_id: Some(id.to_owned()),
        at_ms: NOW_MS,
        status: Status::Success,
        device_id: "eui-1".to_owned(),
        generation_id: "637".to_owned(),
    }
}

const LOCK: Lock = Lock([1; 16]);

fn outbox(records: u64, now_ms: i64) -> Outbox {
    let mut outbox = Outbox::default();
    for number in 1..=records {
        assert_eq!(outbox.push(number, record("m"), now_ms), Vec::<u64>::new());
    }
    outbox
}

#[test]
fn feedback_goes_out_15_seconds_after_the_first_record() {
    let mut outbox = outbox(1, NOW_MS);
    outbox.push(2, record("m2"), NOW_MS + 14_000);
    outbox.expire(NOW_MS + 14_999);
    assert!(!outbox.take_news() && outbox.lock_next(NOW_MS + 14_999, LOCK).is_none());
    outbox.expire(NOW_MS + 15_000);
    assert!(outbox.take_news() && !outbox.take_news());
    let batch = outbox.lock_next(NOW_MS + 15_000, LOCK).unwrap();
    let body: Value = serde_json::from_slice(&batch.body()).unwrap();
    assert_eq!(
        body[0],
        json!({"originalMessageId": "m", "enqueuedTimeUtc": "2026-01-01T00:00:00Z", "statusCode": "Success",
            "description": "Success", "deviceId": "eui-1", "deviceGenerationId": "637"})
    );
    assert_eq!((body.as_array().unwrap().len(), body[1]["originalMessageId"].as_str()), (2, Some("m2")));
}

#[test]
fn sixty_four_records_wait_for_nothing() {
    let mut outbox = outbox(65, 0);
    assert_eq!(outbox.lock_next(0, LOCK).unwrap().records.len(), 64);
    assert!(outbox.lock_next(0, Lock([2; 16])).is_none(), "the 65th waits");
    assert_eq!(outbox.settle(LOCK, Outcome::Complete, 1).unwrap().len(), 64);
    assert_eq!(outbox.records().count(), 1);
}

#[test]
fn a_batch_comes_again_until_it_is_completed_or_abandoned_ten_times() {
    let mut outbox = outbox(64, 0);
    for times in 0..10 {
        let batch = outbox.lock_next(0, LOCK).unwrap();
        assert_eq!(batch.delivery_count, times);
        let gone = outbox.settle(LOCK, Outcome::Abandon, 0).unwrap().len();
        assert_eq!(gone, if times == 9 { 64 } else { 0 });
    }
    assert!(outbox.lock_next(0, LOCK).is_none());
}

#[test]
fn a_lock_lasts_a_minute_and_a_batch_an_hour() {
    let mut outbox = outbox(64, 0);
    outbox.lock_next(0, LOCK).unwrap();
    outbox.take_news();
    outbox.expire(60_000);
    assert!(outbox.take_news());
    assert_eq!(outbox.settle(LOCK, Outcome::Complete, 60_000), None);
    assert_eq!(outbox.expire(3_600_000).len(), 64);
    assert_eq!(outbox.records().count(), 0);
}

#[test]
fn feedback_that_nobody_fetches_is_bounded_and_the_oldest_goes() {
    let mut outbox = Outbox::default();
    let most = (BATCHES_MAX * BATCH_RECORDS) as u64;
    let gone: Vec<u64> = (1..=most + 64).flat_map(|number| outbox.push(number, record("m"), 0)).collect();
    assert_eq!(gone, (1..=64).collect::<Vec<_>>());
    assert_eq!(outbox.records().count() as u64, most);
}

#[test]
fn what_happened_long_ago_has_waited_already_and_what_happens_later_waits_from_now() {
    let mut outbox = outbox(1, NOW_MS + 3_600_000);
    outbox.expire(NOW_MS + 3_600_000);
    assert_eq!(outbox.lock_next(NOW_MS + 3_600_000, LOCK).unwrap().enqueued_ms, NOW_MS + 3_600_000);
    let mut outbox = self::outbox(1, 0);
    outbox.expire(15_000);
    assert!(outbox.take_news(), "the clock has gone back");
}
