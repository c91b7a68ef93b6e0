//! The words in which all implementations say what they saw. `rhea_words.cjs` and `proton_words.py` say the same.

use amqp::connection::{Delivery, Detachment, Fate};
use amqp::message::{Body, Message};
use amqp::performative::{DeliveryState, Error};
use amqp::value::Fields;
use bytes::Bytes;
use serde_json::{Map, Value, json};

/// More than four frames of ours, some twenty of a stranger's.
pub(crate) const BIG_BYTES: usize = 300_000;
pub(crate) const NUMBERS: usize = 500;
pub(crate) const VERDICTS: [&str; 4] = ["accepted", "rejected", "released", "modified"];

pub(crate) fn gone() -> Error {
    Error::new("longhaul:gone", "the room is closed")
}

pub(crate) fn refused() -> Error {
    Error::new("longhaul:refused", "no such room")
}

pub(crate) fn bye() -> Error {
    Error::new("longhaul:bye", "so long")
}

pub(crate) fn big() -> Bytes {
    (0..BIG_BYTES).map(|i| u8::try_from(i % 251).expect("below 251")).collect()
}

pub(crate) fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte)).sum()
}

/// One of the four verdicts; anything else is taken.
pub(crate) fn verdict(word: &str) -> DeliveryState {
    match word {
        "rejected" => DeliveryState::Rejected(Some(Error::new("longhaul:no", "not this one"))),
        "released" => DeliveryState::Released,
        "modified" => DeliveryState::Modified {
            delivery_failed: true,
            undeliverable_here: true,
            message_annotations: Fields::default(),
        },
        _ => DeliveryState::Accepted,
    }
}

/// An error as one word and some more.
pub(crate) fn told(error: &Error) -> String {
    format!("{} {}", error.condition, error.description.as_deref().unwrap_or("null"))
}

/// What became of a delivery, as its sender sees it.
pub(crate) fn fate(fate: &Fate) -> String {
    match fate {
        Fate::Settled(Some(DeliveryState::Accepted)) => "accepted".to_owned(),
        Fate::Settled(Some(DeliveryState::Rejected(Some(error)))) => format!("rejected {}", told(error)),
        Fate::Settled(Some(DeliveryState::Released)) => "released".to_owned(),
        Fate::Settled(Some(DeliveryState::Modified { delivery_failed, undeliverable_here, .. })) => {
            let failed = if *delivery_failed { " failed" } else { "" };
            format!("modified{failed}{}", if *undeliverable_here { " undeliverable" } else { "" })
        }
        other => format!("{other:?}"),
    }
}

/// How the other side took a link away.
pub(crate) fn taken(detachment: &Detachment) -> String {
    let how = if detachment.closed { "closed" } else { "detached" };
    detachment.error.as_ref().map_or(how.to_owned(), |error| format!("{how} {}", told(error)))
}

/// A message with one data section.
pub(crate) fn data(body: impl Into<Bytes>) -> Bytes {
    Message { body: Body::Data(vec![body.into()]), ..Message::default() }.to_bytes()
}

/// The bytes of a whole delivery.
pub(crate) fn body(delivery: &Delivery) -> Bytes {
    match Message::decode(&delivery.payload).expect("a stranger's message can be read").body {
        Body::Data(sections) => sections.concat().into(),
        other => panic!("not data: {other:?}"),
    }
}

/// How often each was said.
pub(crate) fn tally<'a>(words: impl IntoIterator<Item = &'a String>) -> Value {
    let mut counts = Map::new();
    for word in words {
        let count = counts.get(word).and_then(Value::as_u64).unwrap_or(0);
        counts.insert(word.clone(), json!(count + 1));
    }
    Value::Object(counts)
}
