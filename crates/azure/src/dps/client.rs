//! Carries a [`Registration`] out.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Request};
use http_body_util::Full;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Applicant, Ask, Assignment, Class, Found, Next, POLL_INTERVAL, Refusal, Registration, TRANSIENT_WAIT_MIN};
use crate::UnixSeconds;
use crate::exchange::{Answer, Exchange, Limits, Trouble};
use crate::net::{Dial, Endpoint};
use crate::sas::Token;
use crate::service_error::{ServiceError, server_time};

/// Bounds of the client.
#[derive(Clone, Copy, Debug)]
pub struct DpsLimits {
    /// Connections to DPS at once. Polls wait without one, so that a few carry many registrations.
    pub connections: usize,
    /// Name, TCP and TLS.
    pub connect_timeout: Duration,
    /// One request, as long as Microsoft's SDKs wait.
    pub answer_timeout: Duration,
    /// The whole of a registration, waits included.
    pub flow_timeout: Duration,
}

impl Default for DpsLimits {
    fn default() -> Self {
        Self {
            connections: 16,
            connect_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(30),
            flow_timeout: Duration::from_secs(60),
        }
    }
}

/// A registration that ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Where the device belongs.
    pub assignment: Assignment,
    /// The server's clock at the last answer.
    pub server_time: Option<UnixSeconds>,
}

/// Talks to one DPS. Cheap to clone; clones share the connections.
#[derive(Clone, Debug)]
pub struct DpsClient {
    exchange: Exchange,
    flow_timeout: Duration,
    host: HeaderValue,
}

impl DpsClient {
    /// Opens nothing yet.
    pub fn new(endpoint: Endpoint, dial: Arc<dyn Dial>, limits: DpsLimits) -> Self {
        let host = HeaderValue::try_from(endpoint.authority()).unwrap_or(HeaderValue::from_static("invalid"));
        let bounds = Limits {
            connections: limits.connections,
            connect_timeout: limits.connect_timeout,
            answer_timeout: limits.answer_timeout,
            idle_timeout: Duration::from_secs(60),
            ..Limits::default()
        };
        Self { exchange: Exchange::new(endpoint, dial, bounds), flow_timeout: limits.flow_timeout, host }
    }

    /// Registers a device and waits for its hub, at most [`DpsLimits::flow_timeout`]. `token` as
    /// [`crate::sas::registration_token`] makes it, valid for longer than that.
    pub async fn register(&self, applicant: Applicant, token: &Token) -> Result<Registered, Refusal> {
        let deadline = Instant::now() + self.flow_timeout;
        let mut registration = Registration::new(applicant);
        loop {
            let Ok(answer) = timeout_at(deadline, self.exchange.ask(self.request(registration.ask(), token))).await
            else {
                return Err(registration.out_of_time());
            };
            let Answer { status, headers, body, .. } = answer.map_err(unanswered)?;
            match registration.answered(status, &headers, &body) {
                Next::Assigned(assignment) => return Ok(Registered { assignment, server_time: server_time(&headers) }),
                Next::Refused(refusal) => return Err(refusal),
                // Not worth waiting for when the time would be up.
                Next::Poll { after } if Instant::now() + after >= deadline => return Err(registration.out_of_time()),
                Next::Poll { after } => sleep_until(Instant::now() + after).await,
            }
        }
    }

    /// Where a device is registered already, without registering it; `None` when the service does not tell. At most
    /// [`DpsLimits::flow_timeout`].
    pub async fn look_up(&self, applicant: Applicant, token: &Token) -> Option<Assignment> {
        let deadline = Instant::now() + self.flow_timeout;
        loop {
            let ask = self.exchange.ask(self.request(super::look_up(&applicant), token));
            let Answer { status, body, .. } = timeout_at(deadline, ask).await.ok()?.ok()?;
            match super::looked_up(status, &body) {
                Found::Assigned(assignment) => return Some(assignment),
                Found::Nothing => return None,
                Found::Assigning if Instant::now() + POLL_INTERVAL >= deadline => return None,
                Found::Assigning => sleep_until(Instant::now() + POLL_INTERVAL).await,
            }
        }
    }

    /// Stops new requests and closes idle connections.
    pub fn close(&self) {
        self.exchange.close();
    }

    fn request(&self, ask: Ask, token: &Token) -> Request<Full<Bytes>> {
        Request::builder()
            .method(ask.method)
            .uri(ask.target)
            .header(HOST, self.host.clone())
            .header(AUTHORIZATION, token.as_header().clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json; charset=utf-8")
            .header(USER_AGENT, crate::USER_AGENT)
            .body(Full::new(ask.body))
            .expect("path is percent-encoded and headers are valid as they are")
    }
}

/// A registration may be repeated without harm, so it does not matter whether this one arrived.
fn unanswered(trouble: Trouble) -> Refusal {
    Refusal {
        class: Class::Transient { retry_after: TRANSIENT_WAIT_MIN },
        error: ServiceError::of(trouble.to_string()),
        server_time: None,
    }
}
