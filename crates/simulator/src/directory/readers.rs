//! Readers of events: each has a seat, and a new one may take that of another.

use amqp::connection::LinkId;
use amqp::performative::Error;

use super::{ConnectionId, Directory, Inner};
use crate::amqp::readers::Seat;
use crate::endpoint::HubId;

/// A reader, over all connections.
pub(super) type ReaderKey = (ConnectionId, LinkId);

/// Where a reader sits.
#[derive(Debug)]
pub(super) struct Place {
    hub: HubId,
    group: String,
    partition: usize,
    link: LinkId,
}

impl Directory {
    /// There are new events.
    pub(crate) fn tell_readers(&self) {
        let inner = self.inner();
        for mailbox in inner.readers.keys().filter_map(|id| inner.mailboxes.get(id)) {
            mailbox.tell(|notes| notes.events = true);
        }
    }

    /// Gives a reader its place. Those that lose theirs to it are told.
    pub(crate) fn sit(&self, hub: HubId, group: &str, partition: usize, seat: Seat<ReaderKey>) -> Result<(), Error> {
        let mut inner = self.inner();
        let (id, link) = seat.key;
        let losers = inner.seats.entry(hub).or_default().sit(group, partition, seat)?;
        let place = Place { hub, group: group.to_owned(), partition, link };
        inner.readers.entry(id).or_default().push(place);
        for ((loser, link), error) in losers {
            inner.forget_reader(loser, link);
            if let Some(mailbox) = inner.mailboxes.get(&loser) {
                mailbox.tell(|notes| notes.unseated.push((link, error)));
            }
        }
        Ok(())
    }

    /// A reader is gone.
    pub(crate) fn stand_up(&self, id: ConnectionId, link: LinkId) {
        let mut inner = self.inner();
        if let Some(place) = inner.forget_reader(id, link) {
            inner.free(&place, id);
        }
    }
}

impl Inner {
    pub(super) fn free(&mut self, place: &Place, id: ConnectionId) {
        if let Some(seats) = self.seats.get_mut(&place.hub) {
            seats.leave(&place.group, place.partition, &(id, place.link));
        }
    }

    fn forget_reader(&mut self, id: ConnectionId, link: LinkId) -> Option<Place> {
        let its = self.readers.get_mut(&id)?;
        let at = its.iter().position(|one| one.link == link)?;
        let place = its.swap_remove(at);
        if its.is_empty() {
            self.readers.remove(&id);
        }
        Some(place)
    }
}
