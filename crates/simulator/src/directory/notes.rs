//! What a connection is told of others, and where it finds it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use amqp::connection::LinkId;
use amqp::performative::Error;
use bytes::Bytes;
use tokio::sync::Notify;

use super::{Claim, Protocol};
use crate::endpoint::Endpoint;
use crate::faults::AllConnections;

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
    /// The time was put forward.
    pub(crate) time: bool,
    /// Faults were set.
    pub(crate) faults: bool,
    /// What is to happen to all.
    pub(crate) all: Option<AllConnections>,
}

/// Where a connection finds its notes.
#[derive(Debug)]
pub(crate) struct Mailbox {
    pub(super) protocol: Protocol,
    /// Who has dialled; none where there is no socket.
    pub(super) peer: Option<SocketAddr>,
    notes: Mutex<Notes>,
    bell: Notify,
}

impl Mailbox {
    pub(super) fn new(protocol: Protocol, peer: Option<SocketAddr>) -> Self {
        Self { protocol, peer, notes: Mutex::default(), bell: Notify::new() }
    }

    pub(super) fn tell(&self, write: impl FnOnce(&mut Notes)) {
        write(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner));
        self.bell.notify_one();
    }

    /// Waits until there may be notes, and takes them.
    pub(crate) async fn notes(&self) -> Notes {
        self.bell.notified().await;
        self.take()
    }

    pub(super) fn take(&self) -> Notes {
        std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
