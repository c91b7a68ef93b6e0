//! What is to be done at a later time: answers that a fault or a slow hub holds back.

use std::collections::BTreeMap;
use std::time::Duration;

use amqp::connection::{LinkId, SessionId};
use amqp::performative::{Attach, DeliveryState, Error};
use bytes::Bytes;

use super::links::Service;
use crate::endpoint::Endpoint;

/// Answers that wait on one connection. More are given at once. Each is about 200 bytes with what it carries (an attach
/// 1 KiB): 20 MB at worst, and no client has so many unsettled.
const WAITING_MAX: usize = 20_000;

/// What is to be done.
#[derive(Debug)]
pub(super) enum Job {
    /// An attach is to be looked at.
    Attach(SessionId, LinkId, Box<Attach>),
    /// A message is to be answered.
    Settle(LinkId, u32, DeliveryState),
    /// A device is to lose its links here.
    LetGo(Box<(Endpoint, Error)>),
    /// A request about a twin is to be answered: the link on which it came, what.
    TwinAnswer(LinkId, Bytes),
    /// A request is to be answered: whose, where to, what.
    Reply(Service, Option<String>, Bytes),
}

/// In the order in which it is due; what is due at the same time in the order in which it came.
#[derive(Debug, Default)]
pub(super) struct Later {
    jobs: BTreeMap<(Duration, u64), Job>,
    next: u64,
}

impl Later {
    /// Gives the job back when there is no room: it is to be done now.
    pub(super) fn push(&mut self, due: Duration, job: Job) -> Result<(), Job> {
        if self.jobs.len() >= WAITING_MAX {
            return Err(job);
        }
        self.next += 1;
        self.jobs.insert((due, self.next), job);
        Ok(())
    }

    /// The next that is due.
    pub(super) fn take(&mut self, at: Duration) -> Option<Job> {
        let first = self.jobs.first_entry().filter(|first| first.key().0 <= at)?;
        Some(first.remove())
    }

    pub(super) fn next_due(&self) -> Option<Duration> {
        self.jobs.first_key_value().map(|((due, _), _)| *due)
    }
}
