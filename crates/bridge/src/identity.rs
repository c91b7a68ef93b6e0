//! PURE: how a device of the network is called in Azure.
//!
//! An identity is (network, application, device). Its name at a target comes from the target's template; whoever
//! first uses a name within a scope owns it ([`crate::claims`]).

use crate::config::{Part, Target, TargetKind, Template};
use crate::head::Head;

/// Who sent a message, as the network knows it. Device ids are unique within an application only.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Owner {
    /// The network's name, from the configuration.
    pub network: String,
    /// The application.
    pub application: String,
    /// The device within it.
    pub device: String,
}

impl Owner {
    /// The owner of a queued message, if its head names application and device.
    pub fn of(head: &Head) -> Option<Self> {
        Some(Self {
            network: head.network.clone(),
            application: head.application.clone()?,
            device: head.device.clone()?,
        })
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.network, self.application, self.device)
    }
}

/// A device's name at a target, unique within `scope`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// Where names must be unique: a DPS endpoint with its id scope, or a hub.
    pub scope: String,
    /// Registration id at DPS, device id at the hub.
    pub id: String,
}

impl Name {
    /// As a key of durable notes. Scopes hold no line feed.
    pub fn key(&self) -> String {
        format!("{}\n{}", self.scope, self.id)
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

/// The name of `owner` at `target`.
///
/// # Errors
/// [`Unnamed`] says what is missing or which rule is broken.
pub fn name(
    target_name: &str,
    target: &Target,
    owner: &Owner,
    dev_eui: Option<&str>,
) -> Result<Name, Unnamed> {
    match &target.kind {
        TargetKind::Dps(dps) => {
            let id = render(&target.device_id, owner, dev_eui)
                .ok_or_else(|| Unnamed::NoDevEui { target: target_name.to_owned() })?;
            let rules = if dps.central { azure::registration_id::check_central } else { azure::registration_id::check };
            rules(&id).map_err(|why| Unnamed::Refused {
                id: id.clone(),
                target: target_name.to_owned(),
                why: why.to_string(),
            })?;
            Ok(Name { scope: format!("dps {} {}", dps.endpoint, dps.id_scope), id })
        }
        TargetKind::Device(device) => {
            Ok(Name { scope: format!("hub {}", device.host.to_ascii_lowercase()), id: device.device_id.clone() })
        }
    }
}

fn render(template: &Template, owner: &Owner, dev_eui: Option<&str>) -> Option<String> {
    let mut out = String::new();
    for part in &template.0 {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::DeviceId => out.push_str(&owner.device),
            Part::ApplicationId => out.push_str(&owner.application),
            Part::Network => out.push_str(&owner.network),
            // Hexadecimal digits only by its type at the door, so lower case loses nothing.
            Part::DevEui => out.push_str(&dev_eui?.to_ascii_lowercase()),
        }
    }
    Some(out)
}
