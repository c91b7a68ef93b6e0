//! The hubs there are, and the names that lead to them.

use super::Cloud;
use crate::endpoint::HubId;
use crate::hub::Names;
use crate::identity::{OWNER, Policies};

/// One hub, as far as it never changes.
#[derive(Debug)]
pub(crate) struct Hub {
    /// Never empty; the first is its own, the others lead to it as well.
    hosts: Vec<String>,
    policies: Policies,
}

impl Hub {
    /// Host names, of which the first is the hub's own; none is `localhost`.
    pub(crate) fn new(mut hosts: Vec<String>, policies: Policies) -> Self {
        if hosts.is_empty() {
            hosts.push("localhost".to_owned());
        }
        Self { hosts, policies }
    }

    /// Its host name.
    pub(crate) fn name(&self) -> &str {
        self.hosts.first().map_or("localhost", String::as_str)
    }

    /// The first part of its host name: how SASL and its Event-Hubs-compatible entity call it.
    pub(crate) fn short_name(&self) -> &str {
        first_label(self.name())
    }

    /// Whether this host name leads to it.
    pub(crate) fn is_called(&self, host: &str) -> bool {
        self.hosts.iter().any(|one| one.eq_ignore_ascii_case(host))
    }

    /// Whether this is the first part of a name that leads to it.
    pub(crate) fn is_called_briefly(&self, name: &str) -> bool {
        self.hosts.iter().any(|host| first_label(host).eq_ignore_ascii_case(name))
    }

    pub(crate) fn policies(&self) -> &Policies {
        &self.policies
    }

    /// For service SDKs.
    pub(crate) fn service_connection_string(&self) -> String {
        format!("HostName={};SharedAccessKeyName={OWNER};SharedAccessKey={}", self.name(), self.owner_key())
    }

    /// For readers of its Event-Hubs-compatible endpoint.
    pub(crate) fn event_hub_connection_string(&self) -> String {
        let (host, key, entity) = (self.name(), self.owner_key(), self.short_name());
        format!("Endpoint=sb://{host}/;SharedAccessKeyName={OWNER};SharedAccessKey={key};EntityPath={entity}")
    }

    fn owner_key(&self) -> &str {
        self.policies.get(OWNER).map_or("", |keys| &keys.primary)
    }
}

fn first_label(host: &str) -> &str {
    host.split('.').next().unwrap_or_default()
}

impl Cloud {
    /// All of them, the one that is meant by any other name first.
    pub(crate) fn hubs(&self) -> &[Hub] {
        &self.hubs
    }

    pub(crate) fn hub(&self, hub: HubId) -> &Hub {
        self.hubs.get(hub.0).or_else(|| self.hubs.first()).expect("a simulator is made with a hub")
    }

    /// The hub of this host name, with or without a port.
    pub(crate) fn hub_named(&self, host: &str) -> Option<HubId> {
        let bare = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(name, _)| name);
        self.hubs.iter().position(|hub| hub.is_called(bare)).map(HubId)
    }

    /// The hub whose own name this is.
    pub(super) fn hub_called(&self, name: &str) -> Option<HubId> {
        self.hubs.iter().position(|hub| hub.name().eq_ignore_ascii_case(name)).map(HubId)
    }

    /// The hub that is meant where its host name is not known here: a proxy's, or a bare address.
    pub(crate) fn default_hub(&self) -> HubId {
        HubId(0)
    }

    /// The hub whose host name begins with this.
    pub(crate) fn hub_named_briefly(&self, name: &str) -> Option<HubId> {
        self.hubs.iter().position(|hub| hub.is_called_briefly(name)).map(HubId)
    }

    pub(crate) fn names(&self, hub: HubId) -> Names<'_> {
        let hub = self.hub(hub);
        Names { hosts: &hub.hosts, policies: &hub.policies }
    }
}
