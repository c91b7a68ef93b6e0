//! The devices of the hub and the registrations of the provisioning service.
//!
//! Promises: with a directory, what was changed is there after a restart, also after a kill; a line that a crash cut in
//! half is dropped, not fatal. A power cut may take the last changes (no sync per change): a simulator's registry
//! is made again by registering. Does not decide who may change it.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::identity::{Keys, Readers, etag, open_for, read_if_there, write_whole};

const JOURNAL_FILE: &str = "registry.jsonl";
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

/// A device identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) keys: Keys,
    pub(crate) status: Status,
    pub(crate) etag: String,
    pub(crate) generation: String,
}

impl Device {
    pub(crate) fn new(id: &str, keys: Keys, now_ms: i64) -> Self {
        Self { id: id.to_owned(), keys, status: Status::Enabled, etag: etag(), generation: generation(now_ms) }
    }
}

/// The generation tells a device from an earlier one of the same name: ticks of 100 ns since the year 1.
fn generation(now_ms: i64) -> String {
    /// 0001-01-01 to 1970-01-01.
    const EPOCH_MS: i64 = 62_135_596_800_000;
    now_ms.saturating_add(EPOCH_MS).saturating_mul(10_000).to_string()
}

/// What the provisioning service remembers of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// As the device spelled it last.
    pub registration_id: String,
    /// The host name of the hub it was given.
    pub hub: String,
    /// Its name there.
    pub device_id: String,
    /// First registration, milliseconds since 1970.
    pub created_ms: i64,
    /// Last registration, milliseconds since 1970.
    pub updated_ms: i64,
    /// Changes with every registration.
    pub etag: String,
}

/// One line of the journal.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    Device(Device),
    DeviceDeleted(String),
    Registration(Registration),
}

/// All of them, in memory, with a journal beside.
#[derive(Default)]
pub(crate) struct Registry {
    devices: HashMap<String, Device>,
    /// By lower-cased id: the service does not tell upper from lower case.
    registrations: HashMap<String, Registration>,
    journal: Option<std::fs::File>,
}

impl Registry {
    /// Reads what is kept in `dir`, writes it anew without what was overtaken, and goes on from there.
    pub(crate) fn open(dir: Option<&Path>) -> io::Result<Self> {
        let mut registry = Self::default();
        let Some(path) = dir.map(|dir| dir.join(JOURNAL_FILE)) else { return Ok(registry) };
        for line in read_if_there(&path)?.unwrap_or_default().lines() {
            if let Ok(change) = serde_json::from_str(line) {
                registry.apply(change);
            }
        }
        write_whole(&path, &registry.written_anew()?, Readers::Owner)?;
        registry.journal = Some(open_for(Readers::Owner, std::fs::OpenOptions::new().append(true), &path)?);
        Ok(registry)
    }

    fn written_anew(&self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        let devices = self.devices.values().cloned().map(Change::Device);
        for change in devices.chain(self.registrations.values().cloned().map(Change::Registration)) {
            serde_json::to_writer(&mut text, &change)?;
            text.push(b'\n');
        }
        Ok(text)
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Device(device) => drop(self.devices.insert(device.id.clone(), device)),
            Change::DeviceDeleted(id) => drop(self.devices.remove(&id)),
            Change::Registration(one) => drop(self.registrations.insert(one.registration_id.to_lowercase(), one)),
        }
    }

    /// The journal first: what could not be written did not happen.
    fn commit(&mut self, change: Change) -> io::Result<()> {
        if let Some(journal) = &mut self.journal {
            let mut line = serde_json::to_vec(&change)?;
            line.push(b'\n');
            journal.write_all(&line)?;
        }
        self.apply(change);
        Ok(())
    }

    pub(crate) fn device(&self, id: &str) -> Option<&Device> {
        self.devices.get(id)
    }

    pub(crate) fn devices(&self) -> impl Iterator<Item = &Device> {
        self.devices.values()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.devices.len() >= DEVICES_MAX
    }

    pub(crate) fn put_device(&mut self, device: Device) -> io::Result<()> {
        self.commit(Change::Device(device))
    }

    pub(crate) fn delete_device(&mut self, id: &str) -> io::Result<()> {
        self.commit(Change::DeviceDeleted(id.to_owned()))
    }

    pub(crate) fn registration(&self, id: &str) -> Option<&Registration> {
        self.registrations.get(&id.to_lowercase())
    }

    pub(crate) fn put_registration(&mut self, registration: Registration) -> io::Result<()> {
        self.commit(Change::Registration(registration))
    }

    /// Makes the journal safe against a power cut; called when the simulator stops.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.journal.as_ref().map_or(Ok(()), std::fs::File::sync_all)
    }
}

#[cfg(test)]
mod tests;
