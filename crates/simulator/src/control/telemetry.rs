//! What devices sent since somebody looked last.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use serde_json::json;

use super::{Control, SHOWN_MAX, problem};
use crate::connections::Ask;
use crate::https::{json, query};
use crate::record::Recorded;

/// Bytes of a body shown: the newest 50 make 200 KiB then, asked for once a second.
const BODY_MAX: usize = 4096;

/// A message for the page. The body is text, for numbers are to stay as they were sent.
#[derive(Serialize)]
struct Shown<'a> {
    hub: &'a str,
    device_id: &'a str,
    enqueued_at: &'a str,
    message_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    bytes: usize,
}

impl<'a> Shown<'a> {
    fn of(message: &'a Recorded) -> Self {
        let bytes = message.body.len();
        let beginning = &message.body[..bytes.min(BODY_MAX)];
        let is_text = std::str::from_utf8(&message.body).is_ok();
        Self {
            hub: &message.hub,
            device_id: &message.device_id,
            enqueued_at: &message.enqueued_at,
            message_id: message.message_id.as_deref(),
            body: is_text.then(|| String::from_utf8_lossy(beginning)),
            body_base64: (!is_text).then(|| STANDARD.encode(beginning)),
            bytes,
        }
    }
}

impl Control {
    /// `?after=POSITION`: the newest behind it, oldest first, at most as many as the page shows; without it the last ones.
    pub(super) fn telemetry(&self, ask: &Ask) -> Response<Full<Bytes>> {
        let after = match query(ask, "after").map(|after| after.parse::<u64>()) {
            None => None,
            Some(Ok(after)) => Some(after),
            Some(Err(_)) => return problem(StatusCode::BAD_REQUEST, "after: give `position` of the answer before"),
        };
        let (position, messages) = self.cloud.messages_after(after, SHOWN_MAX);
        let first = position - messages.len() as u64;
        let missed = after.filter(|after| *after <= first).map_or(0, |after| first - after);
        let messages: Vec<_> = messages.iter().map(Shown::of).collect();
        json(StatusCode::OK, &json!({"position": position, "missed": missed, "messages": messages}))
    }
}
