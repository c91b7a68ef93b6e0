//! Who owns which name in Azure. The first (network, application, device) to use a (scope, registration id) owns it,
//! durably and for ever; anybody else who would come out under the same name is turned away. A name counts where it is
//! given, in a DPS scope, and where it is used, at a hub: several scopes and policies may lead to one hub.
//!
//! A claim is committed before the first message goes out under it, so a crash cannot hand the name to another. Where several
//! processes share the queue, each knows the claims of its own devices, and the queue knows who was first.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

use queue::{LeaseError, Note, Queue};

use crate::identity::Name;
use crate::lane::{DeviceKey, Lane};
use crate::world::{Point, World};

/// Collection of durable notes: name → owner.
pub(crate) const SPACE: &str = "claims";

/// All claims, in memory and in the queue's notes. About 300 bytes each, two for a device of DPS: 60 MB for 100 000.
#[derive(Debug)]
pub struct Claims {
    known: Mutex<Known>,
    queue: Queue,
    world: World,
}

/// Both ways: by name for each message, by owner for who looks. Who looks takes a page at a time.
#[derive(Debug, Default)]
struct Known {
    owners: HashMap<Arc<Name>, Arc<DeviceKey>>,
    names: BTreeMap<Arc<DeviceKey>, Vec<Arc<Name>>>,
}

/// A device and the names that it owns.
#[derive(Clone, Debug)]
pub struct Owner {
    /// The device.
    pub device: Arc<DeviceKey>,
    /// One for each scope that it was sent to.
    pub names: Vec<Arc<Name>>,
}

impl Known {
    fn add(&mut self, name: &Name, owner: &DeviceKey) {
        let name = Arc::new(name.clone());
        let owner = match self.names.get_key_value(owner) {
            Some((known, _)) => known.clone(),
            None => Arc::new(owner.clone()),
        };
        self.names.entry(owner.clone()).or_default().push(name.clone());
        self.owners.insert(name, owner);
    }

    /// Whoever it was known to belong to.
    fn give(&mut self, name: &Name, owner: &DeviceKey) {
        self.remove(name);
        self.add(name, owner);
    }

    fn remove(&mut self, name: &Name) {
        let Some(owner) = self.owners.remove(name) else { return };
        if let Some(names) = self.names.get_mut(&owner) {
            names.retain(|own| **own != *name);
            if names.is_empty() {
                self.names.remove(&owner);
            }
        }
    }
}

/// Whose it is, by a note.
fn read(name: &Name, value: &[u8]) -> DeviceKey {
    serde_json::from_slice(value).unwrap_or_else(|_| {
        tracing::error!(id = name.id, "a claim cannot be read; nobody gets this name");
        DeviceKey { network: "?".to_owned(), application: "?".to_owned(), device: "?".to_owned() }
    })
}

/// The name belongs to somebody else, or the claim could not be written.
#[derive(Debug, thiserror::Error)]
pub enum NotOurs {
    /// Another device of the network has it.
    #[error(transparent)]
    Taken(#[from] Box<Conflict>),
    /// The disk refused.
    #[error("failed to write the claim")]
    Disk(#[from] LeaseError),
}

/// Two devices, one name.
#[derive(Debug, thiserror::Error)]
#[error(
    "{other} would come out as `{}`, which belongs to {owner} since it first sent; give the target a device_id template \
     that tells them apart, or one of them another id",
    name.id
)]
pub struct Conflict {
    /// The name in question.
    pub name: Name,
    /// Who owns it.
    pub owner: DeviceKey,
    /// Who does not.
    pub other: DeviceKey,
}

impl Claims {
    /// Knows none yet; see [`crate::tenancies`].
    pub fn new(queue: &Queue, world: &World) -> Self {
        Self { known: Mutex::default(), queue: queue.clone(), world: world.clone() }
    }

    /// What stands in the notes counts from now on, whatever was known of these names before.
    pub(crate) fn take_in(&self, notes: &[(String, Vec<u8>)]) {
        let mut known = self.lock();
        for (key, value) in notes {
            let Some(name) = Name::from_key(key) else { continue };
            known.give(&name, &read(&name, value));
        }
    }

    /// Takes the name for `owner`, or finds that it is theirs already. Returns once it is durable.
    ///
    /// # Errors
    /// [`NotOurs::Taken`] when another device owns it.
    pub async fn claim(&self, name: &Name, owner: &DeviceKey) -> Result<(), NotOurs> {
        if self.check(name, owner)? {
            return Ok(());
        }
        self.world.point(Point::ClaimBeforeWrite).await;
        let value = serde_json::to_vec(owner).expect("three strings are always JSON");
        let note = Note { space: SPACE.to_owned(), key: name.key(), value: Some(value) };
        let lane = Lane::Telemetry(owner.clone()).to_string();
        let first = self.queue.claim(&lane, note).await.inspect_err(|_| self.lock().remove(name))?;
        if let Some(theirs) = first.map(|value| read(name, &value)).filter(|theirs| theirs != owner) {
            self.lock().give(name, &theirs);
            return Err(Box::new(Conflict { name: name.clone(), owner: theirs, other: owner.clone() }).into());
        }
        self.world.point(Point::ClaimWritten).await;
        Ok(())
    }

    /// Reserves the name in memory, so that of two devices that come at once one is turned away. True when it was
    /// ours before.
    fn check(&self, name: &Name, owner: &DeviceKey) -> Result<bool, NotOurs> {
        let mut known = self.lock();
        match known.owners.get(name) {
            Some(ours) if **ours == *owner => Ok(true),
            Some(theirs) => {
                let (name, other) = (name.clone(), owner.clone());
                Err(Box::new(Conflict { name, owner: (**theirs).clone(), other }).into())
            }
            None => {
                known.add(name, owner);
                Ok(false)
            }
        }
    }

    /// At most `limit` devices after this one, in the order of network, application, device. Looks at no others, whatever
    /// there is of them.
    pub fn owners_after(&self, after: Option<&DeviceKey>, limit: usize) -> Vec<Owner> {
        let known = self.lock();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let page = known.names.range::<DeviceKey, _>((from, Bound::Unbounded)).take(limit);
        page.map(|(device, names)| Owner { device: device.clone(), names: names.clone() }).collect()
    }

    /// A device that owns a name.
    pub fn owner(&self, device: &DeviceKey) -> Option<Owner> {
        let known = self.lock();
        let (device, names) = known.names.get_key_value(device)?;
        Some(Owner { device: device.clone(), names: names.clone() })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
