//! One seed, one story: whatever goes wrong in it, nothing is left to chance, to the machine or to the order of a map.

use crate::cloud::{DPS, HUB, Line};
use crate::dps::Verdict;
use crate::hub::Say;
use crate::site::{MINUTE, Site};

const DEVICES: usize = 30;

/// Two lives with an outage, refusals, a drain in the middle of everything and a kill. All that the hub and DPS saw, with
/// the time.
fn story(seed: u64) -> Vec<String> {
    let mut site = Site::new(seed);
    let device = |number: usize| format!("dev-{number:02}");
    site.live(async |life| {
        for number in 0..DEVICES {
            life.uplinks("app", &device(number), 1..=2).await;
        }
        {
            let mut state = life.cloud.state();
            state.dps.devices.insert(device(3), Verdict::Status(401));
            state.hub.devices.insert(device(4), Say::Status(500));
            state.hub.devices.insert(device(5), Say::Status(429));
            state.hub.devices.insert(device(6), Say::Disabled);
            state.hub.devices.insert(device(7), Say::YesUnheard);
        }
        life.rest(60).await;
        life.cloud.set_line(HUB, Line::Refused);
        for number in 0..DEVICES {
            life.uplinks("app", &device(number), 3..=3).await;
        }
        life.rest(600).await;
        life.cloud.set_line(HUB, Line::Silent);
        life.rest(300).await;
        life.cloud.set_line(HUB, Line::Up);
        tokio::time::sleep(std::time::Duration::from_millis(1_030)).await;
        life.drain().await;
    });
    site.cloud.set_line(DPS, Line::Refused);
    site.live(async |life| {
        life.rest(30).await;
        life.cloud.set_line(DPS, Line::Up);
        {
            let mut state = life.cloud.state();
            state.dps.devices.clear();
            state.hub.devices.clear();
        }
        life.until_empty(120 * MINUTE).await;
    });
    let state = site.cloud.state();
    let asked = state.dps.registrations.iter().map(|registration| format!("{registration:?}"));
    asked.chain(state.hub.attempts.iter().map(|attempt| format!("{attempt:?}"))).collect()
}

#[test]
fn the_same_seed_tells_the_same_story_event_by_event() {
    let (first, again) = (story(71), story(71));
    let differs = first.iter().zip(&again).find(|(one, other)| one != other);
    assert_eq!(differs, None);
    assert_eq!(first.len(), again.len());
    assert!(first.len() > 4 * DEVICES, "{} events: a story in which little happens", first.len());
    assert_ne!(first, story(72), "and another seed another one");
}
