//! Accepting connections and reading requests, with or without TLS.
//!
//! Promises: every wait and every size has a bound; running out of file descriptors pauses accepting and ends nothing.
//! Dropping the future that serves cuts all its connections. Knows HTTP/1.1, not what is asked for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::header_case::{Head, Noted};

/// Each holds about 30 KiB with TLS: 4096 are 120 MiB at worst. More wait in the kernel's backlog.
const CONNECTIONS_MAX: usize = 4096;
/// A TLS handshake takes two round trips; ten seconds are those of a bad mobile link.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Also how long a connection may be idle between requests, as hyper counts from one answer to the next head.
const HEAD_MAX: Duration = Duration::from_secs(240);
/// 1 MiB in 20 s is 50 KiB a second.
const BODY_MAX: Duration = Duration::from_secs(20);
/// What is read before 413 is said: four times the hub's largest message, so that its own answer is reached.
const BODY_BYTES_MAX: usize = 1 << 20;
/// How long to wait when the machine has no more sockets to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A request as read.
pub(crate) struct Ask {
    pub(crate) parts: Parts,
    pub(crate) names: std::collections::HashMap<String, String>,
    pub(crate) body: Result<Bytes, Unread>,
}

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    TooLarge,
    Broken,
}

/// Instead of an answer: the connection is closed.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut on purpose")]
pub(crate) struct Cut;

/// What a request gets.
pub(crate) type Reply = Result<Response<Full<Bytes>>, Cut>;

/// Whoever answers requests.
pub(crate) trait Answers: Send + Sync + 'static {
    fn answer(self: Arc<Self>, ask: Ask) -> impl Future<Output = Reply> + Send;
}

/// Serves one listener for ever.
pub(crate) async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, answers: Arc<impl Answers>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let permit = Arc::clone(&permits).acquire_owned().await.expect("this semaphore is never closed");
        let Some(stream) = accept(&listener).await else { continue };
        let (tls, answers) = (tls.clone(), Arc::clone(&answers));
        connections.spawn(async move {
            connection(stream, tls, answers).await;
            drop(permit);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn accept(listener: &TcpListener) -> Option<TcpStream> {
    match listener.accept().await {
        Ok((stream, _)) => {
            // Answers are small: waiting to fill a segment would only add delay. It is a hint, failing costs nothing.
            let _ = stream.set_nodelay(true);
            Some(stream)
        }
        Err(error) => {
            tracing::warn!(%error, "the simulator could not accept a connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, answers: Arc<impl Answers>) {
    let Some(tls) = tls else { return requests(stream, answers).await };
    match tokio::time::timeout(HANDSHAKE_MAX, tls.accept(stream)).await {
        Ok(Ok(stream)) => requests(stream, answers).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

async fn requests(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, answers: Arc<impl Answers>) {
    let head = Head::default();
    let noted = Noted { stream, head: head.clone() };
    let service = service_fn(move |request| {
        let (head, answers) = (head.clone(), Arc::clone(&answers));
        async move { answers.answer(read(request, &head).await).await }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_MAX);
    if let Err(error) = server.serve_connection(TokioIo::new(noted), service).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Reads the whole request. Also a body that nobody wants: Node's SDK sends one with a `GET`.
async fn read(request: Request<Incoming>, head: &Head) -> Ask {
    let names = head.take_names();
    let (parts, body) = request.into_parts();
    let body = match tokio::time::timeout(BODY_MAX, Limited::new(body, BODY_BYTES_MAX).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(Unread::TooLarge),
        Ok(Err(_)) | Err(_) => Err(Unread::Broken),
    };
    head.clear();
    Ask { parts, names, body }
}
