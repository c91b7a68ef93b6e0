//! What the door needs to know of a body, and no more: which format, what happened, to whom.
//!
//! Promises: decides by the body alone, never by the path it was posted to; takes a few microseconds, because nothing
//! is built that is not asked for; takes no stack, however deep the body is. A message without device or application
//! is no error here: what becomes of it is the caller's decision.

use serde_json::value::RawValue;

use crate::event::EventKind;
use crate::ids::Ids;
use crate::ordered::{Members, Shape};
use crate::{stranger, ttn_v2, tts_v3};

/// Whose words a body uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// The Things Stack, version 3.
    TtsV3,
    /// The Things Network, version 2, and whoever copied its HTTP integration.
    TtnV2,
}

impl Format {
    /// `tts-v3` or `ttn-v2`, to be written down and read again.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TtsV3 => "tts-v3",
            Self::TtnV2 => "ttn-v2",
        }
    }

    /// The format with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::TtsV3, Self::TtnV2].into_iter().find(|format| format.as_str() == word)
    }
}

/// What is on the outside of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Whose words it uses.
    pub format: Format,
    /// What happened.
    pub kind: EventKind,
    /// The application, as the network calls it.
    pub application: Option<String>,
    /// The device, as the network calls it; unique only inside the application.
    pub device: Option<String>,
    /// The DevEUI, as written.
    pub dev_eui: Option<String>,
}

/// Why a body is no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// No JSON at all.
    #[error("the body is not JSON: {cause} at line {line}, column {column}")]
    NotJson {
        /// Line, from 1.
        line: usize,
        /// Byte of the line, from 1; 0 when the line before it is at fault.
        column: usize,
        /// What is wrong there.
        cause: String,
    },
    /// JSON, but not what we know.
    #[error("{detail}")]
    NotUnderstood {
        /// One sentence for the person who set the sender up.
        detail: String,
    },
}

impl Unreadable {
    pub(crate) fn not_understood(detail: impl Into<String>) -> Self {
        Self::NotUnderstood { detail: detail.into() }
    }
}

/// Reads the outside of a body.
///
/// # Errors
/// [`Unreadable::NotJson`] for what no JSON reader takes, [`Unreadable::NotUnderstood`] for JSON of another kind, and
/// for messages that could be read in two ways.
pub fn read(body: &[u8]) -> Result<Envelope, Unreadable> {
    let members = open(body)?;
    let (format, kind) = recognise(&members)?;
    let ids = match format {
        Format::TtsV3 => tts_v3::ids(&members)?,
        Format::TtnV2 => ttn_v2::ids(&members)?,
    };
    Ok(envelope(format, kind, ids))
}

fn envelope(format: Format, kind: EventKind, ids: Ids<'_>) -> Envelope {
    Envelope {
        format,
        kind,
        application: ids.application.map(Into::into),
        device: ids.device.map(Into::into),
        dev_eui: ids.dev_eui.map(Into::into),
    }
}

/// The members of the body's one object.
pub(crate) fn open(body: &[u8]) -> Result<Members<'_>, Unreadable> {
    let text = characters(body)?;
    if text.trim_ascii_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| not_json(&error));
    }
    let value: &RawValue = serde_json::from_str(text).map_err(|error| not_json(&error))?;
    Err(Unreadable::not_understood(format!("the body is {}, not an object", Shape::of(value))))
}

fn recognise(members: &Members<'_>) -> Result<(Format, EventKind), Unreadable> {
    if let Some(kind) = tts_v3::kind(members)? {
        return Ok((Format::TtsV3, kind));
    }
    if ttn_v2::is_uplink(members) {
        return Ok((Format::TtnV2, EventKind::UplinkMessage));
    }
    Err(Unreadable::not_understood(stranger::describe(members)))
}

/// The text of a body. Some senders start it with a byte order mark, which JSON does not know.
pub(crate) fn characters(body: &[u8]) -> Result<&str, Unreadable> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let refuse = |at: usize, cause: &str| {
        let (line, column) = position(body, at);
        Err(Unreadable::NotJson { line, column, cause: cause.to_owned() })
    };
    match std::str::from_utf8(body) {
        Ok(text) if text.trim_ascii().is_empty() => refuse(body.len(), "it is empty"),
        Ok(text) => Ok(text),
        Err(error) => refuse(error.valid_up_to(), "a byte that is not UTF-8"),
    }
}

fn position(body: &[u8], at: usize) -> (usize, usize) {
    let before = &body[..at];
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let column = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
    (line, column)
}

fn not_json(error: &serde_json::Error) -> Unreadable {
    let said = error.to_string();
    // The position is said by our own words.
    let cause = said.split(" at line ").next().unwrap_or("it cannot be read").to_owned();
    let cause = match cause.as_str() {
        "trailing characters" => "something follows the first JSON value (send one message a request)".to_owned(),
        _ => cause,
    };
    Unreadable::NotJson { line: error.line(), column: error.column(), cause }
}
