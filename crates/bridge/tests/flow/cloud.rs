//! The network and the servers behind it: every connection is a pipe in memory, every host a double.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use azure::net::{Dial, Dialing, Endpoint};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, Mac};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use sha2::Sha256;
use tokio::task::AbortHandle;

use crate::dps::Dps;
use crate::hub::Hub;
use crate::site::Clock;

pub(crate) const DPS: &str = "dps.example";
pub(crate) const HUB: &str = "hub-a.example";
pub(crate) const OTHER_HUB: &str = "hub-b.example";
/// Of the enrolment group; not a secret, it opens nothing.
pub(crate) const GROUP_KEY: &[u8] = b"a key of thirty-two bytes or more";
pub(crate) const SECONDARY_KEY: &[u8] = b"another key of thirty-two bytes or more";

/// What a host does with connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Line {
    #[default]
    Up,
    /// Nothing listens; open connections are gone.
    Refused,
    /// Connections open, and nothing ever answers.
    Silent,
}

/// What a double says to a request.
#[derive(Debug)]
pub(crate) enum Reply {
    Status {
        code: u16,
        headers: Vec<(&'static str, String)>,
        body: String,
    },
    /// Never.
    Nothing,
    /// The connection closes instead.
    Cut,
}

impl Reply {
    pub(crate) fn status(code: u16, body: &str) -> Self {
        Self::Status { code, headers: Vec::new(), body: body.to_owned() }
    }

    pub(crate) fn retry_after(mut self, seconds: Option<u64>) -> Self {
        if let (Self::Status { headers, .. }, Some(seconds)) = (&mut self, seconds) {
            headers.push(("retry-after", seconds.to_string()));
        }
        self
    }
}

/// A request as a double sees it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) token: String,
    pub(crate) body: Bytes,
    /// Milliseconds, by the test's clock.
    pub(crate) now: i64,
    /// Seconds, by the server's own clock.
    pub(crate) server_now: i64,
}

#[derive(Debug, Default)]
pub(crate) struct Host {
    pub(crate) line: Line,
    /// Its clock minus ours, seconds.
    pub(crate) clock_ahead: i64,
    /// Connections that were tried.
    pub(crate) dialled: usize,
    open: Vec<AbortHandle>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) hosts: BTreeMap<String, Host>,
    pub(crate) hub: Hub,
    pub(crate) dps: Dps,
    /// Whoever dials this host panics.
    breaks: Option<String>,
    panics: usize,
}

/// The whole of it. Clones are the same cloud.
#[derive(Clone, Debug)]
pub(crate) struct Cloud {
    clock: Arc<Clock>,
    state: Arc<Mutex<State>>,
}

/// A request takes this long, and its answer as well, so that things overlap.
pub(crate) const TRAVEL_MS: i64 = 20;
const TRAVEL: Duration = Duration::from_millis(TRAVEL_MS.unsigned_abs());

impl Cloud {
    pub(crate) fn new(clock: Arc<Clock>) -> Self {
        Self { clock, state: Arc::default() }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn set_line(&self, host: &str, line: Line) {
        let mut state = self.state();
        let host = state.hosts.entry(host.to_owned()).or_default();
        host.line = line;
        if line == Line::Refused {
            host.open.drain(..).for_each(|connection| connection.abort());
        }
    }

    pub(crate) fn set_clock_ahead(&self, host: &str, seconds: i64) {
        self.state().hosts.entry(host.to_owned()).or_default().clock_ahead = seconds;
    }

    /// From now on whoever dials this host panics: a stand-in for a bug of our own that one device brings out.
    pub(crate) fn break_on(&self, host: &str) {
        self.state().breaks = Some(host.to_owned());
    }

    pub(crate) fn mend(&self) {
        self.state().breaks = None;
    }

    pub(crate) fn panics(&self) -> usize {
        self.state().panics
    }

    fn line(&self, host: &str) -> Line {
        self.state().hosts.entry(host.to_owned()).or_default().line
    }

    fn connect(&self, host: &str) -> io::Result<tokio::io::DuplexStream> {
        let mut state = self.state();
        let entry = state.hosts.entry(host.to_owned()).or_default();
        entry.dialled += 1;
        if entry.line == Line::Refused {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let serving = tokio::spawn(serve(self.clone(), host.to_owned(), theirs));
        entry.open.retain(|connection| !connection.is_finished());
        entry.open.push(serving.abort_handle());
        Ok(ours)
    }

    async fn answer(&self, host: &str, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
        use bridge::world::Clock as _;
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        tokio::time::sleep(TRAVEL).await;
        if self.line(host) == Line::Silent {
            std::future::pending::<()>().await;
        }
        let header = |name: &str| head.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let now = self.clock.now();
        let (reply, server_now) = {
            let mut state = self.state();
            let server_now = now / 1000 + state.hosts.entry(host.to_owned()).or_default().clock_ahead;
            let asked = Asked {
                method: head.method.to_string(),
                path: head.uri.path().to_owned(),
                token: header("authorization"),
                body,
                now,
                server_now,
            };
            let reply = if host == DPS {
                state.dps.answer(&asked)
            } else {
                let State { dps, hub, .. } = &mut *state;
                hub.answer(host, &asked, &dps.assigned_with)
            };
            (reply, server_now)
        };
        tokio::time::sleep(TRAVEL).await;
        match reply {
            Reply::Status { code, headers, body } => Ok(response(code, headers, body, server_now)),
            Reply::Nothing => std::future::pending().await,
            Reply::Cut => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

fn response(code: u16, headers: Vec<(&'static str, String)>, body: String, server_now: i64) -> Response<Full<Bytes>> {
    let date = jiff::Timestamp::from_second(server_now).expect("a time of this century");
    let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&date).expect("the same");
    let mut response = Response::builder().status(code).header("date", date);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Full::new(body.into())).expect("plain ASCII headers")
}

async fn serve(cloud: Cloud, host: String, stream: tokio::io::DuplexStream) {
    let service = service_fn(|request| cloud.answer(&host, request));
    let mut server = hyper::server::conn::http1::Builder::new();
    // Its `Date` would be the machine's.
    let _ = server.auto_date_header(false).serve_connection(TokioIo::new(stream), service).await;
}

impl Dial for Cloud {
    fn dial(&self, endpoint: &Endpoint) -> Dialing {
        let breaks = self.state().breaks.as_ref() == Some(&endpoint.host);
        if breaks {
            self.state().panics += 1;
            panic!("ordered: {endpoint}");
        }
        let connected = self.connect(&endpoint.host);
        Box::pin(async move { Ok(Box::new(connected?) as Box<dyn azure::net::Stream>) })
    }
}

/// Is it signed by the device's key of one of these groups?
pub(crate) fn device_is_good(asked: &Asked, resource: &str, id: &str, group_keys: &[&[u8]]) -> bool {
    group_keys.iter().any(|group| token_is_good(&asked.token, resource, &hmac(group, id), asked.server_now))
}

/// Is the token for this resource, signed with the key, and still good at `now` (seconds)?
pub(crate) fn token_is_good(token: &str, resource: &str, key: &[u8], now: i64) -> bool {
    let Some(fields) = token.strip_prefix("SharedAccessSignature ") else { return false };
    let field = |name: &str| fields.split('&').find_map(|f| f.strip_prefix(name)?.strip_prefix('='));
    let (Some(sr), Some(sig), Some(se)) = (field("sr"), field("sig"), field("se")) else { return false };
    let plain = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let signed = STANDARD.encode(hmac(key, &format!("{sr}\n{se}")));
    plain(sr) == resource && plain(sig) == signed && se.parse::<i64>().is_ok_and(|se| se > now)
}

pub(crate) fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("every length is a key");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
