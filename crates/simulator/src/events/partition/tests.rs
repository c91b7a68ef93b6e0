//! Numbers, and every start against a list of what is there.

use proptest::prelude::*;

use super::*;
use crate::events::tests::{accepted, one_partition, one_partition_keeping};

fn sequences(partition: &Partition, from: i64) -> Vec<i64> {
    partition.from(from).map(|event| event.place.sequence).collect()
}

#[test]
fn an_empty_partition_says_so() {
    let partition = Partition::default();
    assert!(partition.is_empty());
    assert_eq!(partition.last(), Last { sequence: -1, offset: -1, enqueued_ms: 0 });
    assert_eq!((partition.begin_sequence(), partition.next_sequence()), (0, 0));
    assert_eq!((partition.start(&Position::Earliest), partition.start(&Position::Latest)), (Ok(0), Ok(0)));
    assert!(sequences(&partition, 0).is_empty());
}

#[test]
fn offsets_grow_by_the_size_of_each_event() {
    let events = one_partition(3);
    let partition = events.partition(0).unwrap();
    let mut offset = 0;
    for event in partition.from(0) {
        assert_eq!(event.place.offset, offset);
        offset += event.len() as i64;
    }
    assert_eq!(partition.last().sequence, 2);
    assert_ne!(partition.last().offset, partition.last().sequence);
}

#[test]
fn times_never_go_back() {
    let mut partition = Partition::default();
    let mut scratch = BytesMut::new();
    for at in [5, 3, 9] {
        partition.append(accepted("d1", b"x", at), &mut scratch);
    }
    assert_eq!(partition.from(0).map(|event| event.place.enqueued_ms).collect::<Vec<_>>(), [5, 5, 9]);
}

#[test]
fn what_is_forgotten_keeps_its_numbers() {
    let events = one_partition_keeping(10, 4);
    let partition = events.partition(0).unwrap();
    assert_eq!((partition.begin_sequence(), partition.next_sequence()), (6, 10));
    assert_eq!(sequences(partition, 0), [6, 7, 8, 9]);
    assert_eq!(sequences(partition, 8), [8, 9]);
    assert!(sequences(partition, i64::MAX).is_empty());
    let events = one_partition_keeping(10, 0);
    let partition = events.partition(0).unwrap();
    assert_eq!((partition.is_empty(), partition.begin_sequence(), partition.last().sequence), (true, 10, 9));
}

#[test]
fn a_start_after_the_last_event_is_refused_as_the_service_does() {
    let events = one_partition(3);
    let partition = events.partition(0).unwrap();
    let start = |mark, value| partition.start(&Position::At { mark, value, inclusive: true });
    assert_eq!(start(Mark::Sequence, 2), Ok(2));
    let text = "The supplied sequence number '3' is invalid. The last sequence number in the system is '2'";
    assert_eq!(start(Mark::Sequence, 3).unwrap_err().to_string(), text);
    let text = format!(
        "The supplied offset '51541496928' is invalid. The last offset in the system is '{}'",
        partition.last().offset
    );
    assert_eq!(start(Mark::Offset, 51_541_496_928).unwrap_err().to_string(), text);
    assert_eq!(start(Mark::Enqueued, i64::MAX), Ok(3));
}

proptest! {
    #[test]
    fn a_reader_starts_at_the_first_event_that_its_filter_lets_pass(
        steps in prop::collection::vec(-2_i64..5, 0..20),
        kept in 0_usize..20,
        mark in prop::sample::select(vec![Mark::Offset, Mark::Sequence, Mark::Enqueued]),
        near in -1_i64..22,
        inclusive in any::<bool>(),
    ) {
        let mut partition = Partition::default();
        let mut time = 10;
        for step in &steps {
            time += step;
            partition.append(accepted("d1", b"x", time), &mut BytesMut::new());
        }
        while partition.events.len() > kept {
            partition.forget_oldest();
        }
        // Near an event's own offset, on it and beside it.
        let value = if mark == Mark::Offset { near * (partition.next_offset / steps.len().max(1) as i64) / 2 } else { near };
        let passes = |at: i64| if inclusive { at >= value } else { at > value };
        let expected: Vec<i64> = partition
            .from(0)
            .filter(|event| passes(mark.of(event.place)))
            .map(|event| event.place.sequence)
            .collect();
        let last = match mark {
            Mark::Offset => partition.last.offset,
            Mark::Sequence => partition.last.sequence,
            Mark::Enqueued => i64::MAX,
        };
        match partition.start(&Position::At { mark, value, inclusive }) {
            Ok(start) => prop_assert_eq!(sequences(&partition, start), expected),
            Err(_) => prop_assert!(value > last),
        }
    }
}
