//! Nothing secret in any message, and no text that makes reading panic.

use proptest::prelude::*;

use super::*;
use crate::config::{Config, Route, report};

/// Looked for in every output. Long enough for a key, valid base64 but for the mark at its end.
const CANARY: &str = "C4n4ryC4n4ryC4n4ryC4n4ryC4n4ry";

/// All that a run would say: messages, and the configuration in a debug line.
fn shown(world: &World, text: &str) -> String {
    match world.read(text) {
        // An id scope is no secret once it is taken for one.
        Ok(read) if text.contains("id_scope = \"C4n4ry") || text.contains("id_scope = 'C4n4ry") => {
            report("test", &read.warnings)
        }
        Ok(read) => format!("{:?} {}", read.config, report("test", &read.warnings)),
        Err(mistakes) => report("test", &mistakes),
    }
}

#[test]
fn no_message_about_a_secret_repeats_it() {
    let spoilt = [
        CANARY.to_owned(),
        format!("{CANARY}!"),
        format!("{CANARY}\\n{CANARY}"),
        format!("HostName=hub;DeviceId=d;SharedAccessKey={CANARY}"),
        format!("HostName=hub;DeviceId=d;SharedAccessKey={CANARY}!"),
        format!("HostName=hub;SharedAccessKeyName=p;SharedAccessKey={CANARY}"),
        format!("HostName={CANARY}/;DeviceId=d;SharedAccessKey=x"),
        format!("SharedAccessSignature sr={CANARY}"),
        format!("{CANARY};{CANARY}={CANARY}"),
    ];
    let places = [
        "[webhook]\nlisten = \"0.0.0.0:1\"\nkeys = [@, @]",
        "[webhook]\nkeys = [{ key = @, aplications = [] }]",
        "[webhook]\nkeys = @",
        "[webhook]\nkeys = [[@]]",
        "[webhook]\nkeys = [ @",
        "[admin]\nlisten = \"0.0.0.0:1\"\ntoken = @",
        "[admin]\ntoken = { secret = @ }",
        "[admin]\ntoken = [@]",
        "[admin]\ntoken = @ @",
        "[targets.b]\nkind = \"dps\"\nid_scope = @\ngroup_key = @",
        "[targets.b]\nkind = \"dps\"\nsecondary_group_key = @",
        "[targets.b]\nkind = \"iot-hub\"\nconnection_string = @",
        "[targets.b]\nkind = \"dps\"\nconnection_string = @",
        "[targets.b]\ngruop_key = @",
        "[queue]\nkind = \"azure-storage\"\nconnection_string = @",
        "[queue]\nkind = \"azure-storage\"\naccount_url = @",
        "[queue]\nconnection_string = @",
        "AzureIotHubConnectionString = @",
    ];
    let mut seen = 0;
    for place in places {
        for secret in &spoilt {
            for quoted in [format!("\"{secret}\""), secret.clone(), format!("\"{secret}"), format!("'{secret}'")] {
                let shown = shown(&World::new(), &format!("{}\n{LEAST}", place.replace('@', &quoted)));
                assert!(!shown.contains("C4n4ry"), "{place} with {quoted}\n{shown}");
                seen += usize::from(shown.contains("mend: "));
            }
        }
    }
    assert!(seen > 400, "{seen}");
}

#[test]
fn no_message_repeats_a_secret_of_the_environment() {
    for name in [
        "GROUP_KEY",
        "LONGHAUL_WEBHOOK_KEY",
        "LONGHAUL__WEBHOOK__KEYS",
        "LONGHAUL__TARGETS__MAIN__GROUP_KEY",
        "LONGHAUL__TARGETS__MAIN__GRUOP_KEY",
        "LONGHAUL__ADMIN__TOKEN__X",
    ] {
        let mut world = World::new();
        world.env.retain(|(known, _)| known != name);
        for value in [
            CANARY.to_owned(),
            format!("[\"{CANARY}\", 1]"),
            format!("{{ env = 1, key = \"{CANARY}\" }}"),
            format!("\"{CANARY}"),
        ] {
            let world =
                World { env: [world.env.clone(), vec![(name.to_owned(), value.clone())]].concat(), files: Vec::new() };
            let shown = shown(&world, &format!("[webhook]\nkeys = [{{ env = \"LONGHAUL_WEBHOOK_KEY\" }}]\n{LEAST}"));
            assert!(!shown.contains("C4n4ry"), "{name} = {value}\n{shown}");
        }
    }
}

/// Lines as people and accidents make them.
fn line() -> impl Strategy<Value = String> {
    let header = "\\[{1,2}(webhook|admin|queue|azure|targets|targets\\.main|routes|log|x)\\]{1,2}";
    let key = "(listen|keys|token|kind|dir|ports|max_bytes|id_scope|group_key|connection_string|device_id|target|application|port|level|network|x\\.y)";
    let value = prop_oneof![
        Just("\"C4n4ry\"".to_owned()),
        "\"(dps|iot-hub|iot-central|embedded|main|[{}a-z_]{0,12})\"",
        "-?[0-9]{1,25}",
        "(true|nan|1e5|1979-05-27|\\[\\]|\\[\"a\", \\{\\}\\]|\\{ env = \"GROUP_KEY\" \\}|\\{ file = \"\" \\}|\\{ x = [1]\\})",
        "\\PC{0,12}",
    ];
    prop_oneof![
        1 => header,
        4 => (key, value).prop_map(|(key, value)| format!("{key} = {value}")),
        1 => "\\PC{0,20}",
    ]
}

/// Doors as operators may combine them: each line is there or not.
fn doors() -> impl Strategy<Value = String> {
    let maybe = |lines: &'static [&'static str]| proptest::sample::select([&[""], lines].concat());
    let listen = [
        "listen = \"127.0.0.1:1\"",
        "listen = \"0.0.0.0:1\"",
        "listen = \"[::]:2\"",
        "listen = \"192.0.2.1:1\"",
        "listen = \"[::1]:1\"",
    ];
    let listen = proptest::sample::select(listen.to_vec());
    let keys = maybe(&[
        "keys = []",
        "keys = [{ env = \"LONGHAUL_WEBHOOK_KEY\" }]",
        "keys = [{ env = \"EMPTY\" }]",
        "keys = [{}]",
    ]);
    let tls = maybe(&[
        "cert_file = \"cert.pem\"\nkey_file = \"key.pem\"",
        "cert_file = \"cert.pem\"",
        "behind_proxy = true",
        "behind_proxy = false",
    ]);
    let token = maybe(&["token = { env = \"LONGHAUL_ADMIN_TOKEN\" }", "token = { env = \"EMPTY\" }", "token = \"\""]);
    (listen.clone(), keys, tls, listen, token).prop_map(|(door, keys, tls, admin, token)| {
        format!("[webhook]\n{door}\n{keys}\n{tls}\n[admin]\n{admin}\n{token}\n{LEAST}")
    })
}

proptest! {
    #[test]
    fn no_door_is_open_to_strangers(text in doors()) {
        if let Ok(Read { config: Config { webhook, admin, .. }, .. }) = World::new().read(&text) {
            let local = webhook.listen.ip().is_loopback();
            prop_assert!(local || !webhook.keys.is_empty() && (webhook.tls.is_some() || webhook.behind_proxy), "{}", text);
            prop_assert!(admin.listen.ip().is_loopback() || admin.token.is_some(), "{}", text);
            prop_assert!(admin.listen != webhook.listen, "{}", text);
        }
    }

    #[test]
    fn no_text_makes_reading_panic(lines in proptest::collection::vec(line(), 0..25), least in any::<bool>()) {
        let text = format!("{}\n{}", lines.join("\n"), if least { LEAST } else { "" });
        let result = World::new().read(&text);
        if let Ok(Read { config, .. }) = &result {
            prop_assert!(!config.routes.is_empty());
            prop_assert!(config.routes.iter().filter_map(Route::target).all(|target| config.targets.contains_key(target)), "{}", text);
        }
        if let Err(mistakes) = &result {
            prop_assert!(!mistakes.is_empty());
            prop_assert!(mistakes.iter().all(|m| !m.cause.is_empty() && !m.mend.is_empty()));
        }
    }

    #[test]
    fn no_variable_makes_reading_panic(name in "LONGHAUL__[A-Z_]{0,20}", value in "\\PC{0,30}") {
        let _ = World::new().with(&name, &value).read(LEAST);
    }

    #[test]
    fn a_secret_key_never_shows_whatever_surrounds_it(
        before in "[ -~]{0,8}", after in "[ -~]{0,8}", quote in "[\"']{0,3}",
        key in "(keys|token|group_key|connection_string|secondary_group_key|id_scope)",
        section in "(webhook|admin|targets\\.main|targets\\.b|routes)",
    ) {
        let text = format!("[{section}]\n{key} = {quote}{before}{CANARY}{after}{quote}\n{LEAST}");
        let messages = World::new().read(&text).map_or_else(|mistakes| mistakes, |read| read.warnings);
        let shown = report("test", &messages);
        prop_assert!(!shown.contains("C4n4ry"), "{}\n{}", text, shown);
    }
}
