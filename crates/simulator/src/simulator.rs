//! Wiring: options in, listening services out.
//!
//! Promises: when `start` returns, every address in [`Started`] accepts connections and the CA file is there. Dropping
//! or stopping the [`Simulator`] cuts all connections. Reads neither environment nor clock by itself.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::amqp::Amqp;
use crate::ca::{Authority, CA_FILE, CaError};
use crate::cloud::{Cloud, Hub, HubState, Pace, Parts};
use crate::connections::Http;
use crate::control::Control;
use crate::dps::{Registrations, Switches};
use crate::handle::Handle;
use crate::https::Https;
use crate::hub::rules::PostRules;
use crate::identity::{Readers, write_whole};
use crate::mqtt::Mqtt;
use crate::opening::{self, Hosts};
use crate::options::Options;
use crate::random::Random;
use crate::record::Record;
use crate::setup::SetupError;
use crate::sockets::serve;
use crate::started::{Ports, STARTED_FILE, Started, describe};

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
    /// The setup cannot be served.
    #[error("take the setup")]
    Setup(#[from] SetupError),
}

impl From<CaError> for StartError {
    fn from(error: CaError) -> Self {
        Self::Certificate(Box::new(error))
    }
}

/// A running simulator, steered through its [`Handle`].
pub struct Simulator {
    started: Started,
    ca_pem: String,
    handle: Handle,
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
    let hosts = Hosts::of(&options)?;
    let authority = Authority::open(dir, now_ms)?;
    let tls = TlsAcceptor::from(Arc::new(authority.server_config(dir, &hosts.all(), now_ms)?));
    let (ca_file, passing_ca_file) = place_ca(&options, &authority.pem)?;
    let (amqp, amqp_listeners) = listen(&options.bind, options.amqp_port).await?;
    let cloud = Arc::new(open(&options, &hosts, amqp)?);

    let mut services = JoinSet::new();
    for listener in amqp_listeners {
        services.spawn(serve(listener, Some(tls.clone()), Arc::new(Amqp { cloud: Arc::clone(&cloud) })));
    }
    let (mqtt, listeners) = listen(&options.bind, options.mqtt_port).await?;
    for listener in listeners {
        services.spawn(serve(listener, Some(tls.clone()), Arc::new(Mqtt { cloud: Arc::clone(&cloud) })));
    }
    let (https, listeners) = listen(&options.bind, options.https_port).await?;
    for listener in listeners {
        let answers = Arc::new(Https { cloud: Arc::clone(&cloud) });
        services.spawn(serve(listener, Some(tls.clone()), Arc::new(Http(answers))));
    }
    let (page, listeners) = match options.page_port {
        None => (None, Vec::new()),
        Some(port) => listen(&options.bind, port).await.map(|(port, listeners)| (Some(port), listeners))?,
    };
    services.spawn(let_time_pass(Arc::clone(&cloud)));
    let ca_file = std::path::absolute(&ca_file).unwrap_or(ca_file);
    let started = describe(&cloud, Ports { https, mqtt, page }, ca_file);
    keep_started(dir, &started)?;
    for listener in listeners {
        let answers = Arc::new(Control { cloud: Arc::clone(&cloud), started: started.without_keys() });
        services.spawn(serve(listener, None, Arc::new(Http(answers))));
    }
    Ok(Simulator { started, ca_pem: authority.pem, handle: Handle { cloud }, services, passing_ca_file, _claim: claim })
}

/// What is to happen by itself (locks and messages that run out, feedback that has waited) is looked for so often: by
/// the clock that was handed in, which is not the one that timers run by.
const LOOKED_AT: Duration = Duration::from_secs(1);

async fn let_time_pass(cloud: Arc<Cloud>) {
    loop {
        tokio::time::sleep(LOOKED_AT).await;
        cloud.let_time_pass();
    }
}

/// For whoever asks later what clients need; holds keys, as the identity beside it does.
fn keep_started(dir: Option<&Path>, started: &Started) -> Result<(), StartError> {
    let Some(file) = dir.map(|dir| dir.join(STARTED_FILE)) else { return Ok(()) };
    let text = serde_json::to_vec_pretty(started).expect("addresses and names are always JSON");
    write_whole(&file, &text, Readers::Owner).map_err(at(&file))
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

pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> StartError {
    let path = path.to_owned();
    move |source| StartError::File { path, source }
}

/// Writes the CA's certificate where clients find it; gives the path, and again when it is to be removed in the end.
fn place_ca(options: &Options, pem: &str) -> Result<(PathBuf, Option<PathBuf>), StartError> {
    let (path, is_passing) = match (&options.ca_file, &options.dir) {
        (Some(file), _) => (file.clone(), false),
        // It lies there already, beside its key.
        (None, Some(dir)) => return Ok((dir.join(CA_FILE), None)),
        // From the system, so that two simulators with the same source have each its own file.
        (None, None) => (std::env::temp_dir().join(format!("azure-sim-ca-{}.pem", Random::default().guid())), true),
    };
    write_whole(&path, pem.as_bytes(), Readers::Everyone).map_err(at(&path))?;
    Ok((path.clone(), is_passing.then_some(path)))
}

/// The services as they were left in the directory, or new ones. `amqp_port` is what redirects name.
pub(crate) fn open(options: &Options, hosts: &Hosts, amqp_port: u16) -> Result<Cloud, StartError> {
    let dir = options.dir.as_deref();
    let shown_dir = dir.unwrap_or(Path::new(""));
    let random = Random::from(options.random.clone());
    let mut identity = opening::identity(options, &random)?;
    let mut scopes = opening::scopes(options.setup.as_ref(), &hosts.hubs, &mut identity, &random)?;
    let hubs = hosts.open(&mut identity, &random);
    identity.keep(dir).map_err(at(shown_dir))?;
    let now_ms = (options.clock)();
    let rules = options.setup.as_ref().map(|setup| PostRules::from(&setup.cloud_to_device)).unwrap_or_default();
    let with_state = |hub: Hub| HubState::open(dir, hub.name(), rules, now_ms).map(|state| (hub, state));
    let hubs = hubs.into_iter().map(with_state).collect::<io::Result<_>>().map_err(at(shown_dir))?;
    let record_path = options.record.as_deref();
    let record = Record::open(record_path, options.on_message.clone()).map_err(at(record_path.unwrap_or(shown_dir)))?;
    Ok(Cloud::new(Parts {
        clock: Arc::clone(&options.clock),
        random,
        hubs,
        switches: Switches::open(dir, &mut scopes).map_err(at(shown_dir))?,
        scopes,
        pace: Pace { assigning_polls: options.assigning_polls, retry_after_s: options.retry_after_s },
        registrations: Registrations::open(dir).map_err(at(shown_dir))?,
        record,
        faults: options.faults.clone(),
        amqp_port,
        events: options.setup.iter().flat_map(|setup| &setup.events).chain(&options.events).copied().collect(),
    }))
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

impl Simulator {
    /// Addresses, keys and files.
    pub fn started(&self) -> &Started {
        &self.started
    }

    /// The CA's certificate as text.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Cuts all connections, frees the ports and makes the registry safe on disk.
    ///
    /// # Errors
    /// When the registry could not be synced.
    pub async fn stop(mut self) -> io::Result<()> {
        self.services.shutdown().await;
        self.handle.cloud.sync()
    }
}

impl Deref for Simulator {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
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
