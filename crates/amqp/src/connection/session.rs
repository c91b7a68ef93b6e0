//! What is known of a session: its channels, windows, links and deliveries that are not settled.

use std::collections::VecDeque;

use crate::performative::{DeliveryState, Disposition, Flow, Role};

/// What we say of our outgoing window: as much as serial numbers allow. What we send is bounded by the peer's window.
pub(crate) const OUTGOING_WINDOW: u32 = i32::MAX as u32;
/// Ids are counted in 64 bits from here, and the wire has the lower half, so that they can be held against each other.
const FIRST_ID: u64 = 1 << 32;

#[derive(Debug)]
pub(crate) struct Session {
    /// Ours.
    pub(crate) channel: u16,
    /// The peer's, once its begin came.
    pub(crate) remote_channel: Option<u16>,
    pub(crate) state: State,
    /// Highest handle that the peer takes.
    pub(crate) handle_max: u32,

    /// Id of our next transfer.
    next_outgoing: u32,
    /// Transfers that the peer still takes.
    pub(crate) remote_window: u32,
    /// Id of our next delivery.
    pub(crate) next_delivery: u64,
    /// Deliveries of ours without an answer, by id.
    pub(crate) unsettled: VecDeque<Unsettled>,

    /// Id of the peer's next transfer.
    pub(crate) next_incoming: u32,
    /// Transfers that we still take, and how many we say each time.
    pub(crate) window_left: u32,
    pub(crate) window: u32,
    /// Deliveries of the peer that wait for our word: id and link.
    pub(crate) unanswered: VecDeque<(u32, u32)>,
    /// What is still to be said of a range of them.
    pub(crate) to_say: Option<Disposition>,
    /// It stands in the connection's list of sessions that have something to say.
    pub(crate) is_listed: bool,

    /// Indices of its links by our handle…
    pub(crate) by_handle: Vec<Option<u32>>,
    /// …and by the peer's, sorted.
    pub(crate) by_remote_handle: Vec<(u32, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Our begin is out.
    Beginning,
    Active,
    /// Our end is out; the peer's has not come.
    Ending,
}

/// A delivery of ours without an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unsettled {
    pub(crate) id: u64,
    pub(crate) link: u32,
    pub(crate) number: u64,
}

impl Session {
    pub(crate) fn new(channel: u16, window: u32, state: State) -> Self {
        Self {
            channel,
            remote_channel: None,
            state,
            handle_max: u32::MAX,
            next_outgoing: 0,
            remote_window: 0,
            next_delivery: FIRST_ID,
            unsettled: VecDeque::new(),
            next_incoming: 0,
            window_left: window,
            window,
            unanswered: VecDeque::new(),
            to_say: None,
            is_listed: false,
            by_handle: Vec::new(),
            by_remote_handle: Vec::new(),
        }
    }

    /// The windows as they are, for a flow; the caller adds the link.
    pub(crate) fn flow(&self) -> Flow {
        Flow {
            next_incoming_id: self.remote_channel.map(|_| self.next_incoming),
            incoming_window: self.window_left,
            next_outgoing_id: self.next_outgoing,
            outgoing_window: OUTGOING_WINDOW,
            ..Flow::default()
        }
    }

    /// The peer's view of its window, corrected by what was sent since. True when sending has become possible.
    pub(crate) fn open_window(&mut self, flow: &Flow) -> bool {
        let was_shut = self.remote_window == 0;
        let seen = flow.next_incoming_id.unwrap_or(0);
        let left = seen.wrapping_add(flow.incoming_window).wrapping_sub(self.next_outgoing);
        self.remote_window = if left > i32::MAX as u32 && flow.incoming_window <= i32::MAX as u32 { 0 } else { left };
        was_shut && self.remote_window > 0
    }

    /// One transfer more has been written.
    pub(crate) fn sent_one(&mut self) {
        self.next_outgoing = self.next_outgoing.wrapping_add(1);
        self.remote_window = self.remote_window.saturating_sub(1);
    }

    /// One transfer more has come. False: it was one too many.
    pub(crate) fn took_one(&mut self) -> bool {
        self.next_incoming = self.next_incoming.wrapping_add(1);
        let had_room = self.window_left > 0;
        self.window_left = self.window_left.saturating_sub(1);
        had_room
    }

    /// Half of the window is used: time to say that there is room again.
    pub(crate) fn should_reopen(&self) -> bool {
        self.window_left <= self.window / 2
    }

    /// The lowest number that none of our links has.
    pub(crate) fn free_handle(&self, ours_max: u32) -> Option<u32> {
        let free = self.by_handle.iter().position(Option::is_none).unwrap_or(self.by_handle.len());
        u32::try_from(free).ok().filter(|handle| *handle <= self.handle_max.min(ours_max))
    }

    pub(crate) fn set_handle(&mut self, handle: u32, link: Option<u32>) {
        let at = handle as usize;
        if self.by_handle.len() <= at {
            self.by_handle.resize(at + 1, None);
        }
        self.by_handle[at] = link;
    }

    pub(crate) fn link_of(&self, remote_handle: u32) -> Option<u32> {
        let at = self.by_remote_handle.binary_search_by_key(&remote_handle, |pair| pair.0).ok()?;
        Some(self.by_remote_handle[at].1)
    }

    /// False: another link has it.
    pub(crate) fn set_remote_handle(&mut self, remote_handle: u32, link: u32) -> bool {
        match self.by_remote_handle.binary_search_by_key(&remote_handle, |pair| pair.0) {
            Ok(_) => false,
            Err(at) => {
                self.by_remote_handle.insert(at, (remote_handle, link));
                true
            }
        }
    }

    pub(crate) fn clear_remote_handle(&mut self, remote_handle: u32) {
        if let Ok(at) = self.by_remote_handle.binary_search_by_key(&remote_handle, |pair| pair.0) {
            self.by_remote_handle.remove(at);
        }
    }

    /// All of them, also those of the peer that have no number of ours yet.
    pub(crate) fn links(&self) -> Vec<u32> {
        let ours = self.by_handle.iter().copied().flatten();
        let mut links: Vec<u32> = ours.chain(self.by_remote_handle.iter().map(|pair| pair.1)).collect();
        links.sort_unstable();
        links.dedup();
        links
    }

    /// Takes the deliveries of a range of the peer's that have no answer yet. Serial numbers may have gone round.
    pub(crate) fn take_unsettled(&mut self, first: u32, last: u32) -> Vec<Unsettled> {
        let (first, last) = (self.whole_id(first), self.whole_id(last));
        let from = self.unsettled.partition_point(|one| one.id < first);
        let to = self.unsettled.partition_point(|one| one.id <= last);
        if from < to { self.unsettled.drain(from..to).collect() } else { Vec::new() }
    }

    /// Those that [`Self::take_unsettled`] would take.
    pub(crate) fn unsettled_among(&self, first: u32, last: u32) -> impl Iterator<Item = Unsettled> {
        let (first, last) = (self.whole_id(first), self.whole_id(last));
        let from = self.unsettled.partition_point(|one| one.id < first);
        self.unsettled.range(from..).take_while(move |one| one.id <= last).copied()
    }

    fn whole_id(&self, wire: u32) -> u64 {
        #[expect(clippy::cast_possible_truncation, reason = "the wire has the lower half")]
        let ahead = wire.wrapping_sub(self.next_delivery as u32).cast_signed();
        self.next_delivery.saturating_add_signed(ahead.into())
    }

    /// Takes all of a link's.
    pub(crate) fn take_unsettled_of(&mut self, link: u32) -> Vec<Unsettled> {
        let (its, others): (Vec<_>, Vec<_>) = self.unsettled.drain(..).partition(|one| one.link == link);
        self.unsettled = others.into();
        its
    }

    /// Notes what became of a delivery of the peer's. Gives back what cannot be told in the same breath.
    pub(crate) fn say(&mut self, id: u32, settled: bool, state: DeliveryState) -> Option<Disposition> {
        if let Some(said) = &mut self.to_say
            && said.last.unwrap_or(said.first).wrapping_add(1) == id
            && said.settled == settled
            && said.state.as_ref() == Some(&state)
        {
            said.last = Some(id);
            return None;
        }
        let next =
            Disposition { role: Role::Receiver, first: id, last: None, settled, state: Some(state), batchable: false };
        self.to_say.replace(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session::new(0, 100, State::Active)
    }

    #[test]
    fn a_window_is_corrected_by_what_was_sent_since() {
        let mut session = session();
        let says = |next, window| Flow { next_incoming_id: Some(next), incoming_window: window, ..Flow::default() };
        assert!(session.open_window(&says(0, 10)));
        for _ in 0..4 {
            session.sent_one();
        }
        assert!(!session.open_window(&says(2, 10)), "it was open before");
        assert_eq!(session.remote_window, 8, "two are on their way");
        session.open_window(&says(0, 2));
        assert_eq!(session.remote_window, 0, "a smaller one than what was sent is no negative one");
        session.open_window(&says(4, u32::MAX));
        assert_eq!(session.remote_window, u32::MAX, "and a huge one is taken as it is");
    }

    #[test]
    fn a_range_that_goes_round_finds_its_deliveries() {
        let mut session = session();
        session.next_delivery = (1 << 32) + u64::from(u32::MAX);
        for number in 0..4 {
            session.unsettled.push_back(Unsettled { id: session.next_delivery, link: 0, number });
            session.next_delivery += 1;
        }
        let numbers = |taken: Vec<Unsettled>| taken.iter().map(|one| one.number).collect::<Vec<_>>();
        assert_eq!(numbers(session.take_unsettled(u32::MAX, 0)), [0, 1]);
        assert_eq!(numbers(session.take_unsettled(u32::MAX, 0)), [], "each once");
        assert_eq!(numbers(session.take_unsettled(0, u32::MAX)), [], "backwards is nothing");
        assert_eq!(numbers(session.take_unsettled(1, 900)), [2, 3]);
    }

    #[test]
    fn neighbours_with_one_fate_are_told_together() {
        let mut session = session();
        assert_eq!(session.say(5, true, DeliveryState::Accepted), None);
        assert_eq!(session.say(6, true, DeliveryState::Accepted), None);
        let said = session.say(7, true, DeliveryState::Released).expect("another fate");
        assert_eq!((said.first, said.last), (5, Some(6)));
        let said = session.say(9, true, DeliveryState::Released).expect("no neighbour");
        assert_eq!((said.first, said.last), (7, None));
    }

    #[test]
    fn the_lowest_free_handle_is_taken_within_both_bounds() {
        let mut session = session();
        session.set_handle(0, Some(7));
        session.set_handle(1, Some(8));
        session.set_handle(0, None);
        assert_eq!(session.free_handle(10), Some(0));
        session.set_handle(0, Some(9));
        assert_eq!((session.free_handle(10), session.free_handle(1)), (Some(2), None));
    }
}
