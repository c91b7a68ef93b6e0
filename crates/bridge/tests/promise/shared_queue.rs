//! Promise: a door and workers in processes of their own share a queue in a storage account: each uplink arrives once, those of a device in order.

use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::azurite::Azurite;
use crate::network::{Campaign, seed};
use crate::oracle::{Obligations, Verdict};
use crate::processes::{LONGHAUL, Process, until};
use crate::settings::Settings;
use crate::site::Site;

const DEVICES: u32 = 5;
const UPLINKS: u32 = 4;
/// A worker takes partitions every 3 s, commits twice a second, and a new device registers first.
const ARRIVED_WITHIN: Duration = Duration::from_secs(90);

const QUEUE: &str =
    "kind = \"azure-storage\"\nconnection_string = { env = \"STORAGE\" }\ncontainer = \"shared-queue\"\n";

/// A door that runs, and the account behind it.
async fn door(name: &str) -> (Site, Azurite) {
    seed();
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

/// On an admin port and in a directory of its own.
pub(crate) fn worker(site: &Site, name: &'static str) -> Process {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port is free");
    let text = std::fs::read_to_string(site.config()).expect("it was written");
    let text = text.replace(&format!("listen = \"127.0.0.1:{}\"", site.ports.admin), &format!("listen = \"{free}\""));
    let text = text.replace("dir = \"data\"", &format!("dir = \"data-{name}\""));
    let file = format!("{name}.toml");
    std::fs::write(site.dir.join(&file), text).expect("there is room");
    let mut command = Command::new(LONGHAUL);
    command.args(["run", "--config", &file, "--role", "worker"]).env("GROUP_KEY", site.group_key());
    command.envs(site.env.iter().map(|(name, value)| (name, value)));
    Process::start(name, &site.dir, &mut command)
}

/// Each device's next ones.
async fn post(site: &Site, first: u32, obligations: &Arc<Obligations>) {
    let campaign = Campaign { first, ..Campaign::new(site.ports.webhook, DEVICES, UPLINKS) };
    campaign.start(obligations).finish().await;
}

/// Waits until all that is owed has arrived, and judges.
async fn arrived(site: &Site, worker: &mut Process, obligations: &Obligations) -> Verdict {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_process_accepts_another_delivers() {
    let (site, _azurite) = door("shared-queue").await;
    let obligations = Arc::new(Obligations::default());
    post(&site, 1, &obligations).await;
    assert!(site.record().lines().is_empty(), "a door sends nothing");
    let mut worker = worker(&site, "worker");
    let verdict = arrived(&site, &mut worker, &obligations).await;
    assert_eq!(verdict.acked, (DEVICES * UPLINKS) as usize);
    verdict.holds(0);
    worker.signal("TERM");
    let status = worker.exit_within(Duration::from_secs(15)).await;
    assert!(status.success(), "a worker gives its partitions away and ends with 0, not with {status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_worker_takes_over_from_one_that_was_killed() {
    let (site, _azurite) = door("shared-queue-kill").await;
    let obligations = Arc::new(Obligations::default());
    post(&site, 1, &obligations).await;
    let mut killed = worker(&site, "killed");
    arrived(&site, &mut killed, &obligations).await.holds(0);
    let mut other = worker(&site, "other");
    killed.kill();
    let since = Instant::now();
    post(&site, 1 + UPLINKS, &obligations).await;
    let verdict = arrived(&site, &mut other, &obligations).await;
    println!("all had arrived {:?} after the kill", since.elapsed());
    assert_eq!(verdict.acked, (2 * DEVICES * UPLINKS) as usize);
    // What had arrived and was not yet written down as settled, one a device.
    verdict.holds(DEVICES as usize);
}
