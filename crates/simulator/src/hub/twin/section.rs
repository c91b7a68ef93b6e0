//! A section of a twin: values, and beside them when each of them and each object around it was last written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::at;

/// Sections begin with it.
const VERSION_AT_FIRST: u64 = 1;

/// When something was written, by the clock and by the section's version after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Moment {
    at_ms: i64,
    version: u64,
}

/// The moment of a value, and of its members where it is an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Written {
    at: Moment,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    members: BTreeMap<String, Written>,
}

/// How much of the moments is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metadata {
    None,
    Times,
    WithVersions,
}

/// Values and moments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Section {
    values: Map<String, Value>,
    written: Written,
    version: u64,
}

impl Written {
    fn at(at: Moment) -> Self {
        Self { at, members: BTreeMap::new() }
    }

    fn shown(&self, metadata: Metadata) -> Value {
        let mut shown = json!({"$lastUpdated": at(Some(self.at.at_ms))});
        if metadata == Metadata::WithVersions && self.at.version > VERSION_AT_FIRST {
            shown["$lastUpdatedVersion"] = self.at.version.into();
        }
        for (key, member) in &self.members {
            shown[key] = member.shown(metadata);
        }
        shown
    }
}

impl Section {
    pub(super) fn new(now_ms: i64) -> Self {
        let version = VERSION_AT_FIRST;
        Self { values: Map::new(), written: Written::at(Moment { at_ms: now_ms, version }), version }
    }

    pub(super) fn values(&self) -> &Map<String, Value> {
        &self.values
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Makes a change one; what was written before bears this version already.
    pub(super) fn count_up(&mut self) {
        self.version += 1;
    }

    fn next(&self, now_ms: i64) -> Moment {
        Moment { at_ms: now_ms, version: self.version + 1 }
    }

    /// Applies a merge patch (RFC 7396). Says whether it did anything; to write the same value again is something.
    pub(super) fn merge(&mut self, patch: &Map<String, Value>, now_ms: i64) -> bool {
        let now = self.next(now_ms);
        merge(&mut self.values, &mut self.written, patch, now)
    }

    /// Puts these values in place of all. Gives the patch that would have done the same to what was there.
    pub(super) fn replace(&mut self, values: &Map<String, Value>, now_ms: i64) -> Map<String, Value> {
        let before = std::mem::take(&mut self.values);
        let now = self.next(now_ms);
        self.written = Written::at(now);
        merge(&mut self.values, &mut self.written, values, now);
        patch_between(&before, &self.values)
    }

    /// Values and version, with moments or without.
    pub(super) fn shown(&self, metadata: Metadata) -> Value {
        let mut shown = self.values.clone();
        if metadata != Metadata::None {
            shown.insert("$metadata".to_owned(), self.written.shown(metadata));
        }
        shown.insert("$version".to_owned(), self.version.into());
        Value::Object(shown)
    }
}

/// As deep as the patch is, and that was checked.
fn merge(values: &mut Map<String, Value>, written: &mut Written, patch: &Map<String, Value>, now: Moment) -> bool {
    let mut is_changed = false;
    for (key, wanted) in patch {
        is_changed |= match wanted {
            Value::Null => {
                written.members.remove(key);
                values.remove(key).is_some()
            }
            Value::Object(inner) => merge_object(values, written, key, inner, now),
            wanted => {
                written.members.insert(key.clone(), Written::at(now));
                values.insert(key.clone(), wanted.clone());
                true
            }
        };
    }
    if is_changed {
        written.at = now;
    }
    is_changed
}

fn merge_object(
    values: &mut Map<String, Value>,
    written: &mut Written,
    key: &str,
    inner: &Map<String, Value>,
    now: Moment,
) -> bool {
    let value = values.entry(key).or_insert(Value::Null);
    let member = written.members.entry(key.to_owned()).or_insert_with(|| Written::at(now));
    if let Value::Object(members) = value {
        return merge(members, member, inner, now);
    }
    let mut members = Map::new();
    *member = Written::at(now);
    merge(&mut members, member, inner, now);
    *value = Value::Object(members);
    true
}

/// All that is there after, and null for what was there only before.
fn patch_between(before: &Map<String, Value>, after: &Map<String, Value>) -> Map<String, Value> {
    let gone = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let there = after.iter().map(|(key, value)| {
        let value = match (before.get(key), value) {
            (Some(Value::Object(before)), Value::Object(after)) => Value::Object(patch_between(before, after)),
            _ => value.clone(),
        };
        (key.clone(), value)
    });
    gone.chain(there).collect()
}
