//! Who owns which name in Azure. The first (network, application, device) to use a (scope, registration id) owns it,
//! durably and for ever; anybody else who would come out under the same name is turned away. A name counts where it is
//! given, in a DPS scope, and where it is used, at a hub: several scopes and policies may lead to one hub.
//!
//! A claim is committed before the first message goes out under it, so a crash cannot hand the name to another.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use queue::{LeaseError, Note, Queue};

use crate::identity::Name;
use crate::lane::DeviceKey;

/// Collection of durable notes: name → owner.
const SPACE: &str = "claims";

/// All claims, in memory and in the queue's notes. About 200 bytes each, two for a device of DPS: 40 MB for 100 000.
#[derive(Debug)]
pub struct Claims {
    owners: Mutex<HashMap<Name, DeviceKey>>,
    queue: Queue,
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
    /// Reads all claims.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub async fn load(queue: &Queue) -> Result<Self, LeaseError> {
        let mut owners = HashMap::new();
        for (key, value) in queue.notes(SPACE).await? {
            let Some(name) = Name::from_key(&key) else { continue };
            let owner = serde_json::from_slice(&value).unwrap_or_else(|_| {
                tracing::error!(id = name.id, "a claim cannot be read; nobody gets this name");
                DeviceKey { network: "?".to_owned(), application: "?".to_owned(), device: "?".to_owned() }
            });
            owners.insert(name, owner);
        }
        Ok(Self { owners: Mutex::new(owners), queue: queue.clone() })
    }

    /// Takes the name for `owner`, or finds that it is theirs already. Returns once it is durable.
    ///
    /// # Errors
    /// [`NotOurs::Taken`] when another device owns it.
    pub async fn claim(&self, name: &Name, owner: &DeviceKey) -> Result<(), NotOurs> {
        if self.check(name, owner)? {
            return Ok(());
        }
        let value = serde_json::to_vec(owner).expect("three strings are always JSON");
        let note = Note { space: SPACE.to_owned(), key: name.key(), value: Some(value) };
        let written = self.queue.write_notes(vec![note]).await;
        if written.is_err() {
            self.lock().remove(name);
        }
        Ok(written?)
    }

    /// Reserves the name in memory, so that of two devices that come at once one is turned away. True when it was
    /// ours before.
    fn check(&self, name: &Name, owner: &DeviceKey) -> Result<bool, NotOurs> {
        match self.lock().entry(name.clone()) {
            std::collections::hash_map::Entry::Occupied(entry) if entry.get() == owner => Ok(true),
            std::collections::hash_map::Entry::Occupied(entry) => {
                let (name, other) = (name.clone(), owner.clone());
                Err(Box::new(Conflict { name, owner: entry.get().clone(), other }).into())
            }
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(owner.clone());
                Ok(false)
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Name, DeviceKey>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
