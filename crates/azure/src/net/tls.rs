//! TCP and TLS as production uses them.
//!
//! Promises that a peer that went away without a word is noticed within [`HALF_OPEN_MAX`], and that the only roots
//! trusted are the system's and those of the file that the operator named. Does not bound the whole of a dial: the
//! caller does.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Dial, Dialing, Endpoint, Stream};

/// A half-open connection is found after this: 15 s of silence and three probes 5 s apart, or unacknowledged data
/// for as long.
const HALF_OPEN_MAX: Duration = Duration::from_secs(30);
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
#[cfg(not(windows))]
const KEEPALIVE_PROBES: u32 = 3;

/// One address gets this long, so that a name with a dead address first still connects within 10 s.
const ADDRESS_WAIT_MAX: Duration = Duration::from_secs(4);

/// The roots could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file is not there or not readable.
    #[error("azure.ca_file {path}: cannot be read; name a PEM file with certificates", path = .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// Not PEM.
    #[error("azure.ca_file {path}: is not PEM; it must hold CERTIFICATE blocks", path = .0.display())]
    NotPem(PathBuf, #[source] rustls_pki_types::pem::Error),
    /// PEM, but no certificate in it.
    #[error("azure.ca_file {path}: holds no certificate; it must hold CERTIFICATE blocks", path = .0.display())]
    NoCertificate(PathBuf),
    /// A certificate that cannot be a root.
    #[error("azure.ca_file {path}: holds a certificate that cannot be used as a root", path = .0.display())]
    BadCertificate(PathBuf, #[source] rustls::Error),
    /// Nothing to trust at all.
    #[error("the system has no root certificates ({0}); install ca-certificates or set azure.ca_file")]
    NoRoots(String),
    /// The TLS library refused its own defaults.
    #[error("tls cannot be set up")]
    Setup(#[source] rustls::Error),
}

/// Dials over TCP and TLS 1.2 or 1.3.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Trusts the system's roots and, if given, the certificates of a PEM file. Reads files: not for an async task.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        // Systems carry the odd certificate that no library can read; the others still count.
        roots.add_parsable_certificates(system.certs);
        if let Some(path) = ca_file {
            add_file(&mut roots, path)?;
        }
        if roots.is_empty() {
            let cause = system.errors.first().map_or_else(|| "none found".to_owned(), ToString::to_string);
            return Err(TlsError::NoRoots(cause));
        }
        Self::trusting(roots)
    }

    /// The settings behind it, for other connections that are to trust the same.
    pub fn config(&self) -> Arc<ClientConfig> {
        self.config.clone()
    }

    fn trusting(roots: RootCertStore) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { config: Arc::new(config) })
    }
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), TlsError> {
    let pem = std::fs::read(path).map_err(|e| TlsError::Unreadable(path.to_owned(), e))?;
    let certificates = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| TlsError::NotPem(path.to_owned(), e))?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate(path.to_owned()));
    }
    for certificate in certificates {
        roots.add(certificate).map_err(|e| TlsError::BadCertificate(path.to_owned(), e))?;
    }
    Ok(())
}

impl Dial for Tls {
    fn dial(&self, endpoint: &Endpoint) -> Dialing {
        let (config, endpoint) = (self.config.clone(), endpoint.clone());
        Box::pin(async move {
            let name = ServerName::try_from(endpoint.host.clone())
                .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
            let tcp = connect(&endpoint).await?;
            let tls = TlsConnector::from(config).connect(name, tcp).await?;
            Ok(Box::new(tls) as Box<dyn Stream>)
        })
    }
}

/// Tries the addresses of the name one after another; the last failure is the one reported.
async fn connect(endpoint: &Endpoint) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port)).await? {
        match tokio::time::timeout(ADDRESS_WAIT_MAX, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                watch(&stream)?;
                return Ok(stream);
            }
            Ok(Err(e)) => failure = e,
            Err(_) => failure = io::Error::new(io::ErrorKind::TimedOut, format!("{address} did not answer")),
        }
    }
    Err(failure)
}

fn watch(stream: &TcpStream) -> io::Result<()> {
    // A message is one small write and its answer is waited for: Nagle would only add delay.
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
    #[cfg(not(windows))]
    let keepalive = keepalive.with_retries(KEEPALIVE_PROBES);
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(HALF_OPEN_MAX))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use rustls_pki_types::PrivateKeyDer;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A file that goes when the test ends.
    struct PemFile(PathBuf);

    impl PemFile {
        fn with(name: &str, text: &str) -> Self {
            let path = std::env::temp_dir().join(format!("longhaul-tls-{}-{name}.pem", std::process::id()));
            std::fs::write(&path, text).unwrap();
            Self(path)
        }
    }

    impl Drop for PemFile {
        fn drop(&mut self) {
            drop(std::fs::remove_file(&self.0));
        }
    }

    /// Echoes four bytes on every connection; gives its endpoint (by that host name) and its certificate.
    async fn server(host: &str) -> (Endpoint, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
                let mut four = [0; 4];
                tls.read_exact(&mut four).await.unwrap();
                tls.write_all(&four).await.unwrap();
                tls.flush().await.unwrap();
            }
        });
        (Endpoint { host: host.into(), port }, made.cert.pem())
    }

    #[tokio::test]
    async fn certificate_of_the_ca_file_is_trusted_by_name_and_by_address() {
        for host in ["localhost", "127.0.0.1"] {
            let (endpoint, pem) = server(host).await;
            let file = PemFile::with(host, &pem);
            let mut stream = Tls::new(Some(&file.0)).unwrap().dial(&endpoint).await.unwrap();
            stream.write_all(b"ping").await.unwrap();
            stream.flush().await.unwrap();
            let mut four = [0; 4];
            stream.read_exact(&mut four).await.unwrap();
            assert_eq!(&four, b"ping");
        }
    }

    #[tokio::test]
    async fn certificate_of_nobody_is_refused_with_the_cause() {
        let (endpoint, _) = server("localhost").await;
        let (_, other) = server("localhost").await;
        let file = PemFile::with("other", &other);
        let Err(error) = Tls::new(Some(&file.0)).unwrap().dial(&endpoint).await else { panic!("connected") };
        assert!(error.to_string().contains("invalid peer certificate"), "{error}");
    }

    #[tokio::test]
    async fn closed_port_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint { host: "127.0.0.1".into(), port: listener.local_addr().unwrap().port() };
        drop(listener);
        let (_, pem) = server("localhost").await;
        let file = PemFile::with("closed", &pem);
        let Err(error) = Tls::new(Some(&file.0)).unwrap().dial(&endpoint).await else { panic!("connected") };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn ca_file_that_is_none_is_named_with_its_cause() {
        let missing = std::env::temp_dir().join("longhaul-no-such-file.pem");
        let empty = PemFile::with("empty", "nothing here");
        let broken = PemFile::with("broken", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n");
        let wrong = PemFile::with("wrong", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        let cases = [
            (&missing, "cannot be read"),
            (&empty.0, "holds no certificate"),
            (&broken.0, "is not PEM"),
            (&wrong.0, "cannot be used"),
        ];
        for (path, words) in cases {
            let error = Tls::new(Some(path)).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(words) && text.contains(path.to_str().unwrap()), "{text}");
            assert_eq!(error.source().is_none(), words == "holds no certificate", "{text}");
        }
    }
}
