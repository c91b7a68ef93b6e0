//! Provisioning over AMQP: requests on a device's sender become calls, answers go out on its receiver.
//!
//! Promises: the same answers as over HTTPS. One that is in order comes with the request's correlation id, as JSON in a
//! data section; an error is the outcome `rejected`, with the error JSON as its description. Seconds to wait stand under
//! both spellings: Node reads `retry-after`, C# reads `Retry-After`. Relies on the link for the registration's id (C# sends
//! no body when there is no payload) and for a bound on the size of requests.

use std::borrow::Cow;

use amqp::message::{Body, Message, Properties};
use amqp::performative::Error;
use amqp::value::{Fields, Symbol, Value};
use bytes::Bytes;
use serde::Serialize;

use crate::cloud::{Cloud, DpsCall};
use crate::dps::{Answer, Refusal};

const API_VERSION: &str = "com.microsoft:api-version";
const OPERATION_TYPE: &str = "iotdps-operation-type";
const OPERATION_ID: &str = "iotdps-operation-id";
const RETRY_AFTER: [&str; 2] = ["retry-after", "Retry-After"];

/// A device that wants to be registered.
#[derive(Clone)]
pub(super) struct Registration {
    pub(super) scope: String,
    pub(super) id: String,
    /// Empty where it brought none.
    pub(super) token: String,
    pub(super) api_version: Option<String>,
}

impl Registration {
    pub(super) fn without_token(scope: &str, id: &str) -> Self {
        Self { scope: scope.to_owned(), id: id.to_owned(), token: String::new(), api_version: None }
    }
}

/// The version that a link names in its properties.
pub(crate) fn api_version(link_properties: &Fields) -> Option<&str> {
    link_properties.get(API_VERSION).and_then(Value::as_str)
}

/// Performs a request. An error is for the outcome `rejected`; `tracking_id` names it.
pub(crate) fn answer(
    cloud: &Cloud,
    call: &DpsCall<'_>,
    request: &Message,
    tracking_id: &str,
) -> Result<Message, Error> {
    perform(cloud, call, request)
        .map(|reply| reply.message(request))
        .map_err(|refusal| rejection(&refusal, tracking_id, cloud.now_ms()))
}

/// JSON, and seconds until the next poll where one is due.
struct Reply {
    json: Vec<u8>,
    retry_after_s: Option<u64>,
}

fn perform(cloud: &Cloud, call: &DpsCall<'_>, request: &Message) -> Result<Reply, Refusal> {
    let pending = |answer: Answer| Reply::new(&answer, answer.is_pending.then(|| cloud.poll_after_s()));
    match text(request, OPERATION_TYPE) {
        Some("iotdps-register") => cloud.register(call, &content(&request.body)).map(pending),
        Some("iotdps-get-operationstatus") => {
            cloud.poll(call, text(request, OPERATION_ID).unwrap_or_default()).map(pending)
        }
        Some("iotdps-get-registration") => cloud.look_up(call).map(|state| Reply::new(&state, None)),
        _ => Err(Refusal::new(400, 400_004, "The operation type is missing or not known")),
    }
}

fn text<'m>(request: &'m Message, name: &str) -> Option<&'m str> {
    request.application_properties.iter().find(|(key, _)| key == name).and_then(|(_, value)| value.as_str())
}

/// The bytes of a body, however it is wrapped.
fn content(body: &Body) -> Cow<'_, [u8]> {
    match body {
        Body::Data(sections) => match sections.as_slice() {
            [one] => Cow::Borrowed(one),
            all => all.concat().into(),
        },
        Body::Value(Value::String(text)) => text.as_bytes().into(),
        Body::Value(Value::Binary(bytes)) => Cow::Borrowed(bytes),
        Body::Value(_) | Body::Sequence(_) | Body::Empty => Cow::Borrowed(&[]),
    }
}

impl Reply {
    fn new(body: &impl Serialize, retry_after_s: Option<u64>) -> Self {
        let json = serde_json::to_vec(body).expect("strings and numbers always serialise");
        Self { json, retry_after_s }
    }

    fn message(self, request: &Message) -> Message {
        let asked = &request.properties;
        Message {
            properties: Properties {
                correlation_id: asked.correlation_id.clone().or_else(|| asked.message_id.clone()),
                content_type: Some(Symbol::known("application/json")),
                ..Properties::default()
            },
            application_properties: self
                .retry_after_s
                .into_iter()
                .flat_map(waits)
                .map(|(k, v)| (k.to_owned(), v))
                .collect(),
            body: Body::Data(vec![Bytes::from(self.json)]),
            ..Message::default()
        }
    }
}

/// Both clients make a number of what they find; an int is what both can.
fn waits(seconds: u64) -> [(&'static str, Value); 2] {
    RETRY_AFTER.map(|name| (name, Value::Int(i32::try_from(seconds).unwrap_or(i32::MAX))))
}

fn rejection(refusal: &Refusal, tracking_id: &str, now_ms: i64) -> Error {
    let info = refusal.retry_after_s.into_iter().flat_map(waits).map(|(name, value)| (Symbol::known(name), value));
    let description = refusal.body(tracking_id, now_ms).to_string();
    Error { info: Fields(info.collect()), ..Error::new(condition(refusal.status), description) }
}

/// Node tries again after the last two, and after no other.
fn condition(status: u16) -> &'static str {
    match status {
        401 => "amqp:unauthorized-access",
        404 => "amqp:not-found",
        409 | 412 => "amqp:precondition-failed",
        413 => "amqp:link:message-size-exceeded",
        400..=428 => "com.microsoft:argument-error",
        429 => "com.microsoft:device-container-throttled",
        _ => "amqp:internal-error",
    }
}

#[cfg(test)]
mod tests;
