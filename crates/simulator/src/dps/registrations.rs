//! What the provisioning service remembers, by id scope and registration id.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::assignment::Substatus;
use crate::journal::Journal;

const JOURNAL_FILE: &str = "registrations.jsonl";

/// What the provisioning service remembers of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// As the device spelled it last.
    pub registration_id: String,
    /// The provisioning service.
    pub id_scope: String,
    /// The enrolment group whose key it used last.
    pub group: String,
    /// The host name of the hub it was given.
    pub hub: String,
    /// Its name there.
    pub device_id: String,
    /// The hub that it was given when it registered first.
    pub first_hub: String,
    /// The hub that it gets from now on, because the owner said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_to: Option<String>,
    /// How it came to its hub.
    pub substatus: Substatus,
    /// What the device sent as `payload` when it registered last; none when it was very long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
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
    Registration(Box<Registration>),
    Deleted { id_scope: String, registration_id: String },
}

/// All of them, in memory, with a journal beside.
#[derive(Default)]
pub(crate) struct Registrations {
    /// By scope and id in lower case: the service does not tell upper from lower case.
    all: BTreeMap<(String, String), Registration>,
    journal: Journal,
}

impl Registrations {
    /// Reads what is kept in `dir`, and goes on from there.
    pub(crate) fn open(dir: Option<&Path>) -> io::Result<Self> {
        let mut registrations = Self::default();
        Journal::read(dir, JOURNAL_FILE)?.into_iter().for_each(|change| registrations.apply(change));
        let kept = registrations.all.values().map(|one| Change::Registration(Box::new(one.clone())));
        registrations.journal = Journal::open(dir, JOURNAL_FILE, kept)?;
        Ok(registrations)
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Registration(one) => drop(self.all.insert(key(&one.id_scope, &one.registration_id), *one)),
            Change::Deleted { id_scope, registration_id } => drop(self.all.remove(&key(&id_scope, &registration_id))),
        }
    }

    /// The journal first: what could not be written did not happen.
    fn commit(&mut self, change: Change) -> io::Result<()> {
        self.journal.write(&change)?;
        self.apply(change);
        Ok(())
    }

    pub(crate) fn get(&self, scope: &str, id: &str) -> Option<&Registration> {
        self.all.get(&key(scope, id))
    }

    /// All of them, by scope and id.
    pub(crate) fn all(&self) -> impl ExactSizeIterator<Item = &Registration> {
        self.all.values()
    }

    pub(crate) fn put(&mut self, registration: Registration) -> io::Result<()> {
        self.commit(Change::Registration(Box::new(registration)))
    }

    pub(crate) fn delete(&mut self, scope: &str, id: &str) -> io::Result<()> {
        self.commit(Change::Deleted { id_scope: scope.to_owned(), registration_id: id.to_owned() })
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.journal.sync()
    }
}

fn key(scope: &str, id: &str) -> (String, String) {
    (scope.to_lowercase(), id.to_lowercase())
}
