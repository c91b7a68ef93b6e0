//! TLS at the door: a certificate and its key from files, read again when they change.
//!
//! Promises: new files are used for new connections within [`CHECK_EVERY`]; files that do not fit (half written,
//! wrong key) change nothing and are told once. Relies on nothing but the two paths.

use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use queue::UnixMillis;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::TlsFiles;
use crate::events::{Event, Events};

/// How often the files are looked at. Two reads of a few kilobytes from the page cache.
pub const CHECK_EVERY: Duration = Duration::from_secs(5);

/// Why a certificate and a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be read.
    #[error("cannot read {0}")]
    Unreadable(String, #[source] io::Error),
    /// The certificate file holds no certificate.
    #[error("{0} holds no certificate in PEM form")]
    NoCertificate(String),
    /// The key file holds no private key.
    #[error("{0} holds no private key in PEM form")]
    NoKey(String),
    /// The two do not belong together, or are of a kind that is not supported.
    #[error("certificate and key cannot be used together: {0}")]
    Unusable(#[from] rustls::Error),
}

/// What new connections are greeted with. Cheap to clone; all clones change together.
#[derive(Clone, Debug)]
pub struct Tls {
    current: Arc<RwLock<InUse>>,
    first: Arc<Material>,
}

#[derive(Clone, Debug)]
struct InUse {
    config: Arc<ServerConfig>,
    ends_at: Option<UnixMillis>,
}

/// The bytes of both files, to see whether they changed.
#[derive(PartialEq, Eq)]
struct Material {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[certificate and key]")
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let first = read(files)?;
        let config = usable(&first, files)?;
        Ok(Self { current: Arc::new(RwLock::new(config)), first: Arc::new(first) })
    }

    /// When the first certificate of the chain in use runs out; none where it does not say so in a way that we read.
    pub fn ends_at(&self) -> Option<UnixMillis> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).ends_at
    }

    /// The handshake. Bounded by the caller.
    ///
    /// # Errors
    /// What the client did wrong, or that it left.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        let config = self.current.read().unwrap_or_else(PoisonError::into_inner).config.clone();
        TlsAcceptor::from(config).accept(stream).await
    }

    /// Looks at the files every `every`, for ever; drop it to end it.
    pub async fn follow(&self, files: TlsFiles, every: Duration, events: Events) {
        let mut last = self.first.clone();
        let mut told = String::new();
        loop {
            tokio::time::sleep(every).await;
            let outcome = self.look(&files, &mut last);
            let trouble = outcome.as_ref().err().map(ToString::to_string).unwrap_or_default();
            if matches!(outcome, Ok(true)) {
                events.emit(Event::CertificateLoaded);
            }
            if !trouble.is_empty() && trouble != told {
                events.emit(Event::CertificateRefused { cause: &trouble });
            }
            told = trouble;
        }
    }

    /// True when new files are in use now. Files are tried once, then again when they change again.
    fn look(&self, files: &TlsFiles, last: &mut Arc<Material>) -> Result<bool, TlsError> {
        let found = read(files)?;
        if **last == found {
            return Ok(false);
        }
        let config = usable(&found, files);
        *last = Arc::new(found);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = config?;
        Ok(true)
    }
}

fn read(files: &TlsFiles) -> Result<Material, TlsError> {
    let bytes =
        |path: &Path| std::fs::read(path).map_err(|error| TlsError::Unreadable(path.display().to_string(), error));
    Ok(Material { certificate: bytes(&files.cert_file)?, key: bytes(&files.key_file)? })
}

fn usable(material: &Material, files: &TlsFiles) -> Result<InUse, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&material.certificate).filter_map(Result::ok).collect();
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(files.cert_file.display().to_string()));
    }
    let ends_at = ends_at(&chain);
    let key = PrivateKeyDer::from_pem_slice(&material.key)
        .map_err(|_| TlsError::NoKey(files.key_file.display().to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(InUse { config: Arc::new(config), ends_at })
}

/// PURE: the earliest `notAfter` of a chain.
fn ends_at(chain: &[CertificateDer<'_>]) -> Option<UnixMillis> {
    let end = |certificate: &CertificateDer<'_>| {
        let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
        Some(certificate.validity().not_after.timestamp().saturating_mul(1_000))
    };
    chain.iter().filter_map(end).min()
}
