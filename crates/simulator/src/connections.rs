//! Reading requests. Promises: every wait and every size has a bound. Knows HTTP/1.1, not what is asked for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioIo, TokioTimer};

use crate::header_case::{Head, Noted};
use crate::identity::timestamp;
use crate::sockets::{Plug, Serves, Wire};

/// Also how long a connection may be idle between requests, as hyper counts from one answer to the next head.
const HEAD_MAX: Duration = Duration::from_secs(240);
/// 1 MiB in 20 s is 50 KiB a second.
const BODY_MAX: Duration = Duration::from_secs(20);
/// What is read before 413 is said: four times the hub's largest message, so that its own answer is reached.
const BODY_BYTES_MAX: usize = 1 << 20;

/// A request as read.
pub(crate) struct Ask {
    pub(crate) parts: Parts,
    pub(crate) names: std::collections::HashMap<String, String>,
    pub(crate) body: Result<Bytes, Unread>,
}

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    TooLarge,
    Broken,
}

/// Instead of an answer: the connection is closed.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut on purpose")]
pub(crate) struct Cut;

/// What a request gets.
pub(crate) type Reply = Result<Response<Full<Bytes>>, Cut>;

/// Whoever answers requests.
pub(crate) trait Answers: Send + Sync + 'static {
    fn answer(self: Arc<Self>, ask: Ask) -> impl Future<Output = Reply> + Send;

    /// Since 1970, by the clock that answers are made by: clients take the time from them.
    fn now_ms(&self) -> i64;

    /// After an answer with status 101: the connection, to speak on it what the answer named.
    fn upgraded(&self, _: impl Wire, _spoken: &str, _: Plug) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// Speaks HTTP/1.1 on a connection.
pub(crate) struct Http<A>(pub(crate) Arc<A>);

impl<A: Answers> Serves for Http<A> {
    async fn serve(self: Arc<Self>, wire: impl Wire, plug: Plug) {
        let answers = Arc::clone(&self.0);
        if let Some((upgraded, spoken)) = requests(wire, Arc::clone(&answers)).await {
            let spoken = spoken.to_str().unwrap_or_default();
            answers.upgraded(TokioIo::new(upgraded), spoken, plug).await;
        }
    }
}

/// Answers requests until the connection ends, or is to speak something else from now on.
async fn requests(stream: impl Wire, answers: Arc<impl Answers>) -> Option<(Upgraded, HeaderValue)> {
    let head = Head::default();
    let noted = Noted { stream, head: head.clone() };
    let upgrade = Arc::new(Mutex::new(None));
    let service = service_fn(|mut request| {
        let (head, answers, upgrade) = (head.clone(), Arc::clone(&answers), Arc::clone(&upgrade));
        async move {
            let switch = hyper::upgrade::on(&mut request);
            let mut reply = Arc::clone(&answers).answer(read(request, &head).await).await;
            if let Ok(reply) = &mut reply {
                reply.headers_mut().insert(header::DATE, date(answers.now_ms()));
            }
            let switched = reply.as_ref().ok().filter(|reply| reply.status() == StatusCode::SWITCHING_PROTOCOLS);
            if let Some(spoken) = switched.and_then(|reply| reply.headers().get(header::SEC_WEBSOCKET_PROTOCOL)) {
                *upgrade.lock().unwrap_or_else(PoisonError::into_inner) = Some((switch, spoken.clone()));
            }
            reply
        }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    // What cannot be read is answered without a date: hyper's would be the machine's.
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_MAX).auto_date_header(false);
    if let Err(error) = server.serve_connection(TokioIo::new(noted), service).with_upgrades().await {
        tracing::debug!(%error, "a connection ended early");
        return None;
    }
    head.close();
    let upgrade = upgrade.lock().unwrap_or_else(PoisonError::into_inner).take();
    let (switch, spoken) = upgrade?;
    Some((switch.await.ok()?, spoken))
}

/// As HTTP writes times.
fn date(now_ms: i64) -> HeaderValue {
    let text = timestamp(now_ms).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))
}

/// Reads the whole request. Also a body that nobody wants: Node's SDK sends one with a `GET`.
async fn read(request: Request<Incoming>, head: &Head) -> Ask {
    let names = head.take_names();
    let (parts, body) = request.into_parts();
    let body = match tokio::time::timeout(BODY_MAX, Limited::new(body, BODY_BYTES_MAX).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(Unread::TooLarge),
        Ok(Err(_)) | Err(_) => Err(Unread::Broken),
    };
    head.clear();
    Ask { parts, names, body }
}
