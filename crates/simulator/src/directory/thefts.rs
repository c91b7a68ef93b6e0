//! Which connection took a device from which, while that was still there: counted by device, and the newest told.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use super::ConnectionId;
use crate::endpoint::Endpoint;

/// Of so many it is known between whom they were; more are counted. At 200 bytes each this is 2 MB; the oldest go first.
const TOLD_MAX: usize = 10_000;

/// A connection took a device from another one, which was still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Theft {
    pub(crate) endpoint: Endpoint,
    pub(crate) at_ms: i64,
    /// Who lost it.
    pub(crate) from: Side,
    /// Who has it.
    pub(crate) to: Side,
}

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Side {
    pub(crate) connection: ConnectionId,
    /// Who has dialled; none where there is no socket.
    pub(crate) peer: Option<SocketAddr>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Thefts {
    /// It takes a good token to come in here.
    by_device: BTreeMap<String, u64>,
    ever: u64,
    newest: VecDeque<Theft>,
}

impl Thefts {
    pub(super) fn note(&mut self, theft: Theft) {
        *self.by_device.entry(theft.endpoint.device.clone()).or_default() += 1;
        self.ever += 1;
        if self.newest.len() >= TOLD_MAX {
            self.newest.pop_front();
        }
        self.newest.push_back(theft);
    }

    pub(super) fn by_device(&self) -> &BTreeMap<String, u64> {
        &self.by_device
    }

    pub(super) fn ever(&self) -> u64 {
        self.ever
    }

    /// The oldest first.
    pub(super) fn newest(&self) -> impl Iterator<Item = &Theft> {
        self.newest.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::HubId;

    #[test]
    fn all_are_counted_and_the_newest_told() {
        let mut thefts = Thefts::default();
        let side = |connection| Side { connection: ConnectionId(connection), peer: None };
        for at_ms in 0..=10_000 {
            let endpoint = Endpoint::device(HubId(0), "d1");
            thefts.note(Theft { endpoint, at_ms, from: side(1), to: side(2) });
        }
        assert_eq!((thefts.ever(), thefts.by_device()["d1"]), (10_001, 10_001));
        assert_eq!((thefts.newest().count(), thefts.newest().next().unwrap().at_ms), (TOLD_MAX, 1));
    }
}
