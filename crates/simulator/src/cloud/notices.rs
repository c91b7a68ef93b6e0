//! The hub's own events, kept where readers of telemetry find them: identities, twins, connections.
//!
//! Promises: those of a source that nobody asked for cost nothing; those of one device are in the order in which things
//! happened. They are no telemetry: neither the record nor the counts have them.

use serde_json::{Value, json};

use super::{Cloud, HubState};
use crate::directory::{Claim, ConnectionId, Turn};
use crate::endpoint::Endpoint;
use crate::events::Accepted;
use crate::hub::events::{About, Change, EventSource, Sequence};
use crate::hub::twin::Twin;
use crate::random::Random;
use crate::registry::Device;

/// Which of them are wanted, and what it takes to write them.
#[derive(Debug, Default)]
pub(super) struct Notices {
    /// As the hub calls itself.
    hub: String,
    wanted: Vec<EventSource>,
    sequence: Sequence,
    random: Random,
}

impl Notices {
    pub(super) fn new(hub: &str, wanted: &[EventSource], random: Random) -> Self {
        Self { hub: hub.to_owned(), wanted: wanted.to_vec(), sequence: Sequence::default(), random }
    }

    fn about<'a>(
        &'a self,
        source: EventSource,
        device: &'a str,
        module: Option<&'a str>,
        at_ms: i64,
    ) -> Option<About<'a>> {
        let is_wanted = self.wanted.contains(&source);
        is_wanted.then(|| About { hub: &self.hub, device, module, at_ms, correlation_id: self.random.guid() })
    }
}

impl HubState {
    /// Keeps an identity, and tells of it where it is new.
    pub(super) fn keep_device(&mut self, device: Device, now_ms: i64) -> std::io::Result<()> {
        let is_new = self.registry.by_key(&device.key()).is_none();
        self.registry.put_device(device.clone())?;
        if is_new {
            self.tell_created(&device, now_ms);
        }
        Ok(())
    }

    /// An identity was made.
    pub(super) fn tell_created(&mut self, device: &Device, now_ms: i64) {
        self.tell(EventSource::Lifecycle, device, now_ms, |about, twin| about.created(twin));
    }

    /// What is to be told once an identity that is still here has gone.
    fn deletion(&self, device: &Device, now_ms: i64) -> Option<Accepted> {
        let about = self.notices.about(EventSource::Lifecycle, &device.id, device.module.as_deref(), now_ms)?;
        Some(about.deleted(&self.registry.twin(device)))
    }

    /// A device changed its reported properties.
    pub(super) fn tell_reported(&mut self, device: &Device, patch: &[u8], now_ms: i64) {
        if self.notices.wanted.contains(&EventSource::Twin) {
            let patch: Value = serde_json::from_slice(patch).unwrap_or_default();
            self.tell_twin(device, Change::Update, &json!({"properties": {"reported": patch}}), now_ms);
        }
    }

    /// A twin was changed.
    pub(super) fn tell_twin(&mut self, device: &Device, change: Change, wish: &Value, now_ms: i64) {
        self.tell(EventSource::Twin, device, now_ms, |about, twin| about.twin_changed(twin, change, wish));
    }

    /// Forgets a device with all that is its, or a module, by the registry's key.
    pub(super) fn forget(&mut self, key: &str, now_ms: i64) -> std::io::Result<()> {
        let gone: Vec<Device> = self.registry.modules_of(key).chain(self.registry.by_key(key)).cloned().collect();
        let told: Vec<Accepted> = gone.iter().filter_map(|one| self.deletion(one, now_ms)).collect();
        self.registry.delete_device(key)?;
        self.post.purge(key, now_ms);
        for one in &gone {
            self.seen.remove(&one.key());
        }
        for event in told {
            self.events.append(event);
        }
        Ok(())
    }

    fn tell(
        &mut self,
        source: EventSource,
        of: &Device,
        now_ms: i64,
        event: impl FnOnce(About<'_>, &Twin) -> Accepted,
    ) {
        let Some(about) = self.notices.about(source, &of.id, of.module.as_deref(), now_ms) else { return };
        let event = event(about, &self.registry.twin(of));
        self.events.append(event);
    }

    fn tell_turn(&mut self, turn: &Turn) {
        let sequence = self.notices.sequence.next(turn.at_ms);
        let (device, module) = (&turn.endpoint.device, turn.endpoint.module.as_deref());
        let Some(about) = self.notices.about(EventSource::Connection, device, module, turn.at_ms) else { return };
        let event = about.turned(turn.is_connected, &sequence);
        self.events.append(event);
    }
}

/// Who speaks for whom.
impl Cloud {
    /// A connection speaks for an endpoint now. Another one that did is told.
    pub(crate) fn own(&self, endpoint: &Endpoint, me: ConnectionId) -> Claim {
        let claim = self.directory.own(endpoint, me);
        self.tell_turns();
        claim
    }

    /// A connection does not speak for an endpoint any more.
    pub(crate) fn give_up(&self, endpoint: &Endpoint, me: ConnectionId) {
        self.directory.give_up(endpoint, me);
        self.tell_turns();
    }

    /// A connection is gone, with all that it had.
    pub(crate) fn leave_directory(&self, id: ConnectionId) {
        self.directory.leave(id);
        self.tell_turns();
    }

    fn tell_turns(&self) {
        if !self.directory.notes_turns() {
            return;
        }
        // Taken under the lock, so that two connections cannot write theirs in another order than they turned.
        let mut state = self.state();
        let turns = self.directory.take_turns();
        for turn in &turns {
            if let Some(its) = state.hubs.get_mut(turn.endpoint.hub.0) {
                its.tell_turn(turn);
            }
        }
        if !turns.is_empty() {
            self.directory.tell_readers();
        }
    }
}

#[cfg(test)]
mod tests;
