//! Wiring: options in, listening services out.
//!
//! Promises: when `start` returns, every address in [`Started`] accepts connections and the CA file is there. Dropping
//! or stopping the [`Simulator`] cuts all connections. Reads neither environment nor clock by itself.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::amqp::Amqp;
use crate::ca::{Authority, CA_FILE, CaError};
use crate::cloud::{Cloud, Counts, DeviceView, Pace, Parts};
use crate::connections::Http;
use crate::control::Control;
use crate::faults::Faults;
use crate::https::Https;
use crate::identity::{Identity, OWNER, Readers, guid, write_whole};
use crate::record::{Record, Recorded};
use crate::registry::{Registration, Registry, Status};
use crate::sockets::serve;

/// Milliseconds since 1970, UTC.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;
/// Told of each accepted message after it stands in the record. Called under a lock: must be quick and never wait.
pub type OnMessage = Arc<dyn Fn(&Recorded) + Send + Sync>;

/// What a simulator is to be. [`Options::new`] is in memory, on any free port, with no faults.
#[derive(Clone)]
pub struct Options {
    /// Wall-clock time: for expiry of tokens, time stamps, certificates and rate limits.
    pub clock: Clock,
    /// Addresses to listen on. The first must work, others are taken when they can be had.
    pub bind: Vec<IpAddr>,
    /// Port of DPS and hub over HTTPS; 0 takes any. Microsoft's SDKs know no port but 443.
    pub https_port: u16,
    /// Port of DPS, hub and its Event-Hubs-compatible endpoint over AMQP; 0 takes any. Most of Microsoft's SDKs know none but 5671.
    pub amqp_port: u16,
    /// Port of the page and the control API (plain HTTP, no login); 0 takes any, `None` has none.
    pub page_port: Option<u16>,
    /// Names besides `localhost`. The first is the hub that devices are assigned to.
    pub hosts: Vec<String>,
    /// Keeps CA, id scope, keys, devices and registrations over restarts. Made when missing.
    pub dir: Option<PathBuf>,
    /// Where the CA's certificate is written for clients. Default: in `dir`, else a file of its own in the system's directory
    /// for such things, removed in the end.
    pub ca_file: Option<PathBuf>,
    /// Accepted messages are appended here, one JSON line each.
    pub record: Option<PathBuf>,
    /// Instead of the kept or a random one.
    pub id_scope: Option<String>,
    /// Primary group key, base64, instead of the kept or a random one.
    pub group_key: Option<String>,
    /// How many polls are answered `assigning` before a registration is final.
    pub assigning_polls: u32,
    /// `Retry-After` of pending registrations, seconds. The real service says 3.
    pub retry_after_s: u64,
    /// Trouble from the start.
    pub faults: Faults,
    /// Told of each accepted message.
    pub on_message: Option<OnMessage>,
}

impl Options {
    /// Defaults as the real service behaves; see the fields.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            bind: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            https_port: 0,
            amqp_port: 0,
            page_port: None,
            hosts: Vec::new(),
            dir: None,
            ca_file: None,
            record: None,
            id_scope: None,
            group_key: None,
            assigning_polls: 1,
            retry_after_s: 3,
            faults: Faults::default(),
            on_message: None,
        }
    }
}

impl fmt::Debug for Options {
    /// Without the group key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("bind", &self.bind)
            .field("https_port", &self.https_port)
            .finish_non_exhaustive()
    }
}

/// Why a simulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address could not be had.
    #[error("listen on {address}, another program may have it (for ports below 1024 rights are needed)")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file or directory could not be used.
    #[error("use {path}")]
    File {
        /// The path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Two simulators with one directory would overwrite each other's devices.
    #[error("use {dir}, another simulator has it: stop that one or take another directory")]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// No certificate.
    #[error("prepare the certificates")]
    Certificate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The group key cannot be one.
    #[error("group_key: not base64 of 16 to 64 bytes, leave it out to have one made")]
    GroupKey,
}

impl From<CaError> for StartError {
    fn from(error: CaError) -> Self {
        Self::Certificate(Box::new(error))
    }
}

/// Where everything is and what clients need to know. Holds keys: that is its purpose; do not log it.
#[derive(Clone, Serialize)]
pub struct Started {
    /// Port of DPS and hub over HTTPS.
    pub https: u16,
    /// Port of DPS, hub and its Event-Hubs-compatible endpoint over AMQP.
    pub amqp: u16,
    /// Port of MQTT over TLS; none yet.
    pub mqtt: Option<u16>,
    /// Port of the page and the control API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<u16>,
    /// The name to dial.
    pub host: String,
    /// The id scope of the provisioning service.
    pub id_scope: String,
    /// Primary key of the enrolment group, base64.
    pub group_key: String,
    /// `host:port` of the provisioning service.
    pub dps_endpoint: String,
    /// The hub that devices are assigned to, a bare name.
    pub hub: String,
    /// For service SDKs; a bare host name.
    pub service_connection_string: String,
    /// For readers of the Event-Hubs-compatible endpoint; a bare host name, to which a reader may be given another port.
    pub event_hub_connection_string: String,
    /// The CA's certificate, PEM.
    pub ca_file: PathBuf,
}

impl fmt::Debug for Started {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Started").field("https", &self.https).field("hub", &self.hub).finish_non_exhaustive()
    }
}

/// A running simulator.
pub struct Simulator {
    started: Started,
    ca_pem: String,
    cloud: Arc<Cloud>,
    services: JoinSet<()>,
    passing_ca_file: Option<PathBuf>,
    /// Held as long as the directory is ours.
    _claim: Option<File>,
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator").field("started", &self.started).finish_non_exhaustive()
    }
}

/// Starts both services.
///
/// # Errors
/// See [`StartError`]; nothing is left running.
pub async fn start(options: Options) -> Result<Simulator, StartError> {
    let now_ms = (options.clock)();
    let dir = options.dir.as_deref();
    let claim = dir.map(claim).transpose()?;
    let hosts = all_hosts(&options.hosts);
    let authority = Authority::open(dir, now_ms)?;
    let tls = TlsAcceptor::from(Arc::new(authority.server_config(dir, &hosts, now_ms)?));
    let (ca_file, passing_ca_file) = place_ca(&options, &authority.pem)?;
    let (amqp, amqp_listeners) = listen(&options.bind, options.amqp_port).await?;
    let cloud = Arc::new(open_cloud(&options, hosts, amqp)?);

    let mut services = JoinSet::new();
    for listener in amqp_listeners {
        services.spawn(serve(listener, Some(tls.clone()), Arc::new(Amqp { cloud: Arc::clone(&cloud) })));
    }
    let (https, listeners) = listen(&options.bind, options.https_port).await?;
    for listener in listeners {
        let answers = Arc::new(Https { cloud: Arc::clone(&cloud) });
        services.spawn(serve(listener, Some(tls.clone()), Arc::new(Http(answers))));
    }
    let page = match options.page_port {
        None => None,
        Some(port) => {
            let (port, listeners) = listen(&options.bind, port).await?;
            for listener in listeners {
                let answers = Arc::new(Control { cloud: Arc::clone(&cloud) });
                services.spawn(serve(listener, None, Arc::new(Http(answers))));
            }
            Some(port)
        }
    };
    let started = describe(&cloud, https, page, ca_file);
    Ok(Simulator { started, ca_pem: authority.pem, cloud, services, passing_ca_file, _claim: claim })
}

/// Makes the directory and takes it for this simulator until the file is closed, which a kill does too.
fn claim(dir: &Path) -> Result<File, StartError> {
    std::fs::create_dir_all(dir).map_err(at(dir))?;
    let file = File::create(dir.join("lock")).map_err(at(dir))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(at(dir)(source)),
    }
}

/// The names as asked for, and `localhost`, which always works.
fn all_hosts(asked: &[String]) -> Vec<String> {
    let mut hosts = asked.to_vec();
    if !hosts.iter().any(|host| host.eq_ignore_ascii_case("localhost")) {
        hosts.push("localhost".to_owned());
    }
    hosts
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> StartError {
    let path = path.to_owned();
    move |source| StartError::File { path, source }
}

/// Writes the CA's certificate where clients find it; gives the path, and again when it is to be removed in the end.
fn place_ca(options: &Options, pem: &str) -> Result<(PathBuf, Option<PathBuf>), StartError> {
    let (path, is_passing) = match (&options.ca_file, &options.dir) {
        (Some(file), _) => (file.clone(), false),
        // It lies there already, beside its key.
        (None, Some(dir)) => return Ok((dir.join(CA_FILE), None)),
        (None, None) => (std::env::temp_dir().join(format!("azure-sim-ca-{}.pem", guid())), true),
    };
    write_whole(&path, pem.as_bytes(), Readers::Everyone).map_err(at(&path))?;
    Ok((path.clone(), is_passing.then_some(path)))
}

fn open_cloud(options: &Options, hosts: Vec<String>, amqp_port: u16) -> Result<Cloud, StartError> {
    let dir = options.dir.as_deref();
    let shown_dir = dir.unwrap_or(Path::new(""));
    let identity = open_identity(options)?;
    identity.keep(dir).map_err(at(shown_dir))?;
    let record_path = options.record.as_deref();
    let record = Record::open(record_path, options.on_message.clone()).map_err(at(record_path.unwrap_or(shown_dir)))?;
    Ok(Cloud::new(Parts {
        clock: Arc::clone(&options.clock),
        hosts,
        identity,
        pace: Pace { assigning_polls: options.assigning_polls, retry_after_s: options.retry_after_s },
        registry: Registry::open(dir).map_err(at(shown_dir))?,
        record,
        faults: options.faults.clone(),
        amqp_port,
    }))
}

fn open_identity(options: &Options) -> Result<Identity, StartError> {
    let dir = options.dir.as_deref();
    let mut identity = Identity::open(dir).map_err(at(dir.unwrap_or(Path::new(""))))?;
    if let Some(scope) = &options.id_scope {
        identity.id_scope.clone_from(scope);
    }
    if let Some(key) = &options.group_key {
        if !crate::sas::is_key(key) {
            return Err(StartError::GroupKey);
        }
        identity.group.primary.clone_from(key);
    }
    Ok(identity)
}

/// Listens on all addresses with one port. Only the first address has to work: a machine may lack IPv6.
async fn listen(bind: &[IpAddr], port: u16) -> Result<(u16, Vec<TcpListener>), StartError> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut chosen = port;
    for ip in bind {
        let address = SocketAddr::new(*ip, chosen);
        match TcpListener::bind(address).await {
            Ok(listener) => {
                chosen = listener.local_addr().map_or(chosen, |bound| bound.port());
                listeners.push(listener);
            }
            Err(source) if listeners.is_empty() => return Err(StartError::Listen { address, source }),
            Err(error) => tracing::debug!(%address, %error, "this address is left out"),
        }
    }
    Ok((chosen, listeners))
}

fn describe(cloud: &Cloud, https: u16, page: Option<u16>, ca_file: PathBuf) -> Started {
    let (hub, identity) = (cloud.hub().to_owned(), cloud.identity());
    let key = &identity.owner().primary;
    let amqp = cloud.amqp_port();
    Started {
        https,
        amqp,
        mqtt: None,
        page,
        id_scope: identity.id_scope.clone(),
        group_key: identity.group.primary.clone(),
        dps_endpoint: format!("{hub}:{https}"),
        service_connection_string: format!("HostName={hub};SharedAccessKeyName={OWNER};SharedAccessKey={key}"),
        event_hub_connection_string: format!(
            "Endpoint=sb://{hub}/;SharedAccessKeyName={OWNER};SharedAccessKey={key};EntityPath={}",
            cloud.hub_name()
        ),
        host: hub.clone(),
        hub,
        ca_file,
    }
}

impl Simulator {
    /// Addresses, keys and files.
    pub fn started(&self) -> &Started {
        &self.started
    }

    /// The CA's certificate as text.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// What happened since the start.
    pub fn counts(&self) -> Counts {
        self.cloud.counts()
    }

    /// The last accepted messages, oldest first, at most 200.
    pub fn messages(&self, count: usize) -> Vec<Recorded> {
        self.cloud.messages(count)
    }

    /// All devices of the hub, by name.
    pub fn devices(&self) -> Vec<DeviceView> {
        self.cloud.devices()
    }

    /// What provisioning knows of a device.
    pub fn registration(&self, registration_id: &str) -> Option<Registration> {
        self.cloud.registration(registration_id)
    }

    /// The faults as asked for.
    pub fn faults(&self) -> Faults {
        self.cloud.faults()
    }

    /// Replaces all faults; what counts calls starts anew.
    pub fn set_faults(&self, faults: Faults) {
        self.cloud.set_faults(faults);
    }

    /// Makes devices as if each had registered, with the keys that it has in the group.
    ///
    /// # Errors
    /// When a name cannot be a registration id, the hub is full, or the change could not be written. Devices before that
    /// one are there.
    pub fn enrol(&self, ids: &[String]) -> io::Result<()> {
        self.cloud.enrol(ids).map_err(|refusal| io::Error::other(refusal.message))
    }

    /// Switches a device on or off at the hub. `Ok(false)` when there is no such device.
    ///
    /// # Errors
    /// When the change could not be written.
    pub fn set_status(&self, device_id: &str, status: Status) -> io::Result<bool> {
        self.cloud.set_status(device_id, status)
    }

    /// Forgets a device at the hub. `Ok(false)` when there is no such device.
    ///
    /// # Errors
    /// When the change could not be written.
    pub fn delete_device(&self, device_id: &str) -> io::Result<bool> {
        self.cloud.delete_device(device_id)
    }

    /// Cuts all connections, frees the ports and makes the registry safe on disk.
    ///
    /// # Errors
    /// When the registry could not be synced.
    pub async fn stop(mut self) -> io::Result<()> {
        self.services.shutdown().await;
        self.cloud.sync()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        if let Some(file) = &self.passing_ca_file {
            // It may be gone already; either way nobody needs it.
            let _ = std::fs::remove_file(file);
        }
    }
}
