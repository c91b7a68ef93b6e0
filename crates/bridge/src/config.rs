//! The configuration, read and checked: every value in here is usable as it stands.
//!
//! [`read()`] parses everything and reports every mistake at once; nothing below this module looks at TOML or at
//! the environment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub mod mistake;
mod names;
pub mod read;
mod secret;

pub use mistake::{Mistake, Place, report};
pub use names::Names;
pub use read::{Read, read};
pub use secret::{Secret, Source};

/// The commented configuration that `longhaul init` writes: every key with its default.
pub const COMMENTED: &str = include_str!("config/longhaul.toml");

/// Everything that `longhaul.toml` and `LONGHAUL__…` say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `[webhook]`: the door.
    pub webhook: Webhook,
    /// `[admin]`: page, metrics, probes.
    pub admin: Admin,
    /// `[queue]`: where messages rest.
    pub queue: QueueConfig,
    /// `[azure]`: what all targets share.
    pub azure: Azure,
    /// `[targets.NAME]`.
    pub targets: BTreeMap<String, Arc<Target>>,
    /// `[[routes]]`, in the order of the file.
    pub routes: Vec<Route>,
    /// `[log]`.
    pub log: Log,
    /// Where all this stood.
    pub given: Given,
}

/// Which keys were given, and by whom. Where a value stands makes no configuration another one.
#[derive(Clone, Default)]
pub struct Given {
    /// The file.
    pub file: Option<PathBuf>,
    /// By dotted keys, items of a list as `routes[0]`; the rest has its default.
    pub keys: BTreeMap<String, Place>,
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Given").finish_non_exhaustive()
    }
}

impl PartialEq for Given {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Given {}

impl Given {
    /// Who gave a key, or something below it.
    pub fn of(&self, key: &str) -> Option<&Place> {
        let below = |first: String| {
            let (found, place) = self.keys.range(first.clone()..).next()?;
            found.starts_with(&first).then_some(place)
        };
        self.keys.get(key).or_else(|| below(format!("{key}."))).or_else(|| below(format!("{key}[")))
    }
}

impl Config {
    /// How long the door stays open once the process leaves, so that a balancer learns of it before it is refused. Who is
    /// alone has no other door to which it could send.
    pub fn linger(&self) -> Duration {
        self.webhook.linger.unwrap_or(match self.queue.kind {
            QueueKind::Embedded => Duration::ZERO,
            QueueKind::Storage(_) => SHARED_LINGER,
        })
    }
}

/// `[webhook]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// `listen`, default `127.0.0.1:8080`.
    pub listen: SocketAddr,
    /// `keys`: any of them opens the door. Empty only on loopback.
    pub keys: Vec<WebhookKey>,
    /// `key_overlap_seconds`: how long a key that was replaced where it stands is still taken, default an hour.
    pub key_overlap: Duration,
    /// `network`: the network's name in a message's identity, default `ttn`. A key may name another.
    pub network: String,
    /// `cert_file` and `key_file`, reloaded when they change.
    pub tls: Option<TlsFiles>,
    /// `behind_proxy`: TLS ends before us.
    pub behind_proxy: bool,
    /// `max_connections`, default 8192.
    pub max_connections: usize,
    /// `max_waiting`: puts that may wait for the disk at once, default 4096.
    pub max_waiting: usize,
    /// `max_waiting_bytes`: their bytes, default 64 MiB.
    pub max_waiting_bytes: usize,
    /// `linger_seconds`: how long the door stays open once the process leaves; without it as [`Config::linger`] says.
    pub linger: Option<Duration>,
}

/// One entry of `webhook.keys`: a string, `{ env = … }`, `{ file = … }` or `{ key = …, applications = […], network = … }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookKey {
    /// What the network sends.
    pub secret: Secret,
    /// Where that stands.
    pub source: Source,
    /// Valid for these applications only; `None`: for all.
    pub applications: Option<BTreeSet<String>>,
    /// The network that uses this key; `None`: `webhook.network`.
    pub network: Option<String>,
}

impl WebhookKey {
    /// One that stands in the configuration itself, for all applications.
    pub fn plain(secret: Secret) -> Self {
        Self { secret, source: Source::Plain, applications: None, network: None }
    }
}

/// A certificate chain and its key, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// `cert_file`.
    pub cert_file: PathBuf,
    /// `key_file`.
    pub key_file: PathBuf,
}

/// `[admin]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// `listen`, default `127.0.0.1:8081`.
    pub listen: SocketAddr,
    /// `token`: required beyond loopback, probes without.
    pub token: Option<Secret>,
}

/// `[queue]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// `kind`, and what belongs to it.
    pub kind: QueueKind,
    /// `dir`, default `data`. Of a shared queue: what is noted on this machine only.
    pub dir: PathBuf,
    /// `max_bytes`: bound of the database file, default 8 GiB.
    pub max_bytes: u64,
    /// `dead_letters_max`: the oldest go first beyond this, default 100 000.
    pub dead_letters_max: u64,
    /// `kept_max`: kept events, the oldest go first beyond this, default 20 000.
    pub kept_max: u64,
    /// `max_waiting_per_device`: what comes beyond goes to the dead letters; without it there is no such bound.
    pub max_waiting_per_device: Option<u64>,
    /// `max_waiting_per_application`: as for a device.
    pub max_waiting_per_application: Option<u64>,
}

/// `kind` of `[queue]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueKind {
    /// `embedded`, the default: files of this process alone.
    Embedded,
    /// `azure-storage`: several processes share it.
    Storage(Box<StorageQueue>),
}

impl QueueKind {
    /// Of `azure-storage`.
    pub fn storage(&self) -> Option<&StorageQueue> {
        match self {
            Self::Embedded => None,
            Self::Storage(storage) => Some(storage),
        }
    }
}

/// `kind = "azure-storage"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageQueue {
    /// `connection_string`, or `account_url` with the identity of `azure.credential` or the environment.
    pub account: storage::Account,
    /// `container`, default `longhaul`.
    pub container: String,
    /// `partitions`: into how many parts the devices are divided when the queue is made, default 4.
    pub partitions: u16,
}

/// `[azure]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Azure {
    /// `credential`: who we are to key vaults and to a storage account; without it the environment tells.
    pub credential: Option<vault::Kind>,
    /// `key_vault_refresh_seconds`: how often secrets in key vaults are fetched anew, default 300.
    pub key_vault_refresh: Duration,
    /// `ca_file`: trusted besides the system's roots.
    pub ca_file: Option<PathBuf>,
    /// `ports.https`, default 443: DPS answers with a bare host name.
    pub https_port: u16,
    /// `ports.amqp`, default 5671.
    pub amqp_port: u16,
    /// `registrations_per_minute`, for each scope; without it [`DPS_PER_MINUTE`] or [`CENTRAL_PER_MINUTE`]; 0 means unpaced.
    pub registrations_per_minute: Option<u32>,
    /// `creations_per_minute`: devices that are made in the registry of a hub, default 100, which the smallest hub takes.
    pub creations_per_minute: u32,
    /// `transport`: how telemetry travels to the hub, default AMQP.
    pub transport: Transport,
    /// `max_connections`: HTTPS connections to one hub, default 32.
    pub max_connections: usize,
    /// `devices_per_connection`: over AMQP, default 900 (450 in a WebSocket); a hub takes 1000 tokens a connection.
    pub devices_per_connection: Option<usize>,
    /// `max_links`: devices of one hub that stay attached over AMQP, default 100 000.
    pub max_links: usize,
    /// `attaches_per_second`: devices that a hub sees attach or renew their token a second, default 90; 0 means unpaced.
    pub attaches_per_second: u32,
    /// `sends_per_second`: messages a second to one hub over AMQP at the most; 0, the default: as many as it takes.
    pub sends_per_second: u32,
    /// `token_life_seconds`: how long a device's token lives, default an hour.
    pub token_life: Duration,
    /// `max_in_flight`: messages leased at once, default 1024.
    pub max_in_flight: usize,
}

impl Azure {
    /// The port of a hub that telemetry goes to.
    pub fn hub_port(&self) -> u16 {
        match self.transport {
            Transport::Amqp => self.amqp_port,
            Transport::AmqpWs | Transport::Https => self.https_port,
        }
    }
}

/// `azure.transport`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// `amqp`: many devices on one connection, port 5671.
    #[default]
    Amqp,
    /// `amqp-ws`: the same in a WebSocket on port 443, where a firewall lets nothing else out.
    AmqpWs,
    /// `https`: one request a message.
    Https,
}

/// `[targets.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What it is and how to get in.
    pub kind: TargetKind,
    /// `device_id`: template of the device's name there, default `{device_id}`.
    pub device_id: Template,
    /// `daily_units`: what each of its hubs takes in a day of UTC, in messages of 4 KiB; without it nobody is warned.
    pub daily_units: Option<u64>,
}

/// `kind` of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// `dps` and `iot-central`: devices register with a key derived from the group's.
    Dps(DpsTarget),
    /// `iot-hub` with the connection string of one device.
    Device(azure::connection_string::DeviceConnectionString),
    /// `iot-hub` with the connection string of a shared access policy: any device, made when it is not there.
    Policy(azure::connection_string::PolicyConnectionString),
}

/// A DPS scope with a group key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DpsTarget {
    /// `endpoint`: host, or host and port; default `global.azure-devices-provisioning.net`.
    pub endpoint: azure::net::Endpoint,
    /// `id_scope`.
    pub id_scope: String,
    /// `group_key`: decoded bytes of the primary key of the enrolment group.
    pub group_key: Secret<Vec<u8>>,
    /// `secondary_group_key`: for the time when the primary one is being replaced.
    pub secondary_group_key: Option<Secret<Vec<u8>>>,
    /// `model_id`: sent as `{"modelId": …}` when a device registers.
    pub model_id: Option<String>,
    /// `kind = "iot-central"`: its payload conventions apply.
    pub central: bool,
}

impl DpsTarget {
    /// One of the group's keys, decoded; the primary one where no secondary is configured (any more).
    pub fn key(&self, key: GroupKey) -> &[u8] {
        match (key, &self.secondary_group_key) {
            (GroupKey::Secondary, Some(secondary)) => secondary.expose(),
            _ => self.group_key.expose(),
        }
    }
}

/// Whether a key looks like that of a single device where a group's belongs. Azure makes group keys of 64 bytes, or lately
/// of 32 that are marked with `AIoT`; a device's derived key is 32 bytes without.
pub fn looks_derived(group_key: &[u8]) -> bool {
    group_key.len() == DERIVED_BYTES && !STANDARD.encode(group_key).contains("AIoT")
}

/// HMAC-SHA256.
const DERIVED_BYTES: usize = 32;

/// One of the two keys of an enrolment group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GroupKey {
    /// `group_key`.
    #[default]
    Primary,
    /// `secondary_group_key`.
    Secondary,
}

impl GroupKey {
    /// As it is called in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Primary => "group_key",
            Self::Secondary => "secondary_group_key",
        }
    }

    /// Not this one.
    pub fn other(self) -> Self {
        match self {
            Self::Primary => Self::Secondary,
            Self::Secondary => Self::Primary,
        }
    }
}

/// How a device is called at a target: text with `{device_id}`, `{application_id}`, `{dev_eui}`, `{network}`.
/// `dev_eui` is written in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(pub Vec<Part>);

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::DeviceId => f.write_str("{device_id}"),
            Part::ApplicationId => f.write_str("{application_id}"),
            Part::DevEui => f.write_str("{dev_eui}"),
            Part::Network => f.write_str("{network}"),
        })
    }
}

/// A piece of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// As it stands.
    Text(String),
    /// The network's name for the device.
    DeviceId,
    /// The application.
    ApplicationId,
    /// The DevEUI, lower case.
    DevEui,
    /// `webhook.network` or the key's.
    Network,
}

/// One `[[routes]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// `application`; `None` is the default route.
    pub application: Option<String>,
    /// `port`, only together with `application`.
    pub port: Option<u8>,
    /// `target` or `drop`.
    pub destination: Destination,
}

/// What a [`Route`] leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// `target`: a name below `[targets]`.
    Target(String),
    /// `drop = true`: the uplink ends here on purpose, and is counted.
    Drop,
}

impl Route {
    /// The name of its target, unless it drops.
    pub fn target(&self) -> Option<&str> {
        match &self.destination {
            Destination::Target(name) => Some(name),
            Destination::Drop => None,
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.application, self.port) {
            (None, _) => f.write_str("default"),
            (Some(application), None) => f.write_str(application),
            (Some(application), Some(port)) => write!(f, "{application} port {port}"),
        }
    }
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// `format = "json"`, default `text`.
    pub json: bool,
    /// `level`: `error`, `warn`, `info` (default), `debug`, `trace`.
    pub level: tracing::Level,
}

/// What DPS takes in a minute (azure-docs, DPS limits).
pub const DPS_PER_MINUTE: u32 = 1000;
/// What IoT Central takes in a minute (azure-docs, IoT Central quotas).
pub const CENTRAL_PER_MINUTE: u32 = 200;

/// How long the door of a shared queue stays open once its process leaves: some looks of a balancer.
pub const SHARED_LINGER: Duration = Duration::from_secs(5);
/// How long a drain may take before the process goes all the same, from the end of the lingering.
pub const DRAIN_MAX: Duration = Duration::from_secs(10);
