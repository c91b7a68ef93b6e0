//! Twins: what devices and their owner do with them.

use bytes::Bytes;
use serde_json::Value;

use super::{Cloud, HubState, State, server_error};
use crate::endpoint::{Endpoint, HubId};
use crate::hub::Refusal;
use crate::hub::events::Change;
use crate::hub::twin::{Live, Twin};
use crate::registry::Device;

/// What a device does.
impl Cloud {
    /// Its twin as it sees it, JSON. The caller has let it in.
    pub(crate) fn twin_for_device(&self, endpoint: &Endpoint) -> Result<Bytes, Refusal> {
        let now_ms = self.now_ms();
        let mut state = self.state();
        let twin = state.talking(endpoint, now_ms).and_then(|device| {
            let its = state.hub(endpoint.hub)?;
            Ok(its.registry.twin(&device).for_device().to_string().into())
        });
        state.count_hub_refusal(twin)
    }

    /// Takes a merge patch of its reported properties, and gives their version.
    pub(crate) fn patch_reported(&self, endpoint: &Endpoint, patch: &[u8]) -> Result<u64, Refusal> {
        let now_ms = self.now_ms();
        let mut state = self.state();
        let version = state.talking(endpoint, now_ms).and_then(|device| {
            let its = state.hub(endpoint.hub)?;
            let mut twin = its.registry.twin(&device).into_owned();
            let version = twin.patch_reported(patch, now_ms)?;
            its.put_twin(&device, twin)?;
            its.tell_reported(&device, patch, now_ms);
            Ok(version)
        });
        self.directory.tell_readers();
        state.count_hub_refusal(version)
    }
}

/// What its owner does.
impl Cloud {
    /// Changes a twin and tells the device what it has to know of it.
    pub(super) fn change_twin(
        &self,
        its: &mut HubState,
        endpoint: &Endpoint,
        if_match: Option<&str>,
        (change, wish): (Change, &Value),
        now_ms: i64,
    ) -> Result<(), Refusal> {
        let device = its.registry.get(endpoint).ok_or_else(|| Refusal::not_found(endpoint))?.clone();
        let mut twin = its.registry.twin(&device).into_owned();
        crate::service::matching(if_match, &twin.etag())?;
        let before = twin.version();
        let told = match change {
            Change::Update => twin.patch(wish, now_ms)?,
            Change::Replace => twin.replace(wish, now_ms)?,
        };
        let is_changed = twin.version() != before;
        its.put_twin(&device, twin)?;
        if is_changed {
            its.tell_twin(&device, change, wish, now_ms);
        }
        if let Some(told) = told {
            self.directory.tell_desired(endpoint, told);
        }
        Ok(())
    }

    /// What is known of a device besides what is kept.
    pub(super) fn live(&self, hub: HubId, its: &HubState, device: &Device) -> Live {
        let endpoint = Endpoint { hub, device: device.id.clone(), module: device.module.clone() };
        let seen = its.seen.get(&device.key());
        let connection_updated_ms = self.directory.turned_ms(&endpoint);
        Live {
            is_connected: self.directory.is_connected(&endpoint),
            connection_updated_ms,
            last_activity_ms: seen.map(|seen| seen.activity_ms).max(connection_updated_ms),
            c2d_count: if device.module.is_none() { its.post.pending(&device.id) } else { 0 },
            model_id: seen.and_then(|seen| seen.model_id.clone()),
        }
    }

    pub(super) fn twin_shown(&self, hub: HubId, its: &HubState, device: &Device) -> (Value, String) {
        let twin = its.registry.twin(device);
        (twin.for_service(device, &self.live(hub, its, device)), twin.etag())
    }
}

impl State {
    /// A device that may talk, and does.
    pub(super) fn talking(&mut self, endpoint: &Endpoint, now_ms: i64) -> Result<Device, Refusal> {
        self.stands_in_the_way(endpoint)?;
        let device = self.enabled(endpoint)?.clone();
        self.hub(endpoint.hub)?.saw(&device, None, now_ms);
        Ok(device)
    }
}

impl HubState {
    pub(super) fn put_twin(&mut self, device: &Device, twin: Twin) -> Result<(), Refusal> {
        self.registry.put_twin(device, twin).map_err(|error| server_error("registry", &error))
    }

    /// A device did something.
    pub(super) fn saw(&mut self, device: &Device, model_id: Option<&str>, now_ms: i64) {
        let seen = self.seen.entry(device.key()).or_default();
        seen.activity_ms = now_ms;
        if model_id.is_some() {
            seen.model_id = model_id.map(str::to_owned);
        }
    }
}

#[cfg(test)]
mod tests;
