//! Which connection took a device from which, for the page and for tests.

use std::net::SocketAddr;

use serde::Serialize;

use super::Cloud;
use crate::directory::Side;
use crate::identity::timestamp;

/// How often a connection took a device from another one, which was still there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Thefts {
    /// Since the start.
    pub count: u64,
    /// The newest 10 000, the oldest of them first.
    pub thefts: Vec<Theft>,
}

/// One time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Theft {
    /// When, RFC 3339.
    pub at: String,
    /// Host name of the hub.
    pub hub: String,
    /// The device.
    pub device_id: String,
    /// Its module, if it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module_id: Option<String>,
    /// The connection that lost it.
    pub from: Party,
    /// The connection that has it.
    pub to: Party,
}

/// One of the two connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Party {
    /// Which of those since the start.
    pub connection: u64,
    /// From where it was dialled; none where there is no socket.
    pub peer: Option<SocketAddr>,
}

impl Cloud {
    pub(crate) fn thefts(&self) -> Thefts {
        let (count, newest) = self.directory.newest_thefts();
        let party = |side: Side| Party { connection: side.connection.number(), peer: side.peer };
        let thefts = newest.into_iter().map(|theft| Theft {
            at: timestamp(theft.at_ms).to_string(),
            hub: self.hub(theft.endpoint.hub).name().to_owned(),
            device_id: theft.endpoint.device,
            module_id: theft.endpoint.module,
            from: party(theft.from),
            to: party(theft.to),
        });
        Thefts { count, thefts: thefts.collect() }
    }
}
