//! What readers of the built-in, Event-Hubs-compatible endpoint see: partitions of numbered events, in memory.
//!
//! Promises: all events of a device are in one partition, in the order in which the hub took them, each with the next
//! sequence number and a larger offset; after a restart a device has the same partition. What is kept is bounded, the
//! oldest events of the whole hub go first. Not promised: keeping events for a time, or over a restart; the record is
//! what stays. Does not know who reads: readers remember where they are.

use std::collections::VecDeque;

use bytes::BytesMut;
use sha2::{Digest as _, Sha256};

mod event; // what the hub accepted becomes bytes
mod partition; // a row of events, and where to start in it
mod position; // where a reader wants to start, as filters spell it

pub(crate) use event::Accepted;
pub(crate) use partition::{Last, Partition};
pub(crate) use position::Position;

/// As a hub is made when nobody says otherwise.
pub(crate) const PARTITIONS: usize = 4;
/// As many as a real hub can be made with.
const PARTITIONS_MAX: usize = 32;
/// Kept events, encoded. At 0.7 KiB each (an uplink of 200 bytes with its annotations) this is 90 000 of them; it is 250
/// of the largest.
const BYTES_MAX: usize = 64 << 20;
/// Bounds what goes beside the bytes: 100 000 times about 100 bytes (entry, allocation, order) are 10 MB, so that the
/// whole is below 80 MB at worst.
const EVENTS_MAX: usize = 100_000;

/// What is kept at most.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    events: usize,
    bytes: usize,
}

/// The events of one hub.
#[derive(Debug)]
pub(crate) struct Events {
    partitions: Vec<Partition>,
    /// The partition of each kept event, oldest event first: tells whose turn it is to go.
    order: VecDeque<u8>,
    bytes: usize,
    bounds: Bounds,
    /// Events are written here first, so that each is kept in memory of exactly its size.
    scratch: BytesMut,
}

impl Events {
    /// With this many partitions, 1 to 32.
    pub(crate) fn new(partitions: usize) -> Self {
        Self::bounded(partitions, Bounds { events: EVENTS_MAX, bytes: BYTES_MAX })
    }

    fn bounded(partitions: usize, bounds: Bounds) -> Self {
        Self {
            partitions: (0..partitions.clamp(1, PARTITIONS_MAX)).map(|_| Partition::default()).collect(),
            order: VecDeque::new(),
            bytes: 0,
            bounds,
            scratch: BytesMut::new(),
        }
    }

    /// Keeps what the hub accepted; gives the number of the partition.
    pub(crate) fn append(&mut self, accepted: Accepted) -> usize {
        let at = partition_of(&accepted.device_id, self.partitions.len());
        if let (Some(partition), Ok(short)) = (self.partitions.get_mut(at), u8::try_from(at)) {
            self.bytes += partition.append(accepted, &mut self.scratch);
            self.order.push_back(short);
            self.forget();
        }
        at
    }

    fn forget(&mut self) {
        while self.order.len() > self.bounds.events || self.bytes > self.bounds.bytes {
            let Some(oldest) = self.order.pop_front() else { return };
            let freed = self.partitions.get_mut(usize::from(oldest)).map_or(0, Partition::forget_oldest);
            self.bytes = self.bytes.saturating_sub(freed);
        }
    }

    /// By number, from 0.
    pub(crate) fn partition(&self, number: usize) -> Option<&Partition> {
        self.partitions.get(number)
    }

    /// Partitions are numbered from 0 to one less than this.
    pub(crate) fn partition_count(&self) -> usize {
        self.partitions.len()
    }

    /// The number of a partition from its name. Only the usual spelling is one: `0`, not `00` or `+0`.
    pub(crate) fn number_of(&self, name: &str) -> Option<usize> {
        let number: usize = name.parse().ok()?;
        (number < self.partitions.len() && number.to_string() == name).then_some(number)
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::new(PARTITIONS)
    }
}

/// By a hash that stays the same over versions and machines, which the standard library does not promise of its own.
fn partition_of(device_id: &str, partitions: usize) -> usize {
    let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(device_id.as_bytes()));
    u32::from_be_bytes([a, b, c, d]) as usize % partitions.max(1)
}

#[cfg(test)]
pub(crate) mod tests;
