//! How links come and go, ours and the peer's.

use std::sync::Arc;

use crate::performative::{Attach, Detach, Error, Performative, ReceiverSettles, Role, Target};

use super::incoming::{Misuse, misuse};
use super::link::{End as LinkEnd, Link, Receiver, Sender, State as LinkState};
use super::session::State as SessionState;
use super::{Connection, Detachment, Event, Full, LinkId, SessionId, Terms, options};

impl Connection {
    /// Attaches a link. Deliveries can be sent at once; they go when there is credit.
    ///
    /// # Errors
    /// No more fit, or the session ends.
    pub fn attach(&mut self, session: SessionId, terms: Terms) -> Result<LinkId, Full> {
        let is_there = self.sessions.holds(session.index, session.generation);
        let its = self.sessions.get(session.index).filter(|its| is_there && its.state != SessionState::Ending);
        let its = its.ok_or(Full::Ended)?;
        if self.links.len() >= self.options.links_max {
            return Err(Full::Links);
        }
        let handle = its.free_handle(self.options.handle_max).ok_or(Full::Links)?;
        if self.names.contains_key(&(session.index, terms.role, terms.name.as_str().into())) {
            return Err(Full::Name);
        }
        let at = self.new_link(session.index, handle, &terms, LinkState::Attaching);
        self.say_attach(at, terms, handle);
        Ok(self.link_id(at))
    }

    fn new_link(&mut self, session: u32, handle: u32, terms: &Terms, state: LinkState) -> u32 {
        let end = match terms.role {
            Role::Sender => LinkEnd::Sender(Sender::default()),
            Role::Receiver => LinkEnd::Receiver(receiver(terms)),
        };
        let name: Arc<str> = terms.name.as_str().into();
        let (at, _) = self.links.insert(Link {
            session,
            name: name.clone(),
            is_unknown: false,
            handle,
            remote_handle: None,
            state,
            end,
        });
        self.names.entry((session, terms.role, name)).or_insert(at);
        if state != LinkState::Offered
            && let Some(session) = self.sessions.get_mut(session)
        {
            session.set_handle(handle, Some(at));
        }
        at
    }

    fn say_attach(&mut self, at: u32, terms: Terms, handle: u32) {
        let attach = Attach {
            name: terms.name,
            handle,
            role: terms.role,
            snd_settle_mode: terms.snd_settle_mode,
            rcv_settle_mode: terms.rcv_settle_mode,
            source: terms.source,
            target: terms.target,
            initial_delivery_count: (terms.role == Role::Sender).then_some(0),
            max_message_size: terms.max_message_size,
            offered_capabilities: terms.offered_capabilities,
            desired_capabilities: terms.desired_capabilities,
            properties: terms.properties,
        };
        let Some(channel) = self.channel_of(at) else { return };
        self.put(channel, &Performative::Attach(Box::new(attach)));
    }

    fn channel_of(&self, at: u32) -> Option<u16> {
        Some(self.sessions.get(self.links.get(at)?.session)?.channel)
    }

    /// The peer's attach: the answer to ours, or its own.
    pub(super) fn attached(&mut self, index: u32, attach: Box<Attach>) -> Result<(), Misuse> {
        let Some(session) = self.sessions.get(index) else { return Ok(()) };
        if attach.handle > self.options.handle_max {
            return Err(misuse("amqp:not-allowed", "the handle is higher than handle-max"));
        }
        if session.link_of(attach.handle).is_some() {
            return Err(misuse("amqp:session:handle-in-use", "a link has this handle already"));
        }
        let role = attach.role.opposite();
        let same = self.names.get(&(index, role, attach.name.as_str().into())).copied();
        match same.and_then(|at| self.links.get(at)).map(|link| link.remote_handle) {
            Some(None) => self.answered_link(index, same.unwrap_or_default(), attach),
            // An answer would name the first one, and a peer that follows would answer that.
            Some(Some(_)) => return Err(misuse("amqp:resource-locked", "a link of this name is attached already")),
            None => self.offered(index, attach),
        }
        Ok(())
    }

    fn answered_link(&mut self, session: u32, at: u32, attach: Box<Attach>) {
        self.set_remote_handle(session, at, attach.handle);
        let id = self.link_id(at);
        let Some(link) = self.links.get_mut(at) else { return };
        link.heard(&attach);
        if link.state != LinkState::Attaching {
            return; // given up before the peer answered; its detach is on its way
        }
        link.state = LinkState::Attached;
        self.events.push_back(Event::Attached(id, attach));
        self.list_sender(at);
    }

    fn set_remote_handle(&mut self, session: u32, at: u32, remote: u32) {
        if let Some(session) = self.sessions.get_mut(session) {
            session.set_remote_handle(remote, at);
        }
        if let Some(link) = self.links.get_mut(at) {
            link.remote_handle = Some(remote);
        }
    }

    fn offered(&mut self, session: u32, attach: Box<Attach>) {
        let is_full = self.links.len() >= self.options.links_max;
        let at = self.new_link(session, 0, &Terms::answer(&attach), LinkState::Offered);
        self.set_remote_handle(session, at, attach.handle);
        let id = self.link_id(at);
        if let Some(link) = self.links.get_mut(at) {
            link.heard(&attach);
            link.is_unknown = is_full;
        }
        if is_full {
            self.refuse(id, options::error("amqp:resource-limit-exceeded", "no more links are taken"));
        } else {
            self.events.push_back(Event::Attaching(self.session_id(session), id, attach));
        }
    }

    /// Answers a peer's attach. Its name and role are taken from the peer's. Does nothing when the link has gone.
    pub fn accept(&mut self, link: LinkId, terms: Terms) {
        let Some(handle) = self.number_offered(link) else { return };
        let Some(its) = self.links.get_mut(link.index) else { return };
        its.state = LinkState::Attached;
        if let LinkEnd::Receiver(receiver) = &mut its.end {
            receiver.message_bytes_max = terms.max_message_size.filter(|most| *most > 0);
            receiver.settles_second = terms.rcv_settle_mode == ReceiverSettles::Second;
        }
        let terms = Terms { name: its.name.to_string(), role: its.role(), ..terms };
        self.say_attach(link.index, terms, handle);
        self.list_sender(link.index);
    }

    /// Refuses a peer's attach, as the specification asks: attach without the terminus, then detach for good.
    pub fn refuse(&mut self, link: LinkId, error: Error) {
        if self.attach_for_nothing(link) {
            self.detach(link, true, Some(error));
        }
    }

    /// Answers an attach that is to come to nothing: only links that are attached can be detached.
    fn attach_for_nothing(&mut self, link: LinkId) -> bool {
        let Some(handle) = self.number_offered(link) else { return false };
        let Some(its) = self.links.get_mut(link.index) else { return false };
        its.state = LinkState::Attached;
        let mut terms = Terms::sender(its.name.to_string(), Target::default());
        (terms.role, terms.source, terms.target) = (its.role(), None, None);
        self.say_attach(link.index, terms, handle);
        true
    }

    /// A number of ours for a link that the peer began. None: it needs none any more, or there is none left.
    fn number_offered(&mut self, link: LinkId) -> Option<u32> {
        if !self.links.holds(link.index, link.generation) {
            return None;
        }
        let its = self.links.get(link.index).filter(|its| its.state == LinkState::Offered)?;
        let session = its.session;
        let Some(handle) = self.sessions.get(session)?.free_handle(self.options.handle_max) else {
            let error = options::error("amqp:resource-limit-exceeded", "the session has no more handles");
            self.end(self.session_id(session), Some(error));
            return None;
        };
        self.sessions.get_mut(session)?.set_handle(handle, Some(link.index));
        self.links.get_mut(link.index)?.handle = handle;
        Some(handle)
    }

    /// Detaches a link. Deliveries on it are lost, those of others are not.
    pub fn detach(&mut self, link: LinkId, closed: bool, error: Option<Error>) {
        if !self.links.holds(link.index, link.generation) {
            return;
        }
        self.attach_for_nothing(link);
        let Some(its) = self.links.get_mut(link.index) else { return };
        if its.state == LinkState::Detaching {
            return;
        }
        its.state = LinkState::Detaching;
        let session = its.session;
        let detach = Detach { handle: its.handle, closed, error };
        self.say_what_is_due(session);
        self.lose_deliveries(link.index);
        let Some(channel) = self.channel_of(link.index) else { return };
        self.put(channel, &Performative::Detach(detach));
    }

    /// The peer's detach: the answer to ours, or its own.
    pub(super) fn detached(&mut self, session: u32, detach: Detach) {
        let Some(at) = self.sessions.get(session).and_then(|its| its.link_of(detach.handle)) else { return };
        self.say_what_is_due(session);
        self.attach_for_nothing(self.link_id(at));
        let Some(link) = self.links.get(at) else { return };
        let (handle, by_us) = (link.handle, link.state == LinkState::Detaching);
        if !by_us {
            self.lose_deliveries(at);
            if let Some(channel) = self.channel_of(at) {
                let answer = Detach { handle, closed: detach.closed, error: None };
                self.put(channel, &Performative::Detach(answer));
            }
        }
        if let Some(its) = self.sessions.get_mut(session) {
            its.set_handle(handle, None);
            its.clear_remote_handle(detach.handle);
        }
        self.forget_link(at, Detachment { closed: detach.closed, error: detach.error, by_us });
    }
}

fn receiver(terms: &Terms) -> Receiver {
    Receiver {
        message_bytes_max: terms.max_message_size.filter(|most| *most > 0),
        settles_second: terms.rcv_settle_mode == ReceiverSettles::Second,
        ..Receiver::default()
    }
}

impl Link {
    pub(super) fn role(&self) -> Role {
        match self.end {
            LinkEnd::Sender(_) => Role::Sender,
            LinkEnd::Receiver(_) => Role::Receiver,
        }
    }

    /// Takes what counts from the peer's attach.
    fn heard(&mut self, attach: &Attach) {
        match &mut self.end {
            LinkEnd::Sender(sender) => sender.message_bytes_max = attach.max_message_size.filter(|most| *most > 0),
            LinkEnd::Receiver(receiver) => {
                receiver.delivery_count = attach.initial_delivery_count.unwrap_or(0);
                receiver.is_counted = true;
            }
        }
    }
}
