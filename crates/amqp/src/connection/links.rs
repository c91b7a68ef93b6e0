//! How sessions and links come and go, ours and the peer's.

use std::sync::Arc;

use crate::performative::{Attach, Begin, Detach, End, Error, Performative, ReceiverSettles, Role, Target};

use super::incoming::{Misuse, misuse};
use super::link::{End as LinkEnd, Link, Receiver, Sender, State as LinkState};
use super::session::{OUTGOING_WINDOW, Session, State as SessionState, Unsettled};
use super::{
    Broken, Connection, Detachment, Event, Fate, Full, LinkId, RemoteChannel, Sent, SessionId, Stage, Terms, broken,
    options,
};

/// Sessions.
impl Connection {
    /// Begins a session. Links can be attached at once; they are pipelined.
    ///
    /// # Errors
    /// No more fit, or the connection ends.
    pub fn begin(&mut self) -> Result<SessionId, Full> {
        if matches!(self.stage, Stage::Closing { .. } | Stage::Over) {
            return Err(Full::Ended);
        }
        let (index, channel) = self.new_session(SessionState::Beginning).ok_or(Full::Sessions)?;
        self.say_begin(channel, None);
        Ok(self.session_id(index))
    }

    fn new_session(&mut self, state: SessionState) -> Option<(u32, u16)> {
        let free = self.by_channel.iter().position(Option::is_none).unwrap_or(self.by_channel.len());
        let most = self.options.channel_max.min(self.peer.channel_max);
        let channel = u16::try_from(free).ok().filter(|channel| *channel <= most)?;
        let (index, _) = self.sessions.insert(Session::new(channel, self.options.incoming_window, state));
        if free == self.by_channel.len() {
            self.by_channel.push(None);
        }
        self.by_channel[free] = Some(index);
        Some((index, channel))
    }

    fn say_begin(&mut self, channel: u16, remote_channel: Option<u16>) {
        let begin = Begin {
            remote_channel,
            next_outgoing_id: 0,
            incoming_window: self.options.incoming_window,
            outgoing_window: OUTGOING_WINDOW,
            handle_max: self.options.handle_max,
            ..Begin::default()
        };
        self.put(channel, &Performative::Begin(begin));
    }

    /// The peer's begin: the answer to ours, or its own.
    pub(super) fn begun(&mut self, remote: u16, begin: Begin) -> Result<(), Broken> {
        let at = usize::from(remote);
        if remote > self.options.channel_max {
            return Err(broken("amqp:not-allowed", "the channel is higher than channel-max"));
        }
        if matches!(self.by_remote_channel.get(at), Some(RemoteChannel::Session(_))) {
            return Err(broken("amqp:not-allowed", "a session has this channel already"));
        }
        let index = match begin.remote_channel {
            Some(channel) => self.answered_session(channel)?,
            None => {
                let full = || broken("amqp:resource-limit-exceeded", "no more sessions are taken");
                let (index, channel) = self.new_session(SessionState::Active).ok_or_else(full)?;
                self.say_begin(channel, Some(remote));
                index
            }
        };
        if self.by_remote_channel.len() <= at {
            self.by_remote_channel.resize(at + 1, RemoteChannel::Never);
        }
        self.by_remote_channel[at] = RemoteChannel::Session(index);
        let id = self.session_id(index);
        let Some(session) = self.sessions.get_mut(index) else { return Ok(()) };
        session.remote_channel = Some(remote);
        session.next_incoming = begin.next_outgoing_id;
        session.remote_window = begin.incoming_window;
        session.handle_max = begin.handle_max;
        if session.state == SessionState::Ending {
            return Ok(()); // given up before the peer answered; its end is on its way
        }
        session.state = SessionState::Active;
        let links = session.links();
        self.events.push_back(Event::Begun(id, Box::new(begin)));
        for link in links {
            self.list_sender(link);
        }
        Ok(())
    }

    fn answered_session(&self, channel: u16) -> Result<u32, Broken> {
        let index = self.by_channel.get(usize::from(channel)).copied().flatten();
        let waits = |index: &u32| self.sessions.get(*index).is_some_and(|session| session.remote_channel.is_none());
        index.filter(waits).ok_or_else(|| broken("amqp:not-allowed", "this answers no begin of ours"))
    }

    /// Ends a session with all its links.
    pub fn end(&mut self, session: SessionId, error: Option<Error>) {
        if !self.sessions.holds(session.index, session.generation) {
            return;
        }
        self.say_what_is_due(session.index);
        let Some(its) = self.sessions.get_mut(session.index) else { return };
        if its.state == SessionState::Ending {
            return;
        }
        its.state = SessionState::Ending;
        let channel = its.channel;
        self.put(channel, &Performative::End(End { error }));
        self.lose_links(session.index, true);
    }

    pub(super) fn ended_by_peer(&mut self, index: u32, error: Option<Error>) {
        let id = self.session_id(index);
        let Some(session) = self.sessions.get(index) else { return };
        let (channel, remote) = (session.channel, session.remote_channel);
        if session.state != SessionState::Ending {
            self.lose_links(index, false);
            self.put(channel, &Performative::End(End::default()));
        }
        self.sessions.remove(index);
        self.by_channel[usize::from(channel)] = None;
        if let Some(remote) = remote {
            self.by_remote_channel[usize::from(remote)] = RemoteChannel::Ended;
        }
        self.events.push_back(Event::SessionEnded(id, error));
    }

    /// All links of a session are gone with it.
    fn lose_links(&mut self, index: u32, by_us: bool) {
        let Some(session) = self.sessions.get_mut(index) else { return };
        let links = session.links();
        let unsettled: Vec<Unsettled> = session.unsettled.drain(..).collect();
        session.by_handle.clear();
        session.by_remote_handle.clear();
        session.unanswered.clear();
        session.to_say = None;
        self.lose_unsettled(unsettled);
        for link in links {
            self.forget_link(link, Detachment { closed: true, error: None, by_us });
        }
    }

    /// Everything is gone: the deliveries get their fate, the rest goes without a word.
    pub(super) fn lose_all(&mut self) {
        for index in self.sessions.indices() {
            let unsettled = self.sessions.get_mut(index).map(|session| session.unsettled.drain(..).collect());
            self.lose_unsettled(unsettled.unwrap_or_default());
        }
        for index in self.links.indices() {
            self.lose_queue(index);
            self.links.remove(index);
        }
        self.names.clear();
        for index in self.sessions.indices() {
            self.sessions.remove(index);
        }
        (self.by_channel, self.by_remote_channel) = (Vec::new(), Vec::new());
        self.senders.clear();
        self.speakers.clear();
        self.partial_bytes = 0;
    }

    fn lose_unsettled(&mut self, unsettled: Vec<Unsettled>) {
        for one in unsettled {
            let sent = Sent { link: self.link_id(one.link), number: one.number };
            self.events.push_back(Event::Done(sent, Fate::Lost { written: true }));
        }
    }
}

/// Links.
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

    fn forget_link(&mut self, at: u32, detachment: Detachment) {
        self.lose_queue(at);
        let id = self.link_id(at);
        let Some(link) = self.links.remove(at) else { return };
        let name = (link.session, link.role(), link.name);
        if self.names.get(&name) == Some(&at) {
            self.names.remove(&name);
        }
        if !link.is_unknown {
            self.events.push_back(Event::Detached(id, detachment));
        }
    }

    /// What waits on a link, what is not settled, and what has come in part.
    fn lose_deliveries(&mut self, at: u32) {
        let Some(session) = self.links.get(at).map(|link| link.session) else { return };
        let unsettled = self.sessions.get_mut(session).map(|its| {
            its.unanswered.retain(|(_, link)| *link != at);
            its.take_unsettled_of(at)
        });
        self.lose_unsettled(unsettled.unwrap_or_default());
        self.lose_queue(at);
    }

    fn lose_queue(&mut self, at: u32) {
        let id = self.link_id(at);
        match self.links.get_mut(at).map(|link| &mut link.end) {
            Some(LinkEnd::Sender(sender)) => {
                let lost = |one: super::link::Pending| {
                    let fate = Fate::Lost { written: one.begun.is_some() };
                    (!one.is_cancelled).then_some(Event::Done(Sent { link: id, number: one.number }, fate))
                };
                self.events.extend(sender.queue.drain(..).filter_map(lost));
            }
            Some(LinkEnd::Receiver(receiver)) => {
                self.partial_bytes -= receiver.partial.take().map_or(0, |partial| partial.payload.len());
            }
            None => {}
        }
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
    fn role(&self) -> Role {
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
