//! What may lie behind the door. The two that are no queue take the door's own steps up to the put, one by one.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bridge::config::{Secret, Webhook, WebhookKey};
use bridge::events::Events;
use bridge::webhook::Door;
use bridge::webhook::accept::{self, Options};
use bridge::webhook::answer::Answer;
use bridge::webhook::body::RequestBody;
use bridge::webhook::keys::Keys;
use bridge::webhook::pace::Limits;
use bridge::webhook::room::Room;
use bridge::webhook::sort::{Arrival, sort};
use bridge::world::{Random, SystemClock, World};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use prometheus_client::registry::Registry;
use queue::Queue;
use queue::memory::Disk;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

#[expect(unreachable_pub, reason = "shared with the queue's own bench")]
#[path = "../../../queue/benches/log.rs"]
mod log;

/// What lies behind the door.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Store {
    /// Nothing: read, sorted, answered.
    Nothing,
    /// An append-only log, one flush for all that wait.
    Log,
    /// The queue over a store in memory: what the hand-over costs without a disk.
    Memory,
    /// The queue as it is.
    Disk,
}

impl Store {
    /// The first is what the others are compared with.
    pub(crate) const ALL: [Self; 4] = [Self::Nothing, Self::Log, Self::Memory, Self::Disk];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "no store",
            Self::Log => "append-only log",
            Self::Memory => "queue in memory",
            Self::Disk => "queue on disk",
        }
    }
}

/// A door that is open.
pub(crate) struct Up {
    pub(crate) address: SocketAddr,
    queue: Option<Queue>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Up {
    pub(crate) async fn open(store: Store, dir: &Path) -> Self {
        let listener = accept::listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let world = World::new(Arc::new(SystemClock), Random::from_seed(1));
        let clock = world.clone();
        let clock: queue::Clock = Arc::new(move || clock.now());
        let events = Events::new(&mut Registry::default(), &world);
        let options = Options {
            max_connections: 8_192,
            limits: Limits::default(),
            tls: None,
            events: events.clone(),
            world: world.clone(),
            leaving: watch::channel(false).1,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move {
            let _ = stopped.await;
        };
        let queue = match store {
            Store::Nothing | Store::Log => None,
            Store::Memory => Some(Queue::open(queue::Options::in_memory(&Disk::new(), clock)).unwrap()),
            Store::Disk => Some(Queue::open(queue::Options::on_disk(dir, clock)).unwrap()),
        };
        let serving = if let Some(queue) = queue.clone() {
            tokio::spawn(Door::new(&webhook(), queue, events, world).serve(listener, options, stopped))
        } else {
            let log = matches!(store, Store::Log).then(|| log::Log::create(dir).unwrap());
            let steps = Arc::new(Steps { keys: Keys::new(&webhook().keys, "ttn"), room: room(), world, log });
            let handler = move |request| {
                let steps = steps.clone();
                async move { steps.answer(request).await.unwrap_or_else(|never| match never {}) }
            };
            tokio::spawn(accept::serve(listener, handler, options, stopped))
        };
        Self { address, queue, stop, serving }
    }

    /// Closes it, and sees that everything answered is there.
    pub(crate) async fn close(self, answered: f64) {
        let _ = self.stop.send(());
        self.serving.await.unwrap();
        if let Some(queue) = self.queue {
            assert_eq!(queue.stats().waiting as f64, answered, "every answer was a message kept");
            queue.close().await;
        }
    }
}

fn webhook() -> Webhook {
    let key = WebhookKey::plain(Secret::new(super::KEY.to_owned()));
    Webhook {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        keys: vec![key],
        key_overlap: std::time::Duration::ZERO,
        network: "ttn".to_owned(),
        tls: None,
        behind_proxy: false,
        max_connections: 8_192,
        max_waiting: 4_096,
        max_waiting_bytes: 64 << 20,
        linger: None,
    }
}

fn room() -> Room {
    Room::new(webhook().max_waiting, webhook().max_waiting_bytes)
}

/// The door's steps, without a queue behind them.
struct Steps {
    keys: Keys,
    room: Room,
    world: World,
    log: Option<log::Log>,
}

impl Steps {
    async fn answer(&self, request: Request<RequestBody>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (parts, body) = request.into_parts();
        let admission = self.keys.admit(&parts.headers, None).unwrap();
        let mut held = self.room.begin().unwrap();
        let body = body.collect().await.unwrap().to_bytes();
        assert!(self.room.grow(&mut held, body.len()));
        let arrival = Arrival { body: &body, binary: false, path: parts.uri.path(), admission: &admission };
        let put = sort(arrival).unwrap().into_put(self.world.now());
        let waiting = self.room.put(held).unwrap();
        if let Some(log) = self.log.clone() {
            // In a task of its own, as the door does it.
            let append = tokio::spawn(async move {
                log.append([put.lane.as_bytes(), &put.head, &put.body].concat()).await;
                drop(waiting);
            });
            append.await.unwrap();
        }
        Ok(Answer::Kept(1).into_response())
    }
}
