//! Connections to hubs: one entry per hub, opened on first use, with what we know of it (its gate, its breaker, its
//! clock). While a hub is down, the lanes of its devices rest here, to be woken when it works again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use azure::hub::amqp::{Link, Links};
use azure::hub::{SendError, Telemetry, Why};
use azure::key::Signer;
use azure::net::{Dial, Endpoint};
use queue::{Queue, UnixMillis};

use crate::device::decide::hub_works;
use crate::events::{Event, Events};
use crate::gate::{Admission, Gate, Sign};
use crate::provision::breaker::{Breaker, Verdict};
use crate::world::{Point, ServerClock, World};

mod client;
mod desertion; // is it still where its devices live?
mod lodgers; // whose links are to go?

pub use client::{Options, Turn};

use client::Client;
use desertion::Desertion;
use lodgers::Lodgers;

/// Lanes in one request to the queue's writer.
const HURRIED_AT_ONCE: usize = 512;
/// While a hub is down, somebody is woken to probe it at least this often after the back-off has passed.
const PROBE_EVERY: Duration = Duration::from_secs(2);

/// A hub that has answered nothing for this long, while something waits for it, does not work. A send that fails by
/// itself takes up to 20 s. IoT Hub answers within a second.
const SILENT_MAX: UnixMillis = 5_000;
/// A part of a shared queue is not ours any more, and its devices' links are to go: 12 s from the last renewal, and 15 s until anybody
/// else can have it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A hub's clock is looked at this often at most, milliseconds: thousands of devices may be refused at once.
const CLOCK_EVERY: u64 = 60_000;

/// All hubs.
#[derive(Debug)]
pub struct Pool {
    /// By host name; bounded by what DPS assigns and the configuration names.
    hubs: Mutex<BTreeMap<String, Arc<Hub>>>,
    lodgers: Mutex<Lodgers>,
    options: Options,
    dial: Arc<dyn Dial>,
    queue: Queue,
    world: World,
    events: Events,
}

/// One hub.
#[derive(Debug)]
pub struct Hub {
    endpoint: Endpoint,
    /// Its host, for those who remember it.
    name: Arc<str>,
    client: Client,
    trouble: Mutex<Trouble>,
    clock: Arc<ServerClock>,
}

#[derive(Debug, Default)]
struct Trouble {
    gate: Gate,
    breaker: Breaker,
    desertion: Desertion,
    /// Lanes of devices that it refused while the breaker was open. Bounded by the number of lanes.
    held: BTreeSet<String>,
    /// Bounded by the number of lanes.
    resting: BTreeSet<String>,
    /// The lane that was woken last to probe.
    probed: String,
    probing: bool,
    /// Sends that wait for their answer.
    under_way: usize,
    /// When the hub last answered, or when the first of those began.
    heard_at: UnixMillis,
    /// When its clock was last looked at.
    clock_asked_at: UnixMillis,
}

/// Counts as under way until dropped, also when its future is.
struct UnderWay<'a>(&'a Hub);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.trouble().under_way -= 1;
    }
}

impl Trouble {
    /// Each in turn: a lane that the hub never answers must not be the only one that is tried. Those that are another process's by
    /// now do not rest here.
    fn next_to_probe(&mut self, is_ours: impl Fn(&str) -> bool) -> Option<String> {
        loop {
            let after = (Bound::Excluded(self.probed.as_str()), Bound::Unbounded);
            let next = self.resting.range::<str, _>(after).next().or_else(|| self.resting.first()).cloned()?;
            self.resting.remove(&next);
            self.probed.clone_from(&next);
            if is_ours(&next) {
                return Some(next);
            }
        }
    }
}

/// How a hub stands, for the page and the probes.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Standing {
    /// Its host and port.
    pub hub: String,
    /// It works, as far as is known.
    pub open: bool,
    /// It refuses so many devices that none is registered again.
    pub refuses_many: bool,
    /// Lanes that rest until it does.
    pub resting: usize,
    /// How telemetry travels there.
    pub transport: &'static str,
    /// Its connections and devices, where the transport keeps any.
    #[serde(flatten)]
    pub links: Option<Links>,
}

impl Pool {
    /// Nothing is opened yet.
    pub fn new(options: Options, dial: Arc<dyn Dial>, queue: Queue, world: World, events: Events) -> Self {
        Self { hubs: Mutex::default(), lodgers: Mutex::default(), options, dial, queue, world, events }
    }

    /// The entry of a hub, made on first use. `host` is a bare name.
    pub async fn hub(&self, host: &str) -> Arc<Hub> {
        let known = lock(&self.hubs).get(host).cloned();
        if let Some(hub) = known {
            return hub;
        }
        let hub = self.open(host);
        self.world.point(Point::PoolHubOpened).await;
        hub
    }

    /// Of two that come at once, both get the first one's.
    fn open(&self, host: &str) -> Arc<Hub> {
        let mut hubs = lock(&self.hubs);
        if let Some(hub) = hubs.get(host) {
            return hub.clone();
        }
        let clock = Arc::<ServerClock>::default();
        let client = Client::new(host, &self.options, &self.dial, &clock, &self.world);
        let hub =
            Arc::new(Hub { endpoint: client.endpoint(), name: host.into(), client, trouble: Mutex::default(), clock });
        hubs.insert(host.to_owned(), hub.clone());
        hub
    }

    /// How all hubs stand.
    pub fn standing(&self) -> Vec<Standing> {
        let hubs: Vec<_> = lock(&self.hubs).values().cloned().collect();
        let now = self.world.steady();
        let standing = |hub: &Arc<Hub>| {
            let mut trouble = hub.trouble();
            self.look_at_breaker(hub, &mut trouble);
            let open = trouble.gate.is_open() && !trouble.is_silent(now);
            Standing {
                hub: hub.endpoint.to_string(),
                open,
                refuses_many: trouble.breaker.is_open(),
                resting: trouble.resting.len(),
                transport: hub.client.capabilities().name,
                links: hub.client.links(),
            }
        };
        hubs.iter().map(standing).collect()
    }

    /// May a message go to the hub now? A hub that has fallen silent is taken for down before its first time-out: else its
    /// messages would fill all places in flight, and those of other hubs would wait behind them.
    pub fn admit(self: &Arc<Self>, hub: &Arc<Hub>) -> Admission {
        let now = self.world.steady();
        let mut trouble = hub.trouble();
        if !(trouble.gate.is_open() && trouble.is_silent(now)) {
            return trouble.gate.admit(now);
        }
        drop(trouble);
        self.failed(hub, Sign::Certain(None), "it has fallen silent");
        Admission::Rest
    }

    /// Whether the device that was admitted to try this hub is to ask the provisioning service where it lives instead.
    pub fn take_question(&self, hub: &Hub) -> bool {
        hub.trouble().desertion.take_question(self.world.steady())
    }

    /// A device that asked was told of another hub: all who were assigned to this one before may ask, too.
    pub async fn left(&self, host: &str) {
        self.world.point(Point::PoolHubLeft).await;
        let Some(hub) = lock(&self.hubs).get(host).cloned() else { return };
        let mut trouble = hub.trouble();
        trouble.desertion.left(self.world.now());
        let resting = std::mem::take(&mut trouble.resting);
        drop(trouble);
        self.events.emit(Event::HubLeft { hub: &hub.endpoint.to_string(), resting: resting.len() });
        for lane in resting {
            self.queue.wake(&lane);
        }
    }

    /// Whether a device that was assigned to this hub at that time is to ask where it lives.
    pub fn is_left(&self, hub: &Hub, assigned_at: UnixMillis) -> bool {
        hub.trouble().desertion.concerns(assigned_at, self.world.now())
    }

    /// A device was admitted and does not send, because it is not its turn.
    pub fn untried(&self, hub: &Hub) {
        hub.trouble().gate.untried(self.world.steady());
    }

    /// May this device send now, or when is it its turn? Hubs take only so many devices that attach a second.
    pub fn turn(&self, hub: &Hub, device: &str) -> Turn {
        hub.client.turn(device)
    }

    /// Sends one message, and keeps the books of the gate's good side.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(&self, hub: &Hub, device: &str, signer: &Signer, telemetry: &Telemetry) -> Result<(), SendError> {
        let under_way = hub.begin(self.world.steady());
        let answer = hub.client.send((&hub.clock, &self.world), device, signer, telemetry).await;
        drop(under_way);
        let server_time = answer.as_ref().map_or_else(|e| e.server_time, |delivered| delivered.server_time);
        hub.clock.learn(server_time, &self.world);
        let outcome = answer.map(|_| ());
        if hub_works(&outcome) {
            self.works(hub, device, outcome.is_ok());
        }
        if matches!(&outcome, Err(e) if e.why == Why::Unauthorized && e.server_time.is_none()) {
            self.look_at_clock(hub).await;
        }
        outcome
    }

    /// A token may have been refused because our clock is wrong, and AMQP does not tell the time.
    async fn look_at_clock(&self, hub: &Hub) {
        let now = self.world.steady();
        if std::mem::replace(&mut hub.trouble().clock_asked_at, now).abs_diff(now) > CLOCK_EVERY {
            let said = hub.client.server_time().await;
            hub.clock.learn(said, &self.world);
        }
    }

    /// Something is about to be sent for a device: false where that is another process's to do by now. Its link goes with the right to
    /// it.
    pub fn lodges(&self, lane: &str, hub: &Hub, device: &str) -> bool {
        if !self.queue.is_shared() {
            return true;
        }
        let Some(tenancy) = self.queue.tenancy(lane).filter(|_| self.queue.holds(lane)) else { return false };
        lock(&self.lodgers).came(tenancy, lane, hub.host(), device);
        true
    }

    /// Where others share the queue: lets the devices go that are not ours any more, until nobody else has the pool.
    pub fn watch_lodgers(self: &Arc<Self>) {
        if !self.queue.is_shared() {
            return;
        }
        let pool = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let Some(pool) = pool.upgrade() else { return };
                let ours = |tenancy, lane: &str| pool.queue.holds(lane) && pool.queue.tenancy(lane) == Some(tenancy);
                let gone = lock(&pool.lodgers).go(ours);
                for (host, devices) in gone {
                    tracing::info!(hub = host, devices = devices.len(), "links go with their part of the queue");
                    devices.iter().for_each(|device| pool.forget(&host, device));
                }
            }
        });
    }

    /// Lets a device go whose key or hub has changed.
    pub fn forget(&self, host: &str, device: &str) {
        if let Some(hub) = lock(&self.hubs).get(host) {
            hub.client.forget(device);
        }
    }

    /// Whether a device has a link at a hub; `None` where the transport keeps none, or nobody has asked for the hub yet.
    pub fn link(&self, host: &str, device: &str) -> Option<Link> {
        let hub = lock(&self.hubs).get(host).cloned()?;
        hub.client.link(device)
    }

    /// A person has seen to it that nobody else sends as this device.
    pub fn pardon(&self, host: &str, device: &str) {
        let hub = lock(&self.hubs).get(host).cloned();
        if let Some(hub) = hub {
            hub.client.pardon(device);
        }
    }

    /// Closes all connections, politely and within two seconds.
    pub async fn close(&self) {
        let hubs: Vec<_> = lock(&self.hubs).values().cloned().collect();
        let closing: Vec<_> =
            hubs.into_iter().map(|hub| tokio::spawn(async move { hub.client.close().await })).collect();
        for one in closing {
            let _ = one.await;
        }
    }

    fn works(&self, hub: &Hub, device: &str, accepted: bool) {
        let mut trouble = hub.trouble();
        trouble.heard_at = self.world.steady();
        trouble.desertion.answered();
        if accepted {
            trouble.breaker.accepted(device);
            self.look_at_breaker(hub, &mut trouble);
        }
        let heard_at = trouble.heard_at;
        if !trouble.gate.worked(heard_at) {
            return;
        }
        let woken = std::mem::take(&mut trouble.resting);
        drop(trouble);
        self.events.emit(Event::HubWorks { hub: &hub.endpoint.to_string(), woken: woken.len() });
        for lane in woken {
            self.queue.wake(&lane);
        }
    }

    /// The hub did not work: closes its gate, if that is certain enough, and sees to it that somebody probes.
    pub fn failed(self: &Arc<Self>, hub: &Arc<Hub>, sign: Sign<'_>, cause: &str) {
        let now = self.world.steady();
        let mut trouble = hub.trouble();
        if matches!(sign, Sign::Certain(None) | Sign::Doubtful(_)) {
            trouble.desertion.failed(now);
        }
        let was_open = trouble.gate.is_open();
        let Some(until) = trouble.gate.failed(now, sign, self.world.random.fraction(("hub", hub.host(), now))) else {
            return;
        };
        let start_probing = !std::mem::replace(&mut trouble.probing, true);
        drop(trouble);
        if was_open {
            self.events.emit(Event::HubDown { hub: &hub.endpoint.to_string(), cause });
        }
        if start_probing {
            let (pool, hub) = (self.clone(), hub.clone());
            let first = Duration::from_millis((until - now).max(0).unsigned_abs());
            tokio::spawn(async move { pool.probe(&hub, first).await });
        }
    }

    /// Wakes one resting lane after another until the gate is open.
    async fn probe(&self, hub: &Hub, first: Duration) {
        let mut wait = first;
        loop {
            tokio::time::sleep(wait).await;
            wait = PROBE_EVERY;
            let mut trouble = hub.trouble();
            if trouble.gate.is_open() {
                trouble.probing = false;
                return;
            }
            let next = trouble.next_to_probe(|lane| self.queue.holds(lane));
            drop(trouble);
            if let Some(lane) = next {
                self.queue.wake(&lane);
            }
        }
    }

    /// A lane that was just released rests until the hub works. Woken at once when it does already.
    pub fn rest(&self, hub: &Hub, lane: &str) {
        let mut trouble = hub.trouble();
        if trouble.gate.is_open() {
            drop(trouble);
            self.queue.wake(lane);
        } else {
            trouble.resting.insert(lane.to_owned());
        }
    }

    /// A device of this hub was refused: its own trouble, or everybody's? `known` is how many devices the hub has.
    pub fn refused(&self, hub: &Hub, device: &str, lane: &str, known: usize, cause: &str) -> Verdict {
        let mut trouble = hub.trouble();
        let verdict = trouble.breaker.refused(device, known, self.world.steady());
        if verdict != Verdict::Single {
            trouble.held.insert(lane.to_owned());
        }
        drop(trouble);
        if verdict == Verdict::Opened {
            self.events.emit(Event::BreakerOpened { hub: &hub.endpoint.to_string(), cause });
        }
        verdict
    }

    /// A device that registered again is well at this hub: that another one had refused it was its move, and says nothing
    /// of that other one. Where it has helped enough of them, those that are held try at once.
    pub fn registering_helped(&self, at: &Hub, device: &str) {
        let now = self.world.steady();
        let hubs: Vec<_> = lock(&self.hubs).values().cloned().collect();
        for hub in hubs {
            let mut trouble = hub.trouble();
            let was_refused = trouble.breaker.accepted(device) || hub.host() == at.host();
            if was_refused && trouble.breaker.registering_helped(now) {
                self.hurry(std::mem::take(&mut trouble.held));
            }
            self.look_at_breaker(&hub, &mut trouble);
        }
    }

    /// Lanes that wait for a time try at once.
    fn hurry(&self, lanes: BTreeSet<String>) {
        let queue = self.queue.clone();
        tokio::spawn(async move {
            let lanes: Vec<_> = lanes.into_iter().collect();
            for some in lanes.chunks(HURRIED_AT_ONCE) {
                // The queue has closed: whoever comes next reads it anew.
                let _ = queue.hurry(some.to_vec()).await;
            }
        });
    }

    /// Too few are refused by now to be everybody's trouble.
    fn look_at_breaker(&self, hub: &Hub, trouble: &mut Trouble) {
        if trouble.breaker.has_closed(self.world.steady()) {
            trouble.held.clear();
            self.events.emit(Event::BreakerClosed { hub: &hub.endpoint.to_string() });
        }
    }
}

impl Trouble {
    fn is_silent(&self, now: UnixMillis) -> bool {
        self.under_way > 0 && now - self.heard_at > SILENT_MAX
    }
}

impl Hub {
    /// Its host name.
    pub fn host(&self) -> &str {
        &self.endpoint.host
    }

    /// The same, shared.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn begin(&self, now: UnixMillis) -> UnderWay<'_> {
        let mut trouble = self.trouble();
        if trouble.under_way == 0 {
            trouble.heard_at = now;
        }
        trouble.under_way += 1;
        UnderWay(self)
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        lock(&self.trouble)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_is_silent_when_something_waits_and_nothing_came() {
        let waiting = Trouble { under_way: 1, heard_at: 1_000, ..Trouble::default() };
        assert!(!waiting.is_silent(1_000 + SILENT_MAX));
        assert!(waiting.is_silent(1_001 + SILENT_MAX));
        let idle = Trouble { heard_at: 1_000, ..Trouble::default() };
        assert!(!idle.is_silent(1_000_000), "a hub that nobody asks is not silent");
    }
}
