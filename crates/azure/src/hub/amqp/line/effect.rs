//! What a line tells.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Life, Ticket};
use crate::hub::amqp::theft::Tenure;
use crate::hub::{Delivered, SendError};
use crate::key::Signer;

#[derive(Debug)]
pub(in crate::hub::amqp) enum Effect {
    /// A message's outcome. The last that is heard of its ticket.
    Done(Ticket, Result<Delivered, SendError>),
    /// Somebody else has taken a device. Comes before the outcomes that follow from it.
    Stolen { name: Arc<str>, epoch: u64, tenure: Tenure },
    /// A device is here no more; all its messages have had their outcome.
    Gone { name: Arc<str>, epoch: u64 },
    /// The hub takes no more devices on this connection. The device is here no more, its messages are not sent yet.
    Displaced { name: Arc<str>, epoch: u64, key: Arc<Signer>, messages: Vec<(Ticket, Bytes)> },
    /// A device's token wants to be renewed before it expires: [`super::Line::renew`] or [`super::Line::forget`].
    RenewalDue { name: Arc<str>, epoch: u64, life: Life, expires: Duration },
    /// Nothing has come over this connection for as long as a message waits for its answer; or something has come again.
    Suspected(bool),
    /// The end of the connection, and the devices that were on it; all messages have had their outcome.
    Over { error: SendError, devices: Vec<(Arc<str>, u64)> },
}

/// What a line has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::hub::amqp) struct Figures {
    /// Devices with a link.
    pub(in crate::hub::amqp) attached: usize,
    /// Devices on their way there.
    pub(in crate::hub::amqp) opening: usize,
    /// Messages without an outcome.
    pub(in crate::hub::amqp) unsettled: usize,
    /// Tokens renewed so far.
    pub(in crate::hub::amqp) renewals: u64,
}
