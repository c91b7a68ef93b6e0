//! One installation: a disk, a cloud and a clock that outlast the process, and the lives of the process on them.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bridge::device::Shared;
use bridge::events::Events;
use bridge::head::Head;
use bridge::identity;
use bridge::lane::{DeviceKey, Lane};
use bridge::provision::Applicant;
use bridge::suspects::Suspects;
use bridge::world::{Clock as _, Random, World};
use bridge::{app, config, dispatch};
use prometheus_client::registry::Registry;
use queue::blobs::double::{Account, Client};
use queue::memory::Disk;
use queue::{DeadLetter, Options, Place, Put, Queue};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::cloud::{Cloud, GROUP_KEY};

/// A Monday, 10:00 UTC.
const BEGINNING: i64 = 1_795_428_000_000;
/// A real uplink of The Things Stack, and a real acknowledgement.
const UPLINK: &str = include_str!("../../../lorawan/samples/041-v3-uplink_message-ha-default_valid.json");
const ACK: &str = include_str!("../../../lorawan/samples/026-v3-downlink_ack-docs.json");

/// Wall-clock time that goes with tokio's.
#[derive(Debug)]
pub(crate) struct Clock(Mutex<(i64, Option<Instant>)>);

impl Clock {
    fn begins(&self) {
        self.0.lock().unwrap().1 = Some(Instant::now());
    }

    fn rests(&self) {
        let now = bridge::world::Clock::now(self);
        *self.0.lock().unwrap() = (now, None);
    }
}

impl bridge::world::Clock for Clock {
    fn now(&self) -> i64 {
        let (base, since) = *self.0.lock().unwrap();
        base + since.map_or(0, |since| i64::try_from(since.elapsed().as_millis()).unwrap())
    }
}

/// See the module.
pub(crate) struct Site {
    pub(crate) cloud: Cloud,
    pub(crate) disk: Disk,
    /// TOML.
    pub(crate) config: String,
    clock: Arc<Clock>,
    seed: u64,
}

impl Site {
    pub(crate) fn new(seed: u64) -> Self {
        eprintln!("seed {seed}");
        let clock = Arc::new(Clock(Mutex::new((BEGINNING, None))));
        Self { cloud: Cloud::new(clock.clone()), disk: Disk::new(), config: configuration(""), clock, seed }
    }

    /// Runs the process from its start until the story is told; then it is killed.
    pub(crate) fn live(&mut self, story: impl AsyncFnOnce(&Life)) {
        self.begin(async |site| {
            let life = Life::begins(site).await;
            story(&life).await;
        });
    }

    /// As [`Site::live`], for a story that puts its process together itself.
    pub(crate) fn begin(&mut self, story: impl AsyncFnOnce(&Self)) {
        self.seed += 1;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            self.clock.begins();
            story(self).await;
            self.cloud.state().hub.killed(self.clock.now());
            self.clock.rests();
        });
        // With it go all its tasks and connections.
        drop(runtime);
    }

    pub(crate) fn world(&self) -> World {
        World::new(self.clock.clone(), Random::from_seed(self.seed))
    }
}

pub(crate) fn read(text: &str) -> config::Config {
    let read = config::read(text, &[], Path::new("."), &|_| Err(std::io::ErrorKind::NotFound.into()));
    read.unwrap().config
}

/// The configuration of all tests, with more keys below `[azure]`.
pub(crate) fn configuration(azure: &str) -> String {
    let key = STANDARD.encode(GROUP_KEY);
    format!(
        "[azure]\ntransport = \"https\"\n{azure}\n[targets.main]\nkind = \"dps\"\nendpoint = \"dps.example\"\nid_scope = \"{}\"\n\
         group_key = \"{key}\"\n[[routes]]\ntarget = \"main\"\n",
        crate::dps::SCOPE
    )
}

/// A storage account that several processes share.
pub(crate) fn account(site: &Site) -> Account {
    let clock = site.clock.clone();
    Account::new(Arc::new(move || clock.now()))
}

/// A process that runs.
pub(crate) struct Life {
    pub(crate) queue: Queue,
    /// Its way to the account that it shares.
    pub(crate) client: Option<Client>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) cloud: Cloud,
    clock: Arc<Clock>,
    stop: watch::Sender<bool>,
    dispatch: Mutex<Option<JoinHandle<()>>>,
}

impl Life {
    async fn begins(site: &Site) -> Self {
        let clock = site.clock.clone();
        let options = Options::in_memory(&site.disk, Arc::new(move || clock.now()));
        let (queue, writer) = Queue::open_here(options).unwrap();
        tokio::spawn(writer);
        Self::with(site, site.world(), queue, None).await
    }

    /// One of several on one account, with a door of its own.
    pub(crate) async fn shares(site: &Site, account: &Account, name: &str) -> Self {
        Self::shares_in(site, account, name, site.world()).await
    }

    /// In a world where somebody listens.
    pub(crate) async fn shares_in(site: &Site, account: &Account, name: &str, world: World) -> Self {
        let client = account.client();
        client.set_latency(|| Duration::from_millis(5));
        let clock = site.clock.clone();
        let clock: queue::Clock = Arc::new(move || clock.now());
        let options = Options::in_memory(&Disk::new(), clock.clone());
        let shared = queue::Shared::new(Arc::new(client.clone()), name.to_owned(), clock);
        let queue = Queue::join(shared, options).await.unwrap();
        Self::with(site, world, queue, Some(client)).await
    }

    async fn with(site: &Site, world: World, queue: Queue, client: Option<Client>) -> Self {
        let dial = Arc::new(site.cloud.clone()) as Arc<dyn azure::net::Dial>;
        let config = read(&site.config);
        let events = Events::new(&mut Registry::default(), &world);
        let shared = Arc::new(app::flow(&config, &dial, &queue, &world, &events, Suspects::in_memory()).await.unwrap());
        let (stop, stops) = watch::channel(false);
        let leases = queue.leases(config.azure.max_in_flight);
        let dispatch = tokio::spawn(dispatch::run(leases, shared.clone(), stops));
        Self {
            queue,
            client,
            shared,
            cloud: site.cloud.clone(),
            clock: site.clock.clone(),
            stop,
            dispatch: Mutex::new(Some(dispatch)),
        }
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.now()
    }

    /// Messages `counters` of a device, one after another.
    pub(crate) async fn uplinks(&self, application: &str, device: &str, counters: std::ops::RangeInclusive<u64>) {
        for counter in counters {
            self.put(uplink(application, device, counter, "AQAI"), self.now()).await;
        }
    }

    /// A device as one that is to be registered ahead of its first message.
    pub(crate) fn applicant(&self, application: &str, device: &str) -> Applicant {
        let key = DeviceKey { network: "ttn".into(), application: application.into(), device: device.into() };
        let target = self.shared.config.get().targets["main"].clone();
        let name = identity::name("main", &target, &key, None).expect("it can be named");
        Applicant { name, target, lane: Lane::Telemetry(key).to_string() }
    }

    pub(crate) async fn put(&self, message: Message, accepted_at: i64) {
        let Message { network, application, device, kind, body } = message;
        let key = DeviceKey { network: network.clone(), application: application.clone(), device: device.clone() };
        let lane = if kind == "uplink_message" { Lane::Telemetry(key) } else { Lane::News(key) };
        let head = Head {
            network,
            application: Some(application),
            device: Some(device),
            format: "tts-v3".into(),
            ..Head::default()
        };
        let (lane, head) = (lane.to_string(), head.to_bytes());
        let put = Put { lane, kind: kind.into(), head, body, accepted_at, place: Place::Lane };
        self.queue.put(put).await.expect("the disk takes it");
    }

    /// Waits until `done`, at most `most`; says what was missing otherwise. Returns how long it took.
    pub(crate) async fn until(&self, what: &str, most: Duration, mut done: impl FnMut() -> bool) -> Duration {
        let since = Instant::now();
        while !done() {
            assert!(since.elapsed() < most, "{what}: not within {most:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        since.elapsed()
    }

    /// Waits until the hubs have so many different messages, in all.
    pub(crate) async fn until_taken(&self, messages: usize, most: Duration) -> Duration {
        self.until(&format!("{messages} messages"), most, || self.cloud.state().hub.taken() >= messages).await
    }

    pub(crate) async fn until_empty(&self, most: Duration) -> Duration {
        self.until("an empty queue", most, || self.queue.stats().waiting == 0).await
    }

    /// Takes another configuration, as a reload does.
    pub(crate) fn reload(&self, text: &str) {
        self.shared.config.set(read(text));
        self.shared.provision.ask_again();
    }

    pub(crate) async fn rest(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    pub(crate) async fn dead_letters(&self) -> Vec<DeadLetter> {
        self.queue.dead_letters(None, 10_000).await.unwrap()
    }

    /// Tells dispatch to stop, and waits until it has.
    pub(crate) async fn drain(&self) {
        self.stop.send_replace(true);
        let dispatch = self.dispatch.lock().unwrap().take();
        dispatch.expect("drained once").await.expect("dispatch ends well");
    }
}

/// A message as it is put.
pub(crate) struct Message {
    network: String,
    application: String,
    device: String,
    kind: &'static str,
    pub(crate) body: Vec<u8>,
}

pub(crate) fn uplink(application: &str, device: &str, counter: u64, payload: &str) -> Message {
    let mut body = addressed(UPLINK, application, device);
    body["uplink_message"]["f_cnt"] = counter.into();
    body["uplink_message"]["frm_payload"] = payload.into();
    message(application, device, "uplink_message", &body)
}

/// The same from a device of any network, on any port.
pub(crate) fn uplink_of(
    network: &str,
    application: &str,
    device: &str,
    port: u8,
    counter: u64,
    payload: &str,
) -> Message {
    let mut body = addressed(UPLINK, application, device);
    body["uplink_message"]["f_port"] = port.into();
    body["uplink_message"]["f_cnt"] = counter.into();
    body["uplink_message"]["frm_payload"] = payload.into();
    Message { network: network.to_owned(), ..message(application, device, "uplink_message", &body) }
}

pub(crate) fn ack(application: &str, device: &str) -> Message {
    message(application, device, "downlink_ack", &addressed(ACK, application, device))
}

fn addressed(sample: &str, application: &str, device: &str) -> serde_json::Value {
    let mut body: serde_json::Value = serde_json::from_str(sample).unwrap();
    body["end_device_ids"]["device_id"] = device.into();
    body["end_device_ids"]["application_ids"]["application_id"] = application.into();
    body
}

fn message(application: &str, device: &str, kind: &'static str, body: &serde_json::Value) -> Message {
    let (application, device) = (application.to_owned(), device.to_owned());
    Message { network: "ttn".to_owned(), application, device, kind, body: serde_json::to_vec(body).unwrap() }
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
