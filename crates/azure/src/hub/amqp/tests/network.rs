//! Pipes with a delay, and a hub at the other end of each. Of all its connections the hub lets only the newest link of a
//! device stand, as the real one does.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Mutex, MutexGuard};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::sleep_until;

use super::*;
use crate::hub::amqp::test_hub::TestHub;
use crate::net::{Dialing, Stream};

type Script = Arc<dyn Fn(Ask<'_>) -> Say + Send + Sync>;

/// What a connection of the hub is told.
pub(super) enum Order {
    Detach(String, Option<Error>),
    EndNode,
    Close(Option<Error>),
    Release,
    Cut,
}

#[derive(Clone)]
pub(super) struct Network(Arc<State>);

struct State {
    /// One way.
    delay: Duration,
    is_websocket: bool,
    /// Bytes that a pipe holds.
    pipe: usize,
    script: Mutex<Script>,
    refuses: AtomicBool,
    swallows: AtomicBool,
    dials: AtomicUsize,
    /// Nothing more is carried, in either direction.
    frozen: AtomicBool,
    inside: Mutex<Inside>,
}

#[derive(Default)]
pub(super) struct Inside {
    pub(super) orders: BTreeMap<usize, UnboundedSender<Order>>,
    /// Which connection has a device's link.
    pub(super) owners: BTreeMap<String, usize>,
    /// Devices' links by connection.
    links: BTreeMap<usize, usize>,
    pub(super) accepted: Vec<(String, String)>,
    /// Tokens put, with when.
    pub(super) tokens: Vec<(Instant, String)>,
    pub(super) attaches: Vec<(Instant, String)>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}

impl Network {
    pub(super) fn new(delay: Duration) -> Self {
        Self::of(delay, false, 64 << 10)
    }

    pub(super) fn of(delay: Duration, is_websocket: bool, pipe: usize) -> Self {
        Self(Arc::new(State {
            delay,
            is_websocket,
            pipe,
            script: Mutex::new(Arc::new(|_| Say::Yes)),
            refuses: AtomicBool::new(false),
            swallows: AtomicBool::new(false),
            dials: AtomicUsize::new(0),
            frozen: AtomicBool::new(false),
            inside: Mutex::default(),
        }))
    }

    pub(super) fn script(&self, script: impl Fn(Ask<'_>) -> Say + Send + Sync + 'static) {
        *self.0.script.lock().unwrap() = Arc::new(script);
    }

    pub(super) fn refuse(&self, refuses: bool) {
        self.0.refuses.store(refuses, Ordering::SeqCst);
    }

    pub(super) fn swallow(&self, swallows: bool) {
        self.0.swallows.store(swallows, Ordering::SeqCst);
    }

    pub(super) fn freeze(&self, frozen: bool) {
        self.0.frozen.store(frozen, Ordering::SeqCst);
    }

    pub(super) fn dials(&self) -> usize {
        self.0.dials.load(Ordering::SeqCst)
    }

    pub(super) fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.inside.lock().unwrap()
    }

    /// Connections that the hub has open.
    pub(super) fn open(&self) -> usize {
        self.inside().orders.len()
    }

    /// Devices' links that the hub has.
    pub(super) fn links(&self) -> usize {
        self.inside().links.values().sum()
    }

    pub(super) fn order(&self, order: impl Fn() -> Order) {
        for orders in self.inside().orders.values() {
            let _ = orders.send(order());
        }
    }

    pub(super) fn accepted(&self, device: &str) -> Vec<String> {
        self.inside().accepted.iter().filter(|(other, _)| other == device).map(|(_, id)| id.clone()).collect()
    }

    fn connect(&self) -> DuplexStream {
        let number = self.0.dials.fetch_add(1, Ordering::SeqCst);
        let (client, near) = tokio::io::duplex(self.0.pipe);
        let (far, server) = tokio::io::duplex(self.0.pipe);
        let (near_read, near_write) = tokio::io::split(near);
        let (far_read, far_write) = tokio::io::split(far);
        self.relay(near_read, far_write);
        self.relay(far_read, near_write);
        let network = self.clone();
        tokio::spawn(async move {
            if network.0.is_websocket {
                websockets::serve(network, server, number).await;
            } else {
                network.serve(server, number).await;
            }
        });
        client
    }

    fn relay(&self, mut from: ReadHalf<DuplexStream>, mut to: WriteHalf<DuplexStream>) {
        let (send, mut receive) = unbounded_channel::<(Instant, Bytes)>();
        let (network, delay) = (self.clone(), self.0.delay);
        tokio::spawn(async move {
            let mut bytes = BytesMut::with_capacity(64 << 10);
            while from.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
                if !network.0.frozen.load(Ordering::SeqCst) {
                    let _ = send.send((Instant::now() + delay, bytes.split().freeze()));
                }
                bytes.clear();
                bytes.reserve(64 << 10);
            }
        });
        tokio::spawn(async move {
            while let Some((when, bytes)) = receive.recv().await {
                sleep_until(when).await;
                if to.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            let _ = to.shutdown().await;
        });
    }

    /// One connection, from its first byte to its last.
    pub(super) async fn serve(&self, mut stream: impl Stream, number: usize) {
        let (send, orders) = unbounded_channel();
        self.inside().orders.insert(number, send);
        self.converse(&mut stream, orders, number).await;
        let mut inside = self.inside();
        inside.orders.remove(&number);
        inside.links.remove(&number);
        inside.owners.retain(|_, owner| *owner != number);
    }

    async fn converse(&self, stream: &mut impl Stream, mut orders: UnboundedReceiver<Order>, number: usize) {
        let network = self.clone();
        let mut hub = TestHub::new(move |ask| network.asked(ask, number));
        let began = Instant::now();
        let (mut input, mut out) = (BytesMut::with_capacity(64 << 10), BytesMut::new());
        let mut accepted = 0;
        loop {
            hub.output(&mut out, began.elapsed());
            if !out.is_empty() && (stream.write_all(&out).await.is_err() || stream.flush().await.is_err()) {
                return;
            }
            out.clear();
            {
                let mut inside = self.inside();
                inside.accepted.extend(hub.accepted[accepted..].iter().cloned());
                inside.links.insert(number, hub.links.len());
            }
            accepted = hub.accepted.len();
            if hub.is_over {
                let _ = stream.shutdown().await;
                return;
            }
            let wake = began + hub.connection.deadline().unwrap_or(SECOND * 3600);
            tokio::select! {
                read = stream.read_buf(&mut input) => {
                    if !read.is_ok_and(|bytes| bytes > 0) {
                        return;
                    }
                    hub.receive(&input, began.elapsed());
                    input.clear();
                }
                Some(order) = orders.recv() => match order {
                    Order::Detach(device, error) => hub.detach(&device, true, error),
                    Order::EndNode => hub.end_node(None),
                    Order::Close(error) => hub.connection.close(error, began.elapsed()),
                    Order::Release => hub.release(),
                    Order::Cut => return,
                },
                () = sleep_until(wake) => hub.connection.tick(began.elapsed()),
            }
        }
    }

    fn asked(&self, ask: Ask<'_>, number: usize) -> Say {
        let script = self.0.script.lock().unwrap().clone();
        let say = script(ask);
        let mut inside = self.inside();
        match ask {
            Ask::Token(device) => inside.tokens.push((Instant::now(), device.to_owned())),
            Ask::Attach(device) if matches!(say, Say::Yes) => {
                inside.attaches.push((Instant::now(), device.to_owned()));
                if let Some(before) = inside.owners.insert(device.to_owned(), number)
                    && before != number
                    && let Some(orders) = inside.orders.get(&before)
                {
                    let words = "Another AMQP Client has opened a Receive Link";
                    let error = Some(Error::new("amqp:internal-error", words));
                    let _ = orders.send(Order::Detach(device.to_owned(), error));
                }
            }
            _ => {}
        }
        say
    }
}

impl Dial for Network {
    fn dial(&self, _endpoint: &Endpoint) -> Dialing {
        let network = self.clone();
        Box::pin(async move {
            if network.0.swallows.load(Ordering::SeqCst) {
                network.0.dials.fetch_add(1, Ordering::SeqCst);
                return std::future::pending().await;
            }
            if network.0.refuses.load(Ordering::SeqCst) {
                network.0.dials.fetch_add(1, Ordering::SeqCst);
                return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused"));
            }
            // The handshakes of TCP and TLS 1.3.
            sleep(network.0.delay * 4).await;
            Ok(Box::new(network.connect()) as Box<dyn Stream>)
        })
    }
}
