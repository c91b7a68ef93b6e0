//! Promise: a fleet that comes at once attaches no faster than a small hub takes, and loses nothing over it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::network::{Campaign, seed};
use crate::oracle::Obligations;
use crate::settings::Settings;
use crate::site::Site;

const DEVICES: u32 = 400;
/// The default pace, of which a tenth may come at once: 99 in the first second.
const PACE: usize = 90;
/// Between attach and message a busy machine bunches some together.
const PER_SECOND_MAX: usize = PACE * 4 / 3;
/// 400 devices at 90 a second, and as much again for a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_that_comes_at_once_attaches_at_the_pace_of_its_hub() {
    seed();
    let settings = Settings { more: "registrations_per_minute = 0\n".to_owned(), ..Settings::default() };
    let site = Site::start_with("pace", settings).await;
    let obligations = Arc::new(Obligations::default());
    Campaign::new(site.ports.webhook, DEVICES, 2).start(&obligations).finish().await;
    let verdict = site.settled(&obligations, PATIENCE).await;
    println!("{verdict}");
    verdict.holds(0);

    // A device's first message comes right after its attach.
    let mut firsts: BTreeMap<String, jiff::Timestamp> = BTreeMap::new();
    for line in site.record().lines() {
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let at = text("enqueued_at").parse().expect("the record has times");
        firsts.entry(text("device_id")).or_insert(at);
    }
    let mut times: Vec<i64> = firsts.values().map(|at| at.as_millisecond()).collect();
    times.sort_unstable();
    let within = |from: &i64| times.iter().filter(|at| (*from..from + 1000).contains(*at)).count();
    let most = times.iter().map(within).max().unwrap_or_default();
    let took = usize::try_from(times[times.len() - 1] - times[0]).expect("they are sorted");
    println!("{} devices attached in {took} ms, at most {most} in a second", times.len());
    assert_eq!(times.len(), DEVICES as usize);
    assert!(most <= PER_SECOND_MAX, "{most} attached within a second");
    let least = (DEVICES as usize - PACE / 10) * 1000 / PACE;
    assert!(took >= least * 9 / 10, "that was faster than {PACE} a second");
}
