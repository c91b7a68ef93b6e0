//! The receiving end: credit, and what became of deliveries; and what a session says in passing.

use crate::performative::{DeliveryState, Performative};

use super::link::{End as LinkEnd, State as LinkState};
use super::session::State as SessionState;
use super::{Connection, LinkId};

/// The receiving end.
impl Connection {
    /// At a receiver: takes so many more deliveries than have come (credit is set, not added).
    pub fn credit(&mut self, link: LinkId, credit: u32) {
        self.set_credit(link, credit, false);
    }

    /// At a receiver: as [`Connection::credit`], and what the sender cannot use at once it gives back:
    /// [`super::Event::Drained`] follows.
    pub fn drain(&mut self, link: LinkId, credit: u32) {
        self.set_credit(link, credit, true);
    }

    fn set_credit(&mut self, link: LinkId, credit: u32, drain: bool) {
        if !self.links.holds(link.index, link.generation) {
            return;
        }
        let Some(its) = self.links.get_mut(link.index) else { return };
        let (session, state) = (its.session, its.state);
        let Some(receiver) = its.receiver() else { return };
        if matches!(state, LinkState::Attaching | LinkState::Attached) {
            receiver.credit = credit;
            self.say_flow_drain(session, Some(link.index), drain);
        }
    }

    /// Credit that the sender has left, seen from either end; at a sender what waits inside is to be taken from it.
    pub fn credit_left(&self, link: LinkId) -> u32 {
        let its = self.links.get(link.index).filter(|_| self.links.holds(link.index, link.generation));
        match its.map(|its| &its.end) {
            Some(LinkEnd::Receiver(receiver)) => receiver.credit,
            Some(LinkEnd::Sender(sender)) => sender.credit,
            None => 0,
        }
    }

    /// At a receiver: a delivery has begun to come and has not come whole.
    pub fn is_receiving(&self, link: LinkId) -> bool {
        match self.links.get(link.index).map(|its| &its.end) {
            Some(LinkEnd::Receiver(receiver)) if self.links.holds(link.index, link.generation) => {
                receiver.partial.is_some()
            }
            _ => false,
        }
    }

    /// At a receiver: says what became of a delivery. Neighbours with the same state are told together.
    pub fn settle(&mut self, link: LinkId, delivery: u32, state: DeliveryState) {
        if !self.links.holds(link.index, link.generation) {
            return;
        }
        let Some(its) = self.links.get_mut(link.index) else { return };
        let at_session = its.session;
        let Some(receiver) = its.receiver() else { return };
        let settled = !receiver.settles_second;
        let Some(session) = self.sessions.get_mut(at_session) else { return };
        let Some(at) = session.unanswered.iter().position(|one| *one == (delivery, link.index)) else { return };
        session.unanswered.remove(at);
        let channel = session.channel;
        if let Some(before) = session.say(delivery, settled, state) {
            self.put(channel, &Performative::Disposition(before));
        }
        self.list_speaker(at_session);
    }
}

/// What is said in passing.
impl Connection {
    pub(super) fn list_speaker(&mut self, index: u32) {
        let id = self.session_id(index);
        if let Some(session) = self.sessions.get_mut(index)
            && !std::mem::replace(&mut session.is_listed, true)
        {
            self.speakers.push(id);
        }
    }

    /// Answers that were put together, and windows.
    pub(super) fn speak(&mut self) {
        for id in std::mem::take(&mut self.speakers) {
            if self.sessions.holds(id.index, id.generation) {
                self.say_what_is_due(id.index);
            }
        }
    }

    pub(super) fn say_what_is_due(&mut self, index: u32) {
        let Some(session) = self.sessions.get_mut(index) else { return };
        session.is_listed = false;
        if session.state != SessionState::Active {
            return;
        }
        let channel = session.channel;
        let (answer, reopen) = (session.to_say.take(), session.should_reopen());
        if let Some(answer) = answer {
            self.put(channel, &Performative::Disposition(answer));
        }
        if reopen {
            self.say_flow(index, None);
        }
    }

    pub(super) fn say_flow(&mut self, index: u32, link: Option<u32>) {
        self.say_flow_drain(index, link, false);
    }

    fn say_flow_drain(&mut self, index: u32, link: Option<u32>, drain: bool) {
        let Some(session) = self.sessions.get_mut(index).filter(|session| session.state != SessionState::Ending) else {
            return;
        };
        session.window_left = session.window;
        let channel = session.channel;
        let mut flow = session.flow();
        if let Some(link) = link.and_then(|at| self.links.get(at)) {
            flow.handle = Some(link.handle);
            flow.drain = drain;
            match &link.end {
                LinkEnd::Sender(sender) => {
                    flow.delivery_count = Some(sender.delivery_count);
                    flow.link_credit = Some(sender.credit);
                    flow.available = Some(u32::try_from(sender.queue.len()).unwrap_or(u32::MAX));
                    flow.drain = sender.drain;
                }
                LinkEnd::Receiver(receiver) => {
                    flow.delivery_count = receiver.is_counted.then_some(receiver.delivery_count);
                    flow.link_credit = Some(receiver.credit);
                }
            }
        }
        self.put(channel, &Performative::Flow(flow));
    }
}
