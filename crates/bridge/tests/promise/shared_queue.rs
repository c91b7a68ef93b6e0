//! Promise: a door and workers in processes of their own share a queue in a storage account: each uplink arrives once, those of a device in order.

use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::azurite::Azurite;
use crate::network::{Campaign, seed};
use crate::oracle::Obligations;
use crate::processes::{LONGHAUL, Process, until};
use crate::settings::Settings;
use crate::site::Site;

const DEVICES: u32 = 5;
const UPLINKS: u32 = 4;
/// A worker takes partitions every 3 s, commits twice a second, and a new device registers first.
const ARRIVED_WITHIN: Duration = Duration::from_secs(90);

const QUEUE: &str =
    "kind = \"azure-storage\"\nconnection_string = { env = \"STORAGE\" }\ncontainer = \"shared-queue\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_process_accepts_another_delivers() {
    seed();
    let mut site = Site::empty("shared-queue");
    let azurite = Azurite::start(&site.dir).await;
    site.settings = Settings { queue: QUEUE.to_owned(), ..Settings::default() };
    site.env = vec![("STORAGE".to_owned(), azurite.connection_string.clone())];
    site.start_simulator().await;
    let mut door = Command::new("sh");
    door.args(["-c", r#"exec "$0" "$@" --role webhook"#, LONGHAUL]);
    site.start_bridge_by(&mut door).await;

    let obligations = Arc::new(Obligations::default());
    Campaign::new(site.ports.webhook, DEVICES, UPLINKS).start(&obligations).finish().await;
    assert!(site.record().lines().is_empty(), "a door sends nothing");

    let mut worker = worker(&site);
    let mut record = site.record();
    until("all have arrived", ARRIVED_WITHIN, async || {
        assert!(worker.exited().is_none(), "the worker ended: {}", worker.stderr());
        (record.lines().len() >= (DEVICES * UPLINKS) as usize).then_some(())
    })
    .await;
    let verdict = obligations.judge(record.lines());
    println!("{verdict}");
    assert_eq!(verdict.acked, (DEVICES * UPLINKS) as usize);
    verdict.holds(0);
    worker.signal("TERM");
    let status = worker.exit_within(Duration::from_secs(15)).await;
    assert!(status.success(), "a worker gives its partitions away and ends with 0, not with {status}");
}

/// In the same directory, on an admin port of its own.
fn worker(site: &Site) -> Process {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port is free");
    let text = std::fs::read_to_string(site.config()).expect("it was written");
    let admin = format!("listen = \"127.0.0.1:{}\"", site.ports.admin);
    std::fs::write(site.dir.join("worker.toml"), text.replace(&admin, &format!("listen = \"{free}\""))).expect("room");
    let mut command = Command::new(LONGHAUL);
    command.args(["run", "--config", "worker.toml", "--role", "worker"]).env("GROUP_KEY", site.group_key());
    command.envs(site.env.iter().map(|(name, value)| (name, value)));
    Process::start("worker", &site.dir, &mut command)
}
