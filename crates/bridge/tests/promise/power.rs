//! Promise: what was answered 2xx survives a power cut, with everything that was not flushed gone.

use std::sync::Arc;
use std::time::Duration;

use disks::Volume;

use crate::network::{Campaign, is_long, seed};
use crate::oracle::Obligations;
use crate::processes::until;
use crate::site::Site;

const DEVICES: u32 = 40;
const PER_CUT: u32 = 240;
/// After the last cut everything has to be through within this.
const DRAIN: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acked_uplinks_survive_a_power_cut() {
    let mut random = fastrand::Rng::with_seed(seed());
    let cuts = if is_long() { 500 } else { 50 };
    let mut site = Site::start_without_bridge("power").await;
    let mut volume = match Volume::new(&site.data(), 128) {
        Ok(volume) => volume,
        Err(why) => return println!("NOT PROVED: {why}"),
    };
    site.start_bridge().await;
    let obligations = Arc::new(Obligations::default());
    for round in 0..cuts {
        let campaign = Campaign {
            first: 1 + round * PER_CUT / DEVICES,
            ..Campaign::new(site.ports.webhook, DEVICES, PER_CUT / DEVICES)
        };
        let posting = campaign.start(&obligations);
        // Never so late that all is answered: then nothing would be under way.
        let moment = random.u32(PER_CUT / 10..PER_CUT * 9 / 10);
        until("enough is answered for the cut", Duration::from_secs(60), async || {
            (posting.acked() >= moment).then_some(())
        })
        .await;
        volume.cut();
        site.bridge().kill();
        volume.back();
        site.start_bridge().await;
        posting.finish().await;
    }
    let verdict = site.settled(&obligations, DRAIN).await;
    println!("{cuts} power cuts: {verdict}");
    assert_eq!(verdict.acked, (cuts * PER_CUT) as usize, "every device gets its answers in the end");
    // One unsettled message a device at most, at each cut.
    verdict.holds((cuts * DEVICES) as usize);
    site.bridge().kill();
}
