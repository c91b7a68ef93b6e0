//! Of whole files: what is written can be used, says what the predecessor did, and holds no secret.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::config::read::vaults::{Vaults, read_with};
use crate::config::{Config, TargetKind};
use crate::route;

/// A group key that is one, by a number.
fn key(nth: usize) -> String {
    STANDARD.encode(format!("canary-{nth:-<57}"))
}

fn hub(nth: usize) -> String {
    format!("HostName=hub-{nth}.azure-devices.net;SharedAccessKeyName=iothubowner;SharedAccessKey={}", key(100 + nth))
}

fn moved(text: &str) -> Moved {
    understand(&[Export { file: "settings", text }], None).expect("it can be understood")
}

fn as_json(settings: &BTreeMap<String, String>) -> String {
    serde_json::to_string(settings).expect("texts")
}

/// As `run` would, with the values where the report wants them.
fn usable(moved: &Moved, settings: &BTreeMap<String, String>) -> Config {
    let mut env = vec![("LONGHAUL_WEBHOOK_KEY".to_owned(), "k".to_owned())];
    for secret in moved.report.json()["secrets"].as_array().expect("a list") {
        if let Some(variable) = secret["variable"].as_str() {
            let setting = secret["setting"].as_str().expect("each has a setting");
            env.push((variable.to_owned(), settings[setting].clone()));
        }
    }
    let toml = moved.toml.as_ref().expect("something was written");
    let no_files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    let read = read_with(toml, &env, Path::new(""), &no_files, Vaults::Unasked);
    read.unwrap_or_else(|mistakes| panic!("{}\n{toml}", crate::config::report("x", &mistakes))).config
}

/// Where a message goes: the hub's name, or the id scope and the group key.
fn goes(config: &Config, application: &str, port: u64) -> Option<String> {
    let target = route::choose(&config.routes, application, Some(port))?.target()?;
    Some(match &config.targets[target].kind {
        TargetKind::Dps(dps) => format!("{} {}", dps.id_scope, STANDARD.encode(dps.group_key.expose())),
        TargetKind::Policy(policy) => policy.host.clone(),
        TargetKind::Device(device) => device.host.clone(),
    })
}

/// Where the V2 processor sent it, by its code: the first of three names for each of three things, the hub before the others.
fn went(settings: &BTreeMap<String, String>, application: &str, port: u64) -> Option<String> {
    let first = |name: &str| {
        let names = [format!("{name}-{application}-{port}"), format!("{name}-{application}"), format!("{name}Default")];
        names.iter().find_map(|name| settings.get(name).filter(|value| !value.trim().is_empty())).cloned()
    };
    if let Some(hub) = first("AzureIotHubConnectionString") {
        return hub.strip_prefix("HostName=").and_then(|rest| rest.split(';').next()).map(str::to_owned);
    }
    Some(format!("{} {}", first("DPSIDScope")?, first("DPSEnrollmentGroupSymmetricKey")?))
}

const NAMES: [&str; 3] = ["AzureIotHubConnectionString", "DPSIDScope", "DPSEnrollmentGroupSymmetricKey"];
const SUFFIXES: [&str; 6] = ["Default", "-a", "-b", "-a-1", "-a-2", "-b-1"];

/// Any of them, some of them blank.
fn any_settings() -> impl Strategy<Value = BTreeMap<String, String>> {
    proptest::collection::vec(proptest::option::weighted(0.4, 0..4_usize), NAMES.len() * SUFFIXES.len()).prop_map(
        |values| {
            let names =
                NAMES.iter().flat_map(|name| SUFFIXES.iter().map(move |suffix| (*name, format!("{name}{suffix}"))));
            let value = |(name, setting): (&str, String), nth: usize| {
                let value = match (name, nth) {
                    (_, 0) => " ".to_owned(),
                    ("AzureIotHubConnectionString", nth) => hub(nth),
                    ("DPSIDScope", nth) => format!("0ne0000000{nth}"),
                    (_, nth) => key(nth),
                };
                (setting, value)
            };
            names.zip(values).filter_map(|(name, nth)| nth.map(|nth| value(name, nth))).collect()
        },
    )
}

proptest! {
    #[test]
    fn each_message_goes_where_the_v2_processor_sent_it(settings in any_settings()) {
        let text = as_json(&settings);
        let moved = understand(&[Export { file: "settings", text: &text }], Some(Family::V2)).expect("it can be understood");
        let config = moved.toml.is_some().then(|| usable(&moved, &settings));
        for application in ["a", "b", "c"] {
            for port in 1..=3 {
                let goes = config.as_ref().and_then(|config| goes(config, application, port));
                prop_assert_eq!(goes, went(&settings, application, port), "{} {}: {:?}", application, port, &moved.toml);
            }
        }
        // Each setting is accounted for, and none shows its value.
        let told = format!("{}{}{}", moved.report.text(), moved.report.json(), moved.toml.unwrap_or_default());
        for (name, value) in &settings {
            prop_assert!(value.trim().is_empty() || told.contains(name.as_str()), "{} is not in {}", name, told);
            let is_secret = !name.starts_with("DPSIDScope") && !value.trim().is_empty();
            prop_assert!(!is_secret || !told.contains(value.as_str()), "{} is in {}", value, told);
        }
        prop_assert!(!told.contains(&STANDARD.encode("canary")[..7]));
    }

    #[test]
    fn no_text_breaks_it_and_none_of_a_file_that_cannot_be_read_is_told(text in ".{0,200}") {
        if let Err(mistakes) = understand(&[Export { file: "f", text: &text }], None) {
            prop_assert!(!mistakes.is_empty());
        }
    }
}

/// The list of a vault's secrets has no values, and goes before the app's settings.
#[test]
fn what_stands_in_a_key_vault_stays_there() {
    let listed =
        ["DPSIDScopeDefault", "DPSEnrollmentGroupSymmetricKeyDefault", "DPSEnrollmentGroupSymmetricKey-vehicles"];
    let list: Vec<_> = listed
        .iter()
        .map(|name| serde_json::json!({ "id": format!("https://example.vault.azure.net/secrets/{name}"), "name": name, "attributes": {} }))
        .collect();
    let list = serde_json::to_string(&list).expect("JSON");
    let version = "0123456789abcdef0123456789abcdef";
    let settings = format!(
        "KeyVaultURI=https://example.vault.azure.net/\nDeviceProvisioningPollingDelay=500\nDPSIDScope-vehicles=0ne00000010\n\
         DPSEnrollmentGroupSymmetricKeyDefault={}\n\
         AzureIotHubConnectionString-garden=@Microsoft.KeyVault(SecretUri=https://other.vault.azure.net/secrets/garden/{version})\n",
        key(1)
    );
    let exports = [Export { file: "vault.json", text: &list }, Export { file: ".env", text: &settings }];
    let moved = understand(&exports, None).expect("it can be understood");
    let toml = moved.toml.clone().expect("something was written");
    for line in [
        "# FILL IN: the value of `DPSIDScopeDefault`, secret DPSIDScopeDefault of https://example.vault.azure.net.",
        "group_key = { key_vault = \"https://example.vault.azure.net\", secret = \"DPSEnrollmentGroupSymmetricKeyDefault\" }",
        "group_key = { key_vault = \"https://example.vault.azure.net\", secret = \"DPSEnrollmentGroupSymmetricKey-vehicles\" }",
        &format!(
            "connection_string = {{ key_vault = \"https://other.vault.azure.net\", secret = \"garden\", version = \"{version}\" }}"
        ),
    ] {
        assert!(toml.contains(line), "{line} is not in:\n{toml}");
    }
    let text = moved.report.text();
    assert!(text.contains("the key vault goes before the app's settings"), "{text}");
    assert!(!text.contains("the list of its secrets is not among these files"), "{text}");
    usable(&moved, &BTreeMap::new());
}

#[test]
fn without_the_list_of_its_key_vault_the_report_asks_for_it() {
    let text = "KeyVaultURI=https://example.vault.azure.net/\nDPSIDScopeDefault=0ne00000001\n";
    let moved = moved(text);
    assert!(moved.toml.is_none(), "no key, no route");
    let told = moved.report.text();
    assert!(told.contains("az keyvault secret list") && told.contains("found no group key"), "{told}");
}

#[test]
fn a_key_in_the_place_of_an_id_scope_is_neither_written_nor_told() {
    let text = format!("DPSIDScopeDefault={}\nDPSEnrollmentGroupSymmetricKeyDefault={}\n", key(1), key(2));
    let moved = moved(&text);
    let told = format!("{}{}", moved.report.text(), moved.toml.expect("it is written"));
    assert!(told.contains("`DPSIDScopeDefault` is no ID scope") && told.contains("FILL IN"), "{told}");
    assert!(!told.contains(&key(1)) && !told.contains(&key(2)));
}

/// Every key of every predecessor, as its code spells it: each is told what it is now.
#[test]
fn every_setting_of_every_predecessor_is_told_what_it_is_now() {
    let families: [(&str, &[&str]); 4] = [
        (
            "first",
            &[
                "KeyVaultURI",
                "DPSGlobaDeviceEndpoint",
                "DPSIDScope",
                "DPSEnrollmentGroupSymmetricKey-app",
                "DPSEnrollmentGroupSymmetricKeyDefault",
                "DeviceProvisioningPollingDelay",
                "UplinkQueueName",
                "AzureStorageConnectionString",
            ],
        ),
        (
            "v2",
            &[
                "KeyVaultURI",
                "UplinkQueueName",
                "DownlinkQueueName",
                "AzureStorageConnectionString",
                "DPSGlobaDeviceEndpoint",
                "AzureIotHubConnectionString-app-10",
                "AzureIotHubConnectionString-app",
                "AzureIotHubConnectionStringDefault",
                "DPSIDScope-app-10",
                "DPSIDScope-app",
                "DPSIDScopeDefault",
                "DPSEnrollmentGroupSymmetricKey-app-10",
                "DPSEnrollmentGroupSymmetricKey-app",
                "DPSEnrollmentGroupSymmetricKeyDefault",
                "DeviceProvisioningPollingDelay",
                "AzureWebJobsStorage",
                "FUNCTIONS_WORKER_RUNTIME",
            ],
        ),
        (
            "ttiv3",
            &[
                "TheThingsIndustries:WebhookBaseURL",
                "TheThingsIndustries:Applications:app:ApiKey",
                "TheThingsIndustries:Applications:app:WebhookId",
                "AzureIoT:IoTHub:IoTHubConnectionString",
                "AzureIoT:IoTHub:Applications:app:DtdlModelId",
                "AzureIoT:DeviceProvisioningService:IdScope",
                "AzureIoT:DeviceProvisioningService:Applications:app:GroupEnrollmentKey",
                "AzureIoT:DeviceProvisioningService:Applications:app:DtdlModelId",
                "AzureIoT:IoTCentral:Methods:light:Port",
                "AzureIoT:IoTCentral:Methods:light:Confirmed",
                "AzureIoT:IoTCentral:Methods:light:Priority",
                "AzureIoT:IoTCentral:Methods:light:Queue",
                "AzureIoT:IoTCentral:Methods:light:Payload",
            ],
        ),
        (
            "ttnv3",
            &[
                "ProgramSettings:TheThingsIndustries:MqttServerName",
                "ProgramSettings:TheThingsIndustries:MqttClientId",
                "ProgramSettings:TheThingsIndustries:MqttAutoReconnectDelay",
                "ProgramSettings:TheThingsIndustries:Tenant",
                "ProgramSettings:TheThingsIndustries:Collaborator",
                "ProgramSettings:TheThingsIndustries:ApiBaseUrl",
                "ProgramSettings:TheThingsIndustries:ApiKey",
                "ProgramSettings:TheThingsIndustries:DeviceIntegrationDefault",
                "ProgramSettings:TheThingsIndustries:DevicePageSize",
                "ProgramSettings:Applications:app:AzureSettings:IoTHubConnectionString",
                "ProgramSettings:Applications:app:AzureSettings:DeviceProvisioningServiceSettings:IdScope",
                "ProgramSettings:Applications:app:AzureSettings:DeviceProvisioningServiceSettings:GroupEnrollmentKey",
                "ProgramSettings:Applications:app:MQTTAccessKey",
                "ProgramSettings:Applications:app:DeviceIntegrationDefault",
                "ProgramSettings:Applications:app:DtdlModelId",
                "ProgramSettings:Applications:app:MethodSettings:light:Port",
            ],
        ),
    ];
    for (family, names) in families {
        let settings: BTreeMap<String, String> =
            names.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect();
        let report = moved(&as_json(&settings)).report.json();
        assert_eq!(report["predecessor"], family);
        let told = |name: &&&str| {
            report["settings"].as_array().expect("a list").iter().any(|told: &Value| told["setting"] == ***name)
        };
        let missing: Vec<_> = names.iter().filter(|name| !told(name)).collect();
        assert!(missing.is_empty(), "{family}: {missing:?}");
    }
}
