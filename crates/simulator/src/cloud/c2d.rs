//! Messages to devices and feedback on them, for any protocol.
//!
//! Promises: with a directory, what was taken is there after a restart, unlocked, until it has ended; a message is taken
//! only after the journal has it. Whoever may have something to fetch is told. What is due happens before anything else.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::{Cloud, HubState, State, not_written, server_error};
use crate::endpoint::{Endpoint, HubId};
use crate::hub::c2d::{Delivery, Message};
use crate::hub::feedback::Batch;
use crate::hub::line::{Lock, Outcome};
use crate::hub::post::{Expired, Post, Step};
use crate::hub::rules::PostRules;
use crate::hub::{self, Refusal};
use crate::journal::Journal;

/// As errors call it.
const JOURNAL: &str = "journal of messages to devices";
/// Lines that a journal has beside those that count before it is written anew: writing anew stays cheap beside them.
const IDLE_LINES_MAX: usize = 4096;

/// A post and its journal.
#[derive(Default)]
pub(super) struct KeptPost {
    post: Post,
    journal: Journal,
    place: Option<(PathBuf, String)>,
    /// Lines since the journal was written anew.
    lines: usize,
    /// When to write it anew.
    lines_max: usize,
    counts: BTreeMap<&'static str, u64>,
}

impl KeptPost {
    /// What is kept in `dir` of the hub `name`.
    pub(super) fn open(dir: Option<&Path>, name: &str, rules: PostRules, now_ms: i64) -> io::Result<Self> {
        let file = format!("c2d-{name}.jsonl");
        let post = Post::restored(rules, Journal::read(dir, &file)?, now_ms);
        let place = dir.map(|dir| (dir.to_owned(), file));
        let mut kept = Self { post, place, ..Self::default() };
        kept.write_anew()?;
        Ok(kept)
    }

    fn write_anew(&mut self) -> io::Result<()> {
        let Some((dir, file)) = &self.place else { return Ok(()) };
        let mut kept = 0;
        self.journal = Journal::open(Some(dir), file, self.post.steps().inspect(|_| kept += 1))?;
        (self.lines, self.lines_max) = (0, IDLE_LINES_MAX + 2 * kept);
        Ok(())
    }

    fn write(&mut self, step: &Step) -> io::Result<()> {
        if self.place.is_none() {
            return Ok(());
        }
        self.journal.write(step)?;
        self.lines += 1;
        if self.lines > self.lines_max { self.write_anew() } else { Ok(()) }
    }

    /// What has happened already. What is not written comes again after a restart: that is what at least once means.
    fn note(&mut self, steps: &[Step]) {
        for step in steps {
            if let Step::Gone { end, .. } = step {
                self.count(end.word());
            }
        }
        if let Some(error) = steps.iter().find_map(|step| self.write(step).err()) {
            not_written(JOURNAL, &error);
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// What happened since the start.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.counts.iter().map(|(what, count)| (*what, *count))
    }

    /// Messages that wait for a device or that it holds.
    pub(super) fn pending(&self, device: &str) -> usize {
        self.post.pending(device)
    }

    /// Empties a queue, also of a device that is deleted; gives how many messages there were.
    pub(super) fn purge(&mut self, device: &str, now_ms: i64) -> usize {
        let (count, steps) = self.post.purge(device, now_ms);
        self.note(&steps);
        count
    }

    fn expire(&mut self, now_ms: i64) -> Expired {
        let happened = self.post.expire(now_ms);
        self.note(&happened.steps);
        happened
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.journal.sync()
    }
}

/// The service side.
impl Cloud {
    /// Queues a message for a device.
    pub(crate) fn send_c2d(&self, hub: HubId, device: &str, message: Message) -> Result<(), Refusal> {
        let now_ms = self.now_ms();
        let mut state = self.state();
        let sent = self.send_now(&mut state, &Endpoint::device(hub, device), message, now_ms);
        state.count_hub_refusal(sent)
    }

    fn send_now(&self, state: &mut State, to: &Endpoint, message: Message, now_ms: i64) -> Result<(), Refusal> {
        state.stands_in_the_way(to)?;
        self.pass(state, to.hub, now_ms);
        let its = state.hub(to.hub)?;
        let device = its.registry.device(&to.device).ok_or_else(|| Refusal::not_found(to))?;
        let pushed = its.post.post.accepts(device, message, now_ms)?;
        let written = its.post.write(&Step::Pushed(pushed.clone()));
        written.map_err(|error| server_error(JOURNAL, &error))?;
        its.post.post.push(pushed);
        its.post.count("taken");
        self.directory.tell_c2d(to);
        Ok(())
    }

    /// Empties a device's queue; gives how many messages there were.
    pub(crate) fn purge_c2d(&self, hub: HubId, device: &str, authorization: Option<&str>) -> Result<usize, Refusal> {
        let now_ms = self.now_ms();
        let mut state = self.state();
        let path = ["devices", device, "commands"];
        let purged = hub::admit_policy(&self.names(hub), &hub::SERVICE_POLICIES, &path, authorization, now_ms)
            .and_then(|()| {
                let endpoint = Endpoint::device(hub, device);
                state.stands_in_the_way(&endpoint)?;
                state.device(&endpoint).ok_or_else(|| Refusal::not_found(&endpoint))?;
                self.pass(&mut state, hub, now_ms);
                let its = state.hub(hub)?;
                let count = its.post.purge(device, now_ms);
                self.tell_feedback(its, hub);
                Ok(count)
            });
        state.count_hub_refusal(purged)
    }

    /// Whether a request may fetch feedback.
    pub(crate) fn admit_feedback(&self, hub: HubId, authorization: Option<&str>) -> Result<(), Refusal> {
        let path = ["messages", "servicebound", "feedback"];
        let admitted = hub::admit_policy(&self.names(hub), &hub::SERVICE_POLICIES, &path, authorization, self.now_ms());
        self.state().count_hub_refusal(admitted)
    }

    /// Hands out the next batch of feedback, locked.
    pub(crate) fn lock_feedback(&self, hub: HubId) -> Option<Batch> {
        let now_ms = self.now_ms();
        let mut state = self.state();
        self.pass(&mut state, hub, now_ms);
        state.hub(hub).ok()?.post.post.lock_feedback(now_ms, self.lock())
    }

    pub(crate) fn settle_feedback(&self, hub: HubId, lock: Lock, outcome: Outcome) -> Result<(), Refusal> {
        let now_ms = self.now_ms();
        let mut state = self.state();
        self.pass(&mut state, hub, now_ms);
        let settled = state.hub(hub).and_then(|its| its.post.post.settle_feedback(lock, outcome, now_ms));
        let settled = settled.map(|steps| self.keep_c2d(&mut state, hub, &steps));
        state.count_hub_refusal(settled)
    }

    /// Who held a batch is gone.
    pub(crate) fn unlock_feedback(&self, hub: HubId, lock: Lock) {
        let mut state = self.state();
        if let Ok(its) = state.hub(hub) {
            its.post.post.unlock_feedback(lock);
            self.tell_feedback(its, hub);
        }
    }
}

/// The device side.
impl Cloud {
    /// Hands a device its next message, locked.
    pub(crate) fn lock_c2d(&self, device: &Endpoint) -> Result<Option<Delivery>, Refusal> {
        let now_ms = self.now_ms();
        let mut state = self.state();
        let standing = state.stands_in_the_way(device).and_then(|()| state.enabled(device).map(drop));
        let locked = standing.and_then(|()| self.lock_now(&mut state, device, now_ms));
        state.count_hub_refusal(locked)
    }

    /// The same after its token was checked.
    pub(crate) fn receive_c2d(
        &self,
        device: &Endpoint,
        authorization: Option<&str>,
    ) -> Result<Option<Delivery>, Refusal> {
        let now_ms = self.now_ms();
        let mut state = self.state();
        let admitted = self.admit_now(&mut state, device, authorization, now_ms);
        let locked = admitted.and_then(|_| self.lock_now(&mut state, device, now_ms));
        state.count_hub_refusal(locked)
    }

    fn lock_now(&self, state: &mut State, device: &Endpoint, now_ms: i64) -> Result<Option<Delivery>, Refusal> {
        self.pass(state, device.hub, now_ms);
        let its = state.hub(device.hub)?;
        let delivery = its.post.post.lock_next(&device.device, now_ms, self.lock());
        if delivery.is_some() {
            its.post.count("handed_out");
        }
        Ok(delivery)
    }

    pub(crate) fn settle_c2d(&self, device: &Endpoint, lock: Lock, outcome: Outcome) -> Result<(), Refusal> {
        let now_ms = self.now_ms();
        let mut state = self.state();
        self.pass(&mut state, device.hub, now_ms);
        let settled = state.hub(device.hub).and_then(|its| its.post.post.settle(&device.device, lock, outcome, now_ms));
        let settled = settled.map(|steps| {
            self.keep_c2d(&mut state, device.hub, &steps);
            if outcome == Outcome::Abandon {
                self.directory.tell_c2d(device);
            }
        });
        state.count_hub_refusal(settled)
    }

    /// Who held a message is gone, or did not get it.
    pub(crate) fn unlock_c2d(&self, device: &Endpoint, lock: Lock) {
        let mut state = self.state();
        let is_free = state.hub(device.hub).is_ok_and(|its| its.post.post.unlock(&device.device, lock));
        if is_free {
            self.directory.tell_c2d(device);
        }
    }
}

impl Cloud {
    fn lock(&self) -> Lock {
        Lock(self.random.bytes())
    }
}

/// Time.
impl Cloud {
    pub(super) fn pass(&self, state: &mut State, hub: HubId, now_ms: i64) {
        let Ok(its) = state.hub(hub) else { return };
        let happened = its.post.expire(now_ms);
        self.tell_feedback(its, hub);
        for device in happened.freed {
            self.directory.tell_c2d(&Endpoint::device(hub, device));
        }
    }

    fn keep_c2d(&self, state: &mut State, hub: HubId, steps: &[Step]) {
        if let Ok(its) = state.hub(hub) {
            its.post.note(steps);
            self.tell_feedback(its, hub);
        }
    }

    fn tell_feedback(&self, its: &mut HubState, hub: HubId) {
        if its.post.post.take_feedback_news() {
            self.directory.tell_feedback(hub);
        }
    }
}

#[cfg(test)]
mod tests;
