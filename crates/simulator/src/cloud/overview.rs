//! What the owner sees and does at this machine, without tokens: the page's side.
//!
//! Promises: each look is bounded, also with a hundred thousand devices; what changes something is decided as for an SDK.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Cloud, DeviceView, Hub, HubState, State};
use crate::directory::Protocol;
use crate::endpoint::{Endpoint, HubId};
use crate::hub::Refusal;
use crate::record::Recorded;
use crate::registry::Device;
use crate::service::{Answer, Call, With};

/// Devices that one look with a search goes through: some milliseconds under the lock. Who asks goes on from there.
const LOOKED_AT_MAX: usize = 20_000;

/// Sums, none of them by device.
#[derive(Debug, Serialize)]
pub(crate) struct Overview {
    now_ms: i64,
    hubs: Vec<HubView>,
    registrations: usize,
    messages_total: u64,
    /// Calls that ended in an error, by the code or its name.
    hub_refused: BTreeMap<String, u64>,
    dps_refused: BTreeMap<u32, u64>,
    c2d: BTreeMap<&'static str, u64>,
    amqp: Connections,
    mqtt: Connections,
}

#[derive(Debug, Serialize)]
struct HubView {
    hub: String,
    devices: usize,
    connected: usize,
}

#[derive(Debug, Serialize)]
struct Connections {
    now: u64,
    ever: u64,
}

/// A device in a list.
#[derive(Debug, Serialize)]
pub(crate) struct Listed {
    #[serde(flatten)]
    view: DeviceView,
    connected: bool,
    /// Messages that wait for it or that it holds.
    c2d_waiting: usize,
    last_activity_at: Option<i64>,
}

/// Which devices.
#[derive(Debug, Default)]
pub(crate) struct Wanted<'a> {
    pub(crate) hub: Option<HubId>,
    /// Part of the id, in lower case.
    pub(crate) search: &'a str,
    /// Hub and device of the last one before.
    pub(crate) after: Option<(HubId, &'a str)>,
    pub(crate) limit: usize,
}

/// A page of devices, and hub and device of the last that was looked at where there are more.
pub(crate) type Page = (Vec<Listed>, Option<(HubId, String)>);

impl Cloud {
    pub(crate) fn overview(&self) -> Overview {
        let now_ms = self.now_ms();
        let connections = |protocol| {
            let (now, ever) = self.directory.counts(protocol);
            Connections { now, ever }
        };
        let (amqp, mqtt) = (connections(Protocol::Amqp), connections(Protocol::Mqtt));
        let connected: Vec<_> = (0..self.hubs.len()).map(|hub| self.directory.connected(HubId(hub))).collect();
        let state = self.state();
        let mut c2d = BTreeMap::new();
        for (what, count) in state.hubs.iter().flat_map(|hub| hub.post.counts()) {
            *c2d.entry(what).or_default() += count;
        }
        let each = self.hubs.iter().zip(&state.hubs).zip(connected);
        let hubs = each.map(|((hub, its), connected)| HubView {
            hub: hub.name().to_owned(),
            devices: its.registry.devices().count(),
            connected,
        });
        Overview {
            now_ms,
            hubs: hubs.collect(),
            registrations: state.counts.registrations.len(),
            messages_total: state.counts.messages_total,
            hub_refused: state.counts.hub_refused.clone(),
            dps_refused: state.counts.dps_refused.clone(),
            c2d,
            amqp,
            mqtt,
        }
    }

    /// Devices by hub and id, at most [`LOOKED_AT_MAX`] of them looked at.
    pub(crate) fn list(&self, wanted: &Wanted<'_>) -> Page {
        let state = self.state();
        let (mut found, mut looked_at, mut last) = (Vec::new(), 0, None);
        for (at, (hub, its)) in self.hubs.iter().zip(&state.hubs).enumerate() {
            let at = HubId(at);
            let is_before = wanted.after.is_some_and(|(before, _)| at.0 < before.0);
            if is_before || wanted.hub.is_some_and(|only| only != at) {
                continue;
            }
            let after = wanted.after.filter(|(before, _)| *before == at).map(|(_, id)| id);
            for device in its.registry.after(after).filter(|device| device.module.is_none()) {
                if found.len() == wanted.limit || looked_at == LOOKED_AT_MAX {
                    return (found, last.map(|(hub, id): (HubId, &str)| (hub, id.to_owned())));
                }
                (looked_at, last) = (looked_at + 1, Some((at, device.id.as_str())));
                if device.id.to_lowercase().contains(wanted.search) {
                    found.push(self.listed_one(&state, (at, hub, its), device));
                }
            }
        }
        (found, None)
    }

    fn listed_one(&self, state: &State, (at, hub, its): (HubId, &Hub, &HubState), device: &Device) -> Listed {
        let live = self.live(at, its, device);
        Listed {
            view: DeviceView {
                hub: hub.name().to_owned(),
                device_id: device.id.clone(),
                status: device.status,
                messages: state.counts.messages.get(&device.id).copied().unwrap_or_default(),
            },
            connected: live.is_connected,
            c2d_waiting: live.c2d_count,
            last_activity_at: live.last_activity_ms,
        }
    }

    /// A call of the owner who sits at this machine: as [`Cloud::owner`], without a token.
    pub(crate) fn owner_at_hand(&self, hub: HubId, call: &Call<'_>, with: &With<'_>) -> Result<Answer, Refusal> {
        let now_ms = self.now_ms();
        let mut state = self.state();
        let answer = state.hub(hub).and_then(|its| self.owner_now(hub, its, call, with, now_ms));
        self.directory.tell_readers();
        state.count_hub_refusal(answer)
    }

    /// Messages that wait for a device.
    pub(crate) fn c2d_waiting(&self, device: &Endpoint) -> usize {
        self.state().hubs.get(device.hub.0).map_or(0, |its| its.post.pending(&device.device))
    }

    /// The last messages after a position, see [`crate::record::Record::after`].
    pub(crate) fn messages_after(&self, position: Option<u64>, count: usize) -> (u64, Vec<Recorded>) {
        self.state().record.after(position, count)
    }
}
