//! Where connections come from: sockets, or whatever a simulation has in their place.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Connections that the kernel keeps for us while we are busy; it caps this at `net.core.somaxconn` itself.
const BACKLOG: u32 = 4096;
/// File descriptors left for everything that is not a connection here: queue, hub connections, logs.
const RESERVED_DESCRIPTORS: usize = 256;

/// What connections come from. [`super::serve`] treats them alike, whatever carries their bytes.
pub trait Listen: Send + 'static {
    /// A connection, in both directions.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection. Waits for ever when there will be none; nothing is lost when the wait is given up.
    fn accept(&mut self) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// How many of `wanted` connections there can be at once.
    fn room_for(&self, wanted: usize) -> usize {
        wanted
    }
}

impl Listen for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<TcpStream> {
        let (stream, _) = Self::accept(self).await?;
        // Answers are single small segments; waiting for more to send would only delay them.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    /// As far as the process's file descriptors go.
    fn room_for(&self, wanted: usize) -> usize {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let bound = bound_below(wanted, limit);
        if bound < wanted {
            tracing::warn!(wanted, bound, "too few open files are allowed for all connections; raise the limit");
        }
        bound
    }
}

/// Opens a listener that can be opened again at once after a restart.
///
/// # Errors
/// What the system says: address in use, not permitted, not an address of this machine.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A listener that was handed over, by a supervisor or by the process before this one.
///
/// # Errors
/// When it is no socket that can be waited for.
pub fn adopt(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// `limit` is the soft limit of open files; `None`: there is none.
fn bound_below(wanted: usize, limit: Option<u64>) -> usize {
    let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    wanted.min(limit.saturating_sub(RESERVED_DESCRIPTORS)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_follows_the_descriptors() {
        assert_eq!(bound_below(8192, Some(1024)), 768);
        assert_eq!(bound_below(8192, Some(100)), 1, "one at least");
        assert_eq!(bound_below(8192, Some(65_536)), 8192);
        assert_eq!(bound_below(8192, None), 8192);
    }
}
