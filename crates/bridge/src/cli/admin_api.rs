//! Asks a running bridge, by its admin listener.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{USAGE, ended, fail_as, settings};
use crate::config::{Admin, Secret};

/// The whole of one exchange. The largest takes a commit for each of its 200 devices.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// One that reads and writes all that is kept: 8 GiB at 20 MB a second.
const COPY_MAX: Duration = Duration::from_secs(420);
/// Bytes of an answer: a page of 1 000 devices has 1 MB.
const BODY_MAX: usize = 8 << 20;
/// The token, where no configuration tells it.
const TOKEN: &str = "LONGHAUL_ADMIN_TOKEN";

/// Where the bridge is.
#[derive(Debug, clap::Args)]
pub(super) struct BridgeArguments {
    /// The configuration of the bridge, which says where its admin listener is
    #[arg(long, default_value = "longhaul.toml")]
    pub(super) config: PathBuf,
    /// The admin listener, as HOST:PORT, instead of the configuration's; its token is read from LONGHAUL_ADMIN_TOKEN
    #[arg(long)]
    admin: Option<String>,
}

/// The admin listener of a bridge.
#[derive(Clone, Debug)]
pub(super) struct AdminApi {
    address: String,
    answer_max: Duration,
    token: Option<Secret>,
}

/// Asks the bridge that is meant, and says what went wrong.
pub(super) async fn ask(bridge: &BridgeArguments, ask: impl AsyncFnOnce(&AdminApi) -> Result<(), String>) -> ExitCode {
    match AdminApi::new(bridge) {
        Ok(bridge) => ended(ask(&bridge).await),
        Err(code) => code,
    }
}

impl AdminApi {
    /// As the arguments say; prints what is wrong with them.
    pub(super) fn new(arguments: &BridgeArguments) -> Result<Self, ExitCode> {
        let token = settings::variable(TOKEN).map(Secret::new);
        match &arguments.admin {
            Some(address) => {
                let address = address.trim_start_matches("http://").trim_end_matches('/');
                let is_address = address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
                if !is_address {
                    return Err(fail_as(USAGE, "--admin: write HOST:PORT, such as localhost:8081"));
                }
                Ok(Self { address: address.to_owned(), answer_max: ANSWER_MAX, token })
            }
            None => {
                let Admin { listen, token: configured } = settings::admin(&arguments.config)?;
                let address = reachable(listen).to_string();
                Ok(Self { address, answer_max: ANSWER_MAX, token: token.or(configured) })
            }
        }
    }

    /// For what takes as long as copying all that is kept.
    pub(super) fn patient(&self) -> Self {
        Self { answer_max: COPY_MAX, ..self.clone() }
    }

    /// # Errors
    /// One sentence: nobody is there, or what it refused.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, String> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    /// # Errors
    /// As [`AdminApi::get`].
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, String> {
        let body = serde_json::to_vec(body).map_err(|e| format!("failed to write the question: {e}"))?;
        self.ask(Method::POST, path, body.into()).await
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T, String> {
        let away = |cause: &str| {
            format!(
                "no bridge answers at {} ({cause}): start it with `longhaul run`, or say where it is with --admin",
                self.address
            )
        };
        match timeout(self.answer_max, self.exchange(method, path, body)).await {
            Err(_elapsed) => Err(away(&format!("not within {} s", self.answer_max.as_secs()))),
            Ok(Err(e)) => Err(away(&e.to_string())),
            Ok(Ok((status, body))) if status.is_success() => {
                serde_json::from_slice(&body).map_err(|e| format!("the answer of {} cannot be read: {e}", self.address))
            }
            Ok(Ok((status, body))) => Err(refused(status, &body)),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect(&self.address).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.address)
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        let answer = sender.send_request(request.body(Full::new(body))?).await?;
        let status = answer.status();
        Ok((status, Limited::new(answer.into_body(), BODY_MAX).collect().await?.to_bytes()))
    }
}

/// What the bridge says of it, and the mend.
fn refused(status: StatusCode, body: &[u8]) -> String {
    if status == StatusCode::UNAUTHORIZED {
        return format!("the bridge wants its admin.token: name its configuration with --config, or set {TOKEN}");
    }
    let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    match problem["detail"].as_str() {
        Some(detail) => detail.to_owned(),
        None => format!("the bridge answers {status}: {}", String::from_utf8_lossy(body).trim()),
    }
}

/// Who listens on every address is reached on loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
