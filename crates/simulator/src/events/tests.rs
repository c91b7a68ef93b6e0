//! Who gets which partition, and what is forgotten when.

use bytes::Bytes;

use super::*;

/// What a device sent, with nothing special about it.
pub(crate) fn accepted(device_id: &str, body: &'static [u8], enqueued_ms: i64) -> Accepted {
    let body = Bytes::from_static(body);
    Accepted { device_id: device_id.to_owned(), body, enqueued_ms, ..Accepted::default() }
}

/// A hub with one partition and this many events in it, one a second from 1 s on.
pub(crate) fn one_partition(count: i64) -> Events {
    let mut events = Events::new(1);
    for second in 1..=count {
        events.append(accepted("d1", b"x", second * 1000));
    }
    events
}

/// The same, with all but the last `kept` forgotten.
pub(crate) fn one_partition_keeping(count: i64, kept: usize) -> Events {
    let mut events = one_partition(count);
    events.bounds.events = kept;
    events.forget();
    events
}

fn kept(events: &Events) -> usize {
    events.partitions.iter().map(|partition| partition.from(0).count()).sum()
}

#[test]
fn a_device_has_the_same_partition_in_every_version() {
    let at = ["eui-70b3d57ed0051234", "eui-70b3d57ed0051235", "d1", "d2", ""].map(|id| partition_of(id, PARTITIONS));
    assert_eq!(at, [2, 1, 3, 2, 2]);
}

#[test]
fn devices_are_spread_over_all_partitions() {
    let mut counts = [0; PARTITIONS];
    for number in 0..1000 {
        counts[partition_of(&format!("eui-70b3d57ed005{number:04x}"), PARTITIONS)] += 1;
    }
    assert!(counts.iter().all(|count| (200..300).contains(count)), "{counts:?}");
}

#[test]
fn all_events_of_a_device_are_in_one_partition_in_order() {
    let mut events = Events::default();
    let places: Vec<usize> = (0..10).map(|n| events.append(accepted("d1", b"x", n))).collect();
    assert!(places.iter().all(|at| *at == places[0]));
    let sequences: Vec<i64> = events.partition(places[0]).unwrap().from(0).map(|event| event.place.sequence).collect();
    assert_eq!(sequences, (0..10).collect::<Vec<_>>());
    assert_eq!(kept(&events), 10);
}

#[test]
fn the_oldest_of_the_whole_hub_go_first() {
    let mut events = Events::bounded(4, Bounds { events: 3, bytes: usize::MAX });
    for (at, id) in ["d1", "d2", "d3", "d1", "d1"].into_iter().enumerate() {
        events.append(accepted(id, b"x", at as i64));
    }
    let mut times: Vec<i64> =
        events.partitions.iter().flat_map(|partition| partition.from(0).map(|event| event.place.enqueued_ms)).collect();
    times.sort_unstable();
    assert_eq!(times, [2, 3, 4]);
}

#[test]
fn bytes_are_bounded_and_counted_right() {
    let mut events = Events::bounded(4, Bounds { events: usize::MAX, bytes: 2_000 });
    for n in 0..50 {
        events.append(accepted(&format!("d{n}"), &[b'x'; 100], n));
        assert!(events.bytes <= 2_000);
    }
    let held: usize = events.partitions.iter().flat_map(|partition| partition.from(0)).map(|event| event.len()).sum();
    assert_eq!((events.bytes, events.order.len()), (held, kept(&events)));
    assert!(kept(&events) >= 2);
}

#[test]
fn one_event_larger_than_the_bound_leaves_nothing_and_goes_on() {
    let mut events = Events::bounded(1, Bounds { events: 10, bytes: 1_000 });
    events.append(accepted("d1", &[b'x'; 2_000], 0));
    assert_eq!((kept(&events), events.bytes), (0, 0));
    events.append(accepted("d1", b"x", 0));
    assert_eq!(events.partition(0).unwrap().from(0).next().unwrap().place.sequence, 1);
}

#[test]
fn a_hub_has_1_to_32_partitions_and_each_one_name() {
    assert_eq!([0, 1, 32, 33].map(|count| Events::new(count).partition_count()), [1, 1, 32, 32]);
    let events = Events::new(12);
    assert_eq!(["0", "11"].map(|name| events.number_of(name)), [Some(0), Some(11)]);
    for name in ["12", "00", "+1", "-1", "", " 1", "a", "99999999999999999999"] {
        assert_eq!(events.number_of(name), None, "{name}");
    }
}
