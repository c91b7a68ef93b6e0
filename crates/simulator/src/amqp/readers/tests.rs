//! What clients attach with, who may read beside whom, and what a reader gets.

use amqp::performative::{ReceiverSettles, Role, SenderSettles};

use super::*;
use crate::events::tests::{accepted, one_partition, one_partition_keeping};

const FROM_THE_START: &str = "amqp.annotation.x-opt-offset > '-1'";

fn address() -> Address {
    Address::parse("hub/ConsumerGroups/$Default/Partitions/0").unwrap()
}

/// The attach of a reader, with what its client puts there.
fn attach(filter: Option<Value>, properties: Fields, desired: &[&'static str]) -> Attach {
    let filter = filter.map(|value| Fields::default().with(SELECTOR, value)).unwrap_or_default();
    Attach {
        name: "r".to_owned(),
        handle: 0,
        role: Role::Receiver,
        snd_settle_mode: SenderSettles::Mixed,
        rcv_settle_mode: ReceiverSettles::First,
        source: Some(Source { filter, ..Source::default() }),
        target: None,
        initial_delivery_count: None,
        max_message_size: None,
        offered_capabilities: Vec::new(),
        desired_capabilities: desired.iter().map(|word| Symbol::known(word)).collect(),
        properties,
    }
}

fn described(descriptor: impl Into<Value>, text: &str) -> Option<Value> {
    Some(Value::Described(Box::new((descriptor.into(), text.into()))))
}

fn wish(filter: &str, has_metrics: bool) -> Wish {
    let desired: &[&str] = if has_metrics { &["com.microsoft:enable-receiver-runtime-metric"] } else { &[] };
    Wish::read(address(), &attach(described(SELECTOR_CODE, filter), Fields::default(), desired)).unwrap()
}

fn reader(filter: &str, events: &Events) -> Reader {
    Reader::open(&wish(filter, false), events).unwrap()
}

/// The sequence numbers of encoded messages.
fn sequences(messages: &[Bytes]) -> Vec<i64> {
    let annotations = messages.iter().map(|bytes| Message::decode(bytes).unwrap().message_annotations);
    annotations.map(|fields| fields.get("x-opt-sequence-number").unwrap().as_i64().unwrap()).collect()
}

#[test]
fn addresses_come_as_paths_and_as_urls() {
    for (address, entity, group, partition) in [
        ("hub/ConsumerGroups/$Default/Partitions/0", "hub", "$default", "0"),
        ("hub/consumergroups/My-Group/partitions/13", "hub", "my-group", "13"),
        ("/messages/events/ConsumerGroups/$Default/Partitions/1", "messages/events", "$default", "1"),
        ("amqps://localhost/hub/ConsumerGroups/%24Default/Partitions/2", "hub", "$default", "2"),
        ("sb://localhost:5671/messages/events/ConsumerGroups/g/Partitions/3/", "messages/events", "g", "3"),
    ] {
        let expected = Address { entity: entity.to_owned(), group: group.to_owned(), partition: partition.to_owned() };
        assert_eq!(Address::parse(address), Some(expected), "{address}");
    }
}

#[test]
fn other_addresses_are_no_readers() {
    for address in [
        "",
        "$management",
        "ConsumerGroups/$Default/Partitions/0",
        "/ConsumerGroups/$Default/Partitions/0",
        "amqps://localhost",
        "amqps://localhost/ConsumerGroups/$Default/Partitions/0",
        "hub/ConsumerGroups/$Default",
        "hub/ConsumerGroups/$Default/Partitions",
        "hub/Publishers/$Default/Partitions/0",
        "/devices/d1/messages/devicebound",
    ] {
        assert_eq!(Address::parse(address), None, "{address}");
    }
}

#[test]
fn a_filter_is_described_by_number_or_word() {
    for descriptor in [Value::Ulong(SELECTOR_CODE), Value::Symbol(SELECTOR.into())] {
        let attach = attach(described(descriptor, "amqp.annotation.x-opt-offset > '@latest'"), Fields::default(), &[]);
        assert_eq!(Wish::read(address(), &attach).unwrap().position, Position::Latest);
    }
    let none = Wish::read(address(), &attach(None, Fields::default(), &[])).unwrap();
    assert_eq!(none.position, Position::Earliest);
}

#[test]
fn another_filter_is_refused_with_its_text() {
    let refused = |filter| Wish::read(address(), &attach(filter, Fields::default(), &[])).unwrap_err();
    let error = refused(described(SELECTOR_CODE, "amqp.annotation.x-opt-offset > no offset"));
    assert_eq!(error.condition.as_str(), "amqp:invalid-field");
    let text = "The filter 'amqp.annotation.x-opt-offset > no offset' is not a valid amqp filter for EventHub entities";
    assert_eq!(error.description.as_deref(), Some(text));
    for filter in [
        Some(FROM_THE_START.into()),
        described(7_u64, FROM_THE_START),
        Some(Value::Null),
        Some(Value::Described(Box::new((Value::Ulong(SELECTOR_CODE), Value::Int(1))))),
    ] {
        assert_eq!(refused(filter).condition.as_str(), "amqp:invalid-field");
    }
    let long = refused(described(SELECTOR_CODE, &"ü".repeat(100_000)));
    assert!(long.description.unwrap().len() < 1_000);
}

#[test]
fn epoch_and_name_come_from_the_properties() {
    let properties = Fields::default().with(EPOCH, 3_i64).with(RECEIVER_NAME, "r-1");
    let wish = Wish::read(address(), &attach(None, properties, &[])).unwrap();
    assert_eq!((wish.epoch, wish.name.as_str()), (Some(3), "r-1"));
    for value in [Value::Long(-1), "1".into()] {
        let refused = Wish::read(address(), &attach(None, Fields::default().with(EPOCH, value), &[])).unwrap_err();
        assert_eq!(refused.condition.as_str(), "amqp:invalid-field");
    }
}

#[test]
fn only_what_is_wanted_and_there_is_offered() {
    let wanted = ["com.microsoft:georeplication", "com.microsoft:enable-receiver-runtime-metric"];
    let wish = Wish::read(address(), &attach(None, Fields::default(), &wanted)).unwrap();
    assert_eq!(wish.offered_capabilities(), [RUNTIME_METRIC]);
    let wish = Wish::read(address(), &attach(None, Fields::default(), &wanted[..1])).unwrap();
    assert_eq!(wish.offered_capabilities(), []);
}

#[test]
fn every_group_is_there_but_none_with_an_impossible_name() {
    for (group, is_there) in [("g", true), (&*"g".repeat(50), true), (&*"g".repeat(51), false), ("", false)] {
        let address = Address::parse(&format!("hub/ConsumerGroups/{group}/Partitions/0")).unwrap();
        let read = Wish::read(address, &attach(None, Fields::default(), &[]));
        assert_eq!(
            read.map_err(|error| error.condition).err(),
            (!is_there).then(|| "amqp:not-found".into()),
            "{group}"
        );
    }
}

#[test]
fn a_partition_that_is_not_there_is_refused() {
    let events = Events::new(4);
    let mut wish = wish(FROM_THE_START, false);
    wish.address.partition = "4".to_owned();
    let error = Reader::open(&wish, &events).unwrap_err();
    assert_eq!(error.condition.as_str(), "com.microsoft:argument-out-of-range");
    assert!(error.description.unwrap().ends_with("It should be between 0 and 3."));
}

#[test]
fn a_checkpoint_of_another_hub_is_refused() {
    let error = Reader::open(&wish("amqp.annotation.x-opt-offset > '9'", false), &Events::new(1)).unwrap_err();
    assert_eq!(error.condition.as_str(), "com.microsoft:argument-error");
    let text = "The supplied offset '9' is invalid. The last offset in the system is '-1'";
    assert_eq!(error.description.as_deref(), Some(text));
}

#[test]
fn a_reader_gets_every_event_once_in_order_as_credit_allows() {
    let mut events = one_partition(5);
    let mut reader = reader(FROM_THE_START, &events);
    assert_eq!(sequences(&reader.take(&events, 3, 0)), [0, 1, 2]);
    assert!(sequences(&reader.take(&events, 0, 0)).is_empty());
    assert!(reader.has_more(&events));
    assert_eq!(sequences(&reader.take(&events, 300, 0)), [3, 4]);
    assert!(!reader.has_more(&events));
    events.append(accepted("d1", b"x", 0));
    assert_eq!(sequences(&reader.take(&events, 300, 0)), [5]);
}

#[test]
fn a_reader_of_what_is_new_gets_nothing_old() {
    let mut events = one_partition(5);
    let mut reader = reader("amqp.annotation.x-opt-offset > '@latest'", &events);
    assert!(sequences(&reader.take(&events, 10, 0)).is_empty());
    events.append(accepted("d1", b"x", 0));
    assert_eq!(sequences(&reader.take(&events, 10, 0)), [5]);
}

#[test]
fn a_reader_that_is_too_slow_goes_on_at_the_oldest() {
    let mut reader = reader(FROM_THE_START, &one_partition(1));
    let events = one_partition_keeping(10, 3);
    assert_eq!(sequences(&reader.take(&events, 2, 0)), [7, 8]);
    assert_eq!(sequences(&reader.take(&events, 2, 0)), [9]);
    let events = one_partition_keeping(20, 0);
    assert!(!reader.has_more(&events));
    assert!(sequences(&reader.take(&events, 2, 0)).is_empty());
}

#[test]
fn what_is_taken_at_a_time_is_bounded() {
    let events = one_partition(TAKE_EVENTS_MAX as i64 + 10);
    assert_eq!(reader(FROM_THE_START, &events).take(&events, usize::MAX, 0).len(), TAKE_EVENTS_MAX);
    let mut events = Events::new(1);
    for _ in 0..10 {
        events.append(accepted("d1", &[b'x'; TAKE_BYTES_MAX / 4], 0));
    }
    let mut reader = reader(FROM_THE_START, &events);
    let counts = [0, 1, 2].map(|_| reader.take(&events, usize::MAX, 0).len());
    assert_eq!(counts, [4, 4, 2]);
    let mut events = Events::new(1);
    events.append(accepted("d1", &[b'x'; TAKE_BYTES_MAX * 2], 0));
    assert_eq!(super::Reader { partition: 0, next: 0, has_metrics: false }.take(&events, 9, 0).len(), 1);
}

#[test]
fn metrics_stand_in_front_of_each_event_when_wanted() {
    let events = one_partition(2);
    let taken = Reader::open(&wish(FROM_THE_START, true), &events).unwrap().take(&events, 1, 9_000);
    let last = events.partition(0).unwrap().last();
    let expected = [
        ("last_enqueued_sequence_number", Value::Long(1)),
        ("last_enqueued_offset", Value::String(last.offset.to_string())),
        ("last_enqueued_time_utc", Value::Timestamp(2_000)),
        ("runtime_info_retrieval_time_utc", Value::Timestamp(9_000)),
    ];
    let message = Message::decode(&taken[0]).unwrap();
    let expected = Fields(expected.map(|(name, value)| (Symbol::known(name), value)).into());
    assert_eq!(message.delivery_annotations, expected);
    let plain = reader(FROM_THE_START, &events).take(&events, 1, 9_000);
    let plain = Message::decode(&plain[0]).unwrap();
    assert_eq!(Message { delivery_annotations: Fields::default(), ..message }, plain);
}

fn seat(key: u32, epoch: Option<i64>) -> Seat<u32> {
    Seat { key, name: format!("r{key}"), epoch }
}

/// Who is to go, or why the newcomer may not come.
fn sit(seats: &mut Seats<u32>, key: u32, epoch: Option<i64>) -> Result<Vec<u32>, String> {
    let losers = seats.sit("$default", 0, seat(key, epoch)).map_err(|error| error.condition.to_string())?;
    assert!(losers.iter().all(|(_, error)| error.condition.as_str() == "amqp:link:stolen"));
    Ok(losers.into_iter().map(|(key, _)| key).collect())
}

#[test]
fn a_higher_or_equal_epoch_takes_the_place_of_all_who_are_there() {
    let mut seats = Seats::default();
    assert_eq!(sit(&mut seats, 1, None), Ok(vec![]));
    assert_eq!(sit(&mut seats, 2, None), Ok(vec![]));
    assert_eq!(sit(&mut seats, 3, Some(0)), Ok(vec![1, 2]));
    assert_eq!(sit(&mut seats, 4, Some(0)), Ok(vec![3]));
    assert_eq!(sit(&mut seats, 5, Some(7)), Ok(vec![4]));
    assert_eq!(sit(&mut seats, 6, Some(6)), Err("amqp:link:stolen".to_owned()));
    assert_eq!(sit(&mut seats, 7, None), Err("amqp:link:stolen".to_owned()));
    seats.leave("$default", 0, &5);
    assert_eq!(sit(&mut seats, 8, None), Ok(vec![]));
}

#[test]
fn the_sixth_reader_without_an_epoch_is_refused() {
    let mut seats = Seats::default();
    for key in 0..5 {
        assert_eq!(sit(&mut seats, key, None), Ok(vec![]));
    }
    assert_eq!(sit(&mut seats, 5, None), Err("amqp:resource-limit-exceeded".to_owned()));
    assert_eq!(seats.sit("$default", 1, seat(5, None)), Ok(vec![]), "another partition has places of its own");
    assert_eq!(seats.sit("other", 0, seat(6, None)), Ok(vec![]), "another group has places of its own");
    seats.leave("$default", 0, &2);
    assert_eq!(sit(&mut seats, 7, None), Ok(vec![]));
}

#[test]
fn refusals_have_the_texts_of_the_service() {
    let text = |present: &[Seat<u32>], newcomer| admit(present, &newcomer).unwrap_err().description.unwrap();
    let there = [seat(1, Some(0))];
    assert_eq!(
        text(&there, seat(2, None)),
        "At least one receiver for the endpoint is created with epoch of '0', and so non-epoch receiver is not allowed. \
         Either reconnect with a higher epoch, or make sure all epoch receivers are closed or disconnected."
    );
    assert_eq!(
        text(&[seat(1, Some(1))], seat(2, Some(0))),
        "Receiver 'r1' with a higher epoch '1' already exists. Receiver 'r2' with epoch 0 cannot be created. Make sure \
         you are creating receiver with increasing epoch value to ensure connectivity, or ensure all old epoch \
         receivers are closed or disconnected."
    );
    let five: Vec<Seat<u32>> = (0..5).map(|key| seat(key, None)).collect();
    assert_eq!(
        text(&five, seat(5, None)),
        "Exceeded the maximum number of allowed receivers per partition in a consumer group which is 5. List of \
         connected receivers - r0, r1, r2, r3, r4."
    );
    let stolen = admit(&there, &seat(2, Some(0))).unwrap().remove(0).1;
    assert_eq!(
        stolen.description.unwrap(),
        "New receiver 'r2' with higher epoch of '0' is created hence current receiver 'r1' with epoch '0' is getting \
         disconnected. If you are recreating the receiver, make sure a higher epoch is used."
    );
}

#[test]
fn nothing_is_kept_of_a_group_without_readers() {
    let mut seats = Seats::default();
    sit(&mut seats, 1, None).unwrap();
    seats.leave("$default", 0, &9);
    assert_eq!(seats.0.len(), 1);
    seats.leave("$default", 0, &1);
    seats.leave("$default", 0, &1);
    assert!(seats.0.is_empty());
}
