//! What Microsoft's crates ask, over our own connections: the roots of `azure.ca_file`, one TLS library, bounded bodies.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use azure::exchange::{Exchange, Limits, Trouble};
use azure::net::{Dial, Endpoint};
use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, HeaderValue, Headers};
use azure_core::http::request::Body;
use azure_core::http::{AsyncRawResponse, HttpClient, Method, Request, StatusCode};
use azure_core::{Bytes, Error, Result};
use http_body_util::Full;

use crate::fetch::AT_ONCE;

/// Connecting, and the answer to one try. Three tries without a connection, or without an answer, fit into
/// [`crate::FETCH_WITHIN`].
const ANSWER_WITHIN: Duration = Duration::from_secs(6);

/// An authority, an endpoint of the machine, and the vaults: no more places than there may be secrets.
pub(crate) struct Transport {
    secure: Arc<dyn Dial>,
    plain: Arc<dyn Dial>,
    exchanges: Mutex<BTreeMap<(bool, Endpoint), Exchange>>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport")
    }
}

impl Transport {
    pub(crate) fn new(secure: Arc<dyn Dial>, plain: Arc<dyn Dial>) -> Self {
        Self { secure, plain, exchanges: Mutex::default() }
    }

    fn exchange(&self, is_secure: bool, endpoint: Endpoint) -> Exchange {
        let mut exchanges = self.exchanges.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let dial = if is_secure { &self.secure } else { &self.plain };
            let limits = Limits {
                connections: AT_ONCE,
                connect_timeout: ANSWER_WITHIN,
                answer_timeout: ANSWER_WITHIN,
                ..Limits::default()
            };
            Exchange::new(endpoint.clone(), dial.clone(), limits)
        };
        exchanges.entry((is_secure, endpoint.clone())).or_insert_with(make).clone()
    }

    async fn ask(&self, request: &Request) -> Result<AsyncRawResponse> {
        let (is_secure, endpoint) = place(request)?;
        let outgoing = outgoing(request, &endpoint)?;
        let exchange = self.exchange(is_secure, endpoint);
        let answer = exchange.ask(outgoing).await.map_err(|trouble| Error::new(kind(&trouble, is_secure), trouble))?;
        let mut headers = Headers::new();
        for (name, value) in &answer.headers {
            if let Ok(value) = value.to_str() {
                headers.insert(HeaderName::from(name.as_str().to_owned()), HeaderValue::from(value.to_owned()));
            }
        }
        Ok(AsyncRawResponse::from_bytes(StatusCode::from(answer.status.as_u16()), headers, answer.body))
    }
}

#[async_trait]
impl HttpClient for Transport {
    async fn execute_request(&self, request: &Request) -> Result<AsyncRawResponse> {
        self.ask(request).await
    }
}

/// What the crates may try again. A machine that has no identity has none in a minute either, and whoever asks waits.
fn kind(trouble: &Trouble, is_secure: bool) -> ErrorKind {
    match (is_secure, trouble.may_have_arrived()) {
        (false, _) => ErrorKind::Credential,
        (true, true) => ErrorKind::Io,
        (true, false) => ErrorKind::Connection,
    }
}

/// Over TLS or not, and where. Key Vault and Entra are asked over TLS only: their addresses are checked before.
fn place(request: &Request) -> Result<(bool, Endpoint)> {
    let url = request.url();
    let is_secure = match url.scheme() {
        "https" => true,
        "http" => false,
        _ => return Err(odd("neither http nor https")),
    };
    let (host, port) =
        url.host_str().zip(url.port_or_known_default()).ok_or_else(|| odd("an address without a host"))?;
    let host = host.trim_matches(['[', ']']).to_owned();
    Ok((is_secure, Endpoint { host, port }))
}

fn outgoing(request: &Request, endpoint: &Endpoint) -> Result<http::Request<Full<Bytes>>> {
    let Body::Bytes(body) = request.body() else { return Err(odd("a body that is a stream")) };
    let method = match request.method() {
        Method::Get => http::Method::GET,
        Method::Post => http::Method::POST,
        _ => return Err(odd("a method that reading secrets does not need")),
    };
    let mut outgoing = http::Request::builder().method(method).uri(request.path_and_query());
    outgoing = outgoing.header(http::header::HOST, endpoint.authority());
    for (name, value) in request.headers().iter() {
        outgoing = outgoing.header(name.as_str(), value.as_str());
    }
    outgoing.body(Full::new(body.clone())).map_err(|e| Error::new(ErrorKind::DataConversion, e))
}

fn odd(what: &'static str) -> Error {
    Error::with_message(ErrorKind::Other, what)
}
