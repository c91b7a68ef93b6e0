//! Both services behind one lock: every call takes state and the clock, asks the decisions, and keeps what follows.
//!
//! Promises: the same answers whatever protocol asks. Nothing waits while the lock is held except for short writes to
//! local files (journal and record), which is what makes "recorded before accepted" hold. Does not know sockets or HTTP.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::oneshot;

mod amqp; // what AMQP connections ask besides
mod c2d; // messages to devices, and feedback on them
mod devices; // what connections of devices ask, whatever they speak
mod hubs; // the hubs there are, and their names
mod methods; // direct methods on their way
mod moving; // devices from hub to hub, and the owner's wishes for registrations
mod mqtt; // what MQTT connections ask besides
mod notices; // the hub's own events
mod owner; // what the owner of a hub asks
mod provisioning; // what a call to the provisioning service does
mod time; // what time it is
mod twins; // what devices and their owner do with twins

pub use amqp::AmqpCounts;
pub(crate) use devices::Sender;
pub(crate) use hubs::Hub;
pub(crate) use moving::Several;
pub use mqtt::MqttCounts;
pub(crate) use provisioning::DpsCall;

use c2d::KeptPost;
use notices::Notices;

use crate::amqp::tokens::Key;
use crate::directory::{Directory, Protocol};
use crate::dps::{Operations, Registrations, Scopes, Switches};
use crate::endpoint::{Endpoint, HubId};
use crate::events::Events;
use crate::faults::{Armed, Faults, Weather};
use crate::hub::events::EventSource;
use crate::hub::rules::PostRules;
use crate::hub::{self, Telemetry, method};
use crate::options::Clock;
use crate::record::{Record, Recorded};
use crate::registry::{Device, Registry, Status};
use crate::time::Time;

/// How provisioning behaves when nothing is wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) assigning_polls: u32,
    pub(crate) retry_after_s: u64,
}

/// What happened so far, since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// `register` calls with good credentials, by registration id. One each is what a good client needs.
    pub registrations: BTreeMap<String, u64>,
    /// Provisioning calls by kind (`register`, `poll`, `look_up`), refused ones too.
    pub dps_calls: BTreeMap<&'static str, u64>,
    /// Provisioning calls that ended in an error, by error code.
    pub dps_refused: BTreeMap<u32, u64>,
    /// Messages accepted, by device.
    pub messages: BTreeMap<String, u64>,
    /// Messages accepted, all devices.
    pub messages_total: u64,
    /// Hub calls that ended in an error, by the code's name.
    pub hub_refused: BTreeMap<String, u64>,
    /// Requests accepted and not answered, on request.
    pub answers_lost: u64,
    /// Messages to devices: `taken`, `handed_out`, and how they ended (`completed`, `rejected`, `exceeded`, `expired`, `purged`).
    pub c2d: BTreeMap<&'static str, u64>,
    /// AMQP connections and their links.
    pub amqp: AmqpCounts,
    /// MQTT connections.
    pub mqtt: MqttCounts,
}

/// A device as the page shows it; no keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceView {
    /// Host name of its hub.
    pub hub: String,
    /// Its name there.
    pub device_id: String,
    /// Whether it may talk.
    pub status: Status,
    /// Messages accepted since the start.
    pub messages: u64,
}

/// What is said of accepted telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// Say so.
    Answered,
    /// Say nothing and close the connection.
    Lost,
}

/// The services. Shared by all connections.
pub(crate) struct Cloud {
    state: Mutex<State>,
    time: Arc<Time>,
    /// Never empty; the first answers to every name that is none of the others'.
    hubs: Vec<Hub>,
    pace: Pace,
    directory: Directory,
    /// Where AMQP is served; redirects name it.
    amqp_port: u16,
    created_ms: i64,
}

struct State {
    /// As many as there are hubs.
    hubs: Vec<HubState>,
    scopes: Scopes,
    switches: Switches,
    registrations: Registrations,
    operations: Operations,
    armed: Armed,
    record: Record,
    counts: Counts,
    /// Methods that are not answered.
    calls: method::Pending<oneshot::Sender<method::Answer>>,
    mqtt: mqtt::Sessions,
}

/// What changes at one hub.
#[derive(Default)]
pub(crate) struct HubState {
    registry: Registry,
    events: Events,
    post: KeptPost,
    notices: Notices,
    /// By the registry's key, since the start.
    seen: HashMap<String, Seen>,
}

/// What a device did last.
#[derive(Debug, Default)]
struct Seen {
    activity_ms: i64,
    /// What it said of itself when it last said something.
    model_id: Option<String>,
}

impl HubState {
    /// What is kept in `dir` of the hub `name`.
    pub(crate) fn open(dir: Option<&Path>, name: &str, rules: PostRules, now_ms: i64) -> std::io::Result<Self> {
        let (registry, post) = (Registry::open(dir, name)?, KeptPost::open(dir, name, rules, now_ms)?);
        Ok(Self { registry, post, ..Self::default() })
    }
}

impl Cloud {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { clock, hubs, scopes, switches, pace, registrations, record, faults, amqp_port, events } = parts;
        let (hubs, mut states): (Vec<Hub>, Vec<HubState>) = hubs.into_iter().unzip();
        for (hub, its) in hubs.iter().zip(&mut states) {
            its.notices = Notices::new(hub.short_name(), &events);
        }
        let state = Mutex::new(State {
            hubs: states,
            scopes,
            switches,
            registrations,
            operations: Operations::default(),
            armed: Armed::new(faults),
            record,
            counts: Counts::default(),
            calls: method::Pending::default(),
            mqtt: mqtt::Sessions::default(),
        });
        let time = Arc::new(Time::new(clock));
        let (created_ms, directory) = (time.now_ms(), Directory::new(Arc::clone(&time)));
        if events.contains(&EventSource::Connection) {
            directory.note_turns();
        }
        Self { state, time, hubs, pace, directory, amqp_port, created_ms }
    }

    /// A panic elsewhere leaves the state as it was before or after a change, so it can go on being used.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    pub(crate) fn dps_weather(&self) -> Weather {
        self.state().armed.dps_weather()
    }

    pub(crate) fn hub_weather(&self) -> Weather {
        self.state().armed.hub_weather()
    }

    pub(crate) fn faults(&self) -> Faults {
        self.state().armed.faults().clone()
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        let (amqp, mqtt) = (faults.amqp.all, faults.mqtt.all);
        self.state().armed = Armed::new(faults);
        self.directory.tell_all(|protocol| match protocol {
            Protocol::Amqp => amqp,
            Protocol::Mqtt => mqtt,
        });
    }

    pub(crate) fn amqp_port(&self) -> u16 {
        self.amqp_port
    }

    pub(crate) fn counts(&self) -> Counts {
        let state = self.state();
        let mut counts = state.counts.clone();
        for (what, count) in state.hubs.iter().flat_map(|hub| hub.post.counts()) {
            *counts.c2d.entry(what).or_default() += count;
        }
        (counts.amqp.connections_now, counts.amqp.connections_ever) = self.directory.counts(Protocol::Amqp);
        (counts.mqtt.connections_now, counts.mqtt.connections_ever) = self.directory.counts(Protocol::Mqtt);
        counts
    }

    pub(crate) fn messages(&self, count: usize) -> Vec<Recorded> {
        self.state().record.last(count)
    }

    pub(crate) fn sync(&self) -> std::io::Result<()> {
        let state = self.state();
        state.registrations.sync()?;
        state.switches.sync()?;
        state.hubs.iter().try_for_each(|hub| hub.registry.sync().and_then(|()| hub.post.sync()))
    }
}

/// Telemetry.
impl Cloud {
    /// Whether a device may talk at all; for calls that have nothing to deliver yet.
    pub(crate) fn admit_device(&self, device: &Endpoint, authorization: Option<&str>) -> Result<(), hub::Refusal> {
        let now_ms = self.now_ms();
        let mut state = self.state();
        let admitted = self.admit_now(&state, device, authorization, now_ms).map(drop);
        state.count_hub_refusal(admitted)
    }

    fn admit_now(
        &self,
        state: &State,
        endpoint: &Endpoint,
        authorization: Option<&str>,
        now_ms: i64,
    ) -> Result<Device, hub::Refusal> {
        state.stands_in_the_way(endpoint)?;
        let (names, device) = (self.names(endpoint.hub), state.device(endpoint));
        hub::admit_device(&names, device, &endpoint.device, authorization, now_ms).cloned()
    }

    /// Takes messages of one device, all or none. When this returns `Ok` they stand in the record.
    pub(crate) fn send(
        &self,
        endpoint: &Endpoint,
        authorization: Option<&str>,
        messages: Result<Vec<Telemetry>, hub::Refusal>,
    ) -> Result<Accepted, hub::Refusal> {
        let now_ms = self.now_ms();
        let mut state = self.state();
        let device = self.admit_now(&state, endpoint, authorization, now_ms);
        let is_policy = crate::sas::Token::parse(authorization).is_ok_and(|token| token.policy.is_some());
        let key = if is_policy { Key::Hub } else { Key::Device };
        let sender = Sender { key, model_id: None };
        let accepted =
            device.and_then(|device| self.take_now(&mut state, (endpoint.hub, &device), &sender, messages?, now_ms));
        state.count_hub_refusal(accepted)
    }

    fn take_now(
        &self,
        state: &mut State,
        (hub, device): (HubId, &Device),
        sender: &Sender,
        messages: Vec<Telemetry>,
        now_ms: i64,
    ) -> Result<Accepted, hub::Refusal> {
        let count = u32::try_from(messages.len()).unwrap_or(u32::MAX);
        if let Some(throttle) = state.armed.throttles_telemetry(count, now_ms) {
            return Err(hub::Refusal::throttled(throttle.retry_after_s));
        }
        let events: Vec<_> = messages.iter().map(|message| sender.accepted(device, message, now_ms)).collect();
        let name = self.hub(hub).name();
        let recorded = messages.into_iter().map(|message| Recorded::new(name, &device.id, message, now_ms));
        state.keep(&device.id, &recorded.collect::<Vec<_>>())?;
        if let Some(its) = state.hubs.get_mut(hub.0) {
            its.saw(device, sender.model_id.as_deref(), now_ms);
            for event in events {
                its.events.append(event);
            }
        }
        self.directory.tell_readers();
        Ok(if state.armed.loses_answer(now_ms) { state.lose_answer() } else { Accepted::Answered })
    }
}

impl State {
    /// A hub's state. There is one for each hub that a name leads to.
    fn hub(&mut self, hub: HubId) -> Result<&mut HubState, hub::Refusal> {
        self.hubs
            .get_mut(hub.0)
            .ok_or_else(|| hub::Refusal::new(404, 401_001, "IotHubNotFound", "There is no such hub"))
    }

    fn device(&self, endpoint: &Endpoint) -> Option<&Device> {
        self.hubs.get(endpoint.hub.0)?.registry.get(endpoint)
    }

    /// A device or a module that may talk. One whose device is switched off may not.
    fn enabled(&self, endpoint: &Endpoint) -> Result<&Device, hub::Refusal> {
        let found = self.device(endpoint).ok_or_else(|| hub::Refusal::not_found(endpoint))?;
        if endpoint.module.is_some() {
            let device = Endpoint::device(endpoint.hub, &endpoint.device);
            hub::enabled(self.device(&device).ok_or_else(|| hub::Refusal::not_found(&device))?)?;
        }
        hub::enabled(found)
    }

    /// What a fault tells a device.
    fn stands_in_the_way(&self, endpoint: &Endpoint) -> Result<(), hub::Refusal> {
        let id = &endpoint.device;
        self.armed.hub_refusal(id).map_or(Ok(()), |refusal| Err(hub::refused(id, refusal)))
    }

    fn keep(&mut self, id: &str, messages: &[Recorded]) -> Result<(), hub::Refusal> {
        self.record.append(messages).map_err(|error| server_error("record", &error))?;
        let count = messages.len() as u64;
        *self.counts.messages.entry(id.to_owned()).or_default() += count;
        self.counts.messages_total += count;
        Ok(())
    }

    fn lose_answer(&mut self) -> Accepted {
        self.counts.answers_lost += 1;
        Accepted::Lost
    }

    fn count_hub_refusal<T>(&mut self, answer: Result<T, hub::Refusal>) -> Result<T, hub::Refusal> {
        answer.inspect_err(|refusal| *self.counts.hub_refused.entry(refusal.name.clone()).or_default() += 1)
    }
}

fn server_error(what: &str, error: &std::io::Error) -> hub::Refusal {
    hub::Refusal::new(500, 500_001, "ServerError", not_written(what, error))
}

fn not_written(what: &str, error: &std::io::Error) -> String {
    tracing::error!(file = what, %error, "the simulator could not write; free some disk space");
    format!("The simulator could not write its {what}")
}

/// What a cloud is made of.
pub(crate) struct Parts {
    pub(crate) clock: Clock,
    /// The first answers to every name that is none of the others'.
    pub(crate) hubs: Vec<(Hub, HubState)>,
    pub(crate) scopes: Scopes,
    pub(crate) switches: Switches,
    pub(crate) pace: Pace,
    pub(crate) registrations: Registrations,
    pub(crate) record: Record,
    pub(crate) faults: Faults,
    pub(crate) amqp_port: u16,
    /// The hub's own events that are wanted.
    pub(crate) events: Vec<EventSource>,
}

#[cfg(test)]
pub(crate) mod tests;
