//! TLS at the door, and certificates that change.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bridge::cli::send;
use bridge::config::TlsFiles;
use bridge::webhook::pace::Limits;
use bridge::webhook::tls::{Tls, TlsError};
use bridge::world::{Random, SystemClock, World};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls_pki_types::CertificateDer;

use crate::site::{Plan, Site};

/// A directory with a certificate, gone at the end.
struct Files {
    dir: PathBuf,
    files: TlsFiles,
}

impl Files {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("longhaul-tls-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        let files = TlsFiles { cert_file: dir.join("cert.pem"), key_file: dir.join("key.pem") };
        Self { dir, files }
    }

    /// A new certificate for localhost; returns it.
    fn renew(&self) -> CertificateDer<'static> {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["localhost".into()]).expect("a certificate");
        std::fs::write(&self.files.cert_file, cert.pem()).expect("a file");
        std::fs::write(&self.files.key_file, signing_key.serialize_pem()).expect("a file");
        cert.der().clone()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn trusting(certificate: &CertificateDer<'static>) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Arc::new(config.expect("versions").with_root_certificates(roots).with_no_client_auth())
}

async fn kept(site: &Site, certificate: &CertificateDer<'static>) -> bool {
    let options = send::Options {
        url: format!("https://localhost:{}", site.address.port()),
        tls: Some(trusting(certificate)),
        ..send::Options::default()
    };
    let world = World::new(Arc::new(SystemClock), Random::from_seed(1));
    send::run(options, world, Arc::new(|_| {})).await.expect("an address").is_clean()
}

#[tokio::test]
async fn a_changed_certificate_is_taken_and_a_bad_one_is_not() {
    let files = Files::new("change");
    let first = files.renew();
    let tls = Tls::load(&files.files).expect("a pair");
    let site = Site::open(Plan { tls: Some(tls.clone()), ..Plan::default() }).await;
    let following = tokio::spawn({
        let (files, events) = (files.files.clone(), site.events.clone());
        async move { tls.follow(files, Duration::from_millis(10), events).await }
    });
    assert!(kept(&site, &first).await);

    let second = files.renew();
    site.counts("certificates_loaded_total", 1).await;
    assert!(kept(&site, &second).await);
    assert!(!kept(&site, &first).await, "the old certificate is still shown");

    std::fs::write(&files.files.cert_file, "half of a certifi").expect("a file");
    site.counts("certificates_refused_total", 1).await;
    assert!(kept(&site, &second).await);
    following.abort();
}

#[tokio::test]
async fn a_key_of_another_certificate_is_refused() {
    let files = Files::new("pair");
    files.renew();
    let key = std::fs::read(&files.files.key_file).expect("a key");
    files.renew();
    std::fs::write(&files.files.key_file, key).expect("a file");
    assert!(matches!(Tls::load(&files.files), Err(TlsError::Unusable(_))));
    std::fs::remove_file(&files.files.key_file).expect("it was there");
    assert!(matches!(Tls::load(&files.files), Err(TlsError::Unreadable(..))));
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_cut() {
    let files = Files::new("handshake");
    files.renew();
    let limits = Limits { handshake: Duration::from_millis(100), ..Limits::default() };
    let tls = Some(Tls::load(&files.files).expect("a pair"));
    let site = Site::open(Plan { tls, limits, ..Plan::default() }).await;
    let mut silent = site.client().await;
    assert!(silent.is_closed_within(Duration::from_secs(3)).await);
    site.counts("slow_clients_total{phase=\"handshake\"}", 1).await;
    let mut plain = site.client().await;
    plain.send(b"POST /tts HTTP/1.1\r\nhost: door\r\n\r\n").await;
    site.counts("handshakes_failed_total", 1).await;
}
