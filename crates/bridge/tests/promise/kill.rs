//! Promise: what was answered 2xx survives `kill -9` of the bridge, in order, and only what was under way comes twice.

use std::sync::Arc;
use std::time::Duration;

use crate::network::{Campaign, is_long, seed};
use crate::oracle::Obligations;
use crate::processes::until;
use crate::site::Site;

const KILLS: u32 = 10;
const DEVICES: u32 = 100;
/// After the last kill everything has to be through within this.
const DRAIN: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acked_uplinks_survive_kill_9() {
    let random = fastrand::Rng::with_seed(seed());
    // 20 000 uplinks with ten kills among them; the full campaign has 20 000 for each kill.
    let per_kill = if is_long() { 20_000 } else { 2_000 };
    let mut site = Site::start("kill").await;
    let obligations = Arc::new(Obligations::default());
    let mut random = random;
    for round in 0..KILLS {
        let campaign = Campaign {
            first: 1 + round * per_kill / DEVICES,
            ..Campaign::new(site.ports.webhook, DEVICES, per_kill / DEVICES)
        };
        let posting = campaign.start(&obligations);
        // Never so late that all is answered: then nothing would be under way.
        let moment = random.u32(per_kill / 10..per_kill * 9 / 10);
        until("enough is answered for the kill", Duration::from_secs(120), async || {
            (posting.acked() >= moment).then_some(())
        })
        .await;
        site.bridge().kill();
        println!("round {round}: killed after {} of {per_kill} answers", posting.acked());
        site.start_bridge().await;
        posting.finish().await;
    }
    let verdict = site.settled(&obligations, DRAIN).await;
    println!("{verdict}");
    assert_eq!(verdict.acked, (KILLS * per_kill) as usize, "every device gets its answers in the end");
    // One unsettled message a device at most, at each kill.
    verdict.holds((KILLS * DEVICES) as usize);
}
