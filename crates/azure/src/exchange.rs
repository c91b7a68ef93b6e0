//! One request, one answer, over HTTP/1.1 connections to one endpoint that are kept alive.
//!
//! Promises: never more open connections than [`Limits::connections`]; every wait bounded by [`Limits`]; when it
//! fails, whether the request may have been written ([`Trouble::may_have_arrived`]). Dropping an exchange closes its
//! connection and nothing else. Relies on [`Dial`] for the network and on tokio's timer for time.
//! Does not know what is said over it, and repeats a request only where hyper hands it back unwritten.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper_util::rt::TokioIo;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use crate::net::{Dial, Endpoint};

/// Longest body of an answer that is read, where nothing else is said. The longest that DPS and hubs send is a registration
/// with an initial twin payload; DPS bounds its messages at 96 KiB.
pub const ANSWER_BYTES_MAX: usize = 128 * 1024;

/// Bounds of the exchanges with one endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections, busy and idle together; also how many requests are under way at once.
    pub connections: usize,
    /// Name, TCP and TLS.
    pub connect_timeout: Duration,
    /// From the request to the last byte of its answer; also how long a request waits for a free connection.
    pub answer_timeout: Duration,
    /// From [`Exchange::ask`] to the head of the answer, waiting and connecting included, where the request has no body: who is
    /// silent is known before the time is over that a long answer may take.
    pub head_timeout: Duration,
    /// A connection that carried nothing for this long is closed.
    pub idle_timeout: Duration,
    /// Longest body of an answer that is read.
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 32,
            connect_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(20),
            head_timeout: FAR,
            idle_timeout: Duration::from_secs(60),
            answer_bytes: ANSWER_BYTES_MAX,
        }
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// All headers.
    pub headers: HeaderMap,
    /// The body, cut at [`Limits::answer_bytes`] or where the connection died.
    pub body: Bytes,
    /// It was not cut.
    pub is_whole: bool,
}

/// No answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// No connection could be made. Nothing was written.
    #[error("cannot reach {0}")]
    Unreachable(String),
    /// No connection became free in time. Nothing was written.
    #[error("no connection became free in time")]
    Crowded,
    /// The connection died after the request was handed to it.
    #[error("the connection was lost before the answer: {0}")]
    Lost(String),
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// [`Exchange::close`] was called. Nothing was written.
    #[error("the connections are closed")]
    Closed,
}

impl Trouble {
    /// Could the other side have acted on the request?
    pub fn may_have_arrived(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::TimedOut)
    }
}

/// Ends after each of the other bounds.
const FAR: Duration = Duration::from_secs(24 * 60 * 60);

type Sender = hyper::client::conn::http1::SendRequest<Full<Bytes>>;

/// The connections to one endpoint. Cheap to clone; the last clone to go closes them.
#[derive(Clone, Debug)]
pub struct Exchange(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    endpoint: Endpoint,
    dial: Arc<dyn Dial>,
    limits: Limits,
    free: Arc<Semaphore>,
    idle: Mutex<Idle>,
}

/// Connections that wait for work, least recently used first.
#[derive(Debug, Default)]
struct Idle {
    connections: VecDeque<(Instant, Connection)>,
    reaper_runs: bool,
}

/// An open connection and the task that drives it. Dropping it stops the task, so that a cancelled request does not
/// keep a connection beyond the bound.
#[derive(Debug)]
struct Connection {
    sender: Sender,
    /// Held, not used: see above.
    _driver: Driver,
}

#[derive(Debug)]
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Exchange {
    /// Opens nothing yet.
    pub fn new(endpoint: Endpoint, dial: Arc<dyn Dial>, limits: Limits) -> Self {
        let free = Arc::new(Semaphore::new(limits.connections.clamp(1, Semaphore::MAX_PERMITS)));
        Self(Arc::new(Shared { endpoint, dial, limits, free, idle: Mutex::default() }))
    }

    /// Whom this talks to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    /// Sends a request and reads its whole answer, at most connect + 2 × answer timeout later.
    pub async fn ask(&self, request: Request<Full<Bytes>>) -> Result<Answer, Trouble> {
        let head_within = if request.body().is_end_stream() { self.0.limits.head_timeout } else { FAR };
        let head_by = Instant::now() + head_within;
        let _permit = self.permit(head_by).await?;
        let mut request = request;
        while let Some(connection) = self.0.take_idle() {
            match self.over(connection, request, head_by).await {
                Ok(outcome) => return outcome,
                // It died while it was idle. Others may have as well; each is tried at most once.
                Err(unwritten) => request = unwritten,
            }
        }
        let fresh = self.connect(head_by).await?;
        let died = || Trouble::Unreachable(format!("{}: closed the connection at once", self.0.endpoint));
        self.over(fresh, request, head_by).await.unwrap_or_else(|_unwritten| Err(died()))
    }

    /// Stops new requests and closes the idle connections. Those under way end by themselves.
    pub fn close(&self) {
        self.0.free.close();
        self.0.idle().connections.clear();
    }

    async fn permit(&self, by: Instant) -> Result<OwnedSemaphorePermit, Trouble> {
        let by = by.min(Instant::now() + self.0.limits.answer_timeout);
        match timeout_at(by, self.0.free.clone().acquire_owned()).await {
            Ok(permit) => permit.map_err(|_closed| Trouble::Closed),
            Err(_elapsed) => Err(Trouble::Crowded),
        }
    }

    async fn connect(&self, by: Instant) -> Result<Connection, Trouble> {
        let Shared { endpoint, dial, limits, .. } = &*self.0;
        let unreachable = |cause: String| Trouble::Unreachable(format!("{endpoint}: {cause}"));
        let opening = async {
            let stream = dial.dial(endpoint).await.map_err(|e| chain(&e))?;
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| chain(&e))
        };
        let opened = timeout_at(by.min(Instant::now() + limits.connect_timeout), opening).await;
        let (sender, connection) =
            opened.map_err(|_| unreachable("did not connect in time".into()))?.map_err(unreachable)?;
        // Its failures show at the request that they hit.
        let driver = tokio::spawn(async { drop(connection.await) });
        Ok(Connection { sender, _driver: Driver(driver.abort_handle()) })
    }

    /// `Err` gives the request back: certainly not a byte of it was written.
    async fn over(
        &self,
        mut connection: Connection,
        request: Request<Full<Bytes>>,
        head_by: Instant,
    ) -> Result<Result<Answer, Trouble>, Request<Full<Bytes>>> {
        let deadline = Instant::now() + self.0.limits.answer_timeout;
        // Not ready means closed: an idle connection has no other request in it.
        match timeout_at(deadline, connection.sender.ready()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Err(request),
        }
        match timeout_at(deadline.min(head_by), connection.sender.try_send_request(request)).await {
            Err(_elapsed) => Ok(Err(Trouble::TimedOut)),
            Ok(Err(mut failed)) => match failed.take_message() {
                Some(unwritten) => Err(unwritten),
                None => Ok(Err(Trouble::Lost(chain(failed.error())))),
            },
            Ok(Ok(response)) => Ok(Ok(self.finish(connection, response, deadline).await)),
        }
    }

    /// The status is known, so there is an answer whatever becomes of its body.
    async fn finish(&self, connection: Connection, response: http::Response<Incoming>, deadline: Instant) -> Answer {
        let (head, mut incoming) = response.into_parts();
        let mut body = BytesMut::new();
        let reading = read_body(&mut incoming, &mut body, self.0.limits.answer_bytes);
        let is_whole = matches!(timeout_at(deadline, reading).await, Ok(true));
        if is_whole && !connection.sender.is_closed() {
            self.0.put_idle(connection);
        }
        Answer { status: head.status, headers: head.headers, body: body.freeze(), is_whole }
    }
}

/// Was it read to its end, so that the connection can carry another request?
async fn read_body(incoming: &mut Incoming, body: &mut BytesMut, max: usize) -> bool {
    while let Some(frame) = incoming.frame().await {
        let Ok(frame) = frame else { return false };
        let Some(data) = frame.data_ref() else { continue };
        let room = max - body.len();
        body.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            return false;
        }
    }
    // A body in chunks has no length that could be missed: an end before its last chunk was an error above.
    incoming.is_end_stream() || incoming.size_hint().exact().is_none()
}

impl Shared {
    fn idle(&self) -> MutexGuard<'_, Idle> {
        // Nothing in here can panic half-way.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one used last: the others may then run into the idle timeout when traffic falls.
    fn take_idle(&self) -> Option<Connection> {
        self.idle().connections.pop_back().map(|(_, connection)| connection)
    }

    fn put_idle(self: &Arc<Self>, connection: Connection) {
        let mut idle = self.idle();
        if self.free.is_closed() {
            return;
        }
        let now = Instant::now();
        idle.connections.push_back((now, connection));
        if !std::mem::replace(&mut idle.reaper_runs, true) {
            tokio::spawn(reap(Arc::downgrade(self), now + self.limits.idle_timeout));
        }
    }

    /// Closes what has been idle too long; when the next one will be, if there is one.
    fn reap(&self, now: Instant) -> Option<Instant> {
        let mut idle = self.idle();
        let old = |since: Instant| now >= since + self.limits.idle_timeout;
        while idle.connections.front().is_some_and(|(since, connection)| old(*since) || connection.sender.is_closed()) {
            idle.connections.pop_front();
        }
        let next = idle.connections.front().map(|(since, _)| *since + self.limits.idle_timeout);
        idle.reaper_runs = next.is_some();
        next
    }
}

/// Runs while there are idle connections. Does not keep them, or their owner, alive.
async fn reap(shared: Weak<Shared>, mut wake: Instant) {
    loop {
        tokio::time::sleep_until(wake).await;
        let Some(next) = shared.upgrade().and_then(|shared| shared.reap(Instant::now())) else { return };
        wake = next;
    }
}

/// An error with its causes in one line, without repeating what is already said.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
