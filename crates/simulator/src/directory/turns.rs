//! Who began or ceased to speak for an endpoint: the last time of each, and for the hub's own events each time.

use std::collections::{HashMap, VecDeque};

use super::{ConnectionId, Directory};
use crate::endpoint::Endpoint;

/// Turns that nobody has taken yet. They are taken right after they are noted; only what many connections do at the same
/// time adds up. At 100 bytes each this is 1 MB; the oldest go first.
const TURNS_MAX: usize = 10_000;

/// Somebody began to speak for an endpoint, or ceased to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) endpoint: Endpoint,
    pub(crate) is_connected: bool,
    pub(crate) at_ms: i64,
}

#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Since the start. It takes a good token to come in here.
    last_ms: HashMap<Endpoint, i64>,
    /// Somebody takes them.
    is_noted: bool,
    noted: VecDeque<Turn>,
}

impl Turns {
    /// A connection speaks for an endpoint now. To take it from another one is to disconnect and to connect, but the
    /// state of the device is what it was.
    pub(super) fn owned(&mut self, of: &Endpoint, by: ConnectionId, before: Option<ConnectionId>, now_ms: i64) {
        match before {
            None => self.note(of, true, now_ms),
            Some(before) if before != by => {
                self.push(of, false, now_ms);
                self.push(of, true, now_ms);
            }
            Some(_) => {}
        }
    }

    pub(super) fn note(&mut self, of: &Endpoint, is_connected: bool, at_ms: i64) {
        self.last_ms.insert(of.clone(), at_ms);
        self.push(of, is_connected, at_ms);
    }

    fn push(&mut self, of: &Endpoint, is_connected: bool, at_ms: i64) {
        if !self.is_noted {
            return;
        }
        if self.noted.len() >= TURNS_MAX {
            self.noted.pop_front();
        }
        self.noted.push_back(Turn { endpoint: of.clone(), is_connected, at_ms });
    }
}

impl Directory {
    /// When somebody began to speak for it, or ceased to.
    pub(crate) fn turned_ms(&self, endpoint: &Endpoint) -> Option<i64> {
        self.inner().turns.last_ms.get(endpoint).copied()
    }

    /// From now on each turn is noted, for somebody who takes them.
    pub(crate) fn note_turns(&self) {
        self.inner().turns.is_noted = true;
    }

    /// Whether turns are noted.
    pub(crate) fn notes_turns(&self) -> bool {
        self.inner().turns.is_noted
    }

    /// What was noted, in order.
    pub(crate) fn take_turns(&self) -> Vec<Turn> {
        self.inner().turns.noted.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::tests::directory;
    use crate::endpoint::HubId;

    #[test]
    fn to_take_a_device_from_another_connection_is_to_disconnect_and_to_connect() {
        let directory = directory();
        directory.note_turns();
        let d1 = Endpoint::device(HubId(0), "d1");
        let ((a, _), (b, _)) = (directory.join(), directory.join());
        let turns = || directory.take_turns().into_iter().map(|turn| turn.is_connected).collect::<Vec<_>>();
        directory.own(&d1, a);
        directory.own(&d1, a);
        assert_eq!(turns(), [true]);
        directory.own(&d1, b);
        directory.give_up(&d1, a);
        assert_eq!(turns(), [false, true], "and what the older one leaves is not its own any more");
        directory.leave(b);
        assert_eq!(turns(), [false]);
    }

    #[test]
    fn nothing_is_noted_that_nobody_takes() {
        let directory = directory();
        let (a, _mailbox) = directory.join();
        directory.own(&Endpoint::device(HubId(0), "d1"), a);
        assert_eq!(directory.take_turns(), []);
    }

    #[test]
    fn what_nobody_takes_for_long_is_bounded() {
        let mut turns = Turns { is_noted: true, ..Turns::default() };
        let d1 = Endpoint::device(HubId(0), "d1");
        (0..20_000).for_each(|at_ms| turns.note(&d1, true, at_ms));
        assert_eq!((turns.noted.len(), turns.noted[0].at_ms), (TURNS_MAX, 10_000));
    }
}
