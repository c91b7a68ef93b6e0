//! Azurite, Microsoft's emulator of a storage account, on a port that it chooses itself, with everything in memory.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::processes::{Process, until};

/// Its account, and the key that every copy of it has.
const NAME: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// A cold start on a busy machine takes some seconds.
const START_MAX: Duration = Duration::from_secs(60);

/// It runs as long as this lives.
#[derive(Debug)]
pub(crate) struct Azurite {
    _process: Process,
    /// As the portal would show it, for blobs.
    pub(crate) connection_string: String,
    /// The port of its queues.
    pub(crate) queue_port: u16,
}

impl Azurite {
    pub(crate) async fn start(dir: &Path) -> Self {
        let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../storage/tests/azurite");
        let script = installed.join("node_modules/azurite/dist/src/azurite.js");
        assert!(script.exists(), "NOT PROVED: Azurite is missing: run {}/install", installed.display());
        let mut command = Command::new("node");
        command.arg(script);
        command.args(["--silent", "--disableTelemetry", "--skipApiVersionCheck", "--inMemoryPersistence"]);
        command.args(["--blobPort", "0", "--queuePort", "0", "--tablePort", "0"]);
        let process = Process::start("azurite", dir, &mut command);
        let place = async |service: &str| {
            until("Azurite listens", START_MAX, async || {
                let told = process.stdout();
                let begin = format!("Azurite {service} service is successfully listening");
                let line = told.lines().find(|line| line.starts_with(&begin))?;
                line.rsplit_once(' ').map(|(_, place)| place.to_owned())
            })
            .await
        };
        let (blobs, queues) = (place("Blob").await, place("Queue").await);
        let connection_string = format!("AccountName={NAME};AccountKey={KEY};BlobEndpoint={blobs}/{NAME}");
        let queue_port = queues.rsplit_once(':').and_then(|(_, port)| port.trim_end_matches('/').parse().ok());
        Self { _process: process, connection_string, queue_port: queue_port.expect("an endpoint with a port") }
    }

    /// As the portal would show it, for queues, as somebody sees it to whom they are at this port.
    pub(crate) fn queues_at(&self, port: u16) -> String {
        format!("AccountName={NAME};AccountKey={KEY};QueueEndpoint=http://127.0.0.1:{port}/{NAME}")
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        let place = self.connection_string.rsplit_once(':').and_then(|(_, place)| place.split_once('/'));
        place.and_then(|(port, _)| port.parse().ok()).expect("an endpoint with a port")
    }

    /// As somebody sees it to whom it is elsewhere on this machine.
    pub(crate) fn seen_at(&self, port: u16) -> String {
        self.connection_string.replace(&format!(":{}/", self.port()), &format!(":{port}/"))
    }
}
