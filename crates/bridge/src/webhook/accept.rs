//! The accept loop: connections in, requests to a handler, answers out.
//!
//! Promises: the number of connections is bounded, those over the bound are closed at once and the others do not
//! notice; running out of file descriptors pauses it and never ends it; a slow client is cut (see [`Limits`]); a
//! refusal reaches its client even if the client is still sending; a stop finishes what is in flight. Relies on the
//! handler to answer in bounded time. Does not know what is asked for: the admin listener runs on it as well. Does not know
//! either what carries the bytes: a simulation has no sockets ([`Listen`]).

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use hyper::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};

use super::body::{Marked, RequestBody};
use super::pace::{Limits, Pace, Paced, Phase};
use super::tls::Tls;
use crate::events::{Event, Events};
use crate::world::World;

mod listen; // where connections come from

pub use listen::{Listen, adopt, listen};

/// After a failed accept: long enough not to spin, short enough that nobody's 5 s run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Headers of one request. The Things Stack sends at most 50 pairs of its users' own; real ones are below 1 KiB.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// What is read and thrown away after a refusal, so that its answer is not lost to a reset.
const MAX_LINGER_BYTES: usize = 16 * 1024 * 1024;
/// Connections taken from the backlog when the listener stops; their clients were already told that they are connected.
const MAX_LAST_ACCEPTS: usize = 4096;
/// The backlog is empty when nothing came for this long; the runtime needs a turn to find out what is there.
const LAST_ACCEPT: Duration = Duration::from_millis(10);
/// A connection without a byte gets this long once the listener stops.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What a listener is made of, besides its handler.
#[derive(Clone, Debug)]
pub struct Options {
    /// Connections at once; lowered to what the process's file descriptors allow.
    pub max_connections: usize,
    /// How long each phase may last.
    pub limits: Limits,
    /// TLS, unless it ends before us.
    pub tls: Option<Tls>,
    /// Where facts go.
    pub events: Events,
    /// Whose time the answers tell.
    pub world: World,
    /// True once the process is about to go: each answer then closes its connection, and new ones are taken as before.
    pub leaving: watch::Receiver<bool>,
}

/// Serves until `stop`, then finishes what is in flight, within [`Limits::drain`].
pub async fn serve<L, H, F, B>(mut listener: L, handler: H, options: Options, stop: impl Future<Output = ()> + Send)
where
    L: Listen,
    H: Fn(Request<RequestBody>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let bound = listener.room_for(options.max_connections).clamp(1, Semaphore::MAX_PERMITS);
    let (closing, watched) = watch::channel(false);
    let floor = Floor { options: Arc::new(options), places: Arc::new(Semaphore::new(bound)), closing: watched };
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok(stream) => floor.admit(stream, &handler),
                Err(error) => floor.pause_after(&error).await,
            },
        }
    }
    floor.admit_the_last(&mut listener, &handler).await;
    drop(listener);
    closing.send_replace(true);
    let all = u32::try_from(bound).unwrap_or(u32::MAX);
    // Whoever is not done by then is cut by dropping `closing`.
    let _ = timeout(floor.options.limits.drain, floor.places.acquire_many(all)).await;
}

/// What every connection shares.
struct Floor {
    options: Arc<Options>,
    places: Arc<Semaphore>,
    closing: watch::Receiver<bool>,
}

impl Floor {
    fn admit<S, H, F, B>(&self, stream: S, handler: &H)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        H: Fn(Request<RequestBody>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Unpin + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            self.options.events.emit(Event::ConnectionsFull);
            return;
        };
        self.options.events.emit(Event::ConnectionTaken);
        let visit = Visit { options: self.options.clone(), closing: self.closing.clone(), _place: place };
        tokio::spawn(visit.run(stream, handler.clone()));
    }

    async fn pause_after(&self, error: &io::Error) {
        // The client went away between its handshake and our accept; there is nothing to wait for.
        if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
            return;
        }
        self.options.events.emit(Event::AcceptFailed { cause: &error.to_string() });
        sleep(ACCEPT_PAUSE).await;
    }

    /// Clients in the backlog believe that they are connected; they are served before the listener goes.
    async fn admit_the_last<L, H, F, B>(&self, listener: &mut L, handler: &H)
    where
        L: Listen,
        H: Fn(Request<RequestBody>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Unpin + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        for _ in 0..MAX_LAST_ACCEPTS {
            match timeout(LAST_ACCEPT, listener.accept()).await {
                Ok(Ok(stream)) => self.admit(stream, handler),
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }
}

/// How a connection ended.
enum End {
    /// By itself; the stream may still have bytes of a request that was refused.
    Done,
    /// It took too long, in this phase.
    Slow(&'static str),
    /// The listener's drain is over.
    Cut,
}

/// One connection, from its first to its last byte. Holds its place among the bounded number of them.
struct Visit {
    options: Arc<Options>,
    closing: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

impl Visit {
    async fn run<S, H, F, B>(self, stream: S, handler: H)
    where
        S: AsyncRead + AsyncWrite + Unpin,
        H: Fn(Request<RequestBody>) -> F,
        F: Future<Output = Response<B>>,
        B: Body<Data = Bytes> + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Some(tls) = &self.options.tls else { return Box::pin(self.converse(stream, handler)).await };
        match timeout(self.options.limits.handshake, tls.accept(stream)).await {
            Ok(Ok(stream)) => Box::pin(self.converse(stream, handler)).await,
            Ok(Err(error)) => self.options.events.emit(Event::HandshakeFailed { cause: &error.to_string() }),
            Err(_) => self.slow("handshake"),
        }
    }

    async fn converse<S, H, F, B>(self, stream: S, handler: H)
    where
        S: AsyncRead + AsyncWrite + Unpin,
        H: Fn(Request<RequestBody>) -> F,
        F: Future<Output = Response<B>>,
        B: Body<Data = Bytes> + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let pace = Pace::default();
        let service = service_fn(|request: Request<hyper::body::Incoming>| {
            pace.enter(Phase::Body);
            let answer = handler(request.map(|body| Marked::new(body, pace.clone(), Phase::Ours)));
            let (pace, Options { world, leaving, .. }) = (pace.clone(), &*self.options);
            // Boxed, for only then can the connection be polled without giving its stream away at the end.
            Box::pin(async move {
                let mut answer = answer.await.map(|body| Marked::new(body, pace, Phase::Idle));
                answer.headers_mut().extend(date(world.now()).map(|date| (header::DATE, date)));
                if *leaving.borrow() {
                    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(answer)
            })
        });
        let io = TokioIo::new(Paced::new(stream, pace.clone()));
        let mut http = http1::Builder::new();
        http.max_buf_size(MAX_HEADER_BYTES).half_close(true).auto_date_header(false);
        let mut connection = http.serve_connection(io, service);
        match self.watch(&mut connection, &pace).await {
            End::Done => self.linger(connection.into_parts().io.into_inner()).await,
            End::Slow(phase) => self.slow(phase),
            End::Cut => {}
        }
    }

    /// Polls the connection and, after each poll, holds it to its deadline. Everything that can change the phase runs
    /// inside that poll, so the deadline looked at is never stale.
    async fn watch<C: Converse + Unpin>(&self, connection: &mut C, pace: &Pace) -> End {
        let mut closing = self.closing.clone();
        let mut closed = pin!(async move {
            let told = closing.wait_for(|closing| *closing).await.is_ok();
            let _ = if told { closing.changed().await } else { Ok(()) };
        });
        let mut alarm = pin!(sleep_until(Instant::now()));
        let mut finishing = false;
        let mut last_words = None;
        poll_fn(|cx| {
            if connection.poll_converse(cx).is_ready() {
                return Poll::Ready(End::Done);
            }
            if closed.as_mut().poll(cx).is_ready() {
                return Poll::Ready(End::Cut);
            }
            let closing = *self.closing.borrow();
            if closing && !finishing && pace.phase() != Phase::Silent {
                finishing = true;
                connection.finish();
                cx.waker().wake_by_ref();
            }
            let Some((deadline, phase)) = pace.deadline(&self.options.limits) else { return Poll::Pending };
            if closing && pace.phase() == Phase::Silent {
                let last_words = *last_words.get_or_insert_with(|| Instant::now() + LAST_WORDS);
                return hold_to(alarm.as_mut(), last_words.min(deadline), cx).map(|()| End::Cut);
            }
            hold_to(alarm.as_mut(), deadline, cx).map(|()| End::Slow(phase))
        })
        .await
    }

    /// Closing a socket with unread bytes resets it, and the reset can overtake the answer. So: say that we are done,
    /// then read on for a while.
    async fn linger<S: AsyncRead + AsyncWrite + Unpin>(&self, mut stream: S) {
        let reading = async {
            stream.shutdown().await?;
            let mut rest = [0; 4096];
            let mut left = MAX_LINGER_BYTES;
            while left > 0 {
                match stream.read(&mut rest).await? {
                    0 => break,
                    n => left = left.saturating_sub(n),
                }
            }
            io::Result::Ok(())
        };
        let _ = timeout(self.options.limits.linger, reading).await;
    }

    fn slow(&self, phase: &'static str) {
        self.options.events.emit(Event::SlowClient { phase });
    }
}

fn hold_to(mut alarm: Pin<&mut Sleep>, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
    if alarm.deadline() != deadline {
        alarm.as_mut().reset(deadline);
    }
    alarm.poll(cx)
}

/// What [`Visit::watch`] needs of hyper's connection, whose own type cannot be written down.
trait Converse {
    fn poll_converse(&mut self, cx: &mut Context<'_>) -> Poll<()>;
    /// No further request after the one in flight.
    fn finish(&mut self);
}

impl<I, S, B> Converse for http1::Connection<I, S>
where
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = B> + Unpin,
    S::Future: Unpin,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    Self: Unpin,
{
    fn poll_converse(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_without_shutdown(cx).map(|_| ())
    }

    fn finish(&mut self) {
        Pin::new(self).graceful_shutdown();
    }
}

/// PURE: the time as answers tell it (RFC 9110, 6.6.1). None for a clock that is off by millennia.
fn date(now: queue::UnixMillis) -> Option<HeaderValue> {
    let at = jiff::Timestamp::from_millisecond(now).ok()?;
    let text = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).ok()?;
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_tell_the_time_that_was_handed_in() {
        let date = date(784_111_777_999).expect("a time");
        assert_eq!(date, "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(super::date(i64::MAX), None);
    }
}
