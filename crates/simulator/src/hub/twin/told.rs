//! What readers of events are told of a twin: all of it, or what a change was.

use serde_json::{Map, Value};

use super::section::{Metadata, Section};
use super::{READ_ONLY, Twin};

impl Twin {
    /// Adds all there is.
    pub(crate) fn told_whole(&self, body: &mut Value) {
        body["etag"] = self.etag().into();
        body["version"] = self.version.into();
        if !self.tags.values().is_empty() {
            body["tags"] = Value::Object(self.tags.values().clone());
        }
        body["properties"] = self.properties();
    }

    /// What a merge patch changed, when this is what came of it: the patch, and times and version of what it names.
    pub(crate) fn updated_by(&self, wish: &Value) -> Value {
        let mut body = Map::from_iter([("version".to_owned(), self.version.into())]);
        if let Some(tags) = wish.get("tags").and_then(Value::as_object) {
            body.insert("tags".to_owned(), Value::Object(patch_of(tags)));
        }
        let section = |name: &'static str, section: &Section, metadata| {
            let patch = wish.get("properties")?.get(name)?.as_object()?;
            Some((name.to_owned(), told(section, &patch_of(patch), metadata)))
        };
        let sections = [
            section("desired", &self.desired, Metadata::WithVersions),
            section("reported", &self.reported, Metadata::Times),
        ];
        let properties: Map<String, Value> = sections.into_iter().flatten().collect();
        if !properties.is_empty() {
            body.insert("properties".to_owned(), Value::Object(properties));
        }
        Value::Object(body)
    }
}

/// Without what is read only in it.
fn patch_of(section: &Map<String, Value>) -> Map<String, Value> {
    section.iter().filter(|(key, _)| !READ_ONLY.contains(&key.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn told(section: &Section, patch: &Map<String, Value>, metadata: Metadata) -> Value {
    let mut told = patch.clone();
    let mut shown = section.shown(metadata);
    if let Some(Value::Object(times)) = shown.get_mut("$metadata").map(Value::take) {
        told.insert("$metadata".to_owned(), Value::Object(named(times, patch)));
    }
    told.insert("$version".to_owned(), section.version().into());
    Value::Object(told)
}

/// The times of what a patch names, as deep as it goes. Keys with a dollar are of the time itself.
fn named(times: Map<String, Value>, patch: &Map<String, Value>) -> Map<String, Value> {
    let keep = |(key, time): (String, Value)| match (patch.get(&key), time) {
        (Some(Value::Object(inner)), Value::Object(times)) => Some((key, Value::Object(named(times, inner)))),
        (Some(_), time) => Some((key, time)),
        (None, time) => key.starts_with('$').then_some((key, time)),
    };
    times.into_iter().filter_map(keep).collect()
}
