//! Promise: `check` names every mistake of a configuration at once, each with its key and its mend, and no secret.

use std::time::Duration;

use crate::processes::run;
use crate::site::Site;

const EIGHT: &str = r#"
[webhook]
listen = "0.0.0.0:8080"                 # 1: beyond loopback without a key
max_conections = 100                    # 2: misspelt

[admin]
listen = 8081                           # 3: a number where an address is wanted

[queue]
kind = "embeded"                        # 4: no such kind

[azure]
ports = { https = 70000 }               # 5: no such port

[targets.main]
kind = "dps"
id_scope = "0ne00112233"
group_key = "canary-not-base64!"        # 6: not base64

[targets.second]
kind = "dps"                            # 7: no id_scope
group_key = "Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5LTEyMzQ="

[[routes]]
target = "mian"                         # 8: no such target
"#;

/// What must be named for each.
const KEYS: [&str; 8] = [
    "webhook.keys",
    "webhook.max_conections",
    "admin.listen",
    "queue.kind",
    "azure.ports.https",
    "targets.main.group_key",
    "targets.second.id_scope",
    "routes",
];

#[tokio::test]
async fn check_names_all_of_eight_mistakes() {
    let site = Site::empty("check");
    std::fs::write(site.config(), EIGHT).expect("the file can be written");
    for command in [["check", "--offline"].as_slice(), &["check"], &["run"]] {
        let arguments = [command, &["--config", "longhaul.toml"]].concat();
        let (code, stdout, stderr) = run(&site.dir, &arguments, Duration::from_secs(30)).await;
        let text = format!("{stdout}{stderr}");
        assert_eq!(code, 64, "{command:?} ends with 64: {text}");
        let missing: Vec<_> = KEYS.iter().filter(|key| !text.contains(**key)).collect();
        assert!(missing.is_empty(), "{command:?} does not name {missing:?}:\n{text}");
        assert!(text.matches("mend:").count() >= KEYS.len(), "each with its mend:\n{text}");
        assert!(text.contains("max_connections") && text.contains("main"), "the nearest known names:\n{text}");
        assert!(!text.contains("canary-not-base64"), "no secret on the screen:\n{text}");
    }
}

#[tokio::test]
async fn a_group_key_that_is_not_base64_is_named_before_anything_starts() {
    let mut site = Site::empty("check-key");
    site.azure =
        serde_json::json!({"id_scope": "0ne00112233", "group_key": "canary, not base64", "ca_file": "none.pem"});
    site.write_config();
    let config = std::fs::read_to_string(site.config()).expect("it was written");
    let plain =
        config.replace("{ env = \"GROUP_KEY\" }", "\"canary, not base64\"").replace("ca_file = \"none.pem\"\n", "");
    std::fs::write(site.config(), plain).expect("the file can be written");
    let (code, stdout, stderr) = run(&site.dir, &["check", "--offline"], Duration::from_secs(30)).await;
    let text = format!("{stdout}{stderr}");
    assert_eq!(code, 64, "{text}");
    assert!(text.contains("targets.main.group_key") && text.contains("base64"), "{text}");
    assert!(!text.contains("canary"), "no secret on the screen: {text}");
}

#[tokio::test]
async fn both_sides_of_a_conflict_that_the_routes_allow_are_named() {
    let site = Site::empty("check-names");
    let target = |name: &str| {
        let key = format!("{}==", "A".repeat(86));
        format!("[targets.{name}]\nkind = \"dps\"\nid_scope = \"0ne00112233\"\ngroup_key = \"{key}\"\n")
    };
    let routes = "[[routes]]\napplication = \"building\"\ntarget = \"a\"\n[[routes]]\napplication = \"vehicles\"\ntarget = \"b\"\n";
    let apart = "device_id = \"{application_id}--{device_id}\"\n";
    let arguments = ["check", "--offline", "--config", "longhaul.toml"];
    for (text, is_named) in [
        (format!("{}{}{routes}", target("a"), target("b")), true),
        (format!("{}{apart}{}{apart}{routes}", target("a"), target("b")), false),
    ] {
        std::fs::write(site.config(), &text).expect("the file can be written");
        let (code, stdout, stderr) = run(&site.dir, &arguments, Duration::from_secs(30)).await;
        assert_eq!(code, 0, "a warning is no mistake: {stdout}{stderr}");
        let sides = ["application `building` (targets.a)", "application `vehicles` (targets.b)", "0ne00112233"];
        assert_eq!(sides.iter().all(|side| stdout.contains(side)), is_named, "{stdout}");
        assert_eq!(stdout.contains("come out under one name"), is_named, "{stdout}");
    }
}
