//! All connections of devices, services and readers, and what they have to know of each other.
//!
//! Promises: a device has one owner over all protocols, the connection that spoke for it last; the one before is told.
//! Notes to a connection are merged where they can be (a device is named once however often it changes) and bounded where
//! they cannot, so that a mailbox stays as small as what its connection has. Never waits. Knows no protocol, but that
//! readers of events are links.

mod notes; // what a connection is told, and where it finds it
mod readers; // who reads events beside whom
mod thefts; // which connection took a device from which
mod turns; // who began or ceased to speak for a device
mod wants; // waiting until somebody listens

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

pub(crate) use notes::{Call, CallFailed, DesiredChange, Ears, Mailbox, Notes};
use readers::{Place, ReaderKey};
use thefts::Thefts;
pub(crate) use thefts::{Side, Theft};
pub(crate) use turns::Turn;
use turns::Turns;

use crate::amqp::readers::Seats;
use crate::endpoint::{Endpoint, HubId};
use crate::faults::AllConnections;
use crate::time::Time;

/// Direct methods that a connection has not taken yet. Each has at most 128 KiB: 32 MiB at worst, and a connection takes
/// them as fast as it can write.
const CALLS_MAX: usize = 256;
/// Desired changes that a connection has not taken yet, at most 32 KiB each: 8 MiB. The oldest go first, as if they had come
/// while the device was away: it finds out by `$version`.
const DESIRED_MAX: usize = 256;

/// One of the connections since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ConnectionId(u64);

impl ConnectionId {
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

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

/// All connections.
pub(crate) struct Directory {
    inner: Mutex<Inner>,
    time: Arc<Time>,
}

/// What is gone through stands in order, so that who is told first does not depend on chance.
#[derive(Debug, Default)]
struct Inner {
    ever: u64,
    ever_by: BTreeMap<Protocol, u64>,
    claims: u64,
    mailboxes: BTreeMap<ConnectionId, Arc<Mailbox>>,
    owners: BTreeMap<Endpoint, Owner>,
    seats: HashMap<HubId, Seats<ReaderKey>>,
    readers: BTreeMap<ConnectionId, Vec<Place>>,
    wait_for_feedback: BTreeSet<(HubId, ConnectionId)>,
    turns: Turns,
    thefts: Thefts,
    /// Rings when somebody listens for methods.
    wants: HashMap<Endpoint, Arc<Notify>>,
}

/// Who speaks for an endpoint.
#[derive(Clone, Copy, Debug)]
struct Owner {
    connection: ConnectionId,
    ears: Ears,
}

impl Inner {
    fn side(&self, connection: ConnectionId) -> Side {
        Side { connection, peer: self.mailboxes.get(&connection).and_then(|mailbox| mailbox.peer) }
    }
}

impl Directory {
    pub(crate) fn new(time: Arc<Time>) -> Self {
        Self { inner: Mutex::default(), time }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection of AMQP.
    #[cfg(test)]
    pub(crate) fn join(&self) -> (ConnectionId, Arc<Mailbox>) {
        self.join_as(Protocol::Amqp, None)
    }

    /// A new connection.
    pub(crate) fn join_as(&self, protocol: Protocol, peer: Option<SocketAddr>) -> (ConnectionId, Arc<Mailbox>) {
        let mut inner = self.inner();
        inner.ever += 1;
        *inner.ever_by.entry(protocol).or_default() += 1;
        let id = ConnectionId(inner.ever);
        let mailbox = Arc::new(Mailbox::new(protocol, peer));
        inner.mailboxes.insert(id, Arc::clone(&mailbox));
        (id, mailbox)
    }

    /// A connection is gone, with all that it had.
    pub(crate) fn leave(&self, id: ConnectionId) {
        let now_ms = self.time.now_ms();
        let mut inner = self.inner();
        inner.mailboxes.remove(&id);
        let gone: Vec<Endpoint> =
            inner.owners.extract_if(.., |_, owner| owner.connection == id).map(|(of, _)| of).collect();
        gone.iter().for_each(|endpoint| inner.turns.note(endpoint, false, now_ms));
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
        let now_ms = self.time.now_ms();
        let mut inner = self.inner();
        inner.claims += 1;
        let claim = Claim(inner.claims);
        let ears = inner.owners.get(endpoint).filter(|owner| owner.connection == me).map(|owner| owner.ears);
        let owner = Owner { connection: me, ears: ears.unwrap_or_default() };
        let before = inner.owners.insert(endpoint.clone(), owner);
        inner.turns.owned(endpoint, me, before.map(|before| before.connection), now_ms);
        let before = before.filter(|before| before.connection != me);
        let before = before.and_then(|before| Some((before.connection, inner.mailboxes.get(&before.connection)?)));
        if let Some((before_id, mailbox)) = before {
            mailbox.tell(|notes| {
                notes.stolen.insert(endpoint.clone(), claim);
            });
            let (from, to) = (inner.side(before_id), inner.side(me));
            inner.thefts.note(Theft { endpoint: endpoint.clone(), at_ms: now_ms, from, to });
        }
        claim
    }

    /// How often each device was taken from a connection that was still there.
    pub(crate) fn thefts(&self) -> BTreeMap<String, u64> {
        self.inner().thefts.by_device().clone()
    }

    /// How often that was, of all, and what is known of the newest.
    pub(crate) fn newest_thefts(&self) -> (u64, Vec<Theft>) {
        let inner = self.inner();
        (inner.thefts.ever(), inner.thefts.newest().cloned().collect())
    }

    /// A connection does not speak for an endpoint any more.
    pub(crate) fn give_up(&self, endpoint: &Endpoint, me: ConnectionId) {
        let now_ms = self.time.now_ms();
        let mut inner = self.inner();
        if inner.owners.get(endpoint).is_some_and(|owner| owner.connection == me) {
            inner.owners.remove(endpoint);
            inner.turns.note(endpoint, false, now_ms);
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

    /// The time was put forward.
    pub(crate) fn tell_time(&self) {
        for mailbox in self.inner().mailboxes.values() {
            mailbox.tell(|notes| notes.time = true);
        }
    }
}

#[cfg(test)]
mod tests;
