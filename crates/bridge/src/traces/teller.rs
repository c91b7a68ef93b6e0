//! Tells a collector, in batches: one request at a time, a second between two, longer while it does not take them.
//!
//! Bounds: what is not told yet is [`TOLD_MAX`] in the mailbox, as much again that is too young, and [`READY_MAX`] traces of up to
//! 4 kB; beyond them what comes is lost and counted, and so is a batch that was refused, or tried [`TRIES_MAX`] times.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use azure::exchange::{Answer, Exchange, Limits, Trouble};
use azure::net::Dial;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use prost::Message as _;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::otlp::{self, ResourceSpans, Response, Scope, ScopeSpans, Span, text};
use super::{TOLD_MAX, Told, Traces, story};
use crate::config;
use crate::events::{Event, Events};

/// Between two requests.
const EVERY: Duration = Duration::from_millis(1_000);
/// A walk that ended this long ago is whole: the door may note its commit after the hub has the message.
const RIPE: Duration = Duration::from_millis(300);
/// Traces that wait for the collector: 8 MB.
const READY_MAX: usize = 2_048;
/// Traces in one request: 1 MB, of the 4 MB and more that collectors take.
const BATCH_MAX: usize = 256;
/// A batch is tried again after 1, 2, 4, 8 and 16 s.
const TRIES_MAX: u32 = 6;
/// Longest time until it is tried again, whatever the collector says.
const BACK_OFF_MAX: Duration = Duration::from_secs(60);
/// What is told while the process ends.
const LAST_WORDS: Duration = Duration::from_secs(1);
const LIMITS: Limits = Limits {
    connections: 1,
    connect_timeout: Duration::from_secs(5),
    answer_timeout: Duration::from_secs(10),
    head_timeout: Duration::from_secs(10),
    idle_timeout: Duration::from_secs(60),
    answer_bytes: 16 * 1024,
};

/// The other end of [`Traces`].
#[derive(Debug)]
pub struct Teller {
    told: mpsc::Receiver<Told>,
    to: config::Traces,
    exchange: Exchange,
    /// Not told before the walk is whole.
    young: VecDeque<(Instant, Told)>,
    ready: VecDeque<Vec<Span>>,
    tries: u32,
}

/// What the collector made of a batch.
enum Verdict {
    Taken,
    /// Not now; after this long, if it says so.
    Again(Option<Duration>, String),
    Never(String),
}

/// Both ends. `dial` is for a collector that is reached by HTTPS.
pub fn teller(to: &config::Traces, dial: &Arc<dyn Dial>) -> (Traces, Teller) {
    let (sender, told) = mpsc::channel(TOLD_MAX);
    let dial = if to.collector.secure { dial.clone() } else { Arc::new(vault::Plain) };
    let exchange = Exchange::new(to.collector.endpoint.clone(), dial, LIMITS);
    let (young, ready) = (VecDeque::new(), VecDeque::new());
    let teller = Teller { told, to: to.clone(), exchange, young, ready, tries: 0 };
    (Traces { told: sender, sample: to.sample }, teller)
}

impl Teller {
    /// Tells until `stop`, and then what is left, for a second at the most.
    pub async fn run(mut self, events: Events, mut stop: watch::Receiver<bool>) {
        let mut next = Instant::now() + EVERY;
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                () = sleep_until(next) => {}
                Some(told) = self.told.recv(), if self.young.len() < TOLD_MAX => {
                    self.young.push_back((Instant::now(), told));
                    continue;
                }
            }
            self.ripen(&events, RIPE);
            let wait = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                wait = self.tell(&events) => wait,
            };
            next = Instant::now() + wait;
        }
        while let Ok(told) = self.told.try_recv() {
            self.young.push_back((Instant::now(), told));
        }
        self.ripen(&events, Duration::ZERO);
        let _ = timeout(LAST_WORDS, self.tell(&events)).await;
    }

    /// What is older than this becomes spans.
    fn ripen(&mut self, events: &Events, age: Duration) {
        let now = Instant::now();
        while self.young.front().is_some_and(|(at, _)| now >= *at + age) {
            let Some((_, told)) = self.young.pop_front() else { return };
            let spans = match told {
                Told::Ended(seq) => events.feed().journeys.of(seq).as_ref().map(story::walk).unwrap_or_default(),
                Told::Failed(journey, at, cause) => story::failed(&journey, at, &cause).into_iter().collect(),
            };
            if spans.is_empty() {
                events.emit(Event::TracesLost { count: 1, why: "forgotten", cause: "newer messages took its place" });
            } else if self.ready.len() >= READY_MAX {
                events.emit(Event::TracesLost { count: 1, why: "full", cause: "the collector does not take them" });
            } else {
                self.ready.push_back(spans);
            }
        }
    }

    /// All that is ready, batch after batch, while the collector takes them. How long to wait then.
    async fn tell(&mut self, events: &Events) -> Duration {
        while !self.ready.is_empty() {
            let count = self.ready.len().min(BATCH_MAX);
            match self.tell_batch(count, events).await {
                Verdict::Taken => events.emit(Event::TracesSent { count }),
                Verdict::Never(cause) => events.emit(Event::TracesLost { count, why: "refused", cause: &cause }),
                Verdict::Again(wait, cause) => {
                    self.tries += 1;
                    if self.tries < TRIES_MAX {
                        let own = Duration::from_secs(1 << (self.tries - 1));
                        return wait.unwrap_or(own).clamp(EVERY, BACK_OFF_MAX);
                    }
                    events.emit(Event::TracesLost { count, why: "not_taken", cause: &cause });
                }
            }
            self.tries = 0;
            self.ready.drain(..count);
        }
        EVERY
    }

    async fn tell_batch(&self, count: usize, events: &Events) -> Verdict {
        let spans = self.ready.iter().take(count).flatten().cloned().collect();
        let body = request(spans).encode_to_vec();
        let mut request = Request::post(&self.to.collector.path)
            .header(header::HOST, self.to.collector.endpoint.authority())
            .header(header::CONTENT_TYPE, "application/x-protobuf")
            .header(header::USER_AGENT, concat!("longhaul/", env!("CARGO_PKG_VERSION")));
        for (name, value) in &self.to.headers {
            request = request.header(name, value.expose());
        }
        match request.body(Full::new(Bytes::from(body))) {
            Ok(request) => verdict(self.exchange.ask(request).await, events),
            Err(why) => Verdict::Never(why.to_string()),
        }
    }
}

/// As OTLP has it: these four statuses may be tried again, every other one may not.
fn verdict(answer: Result<Answer, Trouble>, events: &Events) -> Verdict {
    let answer = match answer {
        Ok(answer) => answer,
        Err(trouble) => return Verdict::Again(None, trouble.to_string()),
    };
    let cause = format!("the collector answers {}", answer.status);
    match answer.status {
        status if status.is_success() => {
            let said = Response::decode(answer.body).unwrap_or_default().partial_success.unwrap_or_default();
            if said.rejected_spans > 0 {
                let count = usize::try_from(said.rejected_spans).unwrap_or(usize::MAX);
                events.emit(Event::TracesLost { count, why: "rejected", cause: &said.error_message });
            }
            Verdict::Taken
        }
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            let wait = answer.headers.get(header::RETRY_AFTER).and_then(|wait| wait.to_str().ok()?.parse().ok());
            Verdict::Again(wait.map(Duration::from_secs), cause)
        }
        _ => Verdict::Never(cause),
    }
}

fn request(spans: Vec<Span>) -> otlp::Request {
    let version = env!("CARGO_PKG_VERSION");
    let resource =
        otlp::Resource { attributes: vec![text("service.name", "longhaul"), text("service.version", version)] };
    let scope = Scope { name: "longhaul".to_owned(), version: version.to_owned() };
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans }];
    otlp::Request { resource_spans: vec![ResourceSpans { resource: Some(resource), scope_spans }] }
}
