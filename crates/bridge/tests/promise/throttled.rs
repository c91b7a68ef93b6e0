//! Promise: a hub that throttles is learnt from: the backlog drains near its rate, with a refusal now and then.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::http;
use crate::network::{Campaign, seed};
use crate::oracle::Obligations;
use crate::site::Site;

const DEVICES: u32 = 300;
const UPLINKS: u32 = 4;
const PER_SECOND: u32 = 100;
/// At the hub's rate it takes 12 s, and a rest of 1, 2 and 4 s after the first refusals; the rest of it is for a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_drains_near_the_rate_of_a_hub_that_throttles() {
    seed();
    let site = Site::start("throttled").await;
    let faults = format!(r#"{{"hub":{{"throttle":{{"when":{{"above_per_second":{PER_SECOND}}}}}}}}}"#);
    let reply = http::post(site.ports.page, "/api/faults", &[], faults.as_bytes()).await.expect("the page answers");
    assert_eq!(reply.status, 200, "{}", reply.text());

    let obligations = Arc::new(Obligations::default());
    let begun = Instant::now();
    Campaign::new(site.ports.webhook, DEVICES, UPLINKS).start(&obligations).finish().await;
    let verdict = site.settled(&obligations, PATIENCE).await;
    let state = site.azure_state().await;
    let refused = state["counts"]["hub_refused"]["ThrottlingException"].as_u64().unwrap_or_default();
    println!("drained in {:?}, {refused} messages were refused on the way: {verdict}", begun.elapsed());
    verdict.holds(0);
    // Everybody's first message may be on its way when the hub first says no, and some of the second.
    assert!((1..=u64::from(DEVICES) * 2).contains(&refused), "{refused} refusals");
}
