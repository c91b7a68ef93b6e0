//! Promise: `devices provision` brings a list of devices to Azure before their first uplink, goes on over a restart of the
//! bridge, and says of each device what came of it.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::processes::{LONGHAUL, Process, run, until};
use crate::site::Site;
use crate::uplinks;

const DEVICES: usize = 500;
const PATIENCE: Duration = Duration::from_secs(60);

fn list(devices: std::ops::Range<usize>) -> String {
    devices.fold("device_id;application\n".to_owned(), |list, i| format!("{list}new-{i:04};building\n"))
}

fn lines(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
}

async fn registrations(site: &Site) -> usize {
    site.azure_state().await["counts"]["registrations"].as_object().map_or(0, serde_json::Map::len)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_devices_is_there_before_their_first_uplink_also_over_a_restart() {
    let mut site = Site::empty("ahead");
    site.dps_retry_after_s = 3;
    site.start_simulator().await;
    site.start_bridge().await;
    std::fs::write(site.dir.join("devices.csv"), list(0..DEVICES)).expect("it can be written");
    let mut command = Command::new(LONGHAUL);
    command.args(["devices", "provision", "devices.csv", "--json"]);
    let mut provision = Process::start("provision", &site.dir, &mut command);
    until("some have begun", PATIENCE, async || (registrations(&site).await >= 100).then_some(())).await;
    site.bridge().kill();
    site.start_bridge().await;
    let status = provision.exit_within(PATIENCE).await;
    assert_eq!(status.code(), Some(0), "{}", provision.stderr());
    let ended = lines(&provision.stdout());
    assert_eq!(ended.len(), DEVICES, "each once");
    assert!(ended.iter().all(|line| line["state"] == "assigned" && line["device_id"] == line["device"]), "{ended:?}");
    println!("{}", provision.stderr());

    let counts = site.azure_state().await["counts"].clone();
    let times: u64 = counts["registrations"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum();
    assert!(times <= (DEVICES as u64 * 101).div_ceil(100), "{times} registrations");
    // A second time there is nothing to do, and the first uplink of a device asks nobody.
    let (code, stdout, stderr) = run(&site.dir, &["devices", "provision", "devices.csv"], PATIENCE).await;
    assert_eq!((code, stdout.as_str()), (0, ""), "{stderr}");
    assert!(stderr.contains("500 of 500 devices are there, 0 refused"), "{stderr}");
    assert_eq!(site.post("/tts", &uplinks::tts("building", "new-0007", 1)).await.status, 202);
    site.drained(PATIENCE).await;
    assert_eq!(site.azure_state().await["counts"]["dps_calls"], counts["dps_calls"]);
    assert_eq!(site.record().lines().len(), 1);
}

#[tokio::test]
async fn a_list_on_standard_input_ends_with_who_is_there_and_who_is_refused() {
    let mut site = Site::start("ahead-stdin").await;
    // The name belongs to a device of another application since it first sent.
    assert_eq!(site.post("/tts", &uplinks::tts("vehicles", "new-0001", 1)).await.status, 202);
    site.drained(PATIENCE).await;
    let list = site.dir.join("list.csv");
    std::fs::write(&list, "id,dev_eui\nnew-0000,70B3D57ED0001234\nnew-0001,\nNEW-0002,\n").expect("it can be written");
    let mut command = Command::new(LONGHAUL);
    command.args(["devices", "provision", "-", "--application", "building", "--json"]);
    let stdin = Stdio::from(std::fs::File::open(&list).expect("it was written"));
    let mut provision = Process::start_with("provision", &site.dir, &mut command, stdin);
    let status = provision.exit_within(PATIENCE).await;
    assert_eq!(status.code(), Some(1), "not all are there: {}", provision.stderr());
    let mut ended = lines(&provision.stdout());
    ended.sort_by_key(|line| line["device"].to_string());
    let states: Vec<_> = ended.iter().map(|line| (line["state"].as_str(), line["reason"].as_str())).collect();
    let refused = |reason| (Some("refused"), Some(reason));
    assert_eq!(states, [refused("bad_registration_id"), (Some("assigned"), None), refused("identity_conflict")]);
    drop(site.bridge.take());
}

#[tokio::test]
async fn a_list_with_a_mistake_is_not_begun_and_a_bridge_that_is_not_there_is_named() {
    let mut site = Site::start("ahead-mistakes").await;
    std::fs::write(site.dir.join("wrong.csv"), "device_id,port\nnew-0000,1\nnew-0001,1000\n")
        .expect("it can be written");
    let arguments = ["devices", "provision", "wrong.csv", "--application", "building"];
    let (code, _, stderr) = run(&site.dir, &arguments, PATIENCE).await;
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("line 3") && stderr.contains("1 to 255"), "{stderr}");
    assert_eq!(registrations(&site).await, 0);
    site.bridge().kill();
    std::fs::write(site.dir.join("good.csv"), list(0..1)).expect("it can be written");
    let (code, _, stderr) = run(&site.dir, &["devices", "provision", "good.csv"], PATIENCE).await;
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains(&site.ports.admin.to_string()), "where it was looked for: {stderr}");
}
