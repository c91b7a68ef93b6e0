//! The lanes of the queue: one for a device's telemetry, one for what the network tells about it, and one for what
//! could not be sorted.
//!
//! Promises: two different devices never share a lane, whatever characters their names have; a lane's name can be
//! read back.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::head::Head;

/// Everything but what The Things Stack allows in ids and what is harmless in a listing.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// A device as the network knows it: its identity. Device ids are unique within an application only.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeviceKey {
    /// Which network.
    pub network: String,
    /// Which application there.
    pub application: String,
    /// Which device there.
    pub device: String,
}

impl DeviceKey {
    /// The sender of a message, if its head names application and device.
    pub fn of(head: &Head) -> Option<Self> {
        let (application, device) = (head.application.clone()?, head.device.clone()?);
        Some(Self { network: head.network.clone(), application, device })
    }
}

impl fmt::Display for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.network, self.application, self.device)
    }
}

/// Where a message waits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// `t/network/application/device`: uplinks, which need the hub.
    Telemetry(DeviceKey),
    /// `n/network/application/device`: everything else that the network says, which needs only us.
    News(DeviceKey),
    /// `x/network`: dead letters without a usable identity.
    Unsorted {
        /// Which network sent it.
        network: String,
    },
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escape = |part| utf8_percent_encode(part, ESCAPED);
        let (letter, key) = match self {
            Self::Telemetry(key) => ('t', key),
            Self::News(key) => ('n', key),
            Self::Unsorted { network } => return write!(f, "x/{}", escape(network)),
        };
        write!(f, "{letter}/{}/{}/{}", escape(&key.network), escape(&key.application), escape(&key.device))
    }
}

impl Lane {
    /// Reads a lane's name back; `None` when it is none of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<_> = text.split('/').collect();
        let read = |part: &&str| percent_decode_str(part).decode_utf8().ok().map(std::borrow::Cow::into_owned);
        let key = |network, application, device| {
            Some(DeviceKey { network: read(network)?, application: read(application)?, device: read(device)? })
        };
        match parts.as_slice() {
            ["t", network, application, device] => key(network, application, device).map(Self::Telemetry),
            ["n", network, application, device] => key(network, application, device).map(Self::News),
            ["x", network] => Some(Self::Unsorted { network: read(network)? }),
            _ => None,
        }
    }

    /// The device, if there is one.
    pub fn device(&self) -> Option<&DeviceKey> {
        match self {
            Self::Telemetry(key) | Self::News(key) => Some(key),
            Self::Unsorted { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(network: &str, application: &str, device: &str) -> DeviceKey {
        DeviceKey { network: network.to_owned(), application: application.to_owned(), device: device.to_owned() }
    }

    #[test]
    fn ordinary_names_stand_as_they_are() {
        assert_eq!(Lane::Telemetry(key("ttn", "building", "dev-0001")).to_string(), "t/ttn/building/dev-0001");
        assert_eq!(Lane::News(key("ttn", "a/b", "%")).to_string(), "n/ttn/a%2Fb/%25");
        assert_eq!(Lane::Unsorted { network: "ttn".to_owned() }.to_string(), "x/ttn");
        assert_eq!(Lane::parse("t/only/two"), None);
    }

    proptest! {
        #[test]
        fn a_lane_reads_back(network in any::<String>(), application in any::<String>(), device in any::<String>()) {
            let key = key(&network, &application, &device);
            for lane in [Lane::Telemetry(key.clone()), Lane::News(key), Lane::Unsorted { network }] {
                prop_assert_eq!(Lane::parse(&lane.to_string()), Some(lane));
            }
        }
    }
}
