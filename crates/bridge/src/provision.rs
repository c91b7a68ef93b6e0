//! In front of DPS: one registration at a time per device, paced, remembered.
//!
//! Assignments are kept durably: after a restart, or at another process that shares the queue, a known device makes no DPS call. Refusals are remembered by cause for
//! as long as asking again makes no sense. Nobody waits here with a lease in hand: a lane that needs a registration is
//! released and woken when the answer is there.

mod asking; // one registration
pub mod breaker;
mod clerk; // who is next, and when
pub mod former;
pub mod keys;
pub mod line;
pub mod pacer;
mod registrar;
pub mod scope;
pub mod standing; // what a person sees of it

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use azure::dps::Class;
use azure::key::DeviceKey;
use azure::net::Dial;
use queue::{Queue, UnixMillis};

use crate::config::{self, DpsTarget, GroupKey, Target, TargetKind};
use crate::events::Events;
use crate::identity::Name;
use crate::provision::former::{Fingerprint, Former};
use crate::provision::registrar::Registrars;
use crate::provision::scope::{Progress, Scope};
use crate::world::World;

/// Collection of durable notes: name → assignment.
pub(crate) const SPACE: &str = "assignments";
/// Collection of durable notes: name → when its registration began; gone when it is assigned. So a process that was killed
/// in the middle leaves behind what its successor needs: how much of the minute's pace is used up, and who may be
/// registered already.
pub(crate) const BEGUN: &str = "registrations";
/// Refusals remembered, about 300 bytes each: 30 MB. Beyond it the half that ends sooner goes.
const REFUSALS_MAX: usize = 100_000;

/// Where a device lives, as DPS said.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Assignment {
    /// The hub's host name, without port.
    pub hub: String,
    /// The device's id there.
    pub device_id: String,
    /// Of the group's keys the one that the device signs with.
    #[serde(default)]
    pub key: GroupKey,
    /// Which one that was: another may stand in its place since. None where no group has a part in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered_with: Option<Fingerprint>,
    /// When we learnt it.
    pub at: UnixMillis,
}

/// What is known of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Send there.
    Assigned(Assignment),
    /// DPS refused; do not ask before.
    Held {
        /// Until asking makes sense again.
        wait: Duration,
        /// Why, for a person.
        cause: String,
        /// It will never be accepted as it is: its messages go to the dead letters until then.
        never: bool,
    },
    /// Register it.
    Nothing,
}

/// A device that needs a registration.
#[derive(Clone, Debug)]
pub struct Applicant {
    /// Its name.
    pub name: Name,
    /// Whose registrar is to be asked, with whose keys.
    pub target: Arc<Target>,
    /// Woken when the answer is there. A name has one owner ([`crate::claims`]), and an owner one lane of telemetry.
    pub lane: String,
}

/// The provisioning of all targets.
#[derive(Debug)]
pub struct Provision {
    state: Mutex<State>,
    former: Mutex<Former>,
    registrars: Registrars,
    queue: Queue,
    world: World,
    events: Events,
}

#[derive(Debug, Default)]
struct State {
    assigned: HashMap<Name, Assignment>,
    at_hub: HashMap<String, usize>,
    refused: BTreeMap<Name, Refusal>,
    scopes: BTreeMap<String, Scope>,
    /// Begun by the process before, and not known to have ended: DPS is asked what came of it first.
    begun: HashSet<Name>,
    /// When the process before began registrations, by scope and part of the queue; taken by the first of a scope's devices.
    begun_at: HashMap<String, BTreeMap<u16, Vec<UnixMillis>>>,
}

#[derive(Clone, Debug)]
struct Refusal {
    /// By [`World::steady`].
    until: UnixMillis,
    cause: String,
    never: bool,
    class: Class,
    times: u32,
    /// To be woken when asking makes sense earlier than that.
    lane: String,
}

impl State {
    /// There since the first of its devices asked.
    fn scope(&mut self, name: &Name) -> Option<&mut Scope> {
        self.scopes.get_mut(&name.scope)
    }

    /// The process before has, at about this time. A scope that is there has a pace of its own by now.
    fn began(&mut self, partition: u16, name: &Name, at: UnixMillis) {
        if !self.scopes.contains_key(&name.scope) {
            self.begun_at.entry(name.scope.clone()).or_default().entry(partition).or_default().push(at);
        }
    }

    fn set(&mut self, name: &Name, assignment: Option<Assignment>) {
        if let Some(new) = &assignment {
            *self.at_hub.entry(new.hub.clone()).or_default() += 1;
        }
        let old = match assignment {
            Some(new) => self.assigned.insert(name.clone(), new),
            None => self.assigned.remove(name),
        };
        if let Some(count) = old.and_then(|old| self.at_hub.get_mut(&old.hub)) {
            *count -= 1;
        }
    }

    fn remember(&mut self, name: &Name, refusal: Refusal) {
        if self.refused.len() >= REFUSALS_MAX {
            let mut ends: Vec<_> = self.refused.values().map(|refusal| refusal.until).collect();
            let (_, middle, _) = ends.select_nth_unstable(REFUSALS_MAX / 2);
            let middle = *middle;
            self.refused.retain(|_, refusal| refusal.until > middle);
        }
        self.refused.insert(name.clone(), refusal);
    }
}

impl Provision {
    /// Knows nothing yet; see [`crate::tenancies`].
    pub fn new(queue: &Queue, azure: &config::Azure, dial: Arc<dyn Dial>, world: World, events: Events) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            former: Mutex::default(),
            registrars: Registrars::new(azure, dial),
            queue: queue.clone(),
            world,
            events,
        })
    }

    /// What stands in the notes of a part of the queue counts from now on, whatever was known of these devices before.
    pub(crate) fn take_in(&self, partition: u16, assignments: &[(String, Vec<u8>)], begun: &[(String, Vec<u8>)]) {
        let mut state = self.state();
        // One after another, in any order: each is changed by itself.
        state.begun_at.retain(|_, times| {
            times.remove(&partition);
            !times.is_empty()
        });
        for (key, value) in assignments {
            if let (Some(name), Ok(assignment)) = (Name::from_key(key), serde_json::from_slice::<Assignment>(value)) {
                state.began(partition, &name, assignment.at);
                state.begun.remove(&name);
                state.set(&name, Some(assignment));
            }
        }
        for (key, value) in begun {
            if let (Some(name), Ok(at)) = (Name::from_key(key), serde_json::from_slice(value)) {
                state.began(partition, &name, at);
                if !state.assigned.contains_key(&name) {
                    state.begun.insert(name);
                }
            }
        }
    }

    /// What is known of a device, without asking anybody.
    pub fn known(&self, name: &Name) -> Known {
        let state = self.state();
        if let Some(assignment) = state.assigned.get(name) {
            return Known::Assigned(assignment.clone());
        }
        match state.refused.get(name) {
            Some(r) if self.world.steady() < r.until => {
                Known::Held { wait: self.world.until(r.until), cause: r.cause.clone(), never: r.never }
            }
            _ => Known::Nothing,
        }
    }

    /// How many devices live at a hub.
    pub fn devices_of(&self, hub: &str) -> usize {
        self.state().at_hub.get(hub).copied().unwrap_or(0)
    }

    /// How many devices are assigned.
    pub fn assigned(&self) -> usize {
        self.state().assigned.len()
    }

    /// How far each scope is with its new devices.
    pub fn progress(&self) -> Vec<Progress> {
        let now = self.world.steady();
        self.state().scopes.iter().map(|(name, scope)| scope.progress(name, now)).collect()
    }

    /// Forgets where a device lives, so that it registers again. The durable note stays until there is a new one.
    pub fn forget(&self, name: &Name) {
        self.state().set(name, None);
    }

    /// A device that nobody registered takes messages at this hub. Not kept: it costs nothing to find out again.
    pub fn found(&self, name: &Name, hub: &str) {
        let (device_id, key) = (name.id.clone(), GroupKey::default());
        let at = self.world.now();
        let found = Assignment { hub: hub.to_owned(), device_id, key, registered_with: None, at };
        self.state().set(name, Some(found));
    }

    /// Whatever was refused may be asked for again at once: somebody has mended something.
    pub fn ask_again(&self) {
        let mut state = self.state();
        state.scopes.values_mut().for_each(|scope| scope.keys.try_anew());
        let refused = std::mem::take(&mut state.refused);
        drop(state);
        for refusal in refused.into_values() {
            self.queue.wake(&refusal.lane);
        }
    }

    /// These targets may have other keys from now on.
    pub fn keep_keys(&self, targets: &BTreeMap<String, Arc<Target>>) {
        let groups = targets.values().filter_map(|target| match &target.kind {
            TargetKind::Dps(dps) => Some(dps),
            TargetKind::Policy(_) | TargetKind::Device(_) => None,
        });
        self.former.lock().unwrap_or_else(PoisonError::into_inner).keep(groups);
    }

    /// The device's own key, derived from the key of its group that it registered with; none if that is known no longer.
    pub fn device_key(&self, target: &DpsTarget, assignment: &Assignment, id: &str) -> Option<DeviceKey> {
        let former = self.former.lock().unwrap_or_else(PoisonError::into_inner);
        let key = match assignment.registered_with {
            Some(registered_with) => former.key_of(target, registered_with)?,
            None => target.key(assignment.key),
        };
        Some(azure::sas::derive_device_key(key, id))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A target as tests of this module need one.
    pub(crate) fn target() -> Arc<Target> {
        let key = "A".repeat(86) + "==";
        let text = format!(
            "[targets.main]\nkind = \"dps\"\nid_scope = \"0ne00AAAAAA\"\ngroup_key = \"{key}\"\n[[routes]]\ntarget = \"main\"\n"
        );
        let no_files = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        let config = config::read(&text, &[], std::path::Path::new(""), &no_files).expect("usable").config;
        config.targets["main"].clone()
    }
}
