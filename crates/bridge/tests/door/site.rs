//! A door on a loopback port, the queue behind it, and a client that speaks plain bytes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bridge::config::{self, Secret, WebhookKey};
use bridge::events::Events;
use bridge::webhook::accept::{self, Options};
use bridge::webhook::pace::Limits;
use bridge::webhook::tls::Tls;
use bridge::webhook::{ANSWER_WITHIN, Door};
use bridge::world::{Random, SystemClock, World};
use prometheus_client::registry::Registry;
use queue::memory::Disk;
use queue::{Message, Queue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(crate) const UPLINK: &str = r#"{"end_device_ids":{"device_id":"dev-1","application_ids":{"application_id":"building"},
"dev_eui":"70B3D57ED0000001"},"uplink_message":{"f_port":1,"f_cnt":7,"frm_payload":"AQ=="}}"#;
/// No test waits longer than this for something that has to come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How the site is to be.
pub(crate) struct Plan {
    pub(crate) webhook: config::Webhook,
    pub(crate) limits: Limits,
    pub(crate) answer_within: Duration,
    pub(crate) tls: Option<Tls>,
    /// A listener that was handed over.
    pub(crate) listener: Option<std::net::TcpListener>,
}

impl Default for Plan {
    fn default() -> Self {
        let webhook = config::Webhook {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            keys: Vec::new(),
            key_overlap: Duration::ZERO,
            network: "ttn".to_owned(),
            tls: None,
            behind_proxy: false,
            max_connections: 8192,
            max_waiting: 4096,
            max_waiting_bytes: 64 << 20,
            linger: None,
        };
        Self { webhook, limits: Limits::default(), answer_within: ANSWER_WITHIN, tls: None, listener: None }
    }
}

pub(crate) fn key(secret: &str, applications: &[&str], network: Option<&str>) -> WebhookKey {
    WebhookKey {
        applications: (!applications.is_empty()).then(|| applications.iter().map(|&name| name.to_owned()).collect()),
        network: network.map(str::to_owned),
        ..WebhookKey::plain(Secret::new(secret.to_owned()))
    }
}

pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) disk: Disk,
    pub(crate) queue: Queue,
    pub(crate) events: Events,
    registry: Arc<Mutex<Registry>>,
    leaves: watch::Sender<bool>,
    stop: Option<oneshot::Sender<()>>,
    pub(crate) serving: JoinHandle<()>,
}

impl Site {
    pub(crate) async fn open(plan: Plan) -> Self {
        let disk = Disk::new();
        let world = World::new(Arc::new(SystemClock), Random::from_seed(1));
        let clock = world.clone();
        let queue = Queue::open(queue::Options::in_memory(&disk, Arc::new(move || clock.now()))).expect("a queue");
        let mut registry = Registry::default();
        let events = Events::new(&mut registry, &world);
        let door =
            Door::new(&plan.webhook, queue.clone(), events.clone(), world.clone()).answering_within(plan.answer_within);
        let listener = match plan.listener {
            Some(listener) => accept::adopt(listener).expect("a listening socket"),
            None => accept::listen(plan.webhook.listen).expect("a free port"),
        };
        let address = listener.local_addr().expect("it listens");
        let (stop, stopped) = oneshot::channel::<()>();
        let (leaves, leaving) = watch::channel(false);
        let options = Options {
            max_connections: plan.webhook.max_connections,
            limits: plan.limits,
            tls: plan.tls,
            events: events.clone(),
            world: world.clone(),
            leaving,
        };
        let serving = tokio::spawn(door.serve(listener, options, async move {
            let _ = stopped.await;
        }));
        let registry = Arc::new(Mutex::new(registry));
        Self { address, disk, queue, events, registry, leaves, stop: Some(stop), serving }
    }

    pub(crate) async fn plain() -> Self {
        Self::open(Plan::default()).await
    }

    /// It will stop, and says so to whoever is connected.
    pub(crate) fn leaves(&self) {
        self.leaves.send_replace(true);
    }

    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    pub(crate) async fn client(&self) -> Client {
        Client(TcpStream::connect(self.address).await.expect("it listens"))
    }

    /// Posts on a connection of its own.
    pub(crate) async fn post(&self, path: &str, headers: &str, body: impl AsRef<[u8]>) -> Reply {
        let mut client = self.client().await;
        client.send(&post(path, headers, body.as_ref())).await;
        client.reply().await
    }

    /// Waits until the queue holds this many messages in lanes.
    pub(crate) async fn holds(&self, waiting: u64) {
        let reached = async {
            while self.queue.stats().waiting != waiting {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let outcome = timeout(PATIENCE, reached).await;
        assert!(outcome.is_ok(), "{waiting} messages wanted, {} there", self.queue.stats().waiting);
    }

    /// Waits until the queue says that a put can be kept.
    pub(crate) async fn writes_again(&self) {
        let again = async {
            while !self.queue.stats().writable {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(PATIENCE, again).await.expect("the queue recovers");
    }

    pub(crate) fn is_empty(&self) -> bool {
        let stats = self.queue.stats();
        stats.waiting == 0 && stats.dead_letters == 0
    }

    /// The next message, which is settled.
    pub(crate) async fn take(&self) -> Message {
        let mut leases = self.queue.leases(1);
        let lease = timeout(PATIENCE, leases.next()).await.expect("a message in time").expect("an open queue");
        let message = lease.message().clone();
        lease.settle(queue::Settle::default()).await.expect("a settled lease");
        message
    }

    /// The only dead letter.
    pub(crate) async fn dead_letter(&self) -> queue::DeadLetter {
        let mut letters = self.queue.dead_letters(None, 10).await.expect("a list");
        assert_eq!(letters.len(), 1, "{letters:?}");
        letters.remove(0)
    }

    /// A counter, by the start of its line in the metrics; 0 when it is not there.
    pub(crate) fn count(&self, line: &str) -> u64 {
        let mut text = String::new();
        let registry = self.registry.lock().expect("no test panics with it");
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
        let value = text.lines().find_map(|found| found.strip_prefix(line));
        value.map_or(0, |value| value.trim().parse().expect("a count"))
    }

    pub(crate) async fn counts(&self, line: &str, wanted: u64) {
        let reached = async {
            while self.count(line) < wanted {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(timeout(PATIENCE, reached).await.is_ok(), "{line}: {} instead of {wanted}", self.count(line));
    }
}

pub(crate) fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nhost: door\r\ncontent-length: {length}\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

pub(crate) struct Client(pub(crate) TcpStream);

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

impl Client {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("the door reads");
    }

    pub(crate) async fn reply(&mut self) -> Reply {
        timeout(PATIENCE, read_reply(&mut self.0)).await.expect("an answer in time")
    }

    /// Waits for the other side to close; false when it sends something or does not close.
    pub(crate) async fn is_closed_within(&mut self, limit: Duration) -> bool {
        let mut byte = [0];
        matches!(timeout(limit, self.0.read(&mut byte)).await, Ok(Ok(0) | Err(_)))
    }
}

pub(crate) async fn read_reply<S: tokio::io::AsyncRead + Unpin>(stream: &mut S) -> Reply {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("more of the answer's head"));
    }
    let head = String::from_utf8(head).expect("text");
    let (first, headers) = head.split_once("\r\n").expect("a status line");
    let mut reply = Reply {
        status: first.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"),
        headers: headers.replace("\r\n", "\n"),
        body: String::new(),
    };
    let length = reply.header("content-length").map_or(0, |length| length.parse().expect("a length"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.expect("the answer's body");
    reply.body = String::from_utf8(body).expect("text");
    reply
}
