//! The provisioning service's decisions: who may register, and what is answered. No clock, no socket, no HTTP.
//!
//! Promises: answers and errors have the shapes of the device API (azure-rest-api-specs, deviceprovisioningservices).
//! Relies on the caller for the registry. Does not know over which protocol it was asked.

use std::collections::{HashMap, VecDeque};

use serde::Serialize;
use serde_json::{Value, json};

use crate::faults::DpsRefusal;
use crate::identity::{Keys, etag, guid, random_bytes, timestamp};
use crate::sas::{Denied, Resource, Token, derive_key};

mod registrations; // what is remembered

pub use registrations::Registration;
pub(crate) use registrations::Registrations;

/// Versions of the device API that clients are known to name.
const API_VERSIONS: [&str; 6] =
    ["2018-11-01", "2019-03-31", "2021-06-01", "2021-10-01", "2025-07-01-preview", "2026-11-01"];
const REGISTRATION_ID_CHARS_MAX: usize = 128;
/// A device that never comes back for its answer costs one entry; the oldest go first. 20 000 entries of about 300 bytes are 6 MB,
/// and twenty times what a real service registers in a minute.
const OPERATIONS_MAX: usize = 20_000;
/// The name that the simulator's one enrolment group goes by.
const GROUP_NAME: &str = "simulated-group";

/// The enrolment group, as far as decisions need it.
pub(crate) struct Enrolment<'a> {
    pub(crate) id_scope: &'a str,
    pub(crate) group: &'a Keys,
}

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

/// A registration that needs no token, because the owner asks for it; gives the keys that the device has in the group.
pub(crate) fn enrol(enrolment: &Enrolment<'_>, registration_id: &str) -> Result<Keys, Refusal> {
    if is_registration_id(registration_id) {
        Ok(group_keys(enrolment.group, registration_id))
    } else {
        Err(Refusal::bad_request("The registration id is not valid"))
    }
}

fn group_keys(group: &Keys, registration_id: &str) -> Keys {
    let derived = |key: &str| derive_key(key, registration_id).unwrap_or_default();
    Keys { primary: derived(&group.primary), secondary: derived(&group.secondary) }
}

/// Whether a token opens this registration; gives the keys that the device has in the group, from the primary and the
/// secondary group key. The id goes into them exactly as the device spelled it.
pub(crate) fn admit(
    enrolment: &Enrolment<'_>,
    scope: &str,
    registration_id: &str,
    authorization: Option<&str>,
    now_ms: i64,
) -> Result<Keys, Refusal> {
    let denied = |_: Denied| Refusal::new(401, 401_002, "Unauthorized");
    let roots = [enrolment.id_scope.to_owned()];
    let path = ["registrations", registration_id];
    if !scope.eq_ignore_ascii_case(enrolment.id_scope) {
        return Err(denied(Denied::OutOfScope));
    }
    let keys = group_keys(enrolment.group, registration_id);
    Token::parse(authorization)
        .and_then(|token| token.check(&Resource { roots: &roots, path: &path, least: 2 }, &keys.both(), now_ms))
        .map_err(denied)?;
    Ok(keys)
}

/// Checks a registration's body: JSON or nothing, and the same id as the address, where it names one.
pub(crate) fn check_register_body(registration_id: &str, body: &[u8]) -> Result<(), Refusal> {
    if body.is_empty() {
        return Ok(());
    }
    let body: Value = serde_json::from_slice(body).map_err(|_| Refusal::bad_request("The body is not valid JSON"))?;
    match body.get("registrationId").map(Value::as_str) {
        Some(Some(named)) if !named.eq_ignore_ascii_case(registration_id) => {
            Err(Refusal::bad_request("The registration id of the body is not that of the address"))
        }
        Some(None) => Err(Refusal::bad_request("The registration id of the body is not a string")),
        _ => Ok(()),
    }
}

/// The registration after another `register`: assigned to `hub`, keeping the name and the date of the first time.
pub(crate) fn registered(
    previous: Option<&Registration>,
    registration_id: &str,
    hub: &str,
    now_ms: i64,
) -> Registration {
    let name = previous.map_or(registration_id, |before| &before.device_id);
    Registration {
        registration_id: registration_id.to_owned(),
        hub: hub.to_owned(),
        device_id: name.to_owned(),
        created_ms: previous.map_or(now_ms, |before| before.created_ms),
        updated_ms: now_ms,
        etag: etag(),
    }
}

/// How a registration ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With a hub.
    Assigned(Registration),
    /// Without, for a reason.
    Failed { registration_id: String, code: u32, message: String },
    /// The enrolment is switched off.
    Disabled { registration_id: String },
}

impl Outcome {
    fn registration_id(&self) -> &str {
        match self {
            Self::Assigned(registration) => &registration.registration_id,
            Self::Failed { registration_id, .. } | Self::Disabled { registration_id } => registration_id,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Assigned(_) => "assigned",
            Self::Failed { .. } => "failed",
            Self::Disabled { .. } => "disabled",
        }
    }

    /// The `registrationState`, also the whole answer of a status look-up.
    pub(crate) fn state(&self) -> Value {
        match self {
            Self::Assigned(registration) => json!({
                "registrationId": registration.registration_id,
                "createdDateTimeUtc": written(registration.created_ms),
                "assignedHub": registration.hub,
                "deviceId": registration.device_id,
                "status": "assigned",
                "substatus": "initialAssignment",
                "lastUpdatedDateTimeUtc": written(registration.updated_ms),
                "etag": registration.etag,
                "symmetricKey": {"enrollmentGroupId": GROUP_NAME},
            }),
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

/// Registrations under way, each with the polls still to be put off.
#[derive(Default)]
pub(crate) struct Operations {
    open: HashMap<String, (u32, Outcome)>,
    oldest_first: VecDeque<String>,
}

impl Operations {
    /// Opens an operation; its first `assigning_polls` polls are put off.
    pub(crate) fn begin(&mut self, outcome: Outcome, assigning_polls: u32) -> Answer {
        if self.oldest_first.len() >= OPERATIONS_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.open.remove(&oldest);
        }
        let operation_id = format!("5.{:016x}.{}", u64::from_be_bytes(random_bytes()), guid());
        self.oldest_first.push_back(operation_id.clone());
        self.open.insert(operation_id.clone(), (assigning_polls, outcome));
        assigning(operation_id)
    }

    /// Answers a poll. The answer stays the same however often it is asked for after the end.
    pub(crate) fn poll(&mut self, registration_id: &str, operation_id: &str) -> Result<Answer, Refusal> {
        let (polls_left, outcome) = self
            .open
            .get_mut(operation_id)
            .filter(|(_, outcome)| outcome.registration_id().eq_ignore_ascii_case(registration_id))
            .ok_or_else(|| Refusal::new(404, 404_202, "Operation not found"))?;
        if let Some(left) = polls_left.checked_sub(1) {
            *polls_left = left;
            return Ok(assigning(operation_id.to_owned()));
        }
        let state = Some(outcome.state());
        Ok(Answer { is_pending: false, operation_id: operation_id.to_owned(), status: outcome.word(), state })
    }
}

fn assigning(operation_id: String) -> Answer {
    Answer { is_pending: true, operation_id, status: "assigning", state: None }
}

/// Seven digits of a second, as the service writes them.
fn written(at_ms: i64) -> String {
    format!("{:.7}", timestamp(at_ms))
}

#[cfg(test)]
mod tests;
