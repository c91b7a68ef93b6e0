//! What good files become.

use super::*;
use crate::config::{Part, TargetKind};

#[test]
fn the_promised_keys_work_as_they_stand() {
    let text = r#"
        [webhook]
        listen = "127.0.0.1:8080"
        keys = ["k1", { env = "LONGHAUL_WEBHOOK_KEY" }, { key = "k2", applications = ["building"] }]
        [admin]
        listen = "127.0.0.1:8081"
        [queue]
        kind = "embedded"            # or "azure-storage"
        dir = "data"
        [azure]
        ca_file = "azure-sim-ca.pem" # trusted besides the system's roots
        ports = { https = 443, amqp = 5671 }
        [targets.main]
        kind = "dps"
        endpoint = "localhost:8443"
        id_scope = "0ne00ABCDEF"
        group_key = { env = "GROUP_KEY" }
        model_id = "dtmi:example:Sensor;1"
        [targets.other]
        kind = "iot-central"
        id_scope = "0ne00000001"
        group_key = { env = "GROUP_KEY" }
        [[routes]]
        target = "main"              # no application: the default
        [[routes]]
        application = "vehicles"
        port = 10
        target = "other"
    "#;
    let read = usable(text);
    let config = &read.config;
    assert_eq!(config.webhook.listen.to_string(), "127.0.0.1:8080");
    let keys: Vec<_> = config.webhook.keys.iter().map(|key| key.secret.expose().as_str()).collect();
    assert_eq!(keys, ["k1", "key-of-the-webhook-1", "k2"]);
    assert_eq!(config.webhook.keys[2].applications, Some(["building".to_owned()].into()));
    assert_eq!(config.queue.dir, Path::new("/etc/longhaul/data"));
    assert_eq!(config.azure.ca_file.as_deref(), Some(Path::new("/etc/longhaul/azure-sim-ca.pem")));
    let TargetKind::Dps(main) = &config.targets["main"].kind else { panic!("main is a DPS") };
    assert_eq!((main.endpoint.to_string().as_str(), main.central), ("localhost:8443", false));
    assert_eq!((main.group_key.expose().len(), main.model_id.as_deref()), (64, Some("dtmi:example:Sensor;1")));
    assert_eq!(config.targets["main"].device_id.0, [Part::DeviceId]);
    let TargetKind::Dps(other) = &config.targets["other"].kind else { panic!("IoT Central is a DPS") };
    assert_eq!(
        (other.endpoint.to_string().as_str(), other.central),
        ("global.azure-devices-provisioning.net:443", true)
    );
    assert_eq!(config.routes.len(), 2);
    assert_eq!((config.routes[1].application.as_deref(), config.routes[1].port), (Some("vehicles"), Some(10)));
    let warned: Vec<_> = read.warnings.iter().map(|warning| warning.key.as_str()).collect();
    assert_eq!(warned, ["webhook.keys[0]", "webhook.keys[0]", "webhook.keys[2].key", "webhook.keys[2].key"]);
}

#[test]
fn a_device_is_reached_by_its_connection_string() {
    let read = usable(
        "[targets.one]\nkind = \"iot-hub\"\nconnection_string = { env = \"DEVICE_CONNECTION_STRING\" }\n[[routes]]\ntarget = \"one\"",
    );
    let TargetKind::Device(device) = &read.config.targets["one"].kind else { panic!("one device") };
    assert_eq!((device.host.as_str(), device.device_id.as_str()), ("hub.azure-devices.net", "one"));
}

#[test]
fn a_shared_queue_is_in_an_account_by_its_key_or_by_our_identity() {
    let shared = |keys: &str| {
        let read = usable(&format!("[queue]\nkind = \"azure-storage\"\n{keys}\n{LEAST}"));
        assert!(read.warnings.is_empty(), "{:?}", read.warnings);
        read.config.queue.kind.storage().cloned().expect("it is shared")
    };
    let by_key = shared("connection_string = { env = \"STORAGE_CONNECTION_STRING\" }");
    assert_eq!((by_key.container.as_str(), by_key.partitions), ("longhaul", 4));
    assert!(!format!("{by_key:?}").contains("AAAA"), "{by_key:?}");
    let credential = "[azure]\ncredential = \"workload-identity\"";
    let by_identity = shared(&format!("account_url = \"acme1\"\ncontainer = \"c-1\"\npartitions = 256\n{credential}"));
    let account = storage::Account::new("acme1", storage::Who::Entra(Some(vault::Kind::WorkloadIdentity)));
    assert_eq!(by_identity.account, account.unwrap());
    assert_eq!((by_identity.container.as_str(), by_identity.partitions), ("c-1", 256));
    assert_eq!(usable(LEAST).config.queue.kind.storage(), None);
}

#[test]
fn an_endpoint_without_port_takes_the_port_of_all() {
    let text = LEAST.replace("id_scope", "endpoint = \"localhost\"\nid_scope");
    let read = usable(&format!("[azure]\nports = {{ https = 8443 }}\n{text}"));
    let TargetKind::Dps(main) = &read.config.targets["main"].kind else { panic!("main is a DPS") };
    assert_eq!(main.endpoint.to_string(), "localhost:8443");
    assert_eq!(read.config.azure.amqp_port, 5671);
}

#[test]
fn a_file_s_last_line_feed_is_no_part_of_the_secret() {
    let read = usable(&format!("[webhook]\nkeys = [{{ file = \"own.key\", network = \"own\" }}]\n{LEAST}"));
    let key = &read.config.webhook.keys[0];
    assert_eq!((key.secret.expose().as_str(), key.network.as_deref()), ("key-of-the-own-net-1", Some("own")));
    assert_eq!(read.warnings, []);
}

#[test]
fn beyond_loopback_with_key_and_tls_or_proxy_is_fine() {
    let keys = "keys = [{ env = \"LONGHAUL_WEBHOOK_KEY\" }]";
    for shield in ["cert_file = \"cert.pem\"\nkey_file = \"key.pem\"", "behind_proxy = true"] {
        let read = usable(&format!("[webhook]\nlisten = \"0.0.0.0:8080\"\n{keys}\n{shield}\n{LEAST}"));
        assert_eq!(read.config.webhook.tls.is_some(), shield.contains("cert"));
    }
    for local in ["localhost:0", "[::1]:0", "127.0.0.2:0", "[::ffff:127.0.0.1]:0"] {
        usable(&format!("[webhook]\nlisten = \"{local}\"\n{LEAST}"));
    }
}

#[test]
fn two_targets_may_share_a_scope_with_two_keys() {
    let second = LEAST.split("[[routes]]").next().unwrap().replace("main", "ports").replace("GROUP_KEY", "GROUP_KEY_2");
    let read = usable(&format!("{LEAST}[[routes]]\napplication = \"a\"\nport = 1\ntarget = \"ports\"\n{second}"));
    assert_eq!(read.config.targets.len(), 2);
}

/// Text, key and part of the cause.
const UNWISE: [(&str, &str, &str); 8] = [
    ("[webhook]\nkeys = [\"a-plain-key-of-20-chars\"]", "webhook.keys[0]", "in the file itself"),
    ("[webhook]\nkeys = []", "webhook.keys", "empty list"),
    ("[webhook]\nbehind_proxy = true", "webhook.keys", "whoever reaches the proxy"),
    ("[admin]\ntoken = \"a-plain-token-of-22-chars\"", "admin.token", "in the file itself"),
    ("id_scope = \"0neXYZ\"", "targets.main.id_scope", "does not look like"),
    ("group_key = { env = \"DERIVED\" }", "targets.main.group_key", "of a single device"),
    ("[[routes]]\napplication = \"Building 1\"\ntarget = \"main\"", "routes[0].application", "will match nothing"),
    ("[[routes]]\napplication = \"a\"\nport = 224\ntarget = \"main\"", "routes[0].port", "not a port"),
];

#[test]
fn what_is_unwise_is_said_and_still_works() {
    let derived = &GROUP_KEY[..43];
    for (text, key, cause) in UNWISE {
        let whole = match text.split_once(" = ") {
            Some((name @ ("id_scope" | "group_key"), _)) => {
                let replaced = |line: &str| if line.starts_with(name) { text.to_owned() } else { line.to_owned() };
                LEAST.lines().map(replaced).collect::<Vec<_>>().join("\n")
            }
            _ => format!("{text}\n{LEAST}"),
        };
        let read = World::new().with("DERIVED", &format!("{derived}=")).read(&whole).expect(text);
        let warnings: Vec<_> = read.warnings.iter().map(|w| (w.key.as_str(), w.cause.as_str())).collect();
        assert!(matches!(warnings[..], [(k, c)] if k == key && c.contains(cause)), "{text}: {warnings:?}");
    }
}

#[test]
fn messages_that_no_route_takes_are_foretold() {
    let text = LEAST.replace("[[routes]]", "[targets.idle]\nkind = \"iot-hub\"\nconnection_string = { env = \"DEVICE_CONNECTION_STRING\" }\n[[routes]]\napplication = \"a\"");
    let warnings = usable(&text).warnings;
    let keys: Vec<_> = warnings.iter().map(|w| w.key.as_str()).collect();
    assert_eq!(keys, ["routes", "targets.idle"]);
}
