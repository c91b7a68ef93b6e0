//! What Microsoft's crates log, everything, at the finest level: no secret, no token, no client secret. The binary shows
//! none of it; this is for whoever turns it on.

use std::io::Write;
use std::sync::Mutex;

use super::*;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn nothing_secret_is_logged_at_any_level() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let site = Site::start("log").await;
    let vaults = site.known();
    assert!(one(&vaults, reference("webhook-key")).await.is_ok());
    assert!(one(&vaults, reference("none")).await.is_err());
    assert!(one(&site.vaults(None, &[]), reference("webhook-key")).await.is_ok());
    let env = [SERVICE_PRINCIPAL[0], SERVICE_PRINCIPAL[1], ("AZURE_CLIENT_SECRET", "canary-wrong")];
    assert!(one(&site.vaults(None, &env), reference("webhook-key")).await.is_err());
    let file = site.dir.join("token");
    std::fs::write(&file, ASSERTION).unwrap();
    let env = [
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_CLIENT_ID", CLIENT),
        ("AZURE_FEDERATED_TOKEN_FILE", file.to_str().unwrap()),
    ];
    assert!(one(&site.vaults(None, &env), reference("webhook-key")).await.is_ok());
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let (lines, targets) = (text.lines().count(), ["typespec_client_core", "azure_identity"]);
    assert!(lines > 20 && targets.iter().all(|target| text.contains(target)), "there is a log to search: {text}");
    let canaries: Vec<_> = text.lines().filter(|line| line.contains("canary")).collect();
    assert!(canaries.is_empty(), "{canaries:#?}");
}
