//! What clients have to know of a simulator that runs.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::cloud::{Cloud, Hub};
use crate::dps::Group;
use crate::sas::derive_key;

/// Where a simulator that has a directory says it.
pub const STARTED_FILE: &str = "started.json";

/// Where everything is and what clients need to know. Holds keys: that is its purpose; do not log it. As the page tells it,
/// what holds keys is empty.
#[derive(Clone, Serialize, Deserialize)]
pub struct Started {
    /// Port of DPS and hub over HTTPS.
    pub https: u16,
    /// Port of DPS, hub and its Event-Hubs-compatible endpoint over AMQP.
    pub amqp: u16,
    /// Port of DPS and hub over MQTT.
    pub mqtt: u16,
    /// Port of the page and the control API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<u16>,
    /// The name to dial.
    pub host: String,
    /// The id scope of the provisioning service, the first of them.
    pub id_scope: String,
    /// Primary key of its first enrolment group, base64.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group_key: String,
    /// `host:port` of the provisioning service.
    pub dps_endpoint: String,
    /// The hub that answers to every name, a bare name; where there are no others, devices are assigned to it.
    pub hub: String,
    /// For service SDKs; a bare host name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service_connection_string: String,
    /// For readers of the Event-Hubs-compatible endpoint; a bare host name, to which a reader may be given another port.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub event_hub_connection_string: String,
    /// Hubs besides that one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_hubs: Vec<HubAddress>,
    /// Enrolment groups besides the first, also of other scopes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_groups: Vec<GroupAddress>,
    /// The CA's certificate, PEM.
    pub ca_file: PathBuf,
}

/// One of several enrolment groups. Holds its key.
#[derive(Clone, Serialize, Deserialize)]
pub struct GroupAddress {
    /// Of its provisioning service.
    pub id_scope: String,
    /// Its name.
    pub group: String,
    /// Its primary key, base64.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group_key: String,
}

impl fmt::Debug for GroupAddress {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupAddress").field("group", &self.group).finish_non_exhaustive()
    }
}

/// One of several hubs. Holds keys.
#[derive(Clone, Serialize, Deserialize)]
pub struct HubAddress {
    /// Its host name.
    pub hub: String,
    /// For service SDKs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service_connection_string: String,
    /// For readers of its Event-Hubs-compatible endpoint.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub event_hub_connection_string: String,
}

impl fmt::Debug for HubAddress {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubAddress").field("hub", &self.hub).finish_non_exhaustive()
    }
}

impl Started {
    /// For who may know where everything is, and no keys.
    pub(crate) fn without_keys(&self) -> Self {
        let group = |it: &GroupAddress| GroupAddress { group_key: String::new(), ..it.clone() };
        let hub = |it: &HubAddress| HubAddress {
            hub: it.hub.clone(),
            service_connection_string: String::new(),
            event_hub_connection_string: String::new(),
        };
        Self {
            group_key: String::new(),
            service_connection_string: String::new(),
            event_hub_connection_string: String::new(),
            more_hubs: self.more_hubs.iter().map(hub).collect(),
            more_groups: self.more_groups.iter().map(group).collect(),
            ..self.clone()
        }
    }

    /// The primary key of a device of the first group; none when keys are not known.
    pub fn device_key(&self, registration_id: &str) -> Option<String> {
        derive_key(&self.group_key, registration_id).filter(|_| !self.group_key.is_empty())
    }
}

impl fmt::Debug for Started {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Started").field("https", &self.https).field("hub", &self.hub).finish_non_exhaustive()
    }
}

/// Where is listened, but for AMQP, which the cloud knows.
pub(crate) struct Ports {
    pub(crate) https: u16,
    pub(crate) mqtt: u16,
    pub(crate) page: Option<u16>,
}

/// Gathers it.
pub(crate) fn describe(cloud: &Cloud, ports: Ports, ca_file: PathBuf) -> Started {
    let Ports { https, mqtt, page } = ports;
    let hub = cloud.hub(cloud.default_hub());
    let mut groups = groups(cloud).into_iter();
    let first = groups.next().expect("a simulator is made with a group");
    let host = hub.name().to_owned();
    Started {
        https,
        amqp: cloud.amqp_port(),
        mqtt,
        page,
        id_scope: first.id_scope,
        group_key: first.group_key,
        dps_endpoint: format!("{host}:{https}"),
        service_connection_string: hub.service_connection_string(),
        event_hub_connection_string: hub.event_hub_connection_string(),
        hub: host.clone(),
        host,
        more_hubs: hubs(cloud).split_off(1),
        more_groups: groups.collect(),
        ca_file,
    }
}

/// All enrolment groups, of all scopes.
pub(crate) fn groups(cloud: &Cloud) -> Vec<GroupAddress> {
    let address = |(id_scope, group): (String, Group)| GroupAddress {
        id_scope,
        group: group.name,
        group_key: group.keys.primary,
    };
    cloud.groups().into_iter().map(address).collect()
}

/// All hubs, that which answers to every name first.
pub(crate) fn hubs(cloud: &Cloud) -> Vec<HubAddress> {
    let address = |hub: &Hub| HubAddress {
        hub: hub.name().to_owned(),
        service_connection_string: hub.service_connection_string(),
        event_hub_connection_string: hub.event_hub_connection_string(),
    };
    cloud.hubs().iter().map(address).collect()
}
