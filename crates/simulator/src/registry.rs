//! The devices of one hub, their modules, and the twins of both.
//!
//! Promises: with a directory, what was changed is there after a restart (`journal`). Everybody who is here has a twin,
//! and nobody else. Relies on the caller for who may change it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;
use crate::hub::twin::Twin;
use crate::identity::Keys;
use crate::journal::Journal;
use crate::random::Stamp;

/// As many as a real hub takes.
pub(crate) const DEVICES_MAX: usize = 1_000_000;
/// 0001-01-01 to 1970-01-01.
const EPOCH_MS: i64 = 62_135_596_800_000;

/// Whether a device may talk to the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It may.
    Enabled,
    /// Every request is refused.
    Disabled,
}

/// A device identity, or that of a module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Device {
    pub(crate) id: String,
    /// The module's own id; none for the device itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) module: Option<String>,
    /// Who looks after the module, in its owner's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) managed_by: Option<String>,
    pub(crate) keys: Keys,
    pub(crate) status: Status,
    /// In its owner's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) status_reason: Option<String>,
    /// When it was switched last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) status_updated_ms: Option<i64>,
    pub(crate) etag: String,
    pub(crate) generation: String,
}

impl Device {
    pub(crate) fn new(id: &str, keys: Keys, stamp: Stamp<'_>) -> Self {
        let (id, status) = (id.to_owned(), Status::Enabled);
        let (etag, generation) = (stamp.random.etag(), generation(stamp.now_ms));
        let (module, managed_by, status_reason, status_updated_ms) = (None, None, None, None);
        Self { id, module, managed_by, keys, status, status_reason, status_updated_ms, etag, generation }
    }

    /// This, switched on or off.
    pub(crate) fn switched(self, status: Status, now_ms: i64) -> Self {
        let updated = if status == self.status { self.status_updated_ms } else { Some(now_ms) };
        Self { status, status_updated_ms: updated, ..self }
    }

    /// When it was made, as its generation tells.
    fn created_ms(&self) -> i64 {
        self.generation.parse::<i64>().map_or(0, |ticks| ticks / 10_000 - EPOCH_MS)
    }

    /// Where it is kept: no id has a slash.
    pub(crate) fn key(&self) -> String {
        self.module.as_ref().map_or_else(|| self.id.clone(), |module| format!("{}/{module}", self.id))
    }
}

/// The generation tells a device from an earlier one of the same name: ticks of 100 ns since the year 1.
fn generation(now_ms: i64) -> String {
    now_ms.saturating_add(EPOCH_MS).saturating_mul(10_000).to_string()
}

/// One line of the journal.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    Device(Device),
    /// By key; its modules go with it, and the twins of all.
    Deleted(String),
    /// Of whom, and how it is now.
    Twin(String, Twin),
}

/// All of them, in memory, with a journal beside.
pub(crate) struct Registry {
    /// By id, modules by `device/module`.
    devices: BTreeMap<String, Device>,
    /// By the same keys, those that were ever changed.
    twins: BTreeMap<String, Twin>,
    journal: Journal,
    most: usize,
}

impl Default for Registry {
    fn default() -> Self {
        let (devices, twins, journal) = (BTreeMap::new(), BTreeMap::new(), Journal::default());
        Self { devices, twins, journal, most: DEVICES_MAX }
    }
}

impl Registry {
    /// Reads what is kept in `dir` of the hub `name`, and goes on from there.
    pub(crate) fn open(dir: Option<&Path>, name: &str) -> io::Result<Self> {
        let file = format!("devices-{name}.jsonl");
        let mut registry = Self::default();
        Journal::read(dir, &file)?.into_iter().for_each(|change| registry.apply(change));
        let devices = registry.devices.values().cloned().map(Change::Device);
        let twins = registry.twins.iter().map(|(key, twin)| Change::Twin(key.clone(), twin.clone()));
        let journal = Journal::open(dir, &file, devices.chain(twins))?;
        Ok(Self { journal, ..registry })
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Device(device) => drop(self.devices.insert(device.key(), device)),
            Change::Deleted(key) => self.forget(&key),
            Change::Twin(key, twin) if self.devices.contains_key(&key) => drop(self.twins.insert(key, twin)),
            Change::Twin(..) => {}
        }
    }

    fn forget(&mut self, key: &str) {
        let modules: Vec<String> = self.modules_of(key).map(Device::key).collect();
        for key in modules.iter().map(String::as_str).chain([key]) {
            self.devices.remove(key);
            self.twins.remove(key);
        }
    }

    /// The journal first: what could not be written did not happen.
    fn commit(&mut self, change: Change) -> io::Result<()> {
        self.journal.write(&change)?;
        self.apply(change);
        Ok(())
    }

    /// A device, not a module.
    pub(crate) fn device(&self, id: &str) -> Option<&Device> {
        self.devices.get(id).filter(|device| device.module.is_none())
    }

    /// A device or a module, by key.
    pub(crate) fn by_key(&self, key: &str) -> Option<&Device> {
        self.devices.get(key)
    }

    /// A device or a module.
    pub(crate) fn get(&self, endpoint: &Endpoint) -> Option<&Device> {
        self.devices.get(&endpoint.to_string())
    }

    /// All devices, by id; no modules.
    pub(crate) fn devices(&self) -> impl Iterator<Item = &Device> {
        self.devices.values().filter(|device| device.module.is_none())
    }

    /// Devices and modules behind this key, in the order of keys.
    pub(crate) fn after(&self, key: Option<&str>) -> impl Iterator<Item = &Device> {
        let start = key.map_or(Bound::Unbounded, Bound::Excluded);
        self.devices.range::<str, _>((start, Bound::Unbounded)).map(|(_, device)| device)
    }

    /// The modules of a device, by id.
    pub(crate) fn modules_of(&self, device: &str) -> impl Iterator<Item = &Device> {
        // `0` is what comes after the slash.
        self.devices.range(format!("{device}/")..format!("{device}0")).map(|(_, module)| module)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.devices.len() >= self.most
    }

    /// A smaller hub, which can be filled.
    #[cfg(test)]
    pub(crate) fn hold_at_most(&mut self, most: usize) {
        self.most = most;
    }

    pub(crate) fn put_device(&mut self, device: Device) -> io::Result<()> {
        self.commit(Change::Device(device))
    }

    /// Forgets a device with its modules, or a module, by key.
    pub(crate) fn delete_device(&mut self, key: &str) -> io::Result<()> {
        self.commit(Change::Deleted(key.to_owned()))
    }

    /// The twin of somebody who is here; a new one where nobody changed it yet.
    pub(crate) fn twin(&self, device: &Device) -> Cow<'_, Twin> {
        self.twins.get(&device.key()).map_or_else(|| Cow::Owned(Twin::new(device.created_ms())), Cow::Borrowed)
    }

    /// Keeps a changed twin.
    pub(crate) fn put_twin(&mut self, device: &Device, twin: Twin) -> io::Result<()> {
        self.commit(Change::Twin(device.key(), twin))
    }

    /// Makes the journal safe against a power cut; called when the simulator stops.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.journal.sync()
    }
}

#[cfg(test)]
mod tests;
