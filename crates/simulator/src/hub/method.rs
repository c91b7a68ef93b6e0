//! Direct methods: what may be asked of a device, what it may answer, and who waits for an answer.
//!
//! Promises: only the endpoint that was asked answers, and once; as many wait as there are bounds for. A payload goes
//! through as it was written, numbers and all. Relies on the caller for ids, and for saying when somebody gave up.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Refusal;
use crate::endpoint::Endpoint;

/// 128 KiB, of a request and of an answer alike.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 131_072;
/// What the service documents for names is not known; this is what it documents for ids.
const NAME_CHARS_MAX: usize = 128;
/// Seconds that a device may take.
const RESPONSE_S: std::ops::RangeInclusive<u64> = 5..=300;
const RESPONSE_S_USUAL: u64 = 30;
/// Seconds that a device may take to come online.
const CONNECT_S_MAX: u64 = 300;
/// Calls that one device has not answered. That there is such a bound the code 403800 says, how large it is nobody.
const IN_FLIGHT_OF_ONE_MAX: usize = 50;
/// Calls that nobody has answered, all devices together: at most 150 bytes each with the id, 5 MB.
const IN_FLIGHT_MAX: usize = 32_768;

/// What is asked of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Invocation {
    pub(crate) name: String,
    /// JSON; `null` when there is none, for SDKs parse it in any case.
    pub(crate) payload: Bytes,
    /// For the device to answer.
    pub(crate) response_within: Duration,
    /// For the device to come online; zero: it has to be.
    pub(crate) connect_within: Duration,
}

/// The body of a request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked<'a> {
    method_name: Option<String>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    response_timeout_in_seconds: Option<u64>,
    connect_timeout_in_seconds: Option<u64>,
}

impl Invocation {
    /// What the body of a request asks for.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let asked: Asked<'_> =
            serde_json::from_slice(body).map_err(|_| Refusal::not_json("The body is not a method invocation"))?;
        let name = asked.method_name.filter(|name| is_name(name)).ok_or_else(|| {
            Refusal::argument("The method name is missing, too long, or has characters that are not allowed")
        })?;
        let payload = asked.payload.map_or("null", RawValue::get);
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(too_large());
        }
        let response_s = asked.response_timeout_in_seconds.unwrap_or(RESPONSE_S_USUAL);
        if !RESPONSE_S.contains(&response_s) {
            return Err(Refusal::argument("responseTimeoutInSeconds is not between 5 and 300"));
        }
        let connect_s = asked.connect_timeout_in_seconds.unwrap_or_default();
        if connect_s > CONNECT_S_MAX {
            return Err(Refusal::argument("connectTimeoutInSeconds is not between 0 and 300"));
        }
        Ok(Self {
            name,
            payload: Bytes::copy_from_slice(payload.as_bytes()),
            response_within: Duration::from_secs(response_s),
            connect_within: Duration::from_secs(connect_s),
        })
    }
}

/// A name has to fit into a topic of MQTT.
fn is_name(name: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&name.chars().count())
        && name.chars().all(|c| !c.is_control() && !matches!(c, '/' | '#' | '+'))
}

/// What a device answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    status: i32,
    /// JSON, or empty.
    payload: Bytes,
}

impl Answer {
    /// An answer, if the hub takes it.
    pub(crate) fn new(status: i32, payload: Bytes) -> Result<Self, Refusal> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(too_large());
        }
        if !payload.is_empty() && serde_json::from_slice::<&RawValue>(&payload).is_err() {
            return Err(Refusal::not_json("The payload is not JSON"));
        }
        Ok(Self { status, payload })
    }

    /// As who asked is told: `{"status":200,"payload":…}`.
    pub(crate) fn body(&self) -> Bytes {
        let payload = std::str::from_utf8(&self.payload).ok().filter(|text| !text.is_empty()).unwrap_or("null");
        format!("{{\"status\":{},\"payload\":{payload}}}", self.status).into()
    }
}

fn too_large() -> Refusal {
    Refusal::new(413, 413_001, "MessageTooLarge", "The payload of the method is larger than 131072 bytes")
}

/// Nobody speaks for the device, or who does takes no methods.
pub(crate) fn not_online() -> Refusal {
    Refusal::new(404, 404_103, "DeviceNotOnline", "The device is not connected, or does not listen for methods")
}

/// The device took it and said nothing in time.
pub(crate) fn timed_out() -> Refusal {
    Refusal::new(504, 504_101, "GatewayTimeout", "The device did not answer in time")
}

/// The device has not answered what it was asked before.
pub(crate) fn too_many() -> Refusal {
    let text = "The device has as many unanswered method calls as it may have";
    Refusal::new(403, 403_800, "DeviceMaximumInflightMethodExceeded", text)
}

/// A call, by whom it was made to: RFC 4122, version 4.
pub(crate) type RequestId = [u8; 16];

/// Calls that are not answered, and whoever waits (`T`).
#[derive(Debug)]
pub(crate) struct Pending<T>(BTreeMap<(Endpoint, RequestId), T>);

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Pending<T> {
    /// Somebody waits.
    pub(crate) fn add(&mut self, endpoint: &Endpoint, id: RequestId, waits: T) -> Result<(), Refusal> {
        let its = (endpoint.clone(), [0; 16])..=(endpoint.clone(), [u8::MAX; 16]);
        if self.0.len() >= IN_FLIGHT_MAX || self.0.range(its).count() >= IN_FLIGHT_OF_ONE_MAX {
            return Err(too_many());
        }
        self.0.insert((endpoint.clone(), id), waits);
        Ok(())
    }

    /// Whoever waits for this answer of this endpoint, no more than once: it came, or nobody wants it any more.
    pub(crate) fn take(&mut self, endpoint: &Endpoint, id: RequestId) -> Option<T> {
        self.0.remove(&(endpoint.clone(), id))
    }
}

#[cfg(test)]
mod tests;
