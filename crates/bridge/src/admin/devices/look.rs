//! Devices looked up: claims name them, the rest says how they stand.
//!
//! Looks at a bounded number of devices a request, in pieces: no lock and no turn of the queue's writer is held for more
//! than one piece.

use queue::LeaseError;

use super::view::{self, Device, Named, Page, Refused, State, Tried};
use crate::claims::Owner;
use crate::config::{Config, TargetKind};
use crate::device::Shared;
use crate::identity::{self, Name};
use crate::lane::{DeviceKey, Lane};

/// Devices looked at in one piece: so many look-ups under one lock, and in one turn of the queue's writer.
pub(super) const PIECE: usize = 512;
/// Devices that one request with a filter looks at: 20 pieces. Its caller goes on from there.
const LOOKED_AT_MAX: usize = 20 * PIECE;
/// Each is a row read from the disk on the writer's thread, which puts wait for.
const LAST_SEEN_AT_ONCE: usize = 64;

/// Which devices.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub(super) network: Option<String>,
    pub(super) application: Option<String>,
    pub(super) device: Option<String>,
    /// In lower case: part of network/application/device, or of a name in Azure.
    pub(super) search: Option<String>,
    pub(super) state: Option<State>,
}

impl Filter {
    pub(super) fn takes(&self, owner: &Owner) -> bool {
        let is = |wanted: &Option<String>, id: &str| wanted.as_deref().is_none_or(|wanted| wanted == id);
        let DeviceKey { network, application, device } = &*owner.device;
        is(&self.network, network)
            && is(&self.application, application)
            && is(&self.device, device)
            && self.search.as_deref().is_none_or(|part| contains(owner, part))
    }

    fn takes_all(&self) -> bool {
        let Self { network, application, device, search, state } = self;
        network.is_none() && application.is_none() && device.is_none() && search.is_none() && state.is_none()
    }
}

fn contains(owner: &Owner, part: &str) -> bool {
    owner.device.to_string().to_lowercase().contains(part)
        || owner.names.iter().any(|name| name.id.to_lowercase().contains(part))
}

/// One page: at most `limit` devices after this one.
pub(super) async fn page(
    flow: &Shared,
    filter: &Filter,
    after: Option<DeviceKey>,
    limit: usize,
) -> Result<Page, LeaseError> {
    let config = flow.config.get();
    let piece = if filter.takes_all() { limit.min(PIECE) } else { PIECE };
    let (mut devices, mut after, mut looked_at) = (Vec::new(), after, 0);
    let next = loop {
        let owners = flow.claims.owners_after(after.as_ref(), piece);
        let is_last = owners.len() < piece;
        looked_at += owners.len();
        after = owners.last().map(|owner| (*owner.device).clone()).or(after);
        let wanted: Vec<_> = owners.into_iter().filter(|owner| filter.takes(owner)).collect();
        let found = look(flow, &config, &wanted).await?;
        devices.extend(found.into_iter().filter(|found| filter.state.is_none_or(|state| state == found.state)));
        if devices.len() > limit || (devices.len() == limit && !is_last) {
            devices.truncate(limit);
            break devices.last().map(Device::key);
        }
        if is_last {
            break None;
        }
        if looked_at >= LOOKED_AT_MAX {
            break after;
        }
    };
    fill_last_uplinks(flow, &mut devices).await?;
    Ok(Page { devices, next: next.as_ref().map(view::written_key) })
}

/// One device, with what its oldest message has been through.
pub(super) async fn one(flow: &Shared, owner: Owner) -> Result<Option<Device>, LeaseError> {
    let config = flow.config.get();
    let lane = lane(&owner.device);
    let mut found = look(flow, &config, &[owner]).await?;
    fill_last_uplinks(flow, &mut found).await?;
    let Some(mut device) = found.pop() else { return Ok(None) };
    if device.waiting_since.is_some() {
        let tried = |message: queue::Message| Tried {
            attempts: message.attempts,
            first_attempt_at: message.first_attempt_at,
            last_cause: message.last_cause,
        };
        device.tried = flow.queue.head(&lane).await?.map(tried);
    }
    Ok(Some(device))
}

pub(super) fn lane(key: &DeviceKey) -> String {
    Lane::Telemetry(key.clone()).to_string()
}

/// All but [`Device::last_uplink_at`] and [`Device::tried`].
async fn look(flow: &Shared, config: &Config, owners: &[Owner]) -> Result<Vec<Device>, LeaseError> {
    if owners.is_empty() {
        return Ok(Vec::new());
    }
    let lanes = flow.queue.lanes(owners.iter().map(|owner| lane(&owner.device)).collect()).await?;
    let device = |(owner, lane): (&Owner, Option<queue::LaneState>)| {
        let names: Vec<_> = owner.names.iter().map(|name| named(flow, config, name)).collect();
        let names = without_hubs_of_others(names);
        let retry_at = lane.and_then(|lane| lane.retry_at);
        let DeviceKey { network, application, device } = (*owner.device).clone();
        Device {
            network,
            application,
            device,
            state: view::state(&names, retry_at),
            last_uplink_at: None,
            waiting_since: lane.and_then(|lane| lane.accepted_at),
            retry_at,
            names,
            radio: None,
            tried: None,
        }
    };
    Ok(owners.iter().zip(lanes).map(device).collect())
}

/// A device of DPS owns its name at the hub, too; what is told of it there stands with its registration.
fn without_hubs_of_others(names: Vec<Named>) -> Vec<Named> {
    let hubs: Vec<_> = names.iter().filter_map(|named| named.assigned_at.and(named.hub.clone())).collect();
    let is_told = |named: &Named| {
        let host = named.scope.strip_prefix("hub ").filter(|_| named.targets.is_empty());
        host.is_some_and(|host| hubs.iter().any(|hub| hub.eq_ignore_ascii_case(host)))
    };
    names.into_iter().filter(|named| !is_told(named)).collect()
}

fn named(flow: &Shared, config: &Config, name: &Name) -> Named {
    let standing = flow.provision.standing(name);
    let targets: Vec<_> = config.targets.iter().filter(|(_, target)| identity::is_of(name, target)).collect();
    // A hub that the configuration names needs no assignment.
    let fixed = targets.iter().find_map(|(_, target)| match &target.kind {
        TargetKind::Dps(_) => None,
        TargetKind::Device(device) => Some(device.host.clone()),
        TargetKind::Policy(policy) => Some(policy.host.clone()),
    });
    let (hub, device_id) = match &standing.assignment {
        Some(assignment) => (Some(assignment.hub.clone()), Some(assignment.device_id.clone())),
        None => (fixed.clone(), fixed.as_ref().map(|_| name.id.clone())),
    };
    let link = hub.as_deref().zip(device_id.as_deref()).and_then(|(hub, id)| flow.pool.link(hub, id));
    Named {
        scope: name.scope.clone(),
        registration_id: name.id.clone(),
        targets: targets.iter().map(|(target, _)| (*target).clone()).collect(),
        hub,
        device_id,
        group_key: standing.assignment.as_ref().filter(|_| fixed.is_none()).map(|assignment| assignment.key),
        assigned_at: standing.assignment.map(|assignment| assignment.at),
        link: link.map(Into::into),
        registering: standing.is_in_line,
        refused: standing.hold.map(|hold| Refused {
            until: hold.until,
            class: hold.class.to_owned(),
            cause: hold.cause,
            times: hold.times,
        }),
    }
}

async fn fill_last_uplinks(flow: &Shared, devices: &mut [Device]) -> Result<(), LeaseError> {
    for piece in devices.chunks_mut(LAST_SEEN_AT_ONCE) {
        let lanes = piece.iter().map(|device| lane(&device.key())).collect();
        for (device, last) in piece.iter_mut().zip(flow.queue.last_seen(lanes).await?) {
            device.last_uplink_at = last;
        }
    }
    Ok(())
}
