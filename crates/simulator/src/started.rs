//! What clients have to know of a simulator that runs.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::cloud::{Cloud, Hub};

/// Where everything is and what clients need to know. Holds keys: that is its purpose; do not log it.
#[derive(Clone, Serialize)]
pub struct Started {
    /// Port of DPS and hub over HTTPS.
    pub https: u16,
    /// Port of DPS, hub and its Event-Hubs-compatible endpoint over AMQP.
    pub amqp: u16,
    /// Port of DPS and hub over MQTT.
    pub mqtt: u16,
    /// Port of the page and the control API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<u16>,
    /// The name to dial.
    pub host: String,
    /// The id scope of the provisioning service, the first of them.
    pub id_scope: String,
    /// Primary key of its first enrolment group, base64.
    pub group_key: String,
    /// `host:port` of the provisioning service.
    pub dps_endpoint: String,
    /// The hub that answers to every name, a bare name; where there are no others, devices are assigned to it.
    pub hub: String,
    /// For service SDKs; a bare host name.
    pub service_connection_string: String,
    /// For readers of the Event-Hubs-compatible endpoint; a bare host name, to which a reader may be given another port.
    pub event_hub_connection_string: String,
    /// Hubs besides that one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub more_hubs: Vec<HubAddress>,
    /// Enrolment groups besides the first, also of other scopes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub more_groups: Vec<GroupAddress>,
    /// The CA's certificate, PEM.
    pub ca_file: PathBuf,
}

/// One of several enrolment groups. Holds its key.
#[derive(Clone, Serialize)]
pub struct GroupAddress {
    /// Of its provisioning service.
    pub id_scope: String,
    /// Its name.
    pub group: String,
    /// Its primary key, base64.
    pub group_key: String,
}

impl fmt::Debug for GroupAddress {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupAddress").field("group", &self.group).finish_non_exhaustive()
    }
}

/// One of several hubs. Holds keys.
#[derive(Clone, Serialize)]
pub struct HubAddress {
    /// Its host name.
    pub hub: String,
    /// For service SDKs.
    pub service_connection_string: String,
    /// For readers of its Event-Hubs-compatible endpoint.
    pub event_hub_connection_string: String,
}

impl fmt::Debug for HubAddress {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubAddress").field("hub", &self.hub).finish_non_exhaustive()
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
    let mut groups = cloud.groups().into_iter().map(|(id_scope, group)| GroupAddress {
        id_scope,
        group: group.name,
        group_key: group.keys.primary,
    });
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
        more_hubs: cloud.hubs().iter().skip(1).map(address).collect(),
        more_groups: groups.collect(),
        ca_file,
    }
}

fn address(hub: &Hub) -> HubAddress {
    HubAddress {
        hub: hub.name().to_owned(),
        service_connection_string: hub.service_connection_string(),
        event_hub_connection_string: hub.event_hub_connection_string(),
    }
}
