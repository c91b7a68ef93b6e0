//! Secrets in key vaults: what is wanted of them, and what becomes of it.

use vault::{Failure, Fetched, Reference, Value};

use super::super::vaults::{Vaults, read_with, wanted};
use super::*;
use crate::config::{Source, TargetKind};

/// A key vault wherever a secret may stand.
const ALL: &str = r#"
[webhook]
keys = [
  { key_vault = "https://v.vault.azure.net", secret = "one" },
  { key = { key_vault = "https://V.vault.azure.net/", secret = "two" }, applications = ["hall"] },
  { key_vault = "https://v.vault.azure.net", secret = "one", version = "0123456789abcdef0123456789abcdef" },
]
[admin]
token = { key_vault = "https://other.vault.azure.net", secret = "one" }
[azure]
credential = "workload-identity"
[targets.main]
kind = "dps"
id_scope = "0ne00ABCDEF"
group_key = { key_vault = "https://v.vault.azure.net", secret = "group" }
secondary_group_key = { key_vault = "https://v.vault.azure.net", secret = "group" }
[targets.hub]
kind = "iot-hub"
connection_string = { key_vault = "https://v.vault.azure.net", secret = "hub" }
device_id = "{application_id}--{device_id}"
[[routes]]
target = "main"
[[routes]]
application = "vehicles"
target = "hub"
"#;

const HUB: &str = "HostName=h.azure-devices.net;SharedAccessKeyName=p;SharedAccessKey=AAAAAAAAAAAAAAAAAAAAAA==";

fn secret(name: &str) -> Reference {
    Reference::new("https://v.vault.azure.net", name, None).unwrap()
}

fn read(text: &str, vaults: Vaults<'_>) -> Result<Read, Vec<Mistake>> {
    read_with(text, &[], Path::new(""), &|_| Err(io::ErrorKind::NotFound.into()), vaults)
}

fn wants(text: &str) -> Vec<String> {
    let wanted = wanted(text, &[], Path::new(""), &|_| Err(io::ErrorKind::NotFound.into()));
    wanted.secrets.iter().map(ToString::to_string).collect()
}

fn fetched() -> Fetched {
    let value = |value: &str| Ok(Value::new(value.to_owned()));
    let version = Some("0123456789abcdef0123456789abcdef");
    [
        (secret("one"), value("key-of-the-webhook-1\n")),
        (secret("two"), value("key-of-the-webhook-2")),
        (Reference::new("https://v.vault.azure.net", "one", version).unwrap(), value("key-of-the-webhook-0")),
        (Reference::new("https://other.vault.azure.net", "one", None).unwrap(), value("token-of-the-admin-1")),
        (secret("group"), value(GROUP_KEY)),
        (secret("hub"), value(HUB)),
    ]
    .into()
}

#[test]
fn each_is_wanted_once_and_taken_where_it_stands() {
    let all = wants(ALL);
    assert_eq!(all.len(), 6, "{all:?}");
    let read = read(ALL, Vaults::Fetched(&fetched())).unwrap();
    let keys: Vec<_> = read.config.webhook.keys.iter().map(|key| key.secret.expose().as_str()).collect();
    assert_eq!(keys, ["key-of-the-webhook-1", "key-of-the-webhook-2", "key-of-the-webhook-0"], "without the line feed");
    assert_eq!(read.config.webhook.keys[1].source, Source::KeyVault(secret("two")));
    assert_eq!(read.config.azure.credential, Some(vault::Kind::WorkloadIdentity));
    let TargetKind::Policy(policy) = &read.config.targets["hub"].kind else { panic!("it is a policy's") };
    assert_eq!(policy.host, "h.azure-devices.net");
    assert_eq!((read.vault_secrets.len(), read.warnings.len()), (7, 0), "{:?}", read.warnings);
}

#[test]
fn a_variable_may_name_a_vault_as_well() {
    let world =
        World::new().with("LONGHAUL__ADMIN__TOKEN", r#"{ key_vault = "https://v.vault.azure.net", secret = "one" }"#);
    let wanted = wanted(LEAST, &world.env, Path::new(""), &|_| Err(io::ErrorKind::NotFound.into()));
    assert_eq!(wanted.secrets, [secret("one")].into());
}

#[test]
fn what_is_wanted_is_known_whatever_else_is_wrong() {
    let wrong = ALL.replace("0ne00ABCDEF", "!").replace("target = \"main\"", "target = \"mian\"");
    assert_eq!(wants(&wrong).len(), 6);
    assert!(wants(LEAST).is_empty());
}

#[test]
fn without_asking_all_else_is_read_and_nothing_is_opened() {
    let read = read(ALL, Vaults::Unasked).unwrap();
    assert_eq!((read.vault_secrets.len(), read.warnings.len()), (7, 0), "{:?}", read.warnings);
    let mistakes = super::super::read(ALL, &[], Path::new(""), &|_| Err(io::ErrorKind::NotFound.into())).unwrap_err();
    assert_eq!(mistakes.len(), 7, "who does not say so gets no configuration: {mistakes:?}");
}

#[test]
fn a_secret_that_could_not_be_fetched_is_a_mistake_of_its_key() {
    let mut fetched = fetched();
    let failure = Failure { cause: "is not there".to_owned(), mend: "put it there".to_owned(), transient: false };
    fetched.insert(secret("two"), Err(failure));
    fetched.insert(secret("group"), Ok(Value::new("canary\ncanary".to_owned())));
    let mistakes = read(ALL, Vaults::Fetched(&fetched)).unwrap_err();
    let keys: Vec<_> = mistakes.iter().map(|mistake| mistake.key.as_str()).collect();
    assert_eq!(keys, ["webhook.keys[1].key", "targets.main.group_key", "targets.main.secondary_group_key"]);
    assert_eq!(mistakes[0].cause, "https://v.vault.azure.net/secrets/two: is not there");
    assert!(!format!("{mistakes:?}").contains("canary"));
}

#[test]
fn more_secrets_than_anybody_needs_are_refused() {
    let keys: Vec<_> =
        (0..70).map(|nth| format!("{{ key_vault = \"https://v.vault.azure.net\", secret = \"k{nth}\" }}")).collect();
    let text = format!("[webhook]\nkeys = [{}]\n{LEAST}", keys.join(", "));
    assert_eq!(wants(&text).len(), 64, "and not fetched either");
    let mistakes = World::new().read(&text).unwrap_err();
    let too_many = mistakes.iter().filter(|mistake| mistake.cause.contains("more than 64")).count();
    assert_eq!(too_many, 6);
}
