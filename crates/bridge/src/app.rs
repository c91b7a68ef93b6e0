//! Build, run, drain: the whole wiring, read from top to bottom.
//!
//! The order matters. Sockets are bound first, so that clients wait instead of being refused; the queue is opened next
//! and the door goes up before anything of Azure is looked at; on the way down the door is the last to close, because a
//! put needs only the disk.
//!
//! [`App::start`] makes the parts that touch the machine and hands them to [`App::build`], which is all the wiring there is: a
//! simulation hands in parts of its own ([`Parts`]), and then runs, changes and drains as production does.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use azure::net::{Dial, Tls};
use prometheus_client::registry::Registry;
use queue::{LeaseError, OpenError, Queue};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::admin::live::{self, Live};
use crate::admin::{self, Admin, Gauges};
use crate::alarm;
use crate::claims::Claims;
use crate::config::{self, Config, QueueKind};
use crate::device::Shared;
use crate::dispatch;
use crate::events::Events;
use crate::pool::{self, Pool};
use crate::provision::Provision;
use crate::reload::{Reload, admin_keys};
use crate::shared_queue::{self, Machine};
use crate::suspects::Suspects;
use crate::swap::Swap;
use crate::tenancies::Tenancies;
use crate::webhook;
use crate::webhook::accept::{self, Listen};
use crate::world::{Point, World};

/// How long workers may take to finish what they have on the wire, and hubs to be closed after them. With the 5 s that the door gives to requests in
/// flight ([`webhook::pace::Limits::drain`]) it leaves one of the ten of [`config::DRAIN_MAX`] to the queue.
const WORKERS_MAX: Duration = Duration::from_secs(4);
/// File descriptors that are asked for, if the system lets us: `webhook.max_connections` and a few.
const DESCRIPTORS_WANTED: u64 = 65_536;

/// Which part of the bridge this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Takes messages, sends none.
    Webhook,
    /// Sends messages, takes none.
    Worker,
    /// Both.
    All,
}

impl Role {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Worker => "worker",
            Self::All => "all",
        }
    }
}

/// Sockets that are already open, instead of the configured addresses.
#[derive(Debug, Default)]
pub struct Listeners {
    /// The webhook's.
    pub webhook: Option<StdListener>,
    /// The admin's.
    pub admin: Option<StdListener>,
}

/// What touches the machine: a simulation has others. `L` is where connections come from.
pub struct Parts<L> {
    /// The webhook's connections; none in a process that only sends.
    pub door: Option<L>,
    /// The admin's connections; none where nobody looks.
    pub pages: Option<L>,
    /// TLS at the door, unless it ends before us.
    pub tls: Option<webhook::tls::Tls>,
    /// Connections to Azure.
    pub dial: Arc<dyn Dial>,
    /// Open. It is closed by [`App::drain`].
    pub queue: Queue,
    /// The queue's directory, where it is on a disk; of a shared one what is noted on this machine.
    pub home: Option<PathBuf>,
}

/// Why the bridge could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("{key}: cannot listen on {address}")]
    Listen {
        /// The configuration key.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The queue cannot be opened.
    #[error(transparent)]
    Queue(#[from] OpenError),
    /// The queue that several share cannot be used.
    #[error(transparent)]
    Shared(#[from] shared_queue::Refused),
    /// The queue cannot be read.
    #[error("failed to read what the queue keeps of devices")]
    Notes(#[from] LeaseError),
    /// A certificate cannot be used.
    #[error("webhook.cert_file, webhook.key_file: cannot be used")]
    Certificate(#[from] webhook::tls::TlsError),
    /// The trust store cannot be used.
    #[error("azure.ca_file: cannot be used")]
    Trust(#[from] azure::net::TlsError),
}

/// The running bridge.
#[derive(Debug)]
pub struct App {
    /// Where the webhook listens; none without sockets.
    pub webhook: Option<SocketAddr>,
    /// Where the admin pages are; none without sockets.
    pub admin: Option<SocketAddr>,
    /// Takes a changed configuration.
    pub reload: Reload,
    /// Facts.
    pub events: Events,
    queue: Queue,
    pool: Option<Arc<Pool>>,
    dispatch: Option<JoinHandle<()>>,
    door: Option<JoinHandle<()>>,
    pages: Option<JoinHandle<()>>,
    world: World,
    linger: Duration,
    leaves: watch::Sender<bool>,
    stop_work: watch::Sender<bool>,
    stop_door: watch::Sender<bool>,
}

impl App {
    /// Builds and starts everything, on this machine's sockets, disk and network.
    ///
    /// # Errors
    /// See [`StartError`]; the process is to end then.
    pub async fn start(config: Config, role: Role, world: World, listeners: Listeners) -> Result<Self, StartError> {
        raise_descriptors();
        let door = match role {
            Role::Webhook | Role::All => Some(bind("webhook.listen", config.webhook.listen, listeners.webhook)?),
            Role::Worker => None,
        };
        let pages = bind("admin.listen", config.admin.listen, listeners.admin)?;
        let dial: Arc<dyn Dial> = Arc::new(Tls::new(config.azure.ca_file.as_deref())?);
        let (queue, home) = open_queue(&config, role, &world, &dial).await?;
        let tls = config.webhook.tls.as_ref().map(webhook::tls::Tls::load).transpose()?;
        let (webhook, admin) = (door.as_ref().map(addr), addr(&pages));
        let dir = config.queue.dir.clone();
        let parts = Parts { door, pages: Some(pages), tls, dial, queue, home };
        let app = Self::build(config, role, world, parts).await?;
        tracing::info!(webhook = webhook.map(tracing::field::display), %admin, dir = %dir.display(), "up");
        Ok(Self { webhook, admin: Some(admin), ..app })
    }

    /// Puts the parts together and starts them. On a single thread: open the queue by [`Queue::open_here`] with
    /// [`queue_options`] and another engine, spawn its future, and hand in the queue with a [`Listen`] and a [`Dial`].
    ///
    /// # Errors
    /// When what the queue keeps of devices cannot be read.
    pub async fn build<L: Listen>(
        config: Config,
        role: Role,
        world: World,
        parts: Parts<L>,
    ) -> Result<Self, StartError> {
        let Parts { door: listener, pages, tls, dial, queue, home } = parts;
        let mut metrics = Registry::with_prefix("longhaul");
        let events = Events::new(&mut metrics, &world);
        let gauges = Gauges::new(&mut metrics);
        let (leaves, leaving) = watch::channel(false);
        let (stop_work, work_stops) = watch::channel(false);
        let (stop_door, door_stops) = watch::channel(false);

        let door = webhook::Door::new(&config.webhook, queue.clone(), events.clone(), world.clone());
        let (webhook_keys, admin_token) = (door.keys(), Arc::new(Swap::new(admin_keys(&config.admin))));
        let options = accept::Options {
            max_connections: config.webhook.max_connections,
            limits: webhook::pace::Limits::default(),
            tls,
            events: events.clone(),
            world: world.clone(),
            leaving: leaving.clone(),
        };
        let door = listener.map(|listener| open_door(listener, door, options, &config.webhook, door_stops.clone()));
        let flow = match role {
            Role::Worker | Role::All => {
                let suspects = suspects(home.as_deref());
                Some(Arc::new(flow(&config, &dial, &queue, &world, &events, suspects).await?))
            }
            Role::Webhook => None,
        };
        let pool = flow.as_ref().map(|f| f.pool.clone());
        let seen = Arc::<alarm::Seen>::default();
        let place = home.filter(|_| !queue.is_shared());
        let place = place.map(|dir| alarm::Place { dir, max_bytes: config.queue.max_bytes });
        tokio::spawn(alarm::watch(queue.clone(), events.clone(), place, seen.clone()));
        let running = flow.as_ref().map_or_else(|| Arc::new(Swap::new(config.clone())), |shared| shared.config.clone());
        let loaded_at = Arc::new(AtomicI64::new(world.now()));
        let pictures = Admin {
            config: running.clone(),
            loaded_at: loaded_at.clone(),
            live: Live::new(door_stops.clone()),
            role,
            started_at: world.now(),
            world: world.clone(),
            seen,
            queue: queue.clone(),
            events: events.clone(),
            flow: flow.clone(),
            token: admin_token.clone(),
            metrics: Mutex::new(metrics),
            gauges,
            leaving,
        };
        let reload = Reload {
            config: running,
            loaded_at,
            webhook_keys,
            overlap: Arc::default(),
            admin_token,
            provision: flow.as_ref().map(|shared| shared.provision.clone()),
            world: world.clone(),
        };
        let pages = pages.map(|pages| open_pages(pages, pictures, events.clone(), world.clone(), door_stops));
        let dispatch = flow.map(|shared| {
            let leases = queue.leases(config.azure.max_in_flight);
            tokio::spawn(dispatch::run(leases, shared, work_stops))
        });
        Ok(Self {
            webhook: None,
            admin: None,
            reload,
            events,
            queue,
            pool,
            dispatch,
            door,
            pages,
            world,
            linger: config.linger(),
            leaves,
            stop_work,
            stop_door,
        })
    }

    /// Returns when a part that must run has ended by itself: the process is of no use any more and is to be started
    /// anew. Never while all is well.
    pub async fn died(&mut self) {
        let door = async {
            match &mut self.door {
                Some(door) => _ = door.await,
                None => std::future::pending().await,
            }
        };
        let dispatch = async {
            match &mut self.dispatch {
                Some(dispatch) => _ = dispatch.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased; // the same order in every run
            () = door => tracing::error!("the door has ended by itself"),
            () = dispatch => tracing::error!("dispatch has ended by itself; the queue's writer may be gone"),
        }
    }

    /// As [`App::drain`], but the door stays open for [`Config::linger`], or until `hurried`, while `/readyz` says already that
    /// we leave: whoever sends to several of us goes elsewhere before it is refused here. `hurried` is gone once nobody lingers.
    pub async fn leave(self, mut hurried: oneshot::Receiver<()>) {
        let linger = if self.door.is_some() { self.linger } else { Duration::ZERO };
        let (close, door_may_close) = oneshot::channel();
        let mut gone = pin!(self.wind_down(door_may_close));
        if linger.is_zero() {
            tracing::info!("draining; a second signal ends it at once");
        } else {
            tracing::info!(
                ?linger,
                "leaving, with the door still open; a second signal closes it, a third ends all at once"
            );
            tokio::select! {
                biased;
                () = &mut gone => return,
                _ = timeout(linger, &mut hurried) => tracing::info!("draining"),
            }
        }
        drop(hurried);
        let _ = close.send(());
        let _ = timeout(config::DRAIN_MAX, gone).await;
    }

    /// Stops leasing, settles or releases, closes the hubs, then the door, then the queue. Bounded by
    /// [`config::DRAIN_MAX`]; what is not settled by then is on disk and comes again.
    pub async fn drain(self) {
        let (close, door_may_close) = oneshot::channel();
        drop(close);
        let _ = timeout(config::DRAIN_MAX, self.wind_down(door_may_close)).await;
    }

    async fn wind_down(mut self, door_may_close: oneshot::Receiver<()>) {
        self.leaves.send_replace(true);
        self.stop_work.send_replace(true);
        self.world.point(Point::DrainBegun).await;
        if let Some(mut dispatch) = self.dispatch.take() {
            let pool = self.pool.take();
            let hubs_closed = async {
                let _ = (&mut dispatch).await;
                self.world.point(Point::DrainBeforeHubs).await;
                if let Some(pool) = pool {
                    pool.close().await;
                }
            };
            if timeout(WORKERS_MAX, hubs_closed).await.is_err() {
                dispatch.abort(); // its leases go back to the queue
            }
        }
        let door_closed = async {
            let _ = door_may_close.await;
            self.world.point(Point::DrainBeforeDoor).await;
            self.stop_door.send_replace(true);
            for listener in [self.door.take(), self.pages.take()].into_iter().flatten() {
                let _ = listener.await;
            }
        };
        // Others may have our part of a shared queue while the door is still open.
        tokio::join!(self.queue.leave(), door_closed);
        self.world.point(Point::DrainBeforeQueue).await;
        self.queue.close().await;
        tracing::info!("drained");
    }
}

/// Everything between the queue and Azure, for [`dispatch::run`].
///
/// # Errors
/// When what the queue keeps of devices cannot be read.
pub async fn flow(
    config: &Config,
    dial: &Arc<dyn Dial>,
    queue: &Queue,
    world: &World,
    events: &Events,
    suspects: Suspects,
) -> Result<Shared, StartError> {
    let pool = Pool::new(
        pool::Options::of(&config.azure, &world.random),
        dial.clone(),
        queue.clone(),
        world.clone(),
        events.clone(),
    );
    let pool = Arc::new(pool);
    pool.watch_lodgers();
    let shared = Shared {
        config: Arc::new(Swap::new(config.clone())),
        claims: Claims::new(queue, world),
        provision: Provision::new(queue, &config.azure, dial.clone(), world.clone(), events.clone()),
        tenancies: Tenancies::default(),
        pool,
        queue: queue.clone(),
        world: world.clone(),
        suspects,
        events: events.clone(),
    };
    // All notes of a queue of our own, whatever the lane; those of a shared one come with its parts.
    shared.enter("").await?;
    Ok(shared)
}

fn open_door(
    listener: impl Listen,
    door: webhook::Door,
    options: accept::Options,
    webhook: &config::Webhook,
    stop: watch::Receiver<bool>,
) -> JoinHandle<()> {
    if let (Some(tls), Some(files)) = (options.tls.clone(), webhook.tls.clone()) {
        let events = options.events.clone();
        tokio::spawn(async move { tls.follow(files, webhook::tls::CHECK_EVERY, events).await });
    }
    tokio::spawn(door.serve(listener, options, stopped(stop)))
}

fn open_pages(
    listener: impl Listen,
    admin: Admin,
    events: Events,
    world: World,
    stop: watch::Receiver<bool>,
) -> JoinHandle<()> {
    use tower_service::Service;
    let leaving = admin.leaving.clone();
    let admin = Arc::new(admin);
    let beat = live::beat(admin.clone(), stop.clone());
    let router = admin::router(admin);
    let handler = move |request: http::Request<_>| {
        let answer = router.clone().call(request);
        async move { answer.await.unwrap_or_else(|never| match never {}) }
    };
    /// Pages are for a few people and a scraper.
    const PAGES_MAX: usize = 256;
    let limits = webhook::pace::Limits::default();
    let options = accept::Options { max_connections: PAGES_MAX, limits, tls: None, events, world, leaving };
    tokio::spawn(async move {
        tokio::join!(accept::serve(listener, handler, options, stopped(stop)), beat);
    })
}

/// The queue, and the directory for what is noted on this machine.
async fn open_queue(
    config: &Config,
    role: Role,
    world: &World,
    dial: &Arc<dyn Dial>,
) -> Result<(Queue, Option<PathBuf>), StartError> {
    let dir = config.queue.dir.clone();
    let storage = match &config.queue.kind {
        QueueKind::Embedded => return Ok((Queue::open(queue_options(config, world))?, Some(dir))),
        QueueKind::Storage(storage) => storage,
    };
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let machine = Machine { dial: dial.clone(), env: environment(), steady: Arc::new(since_boot), host };
    let queue = shared_queue::join(config, storage, role, world, machine).await?;
    if dir.join("queue.db").exists() {
        tracing::warn!(dir = %dir.display(), "an embedded queue lies there, and what waits in it is not sent; run with kind = \"embedded\" until it is empty");
    }
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir); // as the queue makes it
    Ok((queue, made.is_ok().then_some(dir)))
}

/// Milliseconds since the machine was started, the time that it slept included.
fn since_boot() -> queue::UnixMillis {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000)
}

/// All variables that are text.
pub(crate) fn environment() -> Vec<(String, String)> {
    std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect()
}

/// As many file descriptors as the system allows: each connection is one.
fn raise_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(DESCRIPTORS_WANTED, |most| most.min(DESCRIPTORS_WANTED));
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(wanted);
        if let Err(e) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(error = %e, "failed to raise the number of open files");
        }
    }
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

fn bind(key: &'static str, address: SocketAddr, handed: Option<StdListener>) -> Result<TcpListener, StartError> {
    handed.map_or_else(|| accept::listen(address), accept::adopt).map_err(|source| StartError::Listen {
        key,
        address,
        source,
    })
}

/// What the last process died of, where there is a disk to note it on.
fn suspects(home: Option<&Path>) -> Suspects {
    let open = |dir: &Path| {
        Suspects::open(dir).inspect_err(|cause| {
            tracing::warn!(%cause, "what is being read cannot be noted: a message that ends the process may do so again");
        })
    };
    home.and_then(|dir| open(dir).ok()).unwrap_or_else(Suspects::in_memory)
}

fn addr(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("a bound socket has an address")
}

/// How the configuration wants its queue. A simulation puts another engine into it.
pub fn queue_options(config: &Config, world: &World) -> queue::Options {
    let (queue, webhook, clock) = (&config.queue, &config.webhook, world.clock.clone());
    queue::Options {
        max_bytes: queue.max_bytes,
        dead_letters_max: queue.dead_letters_max,
        kept_max: queue.kept_max,
        waiting_per_lane_max: queue.max_waiting_per_device,
        waiting_per_group_max: queue.max_waiting_per_application,
        waiting_puts_max: webhook.max_waiting,
        waiting_bytes_max: u32::try_from(webhook.max_waiting_bytes).unwrap_or(u32::MAX),
        ..queue::Options::on_disk(PathBuf::from(&queue.dir), Arc::new(move || clock.now()))
    }
}
