//! `[targets.NAME]`: where messages go, and how to get in there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use azure::connection_string::{self, ConnectionString};
use azure::net::Endpoint;

use super::nearest::nearest;
use super::reader::{At, Found, Reader, Section, cause_and_mend};
use super::secrets;
use super::template::{self, Rules};
use super::tree::Node;
use crate::config::{DpsTarget, Names, Secret, Target, TargetKind, looks_derived};

/// Microsoft's, for all regions and for IoT Central.
const ENDPOINT: &str = "global.azure-devices-provisioning.net";
const KINDS: [&str; 3] = ["dps", "iot-central", "iot-hub"];
const EXAMPLE: &str = "[targets.main]";
const KEY_MEND: &str = "copy the primary key of the enrolment group from the portal";
/// Longest model id (DTMI) by the DTDL documentation.
const MODEL_ID_MAX: usize = 2048;

/// All targets.
pub(super) struct Targets {
    /// Those that can be used.
    pub(super) usable: BTreeMap<String, Arc<Target>>,
    /// Also the names of those that cannot, so that routes to them are not reported as well.
    pub(super) names: BTreeSet<String>,
}

/// What targets take from other sections.
pub(super) struct Shared<'a> {
    /// `azure.ports.https`.
    pub(super) https_port: u16,
    /// `webhook.network`.
    pub(super) network: &'a str,
}

/// Reads all of them.
pub(super) fn read(reader: &mut Reader<'_>, mut section: Section, shared: &Shared<'_>) -> Targets {
    let mut targets = Targets { usable: BTreeMap::new(), names: BTreeSet::new() };
    for (name, found) in section.take_all() {
        if let Some(section) = found.into_section(reader, EXAMPLE)
            && let Some(target) = target(reader, section, shared)
        {
            targets.usable.insert(name.clone(), Arc::new(target));
        }
        targets.names.insert(name);
    }
    if targets.names.is_empty() && !section.is_broken() {
        let at = At { key: "targets".to_owned(), place: section.at().place.clone() };
        reader.missing(
            &at,
            "there is no target, so nothing to do",
            "write a section [targets.main]; `longhaul init` shows one",
        );
    }
    targets
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Dps,
    Central,
    Hub,
}

fn target(reader: &mut Reader<'_>, mut section: Section, shared: &Shared<'_>) -> Option<Target> {
    let given = kind(reader, &mut section);
    let guess = if section.has("connection_string") { Kind::Hub } else { Kind::Dps };
    // With a wrong kind the other keys are still worth reading; they are probably right.
    let kind = given.unwrap_or(guess);
    refuse_keys_of_others(reader, &mut section, kind);
    let daily_units = super::bound(section.number(reader, "daily_units", 0..=i64::MAX, 0));
    let target =
        if kind == Kind::Hub { hub(reader, &mut section, shared) } else { dps(reader, &mut section, kind, shared) };
    section.finish(reader);
    given.and(target).map(|target| Target { daily_units, ..target })
}

fn kind(reader: &mut Reader<'_>, section: &mut Section) -> Option<Kind> {
    let at = section.at_key("kind");
    if !section.has("kind") {
        section.take("kind");
        reader.missing(&at, "is missing", "write kind = \"dps\", \"iot-central\" or \"iot-hub\"");
        return None;
    }
    let found = section.text(reader, "kind", "kind = \"dps\"")?;
    match found.value.as_str() {
        "dps" => Some(Kind::Dps),
        "iot-central" => Some(Kind::Central),
        "iot-hub" => Some(Kind::Hub),
        other => {
            let hint = nearest(other, KINDS).map_or(String::new(), |near| format!("did you mean \"{near}\"? "));
            let mend = format!("{hint}it is one of \"dps\", \"iot-central\", \"iot-hub\"");
            reader.mistake(&at, format!("`{other}` is not a kind of target"), mend);
            None
        }
    }
}

/// Keys that exist, but for another kind.
fn refuse_keys_of_others(reader: &mut Reader<'_>, section: &mut Section, kind: Kind) {
    let (others, whose): (&[&'static str], _) = match kind {
        Kind::Hub => (
            &["endpoint", "id_scope", "group_key", "secondary_group_key", "model_id"],
            "kind = \"dps\" and \"iot-central\"",
        ),
        Kind::Dps | Kind::Central => (&["connection_string"], "kind = \"iot-hub\""),
    };
    for key in others.iter().filter(|key| section.has(key)) {
        let at = section.at_key(key);
        reader.mistake(&at, format!("belongs to {whose} only"), "remove it, or change the kind of this target");
    }
    section.discard(others);
}

fn dps(reader: &mut Reader<'_>, section: &mut Section, kind: Kind, shared: &Shared<'_>) -> Option<Target> {
    let central = kind == Kind::Central;
    let endpoint = endpoint(reader, section, shared.https_port);
    let id_scope = id_scope(reader, section);
    let group_key = group_key(reader, section);
    let secondary_group_key = section.take("secondary_group_key").and_then(|found| decoded_key(reader, found));
    let model_id = model_id(reader, section);
    let names = if central { Names::Central } else { Names::Dps };
    let rules = Rules { names, network: shared.network };
    let device_id = match section.text(reader, "device_id", "device_id = \"{device_id}\"") {
        Some(found) => template::read(reader, &found, &rules)?,
        None => template::default(),
    };
    let dps = DpsTarget {
        endpoint: endpoint?,
        id_scope: id_scope?,
        group_key: group_key?,
        secondary_group_key,
        model_id,
        central,
    };
    Some(Target { kind: TargetKind::Dps(dps), device_id, daily_units: None })
}

fn endpoint(reader: &mut Reader<'_>, section: &mut Section, port: u16) -> Option<Endpoint> {
    let example = "endpoint = \"global.azure-devices-provisioning.net\"";
    let at = section.at_key("endpoint");
    let text = section.text(reader, "endpoint", example).map_or(ENDPOINT.to_owned(), |found| found.value);
    Endpoint::parse(&text, port)
        .map_err(|why| {
            reader.mistake(
                &at,
                format!("`{text}` is not a host to connect to: {why}"),
                format!("write it as in {example}"),
            )
        })
        .ok()
}

/// What `longhaul init` writes.
const EXAMPLE_SCOPE: &str = "0ne00000000";

fn id_scope(reader: &mut Reader<'_>, section: &mut Section) -> Option<String> {
    let mend =
        "copy the ID scope from the overview page of the provisioning service (IoT Central: device connection groups)";
    let at = section.at_key("id_scope");
    if !section.has("id_scope") {
        section.take("id_scope");
        reader.missing(&at, "is missing", format!("{mend}, such as id_scope = \"0ne00000000\""));
        return None;
    }
    let found = section.text(reader, "id_scope", "id_scope = \"0ne00000000\"")?;
    // The value is not shown: keys end up in the wrong field.
    if found.value.is_empty() || !found.value.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        reader.mistake(&at, "is not an id scope: only letters and digits are in one", mend);
        return None;
    }
    let usual = found.value.len() == 11
        && found.value.get(..3).is_some_and(|begin| begin.eq_ignore_ascii_case("0ne"))
        && found.value[3..].chars().all(|c| c.is_ascii_hexdigit());
    if found.value == EXAMPLE_SCOPE {
        reader.warn(&at, "is still the one of the example", mend);
    } else if !usual {
        reader.warn(&at, "does not look like an id scope: they are 0ne and eight digits", mend);
    }
    Some(found.value)
}

fn group_key(reader: &mut Reader<'_>, section: &mut Section) -> Option<Secret<Vec<u8>>> {
    let at = section.at_key("group_key");
    let Some(found) = section.take("group_key") else {
        reader.missing(&at, "is missing", format!("{KEY_MEND} and give it as group_key = {{ env = \"GROUP_KEY\" }}"));
        return None;
    };
    decoded_key(reader, found)
}

fn decoded_key(reader: &mut Reader<'_>, found: Found<Node>) -> Option<Secret<Vec<u8>>> {
    let secret = secrets::resolve(reader, found)?;
    let text = secret.value.trim();
    if text.contains("SharedAccess") || text.contains("HostName=") {
        let cause = "is a connection string or a token, but the key of an enrolment group is wanted";
        reader.mistake(&secret.at, cause, format!("{KEY_MEND}, or use kind = \"iot-hub\" for a single device"));
        return None;
    }
    match azure::key::decode(text) {
        Ok(bytes) => {
            if looks_derived(&bytes) {
                let cause = "has 32 bytes like the key of a single device; with a device's key every registration is refused (401)";
                reader.warn(&secret.at, cause, KEY_MEND);
            }
            Some(Secret::new(bytes))
        }
        Err(why) => {
            let (cause, mend) = cause_and_mend(&why.to_string(), KEY_MEND);
            reader.mistake(&secret.at, cause, mend);
            None
        }
    }
}

fn model_id(reader: &mut Reader<'_>, section: &mut Section) -> Option<String> {
    let found = section.text(reader, "model_id", "model_id = \"dtmi:example:Sensor;1\"")?;
    let version = found
        .value
        .rsplit_once(';')
        .is_some_and(|(_, v)| !v.is_empty() && v.chars().all(|c| c.is_ascii_digit() || c == '.'));
    let plain = found.value.len() <= MODEL_ID_MAX && found.value.chars().all(|c| c.is_ascii_graphic());
    if !found.value.starts_with("dtmi:") || !version || !plain {
        let cause = format!("`{}` is not the id of a model", found.value);
        reader.mistake(&found.at, cause, "write it as in model_id = \"dtmi:example:Sensor;1\"");
        return None;
    }
    Some(found.value)
}

/// Stands for a connection string in a key vault that is not to be asked. A policy's: then a template is read as well.
const UNASKED: &str = "HostName=known-to-the-key-vault.invalid;SharedAccessKeyName=known-to-the-key-vault;SharedAccessKey=AAAAAAAAAAAAAAAAAAAAAA==";

fn hub(reader: &mut Reader<'_>, section: &mut Section, shared: &Shared<'_>) -> Option<Target> {
    let at = section.at_key("connection_string");
    let device_mend = "copy the primary connection string of the device, or of a shared access policy, from the portal";
    let device_id = section.text(reader, "device_id", "device_id = \"{device_id}\"");
    let Some(found) = section.take("connection_string") else {
        reader.missing(
            &at,
            "is missing",
            format!("{device_mend} and give it as connection_string = {{ env = \"NAME\" }}"),
        );
        return None;
    };
    let secret = secrets::sourced(reader, found)?;
    let text = if secret.is_unasked { UNASKED } else { &secret.found.value };
    match connection_string::parse(text) {
        Ok(ConnectionString::Device(device)) => {
            if let Some(found) = device_id {
                let cause = "has no use here: the connection string names the device";
                reader.mistake(&found.at, cause, "remove it");
            }
            Some(Target { kind: TargetKind::Device(device), device_id: template::default(), daily_units: None })
        }
        Ok(ConnectionString::Policy(policy)) => {
            let rules = Rules { names: Names::Hub, network: shared.network };
            let device_id = match device_id {
                Some(found) => template::read(reader, &found, &rules)?,
                None => template::default(),
            };
            Some(Target { kind: TargetKind::Policy(policy), device_id, daily_units: None })
        }
        Err(why) => {
            let (cause, mend) = cause_and_mend(&why.to_string(), device_mend);
            reader.mistake(&at, cause, mend);
            None
        }
    }
}
