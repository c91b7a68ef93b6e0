//! Bytes between a socket and whoever decides what they mean, for protocols that keep a connection.
//!
//! Promises: while there is something to write only so much is read as whoever decides allows, so that a client that does
//! not read costs a bounded memory, and one that writes much before it reads is not waited for while it waits for us; one
//! that takes nothing for a minute is cut. A connection on which nothing happens holds no buffer. Dropped at any time, it
//! leaves nothing behind. Decides nothing, and leaves nothing to chance.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::time::Instant;

mod scene; // where and when something happens

pub(crate) use scene::Scene;

use crate::cloud::Cloud;
use crate::directory::{ConnectionId, Mailbox, Notes, Protocol};
use crate::sockets::{Plug, Wire};

/// What is read at a time: one TLS record.
const READ_BYTES: usize = 16 << 10;
/// A client that takes no byte for so long is gone.
pub(crate) const STALL_MAX: Duration = Duration::from_secs(60);
/// How long a silent connection is held; clients give up long before.
const SILENT_MAX: Duration = Duration::from_secs(600);
/// After our last word: how long the client may take to close, so that it reads it before the socket goes.
pub(crate) const LINGER_MAX: Duration = Duration::from_secs(2);

/// What is to become of the socket, whatever is still to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is closed.
    Cut,
    /// It is reset.
    Reset,
    /// It stays as it is.
    Silent,
}

/// One connection without its socket.
pub(crate) trait Talks: Send {
    const PROTOCOL: Protocol;

    fn begin(id: ConnectionId, scene: Scene<'_>) -> Self;

    /// What was read.
    fn receive(&mut self, bytes: &[u8], scene: Scene<'_>);

    /// What others did.
    fn notes(&mut self, notes: Notes, scene: Scene<'_>);

    /// Does what is due.
    fn tick(&mut self, scene: Scene<'_>);

    /// When to tick.
    fn deadline(&self, scene: Scene<'_>) -> Option<Duration>;

    /// Bytes to be written, as many as are to be held at a time.
    fn output(&mut self, out: &mut BytesMut, scene: Scene<'_>);

    /// Whether more may be read.
    fn reads(&self) -> bool;

    /// Whether more may be read although the last output is not written.
    fn reads_while_writing(&self) -> bool {
        false
    }

    /// What is to become of the socket, if it is decided.
    fn fate(&self) -> Option<Fate>;

    /// Nothing more follows but what is to be written.
    fn is_over(&self) -> bool;

    /// The client is gone.
    fn cut(&mut self, scene: Scene<'_>);

    /// It is over, whatever the reason.
    fn gone(&mut self, scene: Scene<'_>);
}

/// A place among the connections, given back when it is dropped.
struct Member {
    cloud: Arc<Cloud>,
    id: ConnectionId,
    mailbox: Arc<Mailbox>,
    began: Instant,
}

impl Member {
    fn join(cloud: Arc<Cloud>, protocol: Protocol, peer: Option<SocketAddr>) -> Self {
        let (id, mailbox) = cloud.directory().join_as(protocol, peer);
        Self { cloud, id, mailbox, began: Instant::now() }
    }

    fn scene(&self) -> Scene<'_> {
        Scene { cloud: &self.cloud, at: self.began.elapsed(), now_ms: self.cloud.now_ms() }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.cloud.leave_directory(self.id);
    }
}

/// What is on its way to the socket.
struct Lane<S> {
    wire: S,
    out: BytesMut,
    /// Something was written that may still lie in a layer below.
    is_unflushed: bool,
}

/// What came of moving bytes.
enum Moved {
    Out,
    /// Nothing, at the end.
    In(Bytes),
}

impl<S: Wire> Lane<S> {
    fn new(wire: S) -> Self {
        Self { wire, out: BytesMut::new(), is_unflushed: false }
    }

    fn has_output(&self) -> bool {
        !self.out.is_empty() || self.is_unflushed
    }

    /// Writes what there is, or reads where that is allowed: whichever goes. May be dropped at any time: each step is taken
    /// whole or not at all.
    async fn step(&mut self, reads: bool) -> io::Result<Moved> {
        std::future::poll_fn(|context| match self.poll_out(context) {
            Poll::Pending if reads => self.poll_in(context),
            moved => moved,
        })
        .await
    }

    fn poll_out(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Moved>> {
        if !self.out.is_empty() {
            let written = ready!(Pin::new(&mut self.wire).poll_write(context, &self.out))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(written);
            self.is_unflushed = true;
            return Poll::Ready(Ok(Moved::Out));
        }
        if !self.is_unflushed {
            return Poll::Pending;
        }
        // The buffer is not kept for the next time, which may be hours away.
        self.out = BytesMut::new();
        ready!(Pin::new(&mut self.wire).poll_flush(context))?;
        self.is_unflushed = false;
        Poll::Ready(Ok(Moved::Out))
    }

    /// Reads into the stack, so that who waits holds no buffer.
    fn poll_in(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Moved>> {
        let mut room = [MaybeUninit::uninit(); READ_BYTES];
        let mut buffer = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut self.wire).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(Moved::In(Bytes::copy_from_slice(buffer.filled()))))
    }

    /// Ends the connection so that the last words arrive: says that nothing follows, and reads what crosses it.
    async fn hang_up(mut self) {
        let linger = async {
            self.wire.shutdown().await?;
            let mut crossing = [0; 512];
            while self.wire.read(&mut crossing).await? > 0 {}
            io::Result::Ok(())
        };
        // Either way it is over.
        let _ = tokio::time::timeout(LINGER_MAX, linger).await;
    }
}

/// Serves one connection to its end.
pub(crate) async fn drive<T: Talks>(wire: impl Wire, cloud: Arc<Cloud>, plug: Plug) {
    let mut lane = Lane::new(wire);
    match run::<T>(&mut lane, cloud, plug.peer()).await {
        Some(Fate::Reset) => plug.reset_instead_of_closing(),
        Some(Fate::Silent) => tokio::time::sleep(SILENT_MAX).await,
        Some(Fate::Cut) => {}
        // Boxed: most connections end some day, but each would hold room for it from the beginning.
        None => Box::pin(lane.hang_up()).await,
    }
}

/// Gives what is to become of the socket; none when all was said.
async fn run<T: Talks>(lane: &mut Lane<impl Wire>, cloud: Arc<Cloud>, peer: Option<SocketAddr>) -> Option<Fate> {
    let member = Member::join(cloud, T::PROTOCOL, peer);
    let talk = T::begin(member.id, member.scene());
    let mut party = Party { talk, member };
    turns(lane, &mut party).await
}

/// A talk among the others. However it ends, also when the future that serves it is dropped, it gives back what it holds,
/// and then its place.
struct Party<T: Talks> {
    talk: T,
    member: Member,
}

impl<T: Talks> Drop for Party<T> {
    fn drop(&mut self) {
        self.talk.gone(self.member.scene());
    }
}

async fn turns(lane: &mut Lane<impl Wire>, party: &mut Party<impl Talks>) -> Option<Fate> {
    let Party { talk, member } = party;
    let mut was_told = false;
    let mut wrote_at = member.scene().at;
    loop {
        if !lane.has_output() {
            wrote_at = member.scene().at;
        }
        if lane.out.is_empty() {
            talk.output(&mut lane.out, member.scene());
        }
        if let Some(fate) = talk.fate() {
            return Some(fate);
        }
        if talk.is_over() && !lane.has_output() {
            return None;
        }
        let stalled_at = lane.has_output().then_some(wrote_at + STALL_MAX);
        let reads = if lane.has_output() { talk.reads_while_writing() } else { talk.reads() };
        let wake_at = talk.deadline(member.scene()).into_iter().chain(stalled_at).min();
        // In a fixed order, so that the same happenings are met in the same order each time. Nobody starves: what is due is
        // due later once it was met, and of notes and bytes those have to wait that were met last.
        tokio::select! {
            biased;
            () = sleep_until(member.began, wake_at) => {
                let scene = member.scene();
                if stalled_at.is_some_and(|at| at <= scene.at) {
                    return Some(Fate::Cut);
                }
                talk.tick(scene);
            }
            notes = member.mailbox.notes(), if !was_told => {
                was_told = true;
                talk.notes(notes, member.scene());
            }
            moved = lane.step(reads) => {
                was_told = false;
                match moved {
                    Ok(Moved::Out) => wrote_at = member.scene().at,
                    Ok(Moved::In(bytes)) if !bytes.is_empty() => talk.receive(&bytes, member.scene()),
                    Ok(Moved::In(_)) | Err(_) => {
                        talk.cut(member.scene());
                        return Some(Fate::Cut);
                    }
                }
            }
            notes = member.mailbox.notes(), if was_told => talk.notes(notes, member.scene()),
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
