//! Which setups are taken, and what is said of the others.

use super::*;

fn said(text: &str) -> String {
    Setup::parse(text).map_or_else(|error| error.to_string(), |setup| format!("taken: {setup:?}"))
}

#[test]
fn a_setup_with_everything_is_taken_and_what_is_left_out_is_usual() {
    let text = r#"{"hubs": ["hub1.azure-devices.net", "hub2.azure-devices.net"], "scopes": [
        {"id_scope": "0ne1", "groups": [
            {"name": "a", "primary_key": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "hubs": ["hub1.azure-devices.net"],
             "allocation": {"static": "HUB1.azure-devices.net"}, "reprovision": "never", "enabled": false, "payload": {"a": 1}},
            {"name": "b"}]},
        {"groups": [{"name": "a", "allocation": "hashed"}]}]}"#;
    let setup = Setup::parse(text).unwrap();
    assert_eq!(setup.scopes[0].groups[0].reprovision, Reprovision::Never);
    assert_eq!(setup.scopes[0].groups[1], GroupSetup::named("b"));
    assert_eq!(setup.scopes[1].id_scope, None);
    assert_eq!(Setup::parse("{}"), Ok(Setup::default()));
    let events = vec![EventSource::Twin, EventSource::Lifecycle];
    assert_eq!(Setup::parse(r#"{"events":["twin","lifecycle"]}"#), Ok(Setup { events, ..Setup::default() }));
}

#[test]
fn a_mistake_is_told_with_its_key_its_cause_and_what_to_do() {
    let group = |text: &str| format!(r#"{{"hubs":["h1","h2"],"scopes":[{{"id_scope":"s","groups":[{text}]}}]}}"#);
    for (text, key, cause, mend) in [
        ("{", "not a setup", "EOF", "docs/azure-sim.md"),
        (r#"{"hub":[]}"#, "not a setup", "unknown field `hub`", "expected one of `hubs`"),
        (r#"{"hubs":["../etc"]}"#, "hubs", "not a host name", "hub1.azure-devices.net"),
        (r#"{"hubs":[""]}"#, "hubs", "not a host name", "hub1.azure-devices.net"),
        (r#"{"hubs":["hub1.a","HUB1.b"]}"#, "hubs", "called HUB1 up to the first dot", "rename"),
        (r#"{"scopes":[{"id_scope":"s"}]}"#, "scopes[0].groups", "nobody could register", "write a group"),
        (r#"{"scopes":[{"id_scope":"a/b","groups":[{"name":"g"}]}]}"#, "scopes[0].id_scope", "letters", "0ne00AAAA01"),
        (r#"{"scopes":[{"groups":[{"name":"g","hubs":["h1"]}]}]}"#, "hubs", "missing", "list the host names"),
        (r#"{"scopes":[{"groups":[{"name":"g"}]},{"groups":[{"name":"g"}]}]}"#, "scopes", "twice", "give each its own"),
        (&group(r#"{"name":"g"},{"name":"G"}"#), "scopes[0].groups", "name G is there twice", "give each its own"),
        (&group(r#"{"name":""}"#), "scopes[0].groups[0].name", "empty", "group-1"),
        (&group(r#"{"name":"g","primary_key":"a"}"#), "scopes[0].groups[0].primary_key", "not base64", "leave it out"),
        (
            &group(r#"{"name":"g","secondary_key":"a"}"#),
            "scopes[0].groups[0].secondary_key",
            "not base64",
            "leave it out",
        ),
        (&group(r#"{"name":"g","hubs":["h3"]}"#), "scopes[0].groups[0].hubs", "h3 is not one of hubs", "add it there"),
        (
            &group(r#"{"name":"g","hubs":["h1"],"allocation":{"static":"h2"}}"#),
            "scopes[0].groups[0].allocation.static",
            "h2 is not one of the group's hubs",
            "add it there",
        ),
    ] {
        let said = said(text);
        assert!(said.starts_with(key) && said.contains(cause) && said.contains(mend), "{text}: {said}");
    }
}

#[test]
fn no_more_is_taken_than_a_real_service_has() {
    let hubs: Vec<String> = (0..=HUBS_MAX).map(|at| format!("h{at}")).collect();
    assert!(Setup { hubs: hubs[1..].to_vec(), ..Setup::default() }.check().is_ok());
    assert!(Setup { hubs, ..Setup::default() }.check().is_err());
    let groups: Vec<_> = (0..=GROUPS_MAX).map(|at| GroupSetup::named(&format!("g{at}"))).collect();
    let with = |groups| Setup { scopes: vec![ScopeSetup { id_scope: None, groups }], ..Setup::default() };
    assert!(with(groups[1..].to_vec()).check().is_ok());
    assert!(with(groups).check().is_err());
}

#[test]
fn keys_are_not_in_what_a_log_shows() {
    let group = GroupSetup { primary_key: Some("secret".to_owned()), ..GroupSetup::named("g") };
    assert!(
        !format!(
            "{:?}",
            Setup { scopes: vec![ScopeSetup { id_scope: None, groups: vec![group] }], ..Setup::default() }
        )
        .contains("secret")
    );
}
