//! What a link's address names. Written relative (with or without a slash in front) or as a URL; words in any case of
//! letters, ids percent-decoded and exact.

use percent_encoding::percent_decode_str;

use super::readers;
use crate::endpoint::{Endpoint, HubId};

/// The longest address that is looked at, bytes: host 255, two ids of 128 percent-encoded, and words.
const ADDRESS_BYTES_MAX: usize = 2048;
/// How the built-in endpoint goes by at the hub.
const BUILT_IN: &str = "messages/events";

/// A node of the hub, of its Event-Hubs-compatible endpoint, or of provisioning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// Where tokens are put.
    Cbs,
    /// `/devices/ID/messages/events`, `/devices/ID/modules/ID/messages/events`
    Telemetry(Endpoint),
    /// `/devices/ID/messages/devicebound`
    DeviceBound(Endpoint),
    /// `/devices/ID/methods/devicebound`, both ways
    Methods(Endpoint),
    /// `/devices/ID/twin`, both ways
    Twin(Endpoint),
    /// `/messages/devicebound`
    Commands,
    /// `/messages/serviceBound/feedback`
    Feedback,
    /// `/messages/serviceBound/filenotifications`
    FileNotifications,
    /// `SCOPE/registrations/ID`
    Registration { scope: String, id: String },
    /// `$management`, or below an entity.
    Management(Option<String>),
    /// `ENTITY/ConsumerGroups/GROUP/Partitions/NUMBER`
    Partition(readers::Address),
    /// Nothing that is here.
    Unknown,
}

impl Node {
    pub(super) fn parse(hub: HubId, address: &str) -> Self {
        if address.len() > ADDRESS_BYTES_MAX {
            return Self::Unknown;
        }
        let segments: Vec<&str> = path(address).trim_matches('/').split('/').collect();
        let words: Vec<String> = segments.iter().map(|segment| segment.to_ascii_lowercase()).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let id = |at: usize| segments.get(at).map(|text| decoded(text)).unwrap_or_default();
        match words.as_slice() {
            ["$cbs"] => Self::Cbs,
            ["devices", _, below @ ..] if below.first() != Some(&"modules") => {
                Self::of(Endpoint::device(hub, id(1)), below)
            }
            ["devices", _, "modules", _, below @ ..] => Self::of(Endpoint::module(hub, id(1), id(3)), below),
            ["messages", "devicebound"] => Self::Commands,
            ["messages", "servicebound", "feedback"] => Self::Feedback,
            ["messages", "servicebound", "filenotifications"] => Self::FileNotifications,
            [_, "registrations", _] => Self::Registration { scope: id(0), id: id(2) },
            ["$management"] => Self::Management(None),
            [.., "$management"] => Self::Management(Some(segments[..segments.len() - 1].join("/"))),
            _ => readers::Address::parse(address).map_or(Self::Unknown, Self::Partition),
        }
    }

    /// What is below a device or a module.
    fn of(endpoint: Endpoint, below: &[&str]) -> Self {
        match (below, &endpoint.module) {
            (["messages", "events"], _) => Self::Telemetry(endpoint),
            (["messages", "devicebound"], None) => Self::DeviceBound(endpoint),
            (["methods", "devicebound"], _) => Self::Methods(endpoint),
            (["twin"], _) => Self::Twin(endpoint),
            _ => Self::Unknown,
        }
    }

    /// It is for the service side: the words of the path that a token has to open.
    pub(super) fn service_path(&self) -> Option<&'static [&'static str]> {
        match self {
            Self::Commands => Some(&["messages", "devicebound"]),
            Self::Feedback => Some(&["messages", "servicebound", "feedback"]),
            Self::FileNotifications => Some(&["messages", "servicebound", "filenotifications"]),
            _ => None,
        }
    }

    /// Who the link is of.
    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        match self {
            Self::Telemetry(endpoint) | Self::DeviceBound(endpoint) => Some(endpoint),
            Self::Methods(endpoint) | Self::Twin(endpoint) => Some(endpoint),
            _ => None,
        }
    }

    /// The device that the link is of.
    pub(super) fn device(&self) -> Option<&str> {
        match self {
            Self::Registration { id, .. } => Some(id),
            node => node.endpoint().map(|endpoint| endpoint.device.as_str()),
        }
    }
}

/// An address without scheme and host.
pub(super) fn path(address: &str) -> &str {
    address.split_once("://").map_or(address, |(_, rest)| rest.split_once('/').map_or("", |(_, path)| path))
}

/// The built-in endpoint under the hub's own words for it, which is served under another name.
pub(super) fn is_built_in(entity: &str) -> bool {
    entity.eq_ignore_ascii_case(BUILT_IN)
}

fn decoded(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUB: HubId = HubId(0);

    #[test]
    fn a_node_is_found_however_its_address_is_written() {
        for address in [
            "/devices/Dev%201/messages/events",
            "devices/Dev%201/messages/events",
            "amqps://localhost:5671/Devices/Dev%201/Messages/Events",
            "amqps://hub1.azure-devices.net/devices/Dev 1/messages/events/",
        ] {
            assert_eq!(Node::parse(HUB, address), Node::Telemetry(Endpoint::device(HUB, "Dev 1")), "{address}");
        }
        assert_eq!(Node::parse(HUB, "/devices/d/messages/deviceBound"), Node::DeviceBound(Endpoint::device(HUB, "d")));
        let (d, m) = (Endpoint::device(HUB, "d"), Endpoint::module(HUB, "d", "m"));
        assert_eq!(Node::parse(HUB, "/devices/d/methods/deviceBound"), Node::Methods(d.clone()));
        assert_eq!(Node::parse(HUB, "/devices/d/twin/"), Node::Twin(d));
        assert_eq!(Node::parse(HUB, "/devices/d/modules/m/methods/devicebound"), Node::Methods(m.clone()));
        assert_eq!(Node::parse(HUB, "amqps://h/devices/d/modules/m/twin"), Node::Twin(m));
        assert_eq!(Node::parse(HUB, "$CBS"), Node::Cbs);
        assert_eq!(Node::parse(HUB, "amqps://localhost/messages/devicebound"), Node::Commands);
        assert_eq!(Node::parse(HUB, "/messages/serviceBound/feedback"), Node::Feedback);
        let registration = Node::Registration { scope: "0ne00".to_owned(), id: "eui-1".to_owned() };
        assert_eq!(Node::parse(HUB, "0ne00/registrations/eui-1"), registration);
        assert_eq!(Node::parse(HUB, "amqps://dps/0ne00/registrations/eui-1"), registration);
    }

    #[test]
    fn the_endpoint_is_known_under_both_names() {
        assert_eq!(Node::parse(HUB, "$management"), Node::Management(None));
        assert_eq!(Node::parse(HUB, "hub1/$management"), Node::Management(Some("hub1".to_owned())));
        let Node::Management(Some(entity)) = Node::parse(HUB, "/messages/events/$management") else {
            panic!("another")
        };
        assert!(is_built_in(&entity) && !is_built_in("hub1"));
        let Node::Partition(found) = Node::parse(HUB, "amqps://h/messages/events/ConsumerGroups/$Default/Partitions/3")
        else {
            panic!("another")
        };
        assert_eq!((found.entity.as_str(), found.partition.as_str()), ("messages/events", "3"));
    }

    #[test]
    fn what_is_not_here_is_nothing() {
        for address in ["", "/", "/devices/d", "/devices/d/twins", "/devices/d/methods", "x://", "a/b/c"] {
            assert_eq!(Node::parse(HUB, address), Node::Unknown, "{address}");
        }
        assert_eq!(Node::parse(HUB, &"a/".repeat(5000)), Node::Unknown);
    }
}
