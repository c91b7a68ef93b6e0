//! Devices from hub to hub, and what the owner of the simulator wishes for devices, registrations and groups.
//!
//! Promises: a device that moves is at its new hub before the old one forgets it; whoever talks there for it is told.

use std::io;

use super::{Cloud, State};
use crate::dps::{Assignment, Data, Group, GroupKey, NoKey, Registration, Unmovable, send_to};
use crate::endpoint::{Endpoint, HubId};
use crate::registry::{Device, Status};

/// Several hubs have a device of this name: which one is meant?
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("hub: several have a device of this name, say which")]
pub(crate) struct Several;

impl From<Several> for io::Error {
    fn from(several: Several) -> Self {
        Self::other(several)
    }
}

/// Registrations and groups.
impl Cloud {
    /// A registration, of whichever scope has it first.
    pub(crate) fn registration(&self, id: &str) -> Option<Registration> {
        self.state().find_registration(None, id).cloned()
    }

    /// Some of the registrations, and how many there are.
    pub(crate) fn registrations(&self, most: usize) -> (usize, Vec<Registration>) {
        let state = self.state();
        let all = state.registrations.all();
        (all.len(), all.take(most).cloned().collect())
    }

    /// Every group, with the id scope that it is in.
    pub(crate) fn groups(&self) -> Vec<(String, Group)> {
        self.state().scopes.groups().map(|(scope, group)| (scope.to_owned(), group.clone())).collect()
    }

    /// Switches groups of this name on or off, of one scope or of all. How many there were.
    pub(crate) fn switch_group(&self, scope: Option<&str>, name: &str, is_enabled: bool) -> io::Result<usize> {
        let mut state = self.state();
        let those = state.scopes.with_group(scope, name);
        for scope in &those {
            state.switches.note(scope, name, is_enabled)?;
            state.scopes.switch(scope, name, is_enabled);
        }
        Ok(those.len())
    }

    /// Replaces a key of groups of this name, of one scope or of all. How many there were.
    pub(crate) fn replace_group_key(
        &self,
        scope: Option<&str>,
        name: &str,
        which: GroupKey,
        key: &str,
    ) -> Result<usize, NoKey> {
        let mut state = self.state();
        let those = state.scopes.with_group(scope, name);
        those.iter().try_for_each(|scope| state.scopes.replace_key(scope, name, which, key))?;
        Ok(those.len())
    }

    /// Sends a device to another hub: it leaves the old one at once, and its next registration says where to.
    pub(crate) fn move_to(&self, scope: Option<&str>, id: &str, hub: &str) -> Result<(), Unmovable> {
        let now_ms = self.now_ms();
        let mut state = self.state();
        let before = state.find_registration(scope, id).ok_or_else(|| Unmovable::Unknown(id.to_owned()))?;
        let group = state.scopes.group(&before.id_scope, &before.group);
        let group = group.ok_or_else(|| Unmovable::NoGroup(before.group.clone()))?;
        let Assignment { registration, data } = send_to(group, before, hub)?;
        let to = registration.moved_to.as_deref().and_then(|name| self.hub_called(name));
        let to = to.ok_or_else(|| Unmovable::Unknown(hub.to_owned()))?;
        let id = registration.device_id.clone();
        if data != Data::Stays && !state.has_room(to, &id) {
            return Err(Unmovable::Full(hub.to_owned()));
        }
        self.bring(&mut state, &data, (to, &id), now_ms)
            .and_then(|()| state.registrations.put(registration))
            .and_then(|()| self.leave(&mut state, &data, &id))
            .map_err(|error| Unmovable::NotWritten(super::not_written("registry", &error)))
    }

    /// Forgets a registration; the device stays at its hub. `Ok(false)` when there is none.
    pub(crate) fn forget_registration(&self, scope: Option<&str>, id: &str) -> io::Result<bool> {
        let mut state = self.state();
        let Some(found) = state.find_registration(scope, id) else { return Ok(false) };
        let (scope, id) = (found.id_scope.clone(), found.registration_id.clone());
        state.registrations.delete(&scope, &id).map(|()| true)
    }
}

/// Devices.
impl Cloud {
    /// Puts a device that moves to its new hub, as it is at the old one. One that is there already stays as it is.
    pub(super) fn bring(&self, state: &mut State, data: &Data, to: (HubId, &str), now_ms: i64) -> io::Result<()> {
        let Data::Moves { from } = data else { return Ok(()) };
        let (hub, id) = to;
        let old = self.hub_called(from).and_then(|from| {
            let registry = &state.hubs.get(from.0)?.registry;
            registry.device(id).map(|device| (device.clone(), registry.twin(device).into_owned()))
        });
        let (Some(old), Some(its)) = (old, state.hubs.get_mut(hub.0)) else { return Ok(()) };
        if its.registry.device(id).is_some() {
            return Ok(());
        }
        // To the new hub it is a new identity, with the keys and the twin of the old one.
        let device = Device::new(id, old.0.keys, self.stamp(now_ms)).switched(old.0.status, now_ms);
        its.registry.put_device(device.clone())?;
        its.registry.put_twin(&device, old.1)?;
        its.tell_created(&device, now_ms);
        self.directory.tell_readers();
        Ok(())
    }

    /// Takes a device from the hub that it leaves.
    pub(super) fn leave(&self, state: &mut State, data: &Data, id: &str) -> io::Result<()> {
        let (Data::Moves { from } | Data::Ends { from }) = data else { return Ok(()) };
        self.hub_called(from).map_or(Ok(()), |hub| self.take_away(state, hub, id).map(drop))
    }

    /// Deletes a device with its modules, and tells whoever talks for them.
    fn take_away(&self, state: &mut State, hub: HubId, id: &str) -> io::Result<bool> {
        let Some(its) = state.hubs.get_mut(hub.0) else { return Ok(false) };
        if its.registry.device(id).is_none() {
            return Ok(false);
        }
        self.tell_changed(its, &Endpoint::device(hub, id));
        its.forget(id, self.now_ms())?;
        self.directory.tell_readers();
        Ok(true)
    }

    /// The hub that is meant: the named one, else the only one that has the device.
    pub(crate) fn whereabouts(&self, id: &str, hub: Option<&str>) -> Result<Option<HubId>, Several> {
        let state = self.state();
        let has = |at: &HubId| state.hubs.get(at.0).is_some_and(|hub| hub.registry.device(id).is_some());
        if let Some(name) = hub {
            return Ok(self.hub_named(name).filter(has));
        }
        let mut those = (0..state.hubs.len()).map(HubId).filter(has);
        match (those.next(), those.next()) {
            (Some(_), Some(_)) => Err(Several),
            (one, _) => Ok(one),
        }
    }

    /// Switches a device on or off at the hub that has it. `Ok(false)` when none has.
    pub(crate) fn set_status(&self, id: &str, status: Status) -> io::Result<bool> {
        self.whereabouts(id, None)?.map_or(Ok(false), |hub| self.set_status_at(hub, id, status))
    }

    /// Forgets a device at the hub that has it; its registration stays. `Ok(false)` when none has.
    pub(crate) fn delete_device(&self, id: &str) -> io::Result<bool> {
        self.whereabouts(id, None)?.map_or(Ok(false), |hub| self.delete_device_at(hub, id))
    }

    /// Switches a device on or off. `Ok(false)` when it is not there.
    pub(crate) fn set_status_at(&self, hub: HubId, id: &str, status: Status) -> io::Result<bool> {
        let mut state = self.state();
        let Some(its) = state.hubs.get_mut(hub.0) else { return Ok(false) };
        let Some(device) = its.registry.device(id) else { return Ok(false) };
        let changed = Device { etag: self.random.etag(), ..device.clone() }.switched(status, self.now_ms());
        its.registry.put_device(changed)?;
        self.tell_changed(its, &Endpoint::device(hub, id));
        Ok(true)
    }

    /// Forgets a device; its registration stays. `Ok(false)` when it is not there.
    pub(crate) fn delete_device_at(&self, hub: HubId, id: &str) -> io::Result<bool> {
        self.take_away(&mut self.state(), hub, id)
    }
}

impl State {
    /// Whether a hub has this device already, or can have it.
    pub(super) fn has_room(&self, hub: HubId, id: &str) -> bool {
        self.hubs.get(hub.0).is_some_and(|its| its.has_room_for(&Endpoint::device(hub, id)).is_ok())
    }

    /// A registration, of whichever scope has it first where none is named.
    fn find_registration(&self, scope: Option<&str>, id: &str) -> Option<&Registration> {
        match scope {
            Some(scope) => self.registrations.get(scope, id),
            None => self.scopes.0.iter().find_map(|scope| self.registrations.get(&scope.id, id)),
        }
    }
}

#[cfg(test)]
mod tests;
