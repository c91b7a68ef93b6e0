//! A bare HTTPS client for the tests: one request on one connection, tokens signed here from the wire's description.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, Mac as _};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustls_pki_types::pem::PemObject as _;
use serde_json::Value;
use sha2::Sha256;
use simulator::{Options, Simulator};

/// The machine's time, as the simulator gets it.
#[expect(clippy::disallowed_methods, reason = "tests run in real time against real sockets")]
pub fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Quick answers, no files.
pub fn options() -> Options {
    Options { retry_after_s: 0, assigning_polls: 0, ..Options::new(Arc::new(now_ms)) }
}

pub fn hmac(key: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(key).unwrap()).unwrap();
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// A token good for an hour, with or without a policy.
pub fn token(resource: &str, key: &str, policy: Option<&str>) -> String {
    token_until(resource, key, policy, now_ms() / 1000 + 3600)
}

pub fn token_until(resource: &str, key: &str, policy: Option<&str>, expiry_s: i64) -> String {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let resource = encode(resource);
    let sig = encode(&hmac(key, &format!("{resource}\n{expiry_s}")));
    let policy = policy.map(|name| format!("&skn={name}")).unwrap_or_default();
    format!("SharedAccessSignature sr={resource}&sig={sig}&se={expiry_s}{policy}")
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// Method, path with query, headers, body.
pub struct Ask<'a> {
    pub method: &'a str,
    pub path: String,
    pub headers: Vec<(&'a str, String)>,
    pub body: Vec<u8>,
}

/// Sends one request; `None` when the connection ended without an answer.
pub async fn ask(simulator: &Simulator, ask: Ask<'_>) -> Option<Reply> {
    let stream = tls(simulator).await;
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .title_case_headers(true)
        .handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder().method(ask.method).uri(ask.path);
    if ask.headers.iter().all(|(name, _)| *name != "host") {
        request = request.header("host", "localhost");
    }
    for (name, value) in ask.headers {
        request = request.header(name, value);
    }
    let response = sender.send_request(request.body(Full::new(Bytes::from(ask.body))).unwrap()).await.ok()?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    Some(Reply { status: parts.status, headers: parts.headers, body })
}

pub async fn tls(simulator: &Simulator) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
    tls_to(simulator, simulator.started().https).await
}

/// A connection that trusts nothing but the simulator's CA.
pub async fn tls_to(simulator: &Simulator, port: u16) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
    tls_as(simulator, port, &simulator.started().hub, rustls::DEFAULT_VERSIONS).await
}

/// The same, to a host name, with versions of one's own.
pub async fn tls_as(
    simulator: &Simulator,
    port: u16,
    name: &str,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls_pki_types::CertificateDer::from_pem_slice(simulator.ca_pem().as_bytes()).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let name = name.to_owned().try_into().unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

/// A device of the simulator's group.
pub struct Device<'a> {
    pub simulator: &'a Simulator,
    pub id: &'a str,
    pub key: String,
}

impl<'a> Device<'a> {
    pub fn new(simulator: &'a Simulator, id: &'a str) -> Self {
        Self { simulator, id, key: hmac(&simulator.started().group_key, id) }
    }

    pub fn registration_token(&self) -> String {
        let resource = format!("{}/registrations/{}", self.simulator.started().id_scope, self.id);
        token(&resource, &self.key, Some("registration"))
    }

    pub fn hub_token(&self) -> String {
        token(&format!("{}/devices/{}", self.simulator.started().hub, self.id), &self.key, None)
    }

    /// A provisioning call below this device's registration.
    pub async fn dps(&self, method: &str, rest: &str, authorization: String, body: &str) -> Option<Reply> {
        let scope = &self.simulator.started().id_scope;
        let path = format!("/{scope}/registrations/{}{rest}?api-version=2019-03-31", self.id);
        let headers = vec![("authorization", authorization)];
        ask(self.simulator, Ask { method, path, headers, body: body.into() }).await
    }

    pub async fn register(&self) -> Option<Reply> {
        let body = format!(r#"{{"registrationId":"{}"}}"#, self.id);
        self.dps("PUT", "/register", self.registration_token(), &body).await
    }

    pub async fn poll(&self, operation: &Value) -> Option<Reply> {
        let rest = format!("/operations/{}", operation["operationId"].as_str().unwrap());
        self.dps("GET", &rest, self.registration_token(), "{}").await
    }

    /// Registers and polls until it is final.
    pub async fn provision(&self) -> Value {
        let operation = self.register().await.unwrap().json();
        loop {
            let reply = self.poll(&operation).await.unwrap();
            if reply.status == StatusCode::OK {
                return reply.json();
            }
            assert_eq!(reply.status, StatusCode::ACCEPTED);
        }
    }

    pub async fn send(&self, headers: &[(&'static str, &str)], body: &[u8]) -> Option<Reply> {
        self.send_as(self.hub_token(), headers, body).await
    }

    /// Its next message, locked.
    pub async fn receive(&self) -> Reply {
        let path = format!("/devices/{}/messages/devicebound?api-version=2021-04-12", self.id);
        let headers = vec![("authorization", self.hub_token())];
        ask(self.simulator, Ask { method: "GET", path, headers, body: Vec::new() }).await.unwrap()
    }

    pub async fn send_as(&self, authorization: String, headers: &[(&'static str, &str)], body: &[u8]) -> Option<Reply> {
        let mut all = vec![("authorization", authorization)];
        all.extend(headers.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let path = format!("/devices/{}/messages/events?api-version=2021-04-12", self.id);
        ask(self.simulator, Ask { method: "POST", path, headers: all, body: body.into() }).await
    }
}
