//! Doors and workers in processes of their own, which share a queue in a storage account.

use std::process::Command;
use std::time::Duration;

use crate::azurite::Azurite;
use crate::http;
use crate::oracle::{Obligations, Verdict};
use crate::processes::{LONGHAUL, Process, until};
use crate::settings::Settings;
use crate::site::{Ports, Site, UP_WITHIN};

/// A worker takes partitions every 3 s, commits twice a second, and a new device registers first.
const ARRIVED_WITHIN: Duration = Duration::from_secs(90);

const QUEUE: &str =
    "kind = \"azure-storage\"\nconnection_string = { env = \"STORAGE\" }\ncontainer = \"shared-queue\"\n";

/// One of them.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) process: Process,
    pub(crate) admin: u16,
    /// Of use where it is a door.
    pub(crate) webhook: u16,
}

/// A door that runs, and the account behind it.
pub(crate) async fn door(name: &str) -> (Site, Azurite) {
    let mut site = Site::empty(name);
    let azurite = Azurite::start(&site.dir).await;
    site.settings = Settings { queue: QUEUE.to_owned(), ..Settings::default() };
    site.env = vec![("STORAGE".to_owned(), azurite.connection_string.clone())];
    site.start_simulator().await;
    let mut door = Command::new("sh");
    door.args(["-c", r#"exec "$0" "$@" --role webhook"#, LONGHAUL]);
    site.start_bridge_by(&mut door).await;
    (site, azurite)
}

/// One more door, which takes messages.
pub(crate) async fn another_door(site: &Site, name: &'static str) -> Replica {
    let mut door = start(site, name, "webhook", &[]);
    ready(name, &mut door).await;
    door
}

/// A door that has ended, once more, where it was.
pub(crate) async fn restart(site: &Site, name: &'static str, door: &mut Replica) {
    door.process = run(site, name, "webhook", &[]);
    ready(name, door).await;
}

async fn ready(name: &'static str, door: &mut Replica) {
    until("another door is ready", UP_WITHIN, async || {
        assert!(door.process.exited().is_none(), "{name} ended: {}", door.process.stderr());
        http::get(door.admin, "/readyz").await.ok().filter(|reply| reply.status == 200)
    })
    .await;
}

/// A worker.
pub(crate) fn worker(site: &Site, name: &'static str) -> Replica {
    start(site, name, "worker", &[])
}

/// A worker to whom the account is somewhere else.
pub(crate) fn worker_by(site: &Site, name: &'static str, connection_string: &str) -> Replica {
    start(site, name, "worker", &[("STORAGE", connection_string)])
}

/// On ports and in a directory of its own.
fn start(site: &Site, name: &'static str, role: &str, env: &[(&str, &str)]) -> Replica {
    let Ports { admin, webhook, .. } = Ports::pick();
    let mut text = std::fs::read_to_string(site.config()).expect("it was written");
    for (from, to) in [(site.ports.admin, admin), (site.ports.webhook, webhook)] {
        text = text.replace(&format!("listen = \"127.0.0.1:{from}\""), &format!("listen = \"127.0.0.1:{to}\""));
    }
    let text = text.replace("dir = \"data\"", &format!("dir = \"data-{name}\""));
    std::fs::write(site.dir.join(format!("{name}.toml")), text).expect("there is room");
    Replica { process: run(site, name, role, env), admin, webhook }
}

fn run(site: &Site, name: &'static str, role: &str, env: &[(&str, &str)]) -> Process {
    let mut command = Command::new(LONGHAUL);
    command.args(["run", "--config", &format!("{name}.toml"), "--role", role]).env("GROUP_KEY", site.group_key());
    command.envs(site.env.iter().map(|(name, value)| (name, value))).envs(env.iter().copied());
    Process::start(name, &site.dir, &mut command)
}

/// Waits until all that is owed has arrived, and judges.
pub(crate) async fn arrived(site: &Site, worker: &mut Process, obligations: &Obligations) -> Verdict {
    let mut record = site.record();
    let verdict = until("all have arrived", ARRIVED_WITHIN, async || {
        assert!(worker.exited().is_none(), "the worker ended: {}", worker.stderr());
        let verdict = obligations.judge(record.lines());
        verdict.lost.is_empty().then_some(verdict)
    })
    .await;
    println!("{verdict}");
    verdict
}
