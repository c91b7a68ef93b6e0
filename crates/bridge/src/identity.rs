//! PURE: how a device of the network is called in Azure.
//!
//! An identity is (network, application, device). Its name at a target comes from the target's template; whoever
//! first uses a name within a scope owns it ([`crate::claims`]).

use crate::config::{Names, Part, Target, TargetKind, Template};
use crate::lane::DeviceKey;

mod clash; // which two a configuration lets come out alike
mod unique; // what a template promises of names

pub use clash::{Clash, Side, clashes};
pub use unique::{Unique, unique};

/// A device's name at a target, unique within `scope`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// Where names must be unique: a DPS endpoint with its id scope, or a hub.
    pub scope: String,
    /// Registration id at DPS, device id at the hub.
    pub id: String,
}

impl Name {
    /// A device's name at a hub, whatever led there.
    pub fn at_hub(host: &str, device_id: &str) -> Self {
        Self { scope: format!("hub {}", host.to_ascii_lowercase()), id: device_id.to_owned() }
    }

    /// As a key of durable notes. Scopes hold no line feed.
    pub fn key(&self) -> String {
        format!("{}\n{}", self.scope, self.id)
    }

    /// The other way round; `None` when it is no such key.
    pub fn from_key(key: &str) -> Option<Self> {
        let (scope, id) = key.split_once('\n')?;
        Some(Self { scope: scope.to_owned(), id: id.to_owned() })
    }
}

/// Why a device cannot have a name at a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unnamed {
    /// The template wants a DevEUI that the network did not send.
    #[error("the template of target `{target}` needs the DevEUI, which this message does not carry")]
    NoDevEui {
        /// The target.
        target: String,
    },
    /// The name breaks the rules of DPS or IoT Hub.
    #[error("`{id}` cannot be a registration id at target `{target}`: {why}")]
    Refused {
        /// The name.
        id: String,
        /// The target.
        target: String,
        /// Which rule, and the mend.
        why: String,
    },
}

/// The name of `device` at `target`.
///
/// # Errors
/// [`Unnamed`] says what is missing or which rule is broken.
pub fn name(target_name: &str, target: &Target, device: &DeviceKey, dev_eui: Option<&str>) -> Result<Name, Unnamed> {
    match &target.kind {
        TargetKind::Device(only) => Ok(Name::at_hub(&only.host, &only.device_id)),
        TargetKind::Dps(_) | TargetKind::Policy(_) => {
            let id = render(&target.device_id, device, dev_eui)
                .ok_or_else(|| Unnamed::NoDevEui { target: target_name.to_owned() })?;
            match Names::of(&target.kind).check(&id) {
                Ok(()) => Ok(Name { scope: scope(target), id }),
                Err(why) => Err(Unnamed::Refused { id, target: target_name.to_owned(), why }),
            }
        }
    }
}

/// Where names of this target must be unique.
fn scope(target: &Target) -> String {
    match &target.kind {
        TargetKind::Dps(dps) => format!("dps {} {}", dps.endpoint, dps.id_scope),
        TargetKind::Device(only) => Name::at_hub(&only.host, "").scope,
        TargetKind::Policy(policy) => Name::at_hub(&policy.host, "").scope,
    }
}

/// Whether the target still leads to where this name was given: a configuration may have put something else under the
/// same word.
pub fn is_of(name: &Name, target: &Target) -> bool {
    let same_device = match &target.kind {
        TargetKind::Dps(_) | TargetKind::Policy(_) => true,
        TargetKind::Device(only) => only.device_id == name.id,
    };
    same_device && scope(target) == name.scope
}

fn render(template: &Template, device: &DeviceKey, dev_eui: Option<&str>) -> Option<String> {
    let mut out = String::new();
    for part in &template.0 {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::DeviceId => out.push_str(&device.device),
            Part::ApplicationId => out.push_str(&device.application),
            Part::Network => out.push_str(&device.network),
            // Hexadecimal digits only by its type at the door, so lower case loses nothing.
            Part::DevEui => out.push_str(&dev_eui?.to_ascii_lowercase()),
        }
    }
    Some(out)
}
