//! A network in memory for tests: every dial reaches a hyper server that answers as the test says.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::Notify;

use crate::net::{Dial, Dialing, Endpoint, Stream};

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What the server does with a request that it has read.
pub(crate) enum Reply {
    Answer(Response<Full<Bytes>>),
    /// Closes the connection without a word.
    Die,
    /// Never answers.
    Hang,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self::with(status, &[], "")
    }

    pub(crate) fn with(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        Self::Answer(response.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap())
    }
}

type Replying = Pin<Box<dyn Future<Output = Reply> + Send>>;

#[derive(Clone)]
pub(crate) struct Loopback(Arc<State>);

struct State {
    reply: Box<dyn Fn(Seen) -> Replying + Send + Sync>,
    seen: Mutex<Vec<Seen>>,
    dials: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
    unreachable: AtomicBool,
    black_hole: AtomicBool,
    deaf: Mutex<Option<Vec<DuplexStream>>>,
    hang_up: Notify,
}

impl fmt::Debug for Loopback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Loopback")
    }
}

impl Loopback {
    pub(crate) fn answering<F, R>(reply: F) -> Self
    where
        F: Fn(Seen) -> R + Send + Sync + 'static,
        R: Future<Output = Reply> + Send + 'static,
    {
        Self(Arc::new(State {
            reply: Box::new(move |seen| Box::pin(reply(seen))),
            seen: Mutex::default(),
            dials: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
            unreachable: AtomicBool::new(false),
            black_hole: AtomicBool::new(false),
            deaf: Mutex::default(),
            hang_up: Notify::new(),
        }))
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.0.seen.lock().unwrap().clone()
    }

    pub(crate) fn dials(&self) -> usize {
        self.0.dials.load(SeqCst)
    }

    /// Connections that the client holds open.
    pub(crate) fn open(&self) -> usize {
        self.0.open.load(SeqCst)
    }

    pub(crate) fn most_open(&self) -> usize {
        self.0.most_open.load(SeqCst)
    }

    /// Every dial fails.
    pub(crate) fn refuse(&self, refuse: bool) {
        self.0.unreachable.store(refuse, SeqCst);
    }

    /// No dial ever ends.
    pub(crate) fn swallow(&self) {
        self.0.black_hole.store(true, SeqCst);
    }

    /// Connections are taken, but nobody reads from them.
    pub(crate) fn deafen(&self) {
        *self.0.deaf.lock().unwrap() = Some(Vec::new());
    }

    /// The server closes every connection that is open now.
    pub(crate) fn hang_up(&self) {
        self.0.hang_up.notify_waiters();
    }

    fn accept(&self) -> Wire {
        let (client, server) = tokio::io::duplex(16 * 1024);
        match &mut *self.0.deaf.lock().unwrap() {
            Some(held) => held.push(server),
            None => self.serve(server),
        }
        let open = self.0.open.fetch_add(1, SeqCst) + 1;
        self.0.most_open.fetch_max(open, SeqCst);
        Wire { stream: client, state: self.0.clone() }
    }

    fn serve(&self, server: DuplexStream) {
        let state = self.0.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| answer(state.clone(), request));
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service);
            tokio::select! {
                // A death is part of the script.
                _ = connection => {}
                () = state.hang_up.notified() => {}
            }
        });
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let seen = Seen { method: head.method, target: head.uri.to_string(), headers: head.headers, body };
    state.seen.lock().unwrap().push(seen.clone());
    match (state.reply)(seen).await {
        Reply::Answer(response) => Ok(response),
        Reply::Die => Err(io::Error::other("scripted death")),
        Reply::Hang => std::future::pending().await,
    }
}

impl Dial for Loopback {
    fn dial(&self, _endpoint: &Endpoint) -> Dialing {
        let network = self.clone();
        Box::pin(async move {
            network.0.dials.fetch_add(1, SeqCst);
            if network.0.black_hole.load(SeqCst) {
                return std::future::pending().await;
            }
            if network.0.unreachable.load(SeqCst) {
                return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused"));
            }
            Ok(Box::new(network.accept()) as Box<dyn Stream>)
        })
    }
}

/// The client's end; counted while it lives.
struct Wire {
    stream: DuplexStream,
    state: Arc<State>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.state.open.fetch_sub(1, SeqCst);
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
