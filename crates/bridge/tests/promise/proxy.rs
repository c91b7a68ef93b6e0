//! A network between bridge and Azure that can fall silent: connections stay open, new ones are accepted, nothing is
//! forwarded. No reset, no refusal, which is the worst that a network can do to a client.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Forwards from `port` until told otherwise.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    is_silent: watch::Sender<bool>,
}

impl Proxy {
    pub(crate) async fn start(upstream: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("it listens").port();
        let (is_silent, silence) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, upstream, silence.clone()));
            }
        });
        Self { port, is_silent }
    }

    /// From now on nothing passes; what is under way waits.
    pub(crate) fn fall_silent(&self) {
        self.is_silent.send_replace(true);
    }

    pub(crate) fn speak_again(&self) {
        self.is_silent.send_replace(false);
    }
}

async fn carry(client: TcpStream, upstream: u16, mut silence: watch::Receiver<bool>) {
    if spoken(&mut silence).await.is_none() {
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)).await else { return };
    let (client_in, client_out) = client.into_split();
    let (server_in, server_out) = server.into_split();
    tokio::select! {
        () = copy(client_in, server_out, silence.clone()) => {}
        () = copy(server_in, client_out, silence) => {}
    }
}

async fn copy(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut silence: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if spoken(&mut silence).await.is_none() || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
    // An end is also something that does not pass through silence.
    let _ = spoken(&mut silence).await;
}

/// Waits until there is no silence; `None` when the proxy is gone.
async fn spoken(silence: &mut watch::Receiver<bool>) -> Option<()> {
    silence.wait_for(|is_silent| !is_silent).await.ok().map(drop)
}
