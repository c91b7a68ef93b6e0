//! PURE: which settings are secrets, where their values go, and what is wrong with a value as far as that can be told without
//! repeating it.

use azure::connection_string::{self, ConnectionString};

use super::export::{InVault, Setting};
use super::rules::{IdScope, Topic, Understood};
use crate::config::looks_derived;

/// Characters of an id scope that is written down: they have 11. A key that was pasted in its place has more.
const ID_SCOPE_MAX: usize = 24;
const KEY_MEND: &str = "copy the primary key of the enrolment group from the portal into the variable";

/// A secret by where its value stands; never the value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SecretRef {
    /// The setting, as it is written.
    pub(super) setting: String,
    /// The file in which it stands.
    pub(super) file: String,
    /// The variable of the environment that is to hold it, where no key vault does.
    pub(super) variable: String,
    pub(super) vault: Option<InVault>,
}

impl SecretRef {
    /// `prefix` and `scope` make the variable.
    pub(super) fn new(setting: &Setting, prefix: &str, scope: &str) -> Self {
        let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        let scope: String = scope.chars().map(letter).collect();
        let variable = if scope.is_empty() { prefix.to_owned() } else { format!("{prefix}_{scope}") };
        Self { setting: setting.name.clone(), file: setting.file.clone(), variable, vault: setting.vault.clone() }
    }
}

/// Whether a value can be the primary key of an enrolment group; says what is wrong.
pub(super) fn check_group_key(understood: &mut Understood, setting: &Setting) {
    let Some(text) = &setting.text else { return };
    let text = text.expose().trim();
    if text.contains("SharedAccess") || text.contains("HostName=") {
        let says = format!("`{}` is a connection string or a token, not the key of an enrolment group", setting.name);
        return understood.say_with_mend(Topic::Mistake, &[setting], says, KEY_MEND);
    }
    match azure::key::decode(text) {
        Ok(bytes) if looks_derived(&bytes) => {
            let says = format!(
                "`{}` has 32 bytes like the key of a single device: with it every registration is refused (401), by the predecessor \
                 and by longhaul, where the uplinks wait until the key is mended",
                setting.name
            );
            understood.say_with_mend(Topic::Mistake, &[setting], says, KEY_MEND);
        }
        Ok(_) => {}
        Err(why) => {
            understood.say_with_mend(Topic::Mistake, &[setting], format!("`{}`: {why}", setting.name), KEY_MEND)
        }
    }
}

/// What a connection string of a hub turns out to be, where it can be seen; says what is wrong.
pub(super) fn check_hub(understood: &mut Understood, setting: &Setting) {
    let Some(text) = &setting.text else { return };
    match connection_string::parse(text.expose().trim()) {
        Ok(ConnectionString::Policy(_)) => {}
        Ok(ConnectionString::Device(_)) => {
            let says = format!(
                "`{}` is the connection string of one device (DeviceId): Microsoft's SDK takes none together with a device's name, so \
                 the predecessor sent nothing through it. longhaul gives it to the first device that sends, and to no other",
                setting.name
            );
            let mend = "put the connection string of a shared access policy (DeviceConnect and RegistryReadWrite) into the variable";
            understood.say_with_mend(Topic::Mistake, &[setting], says, mend);
        }
        Err(why) => {
            let mend = "copy the primary connection string of a shared access policy of the hub into the variable";
            understood.say_with_mend(Topic::Mistake, &[setting], format!("`{}`: {why}", setting.name), mend);
        }
    }
}

/// The hub of a connection string, where it can be seen.
pub(super) fn host(setting: &Setting) -> Option<String> {
    match connection_string::parse(setting.text.as_ref()?.expose().trim()).ok()? {
        ConnectionString::Device(device) => Some(device.host),
        ConnectionString::Policy(policy) => Some(policy.host),
    }
}

/// An id scope where it can be seen and is one; else what has to be filled in.
pub(super) fn id_scope(understood: &mut Understood, setting: &Setting) -> IdScope {
    let open = IdScope::Open { setting: setting.name.clone(), vault: setting.vault.clone() };
    let Some(text) = &setting.text else { return open };
    let text = text.expose().trim();
    let is_one = text.len() <= ID_SCOPE_MAX && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !is_one {
        let mend = "write the ID scope from the overview page of the provisioning service as id_scope";
        let says = format!("`{}` is no ID scope: they are 0ne and eight digits. Is it a key?", setting.name);
        understood.say_with_mend(Topic::Mistake, &[setting], says, mend);
        return open;
    }
    IdScope::Known(text.to_owned())
}

/// The id of a model; says what is wrong.
pub(super) fn model_id(understood: &mut Understood, setting: &Setting) -> Option<String> {
    let text = setting.text.as_ref().map(|text| text.expose().trim())?;
    let is_one = text.starts_with("dtmi:") && text.len() <= 2_048 && text.chars().all(|c| c.is_ascii_graphic());
    if !is_one || !text.contains(';') {
        let says = format!("`{}` is not the id of a model, such as dtmi:example:Sensor;1", setting.name);
        understood.say_with_mend(Topic::Mistake, &[setting], says, "write model_id below the target");
        return None;
    }
    Some(text.to_owned())
}
