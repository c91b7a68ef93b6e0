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
    /// Port of MQTT over TLS; none yet.
    pub mqtt: Option<u16>,
    /// Port of the page and the control API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<u16>,
    /// The name to dial.
    pub host: String,
    /// The id scope of the provisioning service.
    pub id_scope: String,
    /// Primary key of the enrolment group, base64.
    pub group_key: String,
    /// `host:port` of the provisioning service.
    pub dps_endpoint: String,
    /// The hub that devices are assigned to, a bare name.
    pub hub: String,
    /// For service SDKs; a bare host name.
    pub service_connection_string: String,
    /// For readers of the Event-Hubs-compatible endpoint; a bare host name, to which a reader may be given another port.
    pub event_hub_connection_string: String,
    /// Hubs besides that one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub more_hubs: Vec<HubAddress>,
    /// The CA's certificate, PEM.
    pub ca_file: PathBuf,
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

/// Gathers it.
pub(crate) fn describe(cloud: &Cloud, https: u16, page: Option<u16>, ca_file: PathBuf) -> Started {
    let (hub, identity) = (cloud.hub(cloud.default_hub()), cloud.identity());
    let host = hub.name().to_owned();
    Started {
        https,
        amqp: cloud.amqp_port(),
        mqtt: None,
        page,
        id_scope: identity.id_scope.clone(),
        group_key: identity.group.primary.clone(),
        dps_endpoint: format!("{host}:{https}"),
        service_connection_string: hub.service_connection_string(),
        event_hub_connection_string: hub.event_hub_connection_string(),
        hub: host.clone(),
        host,
        more_hubs: cloud.hubs().iter().skip(1).map(address).collect(),
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
