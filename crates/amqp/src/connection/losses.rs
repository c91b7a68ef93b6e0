//! What ends mean for deliveries: each gets its fate, and then what carried it is forgotten.

use super::link::{End as LinkEnd, Pending};
use super::session::Unsettled;
use super::{Connection, Detachment, Event, Fate, Sent};

impl Connection {
    /// All links of a session are gone with it.
    pub(super) fn lose_links(&mut self, index: u32, by_us: bool) {
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

    /// A link is gone on both sides.
    pub(super) fn forget_link(&mut self, at: u32, detachment: Detachment) {
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
    pub(super) fn lose_deliveries(&mut self, at: u32) {
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
                let lost = |one: Pending| {
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
