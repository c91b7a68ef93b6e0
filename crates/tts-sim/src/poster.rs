//! Events to the webhook's receiver: one try, five seconds.
//!
//! Sources: `pkg/applicationserver/io/web/{request,webhooks}.go` and `sink/http.go`: success is 200 to 299, anything
//! else is lost; what finds the queue full is dropped.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::sync::mpsc::Receiver;

use crate::config::Post;
use crate::event::{Event, EventKind};
use crate::server::Shared;

/// Events that wait to be posted, as many as the Stack lets wait.
pub(crate) const POSTS_MAX: usize = 1024;
/// What became of posts, kept: as many as events are, at some 200 bytes.
const POSTED_MAX: usize = crate::application::EVENTS_MAX;
/// From connecting to the end of the answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Of an answer; the Stack shows as much to its users.
const ANSWER_BYTES_MAX: usize = 1024;
/// Of the release whose source this was written by.
const USER_AGENT: &str = "TheThingsStack/3.32.1 (linux/amd64)";
const DOMAIN: HeaderName = HeaderName::from_static("x-tts-domain");

/// What became of a post.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Posted {
    pub(crate) kind: EventKind,
    pub(crate) device: String,
    /// None: there was no answer.
    pub(crate) status: Option<u16>,
    /// Why there was none.
    pub(crate) problem: Option<String>,
}

/// Of all posts.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Posts {
    /// Answered 200 to 299.
    pub(crate) taken: u64,
    /// Answered otherwise, or not.
    pub(crate) lost: u64,
    /// Not tried: too many waited.
    pub(crate) dropped: u64,
    /// The last of them, oldest first.
    pub(crate) last: VecDeque<Posted>,
}

impl Posts {
    fn add(&mut self, posted: Posted) {
        if posted.status.is_some_and(|status| (200..300).contains(&status)) {
            self.taken += 1;
        } else {
            self.lost += 1;
        }
        if self.last.len() == POSTED_MAX {
            self.last.pop_front();
        }
        self.last.push_back(posted);
    }
}

/// Posts what comes, one after the other, until nothing can come any more.
pub(crate) async fn post_all(shared: Arc<Shared>, events: Arc<Mutex<Receiver<Event>>>) {
    let Some(post) = &shared.config.post else { return };
    loop {
        // Held while waiting: the others wait for their turn, not for this event's answer.
        let Some(event) = events.lock().await.recv().await else { return };
        let Some(address) = post.address(event.kind, &shared.config.application, &event.device) else { continue };
        let answered = match tokio::time::timeout(TIMEOUT, sent(&shared, post, &event, &address)).await {
            Ok(answered) => answered,
            Err(_) => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
        };
        let (status, problem) = match answered {
            Ok(status) => (Some(status), None),
            Err(problem) => (None, Some(problem)),
        };
        tracing::debug!(event = event.kind.as_str(), device = event.device, status, problem, "an event was posted");
        shared.posts().add(Posted { kind: event.kind, device: event.device, status, problem });
    }
}

/// The status of the answer, or why there is none.
async fn sent(shared: &Shared, post: &Post, event: &Event, address: &str) -> Result<u16, String> {
    let uri: Uri = address.parse().map_err(|error| format!("the address: {error}"))?;
    let authority = uri.authority().ok_or("the address has no host")?.clone();
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await.map_err(|e| e.to_string())?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let mut request = Request::new(Full::new(Bytes::from(event.body.to_string())));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = uri.path_and_query().map_or("/", |path| path.as_str()).parse().map_err(|_| "the path")?;
    *request.headers_mut() = headers(shared, post, &event.device, authority.as_str());
    let answer = async {
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        // Read so that the receiver is not cut off; what it says, and whether it ends, changes nothing.
        let _ = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok(status)
    };
    tokio::pin!(connection);
    tokio::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        ended = &mut connection => match ended {
            // The answer may have come with the end.
            Ok(()) => answer.await,
            Err(error) => Err(error.to_string()),
        },
    }
}

/// The user's own first: those of the server win.
fn headers(shared: &Shared, post: &Post, device: &str, host: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut put = |name: HeaderName, value: &str| {
        // What cannot stand in a header was refused at the start.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    for (name, value) in &post.headers {
        if let Ok(name) = HeaderName::try_from(name) {
            put(name, value);
        }
    }
    put(header::HOST, host);
    put(header::CONTENT_TYPE, "application/json");
    put(header::USER_AGENT, USER_AGENT);
    put(DOMAIN, "localhost");
    if post.has_downlink_key {
        put(HeaderName::from_static("x-downlink-apikey"), &shared.config.api_key);
        put(HeaderName::from_static("x-downlink-push"), &shared.down(device, "push"));
        put(HeaderName::from_static("x-downlink-replace"), &shared.down(device, "replace"));
    }
    headers
}
