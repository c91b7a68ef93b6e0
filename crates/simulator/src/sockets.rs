//! Accepting connections, with or without TLS, whatever is spoken on them.
//!
//! Promises: running out of file descriptors pauses accepting and ends nothing; a handshake has a bound. Dropping the
//! future that serves cuts all its connections.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Each holds about 30 KiB with TLS: 4096 are 120 MiB at worst. More wait in the kernel's backlog.
const CONNECTIONS_MAX: usize = 4096;
/// A TLS handshake takes two round trips; ten seconds are those of a bad mobile link.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long to wait when the machine has no more sockets to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bytes both ways.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Wire for S {}

/// Whoever speaks on connections.
pub(crate) trait Serves: Send + Sync + 'static {
    fn serve(self: Arc<Self>, wire: impl Wire, plug: Plug) -> impl Future<Output = ()> + Send;
}

/// What is to be known of a socket, and done with it, above all that is wrapped around it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plug {
    is_reset: Arc<AtomicBool>,
    peer: Option<SocketAddr>,
}

impl Plug {
    /// Has the socket reset, not closed, when it is dropped.
    pub(crate) fn reset_instead_of_closing(&self) {
        self.is_reset.store(true, Ordering::Relaxed);
    }

    /// Who has dialled; none where there is no socket.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }
}

/// A socket that can be reset from outside of all that is wrapped around it.
struct Socket {
    stream: TcpStream,
    plug: Plug,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.plug.is_reset.load(Ordering::Relaxed) {
            // What fails here leaves an ordinary close.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
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

/// Serves one listener for ever.
pub(crate) async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, server: Arc<impl Serves>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let permit = Arc::clone(&permits).acquire_owned().await.expect("this semaphore is never closed");
        let Some(stream) = accept(&listener).await else { continue };
        let (tls, server) = (tls.clone(), Arc::clone(&server));
        connections.spawn(async move {
            connection(stream, tls, server).await;
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

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, server: Arc<impl Serves>) {
    let plug = Plug { peer: stream.peer_addr().ok(), ..Plug::default() };
    let socket = Socket { stream, plug: plug.clone() };
    let Some(tls) = tls else { return server.serve(socket, plug).await };
    match tokio::time::timeout(HANDSHAKE_MAX, tls.accept(socket)).await {
        Ok(Ok(stream)) => server.serve(stream, plug).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}
