//! All AMQP connections, and what they have to know of each other: who owns a device, who reads events.
//!
//! Promises: a device has one owner, the connection that attached a link of it last; the one before is told. Notes to a
//! connection are not queued but merged (a device is named once however often it changes), so that a mailbox is no
//! larger than what its connection has: devices, readers, and a few marks. Never waits.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use amqp::connection::LinkId;
use amqp::performative::Error;
use tokio::sync::Notify;

use super::readers::{Seat, Seats};
use crate::faults::AllConnections;

/// One of the connections since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ConnectionId(u64);

impl std::fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Says how late a device was taken: the higher number is the newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claim(u64);

/// A reader, over all connections.
type ReaderKey = (ConnectionId, LinkId);

/// What a connection is told.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Another connection took these devices, later than the claim.
    pub(super) stolen: BTreeMap<String, Claim>,
    /// These devices were switched off, deleted or changed.
    pub(super) changed: BTreeSet<String>,
    /// These readers lost their place.
    pub(super) unseated: Vec<(LinkId, Error)>,
    /// There are new events.
    pub(super) events: bool,
    /// Faults were set.
    pub(super) faults: bool,
    /// What is to happen to all.
    pub(super) all: Option<AllConnections>,
}

/// Where a connection finds its notes.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    notes: Mutex<Notes>,
    bell: Notify,
}

impl Mailbox {
    fn tell(&self, write: impl FnOnce(&mut Notes)) {
        write(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner));
        self.bell.notify_one();
    }

    /// Waits until there may be notes, and takes them.
    pub(super) async fn notes(&self) -> Notes {
        self.bell.notified().await;
        std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// All connections.
#[derive(Debug, Default)]
pub(crate) struct Directory(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    ever: u64,
    claims: u64,
    mailboxes: HashMap<ConnectionId, Arc<Mailbox>>,
    owners: HashMap<String, ConnectionId>,
    seats: Seats<ReaderKey>,
    readers: HashMap<ConnectionId, Vec<(String, usize, LinkId)>>,
}

impl Directory {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection.
    pub(super) fn join(&self) -> (ConnectionId, Arc<Mailbox>) {
        let mut inner = self.inner();
        inner.ever += 1;
        let id = ConnectionId(inner.ever);
        let mailbox = Arc::new(Mailbox::default());
        inner.mailboxes.insert(id, Arc::clone(&mailbox));
        (id, mailbox)
    }

    /// A connection is gone, with all that it had.
    pub(super) fn leave(&self, id: ConnectionId) {
        let mut inner = self.inner();
        inner.mailboxes.remove(&id);
        inner.owners.retain(|_, owner| *owner != id);
        for (group, partition, link) in inner.readers.remove(&id).unwrap_or_default() {
            inner.seats.leave(&group, partition, &(id, link));
        }
    }

    /// Connections now, and since the start.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let inner = self.inner();
        (inner.mailboxes.len() as u64, inner.ever)
    }

    /// A device has a link on this connection now. Another one that had it is told.
    pub(super) fn own(&self, device: &str, me: ConnectionId) -> Claim {
        let mut inner = self.inner();
        inner.claims += 1;
        let claim = Claim(inner.claims);
        let before = inner.owners.insert(device.to_owned(), me).filter(|before| *before != me);
        if let Some(mailbox) = before.and_then(|before| inner.mailboxes.get(&before)) {
            mailbox.tell(|notes| {
                notes.stolen.insert(device.to_owned(), claim);
            });
        }
        claim
    }

    /// The last link of a device on this connection is gone.
    pub(super) fn give_up(&self, device: &str, me: ConnectionId) {
        let mut inner = self.inner();
        if inner.owners.get(device) == Some(&me) {
            inner.owners.remove(device);
        }
    }

    /// A device was switched off, deleted or changed.
    pub(crate) fn tell_owner(&self, device: &str) {
        let inner = self.inner();
        if let Some(mailbox) = inner.owners.get(device).and_then(|owner| inner.mailboxes.get(owner)) {
            mailbox.tell(|notes| {
                notes.changed.insert(device.to_owned());
            });
        }
    }

    /// Faults were set.
    pub(crate) fn tell_all(&self, all: Option<AllConnections>) {
        for mailbox in self.inner().mailboxes.values() {
            mailbox.tell(|notes| {
                notes.faults = true;
                notes.all = all;
            });
        }
    }

    /// There are new events.
    pub(crate) fn tell_readers(&self) {
        let inner = self.inner();
        for mailbox in inner.readers.keys().filter_map(|id| inner.mailboxes.get(id)) {
            mailbox.tell(|notes| notes.events = true);
        }
    }

    /// Gives a reader its place. Those that lose theirs to it are told.
    pub(super) fn sit(&self, group: &str, partition: usize, seat: Seat<ReaderKey>) -> Result<(), Error> {
        let mut inner = self.inner();
        let (id, link) = seat.key;
        let losers = inner.seats.sit(group, partition, seat)?;
        inner.readers.entry(id).or_default().push((group.to_owned(), partition, link));
        for ((loser, link), error) in losers {
            inner.forget_reader(loser, link);
            if let Some(mailbox) = inner.mailboxes.get(&loser) {
                mailbox.tell(|notes| notes.unseated.push((link, error)));
            }
        }
        Ok(())
    }

    /// A reader is gone.
    pub(super) fn stand_up(&self, id: ConnectionId, link: LinkId) {
        let mut inner = self.inner();
        if let Some((group, partition)) = inner.forget_reader(id, link) {
            inner.seats.leave(&group, partition, &(id, link));
        }
    }
}

impl Inner {
    fn forget_reader(&mut self, id: ConnectionId, link: LinkId) -> Option<(String, usize)> {
        let its = self.readers.get_mut(&id)?;
        let at = its.iter().position(|one| one.2 == link)?;
        let (group, partition, _) = its.swap_remove(at);
        if its.is_empty() {
            self.readers.remove(&id);
        }
        Some((group, partition))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(mailbox: &Mailbox) -> Notes {
        std::mem::take(&mut *mailbox.notes.lock().unwrap())
    }

    #[test]
    fn the_newer_connection_owns_a_device_and_the_older_is_told_once() {
        let directory = Directory::default();
        let ((a, at_a), (b, at_b)) = (directory.join(), directory.join());
        let first = directory.own("d1", a);
        directory.own("d1", a);
        assert!(taken(&at_a).stolen.is_empty(), "from itself");
        let second = directory.own("d1", b);
        assert!(second > first && taken(&at_a).stolen.get("d1") == Some(&second));
        directory.give_up("d1", a);
        directory.tell_owner("d1");
        assert!(taken(&at_b).changed.contains("d1"), "who lost it cannot give it up");
        assert!(taken(&at_a).changed.is_empty());
    }

    #[test]
    fn a_connection_that_is_gone_owns_nothing() {
        let directory = Directory::default();
        let ((a, _), (b, _)) = (directory.join(), directory.join());
        directory.own("d1", a);
        directory.leave(a);
        directory.own("d1", b);
        assert_eq!((directory.counts(), directory.inner().owners.len()), ((1, 2), 1));
    }

    #[tokio::test]
    async fn notes_are_merged_and_found_later() {
        let directory = Directory::default();
        let (a, at_a) = directory.join();
        directory.own("d1", a);
        for _ in 0..3 {
            directory.tell_owner("d1");
            directory.tell_all(None);
        }
        let notes = at_a.notes().await;
        assert!(notes.changed.len() == 1 && notes.faults && notes.all.is_none());
    }
}
