//! The devices of one hub, and their modules.
//!
//! Promises: with a directory, what was changed is there after a restart (`journal`). Relies on the caller for who may
//! change it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;
use crate::identity::{Keys, etag};
use crate::journal::Journal;

/// As many as a real hub takes.
pub(crate) const DEVICES_MAX: usize = 1_000_000;

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
    pub(crate) keys: Keys,
    pub(crate) status: Status,
    pub(crate) etag: String,
    pub(crate) generation: String,
}

impl Device {
    pub(crate) fn new(id: &str, keys: Keys, now_ms: i64) -> Self {
        let (id, status) = (id.to_owned(), Status::Enabled);
        Self { id, module: None, keys, status, etag: etag(), generation: generation(now_ms) }
    }

    /// Where it is kept: no id has a slash.
    fn key(&self) -> String {
        self.module.as_ref().map_or_else(|| self.id.clone(), |module| format!("{}/{module}", self.id))
    }
}

/// The generation tells a device from an earlier one of the same name: ticks of 100 ns since the year 1.
fn generation(now_ms: i64) -> String {
    /// 0001-01-01 to 1970-01-01.
    const EPOCH_MS: i64 = 62_135_596_800_000;
    now_ms.saturating_add(EPOCH_MS).saturating_mul(10_000).to_string()
}

/// One line of the journal.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    Device(Device),
    /// By key; its modules go with it.
    Deleted(String),
}

/// All of them, in memory, with a journal beside.
#[derive(Default)]
pub(crate) struct Registry {
    /// By id, modules by `device/module`.
    devices: BTreeMap<String, Device>,
    journal: Journal,
}

impl Registry {
    /// Reads what is kept in `dir` of the hub `name`, and goes on from there.
    pub(crate) fn open(dir: Option<&Path>, name: &str) -> io::Result<Self> {
        let file = format!("devices-{name}.jsonl");
        let mut registry = Self::default();
        Journal::read(dir, &file)?.into_iter().for_each(|change| registry.apply(change));
        registry.journal = Journal::open(dir, &file, registry.devices.values().cloned().map(Change::Device))?;
        Ok(registry)
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Device(device) => drop(self.devices.insert(device.key(), device)),
            Change::Deleted(key) => self.forget(&key),
        }
    }

    fn forget(&mut self, key: &str) {
        self.devices.remove(key);
        let modules: Vec<String> = self.modules_of(key).map(Device::key).collect();
        for module in modules {
            self.devices.remove(&module);
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

    /// A device or a module.
    pub(crate) fn get(&self, endpoint: &Endpoint) -> Option<&Device> {
        self.devices.get(&endpoint.to_string())
    }

    /// All devices, by id; no modules.
    pub(crate) fn devices(&self) -> impl Iterator<Item = &Device> {
        self.devices.values().filter(|device| device.module.is_none())
    }

    /// The modules of a device, by id.
    pub(crate) fn modules_of(&self, device: &str) -> impl Iterator<Item = &Device> {
        // `0` is what comes after the slash.
        self.devices.range(format!("{device}/")..format!("{device}0")).map(|(_, module)| module)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.devices.len() >= DEVICES_MAX
    }

    pub(crate) fn put_device(&mut self, device: Device) -> io::Result<()> {
        self.commit(Change::Device(device))
    }

    /// Forgets a device with its modules.
    pub(crate) fn delete_device(&mut self, id: &str) -> io::Result<()> {
        self.commit(Change::Deleted(id.to_owned()))
    }

    /// Makes the journal safe against a power cut; called when the simulator stops.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.journal.sync()
    }
}

#[cfg(test)]
mod tests;
