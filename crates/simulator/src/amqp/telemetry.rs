//! Deliveries to telemetry: where each of the hub's properties stands in an AMQP message, and batches.
//!
//! Promises: ids come out as text whatever type they had (Node sends what looks like a uuid as one); a batch is taken
//! whole or not at all. Bounds are those of every protocol (`hub`).

use std::fmt::Write as _;

use amqp::connection::Delivery;
use amqp::message::{Body, Message, MessageId};
use amqp::value::Value;
use bytes::Bytes;

use crate::hub::{self, Refusal, Telemetry};

/// Data sections are messages themselves (C and C# SDK).
const BATCH_FORMAT: u32 = 0x8001_3700;

/// The messages of a delivery, one or many.
pub(super) fn messages(delivery: &Delivery) -> Result<Vec<Telemetry>, Refusal> {
    match delivery.message_format {
        0 => Ok(vec![message(&delivery.payload)?]),
        BATCH_FORMAT => batch(&delivery.payload),
        _ => Err(Refusal::argument("The message format is not supported")),
    }
}

fn batch(payload: &Bytes) -> Result<Vec<Telemetry>, Refusal> {
    let Body::Data(sections) = decode(payload)?.body else {
        return Err(Refusal::not_json("The batch has no data sections"));
    };
    hub::within_batch(sections.len())?;
    let messages: Vec<Telemetry> = sections.iter().map(message).collect::<Result<_, _>>()?;
    hub::batch_of(messages)
}

pub(super) fn decode(payload: &Bytes) -> Result<Message, Refusal> {
    Message::decode(payload).map_err(|error| Refusal::not_json(&format!("The message cannot be read: {error}")))
}

fn message(payload: &Bytes) -> Result<Telemetry, Refusal> {
    let Message { message_annotations, properties, application_properties, body, .. } = decode(payload)?;
    let text = |name| message_annotations.get(name).and_then(Value::as_str).map(str::to_owned);
    let telemetry = Telemetry {
        body: content(body)?,
        message_id: properties.message_id.map(id),
        correlation_id: properties.correlation_id.map(id),
        content_type: properties.content_type.map(|word| word.as_str().to_owned()),
        content_encoding: properties.content_encoding.map(|word| word.as_str().to_owned()),
        user_id: properties.user_id,
        expiry_ms: properties.absolute_expiry_time,
        creation_ms: properties.creation_time,
        subject: text("dt-subject"),
        properties: application_properties.into_iter().map(property).collect::<Result<_, _>>()?,
    };
    telemetry.checked()
}

/// The payload however it is wrapped.
pub(super) fn content(body: Body) -> Result<Bytes, Refusal> {
    match body {
        Body::Empty | Body::Value(Value::Null) => Ok(Bytes::new()),
        Body::Data(mut sections) => match sections.len() {
            1 => Ok(sections.remove(0)),
            _ => Ok(sections.concat().into()),
        },
        Body::Value(Value::String(text)) => Ok(text.into()),
        Body::Value(Value::Binary(bytes)) => Ok(bytes),
        Body::Value(_) | Body::Sequence(_) => Err(Refusal::argument("The body is neither data nor text")),
    }
}

pub(super) fn id(id: MessageId) -> String {
    match id {
        MessageId::String(text) => text,
        MessageId::Ulong(number) => number.to_string(),
        MessageId::Uuid(bytes) => uuid(&bytes),
        MessageId::Binary(bytes) => hex(&bytes),
    }
}

fn uuid(bytes: &[u8; 16]) -> String {
    let hex = hex(bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Clients send text; what else has a plain spelling is taken as well.
pub(super) fn property((name, value): (String, Value)) -> Result<(String, String), Refusal> {
    let text = match value {
        Value::String(text) => text,
        Value::Symbol(word) => word.as_str().to_owned(),
        Value::Null => String::new(),
        Value::Bool(yes) => yes.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Char(one) => one.to_string(),
        Value::Uuid(bytes) => uuid(&bytes),
        Value::Ulong(number) => number.to_string(),
        other => match other.as_i64() {
            Some(number) => number.to_string(),
            None => return Err(Refusal::argument("A property is neither text nor a number")),
        },
    };
    Ok((name, text))
}

#[cfg(test)]
mod tests;
