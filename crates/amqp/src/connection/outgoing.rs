//! The sending end: deliveries to frames.

use bytes::Bytes;

use crate::frame;
use crate::performative::{DeliveryState, Disposition, Performative, Role, Transfer};

use super::link::{Pending, State as LinkState};
use super::session::{State as SessionState, Unsettled};
use super::{Connection, Event, Fate, LinkId, OUTPUT_BYTES, Outgoing, Sent, options};

/// What a transfer's frame has besides payload: frame header 8, descriptor 3, list 9, handle and delivery id 10, tag 34,
/// format 5, flags and nulls 6; the rest is for peace of mind.
const TRANSFER_OVERHEAD: usize = 96;

impl Connection {
    /// Takes a message to be sent when credit and windows allow, in order. `None` when the link has gone, or receives.
    pub fn send(&mut self, link: LinkId, message: Outgoing) -> Option<Sent> {
        if !self.links.holds(link.index, link.generation) {
            return None;
        }
        let its = self.links.get_mut(link.index).filter(|its| its.state != LinkState::Detaching)?;
        let number = self.next_number;
        let Outgoing { payload, message_format, settled, tag } = message;
        its.sender()?.queue.push_back(Pending {
            number,
            tag,
            message_format,
            settled,
            payload,
            begun: None,
            is_cancelled: false,
        });
        self.next_number += 1;
        self.list_sender(link.index);
        Some(Sent { link, number })
    }

    /// Takes a delivery back if it is not written whole yet: [`Fate::Cancelled`] follows, else its own fate.
    pub fn cancel(&mut self, sent: Sent) {
        if !self.links.holds(sent.link.index, sent.link.generation) {
            return;
        }
        let Some(sender) = self.links.get_mut(sent.link.index).and_then(super::link::Link::sender) else { return };
        let Some(at) = sender.queue.iter().position(|one| one.number == sent.number && !one.is_cancelled) else {
            return;
        };
        if sender.queue[at].begun.is_some() {
            sender.queue[at].is_cancelled = true; // the peer is told in its turn
            sender.queue[at].payload = Bytes::new();
        } else {
            sender.queue.remove(at);
        }
        self.events.push_back(Event::Done(sent, Fate::Cancelled));
    }

    /// Says the last word on a delivery that is written and not settled, whether its receiver has spoken or not.
    /// [`Fate::Settled`] with it follows.
    pub fn conclude(&mut self, sent: Sent, state: DeliveryState) {
        if !self.links.holds(sent.link.index, sent.link.generation) {
            return;
        }
        let session = self.links.get(sent.link.index).map(|link| link.session);
        let Some(session) = session.and_then(|session| self.sessions.get_mut(session)) else { return };
        let Some(at) = session.unsettled.iter().position(|one| one.number == sent.number) else { return };
        let Some(one) = session.unsettled.remove(at) else { return };
        let channel = session.channel;
        #[expect(clippy::cast_possible_truncation, reason = "the wire has the lower half")]
        let first = one.id as u32;
        let state = Some(state);
        self.events.push_back(Event::Done(sent, Fate::Settled(state.clone())));
        let word = Disposition { role: Role::Sender, first, last: None, settled: true, state, batchable: false };
        self.put(channel, &Performative::Disposition(word));
    }

    /// Deliveries that wait on a link for credit, windows or the socket.
    pub fn waiting(&self, link: LinkId) -> usize {
        match self.links.get(link.index).map(|its| &its.end) {
            Some(super::link::End::Sender(sender)) if self.links.holds(link.index, link.generation) => {
                sender.queue.len()
            }
            _ => 0,
        }
    }

    /// It stands in line, once, if it may send.
    pub(super) fn list_sender(&mut self, at: u32) {
        let id = self.link_id(at);
        if !self.may_send(at) {
            return;
        }
        if let Some(sender) = self.links.get_mut(at).and_then(super::link::Link::sender)
            && !std::mem::replace(&mut sender.is_listed, true)
        {
            self.senders.push_back(id);
        }
    }

    fn may_send(&mut self, at: u32) -> bool {
        let Some(link) = self.links.get_mut(at).filter(|link| link.state == LinkState::Attached) else { return false };
        let session = link.session;
        link.sender().is_some_and(|sender| sender.has_something())
            && self.sessions.get(session).is_some_and(|its| its.state == SessionState::Active && its.remote_window > 0)
    }

    /// One delivery of each link in turn, until there is enough to write.
    pub(super) fn transfer_deliveries(&mut self) {
        while self.out.len() < OUTPUT_BYTES
            && let Some(id) = self.senders.pop_front()
        {
            if !self.links.holds(id.index, id.generation) {
                continue;
            }
            if let Some(sender) = self.links.get_mut(id.index).and_then(super::link::Link::sender) {
                sender.is_listed = false;
            }
            if self.may_send(id.index) {
                self.transfer_one(id);
                self.list_sender(id.index);
                self.give_back_credit(id.index);
            }
        }
    }

    /// Writes the frames of a link's first delivery, as far as window and output go.
    fn transfer_one(&mut self, id: LinkId) {
        let chunk = self.peer.frame_bytes_max.saturating_sub(TRANSFER_OVERHEAD).max(1);
        let Self { links, sessions, out, events, .. } = self;
        let Some(link) = links.get_mut(id.index) else { return };
        let (handle, session) = (link.handle, link.session);
        let (Some(sender), Some(session)) = (link.sender(), sessions.get_mut(session)) else { return };
        let Some(mut first) = sender.queue.pop_front() else { return };
        let sent = Sent { link: id, number: first.number };
        if first.begun.is_none() && sender.message_bytes_max.is_some_and(|most| first.payload.len() as u64 > most) {
            let error = options::error("amqp:link:message-size-exceeded", "the message is larger than the link takes");
            events.push_back(Event::Done(sent, Fate::Settled(Some(DeliveryState::Rejected(Some(error))))));
            return;
        }
        while session.remote_window > 0 && out.len() < OUTPUT_BYTES {
            let is_first = first.begun.is_none();
            let delivery_id = *first.begun.get_or_insert_with(|| {
                sender.delivery_count = sender.delivery_count.wrapping_add(1);
                sender.credit -= 1;
                session.next_delivery += 1;
                session.next_delivery - 1
            });
            let part = first.payload.split_to(first.payload.len().min(chunk));
            let more = !first.payload.is_empty();
            #[expect(clippy::cast_possible_truncation, reason = "the wire has the lower half")]
            let transfer = Transfer {
                handle,
                delivery_id: Some(delivery_id as u32),
                delivery_tag: is_first.then(|| first.tag.take().unwrap_or_else(|| tag(first.number))),
                message_format: is_first.then_some(first.message_format),
                settled: Some(first.settled),
                more,
                aborted: first.is_cancelled,
                ..Transfer::default()
            };
            frame::put_frame(out, session.channel, &Performative::Transfer(transfer), &part);
            session.sent_one();
            if more {
                continue;
            }
            match (first.is_cancelled, first.settled) {
                (true, _) => {}
                (false, true) => events.push_back(Event::Done(sent, Fate::Unanswered)),
                (false, false) => {
                    session.unsettled.push_back(Unsettled { id: delivery_id, link: id.index, number: first.number });
                }
            }
            return;
        }
        sender.queue.push_front(first);
    }

    /// A sender that was asked to drain and has nothing more gives its credit back.
    pub(super) fn give_back_credit(&mut self, at: u32) {
        let Some(link) = self.links.get_mut(at).filter(|link| link.state == LinkState::Attached) else { return };
        let session = link.session;
        let Some(sender) = link.sender() else { return };
        if !sender.drain || !sender.queue.is_empty() {
            return;
        }
        sender.delivery_count = sender.delivery_count.wrapping_add(sender.credit);
        sender.credit = 0;
        self.say_flow(session, Some(at));
        if let Some(sender) = self.links.get_mut(at).and_then(super::link::Link::sender) {
            sender.drain = false;
        }
    }
}

/// Unique on its link, as the specification asks: a number, eight bytes.
fn tag(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}
