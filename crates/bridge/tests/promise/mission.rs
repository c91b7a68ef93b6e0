//! What the predecessor was made for, as its README tells it: applications `building` and `vehicles`, an enrolment group
//! for each, and for each port of the vehicles another; a hub's connection string for an application; each message at the
//! right hub under the right device.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use crate::http;
use crate::site::Site;
use crate::uplinks;

const PATIENCE: Duration = Duration::from_secs(30);
/// Hubs are told apart by name, and these are names of this machine everywhere.
const HUBS: [&str; 3] = ["localhost", "127.0.0.1", "0.0.0.0"];
const FUNCTION_KEY: &str = "the-function-key-of-old==";
const DEVICES: [&str; 2] = ["dev-1", "dev-2"];

/// Id scope, group, hub.
const GROUPS: [(&str, &str, &str); 3] = [
    ("0ne00000001", "building", HUBS[0]),
    ("0ne00000010", "vehicles-10", HUBS[1]),
    ("0ne00000015", "vehicles-15", HUBS[2]),
];

fn key_of(group: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(format!("{group:-<64}"))
}

fn model_of(group: &str) -> String {
    format!("dtmi:longhaul:{};1", group.replace('-', "_"))
}

/// The simulator's file: three provisioning services, each with one group whose devices live at one hub.
fn setup() -> String {
    let scope = |(id_scope, group, hub): (&str, &str, &str)| json!({ "id_scope": id_scope, "groups": [{ "name": group, "primary_key": key_of(group), "hubs": [hub] }] });
    json!({ "hubs": HUBS, "scopes": GROUPS.map(scope) }).to_string()
}

/// The predecessor's settings, each beside what it is now.
fn settings(dps: &str, policy: impl Fn(&str) -> String) -> String {
    let mut text = String::new();
    for (id_scope, group, _) in GROUPS {
        // DPSGlobaDeviceEndpoint, DPSIDScope-{group}, DPSEnrollmentGroupSymmetricKey-{group}
        text.push_str(&format!(
            "[targets.{group}]\nkind = \"dps\"\nendpoint = \"{dps}\"\nid_scope = \"{id_scope}\"\n\
             group_key = \"{}\"\nmodel_id = \"{}\"\n",
            key_of(group),
            model_of(group)
        ));
    }
    // AzureIotHubConnectionString-garden, and AzureIotHubConnectionStringDefault, which shadowed all the others.
    for (target, hub) in [("garden", HUBS[1]), ("default", HUBS[0])] {
        text.push_str(&format!(
            "[targets.{target}]\nkind = \"iot-hub\"\nconnection_string = \"{}\"\ndevice_id = \"{{application_id}}--{{device_id}}\"\n",
            policy(hub)
        ));
    }
    text.push_str(
        "[[routes]]\ntarget = \"default\"\n\
         [[routes]]\napplication = \"garden\"\ntarget = \"garden\"\n\
         [[routes]]\napplication = \"building\"\ntarget = \"building\"\n\
         [[routes]]\napplication = \"vehicles\"\nport = 10\ntarget = \"vehicles-10\"\n\
         [[routes]]\napplication = \"vehicles\"\nport = 15\ntarget = \"vehicles-15\"\n",
    );
    text
}

/// Where an uplink has to arrive, and under which name.
fn expected(application: &str, port: u8, device: &str) -> (&'static str, String) {
    match (application, port) {
        ("building", _) => (HUBS[0], device.to_owned()),
        ("vehicles", 10) => (HUBS[1], device.to_owned()),
        ("vehicles", 15) => (HUBS[2], device.to_owned()),
        ("garden", _) => (HUBS[1], format!("garden--{device}")),
        _ => (HUBS[0], format!("{application}--{device}")),
    }
}

/// Application and port of what each device sends.
const SENT: [(&str, u8); 6] =
    [("building", 10), ("building", 15), ("vehicles", 10), ("vehicles", 15), ("garden", 10), ("attic", 10)];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_message_of_the_readme_goes_to_its_hub_under_its_device() {
    let mut site = Site::empty("mission");
    std::fs::write(site.dir.join("setup.json"), setup()).expect("it can be written");
    site.simulator_arguments = ["--setup", "setup.json"].map(str::to_owned).to_vec();
    site.start_simulator().await;
    let of_first = site.azure["service_connection_string"].as_str().expect("the simulator says it").to_owned();
    let first = site.azure["hub"].as_str().expect("the simulator names its hub").to_owned();
    let policies = policies(&site.azure);
    let policy = |hub: &str| if hub == first { of_first.clone() } else { policies[hub].clone() };
    site.settings.targets = Some(settings(&format!("localhost:{}", site.ports.https), policy));
    site.settings.keys = vec![format!("\"{FUNCTION_KEY}\"")];
    site.start_bridge().await;

    let mut posted = BTreeSet::new();
    for round in 1..=3 {
        for (index, (application, port)) in SENT.into_iter().enumerate() {
            for device in DEVICES {
                let counter = 100 * round + u32::try_from(index).expect("few");
                post(&site, round, application, port, device, counter).await;
                let (hub, name) = expected(application, port, device);
                posted.insert((hub.to_owned(), name, application.to_owned(), device.to_owned(), port, counter));
            }
        }
        site.drained(PATIENCE).await;
        let arrived: BTreeSet<_> = site.record().lines().iter().map(read).collect();
        assert_eq!(arrived, posted, "after round {round}");
        assert_eq!(site.record().lines().len(), posted.len(), "each once");
        assert!(site.dead_letters().await.is_empty());
        announced(&site.azure_state().await);

        site.bridge().signal("TERM");
        site.bridge().exit_within(PATIENCE).await;
        if round == 2 {
            // As on a new machine: everything is asked for anew, and comes out the same.
            std::fs::remove_dir_all(site.data()).expect("the queue's files can be removed");
        }
        site.start_bridge().await;
    }
}

/// In V2's form at the predecessor's address with its key in the query, and as the network of today posts.
async fn post(site: &Site, round: u32, application: &str, port: u8, device: &str, counter: u32) {
    let text = |body: Vec<u8>| String::from_utf8(body).expect("it is text");
    let (path, headers, body) = if round == 2 {
        let body = text(uplinks::tts(application, device, counter));
        (
            "/tts".to_owned(),
            vec![("x-api-key", FUNCTION_KEY)],
            body.replace("\"f_port\": 15", &format!("\"f_port\": {port}")),
        )
    } else {
        let body = text(uplinks::ttn_v2(application, device, counter, false, "ttn-account-v2.k"));
        let code = FUNCTION_KEY.replace('=', "%3D");
        (
            format!("/api/UplinkProcessor?code={code}"),
            Vec::new(),
            body.replace("\"port\":5", &format!("\"port\":{port}")),
        )
    };
    let reply = http::post(site.ports.webhook, &path, &headers, body.as_bytes()).await.expect("the door answers");
    assert_eq!(reply.status, 202, "{}", reply.text());
}

/// Hub, name in Azure, and whose message it is by its own words.
fn read(line: &Value) -> (String, String, String, String, u8, u32) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let number = |name: &str| line["body"][name].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(u32::MAX);
    let body = &line["body"];
    let (application, device) = (text(&body["ApplicationID"]), text(&body["DeviceID"]));
    assert_eq!(text(&body["PayloadRaw"]), uplinks::payload(&device, number("Counter")), "{line}");
    assert_eq!(
        (&line["properties"]["DeviceId"], &line["properties"]["ApplicationId"]),
        (&body["DeviceID"], &body["ApplicationID"])
    );
    let port = u8::try_from(number("Port")).expect("a port");
    (text(&line["hub"]), text(&line["device_id"]), application, device, port, number("Counter"))
}

/// Every group's devices have registered there, said their model, and live at that group's hub.
fn announced(state: &Value) {
    let mut models: BTreeMap<(String, String), BTreeSet<(String, String)>> = BTreeMap::new();
    for registration in state["registrations"].as_array().expect("the state lists them") {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = (text(&registration["id_scope"]), text(&registration["registration_id"]));
        let value = (text(&registration["payload"]["modelId"]), text(&registration["hub"]));
        models.entry(key).or_default().insert(value);
    }
    let due = GROUPS.iter().flat_map(|(scope, group, hub)| {
        DEVICES.map(|device| {
            let value = (model_of(group), (*hub).to_owned());
            (((*scope).to_owned(), device.to_owned()), BTreeSet::from([value]))
        })
    });
    assert_eq!(models, due.collect(), "{}", state["registrations"]);
}

/// The connection strings of the owners of all hubs but the first.
fn policies(azure: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let hubs = azure["more_hubs"].as_array().expect("the simulator names its other hubs");
    hubs.iter().map(|hub| (text(&hub["hub"]), text(&hub["service_connection_string"]))).collect()
}
