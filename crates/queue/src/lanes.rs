//! Which lane may hand out its oldest message now.
//!
//! Promises: a lane is in exactly one state, so its head is offered at most once; lanes that are ready are served in
//! the order in which they became ready. Keeps one entry per lane that holds messages, never one per message, so
//! that a backlog costs memory by its devices, not by its length. Knows no clock: `now` comes in.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use crate::{LaneState, Seq, UnixMillis};

/// A clock that is this much behind its last reading was set back; less is jitter between threads.
pub(crate) const SET_BACK_MS: UnixMillis = 1_000;

/// A wait that was read from the store and is longer than this can only have been begun under another clock. Nobody asks for
/// longer ones; who did would come an attempt early.
const KEPT_WAIT_MS_MAX: UnixMillis = 60 * 60 * 1_000;

/// Lanes that are looked at for how old they are: the oldest positions, in a fraction of a millisecond.
const OLD_MAX: usize = 10_000;

/// The oldest message of a lane, as much of it as a decision needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) seq: Seq,
    pub(crate) accepted_at: UnixMillis,
    /// Not to be handed out before this; 0 when it was never tried.
    pub(crate) not_before: UnixMillis,
    /// When the last counted attempt ended, and the wait began.
    pub(crate) tried_at: Option<UnixMillis>,
}

impl Head {
    /// When it may be handed out, as read from the store. Who began its wait later than now did so under another clock, which
    /// has been set back since: how much of it is over nobody knows, so it begins anew.
    fn due(&self, now: UnixMillis) -> UnixMillis {
        let behind = self.tried_at.map_or(0, |tried_at| tried_at.saturating_sub(now));
        self.not_before.saturating_sub(if behind > SET_BACK_MS { behind } else { 0 })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The head left; the store must be asked for the next one.
    Unknown,
    /// It is being asked.
    Asked,
    Ready,
    /// A counted attempt failed.
    Waiting(UnixMillis),
    /// Its outcome cannot be written; nothing but a reopened store ends this.
    SetAside,
    /// Given back by choice; a wake ends it early.
    Released(UnixMillis),
    Leased(Meanwhile),
}

/// What came during a lease. It would otherwise be lost to the race with the end of the lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Meanwhile {
    /// A wake, which ends the wait after a release.
    woken: bool,
    /// A hurry, which ends the wait after a counted attempt.
    hurried: bool,
    /// An older message than the leased one, which comes before it then.
    overtaken: bool,
}

#[derive(Debug)]
struct Lane {
    head: Option<Head>,
    state: State,
}

/// All lanes that hold messages.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    // Looked up by name only; its order never decides anything.
    lanes: HashMap<Arc<str>, Lane>,
    ready: VecDeque<Arc<str>>,
    timers: BTreeSet<(UnixMillis, Arc<str>)>,
    unknown: VecDeque<Arc<str>>,
    heads: BTreeMap<Seq, UnixMillis>,
}

impl Lanes {
    pub(crate) fn len(&self) -> usize {
        self.lanes.len()
    }

    pub(crate) fn contains(&self, lane: &str) -> bool {
        self.lanes.contains_key(lane)
    }

    /// The oldest message of a lane, as far as it is known.
    pub(crate) fn head_seq(&self, lane: &str) -> Option<Seq> {
        self.lanes.get(lane)?.head.map(|head| head.seq)
    }

    /// The head of a lane is its oldest message, so the oldest of all is the oldest head.
    pub(crate) fn oldest_accepted_at(&self) -> Option<UnixMillis> {
        self.heads.first_key_value().map(|(_, accepted_at)| *accepted_at)
    }

    /// Lanes whose oldest message was accepted before this, as far as they are looked at.
    pub(crate) fn older_than(&self, at: UnixMillis) -> u64 {
        self.heads.values().take(OLD_MAX).filter(|accepted_at| **accepted_at < at).count() as u64
    }

    /// What the store says is the head of `lane`; `None` ends the lane.
    pub(crate) fn set_head(&mut self, lane: &str, head: Option<Head>, now: UnixMillis) {
        self.remove(lane);
        let Some(head) = head else { return };
        let name: Arc<str> = lane.into();
        self.heads.insert(head.seq, head.accepted_at);
        self.lanes.insert(name.clone(), Lane { head: Some(head), state: State::Asked });
        let due = head.due(now);
        let is_wait = (1..=KEPT_WAIT_MS_MAX).contains(&due.saturating_sub(now));
        self.enter(&name, if is_wait { State::Waiting(due) } else { State::Ready });
    }

    /// As [`Lanes::set_head`], for a lane of which a message is leased already: its head, unless it is `overtaken`.
    pub(crate) fn set_leased(&mut self, lane: &str, head: Head, overtaken: bool) {
        self.remove(lane);
        self.heads.insert(head.seq, head.accepted_at);
        let state = State::Leased(Meanwhile { overtaken, ..Meanwhile::default() });
        self.lanes.insert(lane.into(), Lane { head: Some(head), state });
    }

    /// There is a message that may be older than the head.
    pub(crate) fn look_anew(&mut self, lane: &Arc<str>) {
        match self.lanes.get_mut(lane) {
            None => {
                self.lanes.insert(lane.clone(), Lane { head: None, state: State::Unknown });
                self.unknown.push_back(lane.clone());
            }
            Some(Lane { state: State::Leased(meanwhile), .. }) => meanwhile.overtaken = true,
            // Its head cannot be trusted to leave: see State::SetAside.
            Some(Lane { state: State::SetAside, .. }) => {}
            Some(_) => self.forget_head(lane),
        }
    }

    /// The head has left or cannot be trusted; [`Lanes::next_unknown`] names the lane.
    pub(crate) fn forget_head(&mut self, lane: &str) {
        let Some((name, _)) = self.lanes.get_key_value(lane) else { return };
        let name = name.clone();
        self.leave(&name);
        if let Some(entry) = self.lanes.get_mut(&name) {
            if let Some(head) = entry.head.take() {
                self.heads.remove(&head.seq);
            }
            entry.state = State::Unknown;
            self.unknown.push_back(name);
        }
    }

    /// A lane whose head must be asked for.
    pub(crate) fn next_unknown(&mut self) -> Option<Arc<str>> {
        let name = self.unknown.pop_front()?;
        self.lanes.get_mut(&name)?.state = State::Asked;
        Some(name)
    }

    pub(crate) fn has_unknown(&self) -> bool {
        !self.unknown.is_empty()
    }

    /// Could not be asked now: at the end of the line again.
    pub(crate) fn ask_again(&mut self, lane: Arc<str>) {
        if let Some(entry) = self.lanes.get_mut(&lane) {
            entry.state = State::Unknown;
            self.unknown.push_back(lane);
        }
    }

    /// Takes the lane that has been ready for longest.
    pub(crate) fn lease(&mut self) -> Option<(Arc<str>, Seq)> {
        let name = self.ready.pop_front()?;
        let lane = self.lanes.get_mut(&name)?;
        lane.state = State::Leased(Meanwhile::default());
        let seq = lane.head?.seq;
        Some((name, seq))
    }

    /// The leased head stays and may come again at `at`; at once after a hurry that came during the lease.
    pub(crate) fn wait_until(&mut self, lane: &str, at: UnixMillis, now: UnixMillis) {
        let hurried = self.meanwhile(lane).hurried;
        self.give_back(lane, if hurried || at <= now { State::Ready } else { State::Waiting(at) });
    }

    /// As [`Lanes::wait_until`], but a wake ends the wait, also one that came during the lease.
    pub(crate) fn release_until(&mut self, lane: &str, at: UnixMillis, now: UnixMillis) {
        let woken = self.meanwhile(lane).woken;
        self.give_back(lane, if woken || at <= now { State::Ready } else { State::Released(at) });
    }

    /// The leased head stays, and nobody gets it.
    pub(crate) fn set_aside(&mut self, lane: &str) {
        self.give_back(lane, State::SetAside);
    }

    /// Ends the wait after a counted attempt: true when there was one. The attempt that is under way may end in one as well,
    /// which is over as soon as it begins.
    pub(crate) fn hurry(&mut self, lane: &str) -> bool {
        if let Some(Lane { state: State::Leased(meanwhile), .. }) = self.lanes.get_mut(lane) {
            meanwhile.hurried = true;
            return false;
        }
        self.cut_short(lane, |state| matches!(state, State::Waiting(_)))
    }

    /// What is to be seen of a lane; `None` when it holds nothing.
    pub(crate) fn state(&self, lane: &str) -> Option<LaneState> {
        let lane = self.lanes.get(lane)?;
        Some(LaneState {
            accepted_at: lane.head.map(|head| head.accepted_at),
            retry_at: if let State::Waiting(at) = lane.state { Some(at) } else { None },
        })
    }

    pub(crate) fn wake(&mut self, lane: &str) {
        if let Some(Lane { state: State::Leased(meanwhile), .. }) = self.lanes.get_mut(lane) {
            meanwhile.woken = true;
            return;
        }
        self.cut_short(lane, |state| matches!(state, State::Released(_)));
    }

    /// Lanes whose wait is over become ready, the earliest first.
    pub(crate) fn tick(&mut self, now: UnixMillis) {
        while let Some((at, name)) = self.timers.first().cloned() {
            if at > now {
                break;
            }
            self.leave(&name);
            self.enter(&name, State::Ready);
        }
    }

    /// When the next wait is over.
    pub(crate) fn due(&self) -> Option<UnixMillis> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// The clock was set back by `by`: what was to come in a minute still comes in a minute.
    pub(crate) fn clock_set_back(&mut self, by: UnixMillis) {
        let timers = std::mem::take(&mut self.timers);
        for (at, name) in timers {
            let at = at - by;
            if let Some(lane) = self.lanes.get_mut(&name) {
                lane.state = match lane.state {
                    State::Released(_) => State::Released(at),
                    _ => State::Waiting(at),
                };
            }
            self.timers.insert((at, name));
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// A wait of this kind is over now: true when there was one.
    fn cut_short(&mut self, lane: &str, is_of_kind: impl Fn(State) -> bool) -> bool {
        let known = self.lanes.get_key_value(lane).filter(|(_, entry)| is_of_kind(entry.state));
        let Some(name) = known.map(|(name, _)| name.clone()) else { return false };
        self.leave(&name);
        self.enter(&name, State::Ready);
        true
    }

    fn meanwhile(&self, lane: &str) -> Meanwhile {
        match self.lanes.get(lane) {
            Some(Lane { state: State::Leased(meanwhile), .. }) => *meanwhile,
            _ => Meanwhile::default(),
        }
    }

    fn give_back(&mut self, lane: &str, state: State) {
        let Some((name, entry)) = self.lanes.get_key_value(lane) else { return };
        let State::Leased(meanwhile) = entry.state else { return };
        if meanwhile.overtaken && state != State::SetAside {
            return self.forget_head(lane);
        }
        let name = name.clone();
        self.enter(&name, state);
    }

    fn enter(&mut self, name: &Arc<str>, state: State) {
        match state {
            State::Ready => self.ready.push_back(name.clone()),
            State::Waiting(at) | State::Released(at) => drop(self.timers.insert((at, name.clone()))),
            State::Unknown | State::Asked | State::SetAside | State::Leased(_) => {}
        }
        if let Some(lane) = self.lanes.get_mut(name) {
            lane.state = state;
        }
    }

    fn leave(&mut self, name: &Arc<str>) {
        match self.lanes.get(name).map(|lane| lane.state) {
            Some(State::Waiting(at) | State::Released(at)) => drop(self.timers.remove(&(at, name.clone()))),
            Some(State::Ready) => self.ready.retain(|ready| ready != name),
            Some(State::Unknown) => self.unknown.retain(|unknown| unknown != name),
            Some(State::Asked | State::SetAside | State::Leased(_)) | None => {}
        }
    }

    fn remove(&mut self, lane: &str) {
        let Some((name, _)) = self.lanes.get_key_value(lane) else { return };
        let name = name.clone();
        self.leave(&name);
        if let Some(Lane { head: Some(head), .. }) = self.lanes.remove(&name) {
            self.heads.remove(&head.seq);
        }
    }
}
