//! How sessions come and go, ours and the peer's.

use crate::performative::{Begin, End, Error, Performative};

use super::session::{OUTGOING_WINDOW, Session, State as SessionState};
use super::{Broken, Connection, Event, Full, RemoteChannel, SessionId, Stage, broken};

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
}
