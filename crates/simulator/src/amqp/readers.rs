//! Links that read from the built-in endpoint: what an attach asks for, who may read beside whom, what is next.
//!
//! Promises: texts and conditions are the service's, for clients and people look at them. A reader gets every kept event
//! of its partition from its start on, in order, once; one that is slower than events are forgotten goes on at the oldest.
//! Relies on the caller for tokens, and for telling those who lose their place. Knows no socket and no clock.

use std::collections::HashMap;
use std::hash::Hash;

use amqp::message::Message;
use amqp::performative::{Attach, Error, Source};
use amqp::value::{Fields, Symbol, Value};
use bytes::{BufMut as _, Bytes, BytesMut};
use percent_encoding::percent_decode_str;

use crate::events::{Events, Last, Position};

/// The start, in a source's filter.
const SELECTOR: &str = "apache.org:selector-filter:string";
/// The same as a number: how most clients describe the filter's value.
const SELECTOR_CODE: u64 = 0x0000_468C_0000_0004;
/// Who has it reads alone.
const EPOCH: &str = "com.microsoft:epoch";
const RECEIVER_NAME: &str = "com.microsoft:receiver-name";
/// Wanted by who likes to know with every event how much there is still to come.
const RUNTIME_METRIC: Symbol = Symbol::known("com.microsoft:enable-receiver-runtime-metric");

/// As Azure bounds the names of consumer groups.
const GROUP_CHARS_MAX: usize = 50;
/// A filter that means something is shorter, and so is a uuid.
const SHOWN_CHARS_MAX: usize = 128;
/// As the service does.
const READERS_WITHOUT_EPOCH_MAX: usize = 5;
/// What a reader takes at a time: it lies in the connection until the socket has it. 256 usual events are 200 KiB; one
/// that stops reading keeps at most 1 MiB and one event from being freed, whatever the store forgets meanwhile.
const TAKE_EVENTS_MAX: usize = 256;
const TAKE_BYTES_MAX: usize = 1 << 20;

/// `ENTITY/ConsumerGroups/GROUP/Partitions/NAME`, also as the path of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// The hub's name, or `messages/events`.
    pub(crate) entity: String,
    /// In lower case: the service does not tell it apart.
    pub(crate) group: String,
    pub(crate) partition: String,
}

impl Address {
    /// Reads an address; none when it is of another kind.
    pub(crate) fn parse(address: &str) -> Option<Self> {
        let path = match address.split_once("://") {
            Some((_, rest)) => rest.split_once('/')?.1,
            None => address.trim_start_matches('/'),
        };
        let mut from_behind = path.trim_end_matches('/').rsplitn(5, '/');
        let mut next = || from_behind.next().map(|segment| percent_decode_str(segment).decode_utf8_lossy());
        let (partition, partitions, group, groups, entity) = (next()?, next()?, next()?, next()?, next()?);
        let is_one = partitions.eq_ignore_ascii_case("Partitions")
            && groups.eq_ignore_ascii_case("ConsumerGroups")
            && !entity.is_empty();
        is_one.then(|| Self {
            entity: entity.into_owned(),
            group: group.to_ascii_lowercase(),
            partition: partition.into_owned(),
        })
    }
}

/// What an attach asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) address: Address,
    pub(crate) position: Position,
    pub(crate) epoch: Option<i64>,
    /// As texts name the reader.
    pub(crate) name: String,
    pub(crate) has_metrics: bool,
}

impl Wish {
    /// Reads the attach of a receiver whose address was read already. Every consumer group is taken to be there.
    pub(crate) fn read(address: Address, attach: &Attach) -> Result<Self, Error> {
        if !(1..=GROUP_CHARS_MAX).contains(&address.group.len()) {
            let (entity, group) = (shown(&address.entity), shown(&address.group));
            let text = format!("The messaging entity '{entity}|{group}' could not be found.");
            return Err(Error::new("amqp:not-found", text));
        }
        Ok(Self {
            address,
            position: attach.source.as_ref().map_or(Ok(Position::Earliest), position)?,
            epoch: attach.properties.get(EPOCH).map(epoch).transpose()?,
            name: shown(attach.properties.get(RECEIVER_NAME).and_then(Value::as_str).unwrap_or("nil")),
            has_metrics: attach.desired_capabilities.contains(&RUNTIME_METRIC),
        })
    }

    /// What to offer in the answer.
    pub(crate) fn offered_capabilities(&self) -> Vec<Symbol> {
        if self.has_metrics { vec![RUNTIME_METRIC] } else { Vec::new() }
    }
}

/// What a peer said, cut so that it fits into a text: the longest text names five readers, and 5 times 512 bytes with
/// the rest of an error are below 4 KiB, which fits into one frame of every known client.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

/// Without a filter all there is. Other filters than the selector are let pass.
fn position(source: &Source) -> Result<Position, Error> {
    let Some(filter) = source.filter.get(SELECTOR) else { return Ok(Position::Earliest) };
    let text = selector(filter);
    text.and_then(Position::parse).ok_or_else(|| {
        let filter = shown(text.unwrap_or_default());
        let text = format!("The filter '{filter}' is not a valid amqp filter for EventHub entities");
        Error::new("amqp:invalid-field", text)
    })
}

/// The text of a described string.
fn selector(filter: &Value) -> Option<&str> {
    let Value::Described(pair) = filter else { return None };
    let (descriptor, Value::String(text)) = pair.as_ref() else { return None };
    let is_selector = match descriptor {
        Value::Ulong(code) => *code == SELECTOR_CODE,
        Value::Symbol(word) => word.as_str() == SELECTOR,
        _ => false,
    };
    is_selector.then_some(text)
}

fn epoch(value: &Value) -> Result<i64, Error> {
    value
        .as_i64()
        .filter(|epoch| *epoch >= 0)
        .ok_or_else(|| Error::new("amqp:invalid-field", format!("{EPOCH} must be a long, 0 or more")))
}

/// A reader that has its place.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) partition: usize,
    /// The number of the next event.
    next: i64,
    has_metrics: bool,
}

impl Reader {
    /// Finds partition and start.
    pub(crate) fn open(wish: &Wish, events: &Events) -> Result<Self, Error> {
        let number = events.number_of(&wish.address.partition);
        let found = number.and_then(|number| events.partition(number).map(|partition| (number, partition)));
        let (number, partition) = found.ok_or_else(|| {
            let most = events.partition_count() - 1;
            let text = format!(
                "The specified partition is invalid for an EventHub partition sender or receiver. \
                 It should be between 0 and {most}."
            );
            Error::new("com.microsoft:argument-out-of-range", text)
        })?;
        let next = partition
            .start(&wish.position)
            .map_err(|beyond| Error::new("com.microsoft:argument-error", beyond.to_string()))?;
        Ok(Self { partition: number, next, has_metrics: wish.has_metrics })
    }

    /// Encoded messages to be sent, in order, at most `credit`. Less may come than there is: ask again when they are
    /// sent, until none comes.
    pub(crate) fn take(&mut self, events: &Events, credit: usize, now_ms: i64) -> Vec<Bytes> {
        let Some(partition) = events.partition(self.partition) else { return Vec::new() };
        let front = if self.has_metrics { metrics(partition.last(), now_ms) } else { Bytes::new() };
        let begin = self.next.max(partition.begin_sequence());
        let mut taken: Vec<Bytes> = Vec::new();
        let mut bytes = 0;
        for event in partition.from(begin).take(credit.min(TAKE_EVENTS_MAX)) {
            // Looked at before an event is taken, so that one larger than the bound gets through too.
            if bytes >= TAKE_BYTES_MAX {
                break;
            }
            bytes += event.len();
            taken.push(behind(&front, event.message()));
        }
        self.next = begin.saturating_add_unsigned(taken.len() as u64);
        taken
    }

    /// Whether [`Reader::take`] would give something.
    pub(crate) fn has_more(&self, events: &Events) -> bool {
        events.partition(self.partition).is_some_and(|partition| partition.from(self.next).next().is_some())
    }
}

/// Delivery annotations, which stand in front of all that an event is made of.
fn metrics(last: Last, now_ms: i64) -> Bytes {
    let annotations = Fields::default()
        .with("last_enqueued_sequence_number", last.sequence)
        .with("last_enqueued_offset", last.offset.to_string())
        .with("last_enqueued_time_utc", Value::Timestamp(last.enqueued_ms))
        .with("runtime_info_retrieval_time_utc", Value::Timestamp(now_ms));
    Message { delivery_annotations: annotations, ..Message::default() }.to_bytes()
}

fn behind(front: &Bytes, message: Bytes) -> Bytes {
    if front.is_empty() {
        return message;
    }
    let mut whole = BytesMut::with_capacity(front.len() + message.len());
    whole.put_slice(front);
    whole.put_slice(&message);
    whole.freeze()
}

/// One who reads, by what the caller knows it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seat<K> {
    pub(crate) key: K,
    pub(crate) name: String,
    pub(crate) epoch: Option<i64>,
}

/// Whether `newcomer` may read where `present` do, all in one group and partition. Gives those who must go, and what they
/// are to be told.
fn admit<K: Clone>(present: &[Seat<K>], newcomer: &Seat<K>) -> Result<Vec<(K, Error)>, Error> {
    let highest = present.iter().filter(|seat| seat.epoch.is_some()).max_by_key(|seat| seat.epoch);
    match (newcomer.epoch, highest) {
        (None, Some(Seat { epoch: Some(epoch), .. })) => Err(no_epoch(*epoch)),
        (None, _) if present.len() >= READERS_WITHOUT_EPOCH_MAX => Err(too_many(present)),
        (None, _) => Ok(Vec::new()),
        (Some(new), Some(Seat { epoch: Some(epoch), name, .. })) if *epoch > new => {
            Err(too_low((name, *epoch), (&newcomer.name, new)))
        }
        (Some(new), _) => {
            Ok(present.iter().map(|seat| (seat.key.clone(), stolen((&newcomer.name, new), seat))).collect())
        }
    }
}

fn no_epoch(epoch: i64) -> Error {
    let text = format!(
        "At least one receiver for the endpoint is created with epoch of '{epoch}', and so non-epoch receiver is not \
         allowed. Either reconnect with a higher epoch, or make sure all epoch receivers are closed or disconnected."
    );
    Error::new("amqp:link:stolen", text)
}

fn too_low((name, epoch): (&str, i64), (new_name, new): (&str, i64)) -> Error {
    let text = format!(
        "Receiver '{name}' with a higher epoch '{epoch}' already exists. Receiver '{new_name}' with epoch {new} cannot \
         be created. Make sure you are creating receiver with increasing epoch value to ensure connectivity, or ensure \
         all old epoch receivers are closed or disconnected."
    );
    Error::new("amqp:link:stolen", text)
}

fn stolen<K>((new_name, new): (&str, i64), seat: &Seat<K>) -> Error {
    let (name, epoch) = (&seat.name, seat.epoch.map_or_else(|| "nil".to_owned(), |epoch| epoch.to_string()));
    let text = format!(
        "New receiver '{new_name}' with higher epoch of '{new}' is created hence current receiver '{name}' with epoch \
         '{epoch}' is getting disconnected. If you are recreating the receiver, make sure a higher epoch is used."
    );
    Error::new("amqp:link:stolen", text)
}

fn too_many<K>(present: &[Seat<K>]) -> Error {
    let names: Vec<&str> = present.iter().map(|seat| seat.name.as_str()).collect();
    let text = format!(
        "Exceeded the maximum number of allowed receivers per partition in a consumer group which is \
         {READERS_WITHOUT_EPOCH_MAX}. List of connected receivers - {}.",
        names.join(", ")
    );
    Error::new("amqp:resource-limit-exceeded", text)
}

/// Who reads where, over all connections. As large as there are links: a group is forgotten with its last reader.
#[derive(Debug)]
pub(crate) struct Seats<K>(HashMap<(String, usize), Vec<Seat<K>>>);

impl<K> Default for Seats<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Clone + Eq + Hash> Seats<K> {
    /// Gives a place to who asks for it. Those that are returned have lost theirs and are to be detached.
    pub(crate) fn sit(&mut self, group: &str, partition: usize, seat: Seat<K>) -> Result<Vec<(K, Error)>, Error> {
        let place = (group.to_owned(), partition);
        let losers = admit(self.0.get(&place).map_or(&[], Vec::as_slice), &seat)?;
        let seats = self.0.entry(place).or_default();
        seats.retain(|seat| losers.iter().all(|(key, _)| *key != seat.key));
        seats.push(seat);
        Ok(losers)
    }

    /// Takes the place of a reader that is gone; nothing when it has lost it before.
    pub(crate) fn leave(&mut self, group: &str, partition: usize, key: &K) {
        let place = (group.to_owned(), partition);
        if let Some(seats) = self.0.get_mut(&place) {
            seats.retain(|seat| seat.key != *key);
            if seats.is_empty() {
                self.0.remove(&place);
            }
        }
    }
}

#[cfg(test)]
mod tests;
