//! How long a connection may take for what it is doing, and a stream that notices what it is doing.
//!
//! Promises: at every instant a connection has at most one deadline, and it follows from its [`Phase`] and from a
//! write that does not move. Relies on its owner to look at [`Pace::deadline`] after each poll and to close the
//! connection when it has passed. Knows nothing of HTTP beyond "head, body, answer".

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// How long each phase of a connection may last.
#[derive(Clone, Debug)]
pub struct Limits {
    /// From the connection to its first byte.
    pub first_byte: Duration,
    /// The TLS handshake, which comes before the first byte.
    pub handshake: Duration,
    /// From the first byte of a request to the end of its headers.
    pub header: Duration,
    /// From the end of the headers to the end of the body.
    pub body: Duration,
    /// A write that makes no progress.
    pub write: Duration,
    /// Between an answer and the next request. Longer than the 90 s after which Go's client, and so The Things
    /// Stack, closes: the side that may still send must be the one that closes, or a request meets a closed door.
    pub idle: Duration,
    /// Reading on after a refusal, so that the client sees the answer and not a reset.
    pub linger: Duration,
    /// Requests in flight when the listener stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            first_byte: seconds(10),
            handshake: seconds(10),
            header: seconds(10),
            body: seconds(20),
            write: seconds(10),
            idle: seconds(120),
            linger: seconds(2),
            drain: seconds(5),
        }
    }
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Open, not a byte yet.
    Silent,
    /// In the head of a request.
    Header,
    /// In the body of a request.
    Body,
    /// The request is with us. No deadline: whoever answers has one of its own.
    Ours,
    /// Answered; the next request may come.
    Idle,
}

#[derive(Clone, Copy, Debug)]
struct State {
    phase: Phase,
    since: Instant,
    write_stuck_since: Option<Instant>,
}

/// The phase of one connection, shared by its stream, its bodies and its task.
#[derive(Clone, Debug)]
pub struct Pace(Arc<Mutex<State>>);

impl Default for Pace {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State { phase: Phase::Silent, since: Instant::now(), write_stuck_since: None })))
    }
}

impl Pace {
    /// What the connection is doing.
    pub fn phase(&self) -> Phase {
        self.state().phase
    }

    /// The connection begins to do something else.
    pub fn enter(&self, phase: Phase) {
        let mut state = self.state();
        state.phase = phase;
        state.since = Instant::now();
    }

    /// When the connection has to be closed, and the word for why; `None` while it is our turn.
    pub fn deadline(&self, limits: &Limits) -> Option<(Instant, &'static str)> {
        let state = *self.state();
        if let Some(stuck) = state.write_stuck_since {
            return Some((stuck + limits.write, "write"));
        }
        let (allowed, word) = match state.phase {
            Phase::Silent => (limits.first_byte, "first_byte"),
            Phase::Header => (limits.header, "header"),
            Phase::Body => (limits.body, "body"),
            Phase::Idle => (limits.idle, "idle"),
            Phase::Ours => return None,
        };
        Some((state.since + allowed, word))
    }

    fn bytes_came(&self) {
        if matches!(self.phase(), Phase::Silent | Phase::Idle) {
            self.enter(Phase::Header);
        }
    }

    fn write_moved(&self, moved: bool) {
        let mut state = self.state();
        match (moved, state.write_stuck_since) {
            (true, Some(_)) => state.write_stuck_since = None,
            (false, None) => state.write_stuck_since = Some(Instant::now()),
            _ => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream that tells its [`Pace`] of bytes that come and of writes that do not move.
#[derive(Debug)]
pub struct Paced<S> {
    stream: S,
    pace: Pace,
}

impl<S> Paced<S> {
    /// Watches `stream` for `pace`.
    pub fn new(stream: S, pace: Pace) -> Self {
        Self { stream, pace }
    }

    fn noted<T>(&self, outcome: Poll<T>) -> Poll<T> {
        self.pace.write_moved(outcome.is_ready());
        outcome
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            this.pace.bytes_came();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.noted(outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.noted(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_flush(cx);
        this.noted(outcome)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.noted(outcome)
    }
}
