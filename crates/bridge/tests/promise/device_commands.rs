//! Promise: `longhaul devices` shows, mends and derives what a person asks for, from the bridge that runs and without its
//! secrets.

use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde_json::Value;

use crate::http;
use crate::processes::{LONGHAUL, run, run_as, until};
use crate::settings::main_target;
use crate::site::Site;
use crate::uplinks;

const PATIENCE: Duration = Duration::from_secs(30);

/// What a command prints that does what it is asked to.
async fn done(site: &Site, arguments: &[&str]) -> String {
    let (code, stdout, stderr) = run(&site.dir, arguments, PATIENCE).await;
    assert_eq!(code, 0, "{arguments:?}: {stderr}");
    stdout
}

async fn faults(site: &Site, text: &str) {
    let reply = http::post(site.ports.page, "/api/faults", &[], text.as_bytes()).await.expect("it answers");
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_is_listed_shown_and_tried_again_at_once() {
    let site = Site::start("commands").await;
    faults(&site, r#"{"dps":{"refuse":[{"ids":["lame"],"answer":"not_enrolled"}]}}"#).await;
    for device in ["lame", "sound"] {
        assert_eq!(site.post("/tts", &uplinks::tts("building", device, 1)).await.status, 202);
    }
    let state = async |wanted: &str| {
        let lines = done(&site, &["devices", "list", "--json"]).await;
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        lines.iter().any(|line| line["device"] == "lame" && line["state"] == wanted).then_some(())
    };
    until("it is refused", PATIENCE, async || state("held").await).await;
    let list = done(&site, &["devices", "list", "--state", "held"]).await;
    assert!(list.contains("ttn/building/lame") && !list.contains("sound"), "{list}");
    let shown = done(&site, &["devices", "show", "building/lame"]).await;
    for part in ["held", "asked again 20", "(denied)", "main"] {
        assert!(shown.contains(part), "no {part}: {shown}");
    }
    faults(&site, "{}").await;
    assert_eq!(done(&site, &["devices", "retry", "sound"]).await, "nothing of theirs was held\n");
    let begin = Instant::now();
    assert_eq!(done(&site, &["devices", "retry", "lame"]).await, "devices tried again now: 1\n");
    site.drained(Duration::from_secs(5)).await;
    println!("{:?} from the command to an empty queue", begin.elapsed());
    let shown: Value = serde_json::from_str(&done(&site, &["devices", "show", "lame", "--json"]).await).expect("JSON");
    assert_eq!(shown["names"][0]["registration_id"], "lame", "{shown}");
    assert!(shown["last_uplink_at"].is_i64(), "{shown}");

    for (arguments, code, says) in [
        (["devices", "show", "nobody"].as_slice(), 1, "there is no device `nobody`"),
        (&["devices", "retry"], 2, "--all"),
        (&["devices", "list", "--state", "odd"], 2, "attached"),
        (&["devices", "list", "--admin", "localhost"], 2, "HOST:PORT"),
        (&["devices", "list", "--admin", "localhost:1"], 1, "no bridge answers at localhost:1"),
        (&["devices", "list", "--config", "none.toml"], 64, "longhaul init"),
    ] {
        let (found, stdout, stderr) = run(&site.dir, arguments, PATIENCE).await;
        assert_eq!(found, code, "{arguments:?}: {stdout}{stderr}");
        assert!(stderr.contains(says), "{arguments:?}: {stderr}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_devices_of_one_id_none_is_taken_for_the_other() {
    let mut site = Site::empty("commands-two");
    site.start_simulator().await;
    let id_scope = site.azure["id_scope"].as_str().expect("the simulator says it").to_owned();
    let target = main_target(site.ports.https, &id_scope);
    let template = "device_id = \"{application_id}--{device_id}\"\n[[routes]]\ntarget = \"main\"\n";
    site.settings.targets = Some(format!("{target}{template}"));
    site.start_bridge().await;
    for application in ["building", "vehicles"] {
        assert_eq!(site.post("/tts", &uplinks::tts(application, "x", 1)).await.status, 202);
    }
    site.drained(PATIENCE).await;
    let (code, _, stderr) = run(&site.dir, &["devices", "show", "x"], PATIENCE).await;
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("ttn/building/x, ttn/vehicles/x"), "{stderr}");
    let shown = done(&site, &["devices", "show", "vehicles/x"]).await;
    assert!(shown.contains("vehicles--x") && !shown.contains("building"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_derived_on_request_and_is_the_one_that_azure_has() {
    let mut site = Site::empty("commands-key");
    site.start_simulator().await;
    site.write_config();
    let key = async |arguments: &[&str]| {
        let mut command = Command::new(LONGHAUL);
        command.env("GROUP_KEY", site.group_key());
        run_as(command, &site.dir, &[&["devices", "key"], arguments].concat(), PATIENCE).await
    };
    let (code, stdout, stderr) = key(&["building/room-1"]).await;
    assert_eq!(code, 0, "{stderr}");
    let group_key = STANDARD.decode(site.group_key()).expect("base64");
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&group_key).expect("any length");
    mac.update(b"room-1");
    assert_eq!(stdout, format!("{}\n", STANDARD.encode(mac.finalize().into_bytes())), "alone on standard output");
    assert!(stderr.contains("`room-1`") && stderr.contains("targets.main"), "{stderr}");
    let (code, stdout, stderr) = key(&["building/room-1", "--secondary"]).await;
    assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
    assert!(stderr.contains("secondary_group_key"), "{stderr}");
    assert_eq!(key(&["room-1"]).await.0, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_a_terminal_would_obey_is_printed_as_text() {
    let mut site = Site::empty("commands-hostile");
    site.start_simulator().await;
    let id_scope = site.azure["id_scope"].as_str().expect("the simulator says it").to_owned();
    let target = main_target(site.ports.https, &id_scope);
    site.settings.targets = Some(format!("{target}device_id = \"dev-{{dev_eui}}\"\n[[routes]]\ntarget = \"main\"\n"));
    site.env.push(("LONGHAUL__ADMIN__TOKEN".to_owned(), "a-token-of-this-test-0001".to_owned()));
    site.start_bridge().await;
    let body = uplinks::tts("building", r"\u001b[2J\u202e", 1);
    assert_eq!(site.post("/tts", &body).await.status, 202);
    let admin = format!("localhost:{}", site.ports.admin);
    let arguments = ["devices", "list", "--admin", &admin];
    let as_operator = async |token: Option<&str>| {
        let mut command = Command::new(LONGHAUL);
        command.envs(token.map(|token| ("LONGHAUL_ADMIN_TOKEN", token)));
        run_as(command, &site.dir, &arguments, PATIENCE).await
    };
    let (code, _, stderr) = as_operator(None).await;
    assert!(code == 1 && stderr.contains("LONGHAUL_ADMIN_TOKEN"), "{code}: {stderr}");
    let listed = until("it is there", PATIENCE, async || {
        let (code, stdout, stderr) = as_operator(Some("a-token-of-this-test-0001")).await;
        assert_eq!(code, 0, "{stderr}");
        Some(stdout).filter(|stdout| stdout.contains("building"))
    })
    .await;
    assert!(listed.contains(r"\u{1b}[2J\u{202e}"), "{listed}");
    assert!(!listed.contains(['\u{1b}', '\u{202e}']), "{listed:?}");
}
