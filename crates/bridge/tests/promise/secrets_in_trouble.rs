//! Promise: no secret leaks while things go wrong either. Keys that are refused by DPS and by hubs, a group's other key,
//! policies, reloads that are taken and refused, configurations full of mistakes, commands that fail: with the log at
//! its most talkative, nothing that the processes write, log, show or send repeats one.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::http;
use crate::predecessor::hmac_sha256;
use crate::processes::{run, until};
use crate::secrets::{ADMIN_TOKEN, search, shown, written};
use crate::settings::main_target;
use crate::site::Site;
use crate::uplinks;

const PATIENCE: Duration = Duration::from_secs(30);
const WEBHOOK_KEY: &str = "canary-webhook-key-0101";
const NEW_WEBHOOK_KEY: &str = "canary-webhook-key-0102";
const LIMITED_KEY: &str = "canary-limited-key-0103";
const SEND_KEY: &str = "canary-send-key-0104";
const MISPLACED: &str = "canary-misplaced-0105";

/// A key of the right length that opens nothing.
fn wrong_key(name: &str) -> String {
    STANDARD.encode(format!("{name:-<64}"))
}

/// The first key of the group is refused and the second works; both are refused; a policy; a device's wrong key.
fn targets(site: &Site) -> String {
    let text = |name: &str| site.azure[name].as_str().expect("the simulator says it").to_owned();
    let main = main_target(site.ports.https, &text("id_scope"));
    let own = "group_key = { env = \"GROUP_KEY\" }";
    let both = format!("group_key = \"{}\"\nsecondary_{own}", wrong_key("canary-primary"));
    let none = format!("group_key = \"{}\"", wrong_key("canary-refused"));
    format!(
        "{}{}device_id = \"refused--{{device_id}}\"\n\
         [targets.hub]\nkind = \"iot-hub\"\nconnection_string = \"{}\"\ndevice_id = \"garden--{{device_id}}\"\n\
         [targets.one]\nkind = \"iot-hub\"\nconnection_string = \"HostName={};DeviceId=one;SharedAccessKey={}\"\n\
         [[routes]]\ntarget = \"main\"\n[[routes]]\napplication = \"refused\"\ntarget = \"refused\"\n\
         [[routes]]\napplication = \"garden\"\ntarget = \"hub\"\n[[routes]]\napplication = \"one\"\ntarget = \"one\"\n",
        main.replace(own, &both),
        // As another scope, so that what is learnt of the one's keys says nothing of the other's.
        main.replace(own, &none).replace("targets.main", "targets.refused").replace("0ne", "0nf"),
        text("service_connection_string"),
        text("hub"),
        wrong_key("canary-one")
    )
}

/// Every mistake that comes with a secret in the wrong place.
fn broken() -> String {
    format!(
        "[webhook]\nlisten = \"0.0.0.0:1\"\nkeys = [\"{MISPLACED}\", {{ kee = \"{MISPLACED}\" }}]\n\
         [admin]\ntoken = [\"{MISPLACED}\"]\n\
         [targets.a]\nkind = \"dps\"\nid_scope = \"x\"\ngroup_key = \"{MISPLACED}\"\ngruop_key = \"{MISPLACED}\"\n\
         [targets.b]\nkind = \"iot-hub\"\nconnection_string = \"HostName=h;DeviceId=d;SharedAccessKey={MISPLACED}\"\n\
         [targets.c]\nkind = \"iot-hub\"\nconnection_string = \"{MISPLACED}\"\nAzureIotHubConnectionString = \"{MISPLACED}\"\n\
         [targets.d]\nkind = \"dps\"\ngroup_key = {{ file = \"missing\" }}\nconnection_string = \"{MISPLACED}\"\n"
    )
}

fn canaries(site: &Site) -> Vec<(&'static str, String)> {
    let group = STANDARD.decode(site.group_key()).expect("base64");
    let policy = site.azure["service_connection_string"].as_str().unwrap_or_default().to_owned();
    let policy_key = policy.split("SharedAccessKey=").nth(1).expect("it has a key").to_owned();
    let device = |key: &[u8], id: &str| STANDARD.encode(hmac_sha256(key, id.as_bytes()));
    let refused = STANDARD.decode(wrong_key("canary-refused")).expect("base64");
    let escaped = |key: &str| key.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    vec![
        ("a webhook key", WEBHOOK_KEY.to_owned()),
        ("a webhook key that came with a reload", NEW_WEBHOOK_KEY.to_owned()),
        ("a key of one application", LIMITED_KEY.to_owned()),
        ("the key of `longhaul send`", SEND_KEY.to_owned()),
        ("the admin token", ADMIN_TOKEN.to_owned()),
        ("a secret in the wrong place", MISPLACED.to_owned()),
        ("the primary group key", wrong_key("canary-primary")),
        ("the same, decoded", "canary-primary--".to_owned()),
        ("the secondary group key", site.group_key()),
        ("the same, percent-encoded", escaped(&site.group_key())),
        ("a refused group key", wrong_key("canary-refused")),
        ("a device's key of it", device(&refused, "refused--dev-1")),
        ("a device's key", device(&group, "dev-1")),
        ("the policy's key", policy_key.clone()),
        ("the same, percent-encoded", escaped(&policy_key)),
        ("the connection string's key", wrong_key("canary-one")),
        ("the same, decoded", "canary-one--".to_owned()),
        ("a token", "SharedAccessSignature".to_owned()),
        ("a signature", "sig=".to_owned()),
    ]
}

async fn post(site: &Site, key: &str, application: &str) -> u16 {
    let body = uplinks::tts(application, "dev-1", 1);
    http::post(site.ports.webhook, "/tts", &[("x-api-key", key)], &body).await.expect("the door answers").status
}

/// Takes what stands in the file, and waits until the log says what came of it.
async fn reload(site: &mut Site, says: &str) {
    site.bridge().signal("HUP");
    let bridge = site.bridge.as_ref().expect("it runs");
    until(says, PATIENCE, async || bridge.stderr().contains(says).then_some(())).await;
}

/// What each command says of a broken configuration, a message that is none, a door that is shut and one that refuses.
async fn commands(site: &Site) -> String {
    std::fs::write(site.config(), broken()).expect("it can be written");
    std::fs::write(site.dir.join("message"), format!("{{\"downlink_url\":\"?key={MISPLACED}\"")).expect("the same");
    let url = format!("http://127.0.0.1:{}/tts", site.ports.webhook);
    let with_code = format!("http://127.0.0.1:1/api/UplinkProcessor?code={SEND_KEY}");
    let with_password = format!("http://user:{SEND_KEY}@127.0.0.1:1/tts");
    let mut text = String::new();
    for (arguments, code) in [
        (&["run"][..], 64),
        (&["check"], 64),
        (&["check", "--json"], 64),
        (&["check", "--offline"], 64),
        (&["explain", "message"], 64),
        (&["init"], 1),
        (&["send", "--url", &url, "--key", SEND_KEY, "--count", "2"], 1),
        (&["send", "--url", "http://127.0.0.1:1/tts", "--key", SEND_KEY, "--count", "1"], 1),
        (&["send", "--url", &with_code, "--count", "1"], 1),
        (&["send", "--url", &with_password, "--count", "1"], 2),
        (&["azure-sim", "--setup", "message", "--json"], 64),
    ] {
        let (exit, stdout, stderr) = run(&site.dir, arguments, PATIENCE).await;
        assert_eq!(exit, code, "{arguments:?}: {stdout}{stderr}");
        assert!(!stderr.is_empty() || !stdout.is_empty(), "{arguments:?} says something");
        text.push_str(&stdout);
        text.push_str(&stderr);
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_leaks_when_keys_are_refused_and_configurations_are_wrong() {
    let mut site = Site::empty("secrets-in-trouble");
    site.start_simulator().await;
    // With a key that we do not have.
    let made = http::post(site.ports.page, "/api/devices", &[], br#"["one"]"#).await.expect("the page answers");
    assert_eq!(made.status, 200, "{}", made.text());
    site.settings.keys =
        vec![format!("\"{WEBHOOK_KEY}\""), format!("{{ key = \"{LIMITED_KEY}\", applications = [\"one\"] }}")];
    site.settings.targets = Some(targets(&site));
    site.settings.more.push_str("[log]\nlevel = \"trace\"\n");
    site.env.push(("LONGHAUL__ADMIN__TOKEN".to_owned(), ADMIN_TOKEN.to_owned()));
    site.start_bridge().await;
    for (key, application, status) in
        [(WEBHOOK_KEY, "building", 202), (WEBHOOK_KEY, "garden", 202), (WEBHOOK_KEY, "refused", 202)]
    {
        assert_eq!(post(&site, key, application).await, status);
    }
    assert_eq!((post(&site, LIMITED_KEY, "one").await, post(&site, LIMITED_KEY, "garden").await), (202, 403));
    let bridge = site.bridge.as_ref().expect("it runs");
    for says in
        ["dps.group_key_changed", "dps.refused", "up.retried device=\"one\" cause=\"not delivered (unauthorized)"]
    {
        until(says, PATIENCE, async || bridge.stderr().contains(says).then_some(())).await;
    }
    let mut record = site.record();
    until("the two arrive", PATIENCE, async || (record.lines().len() == 2).then_some(())).await;

    site.settings.keys.push(format!("\"{NEW_WEBHOOK_KEY}\""));
    site.write_config();
    reload(&mut site, "config.reloaded").await;
    assert_eq!(post(&site, NEW_WEBHOOK_KEY, "building").await, 202);
    let commands = commands(&site).await;
    reload(&mut site, "config.reload_refused").await;
    let pages = shown(&site, &[("authorization", &format!("Bearer {ADMIN_TOKEN}"))]).await;

    let cmdline = std::fs::read(format!("/proc/{}/cmdline", site.bridge().id())).expect("it runs");
    let mut places = vec![
        ("what the commands say".to_owned(), commands.into_bytes()),
        ("the pages".to_owned(), pages.into_bytes()),
        ("the command line".to_owned(), cmdline),
    ];
    places.extend(written(&site));
    site.bridge().signal("TERM");
    site.bridge().exit_within(PATIENCE).await;
    places.extend(written(&site));
    let canaries = canaries(&site);
    let bytes: usize = places.iter().map(|(_, content)| content.len()).sum();
    println!("searched {} places, {bytes} bytes, for {} canaries", places.len(), canaries.len());
    search(places, &canaries);
}
