//! The listener: connections, requests as read, time that passes. Decides nothing about devices.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, Sender};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use crate::application::{Application, Input};
use crate::config::{Config, ConfigError};
use crate::event::Event;
use crate::poster::{POSTS_MAX, Posts, post_all};
use crate::refusal::Refusal;
use crate::{control, door};

/// Connections at once; each has at most one request of [`BODY_BYTES_MAX`]: 256 MiB.
const CONNECTIONS_MAX: usize = 256;
/// The Stack reads 16 MiB; ten thousand of the longest downlinks of a device have 6, a hundred fit here with room.
const BODY_BYTES_MAX: usize = 1 << 20;
/// 1 MiB in 20 s is 50 KiB a second.
const BODY_MAX: Duration = Duration::from_secs(20);
/// Also between two requests.
const HEAD_MAX: Duration = Duration::from_secs(60);
/// Between two looks at a clock that others may set.
const TICK_MAX: Duration = Duration::from_secs(1);
/// After a connection could not be taken, for want of descriptors as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It is set up wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It listens nowhere.
    #[error("the listener: {0}")]
    Listener(#[from] io::Error),
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    address: String,
    application: Mutex<Application>,
    to_post: Sender<Event>,
    posts: Mutex<Posts>,
    changed: Notify,
}

/// A request as read.
pub(crate) struct Ask {
    pub(crate) parts: Parts,
    /// The segments of its path, decoded.
    pub(crate) path: Vec<String>,
    /// None: too long, or cut off.
    pub(crate) body: Option<Bytes>,
}

/// What a request gets.
pub(crate) type Answer = Response<Full<Bytes>>;

/// Answers and posts until it is dropped; nothing of it runs on after that.
///
/// # Errors
/// When it cannot start.
pub async fn serve(listener: TcpListener, config: Config) -> Result<Infallible, ServeError> {
    config.checked()?;
    let (to_post, events) = mpsc::channel(POSTS_MAX);
    let shared = Arc::new(Shared {
        address: config.address.clone().map_or_else(|| listener.local_addr().map(|at| at.to_string()), Ok)?,
        application: Mutex::new(Application::new(&config.application, config.limits)),
        config,
        to_post,
        posts: Mutex::default(),
        changed: Notify::new(),
    });
    let mut tasks = JoinSet::new();
    tasks.spawn(tick(Arc::clone(&shared)));
    let events = Arc::new(tokio::sync::Mutex::new(events));
    for _ in 0..shared.config.post.as_ref().map_or(0, |post| post.parallel) {
        tasks.spawn(post_all(Arc::clone(&shared), Arc::clone(&events)));
    }
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { continue };
        while tasks.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared = Arc::clone(&shared);
                tasks.spawn(async move {
                    connection(stream, shared).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Lets time do what it does: what was held back is posted, class C devices get what had to wait.
async fn tick(shared: Arc<Shared>) {
    loop {
        let wakes_at_ms = shared.application().wakes_at_ms();
        let Some(at_ms) = wakes_at_ms else {
            shared.changed.notified().await;
            continue;
        };
        let rest = u64::try_from(at_ms.saturating_sub((shared.config.clock)())).unwrap_or_default();
        if rest > 0 {
            let wait = Duration::from_millis(rest).min(TICK_MAX);
            // Something nearer may have come up.
            let _ = tokio::time::timeout(wait, shared.changed.notified()).await;
        }
        let _ = shared.step(Input::TimePasses);
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answered(&shared, read(request).await)) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_MAX);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn read(request: Request<Incoming>) -> Ask {
    let (parts, body) = request.into_parts();
    let body = tokio::time::timeout(BODY_MAX, Limited::new(body, BODY_BYTES_MAX).collect()).await;
    let body = body.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes);
    let decoded = |segment| percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned();
    let path = parts.uri.path().split('/').skip(1).map(decoded).collect();
    Ask { parts, path, body }
}

fn answered(shared: &Shared, ask: Ask) -> Answer {
    let answered = match ask.path.first().map(String::as_str) {
        Some("sim") => control::answer(shared, &ask),
        _ => door::answer(shared, &ask),
    };
    answered.unwrap_or_else(|refusal| refused(&refusal))
}

impl Shared {
    pub(crate) fn application(&self) -> MutexGuard<'_, Application> {
        self.application.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn posts(&self) -> MutexGuard<'_, Posts> {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out an input now, and hands on what is to be posted in the order in which it happened.
    pub(crate) fn step(&self, input: Input) -> Result<(), Refusal> {
        let mut application = self.application();
        let outcome = application.step(input, (self.config.clock)());
        if self.config.post.is_some() {
            for event in outcome.events {
                if self.to_post.try_send(event).is_err() {
                    self.posts().dropped += 1;
                }
            }
        }
        drop(application);
        self.changed.notify_one();
        outcome.answer
    }

    /// Where downlinks for a device are handed in.
    pub(crate) fn down(&self, device: &str, verb: &str) -> String {
        let Config { application, webhook, .. } = &self.config;
        let path = format!("applications/{application}/webhooks/{webhook}/devices/{device}/down/{verb}");
        format!("http://{}/api/v3/as/{path}", self.address)
    }
}

/// 200 with JSON.
pub(crate) fn json(value: &Value) -> Answer {
    with_body(StatusCode::OK, value.to_string().into_bytes())
}

/// A status and nothing else.
pub(crate) fn bare(status: StatusCode) -> Answer {
    with_body(status, Vec::new())
}

fn refused(refusal: &Refusal) -> Answer {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = with_body(status, refusal.body());
    if let Some(seconds) = refusal.retry_after_s {
        // The first is the Stack's own, the second that of what may stand before it.
        answer.headers_mut().insert(HeaderName::from_static("x-rate-limit-retry"), HeaderValue::from(seconds));
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

fn with_body(status: StatusCode, body: Vec<u8>) -> Answer {
    let has_body = !body.is_empty();
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    if has_body {
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    answer
}
