//! What the users of a running simulator may see and do.

use std::io;

use super::Simulator;
use crate::cloud::{Counts, DeviceView};
use crate::dps::{Registration, Unmovable};
use crate::faults::Faults;
use crate::record::Recorded;
use crate::registry::Status;
use crate::started::Started;
use crate::time::NotForward;

impl Simulator {
    /// Addresses, keys and files.
    pub fn started(&self) -> &Started {
        &self.started
    }

    /// The CA's certificate as text.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// What happened since the start.
    pub fn counts(&self) -> Counts {
        self.cloud.counts()
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

    /// Cuts all connections, frees the ports and makes the registry safe on disk.
    ///
    /// # Errors
    /// When the registry could not be synced.
    pub async fn stop(mut self) -> io::Result<()> {
        self.services.shutdown().await;
        self.cloud.sync()
    }
}
