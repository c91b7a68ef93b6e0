//! Methods and paths to calls.

use super::{Call, TwinVerb, Verb};
use crate::endpoint::{Endpoint, HubId};

/// What an address means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked<'a> {
    Call(Call<'a>),
    /// There is something, but not for this method.
    NotAllowed,
    Nothing,
}

impl<'a> Asked<'a> {
    /// Path segments are decoded already. A list may have a slash at its end: Node's SDK writes one.
    pub(crate) fn of(hub: HubId, method: &str, path: &[&'a str], top: Option<String>) -> Self {
        let call = match (method, path) {
            ("GET", ["devices", ""] | ["devices"]) => Call::Devices { top },
            ("POST", ["devices", ""] | ["devices"]) => Call::Bulk,
            ("POST", ["devices", "query"]) => Call::Query,
            ("GET", ["devices", device, "modules"]) => Call::Modules { device },
            ("GET", ["statistics", "devices"]) => Call::DeviceStatistics,
            ("GET", ["statistics", "service"]) => Call::ServiceStatistics,
            (method, ["devices", rest @ ..]) => match (endpoint(hub, rest), verb(method)) {
                (Some(endpoint), Some(verb)) => Call::Identity(verb, endpoint),
                (Some(_), None) => return Self::NotAllowed,
                (None, _) => return Self::Nothing,
            },
            (method, ["twins", rest @ ..]) => match (endpoint(hub, rest), twin_verb(method)) {
                (Some(endpoint), Some(verb)) => Call::Twin(verb, endpoint),
                (Some(_), None) => return Self::NotAllowed,
                (None, _) => return Self::Nothing,
            },
            (_, ["statistics", "devices" | "service"]) => return Self::NotAllowed,
            _ => return Self::Nothing,
        };
        Self::Call(call)
    }
}

fn endpoint(hub: HubId, path: &[&str]) -> Option<Endpoint> {
    match path {
        [device] if !device.is_empty() => Some(Endpoint::device(hub, *device)),
        [device, "modules", module] if !device.is_empty() && !module.is_empty() => {
            Some(Endpoint::module(hub, *device, *module))
        }
        _ => None,
    }
}

fn verb(method: &str) -> Option<Verb> {
    match method {
        "GET" => Some(Verb::Get),
        "PUT" => Some(Verb::Put),
        "DELETE" => Some(Verb::Delete),
        _ => None,
    }
}

fn twin_verb(method: &str) -> Option<TwinVerb> {
    match method {
        "GET" => Some(TwinVerb::Get),
        "PATCH" => Some(TwinVerb::Patch),
        "PUT" => Some(TwinVerb::Replace),
        _ => None,
    }
}
