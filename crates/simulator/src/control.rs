//! The page and its API: a look at the state, and the switches for faults and devices. Plain HTTP, for this machine.
//!
//! Promises: shows no keys; takes changes only from requests that name this machine as their host, so that a web page
//! from elsewhere cannot reach in through a name of its own. Knows no more than the library's users do.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use serde_json::json;

use crate::cloud::{Cloud, Several};
use crate::connections::{Answers, Ask, Reply};
use crate::endpoint::HubId;
use crate::https::{decoded, json, query};
use crate::record::Recorded;
use crate::registry::Status;
use crate::started::Started;

mod clock; // the time, put forward
mod devices; // found, looked at, talked to
mod guard; // who may ask
mod page; // for people
mod provisioning; // registrations and groups
mod telemetry; // what came since

/// As many messages as the page shows.
const SHOWN_MAX: usize = 50;
/// As many devices, and registrations, as are shown; more are counted.
const DEVICES_SHOWN_MAX: usize = 1000;

/// Control over a running simulator.
pub(crate) struct Control {
    pub(crate) cloud: Arc<Cloud>,
    /// Without keys.
    pub(crate) started: Started,
}

impl Answers for Control {
    fn now_ms(&self) -> i64 {
        self.cloud.now_ms()
    }

    async fn answer(self: Arc<Self>, ask: Ask) -> Reply {
        let mut reply = match guard::refused(&ask) {
            Some(why) => problem(StatusCode::FORBIDDEN, why),
            None => self.answered(&ask).await,
        };
        guard::harden(reply.headers_mut());
        Ok(reply)
    }
}

impl Control {
    async fn answered(&self, ask: &Ask) -> Response<Full<Bytes>> {
        let path: Vec<&str> = ask.parts.uri.path().split('/').skip(1).collect();
        match (&ask.parts.method, path.as_slice()) {
            (&Method::GET, [""] | ["kit" | "page", _]) => page::file(ask),
            (&Method::GET, ["api", "overview"]) => json(StatusCode::OK, &self.cloud.overview()),
            (&Method::GET, ["api", "telemetry"]) => self.telemetry(ask),
            (&Method::GET, ["api", "devices"]) => self.list(ask),
            (_, ["api", "devices", id, what @ ("twin" | "messages" | "methods")]) => self.talk(ask, id, what).await,
            (&Method::GET, ["api", "state"]) => self.state(),
            (&Method::GET, ["api", "thefts"]) => json(StatusCode::OK, &self.cloud.thefts()),
            (&Method::GET, ["api", "started"]) => json(StatusCode::OK, &self.started),
            (&Method::GET, ["api", "faults"]) => json(StatusCode::OK, &self.cloud.faults()),
            (&Method::POST, ["api", "faults"]) => self.set_faults(ask),
            (&Method::GET, ["api", "clock"]) => self.clock(),
            (&Method::POST, ["api", "clock"]) => self.put_clock_forward(ask),
            (&Method::POST, ["api", "devices"]) => self.enrol(ask),
            (&Method::POST, ["api", "devices", id, action]) => self.device(ask, id, action),
            (method, ["api", "registrations" | "groups", ..]) => self.provisioning(ask, method, &path),
            (
                _,
                [""]
                | ["api", "state" | "thefts" | "started" | "faults" | "clock" | "devices" | "overview" | "telemetry"]
                | ["kit" | "page", _]
                | ["api", "devices", _, _],
            ) => problem(StatusCode::METHOD_NOT_ALLOWED, "method: not one for this address"),
            _ => problem(StatusCode::NOT_FOUND, "path: nothing here, see docs/azure-sim.md"),
        }
    }

    fn state(&self) -> Response<Full<Bytes>> {
        let mut devices = self.cloud.devices();
        let device_count = devices.len();
        devices.truncate(DEVICES_SHOWN_MAX);
        let (registration_count, registrations) = self.cloud.registrations(DEVICES_SHOWN_MAX);
        let messages: Vec<_> = self.cloud.messages(SHOWN_MAX).iter().map(raw_line).collect();
        json(
            StatusCode::OK,
            &State {
                hub: self.cloud.hub(self.cloud.default_hub()).name(),
                counts: self.cloud.counts(),
                device_count,
                devices,
                registration_count,
                registrations,
                groups: self.cloud.groups().iter().map(provisioning::GroupView::of).collect(),
                messages,
            },
        )
    }

    fn set_faults(&self, ask: &Ask) -> Response<Full<Bytes>> {
        let Ok(body) = &ask.body else { return problem(StatusCode::PAYLOAD_TOO_LARGE, "body: could not be read") };
        match serde_json::from_slice(body) {
            Ok(faults) => {
                self.cloud.set_faults(faults);
                json(StatusCode::OK, &self.cloud.faults())
            }
            Err(error) => problem(StatusCode::BAD_REQUEST, &format!("body: not a set of faults: {error}")),
        }
    }

    /// Makes the devices that are named, at once and without a registration of each.
    fn enrol(&self, ask: &Ask) -> Response<Full<Bytes>> {
        let Ok(body) = &ask.body else { return problem(StatusCode::PAYLOAD_TOO_LARGE, "body: could not be read") };
        let ids: Vec<String> = match serde_json::from_slice(body) {
            Ok(ids) => ids,
            Err(error) => return problem(StatusCode::BAD_REQUEST, &format!("body: not a list of names: {error}")),
        };
        match self.cloud.enrol(&ids) {
            Ok(()) => json(StatusCode::OK, &json!({"enrolled": ids.len()})),
            Err(refusal) => {
                let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                problem(status, &refusal.message)
            }
        }
    }

    fn device(&self, ask: &Ask, id: &str, action: &str) -> Response<Full<Bytes>> {
        let id = decoded(id);
        let hub = match self.hub_of(ask, &id) {
            Ok(hub) => hub,
            Err(problem) => return *problem,
        };
        let done = match action {
            "enable" => self.cloud.set_status_at(hub, &id, Status::Enabled),
            "disable" => self.cloud.set_status_at(hub, &id, Status::Disabled),
            "delete" => self.cloud.delete_device_at(hub, &id),
            _ => return problem(StatusCode::NOT_FOUND, "action: not one of enable, disable, delete"),
        };
        match done {
            Ok(true) => json(StatusCode::OK, &json!({"device_id": id, "done": action})),
            Ok(false) => problem(StatusCode::NOT_FOUND, "device: not known at any hub"),
            Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &format!("registry: not written: {error}")),
        }
    }

    /// The hub that has this device, or the answer that says why there is none.
    fn hub_of(&self, ask: &Ask, id: &str) -> Result<HubId, Box<Response<Full<Bytes>>>> {
        let (status, detail) = match self.cloud.whereabouts(id, query(ask, "hub").as_deref()) {
            Ok(Some(hub)) => return Ok(hub),
            Ok(None) => (StatusCode::NOT_FOUND, "device: not known at any hub, or not at this one"),
            Err(Several) => (StatusCode::CONFLICT, "hub: several have a device of this name, add ?hub=NAME"),
        };
        Err(Box::new(problem(status, detail)))
    }
}

#[derive(serde::Serialize)]
struct State<'a> {
    hub: &'a str,
    counts: crate::cloud::Counts,
    device_count: usize,
    devices: Vec<crate::cloud::DeviceView>,
    registration_count: usize,
    registrations: Vec<crate::dps::Registration>,
    groups: Vec<provisioning::GroupView>,
    messages: Vec<Box<serde_json::value::RawValue>>,
}

fn raw_line(message: &Recorded) -> Box<serde_json::value::RawValue> {
    serde_json::value::RawValue::from_string(message.line()).expect("a line of the record is JSON")
}

fn problem(status: StatusCode, detail: &str) -> Response<Full<Bytes>> {
    json(status, &json!({"status": status.as_u16(), "detail": detail}))
}
