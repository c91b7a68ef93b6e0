//! Promise: a changed configuration is taken while running, whole or not at all, and nobody notices it at the door.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::http;
use crate::network::{Campaign, seed};
use crate::oracle::Obligations;
use crate::processes::until;
use crate::settings::{Settings, main_target};
use crate::site::Site;
use crate::uplinks;

const RELOADS: usize = 1000;
const DEVICES: u32 = 50;
/// Between two uplinks of a device: 250 a second in all.
const PACE: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(30);

/// A counter of the bridge without labels.
async fn counter(site: &Site, name: &str) -> usize {
    let text = site.admin("/metrics").await.text();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// Takes what stands in the file now, and returns when it was looked at.
async fn hang_up(site: &mut Site, taken: &mut usize) {
    site.write_config();
    site.bridge().signal("HUP");
    *taken = until("the configuration is taken", PATIENCE, async || {
        Some(counter(site, "longhaul_config_reloaded_total").await).filter(|now| now > taken)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_reloads_under_load_refuse_nobody_and_lose_nothing() {
    seed();
    let mut site = Site::start("reloads").await;
    let id_scope = site.azure["id_scope"].as_str().expect("the simulator says it").to_owned();
    let main = main_target(site.ports.https, &id_scope);
    // The route of the one leads to a target that the other does not have.
    let one = format!("{main}[[routes]]\ntarget = \"main\"\n");
    let other = format!(
        "{}[[routes]]\napplication = \"nobody\"\ndrop = true\n[[routes]]\ntarget = \"other\"\n",
        main.replace("targets.main", "targets.other")
    );
    let obligations = Arc::new(Obligations::default());
    let campaign = Campaign { pace: Some(PACE), insist: false, ..Campaign::new(site.ports.webhook, DEVICES, 150) };
    let posting = campaign.start(&obligations);
    let begin = Instant::now();
    let mut taken = 0;
    for nth in 0..RELOADS {
        site.settings.targets = Some(if nth % 2 == 0 { other.clone() } else { one.clone() });
        hang_up(&mut site, &mut taken).await;
    }
    let took = begin.elapsed();
    let answers = posting.finish().await;
    let refused = answers.iter().filter(|answer| answer.status != Some(202)).count();
    println!("{RELOADS} reloads in {took:?}, {} posts in the meantime, {refused} refused", answers.len());
    assert_eq!(refused, 0);
    let verdict = site.settled(&obligations, PATIENCE).await;
    println!("{verdict}");
    verdict.holds(0);
    assert!(site.dead_letters().await.is_empty(), "none met half a configuration");
    assert_eq!(counter(&site, "longhaul_config_reload_refused_total").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_file_is_taken_by_itself_and_a_wrong_one_is_not() {
    let settings = Settings { keys: vec!["\"first-key-0001\"".to_owned()], ..Settings::default() };
    let mut site = Site::start_with("reload-file", settings).await;
    let port = site.ports.webhook;
    let status = async |key: &str, nth: u32| {
        let body = uplinks::tts("building", "dev", nth);
        http::post(port, "/tts", &[("x-api-key", key)], &body).await.expect("the door answers").status
    };
    assert_eq!((status("first-key-0001", 1).await, status("second-key-0002", 2).await), (202, 401));
    // Both are good while one replaces the other.
    site.settings.keys.push("\"second-key-0002\"".to_owned());
    site.write_config();
    let taken = async || Some(()).filter(|()| site.bridge.as_ref().is_some_and(|b| b.stderr().contains("reloaded")));
    until("the change is seen", PATIENCE, taken).await;
    assert_eq!((status("first-key-0001", 3).await, status("second-key-0002", 4).await), (202, 202));

    let good = std::fs::read_to_string(site.config()).expect("it is there");
    let wrong = [
        (good.replace("target = \"main\"", "target = \"mian\""), "there is no target `mian`"),
        (good.replace("dir = \"data\"", "dir = \"elsewhere\""), "queue.dir"),
    ];
    for (text, says) in wrong {
        std::fs::write(site.config(), text).expect("it can be written");
        let told = async || Some(()).filter(|()| site.bridge.as_ref().is_some_and(|b| b.stderr().contains(says)));
        until("the refusal is told", PATIENCE, told).await;
        assert_eq!(status("second-key-0002", 5).await, 202, "and the one before stays in use");
    }
    assert_eq!(counter(&site, "longhaul_config_reload_refused_total").await, 2, "each is told once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_key_that_was_mended_is_tried_at_once() {
    let mut site = Site::empty("reload-key");
    site.start_simulator().await;
    let id_scope = site.azure["id_scope"].as_str().expect("the simulator says it").to_owned();
    let target = main_target(site.ports.https, &id_scope).replace("env = \"GROUP_KEY\"", "file = \"group.key\"");
    site.settings.targets = Some(format!("{target}[[routes]]\ntarget = \"main\"\n"));
    let key = site.dir.join("group.key");
    std::fs::write(&key, format!("{}==\n", "A".repeat(86))).expect("it can be written");
    site.start_bridge().await;
    assert_eq!(site.post("/tts", &uplinks::tts("building", "dev", 1)).await.status, 202);
    let refused =
        async || Some(()).filter(|()| site.bridge.as_ref().is_some_and(|b| b.stderr().contains("dps.refused")));
    until("the wrong key is refused", PATIENCE, refused).await;
    std::fs::write(&key, site.group_key()).expect("it can be written");
    site.drained(PATIENCE).await;
    assert_eq!(site.record().lines().len(), 1, "within seconds, not in five minutes");
}
