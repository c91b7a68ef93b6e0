//! One keep-alive connection to a webhook.
//!
//! Promises: a message goes over the wire at most once, for a webhook may have kept it although no answer came; only
//! one that certainly never left is given to a new connection.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::Options;

/// As long as The Things Stack waits for an answer, the connection included.
pub const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Why an address cannot be posted to.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// It is no URL. Not repeated: there may be a password in it.
    #[error("--url: is no address; write http://HOST:PORT or https://HOST, and give a key with --key")]
    NotAnAddress,
    /// The key has characters that no header can carry.
    #[error("--key: has characters that a header cannot carry")]
    Key,
    /// `https://` without anybody to trust.
    #[error("--url: https needs certificates to trust")]
    NoRoots,
}

/// Where to post, and as whom. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Target {
    host: String,
    port: u16,
    authority: HeaderValue,
    path: Uri,
    key: Option<HeaderValue>,
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl Target {
    /// Reads it from the options.
    ///
    /// # Errors
    /// See [`UrlError`].
    pub fn new(options: &Options) -> Result<Self, UrlError> {
        let wrong = || UrlError::NotAnAddress;
        let url: Uri = options.url.parse().map_err(|_| wrong())?;
        let secure = match url.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong()),
        };
        let authority = url.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(wrong)?;
        let path = url.path_and_query().map(http::uri::PathAndQuery::as_str).filter(|path| *path != "/");
        Ok(Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| wrong())?,
            path: path.unwrap_or(options.format.path()).parse().map_err(|_| wrong())?,
            key: options.key.as_ref().map(|key| bearer(key.expose())).transpose()?,
            tls: if secure { Some(options.tls.clone().ok_or(UrlError::NoRoots)?) } else { None },
        })
    }

    fn request(&self, body: Bytes, kind: &'static str) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.path.clone();
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.authority.clone());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("longhaul/", env!("CARGO_PKG_VERSION"))));
        if let Some(key) = &self.key {
            headers.insert(header::AUTHORIZATION, key.clone());
        }
        request
    }
}

fn bearer(key: &str) -> Result<HeaderValue, UrlError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| UrlError::Key)?;
    value.set_sensitive(true);
    Ok(value)
}

/// One connection, opened when it is needed.
#[derive(Debug)]
pub struct Connection {
    target: Target,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// Not open yet.
    pub fn new(target: Target) -> Self {
        Self { target, sender: None }
    }

    /// Posts one body: the status, or why there is none.
    ///
    /// # Errors
    /// A sentence: refused, cut, or no answer within [`ANSWER_MAX`].
    pub async fn post(&mut self, body: Bytes, kind: &'static str) -> Result<u16, String> {
        let outcome = timeout(ANSWER_MAX, self.exchange(body, kind)).await;
        let outcome = outcome.unwrap_or_else(|_| Err(format!("no answer within {} s", ANSWER_MAX.as_secs())));
        if outcome.is_err() {
            self.sender = None;
        }
        outcome
    }

    async fn exchange(&mut self, body: Bytes, kind: &'static str) -> Result<u16, String> {
        let reused = self.sender.is_some();
        let request = self.target.request(body, kind);
        let sent = self.sender().await?.try_send_request(request).await;
        let response = match sent {
            Ok(response) => response,
            // The server closed between two messages, and hyper hands the unsent request back.
            Err(mut error) => match error.take_message().filter(|_| reused) {
                Some(request) => {
                    self.sender = None;
                    self.sender().await?.send_request(request).await.map_err(|error| words(&error))?
                }
                None => return Err(words(error.error())),
            },
        };
        let status = response.status().as_u16();
        response.into_body().collect().await.map_err(|error| words(&error))?;
        Ok(status)
    }

    async fn sender(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, String> {
        let open = match self.sender.take() {
            Some(mut sender) => sender.ready().await.is_ok().then_some(sender),
            None => None,
        };
        let sender = match open {
            Some(sender) => sender,
            None => self.connect().await.map_err(|error| words(&*error))?,
        };
        Ok(self.sender.insert(sender))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect((self.target.host.as_str(), self.target.port)).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.target.tls else { return greet(stream).await };
        let name = ServerName::try_from(self.target.host.clone())?;
        greet(TlsConnector::from(tls.clone()).connect(name, stream).await?).await
    }
}

async fn greet<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Its end shows in the sender.
    tokio::spawn(connection);
    Ok(sender)
}

/// An error with its causes, in one line.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words += &format!(": {error}");
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::super::uplinks::Style;
    use super::*;

    fn target(url: &str) -> Result<Target, UrlError> {
        Target::new(&Options { url: url.to_owned(), format: Style::TtnV2, ..Options::default() })
    }

    #[test]
    fn an_address_without_a_path_gets_the_formats() {
        assert_eq!(target("http://h").expect("fine").path, "/ttn/v2");
        assert_eq!(target("http://h:1/").expect("fine").path, "/ttn/v2");
        assert_eq!(target("http://[::1]:1/x?code=1").expect("fine").path, "/x?code=1");
        assert_eq!(target("http://[::1]:1/x").expect("fine").host, "::1");
    }

    #[test]
    fn what_is_no_address_is_said() {
        for url in ["", "localhost", "ftp://h", "http://user:key@h", "https://h"] {
            assert!(target(url).is_err(), "{url}");
        }
    }
}
