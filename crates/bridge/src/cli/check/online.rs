//! What can only be known by asking: whether the key vaults give their secrets, whether each target answers with a certificate that we trust, whether the queue's
//! directory takes a file and its account lets us read, whether the addresses are free. Sends no telemetry and registers nothing.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use azure::net::{Dial, Endpoint, Tls};

use super::{Finding, Grade};
use crate::cli::run::chain;
use crate::cli::settings;
use crate::cli::vaults::Keeper;
use crate::config::read::vaults::Vaults;
use crate::config::{Config, Mistake, Read, StorageQueue, TargetKind};
use crate::shared_queue;
use crate::world::SystemClock;

/// Name, TCP and TLS of one target.
const REACH_WITHIN: Duration = Duration::from_secs(10);

pub(super) async fn findings(file: &Path) -> Vec<Finding> {
    let mut keeper = Keeper::default();
    keeper.look(file, true, None).await;
    let Read { config, warnings, vault_secrets } = match settings::load(file, Vaults::Fetched(&keeper.known)) {
        Ok(read) => read,
        Err(mistakes) => return Finding::all(Grade::Mistake, mistakes),
    };
    let mut findings = Finding::all(Grade::Warning, warnings);
    findings.extend(vault_secrets.iter().map(|(key, secret)| fine(key, format!("{secret} is there and can be used"))));
    findings.extend(super::doubtful_names(&config));
    findings.extend(places(&config).await);
    findings
}

async fn places(config: &Config) -> Vec<Finding> {
    let mut findings = vec![
        queue(&config.queue.dir),
        address("webhook.listen", config.webhook.listen),
        address("admin.listen", config.admin.listen),
    ];
    match Tls::new(config.azure.ca_file.as_deref()) {
        Ok(tls) => {
            if let Some(webhook) = &config.alarms.webhook {
                findings.push(reach(&tls, "alarms.webhook".to_owned(), &webhook.endpoint).await);
            }
            if let Some(storage) = config.queue.kind.storage() {
                findings.push(account(storage, Arc::new(tls.clone())).await);
            }
            for (name, target) in &config.targets {
                let hub = |host: &str| {
                    let endpoint = Endpoint { host: host.to_owned(), port: config.azure.hub_port() };
                    (format!("targets.{name}.connection_string"), endpoint)
                };
                let (key, endpoint) = match &target.kind {
                    TargetKind::Dps(dps) => (format!("targets.{name}.endpoint"), dps.endpoint.clone()),
                    TargetKind::Device(device) => hub(&device.host),
                    TargetKind::Policy(policy) => hub(&policy.host),
                };
                findings.push(reach(&tls, key, &endpoint).await);
            }
        }
        Err(e) => findings.push(failure("azure.ca_file", chain(&e), "name a PEM file with the certificates to trust")),
    }
    findings
}

async fn reach(tls: &Tls, key: String, endpoint: &Endpoint) -> Finding {
    match tokio::time::timeout(REACH_WITHIN, tls.dial(endpoint)).await {
        Ok(Ok(_)) => fine(&key, format!("{endpoint} answers, with a certificate that is trusted")),
        Ok(Err(e)) => failure(&key, format!("{endpoint} cannot be reached: {}", chain(&e)), mend(&e)),
        Err(_) => failure(&key, format!("{endpoint} does not answer within {} s", REACH_WITHIN.as_secs()), FIREWALL),
    }
}

const FIREWALL: &str = "check the name, and that a firewall lets this port out";

fn mend(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::InvalidData => "check the name; for a simulator or a proxy set azure.ca_file to its certificate",
        _ => FIREWALL,
    }
}

/// What makes it is `run`.
async fn account(storage: &StorageQueue, tls: Arc<dyn Dial>) -> Finding {
    const KEY: &str = "queue.container";
    let container = &storage.container;
    match shared_queue::is_there(storage, Arc::new(SystemClock), tls, settings::environment()).await {
        Ok(true) => fine(KEY, format!("`{container}` is there and can be read")),
        Ok(false) => Finding {
            grade: Grade::Warning,
            what: what(
                KEY,
                format!("`{container}` is not there"),
                "no trouble if we may make containers: `run` makes it",
            ),
        },
        Err(text) => {
            let (cause, mend) = text.split_once("; ").unwrap_or((&text, FIREWALL));
            failure(KEY, cause.to_owned(), mend)
        }
    }
}

fn queue(dir: &Path) -> Finding {
    const KEY: &str = "queue.dir";
    match try_writing(dir) {
        Ok(()) => fine(KEY, format!("{} takes a file", dir.display())),
        Err(e) => {
            let mend = "give the directory to the user that runs this program, or choose another";
            failure(KEY, format!("{} cannot be written: {e}", dir.display()), mend)
        }
    }
}

fn try_writing(dir: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?; // as the queue makes it
    let probe = dir.join(format!("check-{}", std::process::id()));
    let mut file = std::fs::File::create_new(&probe)?;
    let written = file.write_all(b"longhaul check\n").and_then(|()| file.sync_all());
    std::fs::remove_file(&probe)?;
    written
}

fn address(key: &'static str, address: SocketAddr) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => fine(key, format!("{address} is free")),
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => Finding {
            grade: Grade::Warning,
            what: what(key, format!("{address} is in use"), "no trouble if that is the bridge itself, running"),
        },
        Err(e) => failure(key, format!("{address} cannot be listened on: {e}"), "choose an address of this machine"),
    }
}

fn fine(key: &str, cause: String) -> Finding {
    Finding { grade: Grade::Fine, what: what(key, cause, "") }
}

fn failure(key: &str, cause: String, mend: &str) -> Finding {
    Finding { grade: Grade::Failure, what: what(key, cause, mend) }
}

fn what(key: &str, cause: String, mend: &str) -> Mistake {
    Mistake { key: key.to_owned(), place: None, cause, mend: mend.to_owned() }
}
