//! Which hubs, id scopes and enrolment groups there are, and how they are set: the setup file.
//!
//! Promises: a setup that is taken can be served: each name is there that another one refers to, and nothing is named
//! twice. An error says which key, why, and what to do. Does not know keys that are left out; `identity` makes them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::hub::events::EventSource;
use crate::sas::is_key;

mod cloud_to_device; // how messages to devices are kept

pub use cloud_to_device::{CloudToDevice, FeedbackSetup};

/// The group that there is without a setup.
pub(crate) const GROUP_NAME: &str = "simulated-group";
/// As many as a provisioning service may have linked, and enrolment groups with symmetric keys (azure-docs, DPS limits).
const HUBS_MAX: usize = 50;
const GROUPS_MAX: usize = 100;
/// Each scope is a service of its own; nobody needs more of them on one machine.
const SCOPES_MAX: usize = 100;
/// Of a DNS name.
const NAME_CHARS_MAX: usize = 253;

/// Hubs, id scopes and enrolment groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Setup {
    /// Host names. The first answers to every other name too. None: one hub, called as the simulator is.
    pub hubs: Vec<String>,
    /// Provisioning services, told apart by id scope. None: one with one group.
    pub scopes: Vec<ScopeSetup>,
    /// How messages to devices are kept, at all hubs.
    pub cloud_to_device: CloudToDevice,
    /// The hubs' own events that readers see beside telemetry.
    pub events: Vec<EventSource>,
}

/// A provisioning service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScopeSetup {
    /// Its name. Left out by one scope at most, which then has the one that is made and kept.
    pub id_scope: Option<String>,
    /// At least one.
    pub groups: Vec<GroupSetup>,
}

/// An enrolment group with symmetric keys.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupSetup {
    /// What registrations say of it.
    pub name: String,
    /// Base64. Left out, one is made and kept.
    #[serde(default)]
    pub primary_key: Option<String>,
    /// Base64. Left out, one is made and kept.
    #[serde(default)]
    pub secondary_key: Option<String>,
    /// The hubs that its devices may be given. None: all.
    #[serde(default)]
    pub hubs: Vec<String>,
    /// Which of them.
    #[serde(default)]
    pub allocation: Allocation,
    /// What becomes of a device that registers again.
    #[serde(default)]
    pub reprovision: Reprovision,
    /// Switched off, its devices are told `disabled`.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// What assigned devices find as `registrationState.payload`, as if custom allocation had answered so.
    #[serde(default)]
    pub payload: Option<Value>,
}

/// How a device gets its hub.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Allocation {
    /// By registration id, evenly, and the same one each time.
    #[default]
    Hashed,
    /// This one.
    Static(String),
}

/// What becomes of a device that registers again when its hub would be another one now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reprovision {
    /// It moves, and takes along what the hub knows of it.
    #[default]
    Migrate,
    /// It moves, and begins anew.
    Reset,
    /// It stays.
    Never,
}

fn yes() -> bool {
    true
}

impl std::fmt::Debug for GroupSetup {
    /// Without the keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupSetup").field("name", &self.name).finish_non_exhaustive()
    }
}

impl GroupSetup {
    /// A group for all hubs, with keys of its own.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            primary_key: None,
            secondary_key: None,
            hubs: Vec::new(),
            allocation: Allocation::default(),
            reprovision: Reprovision::default(),
            enabled: true,
            payload: None,
        }
    }
}

/// What is wrong with a setup: key, cause, mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SetupError(String);

impl Setup {
    /// Reads a setup file.
    ///
    /// # Errors
    /// When it is not JSON, has a key that means nothing, or cannot be served.
    pub fn parse(text: &str) -> Result<Self, SetupError> {
        let setup: Self = serde_json::from_str(text)
            .map_err(|error| SetupError(format!("not a setup: {error}, see docs/azure-sim.md for what it may hold")))?;
        setup.check()?;
        Ok(setup)
    }

    /// # Errors
    /// When it cannot be served.
    pub(crate) fn check(&self) -> Result<(), SetupError> {
        if self.hubs.is_empty() && self.scopes.iter().flat_map(|scope| &scope.groups).any(names_a_hub) {
            return refuse("hubs", "missing, though groups name hubs", "list the host names of all hubs");
        }
        check_hubs(&self.hubs, "hubs")?;
        self.cloud_to_device.check()?;
        at_most(self.scopes.len(), SCOPES_MAX, "scopes")?;
        self.scopes.iter().enumerate().try_for_each(|(at, scope)| self.check_scope(&format!("scopes[{at}]"), scope))?;
        let ids: Vec<&str> = self.scopes.iter().map(|scope| scope.id_scope.as_deref().unwrap_or("(none)")).collect();
        twice(&ids).map_or(Ok(()), |id| refuse("scopes", &format!("id_scope {id} is there twice"), "give each its own"))
    }

    fn check_scope(&self, key: &str, scope: &ScopeSetup) -> Result<(), SetupError> {
        if scope.id_scope.as_deref().is_some_and(|id| !is_word(id)) {
            let cause = "not letters and digits only";
            return refuse(&format!("{key}.id_scope"), cause, "write one like 0ne00AAAA01");
        }
        if scope.groups.is_empty() {
            return refuse(
                &format!("{key}.groups"),
                "empty, nobody could register",
                "write a group: {\"name\": \"g1\"}",
            );
        }
        at_most(scope.groups.len(), GROUPS_MAX, &format!("{key}.groups"))?;
        let each = scope.groups.iter().enumerate();
        each.map(|(at, group)| (format!("{key}.groups[{at}]"), group))
            .try_for_each(|(key, group)| self.check_group(&key, group))?;
        let names: Vec<&str> = scope.groups.iter().map(|group| group.name.as_str()).collect();
        let cause = |name| format!("name {name} is there twice");
        twice(&names).map_or(Ok(()), |name| refuse(&format!("{key}.groups"), &cause(name), "give each its own"))
    }

    fn check_group(&self, key: &str, group: &GroupSetup) -> Result<(), SetupError> {
        if !is_word(&group.name) {
            let cause = "empty, too long, or not of letters, digits and -._";
            return refuse(&format!("{key}.name"), cause, "write one like group-1");
        }
        for (name, value) in [("primary_key", &group.primary_key), ("secondary_key", &group.secondary_key)] {
            if value.as_deref().is_some_and(|value| !is_key(value)) {
                let cause = "not base64 of 16 to 64 bytes";
                return refuse(&format!("{key}.{name}"), cause, "leave it out to have one made");
            }
        }
        let is_there = |hubs: &[String], name: &str| hubs.iter().any(|one| one.eq_ignore_ascii_case(name));
        if let Some(name) = group.hubs.iter().find(|name| !is_there(&self.hubs, name)) {
            let cause = format!("{name} is not one of hubs");
            return refuse(&format!("{key}.hubs"), &cause, "add it there, or mend its name");
        }
        let linked = if group.hubs.is_empty() { &self.hubs } else { &group.hubs };
        match &group.allocation {
            Allocation::Static(name) if !is_there(linked, name) => {
                let cause = format!("{name} is not one of the group's hubs");
                refuse(&format!("{key}.allocation.static"), &cause, "add it there, or mend its name")
            }
            _ => Ok(()),
        }
    }
}

/// Checks the host names of hubs.
pub(crate) fn check_hubs(hubs: &[String], key: &str) -> Result<(), SetupError> {
    at_most(hubs.len(), HUBS_MAX, key)?;
    if let Some(name) = hubs.iter().find(|name| !is_host_name(name)) {
        return refuse(key, &format!("{name:?} is not a host name"), "write one like hub1.azure-devices.net");
    }
    // SASL and the Event-Hubs-compatible endpoint know a hub by its first part only.
    let labels: Vec<&str> = hubs.iter().filter_map(|name| name.split('.').next()).collect();
    let cause = |label| format!("two hubs are called {label} up to the first dot");
    twice(&labels).map_or(Ok(()), |label| refuse(key, &cause(label), "rename one of them"))
}

fn names_a_hub(group: &GroupSetup) -> bool {
    !group.hubs.is_empty() || matches!(group.allocation, Allocation::Static(_))
}

fn refuse(key: &str, cause: &str, mend: &str) -> Result<(), SetupError> {
    Err(SetupError(format!("{key}: {cause}; {mend}")))
}

fn at_most(count: usize, most: usize, key: &str) -> Result<(), SetupError> {
    if count <= most { Ok(()) } else { refuse(key, &format!("{count} are too many"), &format!("leave at most {most}")) }
}

/// The first that is there more than once, without regard to case.
fn twice<'a>(names: &[&'a str]) -> Option<&'a str> {
    let mut seen = std::collections::BTreeSet::new();
    names.iter().copied().find(|name| !seen.insert(name.to_ascii_lowercase()))
}

/// It becomes part of file names and of addresses.
fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        label.starts_with(|c: char| c.is_ascii_alphanumeric())
            && label.ends_with(|c: char| c.is_ascii_alphanumeric())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    name.len() <= NAME_CHARS_MAX && name.split('.').all(is_label)
}

fn is_word(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
}

#[cfg(test)]
mod tests;
