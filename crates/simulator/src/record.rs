//! The record of accepted messages: a file with one JSON line each, the last ones in memory, and whoever listens.
//!
//! Promises: a message is in the file, handed to the operating system, before the client is told that it was accepted;
//! a batch is in it whole or, when writing fails, not accepted. A body that is JSON stands there byte for byte.
//! Not promised: surviving a power cut. This is evidence for tests, not a queue.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::hub::Telemetry;
use crate::identity::timestamp;

/// How many of the last messages are kept to look at: 200 of at most 256 KiB are 50 MiB at worst.
const LAST_MAX: usize = 200;

/// An accepted message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Host name of the hub.
    pub hub: String,
    /// The device that sent it.
    pub device_id: String,
    /// When the hub took it, RFC 3339, UTC.
    pub enqueued_at: String,
    /// As the device named it.
    pub message_id: Option<String>,
    /// As the device named it.
    pub correlation_id: Option<String>,
    /// Of the body, as the device said.
    pub content_type: Option<String>,
    /// Of the body, as the device said.
    pub content_encoding: Option<String>,
    /// Application properties, and `iothub-creation-time-utc`.
    pub properties: BTreeMap<String, String>,
    /// As it came.
    pub body: Bytes,
}

/// The members of a line. Which body member is there says whether it was JSON.
#[derive(Serialize)]
struct Line<'a> {
    hub: &'a str,
    device_id: &'a str,
    enqueued_at: &'a str,
    message_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<&'a str>,
    content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: Option<&'a str>,
    properties: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

impl Recorded {
    pub(crate) fn new(hub: &str, device_id: &str, telemetry: Telemetry, now_ms: i64) -> Self {
        Self {
            hub: hub.to_owned(),
            device_id: device_id.to_owned(),
            enqueued_at: format!("{:.3}", timestamp(now_ms)),
            message_id: telemetry.message_id,
            correlation_id: telemetry.correlation_id,
            content_type: telemetry.content_type,
            content_encoding: telemetry.content_encoding,
            properties: telemetry.properties,
            body: telemetry.body,
        }
    }

    /// The message as a line of JSON, without the line's end.
    pub fn line(&self) -> String {
        let body = json_of(&self.body);
        let line = Line {
            hub: &self.hub,
            device_id: &self.device_id,
            enqueued_at: &self.enqueued_at,
            message_id: self.message_id.as_deref(),
            correlation_id: self.correlation_id.as_deref(),
            content_type: self.content_type.as_deref(),
            content_encoding: self.content_encoding.as_deref(),
            properties: &self.properties,
            body_base64: body.is_none().then(|| STANDARD.encode(&self.body)),
            body,
        };
        serde_json::to_string(&line).expect("strings and checked JSON always serialise")
    }
}

/// The body where it is JSON, byte for byte. Only line ends between tokens become spaces, for a line must stay one
/// (inside a string JSON has no bare ones).
fn json_of(body: &[u8]) -> Option<Box<RawValue>> {
    let raw: Box<RawValue> = serde_json::from_slice(body).ok()?;
    if !raw.get().contains(['\n', '\r']) {
        return Some(raw);
    }
    RawValue::from_string(raw.get().replace(['\n', '\r'], " ")).ok()
}

/// Who is told of each accepted message, after it stands in the file.
pub(crate) type Listener = std::sync::Arc<dyn Fn(&Recorded) + Send + Sync>;

/// Where accepted messages go.
pub(crate) struct Record {
    file: Option<std::fs::File>,
    last: VecDeque<Recorded>,
    /// Messages so far: the position of the last one.
    position: u64,
    listener: Option<Listener>,
}

impl Record {
    /// Appends to `path`, if there is one.
    pub(crate) fn open(path: Option<&Path>, listener: Option<Listener>) -> io::Result<Self> {
        let append = |path| std::fs::OpenOptions::new().append(true).create(true).open(path);
        Ok(Self { file: path.map(append).transpose()?, last: VecDeque::new(), position: 0, listener })
    }

    /// Takes messages, all or none. One write for all of them: nothing of another request comes in between.
    pub(crate) fn append(&mut self, messages: &[Recorded]) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            let lines: String = messages.iter().flat_map(|message| [message.line(), "\n".to_owned()]).collect();
            file.write_all(lines.as_bytes())?;
        }
        for message in messages {
            self.keep(message);
        }
        Ok(())
    }

    fn keep(&mut self, message: &Recorded) {
        if let Some(listener) = &self.listener {
            listener(message);
        }
        if self.last.len() >= LAST_MAX {
            self.last.pop_front();
        }
        self.last.push_back(message.clone());
        self.position += 1;
    }

    /// The position of the last message, and the last messages behind `position`, oldest first: as many as are kept and at most so many. A
    /// position that is none yet counts as that of another record: then all are new.
    pub(crate) fn after(&self, position: Option<u64>, count: usize) -> (u64, Vec<Recorded>) {
        let known = position.filter(|known| *known <= self.position).unwrap_or_default();
        let news = usize::try_from(self.position - known).unwrap_or(usize::MAX);
        (self.position, self.last(count.min(news)))
    }

    /// The last messages, oldest first.
    pub(crate) fn last(&self, count: usize) -> Vec<Recorded> {
        let skipped = self.last.len().saturating_sub(count);
        self.last.iter().skip(skipped).cloned().collect()
    }
}

#[cfg(test)]
mod tests;
