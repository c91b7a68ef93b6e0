//! What the users of a simulator may see and do, whether it has ports or not.

use std::io;
use std::sync::Arc;

use crate::cloud::{Cloud, Counts, DeviceView, Thefts};
use crate::dps::{GroupKey, NoKey, Registration, Unmovable};
use crate::faults::Faults;
use crate::record::Recorded;
use crate::registry::Status;
use crate::started::{self, GroupAddress, HubAddress};
use crate::time::NotForward;

/// The services of a simulator, as their owner sees them. [`crate::Simulator`] and [`crate::Unplugged`] are both steered so.
#[derive(Clone)]
pub struct Handle {
    pub(crate) cloud: Arc<Cloud>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl Handle {
    /// The hubs, that which answers to every name first.
    pub fn hubs(&self) -> Vec<HubAddress> {
        started::hubs(&self.cloud)
    }

    /// The enrolment groups of all scopes, with the keys that they have now.
    pub fn groups(&self) -> Vec<GroupAddress> {
        started::groups(&self.cloud)
    }

    /// What happened since the start.
    pub fn counts(&self) -> Counts {
        self.cloud.counts()
    }

    /// Which connection took a device from which.
    pub fn thefts(&self) -> Thefts {
        self.cloud.thefts()
    }

    /// The last accepted messages, oldest first, at most 200.
    pub fn messages(&self, count: usize) -> Vec<Recorded> {
        self.cloud.messages(count)
    }

    /// All devices of the hub, by name.
    pub fn devices(&self) -> Vec<DeviceView> {
        self.cloud.devices()
    }

    /// What provisioning knows of a device.
    pub fn registration(&self, registration_id: &str) -> Option<Registration> {
        self.cloud.registration(registration_id)
    }

    /// The faults as asked for.
    pub fn faults(&self) -> Faults {
        self.cloud.faults()
    }

    /// Replaces all faults; what counts calls starts anew.
    pub fn set_faults(&self, faults: Faults) {
        self.cloud.set_faults(faults);
    }

    /// Puts the simulator's time forward by so many seconds: what would be due by then is due now. Timers of the network
    /// are not moved.
    ///
    /// # Errors
    /// See [`NotForward`].
    pub fn forward(&self, seconds: i64) -> Result<(), NotForward> {
        self.cloud.forward(seconds)
    }

    /// Makes devices as if each had registered, with the keys that it has in the group.
    ///
    /// # Errors
    /// When a name cannot be a registration id, the hub is full, or the change could not be written. Devices before that
    /// one are there.
    pub fn enrol(&self, ids: &[String]) -> io::Result<()> {
        self.cloud.enrol(ids).map_err(|refusal| io::Error::other(refusal.message))
    }

    /// Switches a device on or off, at the hub that has it. `Ok(false)` when none has.
    ///
    /// # Errors
    /// When the change could not be written, or several hubs have such a device.
    pub fn set_status(&self, device_id: &str, status: Status) -> io::Result<bool> {
        self.cloud.set_status(device_id, status)
    }

    /// Forgets a device, at the hub that has it; its registration stays. `Ok(false)` when none has.
    ///
    /// # Errors
    /// When the change could not be written, or several hubs have such a device.
    pub fn delete_device(&self, device_id: &str) -> io::Result<bool> {
        self.cloud.delete_device(device_id)
    }

    /// The same at the hub of this host name.
    ///
    /// # Errors
    /// When the change could not be written.
    pub fn set_status_at(&self, hub: &str, device_id: &str, status: Status) -> io::Result<bool> {
        self.cloud.hub_named(hub).map_or(Ok(false), |hub| self.cloud.set_status_at(hub, device_id, status))
    }

    /// The same at the hub of this host name.
    ///
    /// # Errors
    /// When the change could not be written.
    pub fn delete_device_at(&self, hub: &str, device_id: &str) -> io::Result<bool> {
        self.cloud.hub_named(hub).map_or(Ok(false), |hub| self.cloud.delete_device_at(hub, device_id))
    }

    /// Sends a device to another hub of its group: it is gone from the old one at once, and its next registration says
    /// where it is.
    ///
    /// # Errors
    /// See [`Unmovable`].
    pub fn move_to(&self, id_scope: Option<&str>, registration_id: &str, hub: &str) -> Result<(), Unmovable> {
        self.cloud.move_to(id_scope, registration_id, hub)
    }

    /// Forgets a registration; the device stays at its hub. `Ok(false)` when there is none.
    ///
    /// # Errors
    /// When the change could not be written.
    pub fn forget_registration(&self, id_scope: Option<&str>, registration_id: &str) -> io::Result<bool> {
        self.cloud.forget_registration(id_scope, registration_id)
    }

    /// Switches the enrolment groups of this name on or off, of one scope or of all. How many there are. With a directory
    /// they stay so until they are switched again, or their setup says something else than it does now.
    ///
    /// # Errors
    /// When the change could not be written.
    pub fn switch_group(&self, id_scope: Option<&str>, name: &str, is_enabled: bool) -> io::Result<usize> {
        self.cloud.switch_group(id_scope, name, is_enabled)
    }

    /// Replaces a key of the enrolment groups of this name, of one scope or of all, as an owner does who regenerates it.
    /// How many there are. Devices keep the keys that they have at their hub until they register again. Even with a
    /// directory the key is good until the end of this simulator only: the next one has the key that it was told, or kept.
    ///
    /// # Errors
    /// See [`NoKey`].
    pub fn replace_group_key(
        &self,
        id_scope: Option<&str>,
        name: &str,
        which: GroupKey,
        key: &str,
    ) -> Result<usize, NoKey> {
        self.cloud.replace_group_key(id_scope, name, which, key)
    }
}
