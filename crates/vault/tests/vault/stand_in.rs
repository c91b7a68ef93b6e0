//! A Key Vault and an Entra on this machine, as strict as the real ones: HTTPS with a certificate authority of its own,
//! the challenge, tokens for whoever proves who it is, versions, rights, throttling.
//!
//! Facts and sources: docs/wire/key-vault.md. It shares no code with the product.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls_pki_types::PrivateKeyDer;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub(crate) const TENANT: &str = "72f988bf-0000-0000-0000-2d7cd011db47";
pub(crate) const CLIENT: &str = "fad7d5b3-0000-0000-0000-8d12124e1cf1";
pub(crate) const CLIENT_SECRET: &str = "canary-client-secret~0001";
/// What a cluster writes into the file of a workload.
#[allow(dead_code, reason = "not every test is a workload")]
pub(crate) const ASSERTION: &str = "canary.assertion.0002";
/// `IDENTITY_HEADER` of an App Service.
pub(crate) const IDENTITY_HEADER: &str = "canary-identity-header-0003";
/// What opens the vault.
pub(crate) const TOKEN: &str = "canary.access.token.0004";
const POISON: &str = "no request panics";
const RESOURCE: &str = "https://vault.azure.net";

/// What is in the vault, and what is to happen.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Versions of each secret, the newest last.
    pub(crate) secrets: BTreeMap<String, Vec<(String, String)>>,
    pub(crate) disabled: BTreeSet<String>,
    pub(crate) forbidden: BTreeSet<String>,
    /// So many requests with a token are answered 429, with this Retry-After.
    pub(crate) throttled: (u32, u32),
    /// Everybody is answered 503.
    pub(crate) away: bool,
    /// `resource` of the challenge; none: the right one.
    pub(crate) resource: Option<String>,
    /// Method and path of every request, without query; `token by KIND` for every token given.
    pub(crate) seen: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct StandIn {
    /// HTTPS: vault and Entra.
    pub(crate) port: u16,
    /// HTTP: identities of the machine.
    pub(crate) identity_port: u16,
    /// The authority that signed it.
    pub(crate) ca_pem: String,
    state: Arc<Mutex<State>>,
}

impl StandIn {
    /// Serves `names` until the runtime ends.
    pub(crate) async fn start(names: &[&str]) -> Self {
        let (ca_pem, acceptor) = certificates(names);
        let state: Arc<Mutex<State>> = Arc::default();
        let (secure, plain) = (bind().await, bind().await);
        let port = |listener: &TcpListener| listener.local_addr().expect("it is bound").port();
        let stand_in = Self { port: port(&secure), identity_port: port(&plain), ca_pem, state: state.clone() };
        let of = state.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = secure.accept().await {
                let (acceptor, state) = (acceptor.clone(), of.clone());
                tokio::spawn(async move {
                    if let Ok(tls) = acceptor.accept(tcp).await {
                        serve(tls, state, true).await;
                    }
                });
            }
        });
        tokio::spawn(async move {
            while let Ok((tcp, _)) = plain.accept().await {
                tokio::spawn(serve(tcp, state.clone(), false));
            }
        });
        stand_in
    }

    /// A new version of a secret.
    pub(crate) fn set(&self, name: &str, value: &str) {
        let mut state = self.state();
        let versions = state.secrets.entry(name.to_owned()).or_default();
        versions.push((format!("{:032x}", versions.len() + 1), value.to_owned()));
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
    }

    /// What is there now.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(POISON)
    }

    /// How many requests were of this kind.
    pub(crate) fn count(&self, seen: &str) -> usize {
        self.state().seen.iter().filter(|line| *line == seen).count()
    }
}

async fn bind() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port")
}

fn certificates(names: &[&str]) -> (String, TlsAcceptor) {
    let mut authority = rcgen::CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().expect("a key");
    let ca = authority.self_signed(&authority_key).expect("a certificate");
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = rcgen::KeyPair::generate().expect("a key");
    let leaf = rcgen::CertificateParams::new(names).expect("names").signed_by(&key, &issuer).expect("a certificate");
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).expect("a key"))
        .expect("they belong together");
    (ca.pem(), TlsAcceptor::from(Arc::new(config)))
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    state: Arc<Mutex<State>>,
    is_secure: bool,
) {
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let state = state.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, hyper::Error>(answer(&head, &body, &mut state.lock().expect(POISON), is_secure))
        }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

type Answer = Response<Full<Bytes>>;

fn answer(head: &http::request::Parts, body: &[u8], state: &mut State, is_secure: bool) -> Answer {
    let path = head.uri.path().to_owned();
    let path = path.trim_end_matches('/');
    state.seen.push(format!("{} {path}", head.method));
    let parts: Vec<_> = path.split('/').skip(1).collect();
    match (is_secure, &head.method, parts.as_slice()) {
        (true, &Method::POST, [TENANT, "oauth2", "v2.0", "token"]) => token(body, state),
        (true, &Method::GET, ["secrets", name, version @ ..]) => secret(head, state, name, version.first().copied()),
        (false, &Method::GET, ["msi", "token"]) => identity(head, state, "app-service"),
        (false, &Method::GET, ["metadata", "identity", "oauth2", "token"]) => identity(head, state, "imds"),
        _ => reply(404, json!({})),
    }
}

/// A pair of a form or of a query.
fn pair(text: &str, name: &str) -> Option<String> {
    let value = text.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?.replace('+', " ");
    Some(percent_encoding::percent_decode_str(&value).decode_utf8_lossy().into_owned())
}

/// Entra's token endpoint, v2.0.
fn token(body: &[u8], state: &mut State) -> Answer {
    let form = String::from_utf8_lossy(body);
    let is = |name: &str, value: &str| pair(&form, name).as_deref() == Some(value);
    let refuse = |code: u32, error: &str| {
        let said = format!("AADSTS{code}: {CLIENT_SECRET} {ASSERTION}");
        reply(401, json!({ "error": error, "error_description": said, "error_codes": [code] }))
    };
    if state.away {
        return reply(503, json!({}));
    }
    if !is("grant_type", "client_credentials") || !is("scope", &format!("{RESOURCE}/.default")) {
        return refuse(70011, "invalid_scope");
    }
    if !is("client_id", CLIENT) {
        return refuse(700016, "unauthorized_client");
    }
    let is_bearer = is("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    let by = match (pair(&form, "client_secret"), pair(&form, "client_assertion")) {
        (Some(secret), None) if secret == CLIENT_SECRET => "secret",
        (None, Some(assertion)) if assertion == ASSERTION && is_bearer => "assertion",
        (Some(_), _) => return refuse(7000215, "invalid_client"),
        _ => return refuse(700213, "invalid_client"),
    };
    state.seen.push(format!("token by {by}"));
    reply(200, json!({ "token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": TOKEN }))
}

/// The endpoints of a machine's own identity.
fn identity(head: &http::request::Parts, state: &mut State, by: &str) -> Answer {
    let query = head.uri.query().unwrap_or_default();
    let is_right = match by {
        "app-service" => head.headers.get("x-identity-header").is_some_and(|value| value == IDENTITY_HEADER),
        _ => head.headers.get("metadata").is_some_and(|value| value == "true"),
    };
    if !is_right || pair(query, "resource").as_deref() != Some(RESOURCE) || pair(query, "api-version").is_none() {
        return reply(400, json!({ "error": "invalid_request", "error_description": IDENTITY_HEADER }));
    }
    state.seen.push(format!("token by {by}"));
    let expires = "4102444800"; // in 2100, as a text
    reply(200, json!({ "access_token": TOKEN, "expires_on": expires, "resource": RESOURCE, "token_type": "Bearer" }))
}

fn secret(head: &http::request::Parts, state: &mut State, name: &str, version: Option<&str>) -> Answer {
    if state.away {
        return reply(503, json!({}));
    }
    if pair(head.uri.query().unwrap_or_default(), "api-version").is_none() {
        return refuse(400, "BadParameter", None);
    }
    if !may(&head.headers) {
        let resource = state.resource.as_deref().unwrap_or(RESOURCE);
        let challenge =
            format!("Bearer authorization=\"https://login.microsoftonline.com/{TENANT}\", resource=\"{resource}\"");
        let mut answer = refuse(401, "Unauthorized", None);
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge.parse().expect("a header value"));
        return answer;
    }
    let (times, wait) = state.throttled;
    if times > 0 {
        state.throttled.0 -= 1;
        let mut answer = refuse(429, "Throttled", None);
        answer.headers_mut().insert(header::RETRY_AFTER, wait.into());
        return answer;
    }
    if state.forbidden.contains(name) {
        return refuse(403, "Forbidden", Some("ForbiddenByRbac"));
    }
    let versions = state.secrets.get(name).map(Vec::as_slice).unwrap_or_default();
    let found = match version {
        Some(version) => versions.iter().find(|(known, _)| known == version),
        None => versions.last(),
    };
    let Some((version, value)) = found else { return refuse(404, "SecretNotFound", None) };
    if state.disabled.contains(name) {
        return refuse(403, "Forbidden", Some("SecretDisabled"));
    }
    let id = format!("https://mine.vault.azure.net/secrets/{name}/{version}");
    reply(200, json!({ "value": value, "id": id, "attributes": { "enabled": true, "created": 1763899200 } }))
}

fn may(headers: &HeaderMap) -> bool {
    headers.get(header::AUTHORIZATION).is_some_and(|value| value.as_bytes() == format!("Bearer {TOKEN}").as_bytes())
}

fn refuse(status: u16, code: &str, inner: Option<&str>) -> Answer {
    // The real one's words name objects and callers; here the worst that they could repeat.
    let mut error = json!({ "code": code, "message": format!("said: {TOKEN}") });
    if let Some(inner) = inner {
        error["innererror"] = json!({ "code": inner });
    }
    reply(status, json!({ "error": error }))
}

fn reply(status: u16, body: serde_json::Value) -> Answer {
    Response::builder()
        .status(StatusCode::from_u16(status).expect("a status"))
        .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
        .body(Full::new(Bytes::from(body.to_string())))
        .expect("an answer")
}
