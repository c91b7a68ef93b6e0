//! Promise: settings of the predecessors, with the mistakes that people make in them, become a configuration that `check` takes and
//! under which each uplink lands where the report says; no value of a secret is written or shown.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::http;
use crate::predecessor::hmac_sha256;
use crate::processes::{LONGHAUL, Process, run_as, until};
use crate::site::Site;
use crate::uplinks;

const PATIENCE: Duration = Duration::from_secs(30);
/// Hubs are told apart by name, and these are names of this machine everywhere.
const HUBS: [&str; 3] = ["localhost", "127.0.0.1", "0.0.0.0"];
/// Id scope, group, hub.
const GROUPS: [(&str, &str, &str); 3] = [
    ("0ne00000001", "building", HUBS[0]),
    ("0ne00000010", "vehicles-10", HUBS[1]),
    ("0ne00000015", "vehicles-15", HUBS[2]),
];
const FUNCTION_KEY: &str = "canary-function-key==";
const STORAGE: &str = "DefaultEndpointsProtocol=https;AccountName=example;AccountKey=Y2FuYXJ5LXN0b3JhZ2U=;EndpointSuffix=core.windows.net";

/// Where an uplink ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// At this hub, under the device's own name.
    Hub(usize),
    /// Dead letter `no_route`.
    NoRoute,
    /// It waits: Azure refuses the device.
    Waits,
}

use End::{Hub, NoRoute, Waits};

/// A file of settings, and what comes of it.
struct Case {
    file: &'static str,
    /// Application, port, end.
    uplinks: &'static [(&'static str, u8, End)],
    /// What the report has to say.
    says: &'static [&'static str],
}

const CASES: [Case; 12] = [
    Case {
        file: "01-missing-defaults.local.settings.json",
        uplinks: &[("building", 10, Hub(0)), ("attic", 10, NoRoute)],
        says: &["found no ID scope", "GROUP_KEY_BUILDING", "import-queue --queue uplinks"],
    },
    Case {
        file: "02-both-modes.portal.json",
        uplinks: &[("building", 10, Hub(1))],
        says: &[
            "`DPSIDScope-building` never had effect",
            "all devices of application `building` shared one connection",
        ],
    },
    Case {
        file: "03-wrong-case.env",
        uplinks: &[("building", 10, Hub(0))],
        says: &["the route says `building`", "`dpsglobadeviceendpoint` is spelt `DPSGlobaDeviceEndpoint`"],
    },
    Case {
        file: "04-device-key.json",
        uplinks: &[("building", 10, Waits)],
        says: &["has 32 bytes like the key of a single device", "the uplinks wait until the key is mended"],
    },
    Case {
        file: "05-stale-keys.portal.json",
        uplinks: &[("building", 10, Hub(0))],
        says: &[
            "`DPSIDScope` was never read",
            "the predecessor reads `DPSGlobaDeviceEndpoint`",
            "the predecessor reads `DPSEnrollmentGroupSymmetricKeyDefault`",
            "switches the processor off",
        ],
    },
    Case {
        file: "06-double-default.local.settings.json",
        uplinks: &[("building", 10, Hub(2)), ("vehicles", 10, Hub(2))],
        says: &[
            "`DPSIDScopeDefault` never had effect: `AzureIotHubConnectionStringDefault`",
            "`DPSIDScope-vehicles` never had effect",
            "AzureIotHubConnectionStringDefault: targets.default.connection_string",
            "DPSEnrollmentGroupSymmetricKey-vehicles: a comment: it had no effect",
        ],
    },
    Case {
        file: "07-ports.json",
        uplinks: &[
            ("building", 10, Hub(0)),
            ("vehicles", 10, Hub(1)),
            ("vehicles", 15, Hub(2)),
            ("vehicles", 20, NoRoute),
        ],
        says: &["is read as application `vehicles`, port 10", "a device `x` on port 15 and a device called `x-15`"],
    },
    Case {
        file: "08-shared-identity.rest.json",
        uplinks: &[("garden", 10, Hub(1)), ("attic", 10, Hub(0))],
        says: &["the readings of the others were misfiled", "`DeviceID` in the body is right"],
    },
    Case {
        file: "09-first-processor.local.settings.json",
        uplinks: &[("building", 10, Hub(0)), ("attic", 10, Hub(0))],
        says: &[
            "knows no default for `DPSGlobaDeviceEndpoint`",
            "without a number in `DeviceProvisioningPollingDelay`",
            "`HardwareSerial`",
        ],
    },
    Case {
        file: "10-ttiv3-both-modes.json",
        uplinks: &[("building", 10, Hub(0))],
        says: &["with both an IoTHub and a DeviceProvisioningService", "https://YOUR-HOST/tts"],
    },
    Case {
        file: "11-ttiv3-wrong-case.env",
        uplinks: &[("building", 10, Hub(0)), ("attic", 10, NoRoute)],
        says: &["application `Building` never matched", "application `attic` has no GroupEnrollmentKey"],
    },
    Case {
        file: "12-ttnv3.appsettings.json",
        uplinks: &[("building", 10, Hub(0)), ("garden", 10, Hub(1)), ("attic", 10, NoRoute)],
        says: &[
            "replaced the connection to the hub",
            "application `attic` has neither",
            "add a webhook to each application",
        ],
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uplinks_of_missing_mixed_and_misspelt_settings_land_where_the_report_says() {
    all(&CASES[..4]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uplinks_of_stale_shadowed_and_shared_settings_land_where_the_report_says() {
    all(&CASES[4..8]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uplinks_of_the_first_and_the_v3_predecessors_land_where_the_report_says() {
    all(&CASES[8..]).await;
}

async fn all(cases: &[Case]) {
    let mut site = Site::empty(&format!("import-{}", &cases[0].file[..2]));
    std::fs::write(site.dir.join("setup.json"), setup()).expect("it can be written");
    site.simulator_arguments = ["--setup", "setup.json"].map(str::to_owned).to_vec();
    site.start_simulator().await;
    for case in cases {
        println!("{}", case.file);
        case.hold(&mut site).await;
    }
}

impl Case {
    async fn hold(&self, site: &mut Site) {
        let text = filled(site, &fixture(self.file));
        std::fs::write(site.dir.join(self.file), &text).expect("it can be written");
        let out = format!("{}.toml", &self.file[..2]);
        let arguments = ["import-settings", self.file, "--out", &out];
        let (code, told, stderr) = run_as(Command::new(LONGHAUL), &site.dir, &arguments, PATIENCE).await;
        assert_eq!(code, 0, "{told}{stderr}");
        for says in self.says {
            assert!(told.contains(says), "{}: `{says}` is not in:\n{told}", self.file);
        }
        let (_, json, _) =
            run_as(Command::new(LONGHAUL), &site.dir, &[&arguments[..], &["--json", "--force"]].concat(), PATIENCE)
                .await;
        let report: Value = serde_json::from_str(&json).expect("one JSON object");
        let written = std::fs::read_to_string(site.dir.join(&out)).expect("it was written");
        for secret in secrets(site, &text) {
            assert!(
                ![&told, &stderr, &json, &written].iter().any(|text| text.contains(&secret)),
                "{secret} leaked:\n{told}\n{written}"
            );
        }
        self.run(site, &out, &text, &report).await;
    }

    async fn run(&self, site: &mut Site, config: &str, settings: &str, report: &Value) {
        let nth = &self.file[..2];
        let env = environment(site, nth, settings, report);
        let command = || {
            let mut command = Command::new(LONGHAUL);
            command.envs(&env);
            command
        };
        let (code, told, stderr) = run_as(command(), &site.dir, &["check", "--config", config], PATIENCE).await;
        assert_eq!(code, 0, "check: {told}{stderr}");
        let mut bridge = command();
        bridge.args(["run", "--config", config]);
        site.bridge = Some(Process::start("bridge", &site.dir, &mut bridge));
        site.ready().await;
        for (index, (application, port, _)) in self.uplinks.iter().enumerate() {
            for device in devices(nth, index) {
                self.post(site, application, *port, &device).await;
            }
        }
        self.ended(site, nth, report).await;
        site.bridge().signal("TERM");
        site.bridge().exit_within(PATIENCE).await;
    }

    /// As that predecessor's network does.
    async fn post(&self, site: &Site, application: &str, port: u8, device: &str) {
        let text = |body: Vec<u8>| String::from_utf8(body).expect("it is text");
        let is_v3 = self.file.contains("tti") || self.file.contains("ttn");
        let reply = if is_v3 {
            let body =
                text(uplinks::tts(application, device, 1)).replace("\"f_port\": 15", &format!("\"f_port\": {port}"));
            http::post(site.ports.webhook, "/tts", &[("x-functions-key", FUNCTION_KEY)], body.as_bytes()).await
        } else {
            let body = text(uplinks::ttn_v2(application, device, 1, false, "k"))
                .replace("\"port\":5", &format!("\"port\":{port}"));
            let path = format!("/api/UplinkProcessor?code={}", FUNCTION_KEY.replace('=', "%3D"));
            http::post(site.ports.webhook, &path, &[], body.as_bytes()).await
        };
        assert_eq!(reply.expect("the door answers").status, 202);
    }

    /// Each uplink is where this list and the report say.
    async fn ended(&self, site: &Site, nth: &str, report: &Value) {
        for (index, (application, port, end)) in self.uplinks.iter().enumerate() {
            let said = said(report, application, *port);
            for device in devices(nth, index) {
                let is = match end {
                    Hub(hub) => {
                        assert_eq!(
                            said.as_deref(),
                            Some(HUBS[*hub]),
                            "the report on {application} port {port}: {report}"
                        );
                        arrived(site, &device).await
                    }
                    NoRoute => {
                        assert_eq!(said, None, "the report on {application} port {port}: {report}");
                        buried(site, &device).await
                    }
                    Waits => refused(site, &device).await,
                };
                let expected = match end {
                    Hub(hub) => json!({ "hub": HUBS[*hub], "device_id": device }),
                    NoRoute => json!("no_route"),
                    Waits => json!(1),
                };
                assert_eq!(is, expected, "{} {application} port {port}", self.file);
            }
        }
    }
}

fn devices(nth: &str, index: usize) -> [String; 2] {
    [1, 2].map(|device| format!("c{nth}-{index}-{device}"))
}

/// The hub at which an uplink lands by the report.
fn said(report: &Value, application: &str, port: u8) -> Option<String> {
    let routes = report["routes"].as_array().expect("the report lists routes");
    let of = |application: Value, port: Value| {
        routes.iter().find(|route| route["application"] == application && route["port"] == port)
    };
    let route = of(json!(application), json!(port))
        .or_else(|| of(json!(application), Value::Null))
        .or_else(|| of(Value::Null, Value::Null))?;
    let group = GROUPS.iter().find(|(id_scope, ..)| route["id_scope"] == *id_scope);
    Some(
        group.map_or_else(
            || route["hub"].as_str().expect("a scope or a hub").to_owned(),
            |(_, _, hub)| (*hub).to_owned(),
        ),
    )
}

async fn arrived(site: &Site, device: &str) -> Value {
    until("the uplink arrives", PATIENCE, async || {
        let mut record = site.record();
        let line = record.lines().iter().find(|line| line["body"]["DeviceID"] == device)?;
        Some(json!({ "hub": line["hub"], "device_id": line["device_id"] }))
    })
    .await
}

async fn buried(site: &Site, device: &str) -> Value {
    until("it is buried", PATIENCE, async || {
        site.dead_letters()
            .await
            .iter()
            .find(|letter| letter["device"] == device)
            .map(|letter| letter["reason"].clone())
    })
    .await
}

/// How many wait of a device whose registration was refused at least once.
async fn refused(site: &Site, device: &str) -> Value {
    until("the registration is refused", PATIENCE, async || {
        let state = site.azure_state().await.to_string();
        (state.contains("tokens_refused") && state.contains(device)).then_some(())
    })
    .await;
    let record = site.record().text();
    assert!(!record.contains(device) && site.dead_letters().await.is_empty(), "{record}");
    let lane = site.admin("/readyz").await.json()["waiting"].as_u64().unwrap_or_default();
    json!(lane / 2)
}

/// The variables that the report asks for, and where this test has things.
fn environment(site: &Site, nth: &str, settings: &str, report: &Value) -> BTreeMap<String, String> {
    let mut env = BTreeMap::from([
        ("LONGHAUL_WEBHOOK_KEY".to_owned(), FUNCTION_KEY.to_owned()),
        ("LONGHAUL__WEBHOOK__LISTEN".to_owned(), format!("127.0.0.1:{}", site.ports.webhook)),
        ("LONGHAUL__ADMIN__LISTEN".to_owned(), format!("127.0.0.1:{}", site.ports.admin)),
        ("LONGHAUL__QUEUE__DIR".to_owned(), format!("data-{nth}")),
        (
            "LONGHAUL__AZURE__CA_FILE".to_owned(),
            site.azure["ca_file"].as_str().expect("the simulator says it").to_owned(),
        ),
        ("LONGHAUL__AZURE__PORTS__HTTPS".to_owned(), site.ports.https.to_string()),
        ("LONGHAUL__AZURE__PORTS__AMQP".to_owned(), site.ports.amqp.to_string()),
    ]);
    for secret in report["secrets"].as_array().expect("the report lists secrets") {
        let text = |key: &str| secret[key].as_str().expect("each has a setting and a variable").to_owned();
        env.insert(text("variable"), value_of(settings, &text("setting")));
    }
    // Where the predecessor knew no other endpoint than Microsoft's, the simulator takes its place.
    for route in report["routes"].as_array().expect("the report lists routes") {
        let is_dps = route["kind"] != "iot-hub";
        if is_dps && !settings.to_lowercase().contains("dpsglobadeviceendpoint") {
            let target = route["target"].as_str().expect("a name").to_uppercase();
            env.insert(format!("LONGHAUL__TARGETS__{target}__ENDPOINT"), format!("localhost:{}", site.ports.https));
        }
    }
    env
}

/// As a person finds it: the text behind the last part of the setting's name, in whichever section.
fn value_of(settings: &str, setting: &str) -> String {
    let env = settings.lines().find_map(|line| line.trim_start_matches("export ").strip_prefix(&format!("{setting}=")));
    if let Some(value) = env {
        return value.trim_matches(['\'', '"']).to_owned();
    }
    let mut rest = settings;
    for part in setting.split(':') {
        let at = rest.find(&format!("\"{part}\"")).unwrap_or_else(|| panic!("{setting} is not in {settings}"));
        rest = &rest[at + part.len() + 2..];
    }
    // The portal's list has the value in a member of its own.
    let rest = rest
        .split_once("\"value\": ")
        .filter(|(between, _)| !between.contains(['\n', '}']))
        .map_or(rest, |(_, rest)| rest);
    rest.split('"').nth(1).expect("a text").to_owned()
}

fn fixture(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/promise/predecessor_settings").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Endpoints and keys of the simulator in their places.
fn filled(site: &Site, template: &str) -> String {
    let mut text = template.replace("@dps@", &format!("localhost:{}", site.ports.https)).replace("@storage@", STORAGE);
    for (_, group, _) in GROUPS {
        text = text.replace(&format!("@key:{group}@"), &key_of(group));
    }
    text = text.replace("@device-key@", &device_key());
    for (nth, hub) in HUBS.iter().enumerate() {
        text = text.replace(&format!("@hub:{nth}@"), &policy(&site.azure, hub));
    }
    assert!(!text.contains('@'), "{text}");
    text
}

/// The values in them that must not be seen again.
fn secrets(site: &Site, settings: &str) -> Vec<String> {
    let mut secrets: Vec<String> = GROUPS.iter().map(|(_, group, _)| key_of(group)).chain([device_key()]).collect();
    let key_in = |text: &str| text.rsplit_once("SharedAccessKey=").map(|(_, key)| key.to_owned());
    secrets.extend(HUBS.iter().filter_map(|hub| key_in(&policy(&site.azure, hub))));
    secrets.extend(["canary", "Y2FuYXJ5"].map(str::to_owned));
    secrets.retain(|secret| settings.contains(secret));
    assert!(!secrets.is_empty(), "there is something to leak: {settings}");
    secrets
}

fn device_key() -> String {
    STANDARD.encode(hmac_sha256(&STANDARD.decode(key_of("building")).expect("base64"), b"dev-1"))
}

fn key_of(group: &str) -> String {
    STANDARD.encode(format!("{group:-<64}"))
}

fn policy(azure: &Value, hub: &str) -> String {
    if azure["hub"] == hub {
        return azure["service_connection_string"].as_str().expect("the simulator says it").to_owned();
    }
    let hubs = azure["more_hubs"].as_array().expect("the simulator names its other hubs");
    let other = hubs.iter().find(|other| other["hub"] == hub).expect("it is one of them");
    other["service_connection_string"].as_str().expect("the simulator says it").to_owned()
}

fn setup() -> String {
    let scope = |(id_scope, group, hub): (&str, &str, &str)| json!({ "id_scope": id_scope, "groups": [{ "name": group, "primary_key": key_of(group), "hubs": [hub] }] });
    json!({ "hubs": HUBS, "scopes": GROUPS.map(scope) }).to_string()
}

/// A file that is there is somebody's work.
#[tokio::test]
async fn a_configuration_that_is_there_is_left_alone() {
    let site = Site::empty("import-over");
    std::fs::write(
        site.dir.join("settings.json"),
        "{\"DPSIDScopeDefault\": \"0ne00000001\", \"DPSEnrollmentGroupSymmetricKeyDefault\": \"k\"}",
    )
    .expect("written");
    std::fs::write(site.config(), "mine").expect("it can be written");
    let import = async |more: &[&str]| {
        let arguments = [&["import-settings", "settings.json"], more].concat();
        run_as(Command::new(LONGHAUL), &site.dir, &arguments, PATIENCE).await
    };
    let (code, told, stderr) = import(&[]).await;
    assert!(code == 1 && stderr.contains("--force") && told.is_empty(), "{code} {told}{stderr}");
    assert_eq!(std::fs::read_to_string(site.config()).expect("it is there"), "mine");
    assert_eq!(import(&["--force"]).await.0, 0);
    assert!(std::fs::read_to_string(site.config()).expect("it is there").contains("[targets.default]"));
    let (code, _, stderr) = import(&["no-such-file.json"]).await;
    assert!(code == 1 && stderr.contains("no-such-file.json"), "{code} {stderr}");
}
