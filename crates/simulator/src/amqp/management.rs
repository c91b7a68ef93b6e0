//! The `$management` node of the built-in endpoint: READ of the hub and of its partitions.
//!
//! Promises: every request gets an answer with the correlation id in the type that the request's id had; types are those
//! that Microsoft's clients insist on (`status-code` an int, `partition_ids` an array of strings). Does not know tokens:
//! the caller says whether one is good.

use amqp::message::{Body, Message, Properties};
use amqp::value::{Symbol, Value};

use crate::events::{Events, Partition};

/// What can be read of.
pub(crate) struct Hub<'a> {
    /// What it goes by (hub name, `messages/events`), in any case of letters; answers say the first.
    pub(crate) names: &'a [&'a str],
    pub(crate) created_ms: i64,
    pub(crate) events: &'a Events,
}

/// Why there is nothing to read.
struct Refusal {
    status: i32,
    condition: &'static str,
    text: String,
}

impl Refusal {
    fn bad_request(text: impl Into<String>) -> Self {
        Self { status: 400, condition: "amqp:not-allowed", text: text.into() }
    }

    fn unauthorized() -> Self {
        let text = "Unauthorized access. 'Listen' claim(s) are required to perform this operation.".to_owned();
        Self { status: 401, condition: "amqp:unauthorized-access", text }
    }

    /// Names come from outside, so they are cut.
    fn not_found(what: &str) -> Self {
        let shown: String = what.chars().take(128).collect();
        let text = format!("The messaging entity '{shown}' could not be found.");
        Self { status: 404, condition: "amqp:not-found", text }
    }
}

/// Answers a request. `is_allowed` is asked about its security token, where it has one.
pub(crate) fn answer(hub: &Hub<'_>, request: &Message, is_allowed: impl FnOnce(Option<&str>) -> bool) -> Message {
    let (status, text, condition, body) = match read(hub, request, is_allowed) {
        Ok(map) => (200, "OK".to_owned(), None, map),
        Err(refusal) => (refusal.status, refusal.text, Some(refusal.condition), Value::Null),
    };
    let outcome = [("status-code", Value::Int(status)), ("status-description", text.into())];
    let condition = condition.map(|word| ("error-condition", Symbol::known(word).into()));
    Message {
        properties: Properties {
            to: request.properties.reply_to.clone(),
            correlation_id: request.properties.message_id.clone(),
            ..Properties::default()
        },
        application_properties: outcome.into_iter().chain(condition).map(|(name, v)| (name.to_owned(), v)).collect(),
        body: Body::Value(body),
        ..Message::default()
    }
}

fn read(hub: &Hub<'_>, request: &Message, is_allowed: impl FnOnce(Option<&str>) -> bool) -> Result<Value, Refusal> {
    if !is_allowed(text(request, "security_token")) {
        return Err(Refusal::unauthorized());
    }
    if text(request, "operation") != Some("READ") {
        return Err(Refusal::bad_request("The operation is not supported: READ is the only one."));
    }
    let name = text(request, "name").unwrap_or_default();
    if !hub.names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return Err(Refusal::not_found(name));
    }
    match text(request, "type") {
        Some("com.microsoft:eventhub") => Ok(whole(hub)),
        Some("com.microsoft:partition") => partition(hub, text(request, "partition").unwrap_or_default()),
        _ => Err(Refusal::bad_request("The type is neither com.microsoft:eventhub nor com.microsoft:partition.")),
    }
}

/// An application property. Keys are told apart by case, as everywhere in AMQP.
fn text<'m>(request: &'m Message, name: &str) -> Option<&'m str> {
    request.application_properties.iter().find(|(key, _)| key == name).and_then(|(_, value)| value.as_str())
}

fn whole(hub: &Hub<'_>) -> Value {
    let count = hub.events.partition_count();
    map([
        ("name", name(hub)),
        ("created_at", Value::Timestamp(hub.created_ms)),
        ("partition_count", Value::Int(i32::try_from(count).unwrap_or(i32::MAX))),
        ("partition_ids", Value::Array((0..count).map(|number| number.to_string().into()).collect())),
    ])
}

fn partition(hub: &Hub<'_>, wanted: &str) -> Result<Value, Refusal> {
    let number = hub.events.number_of(wanted).ok_or_else(|| Refusal::not_found(wanted))?;
    let partition: &Partition = hub.events.partition(number).ok_or_else(|| Refusal::not_found(wanted))?;
    let last = partition.last();
    Ok(map([
        ("name", name(hub)),
        ("partition", wanted.into()),
        ("begin_sequence_number", Value::Long(partition.begin_sequence())),
        ("last_enqueued_sequence_number", Value::Long(last.sequence)),
        ("last_enqueued_offset", last.offset.to_string().into()),
        ("last_enqueued_time_utc", Value::Timestamp(last.enqueued_ms)),
        ("is_partition_empty", Value::Bool(partition.is_empty())),
    ]))
}

fn name(hub: &Hub<'_>) -> Value {
    hub.names.first().copied().unwrap_or_default().into()
}

fn map<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    Value::Map(pairs.map(|(name, value)| (name.into(), value)).into())
}

#[cfg(test)]
mod tests;
