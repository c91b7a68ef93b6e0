//! Each mistake alone, and many at once.

use super::*;
use crate::config::{Place, report};

/// Text before [`LEAST`]; then key, part of the cause and part of the mend of its only mistake.
const ALONE: &[(&str, &str, &str, &str)] = &[
    // names
    ("[webhok]", "webhok", "not a key", "did you mean `webhook`?"),
    ("[webhook]\nlisten_on = 1", "webhook.listen_on", "not a key", "did you mean `listen`?"),
    ("[azure]\nports = { http = 80 }", "azure.ports.http", "not a key", "did you mean `https`?"),
    ("DPSIDScopeDefault = \"0ne1\"", "DPSIDScopeDefault", "predecessor", "`id_scope` below [targets.NAME]"),
    (
        "[azure]\nAzureIotHubConnectionString-app-1 = \"x\"",
        "azure.AzureIotHubConnectionString-app-1",
        "predecessor",
        "`connection_string`",
    ),
    ("DPSEnrollmentGroupSymmetricKey-app = \"x\"", "DPSEnrollmentGroupSymmetricKey-app", "predecessor", "`group_key`"),
    ("KeyVaultURI = \"https://x\"", "KeyVaultURI", "predecessor", "key_vault"),
    // types
    ("webhook = 1", "webhook", "is a number, but a table", "[webhook]"),
    ("[webhook]\nlisten = 8080", "webhook.listen", "is a number, but a text", "127.0.0.1:8080"),
    ("[webhook]\nkeys = \"k\"", "webhook.keys", "is a text, but a list", "keys = ["),
    ("[webhook]\nlinger_seconds = 61", "webhook.linger_seconds", "61", "60"),
    ("[webhook]\nkeys = [1]", "webhook.keys[0]", "is a number, but a text or a table", "env"),
    ("[webhook]\nbehind_proxy = \"yes\"", "webhook.behind_proxy", "is a text, but true or false", "true"),
    ("[webhook]\nmax_waiting = \"many\"", "webhook.max_waiting", "is a text, but a number", "4096"),
    ("[webhook]\nmax_waiting = 0", "webhook.max_waiting", "0 is out of bounds", "from 1 to"),
    ("[azure]\nports = { https = 70000 }", "azure.ports.https", "70000 is out of bounds", "65535"),
    ("[azure]\nmax_in_flight = 99999999999999999999", "azure.max_in_flight", "out of bounds", "65535"),
    ("[queue]\nmax_bytes = 1000", "queue.max_bytes", "1000 is out of bounds", "16777216"),
    ("[queue]\ndir = 1.5", "queue.dir", "decimal point", "data"),
    ("[queue]\ndir = \"\"", "queue.dir", "empty", "directory"),
    ("[log]\nlevel = \"inof\"", "log.level", "`inof`", "did you mean \"info\"?"),
    ("[log]\nformat = \"xml\"", "log.format", "`xml`", "\"text\", \"json\""),
    // traces
    (
        "[traces]\nendpoint = \"localhost:4318\"",
        "traces.endpoint",
        "neither http:// nor https://",
        "http://localhost:4318/v1/traces",
    ),
    ("[traces]\nendpoint = \"https://:1\"", "traces.endpoint", "", "endpoint = "),
    ("[traces]\nsample = 1.5", "traces.sample", "share", "0.0 to 1.0"),
    ("[traces]\nsample = nan", "traces.sample", "share", "0.0 to 1.0"),
    (
        "[traces]\nheaders = { \"a b\" = { env = \"LONGHAUL_WEBHOOK_KEY\" } }",
        "traces.headers.a b",
        "no header of HTTP",
        "collector",
    ),
    // a shared queue
    ("[queue]\nkind = \"azure-storage\"", "queue.kind", "none is named", "connection_string = {"),
    (
        "[queue]\nkind = \"azure-storage\"\naccount_url = \"acme1\"\nconnection_string = { env = \"STORAGE_CONNECTION_STRING\" }",
        "queue.connection_string",
        "stands beside account_url",
        "keep one",
    ),
    (
        "[queue]\nkind = \"azure-storage\"\nconnection_string = { env = \"LONGHAUL_WEBHOOK_KEY\" }",
        "queue.connection_string",
        "the connection string",
        "",
    ),
    (
        "[queue]\nkind = \"azure-storage\"\naccount_url = \"http://acme1.blob.core.windows.net\"",
        "queue.account_url",
        "without TLS",
        "https://",
    ),
    (
        "[queue]\nkind = \"azure-storage\"\naccount_url = \"acme1\"\ncontainer = \"Long_Haul\"",
        "queue.container",
        "no name of a container",
        "lower-case",
    ),
    (
        "[queue]\nkind = \"azure-storage\"\naccount_url = \"acme1\"\npartitions = 0",
        "queue.partitions",
        "0 is out of bounds",
        "from 1 to 256",
    ),
    (
        "[queue]\nkind = \"azure-storage\"\naccount_url = \"acme1\"\nmax_bytes = 16777216",
        "queue.max_bytes",
        "kind = \"embedded\" only",
        "remove it",
    ),
    (
        "[queue]\naccount_url = \"acme1\"",
        "queue.account_url",
        "kind = \"azure-storage\" only",
        "kind = \"azure-storage\"",
    ),
    ("[queue]\nkind = \"embedded\"\npartitions = 4", "queue.partitions", "kind = \"azure-storage\" only", "remove it"),
    // words
    ("[queue]\nkind = \"embeded\"", "queue.kind", "`embeded`", "did you mean \"embedded\"?"),
    ("[azure]\ncredential = \"certificate\"", "azure.credential", "`certificate`", "service-principal"),
    // key vaults
    ("[admin]\ntoken = { key_vault = \"https://v.vault.azure.net\" }", "admin.token", "no secret in it", "secret = "),
    ("[alarms]\nwebhook = \"http://h/x\"", "alarms.webhook", "https://", "HOST"),
    ("[alarms]\ntoken = { env = \"ALARM_TOKEN\" }", "alarms.token", "of no use", "webhook"),
    ("[alarms]\nheader = \"x-key\"", "alarms.header", "of no use", "token"),
    ("[alarms]\nqueue_old = \"0s\"", "alarms.queue_old", "not within", "10m"),
    ("[alarms]\nqueue_old = \"soon\"", "alarms.queue_old", "no duration", "10m"),
    ("[alarms]\noff = [\"hub_dwn\"]", "alarms.off[0]", "no alarm", "hub_down"),
    ("[admin]\ntoken = { env = \"LONGHAUL_ADMIN_TOKEN\", secret = \"s\" }", "admin.token.secret", "not a key", "env"),
    ("[admin]\ntoken = { key_vault = \"v\", secret = \"s\" }", "admin.token", "by https only", "https://NAME.vault"),
    (
        "[admin]\ntoken = { key_vault = \"https://v\", secret = \"a_b\" }",
        "admin.token",
        "not the name of a secret",
        "127",
    ),
    (
        "[admin]\ntoken = { key_vault = \"https://v\", secret = \"s\", env = \"E\" }",
        "admin.token",
        "both env and key_vault",
        "keep one",
    ),
    (
        "[admin]\ntoken = { key_vault = \"https://v.vault.azure.net\", secret = \"s\" }",
        "admin.token",
        "https://v.vault.azure.net/secrets/s was not fetched",
        "longhaul run",
    ),
    // listeners
    ("[webhook]\nlisten = \"8080\"", "webhook.listen", "`8080` is not an address", "IP:PORT"),
    ("[webhook]\nlisten = \"example.org:80\"", "webhook.listen", "not an address", "0.0.0.0:8080"),
    (
        "[webhook]\nlisten = \"0.0.0.0:1\"\nkeys = []\nbehind_proxy = true",
        "webhook.keys",
        "there is no key",
        "keys = [",
    ),
    (
        "[webhook]\nlisten = \"0.0.0.0:1\"\nkeys = { }\nbehind_proxy = true",
        "webhook.keys",
        "is a table, but a list",
        "keys = [",
    ),
    ("[webhook]\nlisten = \"0.0.0.0:8080\"\nbehind_proxy = true", "webhook.keys", "there is no key", "keys = ["),
    (
        "[webhook]\nlisten = \"0.0.0.0:8080\"\nkeys = [{ env = \"LONGHAUL_WEBHOOK_KEY\" }]",
        "webhook.listen",
        "no TLS",
        "behind_proxy",
    ),
    (
        "[webhook]\nlisten = \"[::]:8080\"\nkeys = [{ env = \"NONE\" }]\nbehind_proxy = true",
        "webhook.keys[0]",
        "`NONE` is not set",
        "environment",
    ),
    (
        "[webhook]\nlisten = \"0.0.0.0:1\"\nkeys = [{ file = \"own.key\" }]\ncert_file = \"cert.pem\"",
        "webhook.key_file",
        "is missing",
        "private key",
    ),
    ("[webhook]\nkey_file = \"key.pem\"", "webhook.cert_file", "is missing", "chain"),
    ("[webhook]\ncert_file = \"no.pem\"\nkey_file = \"key.pem\"", "webhook.cert_file", "cannot be read", "path"),
    ("[webhook]\ncert_file = \"cert.pem\"\nkey_file = \"cert.pem\"", "webhook.key_file", "no PRIVATE KEY", "BEGIN"),
    ("[webhook]\nnetwork = \"my network\"", "webhook.network", "`my network`", "letters"),
    ("[admin]\nlisten = \"0.0.0.0:8081\"", "admin.token", "there is no token", "127.0.0.1"),
    ("[admin]\nlisten = \"127.0.0.1:8080\"", "admin.listen", "taken by webhook.listen", "8081"),
    ("[webhook]\nlisten = \"127.0.0.1:8081\"", "webhook.listen", "taken", "8081"),
    ("[azure]\nca_file = \"key.pem\"", "azure.ca_file", "no CERTIFICATE", "BEGIN"),
    ("[azure]\nca_file = \"none.pem\"", "azure.ca_file", "/etc/longhaul/none.pem cannot be read", "directory"),
    // secrets
    ("[webhook]\nkeys = [\"\"]", "webhook.keys[0]", "empty", "set it"),
    ("[webhook]\nkeys = [{}]", "webhook.keys[0]", "nowhere", "env"),
    ("[webhook]\nkeys = [{ env = \"EMPTY\" }]", "webhook.keys[0]", "empty", "set it"),
    ("[webhook]\nkeys = [{ file = \"empty.key\" }]", "webhook.keys[0]", "empty", "set it"),
    ("[webhook]\nkeys = [{ file = \"two.key\" }]", "webhook.keys[0]", "line break", "one line"),
    ("[webhook]\nkeys = [{ file = \"none.key\" }]", "webhook.keys[0]", "cannot be read", "path"),
    ("[webhook]\nkeys = [{ env = \"A\", file = \"b\" }]", "webhook.keys[0]", "both", "one"),
    (
        "[webhook]\nkeys = [{ evn = \"A\", file = \"own.key\" }]",
        "webhook.keys[0].evn",
        "not a key",
        "did you mean `env`?",
    ),
    ("[webhook]\nkeys = [\"k1\", \"k1\"]", "webhook.keys[1]", "same key", "own key"),
    ("[webhook]\nkeys = [{ key = \"k1\", applications = [] }]", "webhook.keys[0].applications", "nobody", "remove it"),
    (
        "[webhook]\nkeys = [{ key = \"k1\", applications = \"a\" }]",
        "webhook.keys[0].applications",
        "is a text, but a list",
        "[\"building\"]",
    ),
    // targets
    (
        "[targets.b]\nid_scope = \"0ne00ABCDEF\"\ngroup_key = { env = \"GROUP_KEY\" }",
        "targets.b.kind",
        "is missing",
        "iot-hub",
    ),
    (
        "[targets.b]\nkind = \"iothub\"\nconnection_string = { env = \"DEVICE_CONNECTION_STRING\" }",
        "targets.b.kind",
        "`iothub`",
        "did you mean \"iot-hub\"?",
    ),
    ("[targets.b]\nkind = \"dps\"\nid_scope = \"0ne00ABCDEF\"", "targets.b.group_key", "is missing", "primary key"),
    ("[targets.b]\nkind = \"dps\"\ngroup_key = { env = \"GROUP_KEY\" }", "targets.b.id_scope", "is missing", "0ne"),
    ("[targets.b]\nkind = \"iot-hub\"", "targets.b.connection_string", "is missing", "primary connection string"),
    (
        "[targets.b]\nkind = \"iot-hub\"\nconnection_string = { env = \"DEVICE_CONNECTION_STRING\" }\nid_scope = \"x\"",
        "targets.b.id_scope",
        "belongs to kind = \"dps\"",
        "change the kind",
    ),
    (
        "[targets.b]\nkind = \"iot-hub\"\nconnection_string = { env = \"DEVICE_CONNECTION_STRING\" }\ndevice_id = \"x\"",
        "targets.b.device_id",
        "no use",
        "remove",
    ),
    (
        "[targets.b]\nkind = \"iot-hub\"\nconnection_string = \"HostName=h;SharedAccessKeyName=p;SharedAccessKey=AAAAAAAAAAAAAAAAAAAAAA==\"\ndevice_id = \"a/{device_id}\"",
        "targets.b.device_id",
        "would call a device `a/sensor-1`",
        "letters, digits",
    ),
    (
        "[targets.b]\nkind = \"iot-hub\"\nconnection_string = \"HostName=h;DeviceId=d\"",
        "targets.b.connection_string",
        "SharedAccessKey is missing",
        "portal",
    ),
    (
        "[targets.b]\nkind = \"iot-hub\"\nconnection_string = \"Endpoint=sb://x/;SharedAccessKey=a\"",
        "targets.b.connection_string",
        "event hub",
        "device",
    ),
    ("[targets]\nb = 1", "targets.b", "is a number, but a table", "[targets.main]"),
    // routes
    (
        "[[routes]]\napplication = \"a\"\ntarget = \"mian\"",
        "routes[0].target",
        "no target `mian`",
        "did you mean \"main\"?",
    ),
    ("[[routes]]\napplication = \"a\"", "routes[0].target", "is missing", "\"main\""),
    (
        "[[routes]]\napplication = \"a\"\ndrop = true\ntarget = \"main\"",
        "routes[0].drop",
        "and have a target",
        "one of them",
    ),
    ("[[routes]]\napplication = \"a\"\ndrop = 1", "routes[0].drop", "is a number", "true"),
    ("[[routes]]\nport = 1\ntarget = \"main\"", "routes[0].port", "without an application", "application = "),
    (
        "[[routes]]\napplication = \"a\"\nport = 0\ntarget = \"main\"",
        "routes[0].port",
        "0 is not a LoRaWAN port",
        "223",
    ),
    ("[[routes]]\napplication = \"a\"\nport = 256\ntarget = \"main\"", "routes[0].port", "256 is not", "223"),
    (
        "[[routes]]\napplication = \"a\"\nport = \"10\"\ntarget = \"main\"",
        "routes[0].port",
        "is a text, but a number",
        "port = 10",
    ),
    ("[[routes]]\napplication = \"\"\ntarget = \"main\"", "routes[0].application", "empty", "default route"),
    ("[[routes]]\ntarget = \"main\"", "routes[1]", "second default route, after routes[0] (line 1)", "keep one"),
    (
        "[[routes]]\napplication = \"a\"\nport = 1\ntarget = \"main\"\n[[routes]]\napplication = \"a\"\nport = 1\ntarget = \"main\"",
        "routes[1]",
        "application `a` port 1, after routes[0]",
        "keep one",
    ),
    // syntax
    ("[webhook", "", "column 9: ", "correct the TOML"),
    ("[log]\nlevel = info", "", "column 9: ", "correct the TOML"),
    ("[log]\nlevel = \"info\"\nlevel = \"warn\"", "", "duplicate key", "correct the TOML"),
];

#[test]
fn each_mistake_is_named_alone_with_cause_and_mend() {
    for (text, key, cause, mend) in ALONE {
        let mistakes = World::new().read(&format!("{text}\n{LEAST}")).err().unwrap_or_default();
        let shown = report("test", &mistakes);
        let [mistake] = &mistakes[..] else { panic!("{text}\n{shown}") };
        assert_eq!(mistake.key, *key, "{text}\n{shown}");
        assert!(mistake.cause.contains(cause) && mistake.mend.contains(mend), "{text}\n{shown}");
        assert!(mistake.place.is_some(), "{text}\n{shown}");
    }
}

/// A line of [`LEAST`] replaced; then key, part of the cause and part of the mend.
const REPLACED: &[(&str, &str, &str, &str)] = &[
    ("group_key = \"not base64!\"", "targets.main.group_key", "not base64", "portal"),
    ("group_key = \"AAAA\"", "targets.main.group_key", "3 bytes", "cut off"),
    ("group_key = { env = \"DEVICE_CONNECTION_STRING\" }", "targets.main.group_key", "connection string", "iot-hub"),
    ("group_key = { env = \"NONE\" }", "targets.main.group_key", "`NONE` is not set", "environment"),
    ("group_key = 1", "targets.main.group_key", "is a number", "env"),
    ("id_scope = \"0ne 1\"", "targets.main.id_scope", "not an id scope", "ID scope"),
    ("id_scope = 123", "targets.main.id_scope", "is a number", "0ne"),
    (
        "id_scope = \"0ne00ABCDEF\"\nendpoint = \"https://x\"",
        "targets.main.endpoint",
        "without https://",
        "endpoint = ",
    ),
    ("id_scope = \"0ne00ABCDEF\"\nmodel_id = \"Sensor\"", "targets.main.model_id", "`Sensor`", "dtmi:"),
    ("id_scope = \"0ne00ABCDEF\"\ndevice_id = \"{devid}\"", "targets.main.device_id", "{devid}", "application_id"),
    (
        "id_scope = \"0ne00ABCDEF\"\ndevice_id = \"{application_id}\"",
        "targets.main.device_id",
        "the same name",
        "{dev_eui}",
    ),
    (
        "id_scope = \"0ne00ABCDEF\"\ndevice_id = \"{device_id} x\"",
        "targets.main.device_id",
        "`sensor-1 x`",
        "lower case",
    ),
    ("id_scope = \"0ne00ABCDEF\"\ndevice_id = \"A-{device_id}\"", "targets.main.device_id", "upper case", "lower case"),
    (
        "id_scope = \"0ne00ABCDEF\"\nconnection_string = \"x\"",
        "targets.main.connection_string",
        "belongs to kind = \"iot-hub\"",
        "kind",
    ),
    (
        "kind = \"iot-central\"\ndevice_id = \"{application_id}.{device_id}\"",
        "targets.main.device_id",
        "IoT Central",
        "letters, digits and '-'",
    ),
];

#[test]
fn each_mistake_in_a_target_is_named_alone() {
    for (line, key, cause, mend) in REPLACED {
        let name = line.split(" = ").next().unwrap();
        let replaced = |old: &str| if old.starts_with(name) { (*line).to_owned() } else { old.to_owned() };
        let text = LEAST.lines().map(replaced).collect::<Vec<_>>().join("\n");
        let mistakes = World::new().read(&text).err().unwrap_or_default();
        let shown = report("test", &mistakes);
        let [mistake] = &mistakes[..] else { panic!("{line}\n{shown}") };
        assert_eq!(mistake.key, *key, "{line}\n{shown}");
        assert!(mistake.cause.contains(cause) && mistake.mend.contains(mend), "{line}\n{shown}");
    }
}

#[test]
fn a_file_without_target_or_route_has_nothing_to_do() {
    let mistakes = World::new().read("").unwrap_err();
    let keys: Vec<_> = mistakes.iter().map(|mistake| mistake.key.as_str()).collect();
    assert_eq!(keys, ["targets", "routes"]);
}

#[test]
fn a_section_of_the_wrong_type_is_reported_once() {
    let keys = |text: &str| {
        let mistakes = World::new().read(text).unwrap_err();
        mistakes.into_iter().map(|mistake| mistake.key).collect::<Vec<_>>()
    };
    let targets = LEAST.split("[[routes]]").next().unwrap();
    assert_eq!(keys(&format!("routes = 1\n{targets}")), ["routes"]);
    assert_eq!(keys(&format!("routes = []\n{targets}")), ["routes"]);
    assert_eq!(keys(&format!("routes = {{ target = \"main\" }}\n{targets}")), ["routes"]);
    assert_eq!(keys("targets = 1\n[[routes]]\ntarget = \"main\""), ["targets", "routes[0].target"]);
}

const EIGHT: &str = r#"
[webhook]
listen = "0.0.0.0:8080"
behind_proxy = true
max_waiting = "many"

[admin]
listn = "127.0.0.1:8081"

[queue]
kind = "azure-storage"

[targets.main]
kind = "dps"
id_scope = "0ne00ABCDEF"
group_key = "this is not base64"
endpoint = "https://localhost:8443"

[[routes]]
target = "mian"

[[routes]]
application = "vehicles"
port = 300
target = "main"
"#;

#[test]
fn eight_different_mistakes_are_eight_in_the_order_of_the_file() {
    let mistakes = World::new().read(EIGHT).unwrap_err();
    let found: Vec<_> = mistakes.iter().map(|mistake| (mistake.place.clone(), mistake.key.as_str())).collect();
    let at = |line, key| (Some(Place::Line(line)), key);
    let wanted = [
        at(2, "webhook.keys"),
        at(5, "webhook.max_waiting"),
        at(8, "admin.listn"),
        at(11, "queue.kind"),
        at(16, "targets.main.group_key"),
        at(17, "targets.main.endpoint"),
        at(20, "routes[0].target"),
        at(24, "routes[1].port"),
    ];
    assert_eq!(found, wanted, "{}", report("test", &mistakes));
    assert_eq!(report("test", &mistakes).matches("\n    mend: ").count(), 8);
}

#[test]
fn a_syntax_error_hides_no_mistake_elsewhere() {
    let keys = |text: &str| {
        let mistakes = World::new().read(text).unwrap_err();
        mistakes.into_iter().map(|mistake| mistake.key).collect::<Vec<_>>()
    };
    let webhook = "[webhook]\nlisten = \"0.0.0.0:1\"\nbehind_proxy = true";
    let route = "[[routes]]\napplication = \"a\"\ntarget = \"mian\"";
    let text = format!("[log]\nlevel = info\n{webhook}\n[queue]\nmax_bytes = 1\n{route}\n{LEAST}");
    assert_eq!(keys(&text), ["", "webhook.keys", "queue.max_bytes", "routes[0].target"]);
    // What the broken line was to set is not called missing.
    assert_eq!(keys(&format!("{webhook}\nkeys = \"a\n{LEAST}")), [""]);
    assert_eq!(keys(&LEAST.replace("[targets.main]", "[targets.main")), [""]);
    // A bracket that is never closed takes the rest of the file with it.
    assert_eq!(keys(&format!("{webhook}\nkeys = [\"a]\n{LEAST}")), [""; 5]);
}
