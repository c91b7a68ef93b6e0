//! Registering a device with the Device Provisioning Service over HTTPS.
//!
//! ```text
//! PUT /{scope}/registrations/{id}/register?api-version=…             202 {"operationId","status":"assigning"} Retry-After
//! GET /{scope}/registrations/{id}/operations/{operation}?api-version=…    202 the same | 200 {"status":"assigned",…}
//! POST /{scope}/registrations/{id}?api-version=…                      200 {"status","assignedHub",…}, registers nothing
//! ```
//! [`Registration`] decides: which request is next, and what an answer means. It knows neither clock nor socket.
//! [`DpsClient`] carries it out. Neither retries a registration that was refused: pacing, backoff and remembering
//! belong to the caller, which sees all devices.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use percent_encoding::utf8_percent_encode;
use serde::Deserialize;

use crate::sas::RESERVED;
use crate::service_error::{ServiceError, retry_after};
use crate::{UnixSeconds, device_id, net};

mod client;

pub use client::{DpsClient, DpsLimits, Registered};

/// What Microsoft's own SDKs send today.
pub const API_VERSION: &str = "2019-03-31";
/// Between two polls when the answer does not say. Microsoft's SDKs do the same.
pub const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// After a 5xx, at least this long (documentation, "manage device reconnections").
pub const TRANSIENT_WAIT_MIN: Duration = Duration::from_secs(5);
/// DPS lets one device poll five times in ten seconds: from this poll on, a shorter `Retry-After` is not believed.
const POLLS_AT_WILL: u32 = 4;
/// Polls in a row that may fail before the registration is given up, to be begun anew.
const POLL_FAILURES_MAX: u32 = 3;

/// Who registers where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applicant {
    /// The DPS id scope.
    pub scope: String,
    /// See [`crate::registration_id`].
    pub registration_id: String,
    /// Sent as `{"modelId": …}`: IoT Central assigns the device template by it.
    pub model_id: Option<String>,
}

/// Where a device belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Bare host name of the hub, lower case.
    pub hub: String,
    /// The device's name there.
    pub device_id: String,
}

/// One request to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// `PUT` or `GET`.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// JSON, or empty.
    pub body: Bytes,
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Make [`Registration::ask`]'s request after this long.
    Poll {
        /// At least this long.
        after: Duration,
    },
    /// Done.
    Assigned(Assignment),
    /// Done, without a hub.
    Refused(Refusal),
}

/// Why there is no assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What follows from it.
    pub class: Class,
    /// What the service said.
    pub error: ServiceError,
    /// The server's clock when it answered: a 401 may come from a wrong clock here.
    pub server_time: Option<UnixSeconds>,
}

/// What follows from a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Too many registrations or polls, of all devices together: wait, and slow everybody down.
    Throttled {
        /// As the service says; `None`: back off.
        retry_after: Option<Duration>,
    },
    /// Trouble on the way or at the service: again later.
    Transient {
        /// At least this long.
        retry_after: Duration,
    },
    /// Wrong key, not enrolled, waiting for approval, or a wrong clock here: an operator must act.
    Denied,
    /// The enrolment is switched off: an operator must act.
    Disabled,
    /// Scope or enrolment is not there: an operator must act.
    NotFound,
    /// The service does not take the request as it is; it will not take it later either.
    BadRequest,
    /// The service tried and failed to assign a hub.
    Failed,
}

impl Class {
    /// A fixed word, to count and to remember by.
    pub fn word(self) -> &'static str {
        match self {
            Self::Throttled { .. } => "throttled",
            Self::Transient { .. } => "transient",
            Self::Denied => "denied",
            Self::Disabled => "disabled",
            Self::NotFound => "not_found",
            Self::BadRequest => "bad_request",
            Self::Failed => "failed",
        }
    }

    /// Worth trying again without anybody doing anything; the wait is the least one.
    pub fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after } => Some(retry_after.unwrap_or(TRANSIENT_WAIT_MIN)),
            Self::Transient { retry_after } => Some(retry_after),
            Self::Denied | Self::Disabled | Self::NotFound | Self::BadRequest | Self::Failed => None,
        }
    }

    /// What a person can do about it.
    pub fn mend(self) -> &'static str {
        match self {
            Self::Throttled { .. } | Self::Transient { .. } => "nothing; it is tried again",
            Self::Denied => "check group key and id scope, that the device is approved, and the clock of this machine",
            Self::Disabled => "enable the enrolment in DPS, or the device in IoT Central",
            Self::NotFound => "check the id scope and that its enrolment group exists",
            Self::BadRequest => "check the device's registration id and the target's model_id",
            Self::Failed => "check that a hub is linked to the enrolment group and what its allocation says",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dps refused the registration ({}): {}", self.class.word(), self.error)
    }
}

impl std::error::Error for Refusal {}

/// What is known at the service of a device that may have registered before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It has.
    Assigned(Assignment),
    /// It is being assigned just now.
    Assigning,
    /// Nothing that helps: register.
    Nothing,
}

/// The request that looks a device up. It registers nothing.
pub fn look_up(applicant: &Applicant) -> Ask {
    let Applicant { scope, registration_id, .. } = applicant;
    Ask {
        method: Method::POST,
        target: format!("/{}/registrations/{}?api-version={API_VERSION}", segment(scope), segment(registration_id)),
        body: register_body(registration_id, None),
    }
}

/// What the answer to [`look_up`]'s request means.
pub fn looked_up(status: StatusCode, body: &[u8]) -> Found {
    let Some(state) = serde_json::from_slice::<RegistrationState>(body).ok().filter(|_| status == StatusCode::OK)
    else {
        return Found::Nothing;
    };
    match state.status.as_deref() {
        Some("assigned") => match assigned(state) {
            Next::Assigned(assignment) => Found::Assigned(assignment),
            Next::Poll { .. } | Next::Refused(_) => Found::Nothing,
        },
        Some("assigning") => Found::Assigning,
        _ => Found::Nothing,
    }
}

/// One registration under way.
#[derive(Clone, Debug)]
pub struct Registration {
    applicant: Applicant,
    operation: Option<String>,
    polls: u32,
    failures: u32,
    /// The last poll that failed, to say why when time runs out.
    trouble: Option<Refusal>,
}

impl Registration {
    /// The first request registers.
    pub fn new(applicant: Applicant) -> Self {
        Self { applicant, operation: None, polls: 0, failures: 0, trouble: None }
    }

    /// The request to make now.
    pub fn ask(&self) -> Ask {
        let Applicant { scope, registration_id, model_id } = &self.applicant;
        let base = format!("/{}/registrations/{}", segment(scope), segment(registration_id));
        match &self.operation {
            None => Ask {
                method: Method::PUT,
                target: format!("{base}/register?api-version={API_VERSION}"),
                body: register_body(registration_id, model_id.as_deref()),
            },
            Some(operation) => Ask {
                method: Method::GET,
                target: format!("{base}/operations/{}?api-version={API_VERSION}", segment(operation)),
                body: Bytes::new(),
            },
        }
    }

    /// What this answer to [`Self::ask`] means.
    pub fn answered(&mut self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Next {
        let next = match status {
            StatusCode::OK | StatusCode::ACCEPTED => match serde_json::from_slice(body) {
                Ok(operation) => self.progress(operation, retry_after(headers)),
                Err(_) => refused(transient(None), ServiceError::of("the answer could not be read")),
            },
            _ => {
                let error = ServiceError::read(headers, body);
                self.failed(classify(status.as_u16(), error.code, retry_after(headers)), error, status)
            }
        };
        dated(next, headers)
    }

    /// Time has run out: the refusal to report. Never [`Class::Throttled`]: that polls were says nothing of registering.
    pub fn out_of_time(self) -> Refusal {
        let still = || Refusal {
            class: transient(None),
            error: ServiceError::of("still assigning when time ran out"),
            server_time: None,
        };
        let refusal = self.trouble.unwrap_or_else(still);
        match refusal.class {
            Class::Throttled { retry_after } => Refusal { class: transient(retry_after), ..refusal },
            _ => refusal,
        }
    }

    fn progress(&mut self, answer: Operation, retry_after: Option<Duration>) -> Next {
        let state = answer.registration_state.unwrap_or_default();
        match answer.status.as_str() {
            // "unassigned" is seen before the service has looked at the request.
            "assigning" | "unassigned" => {
                self.operation = answer.operation_id.filter(|id| !id.is_empty()).or(self.operation.take());
                self.failures = 0;
                match self.operation {
                    Some(_) => self.poll_again(retry_after),
                    None => refused(transient(retry_after), ServiceError::of("the answer has no operation id")),
                }
            }
            "assigned" => assigned(state),
            "disabled" => refused(Class::Disabled, state.error()),
            "failed" => refused(classify_failed(&state, retry_after), state.error()),
            other => refused(Class::Failed, ServiceError::from_parts(None, &format!("unknown status {other:?}"))),
        }
    }

    fn poll_again(&mut self, retry_after: Option<Duration>) -> Next {
        self.polls += 1;
        let least = if self.polls > POLLS_AT_WILL { POLL_INTERVAL } else { Duration::ZERO };
        Next::Poll { after: retry_after.unwrap_or(POLL_INTERVAL).max(least) }
    }

    /// DPS throttles registering and polling apart (azure-iot-sdk-c PR 1703), and the answer to a poll that failed may lack
    /// the operation id: a poll is repeated under the id that is known. One that was throttled is repeated until time runs
    /// out: to begin anew would cost a registration.
    fn failed(&mut self, class: Class, error: ServiceError, status: StatusCode) -> Next {
        let polling = self.operation.is_some();
        // The operation is forgotten, not the device: begin anew.
        let class = if polling && status == StatusCode::NOT_FOUND { transient(None) } else { class };
        let Some(after) = class.retry_after().filter(|_| polling && status != StatusCode::NOT_FOUND) else {
            return refused(class, error);
        };
        self.failures += u32::from(!matches!(class, Class::Throttled { .. }));
        if self.failures > POLL_FAILURES_MAX {
            return refused(class, error);
        }
        self.trouble = Some(Refusal { class, error, server_time: None });
        self.polls += 1;
        Next::Poll { after: after.max(POLL_INTERVAL) }
    }
}

/// The body of both answers; of the members only those that are used.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Operation {
    operation_id: Option<String>,
    #[serde(default)]
    status: String,
    registration_state: Option<RegistrationState>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegistrationState {
    status: Option<String>,
    assigned_hub: Option<String>,
    device_id: Option<String>,
    error_code: Option<u32>,
    error_message: Option<String>,
}

impl RegistrationState {
    fn error(&self) -> ServiceError {
        ServiceError::from_parts(self.error_code, self.error_message.as_deref().unwrap_or_default())
    }
}

/// The hub's name becomes an address and both become part of a path: neither is taken on trust.
fn assigned(state: RegistrationState) -> Next {
    let unusable =
        |what: &str| refused(Class::Failed, ServiceError::of(format!("the assignment has no usable {what}")));
    let hub =
        state.assigned_hub.as_deref().and_then(|hub| net::Endpoint::parse(hub, 0).ok()).filter(|hub| hub.port == 0);
    let Some(hub) = hub else { return unusable("hub") };
    match state.device_id {
        Some(device_id) if device_id::check(&device_id).is_ok() => {
            Next::Assigned(Assignment { hub: hub.host, device_id })
        }
        _ => unusable("device id"),
    }
}

fn classify(status: u16, code: Option<u32>, retry_after: Option<Duration>) -> Class {
    // 400208, 400209: no hub linked or not authorised; in IoT Central the device waits for approval or is blocked.
    // They come under 400 and under 401.
    if matches!(code, Some(400_208 | 400_209)) {
        return Class::Denied;
    }
    match status {
        401 | 403 => Class::Denied,
        404 => Class::NotFound,
        429 => Class::Throttled { retry_after },
        // Another registration of the same device was changing the record.
        408 | 409 | 412 => transient(retry_after),
        500.. => transient(retry_after),
        _ => Class::BadRequest,
    }
}

/// A registration that ended as `failed` carries a code of the same scheme, status × 1000 + n.
fn classify_failed(state: &RegistrationState, retry_after: Option<Duration>) -> Class {
    let status = state.error_code.and_then(|code| u16::try_from(code / 1000).ok()).unwrap_or_default();
    match classify(status, state.error_code, retry_after) {
        class @ (Class::Denied | Class::Throttled { .. } | Class::Transient { .. }) => class,
        Class::Disabled | Class::NotFound | Class::BadRequest | Class::Failed => Class::Failed,
    }
}

fn transient(retry_after: Option<Duration>) -> Class {
    Class::Transient { retry_after: retry_after.unwrap_or_default().max(TRANSIENT_WAIT_MIN) }
}

fn refused(class: Class, error: ServiceError) -> Next {
    Next::Refused(Refusal { class, error, server_time: None })
}

fn dated(mut next: Next, headers: &HeaderMap) -> Next {
    if let Next::Refused(refusal) = &mut next {
        refusal.server_time = crate::service_error::server_time(headers);
    }
    next
}

fn register_body(registration_id: &str, model_id: Option<&str>) -> Bytes {
    let body = match model_id {
        None => serde_json::json!({ "registrationId": registration_id }),
        Some(model) => serde_json::json!({ "registrationId": registration_id, "payload": { "modelId": model } }),
    };
    body.to_string().into()
}

fn segment(text: &str) -> percent_encoding::PercentEncode<'_> {
    utf8_percent_encode(text, RESERVED)
}

#[cfg(test)]
mod tests;
