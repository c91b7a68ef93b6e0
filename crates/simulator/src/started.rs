//! What clients have to know of a simulator that runs.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::cloud::Cloud;
use crate::identity::OWNER;

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
    /// The CA's certificate, PEM.
    pub ca_file: PathBuf,
}

impl fmt::Debug for Started {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Started").field("https", &self.https).field("hub", &self.hub).finish_non_exhaustive()
    }
}

/// Gathers it.
pub(crate) fn describe(cloud: &Cloud, https: u16, page: Option<u16>, ca_file: PathBuf) -> Started {
    let (hub, identity) = (cloud.hub().to_owned(), cloud.identity());
    let key = &identity.owner().primary;
    let amqp = cloud.amqp_port();
    Started {
        https,
        amqp,
        mqtt: None,
        page,
        id_scope: identity.id_scope.clone(),
        group_key: identity.group.primary.clone(),
        dps_endpoint: format!("{hub}:{https}"),
        service_connection_string: format!("HostName={hub};SharedAccessKeyName={OWNER};SharedAccessKey={key}"),
        event_hub_connection_string: format!(
            "Endpoint=sb://{hub}/;SharedAccessKeyName={OWNER};SharedAccessKey={key};EntityPath={}",
            cloud.hub_name()
        ),
        host: hub.clone(),
        hub,
        ca_file,
    }
}
