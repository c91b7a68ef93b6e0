//! Promise: SIGTERM under load ends the bridge soon, with nothing lost and nothing sent twice; a restart goes on.

use std::sync::Arc;
use std::time::Duration;

use crate::network::{Campaign, seed};
use crate::oracle::Obligations;
use crate::processes::until;
use crate::site::Site;

const DEVICES: u32 = 50;
const UPLINKS: u32 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_loses_and_repeats_nothing() {
    seed();
    let mut site = Site::start("drain").await;
    let obligations = Arc::new(Obligations::default());
    let posting = Campaign::new(site.ports.webhook, DEVICES, UPLINKS).start(&obligations);
    until("half is answered", Duration::from_secs(60), async || {
        (posting.acked() >= DEVICES * UPLINKS / 2).then_some(())
    })
    .await;
    site.bridge().signal("TERM");
    let begin = tokio::time::Instant::now();
    let status = site.bridge().exit_within(Duration::from_secs(10)).await;
    println!("ended with {status} after {:?}, {} answered", begin.elapsed(), posting.acked());
    assert!(status.success(), "a drain ends with 0, not with {status}");

    site.start_bridge().await;
    posting.finish().await;
    let verdict = site.settled(&obligations, Duration::from_secs(60)).await;
    println!("{verdict}");
    assert_eq!(verdict.acked, (DEVICES * UPLINKS) as usize);
    verdict.holds(0);
}
