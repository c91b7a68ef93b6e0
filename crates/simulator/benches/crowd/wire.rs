//! TLS to the other process, and the tokens that devices sign.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use hmac::{Hmac, Mac as _};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use sha2::Sha256;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::{BODY_BYTES, DIALS_MAX};

pub(crate) type Wire = TlsStream<TcpStream>;

/// Dials a port, trusting one certificate.
#[derive(Clone)]
pub(crate) struct Dialler {
    port: u16,
    connector: TlsConnector,
}

impl Dialler {
    pub(crate) fn new(port: u16, pem: &str) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")).expect("a certificate");
        let config = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { port, connector: TlsConnector::from(Arc::new(config)) }
    }

    pub(crate) async fn dial(&self) -> Wire {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.expect("a connection");
        let _ = stream.set_nodelay(true);
        self.connector.connect("localhost".try_into().expect("a name"), stream).await.expect("TLS")
    }
}

/// Does something for each number below `count`, some at a time.
pub(crate) async fn each<T, F: Future<Output = T>>(count: usize, what: impl Fn(usize) -> F) -> Vec<T> {
    futures_util::stream::iter((0..count).map(what)).buffer_unordered(DIALS_MAX).collect().await
}

pub(crate) fn body() -> Vec<u8> {
    let mut body = br#"{"t":21.5,"x":""#.to_vec();
    body.resize(BODY_BYTES - 2, b'.');
    body.extend_from_slice(br#""}"#);
    body
}

fn hmac(key: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(key).expect("base64")).expect("any length");
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// A device's token, good for an hour, with the key that it has in the group.
pub(crate) fn token(group_key: &str, device: &str) -> String {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (key, resource, expiry) =
        (hmac(group_key, device), encode(&format!("localhost/devices/{device}")), now_s + 3600);
    let signature = encode(&hmac(&key, &format!("{resource}\n{expiry}")));
    format!("SharedAccessSignature sr={resource}&sig={signature}&se={expiry}")
}
