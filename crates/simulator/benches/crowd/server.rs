//! The other process: a simulator, and an echo over TLS.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls_pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use simulator::{Options, Simulator};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio_rustls::TlsAcceptor;

use crate::BODY_BYTES;

/// The argument that makes this program the other process.
pub(crate) const CHILD: &str = "serve";

/// The other process, as seen from here: it says one line of JSON for each line that it is told.
pub(crate) struct Server {
    _process: Child,
    asks: ChildStdin,
    says: Lines<BufReader<ChildStdout>>,
    pub(crate) started: Value,
}

impl Server {
    /// With this many devices.
    pub(crate) async fn start(devices: usize) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("this program"))
            .args([CHILD, &devices.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("another process");
        let asks = process.stdin.take().expect("a pipe");
        let says = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let mut server = Self { _process: process, asks, says, started: Value::Null };
        server.started = server.next().await;
        server
    }

    async fn next(&mut self) -> Value {
        let line = self.says.next_line().await.expect("a line").expect("the other process goes on");
        serde_json::from_str(&line).expect("JSON")
    }

    async fn ask(&mut self, question: &str) -> u64 {
        self.asks.write_all(format!("{question}\n").as_bytes()).await.expect("the other process listens");
        self.next().await.as_u64().expect("a number")
    }

    /// Resident memory of the other process, KiB.
    pub(crate) async fn resident_kib(&mut self) -> u64 {
        self.ask("resident").await
    }

    /// Messages that the simulator took.
    pub(crate) async fn messages(&mut self) -> u64 {
        self.ask("messages").await
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.started[name].as_str().unwrap_or_else(|| panic!("{name} in {}", self.started))
    }

    pub(crate) fn port(&self, name: &str) -> u16 {
        self.started[name].as_u64().and_then(|port| port.try_into().ok()).unwrap_or_else(|| panic!("{name} is no port"))
    }
}

pub(crate) fn name(device: usize) -> String {
    format!("crowd-{device:05}")
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// Serves until its standard input ends.
pub(crate) async fn child() {
    let devices: usize = std::env::args().nth(2).and_then(|text| text.parse().ok()).expect("a number of devices");
    let simulator = simulator::start(Options::new(Arc::new(now_ms))).await.expect("a simulator");
    simulator.enrol(&(0..devices).map(name).collect::<Vec<_>>()).expect("devices");
    let (echo, echo_pem) = echo().await;
    let mut started = serde_json::to_value(simulator.started()).expect("JSON");
    started["echo"] = echo.into();
    started["echo_pem"] = echo_pem.into();
    started["ca_pem"] = simulator.ca_pem().into();
    println!("{started}");
    let mut asked = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(question)) = asked.next_line().await {
        println!("{}", answer(&simulator, &question));
    }
}

fn answer(simulator: &Simulator, question: &str) -> Value {
    match question {
        "messages" => json!(simulator.counts().messages_total),
        _ => json!(resident_kib()),
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

/// Gives back whatever it reads, a body at a time. Its port, and its certificate.
async fn echo() -> (u16, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("the certificate and its key");
    let (acceptor, listener) =
        (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.expect("a port"));
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let _ = stream.set_nodelay(true);
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut body = [0; BODY_BYTES];
                while stream.read_exact(&mut body).await.is_ok() && stream.write_all(&body).await.is_ok() {
                    let _ = stream.flush().await;
                }
            });
        }
    });
    (port, cert.pem())
}
