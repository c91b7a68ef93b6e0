//! What the peer's frames do.

use bytes::Bytes;

use crate::performative::{Disposition, Error, Flow, Performative, Role, Transfer};

use super::link::{Partial, State as LinkState};
use super::session::State as SessionState;
use super::{Broken, Connection, Delivery, Event, Fate, LinkId, RemoteChannel, Sent, SessionId, broken, options};

/// The specification's bound of a delivery tag.
const TAG_BYTES_MAX: usize = 32;

/// Something that ends a session, not the connection.
pub(super) struct Misuse(pub(super) Error);

pub(super) fn misuse(condition: &'static str, description: &str) -> Misuse {
    Misuse(options::error(condition, description))
}

impl Connection {
    pub(super) fn performative(
        &mut self,
        channel: u16,
        performative: Performative,
        payload: Bytes,
    ) -> Result<(), Broken> {
        let known = self.by_remote_channel.get(usize::from(channel)).copied().unwrap_or_default();
        let index = match (known, &performative) {
            (_, Performative::Open(_)) => return Err(broken("amqp:not-allowed", "the connection is open already")),
            (_, Performative::Begin(_)) => {
                let Performative::Begin(begin) = performative else { return Ok(()) };
                return self.begun(channel, begin);
            }
            (RemoteChannel::Session(index), _) => index,
            (RemoteChannel::Ended, _) => return Ok(()),
            (RemoteChannel::Never, _) => return Err(broken("amqp:not-allowed", "no session began on this channel")),
        };
        let is_ending = self.sessions.get(index).is_some_and(|session| session.state == SessionState::Ending);
        let outcome = match performative {
            Performative::End(end) => {
                self.ended_by_peer(index, end.error);
                return Ok(());
            }
            _ if is_ending => Ok(()), // on its way before the peer knew
            Performative::Attach(attach) => self.attached(index, attach),
            Performative::Flow(flow) => self.flowed(index, &flow),
            Performative::Transfer(transfer) => self.transferred(index, transfer, payload)?,
            Performative::Disposition(disposition) => {
                self.disposed(index, disposition);
                Ok(())
            }
            Performative::Detach(detach) => {
                self.detached(index, detach);
                Ok(())
            }
            Performative::Open(_) | Performative::Begin(_) | Performative::Close(_) => Ok(()),
        };
        if let Err(Misuse(error)) = outcome {
            self.end(self.session_id(index), Some(error));
        }
        Ok(())
    }

    fn flowed(&mut self, index: u32, flow: &Flow) -> Result<(), Misuse> {
        let Some(session) = self.sessions.get_mut(index) else { return Ok(()) };
        if session.open_window(flow) {
            for link in session.by_handle.clone().into_iter().flatten() {
                self.list_sender(link);
            }
        }
        match flow.handle {
            Some(handle) => self.flowed_on_link(index, handle, flow),
            None => {
                if flow.echo {
                    self.say_flow(index, None);
                }
                Ok(())
            }
        }
    }

    fn flowed_on_link(&mut self, index: u32, handle: u32, flow: &Flow) -> Result<(), Misuse> {
        let link = self.sessions.get(index).and_then(|session| session.link_of(handle));
        // A link that was just detached: its last words crossed ours.
        let Some(at) = link else { return Ok(()) };
        let id = self.link_id(at);
        let Some(link) = self.links.get_mut(at).filter(|link| link.state != LinkState::Detaching) else {
            return Ok(());
        };
        match &mut link.end {
            super::link::End::Sender(sender) => {
                sender.grant(flow);
                let credit = sender.credit;
                self.events.push_back(Event::Credit(id, credit));
                self.list_sender(at);
                self.give_back_credit(at);
            }
            super::link::End::Receiver(receiver) => {
                if let Some(count) = flow.delivery_count {
                    let used = count.wrapping_sub(receiver.delivery_count);
                    receiver.delivery_count = count;
                    receiver.credit = receiver.credit.saturating_sub(used);
                    if flow.drain && receiver.credit == 0 {
                        self.events.push_back(Event::Drained(id));
                    }
                }
            }
        }
        if flow.echo {
            self.say_flow(index, Some(at));
        }
        Ok(())
    }

    /// One frame of a delivery.
    fn transferred(&mut self, index: u32, transfer: Transfer, payload: Bytes) -> Result<Result<(), Misuse>, Broken> {
        let Some(session) = self.sessions.get_mut(index) else { return Ok(Ok(())) };
        if !session.took_one() {
            return Ok(Err(misuse("amqp:session:window-violation", "a transfer came that the window had no room for")));
        }
        if session.should_reopen() {
            self.list_speaker(index);
        }
        let at = self.sessions.get(index).and_then(|session| session.link_of(transfer.handle));
        let Some(at) = at else {
            return Ok(Err(misuse("amqp:session:unattached-handle", "a transfer came on a link that is not attached")));
        };
        match self.take_part(at, transfer, payload) {
            Ok(()) => {}
            Err(Part::OfNoUse) => {}
            Err(Part::Session(misuse)) => return Ok(Err(misuse)),
            Err(Part::Link(error)) => self.detach(self.link_id(at), true, Some(error)),
        }
        if self.partial_bytes > self.options.partial_bytes_max {
            return Err(broken("amqp:resource-limit-exceeded", "too many unfinished deliveries"));
        }
        Ok(Ok(()))
    }

    fn take_part(&mut self, at: u32, transfer: Transfer, payload: Bytes) -> Result<(), Part> {
        let id = self.link_id(at);
        let link = self.links.get_mut(at).ok_or(Part::OfNoUse)?;
        if link.state == LinkState::Detaching {
            return Err(Part::OfNoUse);
        }
        let session = link.session;
        let not_ours = || Part::Session(misuse("amqp:not-allowed", "a transfer came from the receiving end"));
        let receiver = link.receiver().ok_or_else(not_ours)?;
        let is_first = receiver.partial.is_none();
        if is_first {
            receiver.partial = Some(receiver.first_part(&transfer)?);
        }
        let Some(partial) = &mut receiver.partial else { return Err(Part::OfNoUse) };
        if transfer.delivery_id.is_some_and(|other| other != partial.id) {
            return Err(Part::Session(misuse("amqp:invalid-field", "a delivery began before the last one had ended")));
        }
        partial.settled |= transfer.settled == Some(true);
        let length = partial.payload.len() + payload.len();
        if receiver.message_bytes_max.is_some_and(|most| length as u64 > most) {
            return Err(Part::Link(options::error("amqp:link:message-size-exceeded", "the message is too large")));
        }
        if transfer.more && !transfer.aborted {
            partial.payload.extend_from_slice(&payload);
            self.partial_bytes += payload.len();
            return Ok(());
        }
        let Some(partial) = receiver.partial.take() else { return Err(Part::OfNoUse) };
        self.partial_bytes -= partial.payload.len();
        if !transfer.aborted {
            self.delivered(session, id, partial, payload);
        }
        Ok(())
    }

    fn delivered(&mut self, session: u32, link: LinkId, partial: Partial, last: Bytes) {
        let Partial { id, tag, message_format, settled, state, payload: mut before } = partial;
        let payload = if before.is_empty() {
            last // the usual case: no copy
        } else {
            before.extend_from_slice(&last);
            before.freeze()
        };
        if !settled && let Some(session) = self.sessions.get_mut(session) {
            session.unanswered.push_back((id, link.index));
        }
        let delivery = Delivery { id, tag, message_format, settled, state, payload };
        self.events.push_back(Event::Delivered(link, delivery));
    }

    fn disposed(&mut self, index: u32, disposition: Disposition) {
        // What the peer says of its own deliveries changes nothing: we have forgotten them with our answer.
        if disposition.role == Role::Sender {
            return;
        }
        let Disposition { first, last, settled, state, .. } = disposition;
        let is_final = !matches!(state, None | Some(crate::performative::DeliveryState::Received { .. }));
        if !settled && !is_final {
            return;
        }
        let Some(session) = self.sessions.get_mut(index) else { return };
        let channel = session.channel;
        if !settled && !self.options.agrees_with_second {
            let asked: Vec<_> = session.unsettled_among(first, last.unwrap_or(first)).collect();
            for one in asked {
                let sent = Sent { link: self.link_id(one.link), number: one.number };
                self.events.extend(state.clone().map(|state| Event::Asked(sent, state)));
            }
            return;
        }
        for one in session.take_unsettled(first, last.unwrap_or(first)) {
            let link = LinkId { index: one.link, generation: self.links.generation(one.link) };
            let sent = Sent { link, number: one.number };
            self.events.push_back(Event::Done(sent, Fate::Settled(state.clone())));
        }
        if !settled {
            // It settles second: it waits for our word.
            let answer = Disposition { role: Role::Sender, first, last, settled: true, state, batchable: false };
            self.put(channel, &Performative::Disposition(answer));
        }
    }

    pub(super) fn session_id(&self, index: u32) -> SessionId {
        SessionId { index, generation: self.sessions.generation(index) }
    }

    pub(super) fn link_id(&self, index: u32) -> LinkId {
        LinkId { index, generation: self.links.generation(index) }
    }
}

/// Why a part of a delivery was not taken.
enum Part {
    /// The link is going away.
    OfNoUse,
    Link(Error),
    Session(Misuse),
}

impl super::link::Receiver {
    fn first_part(&mut self, transfer: &Transfer) -> Result<Partial, Part> {
        let invalid = |what| Part::Session(misuse("amqp:invalid-field", what));
        let id = transfer.delivery_id.ok_or_else(|| invalid("the first transfer of a delivery has no delivery-id"))?;
        let tag = transfer.delivery_tag.clone().unwrap_or_default();
        if tag.len() > TAG_BYTES_MAX {
            return Err(invalid("a delivery-tag has at most 32 bytes"));
        }
        if self.credit == 0 {
            let words = "a delivery came without credit";
            return Err(Part::Link(options::error("amqp:link:transfer-limit-exceeded", words)));
        }
        self.credit -= 1;
        self.delivery_count = self.delivery_count.wrapping_add(1);
        Ok(Partial {
            id,
            tag,
            message_format: transfer.message_format.unwrap_or(0),
            settled: false,
            state: transfer.state.clone(),
            payload: bytes::BytesMut::new(),
        })
    }
}
