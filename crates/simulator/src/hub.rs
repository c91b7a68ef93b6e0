//! The hub's decisions on what devices send: who may, how large, which properties, which error. No clock, no socket;
//! headers come in as name and value, so that every protocol can bring its own.
//!
//! Promises: errors carry the hub's code, name and body; a batch is taken whole or not at all.
//! Does not know where accepted messages go.

pub(crate) mod c2d; // messages to a device
pub(crate) mod events; // what the hub itself tells readers
pub(crate) mod feedback; // what became of them
pub(crate) mod line; // what is locked, handed out and answered
pub(crate) mod method; // direct methods
pub(crate) mod post; // the queues of all devices, and feedback
pub(crate) mod query; // the question that picks twins
pub(crate) mod rules; // what an owner can set for them
pub(crate) mod twin; // tags, desired and reported properties

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::endpoint::Endpoint;
use crate::faults::HubRefusal;
use crate::identity::{Policies, timestamp};
use crate::registry::{Device, Status};
use crate::sas::{Denied, Resource, Token};

/// 256 KiB for a message with its properties, also for a batch in all.
pub(crate) const MESSAGE_BYTES_MAX: usize = 262_144;
const BATCH_MESSAGES_MAX: usize = 500;
const MESSAGE_ID_CHARS_MAX: usize = 128;
/// Policies that may act for any device.
const DEVICE_POLICIES: [&str; 2] = ["iothubowner", "device"];
/// How application properties are spelled as headers.
pub(crate) const PROPERTY_PREFIX: &str = "iothub-app-";

/// An error of the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: u32,
    /// The word that SDKs look for.
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) retry_after_s: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: u32, name: &str, text: impl Into<String>) -> Self {
        Self { status, code, name: name.to_owned(), text: text.into(), retry_after_s: None }
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(401, 401_003, "IotHubUnauthorized", "Unauthorized")
    }

    pub(crate) fn device_not_found(id: &str) -> Self {
        Self::new(404, 404_001, "DeviceNotFound", format!("Device {id} not registered"))
    }

    /// A device, or a module of one, that is not there.
    pub(crate) fn not_found(endpoint: &Endpoint) -> Self {
        match &endpoint.module {
            None => Self::device_not_found(&endpoint.device),
            Some(module) => {
                let text = format!("Module {module} on device {} not registered", endpoint.device);
                Self::new(404, 404_010, "ModuleNotFound", text)
            }
        }
    }

    pub(crate) fn throttled(retry_after_s: Option<u64>) -> Self {
        let text = "The request has been throttled. Wait 10 seconds and try again.";
        Self { retry_after_s, ..Self::new(429, 429_001, "ThrottlingException", text) }
    }

    pub(crate) fn unavailable() -> Self {
        Self::new(503, 503_001, "ServiceUnavailable", "The service is temporarily unavailable")
    }

    pub(crate) fn too_large() -> Self {
        Self::new(413, 413_001, "MessageTooLarge", "The message is larger than 262144 bytes")
    }

    pub(crate) fn argument(text: &str) -> Self {
        Self::new(400, 400_004, "ArgumentInvalid", text)
    }

    pub(crate) fn not_json(text: &str) -> Self {
        Self::new(400, 400_012, "DeserializationError", text)
    }

    /// The body that goes with it, under a name of its own: the code stands inside the text, where Node's SDK looks for it.
    pub(crate) fn body(&self, tracking_id: &str, now_ms: i64) -> Value {
        let at = timestamp(now_ms).strftime("%m/%d/%Y %H:%M:%S").to_string();
        json!({
            "Message": format!("ErrorCode:{};{}", self.name, self.text),
            "ExceptionMessage": format!("Tracking ID:{}-G:0-TimeStamp:{at}", tracking_id.replace('-', "")),
        })
    }
}

/// Requests beyond a hub's rate wait for a while; there are more than may.
const BACKLOG_FULL: &str = "The number of requests that are held back is at its limit";

/// The refusal that a fault asks for.
pub(crate) fn refused(id: &str, refusal: &HubRefusal) -> Refusal {
    match refusal {
        HubRefusal::Unauthorized => Refusal::unauthorized(),
        HubRefusal::NotFound => Refusal::device_not_found(id),
        HubRefusal::Disabled => disabled(id),
        HubRefusal::Quota => Refusal::new(403, 403_002, "IotHubQuotaExceeded", "The daily message quota is used up"),
        HubRefusal::Throttled => Refusal::throttled(None),
        HubRefusal::BacklogFull => Refusal::new(429, 429_002, "ThrottleBacklogLimitExceeded", BACKLOG_FULL),
        HubRefusal::Unavailable => Refusal::unavailable(),
        HubRefusal::Status { status, error_code, name } => {
            Refusal::new(*status, *error_code, name, "Refused on request")
        }
    }
}

fn disabled(id: &str) -> Refusal {
    Refusal::new(403, 403_012, "DeviceDisabled", format!("Device {id} is disabled"))
}

/// The hub, as far as decisions on tokens need it.
pub(crate) struct Names<'a> {
    /// Every name the hub answers to.
    pub(crate) hosts: &'a [String],
    pub(crate) policies: &'a Policies,
}

/// Whether a request may act for the device `id`: with its own key or under a policy that connects devices.
/// An unknown device is told so before its token is looked at, as the real hub does over HTTPS (azure-iot-sdk-node#777).
pub(crate) fn admit_device<'d>(
    names: &Names<'_>,
    device: Option<&'d Device>,
    id: &str,
    authorization: Option<&str>,
    now_ms: i64,
) -> Result<&'d Device, Refusal> {
    let device = device.ok_or_else(|| Refusal::device_not_found(id))?;
    let unauthorized = |_: Denied| Refusal::unauthorized();
    let token = Token::parse(authorization).map_err(unauthorized)?;
    check_device(names, device, &token, now_ms).map_err(unauthorized)?;
    enabled(device)
}

/// Policies that may act for the service side: messages to devices, twins, methods.
pub(crate) const SERVICE_POLICIES: [&str; 2] = ["iothubowner", "service"];

/// Whether a request carries the token of one of these policies, good at this path.
pub(crate) fn admit_policy(
    names: &Names<'_>,
    policies: &[&str],
    path: &[&str],
    authorization: Option<&str>,
    now_ms: i64,
) -> Result<(), Refusal> {
    let unauthorized = |_: Denied| Refusal::unauthorized();
    let token = Token::parse(authorization).map_err(unauthorized)?;
    let policy = token.policy.filter(|policy| policies.contains(policy)).ok_or_else(Refusal::unauthorized)?;
    let keys = names.policies.get(policy).ok_or_else(Refusal::unauthorized)?;
    token.check(&Resource { roots: names.hosts, path, least: 0 }, &keys.both(), now_ms).map_err(unauthorized)
}

/// Whether a token is good for a device: signed by itself or by a policy that connects devices.
pub(crate) fn check_device(names: &Names<'_>, device: &Device, token: &Token<'_>, now_ms: i64) -> Result<(), Denied> {
    let device_path = ["devices", device.id.as_str()];
    let module_path = ["devices", device.id.as_str(), "modules", device.module.as_deref().unwrap_or_default()];
    let path: &[&str] = if device.module.is_some() { &module_path } else { &device_path };
    let resource = |least| Resource { roots: names.hosts, path, least };
    match token.policy {
        Some(policy) => {
            let keys = names.policies.get(policy).filter(|_| DEVICE_POLICIES.contains(&policy));
            token.check(&resource(0), &keys.ok_or(Denied::WrongSignature)?.both(), now_ms)
        }
        // One that names less than the device would open others too; a device's key is not good for that.
        None => token.check(&resource(path.len()), &device.keys.both(), now_ms),
    }
}

/// A device, if it may talk.
pub(crate) fn enabled(device: &Device) -> Result<&Device, Refusal> {
    if device.status == Status::Disabled { Err(disabled(&device.id)) } else { Ok(device) }
}

/// What a device sent, one message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Telemetry {
    pub(crate) body: Bytes,
    pub(crate) message_id: Option<String>,
    pub(crate) correlation_id: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) content_encoding: Option<String>,
    pub(crate) user_id: Option<Bytes>,
    /// Milliseconds since 1970.
    pub(crate) expiry_ms: Option<i64>,
    /// Milliseconds since 1970.
    pub(crate) creation_ms: Option<i64>,
    /// The component that it is of.
    pub(crate) subject: Option<String>,
    pub(crate) properties: BTreeMap<String, String>,
}

impl Telemetry {
    /// One message from a body and its headers. Names of system properties are the same in any case; names of
    /// application properties keep theirs. Headers that mean nothing to the hub are let pass.
    pub(crate) fn from_headers(
        body: Bytes,
        headers: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Refusal> {
        let mut telemetry = Self { body, ..Self::default() };
        for (name, value) in headers {
            telemetry.take_header(&name, value);
        }
        telemetry.checked()
    }

    /// This, if the hub takes it.
    pub(crate) fn checked(self) -> Result<Self, Refusal> {
        self.check().map(|()| self)
    }

    fn take_header(&mut self, name: &str, value: String) {
        match name.to_ascii_lowercase().as_str() {
            "iothub-messageid" => self.message_id = Some(value),
            "iothub-correlationid" => self.correlation_id = Some(value),
            "iothub-contenttype" => self.content_type = Some(value),
            "iothub-contentencoding" => self.content_encoding = Some(value),
            "iothub-creation-time-utc" => drop(self.properties.insert("iothub-creation-time-utc".to_owned(), value)),
            lower if lower.starts_with(PROPERTY_PREFIX) => {
                let property = name.get(PROPERTY_PREFIX.len()..).unwrap_or_default();
                self.properties.insert(property.to_owned(), value);
            }
            _ => {}
        }
    }

    fn check(&self) -> Result<(), Refusal> {
        check_words([&self.message_id, &self.correlation_id], &self.properties)?;
        if self.size() > MESSAGE_BYTES_MAX { Err(Refusal::too_large()) } else { Ok(()) }
    }

    /// Body, and names and values of all properties, in bytes.
    fn size(&self) -> usize {
        let system = [&self.message_id, &self.correlation_id, &self.content_type, &self.content_encoding];
        let system: usize = system.into_iter().flatten().map(String::len).sum();
        let user = self.user_id.as_ref().map_or(0, Bytes::len);
        let application: usize = self.properties.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.body.len() + system + user + application
    }
}

/// Whether ids and properties of a message, either way, are such that the hub takes it.
fn check_words(ids: [&Option<String>; 2], properties: &BTreeMap<String, String>) -> Result<(), Refusal> {
    if ids.into_iter().flatten().any(|id| !is_message_id(id)) {
        return Err(Refusal::argument("The message id or correlation id is not valid"));
    }
    if properties.iter().any(|(name, value)| name.is_empty() || !is_plain(name) || !is_plain(value)) {
        return Err(Refusal::argument("A property has a name or value with characters that are not allowed"));
    }
    Ok(())
}

fn is_message_id(id: &str) -> bool {
    id.len() <= MESSAGE_ID_CHARS_MAX
        && id.chars().all(|c| c.is_ascii_alphanumeric() || "-.+%_#*?!(),=@$':;".contains(c))
}

/// The documented set is narrower, but values with spaces and colons (times) are seen to pass: printable ASCII.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// One element of a batch's array.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Element {
    body: String,
    #[serde(default = "yes")]
    base64_encoded: bool,
    #[serde(default)]
    properties: BTreeMap<String, String>,
}

fn yes() -> bool {
    true
}

/// The messages of a batch, all or none. Properties are named as the headers of a single message are.
pub(crate) fn batch(body: &[u8]) -> Result<Vec<Telemetry>, Refusal> {
    let elements: Vec<Element> =
        serde_json::from_slice(body).map_err(|_| Refusal::not_json("The batch is not an array of messages"))?;
    within_batch(elements.len())?;
    batch_of(elements.into_iter().map(Element::telemetry).collect::<Result<_, _>>()?)
}

/// Whether a batch may have so many messages.
pub(crate) fn within_batch(count: usize) -> Result<(), Refusal> {
    if count > BATCH_MESSAGES_MAX { Err(Refusal::too_large()) } else { Ok(()) }
}

/// The messages of a batch, if they are not too large in all.
pub(crate) fn batch_of(messages: Vec<Telemetry>) -> Result<Vec<Telemetry>, Refusal> {
    let bytes: usize = messages.iter().map(Telemetry::size).sum();
    if bytes > MESSAGE_BYTES_MAX { Err(Refusal::too_large()) } else { Ok(messages) }
}

impl Element {
    fn telemetry(self) -> Result<Telemetry, Refusal> {
        let body = match self.base64_encoded {
            true => STANDARD.decode(&self.body).map_err(|_| Refusal::not_json("A body of the batch is not base64"))?,
            false => self.body.into_bytes(),
        };
        Telemetry::from_headers(body.into(), self.properties)
    }
}

#[cfg(test)]
mod tests;
