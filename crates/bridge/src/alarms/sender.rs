//! Tells the operator's receiver, one report after the other, each until it is taken: at least once.
//!
//! Promises: what happened first is told first; nobody waits for it; a receiver that is away, slow or wrong costs a bounded number
//! of reports in memory and one connection. A redirect is not followed: the address is where the operator said. Only a bounded
//! beginning of an answer is read, and nothing of the address is logged but its host.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use azure::exchange::{Exchange, Limits};
use azure::net::Dial;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use queue::UnixMillis;
use serde::Serialize;
use tokio::sync::Notify;

use super::report::Report;
use super::{Alarms, lock};
use crate::config::{AlarmWebhook, Config};
use crate::events::{Event, Events};
use crate::swap::Swap;
use crate::world::World;

/// Reports that wait: beyond them the oldest go. 1 kB each.
const WAITING_MAX: usize = 500;
/// An older one tells nobody anything.
const AGE_MAX: Duration = Duration::from_secs(86_400);
/// Between two tries; doubles.
const WAIT_MIN: Duration = Duration::from_secs(1);
/// A receiver that is back is found within this, and a quarter.
const WAIT_MAX: Duration = Duration::from_secs(300);
/// A body that is refused so often will not be liked the next time.
const REFUSED_MAX: u32 = 3;
/// Of an answer so much is read, and so much of it is told.
const ANSWER_BYTES: usize = 4 * 1024;
const QUOTED: usize = 200;

/// Why a report was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = ReportFailure)]
pub struct Failure {
    /// When it was tried last.
    pub at: UnixMillis,
    /// What the receiver said, or why it did not.
    pub cause: String,
}

/// What is still to be told.
#[derive(Debug, Default)]
pub(super) struct Reports {
    waiting: Mutex<VecDeque<Waiting>>,
    failure: Mutex<Option<Failure>>,
    came: Notify,
}

#[derive(Clone, Debug)]
struct Waiting {
    report: Report,
    /// By [`World::steady`].
    since: UnixMillis,
}

impl Reports {
    /// One more. Returns how many had to go for it.
    pub(super) fn push(&self, report: Report, world: &World) -> usize {
        let mut waiting = lock(&self.waiting);
        waiting.push_back(Waiting { report, since: world.steady() });
        let gone = waiting.len().saturating_sub(WAITING_MAX);
        waiting.drain(..gone);
        self.came.notify_one();
        gone
    }

    /// How many wait, and why.
    pub(super) fn standing(&self) -> (usize, Option<Failure>) {
        (lock(&self.waiting).len(), lock(&self.failure).clone())
    }

    async fn next(&self) -> Waiting {
        loop {
            if let Some(first) = lock(&self.waiting).front().cloned() {
                return first;
            }
            self.came.notified().await;
        }
    }

    /// Unless it had to go meanwhile.
    fn is_done(&self, done: &Report) {
        let mut waiting = lock(&self.waiting);
        if waiting.front().is_some_and(|first| first.report == *done) {
            waiting.pop_front();
        }
    }
}

/// What came of a try.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Taken,
    /// May be taken later.
    Failed(String),
    /// This body is not liked.
    Refused(String),
}

/// The operator's receiver.
#[derive(Debug)]
pub struct Receiver {
    webhook: AlarmWebhook,
    exchange: Exchange,
}

impl Receiver {
    /// Nothing is opened yet.
    pub fn new(webhook: &AlarmWebhook, dial: &Arc<dyn Dial>) -> Self {
        let limits = Limits {
            connections: 1,
            connect_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(20),
            answer_bytes: ANSWER_BYTES,
            ..Limits::default()
        };
        Self { webhook: webhook.clone(), exchange: Exchange::new(webhook.endpoint.clone(), dial.clone(), limits) }
    }

    async fn tell(&self, body: Vec<u8>) -> Outcome {
        let mut request = Request::post(self.webhook.path.expose())
            .header(header::HOST, self.webhook.endpoint.authority())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("longhaul/", env!("CARGO_PKG_VERSION")));
        if let Some((name, token)) = &self.webhook.token {
            request = request.header(name, token.expose());
        }
        let Ok(request) = request.body(Full::new(Bytes::from(body))) else {
            return Outcome::Failed("the address cannot be asked for".to_owned());
        };
        match self.exchange.ask(request).await {
            Ok(answer) => outcome(answer.status, &answer.body),
            Err(trouble) => Outcome::Failed(trouble.to_string()),
        }
    }
}

/// PURE: what an answer means.
fn outcome(status: StatusCode, body: &[u8]) -> Outcome {
    if status.is_success() {
        return Outcome::Taken;
    }
    let said = String::from_utf8_lossy(&body[..body.len().min(QUOTED)]).trim().escape_debug().to_string();
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    if status.is_redirection() {
        return Outcome::Failed(format!(
            "it answers {status}, and redirects are not followed: name the address itself"
        ));
    }
    match status.as_u16() {
        400 | 413 | 415 | 422 => Outcome::Refused(format!("it answers {status}{said}")),
        _ => Outcome::Failed(format!("it answers {status}{said}")),
    }
}

/// PURE: how long to wait after the nth failure in a row; `jitter` is a fraction in `0.0..1.0`.
fn wait(failures: u32, jitter: f64) -> Duration {
    let wait = WAIT_MIN.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(WAIT_MAX);
    wait.mul_f64(1.0 + jitter / 4.0)
}

/// Tells what is to be told, until it is dropped. Without a receiver in the configuration nothing is kept for later.
pub(super) async fn run(
    alarms: Arc<Alarms>,
    config: Arc<Swap<Config>>,
    dial: Arc<dyn Dial>,
    (events, world): (Events, World),
) {
    let mut receiver: Option<Receiver> = None;
    let mut failures = 0;
    loop {
        let Waiting { report, since } = alarms.reports.next().await;
        let Some(webhook) = config.get().alarms.webhook.clone() else {
            alarms.reports.is_done(&report);
            continue;
        };
        if receiver.as_ref().is_none_or(|receiver| receiver.webhook != webhook) {
            failures = 0;
        }
        let to = match receiver.take().filter(|receiver| receiver.webhook == webhook) {
            Some(receiver) => receiver,
            None => Receiver::new(&webhook, &dial),
        };
        let outcome = to.tell(report.body()).await;
        receiver = Some(to);
        let (cause, is_refused) = match outcome {
            Outcome::Taken => {
                failures = 0;
                *lock(&alarms.reports.failure) = None;
                alarms.reports.is_done(&report);
                alarms.told(&report, world.now());
                continue;
            }
            Outcome::Failed(cause) => (cause, false),
            Outcome::Refused(cause) => (cause, true),
        };
        failures += 1;
        let to = webhook.endpoint.to_string();
        *lock(&alarms.reports.failure) = Some(Failure { at: world.now(), cause: format!("{to}: {cause}") });
        events.emit(Event::AlarmReportFailed { to: &to, cause: &cause });
        let is_old = world.steady().saturating_sub(since) > UnixMillis::try_from(AGE_MAX.as_millis()).unwrap_or(0);
        if is_old || (is_refused && failures >= REFUSED_MAX) {
            alarms.reports.is_done(&report);
            events.emit(Event::AlarmReportsGone { count: 1 });
            failures = 0;
            continue;
        }
        tokio::time::sleep(wait(failures, world.random.fraction(("alarm report", report.id(), failures)))).await;
    }
}

#[cfg(test)]
mod tests;
