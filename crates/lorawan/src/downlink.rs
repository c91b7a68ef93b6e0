//! A downlink, as The Things Stack takes it, and what it answers.
//!
//! Sources: `ApplicationDownlink` in the API definition (`messages.proto`), the Application Server's HTTP routes, and its errors
//! (docs/wire/the-things-stack.md).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

/// Ports that an application may use: 0 is the network's own, 224 is for tests, and what is above is reserved.
pub const F_PORTS: std::ops::RangeInclusive<u8> = 1..=223;
/// Characters of a correlation id, by the API definition.
pub const CORRELATION_ID_MAX: usize = 100;

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Payload {
    /// Bytes, as they go on the air.
    #[serde(rename = "frm_payload", serialize_with = "in_base64")]
    Raw(Vec<u8>),
    /// An object that the network's encoder for the device makes bytes of.
    #[serde(rename = "decoded_payload", serialize_with = "as_json")]
    Decoded(String),
}

/// When the network sends it, among others that wait for the same device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the network's words")]
pub enum Priority {
    Lowest,
    Low,
    BelowNormal,
    #[default]
    Normal,
    AboveNormal,
    High,
    Highest,
}

impl Priority {
    /// The priority with this word, however it is written (`HIGH`, `high`, `BelowNormal`), or with the API's number.
    pub fn from_word(word: &str) -> Option<Self> {
        const ALL: [Priority; 7] = [
            Priority::Lowest,
            Priority::Low,
            Priority::BelowNormal,
            Priority::Normal,
            Priority::AboveNormal,
            Priority::High,
            Priority::Highest,
        ];
        if let Ok(number) = word.trim().parse::<usize>() {
            return ALL.get(number).copied();
        }
        let letters = |word: &str| word.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_lowercase();
        let wanted = letters(word);
        ALL.into_iter().find(|priority| letters(&format!("{priority:?}")) == wanted)
    }
}

/// One downlink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Downlink {
    /// In [`F_PORTS`]; none: the network's encoder chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub f_port: Option<u8>,
    /// What is sent.
    #[serde(flatten)]
    pub payload: Payload,
    /// The device is to acknowledge it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub confirmed: bool,
    /// Before or after others.
    pub priority: Priority,
    /// Ours: it comes back in everything that the network says of it.
    pub correlation_ids: [String; 1],
}

/// The body of a push or a replace.
#[derive(Debug, Serialize)]
pub struct Queue<'a> {
    /// In the order in which they are sent.
    pub downlinks: &'a [Downlink],
}

/// What an answer to a push means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The network has it.
    Taken,
    /// It has it not and will not take it; its name for that, and its sentence.
    Refused(String),
    /// It has it not and may take it after so long, by its own word where it gave one.
    Later {
        /// None: it did not say.
        wait: Option<Duration>,
        /// Its sentence.
        why: String,
    },
    /// Whether it has it cannot be known.
    Doubt(String),
}

/// An error of The Things Stack: google.rpc.Status with its own details.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Trouble {
    message: String,
    details: Vec<Detail>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Detail {
    name: String,
    message_format: String,
}

/// Bytes of the network's own sentence that are kept.
const WHY_MAX: usize = 300;

/// PURE: judges by the status, and by the error's name where the status has more than one meaning. `retry` is the header `x-rate-limit-retry`
/// or `retry-after`, in seconds.
pub fn answer(status: u16, retry: Option<&str>, body: &[u8]) -> Answer {
    let trouble: Trouble = serde_json::from_slice(body).unwrap_or_default();
    let detail = trouble.details.first();
    let name = detail.map_or("", |detail| detail.name.as_str());
    let wait = retry.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    let why = why(status, name, detail, &trouble.message);
    match (status, name) {
        (200..=299, _) => Answer::Taken,
        // Not the device's fault, and not ours: the webhook is paused, or a queue or a rate is full.
        (406 | 408 | 425 | 429, _) | (_, "downlink_queue_capacity" | "rate_limit_exceeded") => {
            Answer::Later { wait, why }
        }
        // A key that is wrong today may be right tomorrow; the command is not at fault.
        (401 | 403, _) => Answer::Later { wait, why },
        (409, _) => Answer::Later { wait, why },
        // A server said before it looked at the message that it cannot.
        (503, _) => Answer::Later { wait, why },
        (400..=498, _) | (501, _) => Answer::Refused(why),
        _ => Answer::Doubt(why),
    }
}

fn why(status: u16, name: &str, detail: Option<&Detail>, message: &str) -> String {
    let said = detail.map(|detail| detail.message_format.as_str()).filter(|text| !text.is_empty()).unwrap_or(message);
    let mut said = said.to_owned();
    if said.len() > WHY_MAX {
        let end = (0..=WHY_MAX).rev().find(|at| said.is_char_boundary(*at)).unwrap_or(0);
        said.truncate(end);
    }
    match (name.is_empty(), said.is_empty()) {
        (true, true) => format!("the network answered {status}"),
        (true, false) => format!("the network answered {status}: {said}"),
        (false, _) => format!("{name}: {said}"),
    }
}

fn in_base64<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&STANDARD.encode(bytes))
}

/// As it was written: the encoder is the network's, and numbers are not ours to change.
fn as_json<S: Serializer>(json: &str, to: S) -> Result<S::Ok, S::Error> {
    serde_json::from_str::<&RawValue>(json).map_err(serde::ser::Error::custom)?.serialize(to)
}
