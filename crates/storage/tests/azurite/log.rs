//! What is logged, by us and by Microsoft's crates, at the finest level.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use queue::blobs::Blobs;
use storage::Container;
use tracing_subscriber::fmt::MakeWriter;

use crate::emulator::{Emulator, KEY, means};
use crate::rights::sas;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self::Writer {
        self.clone()
    }
}

#[tokio::test]
async fn no_level_of_the_log_shows_what_opens_an_account() {
    let azurite = Emulator::start().await;
    azurite.container("logged").await;
    let sas = sas("rwdl");
    let lines = Lines::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(lines.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    for who in [format!("AccountKey={KEY}"), format!("SharedAccessSignature={sas}")] {
        let container = Container::new(&azurite.account(&who), "logged", &means()).unwrap();
        container.put_new("seen", Bytes::from_static(b"canary-of-a-body")).await.result.unwrap();
        container.get("seen").await.result.unwrap();
        container.list("", None).await.result.unwrap();
    }
    drop(guard);
    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("sending request"), "they do log: {log}");
    let (_, signature) = sas.split_once("sig=").unwrap();
    let bare = KEY.trim_end_matches('=');
    for canary in [bare, signature, "SharedKey ", "canary-of-a-body", &STANDARD.encode("canary-of-a-body")] {
        assert!(!log.contains(canary), "{canary}: {log}");
    }
}
