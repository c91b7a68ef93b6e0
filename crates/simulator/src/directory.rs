//! All connections of devices, services and readers, and what they have to know of each other.
//!
//! Promises: a device has one owner over all protocols, the connection that spoke for it last; the one before is told.
//! Notes to a connection are merged where they can be (a device is named once however often it changes) and bounded where
//! they cannot, so that a mailbox stays as small as what its connection has. Never waits. Knows no protocol, but that
//! readers of events are links.

mod wants; // waiting until somebody listens

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use amqp::connection::LinkId;
use amqp::performative::Error;
use bytes::Bytes;
use tokio::sync::Notify;

use crate::amqp::readers::{Seat, Seats};
use crate::endpoint::{Endpoint, HubId};
use crate::faults::AllConnections;
use crate::options::Clock;

/// Direct methods that a connection has not taken yet. Each has at most 128 KiB: 32 MiB at worst, and a connection takes
/// them as fast as it can write.
const CALLS_MAX: usize = 256;
/// Desired changes that a connection has not taken yet, at most 32 KiB each: 8 MiB. The oldest go first, as if they had come
/// while the device was away: it finds out by `$version`.
const DESIRED_MAX: usize = 256;

/// One of the connections since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ConnectionId(u64);

impl std::fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Protocol {
    Amqp,
    Mqtt,
}

/// Says how late a device was taken: the higher number is the newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Claim(u64);

/// What the owner of an endpoint listens to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ears {
    /// Messages from the cloud.
    pub(crate) c2d: bool,
    /// Direct methods.
    pub(crate) methods: bool,
    /// Changes of desired properties.
    pub(crate) desired: bool,
}

/// A direct method on its way to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// RFC 4122, version 4: Node's SDK answers with a uuid only then.
    pub(crate) request_id: [u8; 16],
    pub(crate) name: String,
    /// JSON, or empty.
    pub(crate) payload: Bytes,
}

/// Why a call did not get on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallFailed {
    /// Nobody listens.
    NotOnline,
    /// So many are on their way that the device does not take.
    TooMany,
}

/// Desired properties changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DesiredChange {
    /// JSON with `$version`; what was removed is null.
    pub(crate) patch: Bytes,
    pub(crate) version: u64,
}

/// A reader, over all connections.
type ReaderKey = (ConnectionId, LinkId);

/// What a connection is told.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Another connection took these, later than the claim.
    pub(crate) stolen: BTreeMap<Endpoint, Claim>,
    /// These were switched off, deleted or changed.
    pub(crate) changed: BTreeSet<Endpoint>,
    /// There may be messages from the cloud for these.
    pub(crate) c2d: BTreeSet<Endpoint>,
    /// Direct methods for these.
    pub(crate) calls: VecDeque<(Endpoint, Call)>,
    /// Desired properties of these changed.
    pub(crate) desired: VecDeque<(Endpoint, DesiredChange)>,
    /// There may be feedback on messages from the cloud.
    pub(crate) feedback: bool,
    /// These readers lost their place.
    pub(crate) unseated: Vec<(LinkId, Error)>,
    /// There are new events.
    pub(crate) events: bool,
    /// Faults were set.
    pub(crate) faults: bool,
    /// What is to happen to all.
    pub(crate) all: Option<AllConnections>,
}

/// Where a connection finds its notes.
#[derive(Debug)]
pub(crate) struct Mailbox {
    protocol: Protocol,
    notes: Mutex<Notes>,
    bell: Notify,
}

impl Mailbox {
    fn new(protocol: Protocol) -> Self {
        Self { protocol, notes: Mutex::default(), bell: Notify::new() }
    }

    fn tell(&self, write: impl FnOnce(&mut Notes)) {
        write(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner));
        self.bell.notify_one();
    }

    /// Waits until there may be notes, and takes them.
    pub(crate) async fn notes(&self) -> Notes {
        self.bell.notified().await;
        std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// All connections.
pub(crate) struct Directory {
    inner: Mutex<Inner>,
    clock: Clock,
}

#[derive(Debug, Default)]
struct Inner {
    ever: u64,
    ever_by: BTreeMap<Protocol, u64>,
    claims: u64,
    mailboxes: HashMap<ConnectionId, Arc<Mailbox>>,
    owners: HashMap<Endpoint, Owner>,
    seats: HashMap<HubId, Seats<ReaderKey>>,
    readers: HashMap<ConnectionId, Vec<Place>>,
    wait_for_feedback: BTreeSet<(HubId, ConnectionId)>,
    /// When somebody began or ceased to speak for an endpoint, since the start. It takes a good token to come in here.
    turned_ms: HashMap<Endpoint, i64>,
    /// Rings when somebody listens for methods.
    wants: HashMap<Endpoint, Arc<Notify>>,
}

/// Who speaks for an endpoint.
#[derive(Clone, Copy, Debug)]
struct Owner {
    connection: ConnectionId,
    ears: Ears,
}

/// Where a reader sits.
#[derive(Debug)]
struct Place {
    hub: HubId,
    group: String,
    partition: usize,
    link: LinkId,
}

impl Directory {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { inner: Mutex::default(), clock }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection of AMQP.
    #[cfg(test)]
    pub(crate) fn join(&self) -> (ConnectionId, Arc<Mailbox>) {
        self.join_as(Protocol::Amqp)
    }

    /// A new connection.
    pub(crate) fn join_as(&self, protocol: Protocol) -> (ConnectionId, Arc<Mailbox>) {
        let mut inner = self.inner();
        inner.ever += 1;
        *inner.ever_by.entry(protocol).or_default() += 1;
        let id = ConnectionId(inner.ever);
        let mailbox = Arc::new(Mailbox::new(protocol));
        inner.mailboxes.insert(id, Arc::clone(&mailbox));
        (id, mailbox)
    }

    /// A connection is gone, with all that it had.
    pub(crate) fn leave(&self, id: ConnectionId) {
        let now_ms = (self.clock)();
        let mut inner = self.inner();
        inner.mailboxes.remove(&id);
        let gone: Vec<Endpoint> =
            inner.owners.extract_if(|_, owner| owner.connection == id).map(|(of, _)| of).collect();
        inner.turned_ms.extend(gone.into_iter().map(|endpoint| (endpoint, now_ms)));
        inner.wait_for_feedback.retain(|(_, connection)| *connection != id);
        for place in inner.readers.remove(&id).unwrap_or_default() {
            inner.free(&place, id);
        }
    }

    /// Connections now, and since the start.
    pub(crate) fn counts(&self, protocol: Protocol) -> (u64, u64) {
        let inner = self.inner();
        let now = inner.mailboxes.values().filter(|mailbox| mailbox.protocol == protocol).count();
        (now as u64, inner.ever_by.get(&protocol).copied().unwrap_or_default())
    }

    /// A connection speaks for an endpoint now. Another one that did is told.
    pub(crate) fn own(&self, endpoint: &Endpoint, me: ConnectionId) -> Claim {
        let now_ms = (self.clock)();
        let mut inner = self.inner();
        inner.claims += 1;
        let claim = Claim(inner.claims);
        let ears = inner.owners.get(endpoint).filter(|owner| owner.connection == me).map(|owner| owner.ears);
        let owner = Owner { connection: me, ears: ears.unwrap_or_default() };
        let before = inner.owners.insert(endpoint.clone(), owner);
        if before.is_none() {
            inner.turned_ms.insert(endpoint.clone(), now_ms);
        }
        let before = before.filter(|before| before.connection != me);
        if let Some(mailbox) = before.and_then(|before| inner.mailboxes.get(&before.connection)) {
            mailbox.tell(|notes| {
                notes.stolen.insert(endpoint.clone(), claim);
            });
        }
        claim
    }

    /// A connection does not speak for an endpoint any more.
    pub(crate) fn give_up(&self, endpoint: &Endpoint, me: ConnectionId) {
        let now_ms = (self.clock)();
        let mut inner = self.inner();
        if inner.owners.get(endpoint).is_some_and(|owner| owner.connection == me) {
            inner.owners.remove(endpoint);
            inner.turned_ms.insert(endpoint.clone(), now_ms);
        }
    }

    /// What the owner listens to from now on; of others it is of no interest.
    pub(crate) fn listen(&self, endpoint: &Endpoint, me: ConnectionId, ears: Ears) {
        let mut inner = self.inner();
        let Some(owner) = inner.owners.get_mut(endpoint).filter(|owner| owner.connection == me) else { return };
        owner.ears = ears;
        if let Some(bell) = inner.wants.get(endpoint).filter(|_| ears.methods) {
            bell.notify_waiters();
        }
    }

    /// Somebody speaks for it.
    pub(crate) fn is_connected(&self, endpoint: &Endpoint) -> bool {
        self.inner().owners.contains_key(endpoint)
    }

    /// When somebody began to speak for it, or ceased to.
    pub(crate) fn turned_ms(&self, endpoint: &Endpoint) -> Option<i64> {
        self.inner().turned_ms.get(endpoint).copied()
    }

    /// How many devices of a hub somebody speaks for; modules are not counted.
    pub(crate) fn connected(&self, hub: HubId) -> usize {
        self.inner().owners.keys().filter(|endpoint| endpoint.hub == hub && endpoint.module.is_none()).count()
    }

    /// An endpoint was switched off, deleted or changed.
    pub(crate) fn tell_owner(&self, endpoint: &Endpoint) {
        self.tell(
            endpoint,
            |_| true,
            |notes| {
                notes.changed.insert(endpoint.clone());
            },
        );
    }

    /// There may be messages from the cloud.
    pub(crate) fn tell_c2d(&self, endpoint: &Endpoint) {
        self.tell(
            endpoint,
            |ears| ears.c2d,
            |notes| {
                notes.c2d.insert(endpoint.clone());
            },
        );
    }

    /// Hands a direct method to whoever listens for it.
    pub(crate) fn call(&self, endpoint: &Endpoint, call: Call) -> Result<(), CallFailed> {
        let mut done = Err(CallFailed::NotOnline);
        self.tell(
            endpoint,
            |ears| ears.methods,
            |notes| {
                if notes.calls.len() >= CALLS_MAX {
                    done = Err(CallFailed::TooMany);
                } else {
                    notes.calls.push_back((endpoint.clone(), call));
                    done = Ok(());
                }
            },
        );
        done
    }

    /// Desired properties changed.
    pub(crate) fn tell_desired(&self, endpoint: &Endpoint, change: DesiredChange) {
        self.tell(
            endpoint,
            |ears| ears.desired,
            |notes| {
                if notes.desired.len() >= DESIRED_MAX {
                    notes.desired.pop_front();
                }
                notes.desired.push_back((endpoint.clone(), change));
            },
        );
    }

    fn tell(&self, endpoint: &Endpoint, hears: impl FnOnce(Ears) -> bool, write: impl FnOnce(&mut Notes)) {
        let inner = self.inner();
        let owner = inner.owners.get(endpoint).filter(|owner| hears(owner.ears));
        if let Some(mailbox) = owner.and_then(|owner| inner.mailboxes.get(&owner.connection)) {
            mailbox.tell(write);
        }
    }

    /// Whether a connection waits for feedback of a hub.
    pub(crate) fn wait_for_feedback(&self, hub: HubId, me: ConnectionId, waits: bool) {
        let waiting = &mut self.inner().wait_for_feedback;
        if waits {
            waiting.insert((hub, me));
        } else {
            waiting.remove(&(hub, me));
        }
    }

    /// There may be feedback.
    pub(crate) fn tell_feedback(&self, hub: HubId) {
        let inner = self.inner();
        let its = inner.wait_for_feedback.iter().filter(|(of, _)| *of == hub);
        for mailbox in its.filter_map(|(_, id)| inner.mailboxes.get(id)) {
            mailbox.tell(|notes| notes.feedback = true);
        }
    }

    /// Faults were set, and something is to happen to all connections of a protocol.
    pub(crate) fn tell_all(&self, all: impl Fn(Protocol) -> Option<AllConnections>) {
        for mailbox in self.inner().mailboxes.values() {
            mailbox.tell(|notes| {
                notes.faults = true;
                notes.all = all(mailbox.protocol);
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
    pub(crate) fn sit(&self, hub: HubId, group: &str, partition: usize, seat: Seat<ReaderKey>) -> Result<(), Error> {
        let mut inner = self.inner();
        let (id, link) = seat.key;
        let losers = inner.seats.entry(hub).or_default().sit(group, partition, seat)?;
        let place = Place { hub, group: group.to_owned(), partition, link };
        inner.readers.entry(id).or_default().push(place);
        for ((loser, link), error) in losers {
            inner.forget_reader(loser, link);
            if let Some(mailbox) = inner.mailboxes.get(&loser) {
                mailbox.tell(|notes| notes.unseated.push((link, error)));
            }
        }
        Ok(())
    }

    /// A reader is gone.
    pub(crate) fn stand_up(&self, id: ConnectionId, link: LinkId) {
        let mut inner = self.inner();
        if let Some(place) = inner.forget_reader(id, link) {
            inner.free(&place, id);
        }
    }
}

impl Inner {
    fn free(&mut self, place: &Place, id: ConnectionId) {
        if let Some(seats) = self.seats.get_mut(&place.hub) {
            seats.leave(&place.group, place.partition, &(id, place.link));
        }
    }

    fn forget_reader(&mut self, id: ConnectionId, link: LinkId) -> Option<Place> {
        let its = self.readers.get_mut(&id)?;
        let at = its.iter().position(|one| one.link == link)?;
        let place = its.swap_remove(at);
        if its.is_empty() {
            self.readers.remove(&id);
        }
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody is here.
    pub(super) fn directory() -> Directory {
        Directory::new(Arc::new(|| 0))
    }

    fn d1() -> Endpoint {
        Endpoint::device(HubId(0), "d1")
    }

    fn taken(mailbox: &Mailbox) -> Notes {
        std::mem::take(&mut *mailbox.notes.lock().unwrap())
    }

    #[test]
    fn the_newer_connection_owns_a_device_and_the_older_is_told_once() {
        let directory = Directory::new(Arc::new(|| 0));
        let ((a, at_a), (b, at_b)) = (directory.join(), directory.join());
        let first = directory.own(&d1(), a);
        directory.own(&d1(), a);
        assert!(taken(&at_a).stolen.is_empty(), "from itself");
        let second = directory.own(&d1(), b);
        assert!(second > first && taken(&at_a).stolen.get(&d1()) == Some(&second));
        directory.give_up(&d1(), a);
        directory.tell_owner(&d1());
        assert!(taken(&at_b).changed.contains(&d1()), "who lost it cannot give it up");
        assert!(taken(&at_a).changed.is_empty());
    }

    #[test]
    fn a_connection_that_is_gone_owns_nothing() {
        let directory = Directory::new(Arc::new(|| 0));
        let ((a, _), (b, _)) = (directory.join(), directory.join());
        directory.own(&d1(), a);
        directory.leave(a);
        directory.own(&d1(), b);
        assert_eq!((directory.counts(Protocol::Amqp), directory.inner().owners.len()), ((1, 2), 1));
    }

    #[tokio::test]
    async fn notes_are_merged_and_found_later() {
        let directory = Directory::new(Arc::new(|| 0));
        let (a, at_a) = directory.join();
        directory.own(&d1(), a);
        for _ in 0..3 {
            directory.tell_owner(&d1());
            directory.tell_all(|_| None);
        }
        let notes = at_a.notes().await;
        assert!(notes.changed.len() == 1 && notes.faults && notes.all.is_none());
    }

    #[test]
    fn only_the_owner_is_told_and_only_what_it_listens_to() {
        let directory = Directory::new(Arc::new(|| 0));
        let ((a, at_a), (b, at_b)) = (directory.join(), directory.join());
        let call = || Call { request_id: [7; 16], name: "reboot".to_owned(), payload: Bytes::new() };
        assert_eq!(directory.call(&d1(), call()), Err(CallFailed::NotOnline), "nobody is there");
        directory.own(&d1(), a);
        directory.tell_c2d(&d1());
        assert_eq!(directory.call(&d1(), call()), Err(CallFailed::NotOnline), "it does not listen");
        directory.listen(&d1(), b, Ears { methods: true, ..Ears::default() });
        assert_eq!(directory.call(&d1(), call()), Err(CallFailed::NotOnline), "another does");
        directory.listen(&d1(), a, Ears { c2d: true, methods: true, desired: true });
        assert!(taken(&at_a).c2d.is_empty(), "it did not listen then");
        directory.tell_c2d(&d1());
        for _ in 0..CALLS_MAX {
            assert_eq!(directory.call(&d1(), call()), Ok(()));
        }
        assert_eq!(directory.call(&d1(), call()), Err(CallFailed::TooMany));
        for version in 0..=DESIRED_MAX as u64 {
            directory.tell_desired(&d1(), DesiredChange { patch: Bytes::new(), version });
        }
        let notes = taken(&at_a);
        assert_eq!((notes.calls.len(), notes.c2d.len()), (CALLS_MAX, 1));
        assert_eq!(notes.desired.front().map(|(_, change)| change.version), Some(1), "the oldest is gone");
        directory.own(&d1(), b);
        assert_eq!(directory.call(&d1(), call()), Err(CallFailed::NotOnline), "ears do not pass on");
        assert!(
            directory.is_connected(&d1()) && directory.connected(HubId(0)) == 1 && directory.connected(HubId(1)) == 0
        );
        assert!(taken(&at_b).calls.is_empty());
    }
}
