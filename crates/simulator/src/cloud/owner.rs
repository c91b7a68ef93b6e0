//! The owner's side of a hub: registry, twins, queries, statistics.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Cloud, DeviceView, Hub, HubState, server_error};
use crate::endpoint::{Endpoint, HubId};
use crate::hub::Refusal;
use crate::hub::events::Change;
use crate::hub::query::{Collection, Cursor, Query, page_rows};
use crate::registry::{Device, Status};
use crate::service::{self, Answer, Call, Element, Mode, Report, TwinVerb, Verb, With};

/// The body of a query.
#[derive(Deserialize)]
struct Question {
    query: String,
}

impl Cloud {
    /// Performs a call of the owner, after a look at its token.
    pub(crate) fn owner(&self, hub: HubId, call: &Call<'_>, path: &[&str], with: &With<'_>) -> Result<Answer, Refusal> {
        let now_ms = self.now_ms();
        let mut state = self.state();
        let answer = service::admit(&self.names(hub), call, path, with.authorization, now_ms)
            .and_then(|()| self.owner_now(hub, state.hub(hub)?, call, with, now_ms));
        // Whatever it was, the hub may have told something of it.
        self.directory.tell_readers();
        state.count_hub_refusal(answer)
    }

    pub(super) fn owner_now(
        &self,
        hub: HubId,
        its: &mut HubState,
        call: &Call<'_>,
        with: &With<'_>,
        now_ms: i64,
    ) -> Result<Answer, Refusal> {
        match call {
            Call::Identity(Verb::Get, of) => {
                its.registry.get(of).ok_or_else(|| missing(its, of)).map(|device| self.identity_shown(hub, its, device))
            }
            Call::Identity(Verb::Put, of) => self.put_identity(its, of, with, now_ms),
            Call::Identity(Verb::Delete, of) => {
                service::deleted(its.registry.get(of), of, with.if_match)?;
                self.delete_identity(its, of, now_ms).map(|()| Answer::no_content())
            }
            Call::Devices { top } => {
                let top = service::top(top.as_deref())?;
                Ok(self.listed(hub, its, its.registry.devices().take(top)))
            }
            Call::Modules { device } => {
                let device = its.registry.device(device).ok_or_else(|| Refusal::device_not_found(device))?;
                Ok(self.listed(hub, its, its.registry.modules_of(&device.id)))
            }
            Call::Bulk => self.bulk(hub, its, with.body, now_ms),
            Call::Twin(verb, of) => self.twin(its, *verb, of, with, now_ms),
            Call::Query => self.query(hub, its, with),
            Call::DeviceStatistics => Ok(statistics(its)),
            Call::ServiceStatistics => Ok(Answer::ok(json!({"connectedDeviceCount": self.directory.connected(hub)}))),
        }
    }

    fn identity_shown(&self, hub: HubId, its: &HubState, device: &Device) -> Answer {
        service::shown(device, &self.live(hub, its, device))
    }

    fn listed<'d>(&self, hub: HubId, its: &HubState, devices: impl Iterator<Item = &'d Device>) -> Answer {
        let bodies = devices.filter_map(|device| self.identity_shown(hub, its, device).body);
        Answer::ok(bodies.collect())
    }

    fn put_identity(&self, its: &mut HubState, of: &Endpoint, with: &With<'_>, now_ms: i64) -> Result<Answer, Refusal> {
        let name = self.hub(of.hub).short_name();
        let device = match its.registry.get(of) {
            Some(device) => service::updated(device, of, name, with.if_match, with.body, self.stamp(now_ms))?,
            None if with.if_match.is_some() => return Err(missing(its, of)),
            None => service::created(of, with.body, self.stamp(now_ms))?,
        };
        self.keep_identity(its, of, device.clone(), now_ms)?;
        Ok(self.identity_shown(of.hub, its, &device))
    }

    fn keep_identity(&self, its: &mut HubState, of: &Endpoint, device: Device, now_ms: i64) -> Result<(), Refusal> {
        its.has_room_for(of)?;
        its.keep_device(device, now_ms).map_err(|error| server_error("registry", &error))?;
        self.tell_changed(its, of);
        Ok(())
    }

    fn delete_identity(&self, its: &mut HubState, of: &Endpoint, now_ms: i64) -> Result<(), Refusal> {
        self.tell_changed(its, of);
        its.forget(&of.to_string(), now_ms).map_err(|error| server_error("registry", &error))
    }

    /// Whoever speaks for it or for a module of it has to look at it again.
    pub(super) fn tell_changed(&self, its: &HubState, of: &Endpoint) {
        self.directory.tell_owner(of);
        if of.module.is_none() {
            for module in its.registry.modules_of(&of.device).filter_map(|module| module.module.as_ref()) {
                self.directory.tell_owner(&Endpoint::module(of.hub, &of.device, module));
            }
        }
    }

    fn bulk(&self, hub: HubId, its: &mut HubState, body: &[u8], now_ms: i64) -> Result<Answer, Refusal> {
        let mut report = Report::default();
        for element in service::elements(hub, body)? {
            if let Err(refusal) = self.element(its, &element, now_ms) {
                report.failed(&element.endpoint, &refusal);
            }
        }
        Ok(Answer::ok(report.body()))
    }

    fn element(&self, its: &mut HubState, element: &Element, now_ms: i64) -> Result<(), Refusal> {
        let of = &element.endpoint;
        match element.mode {
            Mode::Delete | Mode::DeleteIfMatchEtag => {
                service::deleted(its.registry.get(of), of, element.condition())?;
                return self.delete_identity(its, of, now_ms);
            }
            Mode::UpdateTwin | Mode::UpdateTwinIfMatchEtag => {}
            _ => {
                let device =
                    element.identity(its.registry.get(of), self.hub(of.hub).short_name(), self.stamp(now_ms))?;
                self.keep_identity(its, of, device, now_ms)?;
            }
        }
        let Some(twin) = &element.twin else { return Ok(()) };
        self.change_twin(its, of, element.twin_condition(), (Change::Update, twin), now_ms)
    }

    fn twin(
        &self,
        its: &mut HubState,
        verb: TwinVerb,
        of: &Endpoint,
        with: &With<'_>,
        now_ms: i64,
    ) -> Result<Answer, Refusal> {
        its.registry.get(of).ok_or_else(|| missing(its, of))?;
        if verb != TwinVerb::Get {
            let wish: Value =
                serde_json::from_slice(with.body).map_err(|_| Refusal::not_json("The body is not a twin"))?;
            let change = if verb == TwinVerb::Replace { Change::Replace } else { Change::Update };
            self.change_twin(its, of, with.if_match, (change, &wish), now_ms)?;
        }
        let device = its.registry.get(of).ok_or_else(|| Refusal::not_found(of))?;
        let (twin, etag) = self.twin_shown(of.hub, its, device);
        Ok(Answer::tagged(twin, &etag))
    }

    fn query(&self, hub: HubId, its: &HubState, with: &With<'_>) -> Result<Answer, Refusal> {
        let question: Question =
            serde_json::from_slice(with.body).map_err(|_| Refusal::not_json("The body is not a query"))?;
        let query = Query::parse(&question.query)?;
        let cursor = Cursor::parse(with.continuation)?;
        let rows_max = page_rows(with.page_rows)?;
        let after = cursor.after().map(|(device, module)| key(device, module));
        let wanted = |device: &&Device| match query.collection {
            Collection::Devices => device.module.is_none(),
            Collection::Modules => device.module.is_some(),
            Collection::Jobs => false,
        };
        let twins = its.registry.after(after.as_deref()).filter(wanted);
        let page = query.page(twins.map(|device| self.twin_shown(hub, its, device).0), &cursor, rows_max)?;
        let answer = Answer::ok(page.rows.into()).with("x-ms-item-type", page.item_type.to_owned());
        Ok(page.continuation.into_iter().fold(answer, |answer, text| answer.with("x-ms-continuation", text)))
    }
}

/// The owner's view without tokens: the page's.
impl Cloud {
    pub(crate) fn devices(&self) -> Vec<DeviceView> {
        let state = self.state();
        let view = |hub: &Hub, device: &Device| DeviceView {
            hub: hub.name().to_owned(),
            device_id: device.id.clone(),
            status: device.status,
            messages: state.counts.messages.get(&device.id).copied().unwrap_or_default(),
        };
        let each = self.hubs.iter().zip(&state.hubs);
        each.flat_map(|(hub, its)| its.registry.devices().map(move |device| view(hub, device))).collect()
    }
}

/// The registry's key of a twin that a cursor names.
fn key(device: &str, module: &str) -> String {
    if module.is_empty() { device.to_owned() } else { format!("{device}/{module}") }
}

/// What is not there: of a module maybe its device already.
fn missing(its: &HubState, of: &Endpoint) -> Refusal {
    if its.registry.device(&of.device).is_none() {
        Refusal::device_not_found(&of.device)
    } else {
        Refusal::not_found(of)
    }
}

fn statistics(its: &HubState) -> Answer {
    let (all, enabled) = its.registry.devices().fold((0_u64, 0_u64), |(all, enabled), device| {
        (all + 1, enabled + u64::from(device.status == Status::Enabled))
    });
    Answer::ok(json!({
        "totalDeviceCount": all,
        "enabledDeviceCount": enabled,
        "disabledDeviceCount": all - enabled,
    }))
}

impl HubState {
    /// Whether one more may be made, if it is not there yet.
    pub(super) fn has_room_for(&self, of: &Endpoint) -> Result<(), Refusal> {
        if self.registry.get(of).is_some() {
            return Ok(());
        }
        if self.registry.is_full() {
            return Err(Refusal::unavailable());
        }
        if of.module.is_none() {
            return Ok(());
        }
        let device = self.registry.device(&of.device).ok_or_else(|| Refusal::device_not_found(&of.device))?;
        match self.registry.modules_of(&device.id).count() < service::MODULES_MAX {
            true => Ok(()),
            false => Err(Refusal::argument("A device may have 50 modules")),
        }
    }
}
