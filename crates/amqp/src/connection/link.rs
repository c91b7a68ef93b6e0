//! What is known of a link: its ends' numbers, what waits to be sent, what has come in part.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::performative::{DeliveryState, Flow};

/// A link, either end.
#[derive(Debug)]
pub(crate) struct Link {
    /// Index of its session.
    pub(crate) session: u32,
    pub(crate) name: Arc<str>,
    /// It was refused before anybody above heard of it.
    pub(crate) is_unknown: bool,
    /// Our number for it.
    pub(crate) handle: u32,
    /// The peer's, once its attach came.
    pub(crate) remote_handle: Option<u32>,
    pub(crate) state: State,
    pub(crate) end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Our attach is out.
    Attaching,
    /// The peer's attach came; our side has not said anything.
    Offered,
    Attached,
    /// Our detach is out; the peer's has not come.
    Detaching,
}

/// Which end we are.
#[derive(Debug)]
pub(crate) enum End {
    Sender(Sender),
    Receiver(Receiver),
}

/// The sending end.
#[derive(Debug, Default)]
pub(crate) struct Sender {
    /// Deliveries begun so far.
    pub(crate) delivery_count: u32,
    pub(crate) credit: u32,
    /// The peer wants its credit used or back.
    pub(crate) drain: bool,
    /// In order. The first may be written in part.
    pub(crate) queue: VecDeque<Pending>,
    /// It stands in the connection's list of links that have something to send.
    pub(crate) is_listed: bool,
    /// Largest message that the peer takes, bytes.
    pub(crate) message_bytes_max: Option<u64>,
}

/// A delivery that is not written whole.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) number: u64,
    pub(crate) tag: Option<Bytes>,
    pub(crate) message_format: u32,
    pub(crate) settled: bool,
    pub(crate) payload: Bytes,
    /// Its delivery id, once its first frame is written.
    pub(crate) begun: Option<u64>,
    /// Taken back after it had begun: the peer has yet to be told.
    pub(crate) is_cancelled: bool,
}

impl Sender {
    /// The peer's view of the credit, corrected by what was begun since.
    pub(crate) fn grant(&mut self, flow: &Flow) {
        let Some(credit) = flow.link_credit else { return };
        let seen = flow.delivery_count.unwrap_or(0);
        let left = seen.wrapping_add(credit).wrapping_sub(self.delivery_count);
        // Over the half of the numbers: more was begun than this view of the peer grants.
        self.credit = if left > i32::MAX as u32 { 0 } else { left };
        self.drain = flow.drain;
    }

    pub(crate) fn has_something(&self) -> bool {
        self.queue.front().is_some_and(|first| self.credit > 0 || first.begun.is_some())
    }
}

/// The receiving end.
#[derive(Debug, Default)]
pub(crate) struct Receiver {
    /// The sender's count, as far as it is known here.
    pub(crate) delivery_count: u32,
    /// Whether the sender's count is known at all: its attach came.
    pub(crate) is_counted: bool,
    pub(crate) credit: u32,
    pub(crate) partial: Option<Partial>,
    /// Largest message that we take, bytes.
    pub(crate) message_bytes_max: Option<u64>,
    pub(crate) settles_second: bool,
}

/// A delivery that has not come whole.
#[derive(Debug)]
pub(crate) struct Partial {
    pub(crate) id: u32,
    pub(crate) tag: Bytes,
    pub(crate) message_format: u32,
    pub(crate) settled: bool,
    pub(crate) state: Option<DeliveryState>,
    /// Copied, so that a large delivery in small frames does not hold on to all that was read with them.
    pub(crate) payload: BytesMut,
}

impl Link {
    pub(crate) fn sender(&mut self) -> Option<&mut Sender> {
        match &mut self.end {
            End::Sender(sender) => Some(sender),
            End::Receiver(_) => None,
        }
    }

    pub(crate) fn receiver(&mut self) -> Option<&mut Receiver> {
        match &mut self.end {
            End::Receiver(receiver) => Some(receiver),
            End::Sender(_) => None,
        }
    }
}
