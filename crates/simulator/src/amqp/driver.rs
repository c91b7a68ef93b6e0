//! Bytes between a socket and a [`Peer`].
//!
//! Promises: reads nothing while there is something to write, so that a client that does not read is not listened to
//! either and costs one output's worth of memory; one that takes nothing for a minute is cut. Decides nothing.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::peer::{Fate, Peer, Scene};
use crate::cloud::Cloud;
use crate::directory::{ConnectionId, Mailbox};
use crate::sockets::{Reset, Serves, Wire};

/// What is read at a time: one TLS record.
const READ_BYTES: usize = 16 << 10;
/// A client that takes no byte for so long is gone.
const STALL_MAX: Duration = Duration::from_secs(60);
/// How long a silent connection is held; clients give up long before.
const SILENT_MAX: Duration = Duration::from_secs(600);
/// After our last word: how long the client may take to close, so that it reads it before the socket goes.
const LINGER_MAX: Duration = Duration::from_secs(2);

/// The services behind the port.
pub(crate) struct Amqp {
    pub(crate) cloud: Arc<Cloud>,
}

impl Serves for Amqp {
    async fn serve(self: Arc<Self>, wire: impl Wire, reset: Reset) {
        drive(wire, Arc::clone(&self.cloud), reset).await;
    }
}

/// A place among the connections, given back when it is dropped.
struct Member {
    cloud: Arc<Cloud>,
    id: ConnectionId,
    mailbox: Arc<Mailbox>,
    began: Instant,
}

impl Member {
    fn join(cloud: Arc<Cloud>) -> Self {
        let (id, mailbox) = cloud.directory().join();
        Self { cloud, id, mailbox, began: Instant::now() }
    }

    fn scene(&self) -> Scene<'_> {
        Scene { cloud: &self.cloud, at: self.began.elapsed(), now_ms: self.cloud.now_ms() }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.cloud.directory().leave(self.id);
    }
}

/// What is on its way between socket and peer.
struct Lane<S> {
    wire: S,
    out: BytesMut,
    /// Something was written that may still lie in a layer below.
    is_unflushed: bool,
    input: Box<[u8]>,
}

/// What came of moving bytes.
enum Moved {
    Out,
    In(usize),
}

impl<S: Wire> Lane<S> {
    fn new(wire: S) -> Self {
        Self { wire, out: BytesMut::new(), is_unflushed: false, input: vec![0; READ_BYTES].into() }
    }

    fn has_output(&self) -> bool {
        !self.out.is_empty() || self.is_unflushed
    }

    /// Writes, or else reads. May be dropped at any time: each step is taken whole or not at all.
    async fn step(&mut self, reads: bool) -> io::Result<Moved> {
        if !self.out.is_empty() {
            let written = self.wire.write(&self.out).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.out.advance(written);
            self.is_unflushed = true;
            return Ok(Moved::Out);
        }
        if self.is_unflushed {
            self.wire.flush().await?;
            self.is_unflushed = false;
            return Ok(Moved::Out);
        }
        if !reads {
            return std::future::pending().await;
        }
        self.wire.read(&mut self.input).await.map(Moved::In)
    }

    /// Ends the connection so that the last words arrive: says that nothing follows, and reads what crosses it.
    async fn hang_up(mut self) {
        let linger = async {
            self.wire.shutdown().await?;
            while self.wire.read(&mut self.input).await? > 0 {}
            io::Result::Ok(())
        };
        // Either way it is over.
        let _ = tokio::time::timeout(LINGER_MAX, linger).await;
    }
}

/// Serves one connection to its end.
pub(crate) async fn drive(wire: impl Wire, cloud: Arc<Cloud>, reset: Reset) {
    let mut lane = Lane::new(wire);
    match run(&mut lane, cloud).await {
        Some(Fate::Reset) => reset.instead_of_closing(),
        Some(Fate::Silent) => tokio::time::sleep(SILENT_MAX).await,
        Some(Fate::Cut) => {}
        None => lane.hang_up().await,
    }
}

/// Gives what is to become of the socket; none when all was said.
async fn run(lane: &mut Lane<impl Wire>, cloud: Arc<Cloud>) -> Option<Fate> {
    let member = Member::join(cloud);
    let mut peer = Peer::new(member.id, member.scene());
    let fate = talk(lane, &member, &mut peer).await;
    peer.gone(member.scene());
    fate
}

async fn talk(lane: &mut Lane<impl Wire>, member: &Member, peer: &mut Peer) -> Option<Fate> {
    let mut moved_at = member.scene().at;
    loop {
        if lane.out.is_empty() {
            peer.output(&mut lane.out, member.scene());
        }
        if let Some(fate) = peer.fate() {
            return Some(fate);
        }
        if peer.is_over() && !lane.has_output() {
            return None;
        }
        let stalled_at = lane.has_output().then_some(moved_at + STALL_MAX);
        let wake_at = peer.deadline(member.scene()).into_iter().chain(stalled_at).min();
        tokio::select! {
            moved = lane.step(peer.reads()) => {
                moved_at = member.scene().at;
                match moved {
                    Ok(Moved::Out) => {}
                    Ok(Moved::In(0)) | Err(_) => {
                        peer.cut(member.scene());
                        return Some(Fate::Cut);
                    }
                    Ok(Moved::In(length)) => {
                        let bytes = lane.input.get(..length).unwrap_or_default();
                        peer.receive(bytes, member.scene());
                    }
                }
            }
            notes = member.mailbox.notes() => peer.notes(notes, member.scene()),
            () = sleep_until(member.began, wake_at) => {
                let scene = member.scene();
                if stalled_at.is_some_and(|at| at <= scene.at) {
                    return Some(Fate::Cut);
                }
                peer.tick(scene);
            }
        }
    }
}

async fn sleep_until(began: Instant, at: Option<Duration>) {
    match at {
        Some(at) => tokio::time::sleep_until(began + at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
