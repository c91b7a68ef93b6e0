//! The twin of a device or module: what its owner wants of it, what it says of itself, and tags that it never sees.
//!
//! Promises: a change is taken whole or not at all; `$version` of a section goes up by one with each change of it and
//! never back; what a device is told of a change is enough to follow the section, also when keys went away.
//! Relies on the caller for the clock and for telling the device. Does not know who may change what.

mod limits; // what may stand in a section
mod section; // values with the time each was written
mod told; // what readers of events are told of it

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use self::limits::{DESIRED_BYTES_MAX, REPORTED_BYTES_MAX, TAGS_BYTES_MAX};
use self::section::{Metadata, Section};
use super::Refusal;
use crate::directory::DesiredChange;
use crate::identity::timestamp;
use crate::registry::Device;

/// What the service says of a time that never was.
pub(crate) const NEVER: &str = "0001-01-01T00:00:00Z";
/// What a whole twin has of its own in a section that somebody read, changed and sends back.
const READ_ONLY: [&str; 2] = ["$metadata", "$version"];
/// A twin is made by two writes, it seems: the identity's and its own.
const VERSION_AT_FIRST: u64 = 2;
const ETAG_AT_FIRST: u64 = 1;

/// One twin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Twin {
    tags: Section,
    desired: Section,
    reported: Section,
    /// Counts changes by anybody.
    version: u64,
    /// Counts changes by the owner: what the etag tells.
    owner_changes: u64,
}

/// What the hub sees of a device or module now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Live {
    pub(crate) is_connected: bool,
    /// When that began.
    pub(crate) connection_updated_ms: Option<i64>,
    pub(crate) last_activity_ms: Option<i64>,
    pub(crate) c2d_count: usize,
    /// What it last said of itself.
    pub(crate) model_id: Option<String>,
}

/// A change that the owner of the hub asks for; sections that are not named stay as they are.
#[derive(Debug, Default, Deserialize)]
struct Wish {
    tags: Option<Value>,
    properties: Option<WishedProperties>,
}

#[derive(Debug, Default, Deserialize)]
struct WishedProperties {
    desired: Option<Value>,
}

impl Twin {
    /// The twin of a new identity.
    pub(crate) fn new(now_ms: i64) -> Self {
        let section = || Section::new(now_ms);
        let (version, owner_changes) = (VERSION_AT_FIRST, ETAG_AT_FIRST);
        Self { tags: section(), desired: section(), reported: section(), version, owner_changes }
    }

    /// What a device says of itself; gives the version of its reported properties.
    ///
    /// Each patch counts, also one that changes nothing: the device's endpoint does not look (azure-iot-sdk-node#64).
    pub(crate) fn patch_reported(&mut self, patch: &[u8], now_ms: i64) -> Result<u64, Refusal> {
        let patch = serde_json::from_slice(patch).map_err(|_| Refusal::not_json("The patch is not JSON"))?;
        let patch = object(patch)?;
        limits::check(&patch)?;
        let mut reported = self.reported.clone();
        reported.merge(&patch, now_ms);
        limits::check_size(reported.values(), REPORTED_BYTES_MAX)?;
        reported.count_up();
        self.reported = reported;
        self.version += 1;
        Ok(self.reported.version())
    }

    /// A merge patch of the owner: of tags, of desired properties or of both. Null removes.
    pub(crate) fn patch(&mut self, wish: &Value, now_ms: i64) -> Result<Option<DesiredChange>, Refusal> {
        let [tags, desired] = Wish::sections(wish)?;
        let mut next = self.clone();
        let tags_changed = tags.is_some_and(|patch| next.tags.merge(&patch, now_ms));
        let desired_changed = desired.as_ref().is_some_and(|patch| next.desired.merge(patch, now_ms));
        next.changed(tags_changed, desired_changed)?;
        *self = next;
        Ok(desired.filter(|_| desired_changed).map(|patch| self.notice(patch)))
    }

    /// Puts tags, desired properties or both in place of what was there.
    ///
    /// The device hears of all that is there now, and null for what is not any more (azure-iot-sdk-csharp#954).
    pub(crate) fn replace(&mut self, wish: &Value, now_ms: i64) -> Result<Option<DesiredChange>, Refusal> {
        let [tags, desired] = Wish::sections(wish)?;
        let mut next = self.clone();
        if let Some(tags) = &tags {
            next.tags.replace(tags, now_ms);
        }
        let told = desired.as_ref().map(|desired| next.desired.replace(desired, now_ms));
        next.changed(tags.is_some(), told.is_some())?;
        *self = next;
        Ok(told.map(|told| self.notice(told)))
    }

    fn changed(&mut self, tags: bool, desired: bool) -> Result<(), Refusal> {
        limits::check_size(self.tags.values(), TAGS_BYTES_MAX)?;
        limits::check_size(self.desired.values(), DESIRED_BYTES_MAX)?;
        if desired {
            self.desired.count_up();
        }
        if tags || desired {
            self.version += 1;
            self.owner_changes += 1;
        }
        Ok(())
    }

    fn notice(&self, mut patch: Map<String, Value>) -> DesiredChange {
        let version = self.desired.version();
        patch.insert("$version".to_owned(), version.into());
        DesiredChange { patch: Value::Object(patch).to_string().into(), version }
    }

    /// As the device sees it: neither tags nor times.
    pub(crate) fn for_device(&self) -> Value {
        json!({"desired": self.desired.shown(Metadata::None), "reported": self.reported.shown(Metadata::None)})
    }

    /// As the service shows it.
    pub(crate) fn for_service(&self, device: &Device, live: &Live) -> Value {
        let mut shown = json!({
            "deviceId": device.id,
            "etag": self.etag(),
            "deviceEtag": device.etag,
            "status": device.status,
            "statusUpdateTime": at(device.status_updated_ms),
            "connectionState": connection_state(live.is_connected),
            "lastActivityTime": at(live.last_activity_ms),
            "cloudToDeviceMessageCount": live.c2d_count,
            "authenticationType": "sas",
            "x509Thumbprint": {"primaryThumbprint": null, "secondaryThumbprint": null},
            "modelId": live.model_id.as_deref().unwrap_or_default(),
            "version": self.version,
            "properties": self.properties(),
        });
        // There only when it says something; a client that relies on it must meet that here.
        if !self.tags.values().is_empty() {
            shown["tags"] = Value::Object(self.tags.values().clone());
        }
        match &device.module {
            Some(module) => shown["moduleId"] = module.as_str().into(),
            None => shown["capabilities"] = json!({"iotEdge": false}),
        }
        shown
    }

    /// Both sections with their metadata.
    pub(crate) fn properties(&self) -> Value {
        json!({
            "desired": self.desired.shown(Metadata::WithVersions),
            "reported": self.reported.shown(Metadata::Times),
        })
    }

    /// Counts changes by anybody.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Base64 of a number, not quoted.
    ///
    /// It does not count what the device reports: Microsoft's tutorials show twins at `AAAAAAAAAAE=` after reports.
    pub(crate) fn etag(&self) -> String {
        STANDARD.encode(self.owner_changes.to_be_bytes())
    }
}

impl Wish {
    /// Tags and desired properties that were named, within limits on keys and values, not yet on the whole.
    fn sections(wish: &Value) -> Result<[Option<Map<String, Value>>; 2], Refusal> {
        let wish = Self::deserialize(wish).map_err(|_| limits::invalid("it is not an object with these members"))?;
        let desired = wish.properties.and_then(|properties| properties.desired);
        Ok([wish.tags.map(owners).transpose()?, desired.map(owners).transpose()?])
    }
}

/// A section as an owner sends it, without what is read only in it.
fn owners(section: Value) -> Result<Map<String, Value>, Refusal> {
    let mut section = object(section)?;
    section.retain(|key, _| !READ_ONLY.contains(&key.as_str()));
    limits::check(&section)?;
    Ok(section)
}

fn object(value: Value) -> Result<Map<String, Value>, Refusal> {
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(limits::invalid("it is not an object")),
    }
}

/// A time as the service writes it.
pub(crate) fn at(at_ms: Option<i64>) -> String {
    at_ms.map_or_else(|| NEVER.to_owned(), |at_ms| timestamp(at_ms).strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string())
}

/// The word for it.
pub(crate) fn connection_state(is_connected: bool) -> &'static str {
    if is_connected { "Connected" } else { "Disconnected" }
}

#[cfg(test)]
mod tests;
