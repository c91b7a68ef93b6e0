//! The provisioning service's decisions: who may register, and what is answered. No clock, no socket, no HTTP.
//!
//! Promises: answers and errors have the shapes of the device API (azure-rest-api-specs, deviceprovisioningservices).
//! Relies on the caller for the registry. Does not know over which protocol it was asked.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use crate::faults::DpsRefusal;
use crate::identity::timestamp;

mod assignment; // which hub, and what becomes of the one before
mod enrolment; // who may
mod operations; // what is under way
mod registrations; // what is remembered
mod switches; // groups that the owner switched

pub(crate) use assignment::{Assignment, Data, assign, send_to};
pub use assignment::{Substatus, Unmovable};
pub(crate) use enrolment::{Admitted, Group, Scope, Scopes};
pub use enrolment::{GroupKey, NoKey};
pub(crate) use operations::Operations;
pub use registrations::Registration;
pub(crate) use registrations::Registrations;
pub(crate) use switches::Switches;

/// Versions of the device API that clients are known to name.
const API_VERSIONS: [&str; 6] =
    ["2018-11-01", "2019-03-31", "2021-06-01", "2021-10-01", "2025-07-01-preview", "2026-11-01"];
const REGISTRATION_ID_CHARS_MAX: usize = 128;

/// An error of the device API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: u32,
    pub(crate) message: String,
    pub(crate) retry_after_s: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: u32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after_s: None }
    }

    pub(crate) fn throttled(retry_after_s: Option<u64>) -> Self {
        Self { retry_after_s, ..Self::new(429, 429_001, "Operations are being throttled for this tenant") }
    }

    fn bad_request(message: &str) -> Self {
        Self::new(400, 400_004, message)
    }

    /// The body that goes with it. `tracking_id` stands in the answer's header too.
    pub(crate) fn body(&self, tracking_id: &str, now_ms: i64) -> Value {
        json!({
            "errorCode": self.code,
            "trackingId": tracking_id,
            "message": self.message,
            "timestampUtc": written(now_ms),
        })
    }
}

/// Checks what stands in front of every call: version and id.
pub(crate) fn check_call(api_version: Option<&str>, registration_id: &str) -> Result<(), Refusal> {
    match api_version {
        None => return Err(Refusal::bad_request("The api-version query parameter is missing")),
        Some(version) if !API_VERSIONS.contains(&version) => {
            return Err(Refusal::bad_request("The api-version is not supported"));
        }
        Some(_) => {}
    }
    if is_registration_id(registration_id) {
        Ok(())
    } else {
        Err(Refusal::bad_request("The registration id is not valid"))
    }
}

/// Letters, digits and `-._:`, at most 128; begins with a letter or digit, ends with one or with `-`.
fn is_registration_id(id: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric();
    id.len() <= REGISTRATION_ID_CHARS_MAX
        && id.starts_with(plain)
        && id.ends_with(|c| plain(c) || c == '-')
        && id.chars().all(|c| plain(c) || "-._:".contains(c))
}

/// Reads a registration's body: JSON or nothing, and the same id as the address, where it names one. Gives the payload,
/// which the service hands to custom allocation and otherwise makes nothing of.
pub(crate) fn read_register_body(registration_id: &str, body: &[u8]) -> Result<Option<Value>, Refusal> {
    if body.is_empty() {
        return Ok(None);
    }
    let mut body: Value =
        serde_json::from_slice(body).map_err(|_| Refusal::bad_request("The body is not valid JSON"))?;
    match body.get("registrationId").map(Value::as_str) {
        Some(Some(named)) if !named.eq_ignore_ascii_case(registration_id) => {
            Err(Refusal::bad_request("The registration id of the body is not that of the address"))
        }
        Some(None) => Err(Refusal::bad_request("The registration id of the body is not a string")),
        _ => Ok(body.get_mut("payload").map(Value::take)),
    }
}

/// How a registration ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With a hub, and what the group has to say to its devices.
    Assigned(Box<Registration>, Option<Arc<Value>>),
    /// Without, for a reason.
    Failed { registration_id: String, code: u32, message: String },
    /// The enrolment is switched off.
    Disabled { registration_id: String },
}

impl Outcome {
    fn registration_id(&self) -> &str {
        match self {
            Self::Assigned(registration, _) => &registration.registration_id,
            Self::Failed { registration_id, .. } | Self::Disabled { registration_id } => registration_id,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Assigned(..) => "assigned",
            Self::Failed { .. } => "failed",
            Self::Disabled { .. } => "disabled",
        }
    }

    /// The `registrationState`, also the whole answer of a status look-up.
    pub(crate) fn state(&self) -> Value {
        match self {
            Self::Assigned(registration, payload) => assigned(registration, payload.as_deref()),
            Self::Failed { registration_id, code, message } => json!({
                "registrationId": registration_id,
                "status": "failed",
                "errorCode": code,
                "errorMessage": message,
            }),
            Self::Disabled { registration_id } => json!({"registrationId": registration_id, "status": "disabled"}),
        }
    }
}

/// What a device has to know. Its own payload is not repeated.
fn assigned(registration: &Registration, payload: Option<&Value>) -> Value {
    let mut state = json!({
        "registrationId": registration.registration_id,
        "createdDateTimeUtc": written(registration.created_ms),
        "assignedHub": registration.hub,
        "deviceId": registration.device_id,
        "status": "assigned",
        "substatus": registration.substatus,
        "lastUpdatedDateTimeUtc": written(registration.updated_ms),
        "etag": registration.etag,
        "symmetricKey": {"enrollmentGroupId": registration.group},
    });
    if let Some(payload) = payload {
        state["payload"] = payload.clone();
    }
    state
}

/// What a refusal asked for by a fault does: an error at once, or an operation that ends badly.
pub(crate) fn refused(registration_id: &str, refusal: &DpsRefusal) -> Result<Outcome, Refusal> {
    let registration_id = registration_id.to_owned();
    match refusal {
        DpsRefusal::Unauthorized => Err(Refusal::new(401, 401_002, "Unauthorized")),
        DpsRefusal::NotEnrolled => Err(Refusal::new(401, 401_000, "Unauthorized")),
        DpsRefusal::NotFound => Err(Refusal::new(404, 404_201, "Enrollment not found")),
        DpsRefusal::Disabled => Ok(Outcome::Disabled { registration_id }),
        DpsRefusal::Failed { error_code, message } => {
            Ok(Outcome::Failed { registration_id, code: *error_code, message: message.clone() })
        }
        DpsRefusal::Status { status, error_code } => Err(Refusal::new(*status, *error_code, "Refused on request")),
    }
}

/// What a register or poll call is answered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Answer {
    /// Not final yet: ask again.
    #[serde(skip)]
    pub(crate) is_pending: bool,
    #[serde(rename = "operationId")]
    pub(crate) operation_id: String,
    pub(crate) status: &'static str,
    #[serde(rename = "registrationState", skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<Value>,
}

/// Seven digits of a second, as the service writes them.
fn written(at_ms: i64) -> String {
    format!("{:.7}", timestamp(at_ms))
}

#[cfg(test)]
pub(crate) mod tests;
