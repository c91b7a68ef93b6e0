//! What Microsoft's crates ask, over our own connections: the roots of `azure.ca_file`, one TLS library, bounded bodies.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use azure::exchange::{Exchange, Limits, Trouble};
use azure::net::{Dial, Endpoint};
use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, HeaderValue, Headers};
use azure_core::http::request::Body;
use azure_core::http::{AsyncRawResponse, HttpClient, Method, Request, StatusCode};
use azure_core::{Bytes, Error, Result};
use http_body_util::Full;

/// Who is reached without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutTls {
    /// Whoever tells this machine its identity. One that has none has none in a minute either, and is not asked again.
    Identity,
    /// The service itself, standing on this machine.
    Service,
}

/// Keeps the connections to each place that is asked, each within the same bounds. There are as many places as the caller names.
pub struct Transport {
    secure: Arc<dyn Dial>,
    plain: Arc<dyn Dial>,
    without_tls: WithoutTls,
    limits: Limits,
    exchanges: Mutex<BTreeMap<(bool, Endpoint), Exchange>>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport")
    }
}

impl Transport {
    /// Opens nothing yet. `plain` is for addresses that begin with `http://`: which of them may be asked is the caller's to decide.
    pub fn new(secure: Arc<dyn Dial>, plain: Arc<dyn Dial>, without_tls: WithoutTls, limits: Limits) -> Self {
        Self { secure, plain, without_tls, limits, exchanges: Mutex::default() }
    }

    fn exchange(&self, is_secure: bool, endpoint: Endpoint) -> Exchange {
        let mut exchanges = self.exchanges.lock().unwrap_or_else(PoisonError::into_inner);
        let dial = if is_secure { &self.secure } else { &self.plain };
        let make = || Exchange::new(endpoint.clone(), dial.clone(), self.limits);
        exchanges.entry((is_secure, endpoint.clone())).or_insert_with(make).clone()
    }

    async fn ask(&self, request: &Request) -> Result<AsyncRawResponse> {
        let (is_secure, endpoint) = place(request)?;
        let outgoing = outgoing(request, &endpoint)?;
        let exchange = self.exchange(is_secure, endpoint);
        let failed = |trouble: Trouble| Error::new(self.kind(&trouble, is_secure), trouble);
        let answer = exchange.ask(outgoing).await.map_err(failed)?;
        if !answer.is_whole && answer.status.is_success() {
            // Of a refusal the status is enough; half of what was asked for is nothing.
            return Err(failed(Trouble::Lost("the body of the answer is not whole, or longer than is read".into())));
        }
        let mut headers = Headers::new();
        for (name, value) in &answer.headers {
            if let Ok(value) = value.to_str() {
                headers.insert(HeaderName::from(name.as_str().to_owned()), HeaderValue::from(value.to_owned()));
            }
        }
        Ok(AsyncRawResponse::from_bytes(StatusCode::from(answer.status.as_u16()), headers, answer.body))
    }

    /// What the crates may try again, where they try again.
    fn kind(&self, trouble: &Trouble, is_secure: bool) -> ErrorKind {
        match (is_secure, self.without_tls) {
            (false, WithoutTls::Identity) => ErrorKind::Credential,
            _ if trouble.may_have_arrived() => ErrorKind::Io,
            _ => ErrorKind::Connection,
        }
    }
}

#[async_trait]
impl HttpClient for Transport {
    async fn execute_request(&self, request: &Request) -> Result<AsyncRawResponse> {
        self.ask(request).await
    }
}

/// Over TLS or not, and where. Which address may be asked without was checked before.
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
        Method::Put => http::Method::PUT,
        Method::Delete => http::Method::DELETE,
        Method::Head => http::Method::HEAD,
        _ => return Err(odd("a method that none of the services here has")),
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
