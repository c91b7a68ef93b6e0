//! Promise: a door and workers in processes of their own share a queue in a storage account: each uplink arrives once, those of a device in order.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::network::{Campaign, seed};
use crate::oracle::Obligations;
use crate::replicas::{arrived, door, worker};
use crate::site::Site;

const DEVICES: u32 = 5;
const UPLINKS: u32 = 4;

/// Each device's next ones.
async fn post(site: &Site, first: u32, obligations: &Arc<Obligations>) {
    let campaign = Campaign { first, ..Campaign::new(site.ports.webhook, DEVICES, UPLINKS) };
    campaign.start(obligations).finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_process_accepts_another_delivers() {
    seed();
    let (site, _azurite) = door("shared-queue").await;
    let obligations = Arc::new(Obligations::default());
    post(&site, 1, &obligations).await;
    assert!(site.record().lines().is_empty(), "a door sends nothing");
    let mut worker = worker(&site, "worker").process;
    let verdict = arrived(&site, &mut worker, &obligations).await;
    assert_eq!(verdict.acked, (DEVICES * UPLINKS) as usize);
    verdict.holds(0);
    worker.signal("TERM");
    let status = worker.exit_within(Duration::from_secs(15)).await;
    assert!(status.success(), "a worker gives its partitions away and ends with 0, not with {status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_worker_takes_over_from_one_that_was_killed() {
    seed();
    let (site, _azurite) = door("shared-queue-kill").await;
    let obligations = Arc::new(Obligations::default());
    post(&site, 1, &obligations).await;
    let mut killed = worker(&site, "killed").process;
    arrived(&site, &mut killed, &obligations).await.holds(0);
    let mut other = worker(&site, "other").process;
    killed.kill();
    let since = Instant::now();
    post(&site, 1 + UPLINKS, &obligations).await;
    let verdict = arrived(&site, &mut other, &obligations).await;
    println!("all had arrived {:?} after the kill", since.elapsed());
    assert_eq!(verdict.acked, (2 * DEVICES * UPLINKS) as usize);
    // What had arrived and was not yet written down as settled, one a device.
    verdict.holds(DEVICES as usize);
}
