//! Who talks to a hub: a device, or a module of one.

use std::fmt;

/// One of the simulator's hubs, by its place in the setup; 0 is the one that answers to every name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct HubId(pub(crate) usize);

/// A device or a module, at one hub. Ids are exact: upper and lower case are told apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Endpoint {
    pub(crate) hub: HubId,
    pub(crate) device: String,
    pub(crate) module: Option<String>,
}

impl Endpoint {
    pub(crate) fn device(hub: HubId, id: impl Into<String>) -> Self {
        Self { hub, device: id.into(), module: None }
    }

    pub(crate) fn module(hub: HubId, device: impl Into<String>, module: impl Into<String>) -> Self {
        Self { hub, device: device.into(), module: Some(module.into()) }
    }

    /// Its path below the host name, as tokens and addresses spell it.
    pub(crate) fn path(&self) -> Vec<&str> {
        match &self.module {
            None => vec!["devices", &self.device],
            Some(module) => vec!["devices", &self.device, "modules", module],
        }
    }
}

impl fmt::Display for Endpoint {
    /// `device` or `device/module`, as MQTT's client ids are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.module {
            None => f.write_str(&self.device),
            Some(module) => write!(f, "{}/{module}", self.device),
        }
    }
}
