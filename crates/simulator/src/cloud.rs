//! Both services behind one lock: every call takes state and the clock, asks the decisions, and keeps what follows.
//!
//! Promises: the same answers whatever protocol asks. Nothing waits while the lock is held except for short writes to
//! local files (journal and record), which is what makes "recorded before accepted" hold. Does not know sockets or HTTP.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

mod amqp; // what AMQP connections ask besides
mod c2d; // messages to devices, and feedback on them
mod counts; // what happened so far
mod devices; // what connections of devices ask, whatever they speak
mod hubs; // the hubs there are, and their names
mod methods; // direct methods on their way
mod moving; // devices from hub to hub, and the owner's wishes for registrations
mod mqtt; // what MQTT connections ask besides
mod notices; // the hub's own events
mod overview; // what the owner sees and does at this machine
mod owner; // what the owner of a hub asks
mod provisioning; // what a call to the provisioning service does
mod telemetry; // what devices send
mod thefts; // which connection took a device from which
mod time; // what time it is
mod twins; // what devices and their owner do with twins

pub use amqp::AmqpCounts;
pub use counts::{Counts, DeviceView};
pub(crate) use devices::Sender;
pub(crate) use hubs::Hub;
pub(crate) use moving::Several;
pub use mqtt::MqttCounts;
pub(crate) use overview::Wanted;
pub(crate) use provisioning::DpsCall;
pub(crate) use telemetry::Accepted;
pub use thefts::{Party, Theft, Thefts};

use c2d::KeptPost;
use notices::Notices;

use crate::directory::{Directory, Protocol};
use crate::dps::{Operations, Registrations, Scopes, Switches};
use crate::endpoint::{Endpoint, HubId};
use crate::events::Events;
use crate::faults::{Armed, Faults, Weather};
use crate::hub::events::EventSource;
use crate::hub::rules::PostRules;
use crate::hub::{self, method};
use crate::options::Clock;
use crate::random::{Random, Stamp};
use crate::record::{Record, Recorded};
use crate::registry::{Device, Registry};
use crate::time::Time;

/// How provisioning behaves when nothing is wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) assigning_polls: u32,
    pub(crate) retry_after_s: u64,
}

/// The services. Shared by all connections.
pub(crate) struct Cloud {
    state: Mutex<State>,
    time: Arc<Time>,
    random: Random,
    /// Never empty; the first answers to every name that is none of the others'.
    hubs: Vec<Hub>,
    pace: Pace,
    directory: Directory,
    /// Where AMQP is served; redirects name it.
    amqp_port: u16,
    created_ms: i64,
    /// When time was let pass last.
    looked_at_ms: AtomicI64,
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
        let Parts { clock, random, hubs, scopes, switches, pace, registrations, record, faults, amqp_port, events } =
            parts;
        let (hubs, mut states): (Vec<Hub>, Vec<HubState>) = hubs.into_iter().unzip();
        for (hub, its) in hubs.iter().zip(&mut states) {
            its.notices = Notices::new(hub.short_name(), &events, random.clone());
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
        let looked_at_ms = AtomicI64::new(created_ms);
        Self { state, time, random, hubs, pace, directory, amqp_port, created_ms, looked_at_ms }
    }

    /// A panic elsewhere leaves the state as it was before or after a change, so it can go on being used.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    pub(crate) fn random(&self) -> &Random {
        &self.random
    }

    /// Of this time.
    fn stamp(&self, now_ms: i64) -> Stamp<'_> {
        Stamp { now_ms, random: &self.random }
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
    pub(crate) random: Random,
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
