use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::hub::c2d::Ack;
use crate::hub::feedback::Status;
use crate::hub::rules::LOCK_MS;
use crate::random::Random;
use crate::random::tests::stamp;

const HOUR_MS: i64 = 3_600_000;

fn device(id: &str) -> Device {
    Device::new(id, Random::default().keys(32), stamp(0))
}

fn lock(number: u64) -> Lock {
    Lock(u128::from(number).to_be_bytes())
}

fn message(id: &str, ack: Ack) -> Message {
    Message { message_id: Some(id.to_owned()), ack, ..Message::default() }
}

/// A post with messages `m0`, `m1`, … for the device `d`, full feedback asked for.
fn post(messages: usize, now_ms: i64) -> Post {
    let mut post = Post::default();
    for number in 0..messages {
        let pushed = post.accepts(&device("d"), message(&format!("m{number}"), Ack::Full), now_ms).unwrap();
        post.push(pushed);
    }
    post
}

fn next(post: &mut Post, now_ms: i64, lock: Lock) -> Option<String> {
    post.expire(now_ms);
    post.lock_next("d", now_ms, lock).and_then(|delivery| delivery.message.message_id.clone())
}

fn told(steps: &[Step]) -> Vec<Status> {
    let records = steps.iter().filter_map(|step| match step {
        Step::Feedback { record, .. } => Some(record.status),
        _ => None,
    });
    records.collect()
}

#[test]
fn a_queue_keeps_its_order_and_each_message_is_handed_out_once() {
    let mut post = post(3, 0);
    let got: Vec<_> = (0..4).map(|number| next(&mut post, 0, lock(number))).collect();
    assert_eq!(got, [Some("m0".to_owned()), Some("m1".to_owned()), Some("m2".to_owned()), None]);
}

#[test]
fn the_51st_message_is_refused_whether_the_others_are_held_or_not() {
    let mut post = post(50, 0);
    next(&mut post, 0, lock(1));
    let refusal = post.accepts(&device("d"), message("one-more", Ack::None), 0).unwrap_err();
    assert_eq!((refusal.status, refusal.code), (403, 403_004));
    assert!(post.accepts(&device("other"), message("m", Ack::None), 0).is_ok());
    post.settle("d", lock(1), Outcome::Complete, 0).unwrap();
    assert!(post.accepts(&device("d"), message("one-more", Ack::None), 0).is_ok());
}

#[test]
fn a_locked_message_comes_back_after_a_minute_and_that_counts_for_nothing() {
    let mut post = post(2, 0);
    next(&mut post, 0, lock(1));
    assert_eq!(post.expire(LOCK_MS - 1), Expired::default());
    assert_eq!(post.expire(LOCK_MS).freed, ["d"]);
    let refusal = post.settle("d", lock(1), Outcome::Complete, LOCK_MS).unwrap_err();
    assert_eq!((refusal.status, refusal.code, refusal.name.as_str()), (412, 412_002, "DeviceMessageLockLost"));
    let again = post.lock_next("d", LOCK_MS, lock(2)).unwrap();
    assert_eq!((again.message.message_id.as_deref(), again.delivery_count), (Some("m0"), 0));
}

#[test]
fn a_message_that_is_abandoned_ten_times_is_dead() {
    let mut post = post(1, 0);
    for times in 0..10 {
        assert_eq!(post.lock_next("d", 0, lock(times)).unwrap().delivery_count, times as u8);
        let steps = post.settle("d", lock(times), Outcome::Abandon, 0).unwrap();
        assert_eq!(told(&steps), if times == 9 { vec![Status::DeliveryCountExceeded] } else { Vec::new() });
    }
    assert_eq!(next(&mut post, 0, lock(99)), None);
}

#[test]
fn an_abandoned_message_keeps_its_place() {
    let mut post = post(2, 0);
    next(&mut post, 0, lock(1));
    post.settle("d", lock(1), Outcome::Abandon, 0).unwrap();
    assert_eq!(next(&mut post, 0, lock(2)).as_deref(), Some("m0"));
}

#[test]
fn what_is_not_completed_within_an_hour_expires() {
    let mut post = post(1, 0);
    let happened = post.expire(HOUR_MS - 1);
    assert_eq!(happened.steps, []);
    assert_eq!(told(&post.expire(HOUR_MS).steps), [Status::Expired]);
    assert_eq!(next(&mut post, HOUR_MS, lock(1)), None);
}

#[test]
fn after_a_leap_everything_has_happened_when_it_was_due() {
    let mut post = post(2, 0);
    next(&mut post, HOUR_MS - 1, lock(1));
    let late_ms = HOUR_MS + LOCK_MS + 15_000;
    let happened = post.expire(late_ms);
    let at: Vec<i64> = happened
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Feedback { record, .. } => Some(record.at_ms),
            _ => None,
        })
        .collect();
    assert_eq!(at, [HOUR_MS, HOUR_MS - 1 + LOCK_MS], "the second was held until then");
    let batch = post.lock_feedback(late_ms, lock(2)).expect("it has waited long enough");
    assert_eq!((batch.enqueued_ms, batch.expiry_ms), (late_ms, late_ms + HOUR_MS));
    assert!(post.queues.is_empty() && post.due.is_empty());
}

#[test]
fn a_message_that_is_held_expires_with_its_lock() {
    let mut post = post(2, 0);
    next(&mut post, HOUR_MS - 1, lock(1));
    assert_eq!(told(&post.expire(HOUR_MS).steps), [Status::Expired], "the other one");
    assert_eq!(told(&post.settle("d", lock(1), Outcome::Complete, HOUR_MS).unwrap()), [Status::Success]);
}

#[test]
fn a_purge_takes_what_is_held_too() {
    let mut post = post(3, 0);
    next(&mut post, 0, lock(1));
    let (count, steps) = post.purge("d", 0);
    assert_eq!((count, told(&steps)), (3, vec![Status::Purged; 3]));
    assert_eq!(post.settle("d", lock(1), Outcome::Complete, 0).unwrap_err().code, 412_002);
    assert_eq!(post.purge("d", 0), (0, Vec::new()));
}

#[test]
fn a_device_has_a_queue_only_while_it_has_messages() {
    let mut post = post(1, 0);
    next(&mut post, 0, lock(1));
    post.settle("d", lock(1), Outcome::Reject, 0).unwrap();
    assert!(post.queues.is_empty() && post.due.is_empty());
    assert_eq!(post.bytes, 0);
    assert_eq!(post.lock_next("other", 0, lock(2)), None);
    assert!(post.queues.is_empty());
}

#[test]
fn all_queues_together_are_bounded() {
    let mut post = Post { bytes: BYTES_MAX - OVERHEAD_BYTES - 1, ..Post::default() };
    let refusal = post.accepts(&device("d"), message("m1", Ack::None), 0).unwrap_err();
    assert_eq!((refusal.status, refusal.code), (403, 403_007));
    post.bytes -= 1;
    assert!(post.accepts(&device("d"), message("m1", Ack::None), 0).is_ok());
}

#[test]
fn who_held_a_message_and_is_gone_gives_it_back_at_once() {
    let mut post = post(1, 0);
    next(&mut post, 0, lock(1));
    assert!(post.unlock("d", lock(1)) && !post.unlock("d", lock(1)));
    assert_eq!(post.lock_next("d", 0, lock(2)).unwrap().delivery_count, 0);
}

#[test]
fn steps_lead_to_the_same_post() {
    let mut post = post(3, 0);
    let mut journal: Vec<Step> = post.steps().collect();
    let mut took = |steps: Vec<Step>| journal.extend(steps);
    next(&mut post, 0, lock(1));
    took(post.settle("d", lock(1), Outcome::Abandon, 0).unwrap());
    next(&mut post, 0, lock(2));
    next(&mut post, 0, lock(3));
    took(post.settle("d", lock(3), Outcome::Complete, 0).unwrap());
    let lines: Vec<String> = journal.iter().map(|step| serde_json::to_string(step).unwrap()).collect();
    let steps = lines.iter().map(|line| serde_json::from_str::<Step>(line).unwrap());
    let mut again = Post::restored(PostRules::default(), steps, 1_000);
    let kept = |post: &Post| post.steps().collect::<Vec<_>>();
    assert_eq!((kept(&again), again.bytes), (kept(&post), post.bytes));
    let first = again.lock_next("d", 1_000, lock(4)).unwrap();
    assert_eq!((first.message.message_id.as_deref(), first.delivery_count), (Some("m0"), 1));
    again.expire(16_000);
    let number = again.lock_feedback(16_000, lock(5)).unwrap().body();
    assert!(String::from_utf8(number).unwrap().contains("\"originalMessageId\":\"m1\""));
    again.settle_feedback(lock(5), Outcome::Complete, 16_000).unwrap();
    let pushed = again.accepts(&device("d"), message("m4", Ack::None), 0).unwrap();
    assert_eq!(pushed.sequence, 4, "numbers are not given twice");
}

#[test]
fn a_hub_keeps_messages_and_feedback_as_it_was_set() {
    let messages = Rules { ttl_ms: 60_000, deliveries_max: 2, ..Rules::default() };
    let feedback = Rules { ttl_ms: 120_000, lock_ms: 5_000, deliveries_max: 1 };
    let mut post = Post::new(PostRules { messages, feedback });
    for id in ["m0", "m1"] {
        let pushed = post.accepts(&device("d"), message(id, Ack::Full), 0).unwrap();
        post.push(pushed);
    }
    for (number, ends) in [(1, vec![]), (2, vec![Status::DeliveryCountExceeded])] {
        assert_eq!(next(&mut post, 0, lock(number)).as_deref(), Some("m0"));
        assert_eq!(told(&post.settle("d", lock(number), Outcome::Abandon, 0).unwrap()), ends);
    }
    assert_eq!(told(&post.expire(59_999).steps), []);
    assert_eq!(told(&post.expire(60_000).steps), [Status::Expired]);
    post.expire(75_000);
    assert_eq!(
        post.lock_feedback(75_000, lock(3)).unwrap().expiry_ms,
        59_999 + 120_000,
        "it went out when it was looked at"
    );
    post.expire(80_000);
    assert!(post.settle_feedback(lock(3), Outcome::Complete, 80_000).is_err(), "five seconds are over");
    post.lock_feedback(80_000, lock(4)).unwrap();
    assert_eq!(post.settle_feedback(lock(4), Outcome::Abandon, 80_000).unwrap().len(), 1, "once is enough");
}

#[derive(Clone, Debug)]
enum Deed {
    Push(Ack, Option<i64>),
    Lock,
    Settle(prop::sample::Index, Outcome),
    Unlock(prop::sample::Index),
    Wait(i64),
    Purge,
    Restart,
}

fn deeds() -> impl Strategy<Value = Deed> {
    let ack = prop::sample::select(vec![Ack::None, Ack::Positive, Ack::Negative, Ack::Full]);
    let outcome = prop::sample::select(vec![Outcome::Complete, Outcome::Abandon, Outcome::Abandon, Outcome::Reject]);
    prop_oneof![
        6 => (ack, prop::option::of(0..200_000_i64)).prop_map(|(ack, ttl)| Deed::Push(ack, ttl)),
        8 => Just(Deed::Lock),
        6 => (any::<prop::sample::Index>(), outcome).prop_map(|(which, outcome)| Deed::Settle(which, outcome)),
        1 => any::<prop::sample::Index>().prop_map(Deed::Unlock),
        4 => (0..70_000_i64).prop_map(Deed::Wait),
        1 => Just(Deed::Purge),
        1 => Just(Deed::Restart),
    ]
}

/// What a bystander writes down.
#[derive(Default)]
struct Seen {
    wished: BTreeMap<u64, Ack>,
    ends: BTreeMap<u64, u32>,
    told: BTreeMap<u64, Status>,
}

impl Seen {
    fn note(&mut self, steps: &[Step]) {
        for step in steps {
            match step {
                Step::Gone { sequence, .. } => *self.ends.entry(*sequence).or_default() += 1,
                Step::Feedback { record, .. } => {
                    let sequence = record.original_message_id.as_ref().unwrap().parse().unwrap();
                    assert_eq!(self.told.insert(sequence, record.status), None, "told once");
                }
                _ => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever is done in whatever order: each message ends once, whoever asked is told what was asked for, nobody else
    /// is, and the first that is free is handed out.
    #[test]
    fn each_message_ends_once_and_exactly_who_asked_is_told(deeds in prop::collection::vec(deeds(), 1..120)) {
        let (mut post, mut seen, mut now_ms, mut locks) = (Post::default(), Seen::default(), 0_i64, 0_u64);
        let mut held: BTreeMap<u64, (Lock, i64)> = BTreeMap::new();
        let mut journal: Vec<Step> = Vec::new();
        let device = device("d");
        for deed in deeds {
            let mut steps = post.expire(now_ms).steps;
            let ended: Vec<u64> = steps.iter().filter_map(|step| match step {
                Step::Gone { sequence, .. } => Some(*sequence),
                _ => None,
            }).collect();
            held.retain(|sequence, (_, until_ms)| now_ms < *until_ms && !ended.contains(sequence));
            match deed {
                Deed::Push(ack, ttl) => {
                    let id = (seen.wished.len() + 1).to_string();
                    let message = Message { expiry_ms: ttl.map(|ttl| now_ms + ttl), ..message(&id, ack) };
                    if let Ok(pushed) = post.accepts(&device, message, now_ms) {
                        seen.wished.insert(pushed.sequence, ack);
                        steps.push(Step::Pushed(pushed.clone()));
                        post.push(pushed);
                    } else {
                        prop_assert_eq!(post.pending("d"), 50);
                    }
                }
                Deed::Lock => {
                    locks += 1;
                    let delivery = post.lock_next("d", now_ms, lock(locks));
                    let free = seen.wished.keys().find(|sequence| {
                        !seen.ends.contains_key(sequence) && !ended.contains(sequence) && !held.contains_key(sequence)
                    });
                    prop_assert_eq!(delivery.as_ref().map(|one| one.sequence), free.copied());
                    held.extend(delivery.map(|one| (one.sequence, (one.lock, now_ms + LOCK_MS))));
                }
                Deed::Settle(which, outcome) if !held.is_empty() => {
                    let sequence = *which.get(&held.keys().copied().collect::<Vec<_>>());
                    let (lock, _) = held.remove(&sequence).unwrap();
                    steps.extend(post.settle("d", lock, outcome, now_ms).unwrap());
                    prop_assert!(post.settle("d", lock, outcome, now_ms).is_err());
                }
                Deed::Unlock(which) if !held.is_empty() => {
                    let sequence = *which.get(&held.keys().copied().collect::<Vec<_>>());
                    prop_assert!(post.unlock("d", held.remove(&sequence).unwrap().0));
                }
                Deed::Settle(..) | Deed::Unlock(_) => {}
                Deed::Wait(ms) => now_ms += ms,
                Deed::Purge => {
                    held.clear();
                    steps.extend(post.purge("d", now_ms).1);
                }
                Deed::Restart => {
                    held.clear();
                    journal.extend(steps.iter().cloned());
                    seen.note(&std::mem::take(&mut steps));
                    let again = Post::restored(PostRules::default(), journal.iter().cloned(), now_ms);
                    prop_assert_eq!(again.bytes, post.bytes);
                    post = again;
                }
            }
            journal.extend(steps.iter().cloned());
            seen.note(&steps);
        }
        seen.note(&post.expire(now_ms + LOCK_MS + 48 * HOUR_MS).steps);
        prop_assert!(post.queues.is_empty() && post.due.is_empty() && post.bytes == 0);
        for (sequence, ack) in &seen.wished {
            prop_assert_eq!(seen.ends.get(sequence), Some(&1), "message {} ends once", sequence);
            let told = seen.told.get(sequence);
            match ack {
                Ack::None => prop_assert_eq!(told, None),
                Ack::Positive => prop_assert!(matches!(told, None | Some(Status::Success))),
                Ack::Negative => prop_assert!(told != Some(&Status::Success)),
                Ack::Full => prop_assert!(told.is_some()),
            }
        }
        prop_assert!(seen.told.keys().all(|sequence| seen.wished.contains_key(sequence)));
    }
}
