//! Telemetry over HTTPS: one request a message, the device's token with each.
//!
//! Promises that only 204 (or 200) counts as delivered and that a [`SendError`] tells whether the hub may have the
//! message. Resends nothing itself.

use std::sync::Arc;
use std::time::Duration;

use crate::UnixSeconds;
use crate::exchange::{Exchange, Limits, Trouble};
use crate::net::{Dial, Endpoint};
use crate::sas::Token;
use crate::service_error::server_time;

use super::{Delivered, SendError, Telemetry, Unsendable, Why};

mod answer;
mod request;

pub use answer::classify;
pub(crate) use request::API_VERSION;

/// How long [`HttpsHub::clock`] waits: somebody stands by for whom a late answer is as good as none.
pub const CLOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// Bounds of the client of one hub.
#[derive(Clone, Copy, Debug)]
pub struct HttpsOptions {
    /// Open connections, and so messages under way at once.
    pub max_connections: usize,
    /// Name, TCP and TLS.
    pub connect_timeout: Duration,
    /// From the request to the end of its answer; also the wait for a free connection.
    pub answer_timeout: Duration,
    /// A connection that carried nothing for this long is closed.
    pub idle_timeout: Duration,
}

impl Default for HttpsOptions {
    fn default() -> Self {
        let Limits { connections, connect_timeout, answer_timeout, idle_timeout, .. } = Limits::default();
        Self { max_connections: connections, connect_timeout, answer_timeout, idle_timeout }
    }
}

/// Talks to one hub. Cheap to clone; clones share the connections.
#[derive(Clone, Debug)]
pub struct HttpsHub {
    exchange: Exchange,
}

impl HttpsHub {
    /// Opens nothing yet.
    pub fn new(endpoint: Endpoint, dial: Arc<dyn Dial>, options: HttpsOptions) -> Self {
        let HttpsOptions { max_connections, connect_timeout, answer_timeout, idle_timeout } = options;
        let limits =
            Limits { connections: max_connections, connect_timeout, answer_timeout, idle_timeout, ..Limits::default() };
        Self { exchange: Exchange::new(endpoint, dial, limits) }
    }

    /// Sends one message of a device. Dropping the future closes its connection; the message may have arrived then.
    pub async fn send(&self, device_id: &str, token: &Token, telemetry: &Telemetry) -> Result<Delivered, SendError> {
        telemetry.check().map_err(unsendable)?;
        let request = request::send(&self.exchange.endpoint().authority(), device_id, token, telemetry)?;
        let answer = self.exchange.ask(request).await.map_err(unanswered)?;
        classify(answer.status, &answer.headers, &answer.body)
    }

    /// Whom this talks to.
    pub fn endpoint(&self) -> &Endpoint {
        self.exchange.endpoint()
    }

    /// The hub's clock, from the `Date` of any answer: one request, whose status does not matter, at most
    /// [`CLOCK_TIMEOUT`]. AMQP tells no time, so whoever is refused there looks here whether its own clock is wrong.
    pub async fn clock(&self) -> Option<UnixSeconds> {
        let request = request::ask_time(&self.exchange.endpoint().authority())?;
        let answer = tokio::time::timeout(CLOCK_TIMEOUT, self.exchange.ask(request)).await.ok()?.ok()?;
        server_time(&answer.headers)
    }

    /// Stops new sends and closes idle connections. Sends under way end by themselves, within their bounds.
    pub fn close(&self) {
        self.exchange.close();
    }
}

pub(super) fn unsendable(cause: Unsendable) -> SendError {
    let why = if matches!(cause, Unsendable::TooLarge(_)) { Why::TooLarge } else { Why::Rejected };
    SendError::unanswered(why, cause.to_string())
}

fn unanswered(trouble: Trouble) -> SendError {
    let why = match trouble {
        // All connections are busy with requests that go unanswered, and nothing of this one was written.
        Trouble::Unreachable(_) | Trouble::Crowded => Why::Unreachable,
        Trouble::Lost(_) => Why::Lost,
        Trouble::TimedOut => Why::TimedOut,
        Trouble::Closed => Why::Closed,
    };
    SendError::unanswered(why, trouble.to_string())
}

#[cfg(test)]
mod tests;
