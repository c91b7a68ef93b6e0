//! A network with a length and moods: each byte arrives a fixed time after it was sent, in order, however many are under
//! way; connections can be reset, swallow everything, or pause. TLS passes through untouched.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

/// What is under way in one direction: 64 MiB at most, so that a long line does not make a narrow one.
const CHUNK: usize = 64 << 10;
const CHUNKS_MAX: usize = 1024;

/// How the network is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    #[default]
    Fair,
    /// What comes waits, and is not lost.
    Paused,
    /// What comes is lost, without a word; a connection that lost something never recovers.
    Swallowing,
}

#[derive(Clone, Copy, Debug, Default)]
struct Orders {
    mood: Mood,
    resets: usize,
}

/// Forwards from `port`.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    accepted: Arc<AtomicUsize>,
    orders: watch::Sender<Orders>,
}

impl Proxy {
    /// With `delay` each way.
    pub(crate) async fn start(upstream: u16, delay: Duration) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("it listens").port();
        let (orders, heard) = watch::channel(Orders::default());
        let accepted = Arc::<AtomicUsize>::default();
        let count = accepted.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(carry(client, upstream, Line { delay, orders: heard.clone() }));
            }
        });
        Self { port, accepted, orders }
    }

    /// Connections so far.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    pub(crate) fn be(&self, mood: Mood) {
        self.orders.send_modify(|orders| orders.mood = mood);
    }

    /// Resets all connections that there are, on both sides, as a firewall does.
    pub(crate) fn reset(&self) {
        self.orders.send_modify(|orders| orders.resets += 1);
    }
}

#[derive(Clone, Debug)]
struct Line {
    delay: Duration,
    orders: watch::Receiver<Orders>,
}

impl Line {
    fn mood(&self) -> Mood {
        self.orders.borrow().mood
    }

    async fn while_paused(&mut self) {
        // Fails when the proxy is gone: then nobody pauses.
        let _ = self.orders.wait_for(|orders| orders.mood != Mood::Paused).await;
    }

    async fn reset(&mut self, before: usize) {
        if self.orders.wait_for(|orders| orders.resets != before).await.is_err() {
            std::future::pending().await
        }
    }
}

async fn carry(mut client: TcpStream, upstream: u16, mut line: Line) {
    let resets = line.orders.borrow().resets;
    // The handshake of TCP is a round trip, which the kernel did not take.
    sleep(2 * line.delay).await;
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", upstream)).await else { return };
    // A delay of its own would be added to ours.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    if !is_reset(&mut client, &mut server, &mut line, resets).await {
        return;
    }
    // Dropped like this, both are reset.
    let _ = (client.set_zero_linger(), server.set_zero_linger());
}

/// Carries to the end: of both directions, or by a reset.
async fn is_reset(client: &mut TcpStream, server: &mut TcpStream, line: &mut Line, resets: usize) -> bool {
    let ((client_in, client_out), (server_in, server_out)) = (client.split(), server.split());
    let there = forward(client_in, server_out, line.clone());
    let back = forward(server_in, client_out, line.clone());
    tokio::select! {
        ((), ()) = async { tokio::join!(there, back) } => false,
        () = line.reset(resets) => true,
    }
}

/// One direction, to its end.
async fn forward(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut line: Line) {
    let (sent, mut under_way) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS_MAX);
    let delay = line.delay;
    let read = async move {
        let mut buffer = vec![0; CHUNK];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            if sent.send((Instant::now() + delay, buffer[..count].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        let mut is_lost = false;
        while let Some((at, chunk)) = under_way.recv().await {
            sleep_until(at).await;
            line.while_paused().await;
            is_lost |= line.mood() == Mood::Swallowing;
            if !is_lost && to.write_all(&chunk).await.is_err() {
                return;
            }
        }
        if !is_lost {
            let _ = to.shutdown().await;
        }
    };
    tokio::join!(read, write);
}
