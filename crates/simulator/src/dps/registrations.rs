//! What the provisioning service remembers, by registration id.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::journal::Journal;

const JOURNAL_FILE: &str = "registrations.jsonl";

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

/// All of them, in memory, with a journal beside.
#[derive(Default)]
pub(crate) struct Registrations {
    /// By lower-cased id: the service does not tell upper from lower case.
    all: HashMap<String, Registration>,
    journal: Journal,
}

impl Registrations {
    /// Reads what is kept in `dir`, and goes on from there.
    pub(crate) fn open(dir: Option<&Path>) -> io::Result<Self> {
        let mut registrations = Self::default();
        Journal::read(dir, JOURNAL_FILE)?.into_iter().for_each(|one| registrations.apply(one));
        registrations.journal = Journal::open(dir, JOURNAL_FILE, registrations.all.values())?;
        Ok(registrations)
    }

    fn apply(&mut self, registration: Registration) {
        self.all.insert(registration.registration_id.to_lowercase(), registration);
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Registration> {
        self.all.get(&id.to_lowercase())
    }

    pub(crate) fn put(&mut self, registration: Registration) -> io::Result<()> {
        self.journal.write(&registration)?;
        self.apply(registration);
        Ok(())
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.journal.sync()
    }
}
