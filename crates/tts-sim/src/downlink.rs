//! Downlinks as they are handed in.
//!
//! Source: `ApplicationDownlink` in the API definition (`messages.proto`), and its rules for JSON: bytes are base64 of
//! either alphabet with or without padding, enumerations are words or numbers, unknown members are left alone.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// Of a payload, by the definition.
const PAYLOAD_BYTES_MAX: usize = 255;
/// Of a correlation id, by the definition.
const CORRELATION_ID_CHARS_MAX: usize = 100;
/// Of the ids of one downlink; the server has no bound but its body's, this keeps events small.
const CORRELATION_IDS_MAX: usize = 32;
/// Of an object for the formatter, or of the wishes for class B and C, as JSON; the Stack has no bound but its body's,
/// this keeps queues small.
const OBJECT_BYTES_MAX: usize = 8 * 1024;
/// The port of LoRaWAN's own tests.
const TEST_PORT: u32 = 224;
const WORDS: [&str; 7] = ["LOWEST", "LOW", "BELOW_NORMAL", "NORMAL", "ABOVE_NORMAL", "HIGH", "HIGHEST"];
/// What is above is the network's own.
const APPLICATION_PRIORITY_MAX: u8 = 5;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// A downlink as it was asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Downlink {
    /// 0: none was given.
    pub f_port: u32,
    /// `None`: not given.
    pub frm_payload: Option<Vec<u8>>,
    /// For the device's formatter.
    pub decoded_payload: Option<Map<String, Value>>,
    /// The device is to acknowledge it.
    pub confirmed: bool,
    /// 0 is `LOWEST`, 6 `HIGHEST`.
    pub priority: u8,
    /// Not in the window of an uplink; as given.
    pub class_b_c: Option<Map<String, Value>>,
    /// The caller's; the server adds one.
    pub correlation_ids: Vec<String>,
    /// Of a confirmed one.
    pub confirmed_retry: Option<Retry>,
}

/// How often a confirmed downlink is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Retry {
    /// From 1.
    pub attempt: u32,
    /// None: the server's default.
    #[serde(alias = "maxAttempts")]
    pub max_attempts: Option<u32>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Request {
    downlinks: Vec<Item>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Item {
    #[serde(alias = "fPort")]
    f_port: Option<u32>,
    #[serde(alias = "frmPayload")]
    frm_payload: Option<String>,
    #[serde(alias = "decodedPayload")]
    decoded_payload: Option<Map<String, Value>>,
    confirmed: Option<bool>,
    priority: Option<Word>,
    #[serde(alias = "classBC")]
    class_b_c: Option<Map<String, Value>>,
    #[serde(alias = "correlationIds")]
    correlation_ids: Option<Vec<String>>,
    #[serde(alias = "confirmedRetry")]
    confirmed_retry: Option<Retry>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Word {
    Number(u8),
    Text(String),
}

/// PURE: the body of a push or a replace.
///
/// # Errors
/// `decode_body` for what is no such body, `validate_body` for values that the definition does not allow.
pub fn read(body: &[u8]) -> Result<Vec<Downlink>, Refusal> {
    let request: Request = serde_json::from_slice(body).map_err(|error| Refusal::undecodable(&error.to_string()))?;
    request.downlinks.into_iter().map(Item::read).collect()
}

impl Item {
    fn read(self) -> Result<Downlink, Refusal> {
        let frm_payload = self.frm_payload.as_deref().map(bytes).transpose()?;
        let priority = self.priority.map_or(Ok(0), Word::read)?;
        let downlink = Downlink {
            f_port: self.f_port.unwrap_or_default(),
            frm_payload,
            decoded_payload: self.decoded_payload,
            confirmed: self.confirmed.unwrap_or_default(),
            priority,
            class_b_c: self.class_b_c,
            correlation_ids: self.correlation_ids.unwrap_or_default(),
            confirmed_retry: self.confirmed_retry,
        };
        downlink.validated()
    }
}

impl Word {
    fn read(self) -> Result<u8, Refusal> {
        let found = match &self {
            Self::Number(number) => Some(*number).filter(|number| usize::from(*number) < WORDS.len()),
            Self::Text(text) => WORDS.iter().position(|word| word == text).and_then(|at| u8::try_from(at).ok()),
        };
        found.ok_or_else(|| Refusal::undecodable("priority: not one of LOWEST to HIGHEST, nor 0 to 6"))
    }
}

impl Downlink {
    fn validated(self) -> Result<Self, Refusal> {
        let problem = if self.f_port > 255 || self.f_port == TEST_PORT {
            "f_port: must be at most 255 and not 224"
        } else if self.frm_payload.as_ref().is_some_and(|payload| payload.len() > PAYLOAD_BYTES_MAX) {
            "frm_payload: must be at most 255 bytes"
        } else if self.correlation_ids.len() > CORRELATION_IDS_MAX
            || self.correlation_ids.iter().any(|id| id.chars().count() > CORRELATION_ID_CHARS_MAX)
        {
            "correlation_ids: at most 32, each of at most 100 characters"
        } else if [&self.decoded_payload, &self.class_b_c].into_iter().flatten().any(is_large) {
            "decoded_payload, class_b_c: at most 8 KiB each here"
        } else {
            return Ok(self);
        };
        Err(Refusal::invalid(problem))
    }

    /// The bytes, none being no bytes.
    pub(crate) fn payload(&self) -> &[u8] {
        self.frm_payload.as_deref().unwrap_or_default()
    }

    /// Milliseconds since 1970 before which it is not sent; `None` where no time is asked for.
    pub(crate) fn absolute_time_ms(&self) -> Option<i64> {
        let text = self.class_b_c.as_ref()?.get("absolute_time")?.as_str()?;
        text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
    }

    /// The word, `None` for the lowest: zero values are not written.
    pub(crate) fn priority_word(&self) -> Option<&'static str> {
        WORDS.get(usize::from(self.priority)).copied().filter(|_| self.priority > 0)
    }

    /// As a gateway's word of it has it: no attempts, no object, and the server keeps the highest priority for itself.
    pub(crate) fn on_air(&self) -> Self {
        let priority = self.priority.min(APPLICATION_PRIORITY_MAX);
        Self { priority, confirmed_retry: None, decoded_payload: None, class_b_c: None, ..self.clone() }
    }
}

fn is_large(object: &Map<String, Value>) -> bool {
    serde_json::to_vec(object).is_ok_and(|json| json.len() > OBJECT_BYTES_MAX)
}

/// Base64 as proto's JSON has it.
pub(crate) fn bytes(text: &str) -> Result<Vec<u8>, Refusal> {
    let engine = if text.contains(['-', '_']) { URL } else { STANDARD };
    engine.decode(text).map_err(|error| Refusal::undecodable(&format!("frm_payload: {error}")))
}
