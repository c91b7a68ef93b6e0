//! Variables go before the file, and are checked like it.

use super::*;
use crate::config::{Place, TargetKind};

#[test]
fn variables_go_before_the_file() {
    let text = LEAST.replace("main", "my-hub");
    let read = World::new()
        .with("LONGHAUL__WEBHOOK__LISTEN", "127.0.0.1:9000")
        .with("LONGHAUL__WEBHOOK__KEYS", r#"["k1", { env = "LONGHAUL_WEBHOOK_KEY" }]"#)
        .with("LONGHAUL__ADMIN__TOKEN", "1234567890123456789012345")
        .with("LONGHAUL__AZURE__PORTS__HTTPS", "8443")
        .with("LONGHAUL__LOG__FORMAT", "json")
        .with("LONGHAUL__TARGETS__MY_HUB__ID_SCOPE", "0neABCDEF01")
        .with("LONGHAUL__TARGETS__MY_HUB__GROUP_KEY", "QUFBQUFBQUFBQUFBQUFBQUFBQQ==")
        .with("LONGHAUL_OTHER", "is not ours")
        .read(&text)
        .unwrap();
    let config = &read.config;
    assert_eq!(config.webhook.listen.port(), 9000);
    assert_eq!(config.webhook.keys.len(), 2);
    assert_eq!(config.admin.token.as_ref().unwrap().expose(), "1234567890123456789012345");
    assert_eq!((config.azure.https_port, config.azure.amqp_port, config.log.json), (8443, 5671, true));
    let TargetKind::Dps(dps) = &config.targets["my-hub"].kind else { panic!("a DPS") };
    assert_eq!((dps.id_scope.as_str(), dps.group_key.expose().len()), ("0neABCDEF01", 19));
}

#[test]
fn one_key_in_a_variable_needs_no_brackets() {
    let world = World::new().with("LONGHAUL__TARGETS__MAIN__ID_SCOPE", "0ne00ABCDEF");
    let read = world.with("LONGHAUL__WEBHOOK__KEYS", "a-key-of-twenty-chars").read(LEAST).unwrap();
    assert_eq!(read.config.webhook.keys[0].secret.expose(), "a-key-of-twenty-chars");
    assert_eq!(read.warnings, []);
}

#[test]
fn variables_alone_are_a_configuration() {
    let read = World::new()
        .with("LONGHAUL__TARGETS__MAIN__KIND", "dps")
        .with("LONGHAUL__TARGETS__MAIN__ID_SCOPE", "0ne00ABCDEF")
        .with("LONGHAUL__TARGETS__MAIN__GROUP_KEY", "{ env = \"GROUP_KEY\" }")
        .with("LONGHAUL__ROUTES", r#"[{ target = "main" }]"#)
        .read("")
        .unwrap();
    assert_eq!((read.config.targets.len(), read.config.routes.len()), (1, 1));
}

#[test]
fn a_wrong_variable_is_a_mistake_under_its_name() {
    let cases = [
        ("LONGHAUL__WEBHOOK__LISEN", "127.0.0.1:1", "webhook.lisen", "not a key"),
        ("LONGHAUL__WEBHOK__LISTEN", "127.0.0.1:1", "webhok", "not a key"),
        ("LONGHAUL__WEBHOOK__LISTEN", "nowhere", "webhook.listen", "not an address"),
        ("LONGHAUL__WEBHOOK__MAX_WAITING", "many", "webhook.max_waiting", "is a text, but a number"),
        ("LONGHAUL__WEBHOOK__KEYS", "7", "webhook.keys", "is a number, but a list"),
        ("LONGHAUL__WEBHOOK", "on", "webhook", "is a text, but a table"),
        ("LONGHAUL__", "x", "", "empty part"),
        ("LONGHAUL__WEBHOOK____LISTEN", "x", "webhook..listen", "empty part"),
        ("LONGHAUL__TARGETS__MAIN__KIND__X", "x", "targets.main.kind.x", "no table"),
    ];
    for (name, value, key, cause) in cases {
        let mistakes = World::new().with(name, value).read(LEAST).err().unwrap_or_default();
        let shown = crate::config::report("test", &mistakes);
        let [mistake] = &mistakes[..] else { panic!("{name}\n{shown}") };
        assert_eq!((mistake.key.as_str(), &mistake.place), (key, &Some(Place::Variable(name.to_owned()))), "{shown}");
        assert!(mistake.cause.contains(cause), "{shown}");
    }
}
