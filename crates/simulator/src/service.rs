//! The owner's side of the hub over HTTPS: what is asked for, who may ask, and the shapes of answers.
//!
//! Promises: addresses, rights, shapes, statuses and errors of the service API for devices, modules, twins, queries and
//! statistics, as far as Microsoft's service SDKs need them. Decisions only: `cloud` keeps what follows from them.

mod address; // methods and paths to calls
mod bulk; // many devices in one call
mod identities; // one device or module

use serde_json::Value;

use crate::endpoint::Endpoint;
use crate::hub::{Names, Refusal, admit_policy};

pub(crate) use self::address::Asked;
pub(crate) use self::bulk::{Element, Mode, Report, elements};
pub(crate) use self::identities::{MODULES_MAX, created, deleted, shown, updated};

/// The documented end of a list, also what there is when nobody says how much.
const LIST_MAX: usize = 1000;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Call<'a> {
    Identity(Verb, Endpoint),
    Devices { top: Option<String> },
    Modules { device: &'a str },
    Bulk,
    Twin(TwinVerb, Endpoint),
    Query,
    DeviceStatistics,
    ServiceStatistics,
}

/// What is to be done with an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Put,
    Delete,
}

/// What is to be done with a twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TwinVerb {
    Get,
    Patch,
    Replace,
}

/// What comes with a call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct With<'a> {
    pub(crate) authorization: Option<&'a str>,
    pub(crate) if_match: Option<&'a str>,
    /// `x-ms-max-item-count` and `x-ms-continuation`.
    pub(crate) page_rows: Option<&'a str>,
    pub(crate) continuation: Option<&'a str>,
    pub(crate) body: &'a [u8],
}

/// Status, body and headers.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Option<Value>,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Answer {
    pub(crate) fn ok(body: Value) -> Self {
        Self { status: 200, body: Some(body), headers: Vec::new() }
    }

    /// With its etag, which headers quote and bodies do not.
    pub(crate) fn tagged(body: Value, etag: &str) -> Self {
        Self::ok(body).with("etag", format!("\"{etag}\""))
    }

    pub(crate) fn no_content() -> Self {
        Self { status: 204, body: None, headers: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl Call<'_> {
    /// The policies that may do it.
    fn policies(&self) -> &'static [&'static str] {
        match self {
            Self::Identity(Verb::Get, _)
            | Self::Devices { .. }
            | Self::Modules { .. }
            | Self::DeviceStatistics
            | Self::ServiceStatistics => &["iothubowner", "registryRead", "registryReadWrite"],
            Self::Identity(Verb::Put | Verb::Delete, _) | Self::Bulk => &["iothubowner", "registryReadWrite"],
            Self::Twin(..) | Self::Query => &["iothubowner", "service"],
        }
    }
}

/// Whether the token is of a policy that may do this, at this path.
pub(crate) fn admit(
    names: &Names<'_>,
    call: &Call<'_>,
    path: &[&str],
    authorization: Option<&str>,
    now_ms: i64,
) -> Result<(), Refusal> {
    admit_policy(names, call.policies(), path, authorization, now_ms)
}

/// `If-Match` comes quoted, maybe marked as weak; `*` and none match anything.
pub(crate) fn matching(if_match: Option<&str>, etag: &str) -> Result<(), Refusal> {
    match if_match.map(|wanted| wanted.trim().trim_start_matches("W/").trim_matches('"')) {
        None | Some("*") => Ok(()),
        Some(wanted) if wanted == etag => Ok(()),
        Some(_) => Err(Refusal::new(412, 412_001, "PreconditionFailed", "PreconditionFailed, ETag may be invalid.")),
    }
}

/// How many a list may have.
pub(crate) fn top(asked: Option<&str>) -> Result<usize, Refusal> {
    let Some(asked) = asked else { return Ok(LIST_MAX) };
    let count = asked.parse().ok().filter(|count| (1..=LIST_MAX).contains(count));
    count.ok_or_else(|| Refusal::argument("The number of devices must be between 1 and 1000"))
}

#[cfg(test)]
mod tests;
