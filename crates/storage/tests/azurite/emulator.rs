//! Azurite on ports that it chooses itself, with everything in memory, for as long as this lives.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use azure::net::{Dial, Dialing, Endpoint};
use microsoft::Plain;
use queue::blobs::Blobs as _;
use storage::{Account, Container, Means};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// Its account, and the key that every copy of it has.
pub(crate) const NAME: &str = "devstoreaccount1";
pub(crate) const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// A cold start on a busy machine takes some seconds.
const START_MAX: Duration = Duration::from_secs(60);
const READY: &str = "service is successfully listening at ";

pub(crate) struct Emulator {
    pub(crate) blobs: String,
    pub(crate) queues: String,
    child: Child,
    /// Held, so that it can go on telling.
    _told: Lines<BufReader<ChildStdout>>,
}

impl Emulator {
    pub(crate) async fn start() -> Self {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/azurite");
        let read = |file: &str| std::fs::read(dir.join(file)).ok();
        let is_there =
            read("node_modules/.installed").is_some_and(|installed| Some(installed) == read("package-lock.json"));
        assert!(
            is_there,
            "NOT PROVED: Azurite is missing or not as package-lock.json says: run {}/install",
            dir.display()
        );
        let mut child = Command::new("node")
            .arg(dir.join("node_modules/azurite/dist/src/azurite.js"))
            .args(["--silent", "--disableTelemetry", "--skipApiVersionCheck", "--inMemoryPersistence"])
            .args(["--blobPort", "0", "--queuePort", "0", "--tablePort", "0"])
            .current_dir(env!("CARGO_TARGET_TMPDIR"))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("NOT PROVED: cannot run node: {error}"));
        let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut places = Vec::new();
        let starting = async {
            while places.len() < 3 {
                let line = told.next_line().await.unwrap().expect("Azurite ended");
                places.extend(line.split_once(READY).map(|(_, place)| place.to_owned()));
            }
        };
        tokio::time::timeout(START_MAX, starting).await.expect("Azurite did not start in time");
        Self { blobs: format!("{}/{NAME}", places[0]), queues: format!("{}/{NAME}", places[1]), child, _told: told }
    }

    /// As whoever this part of a connection string says.
    pub(crate) fn account(&self, who: &str) -> Account {
        let Self { blobs, queues, .. } = self;
        let text = format!("AccountName={NAME};BlobEndpoint={blobs};QueueEndpoint={queues};{who}");
        Account::from_connection_string(&text).unwrap()
    }

    /// As the owner of its key.
    pub(crate) fn owner(&self) -> Account {
        self.account(&format!("AccountKey={KEY}"))
    }

    /// A new container, by its owner.
    pub(crate) async fn container(&self, name: &str) -> Container {
        let container = Container::new(&self.owner(), name, &means()).unwrap();
        assert!(container.create().await.result.unwrap());
        assert!(container.list("", None).await.result.unwrap().blobs.is_empty());
        container
    }

    /// Nobody is there any more.
    pub(crate) async fn stop(&mut self) {
        self.child.kill().await.unwrap();
    }
}

/// Over TLS is nobody.
#[derive(Debug)]
struct Nobody;

impl Dial for Nobody {
    fn dial(&self, _: &Endpoint) -> Dialing {
        Box::pin(async { Err(std::io::ErrorKind::ConnectionRefused.into()) })
    }
}

#[expect(clippy::disallowed_methods, reason = "requests are signed with the time")]
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

pub(crate) fn means() -> Means {
    Means { secure: Arc::new(Nobody), plain: Arc::new(Plain), clock: Arc::new(now), env: Vec::new() }
}
