//! From TOML and environment to a [`Config`], with every mistake at once.
//!
//! Promises that a returned configuration is usable as it stands, that no mistake hides another, and that no message
//! repeats a secret. Relies on nothing but its arguments: files are opened by the caller's function, secrets of key vaults
//! are fetched before ([`vaults`]). Whether a host answers or a key is right is not known here.

mod alarms;
mod environment;
mod former;
mod listeners;
mod nearest;
mod queue;
mod reader;
mod routes;
mod secrets;
mod targets;
mod template;
mod traces;
mod tree;
pub mod vaults;

#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::time::Duration;

use super::{Azure, Config, DPS_PER_MINUTE, Given, Log, Mistake, Transport};
pub(crate) use nearest::nearest;
use reader::{ReadFile, Reader, Section};
use targets::Shared;
use vaults::Vaults;

/// Broken lines that are listed. A bracket that is not closed breaks every line after it, and the first tells most.
const SYNTAX_ERRORS_MAX: usize = 5;

/// A configuration that can be used, and what is allowed but unwise.
#[derive(Clone, Debug)]
pub struct Read {
    /// The configuration.
    pub config: Config,
    /// Not wrong, worth a thought.
    pub warnings: Vec<Mistake>,
    /// Keys whose secrets are in key vaults, and which.
    pub vault_secrets: Vec<(String, vault::Reference)>,
}

/// Reads a configuration.
///
/// `env` is the process environment (handed in): `LONGHAUL__SECTION__KEY` entries override keys, and secrets may name
/// any of it. Relative paths count from `base`, the directory of the file; `read_file` opens what the configuration
/// names: secrets and certificates. A secret in a key vault is a mistake here: [`vaults::read_with`] takes them.
///
/// # Errors
/// Every mistake found, in the order of the file.
pub fn read(
    text: &str,
    env: &[(String, String)],
    base: &Path,
    read_file: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Read, Vec<Mistake>> {
    vaults::read_with(text, env, base, read_file, Vaults::Fetched(&vault::Fetched::new()))
}

/// Only `[admin]`, for whoever wants to talk to a bridge that runs: what is wrong elsewhere, or a secret that this process
/// may not see, is none of its business.
///
/// # Errors
/// What is wrong with `[admin]`, or with the file as a whole.
pub fn admin(
    text: &str,
    env: &[(String, String)],
    base: &Path,
    read_file: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<super::Admin, Vec<Mistake>> {
    let pass = pass(text, env, base, read_file, Vaults::Unasked);
    let concerns_us = |key: &str| key.is_empty() || key == "admin" || key.starts_with("admin.");
    let mut mistakes: Vec<_> = pass.mistakes.into_iter().filter(|mistake| concerns_us(&mistake.key)).collect();
    mistakes.extend(pass.vault_secrets.into_iter().filter(|(key, _)| concerns_us(key)).map(|(key, secret)| Mistake {
        key,
        place: None,
        cause: format!("{secret} is not asked by this command"),
        mend: "set LONGHAUL_ADMIN_TOKEN to the token, and give --admin".to_owned(),
    }));
    if mistakes.is_empty() { Ok(pass.config.admin) } else { Err(mistakes) }
}

/// One reading. The configuration is of use only where there is no mistake.
struct Pass {
    config: Config,
    mistakes: Vec<Mistake>,
    warnings: Vec<Mistake>,
    vault_secrets: Vec<(String, vault::Reference)>,
}

fn pass(text: &str, env: &[(String, String)], base: &Path, read_file: ReadFile<'_>, vaults: Vaults<'_>) -> Pass {
    let mut reader = Reader::new(env, base, read_file, vaults);
    let (mut entries, errors) = tree::parse(text);
    for (at, error) in errors.iter().enumerate() {
        reader.broken_line(error, text, at < SYNTAX_ERRORS_MAX);
    }
    environment::put_over(&mut entries, env, &mut reader);
    let given = Given { file: None, keys: tree::places(&entries) };
    let config = Config { given, ..config(&mut reader, Section::root(entries)) };
    let vault_secrets = std::mem::take(&mut reader.vault_secrets);
    let (mistakes, warnings) = reader.finish();
    Pass { config, mistakes, warnings, vault_secrets }
}

/// Goes through all sections. What is wrong gets its default; the caller throws the result away then.
fn config(reader: &mut Reader<'_>, mut root: Section) -> Config {
    let webhook = root.section(reader, "webhook", "[webhook]");
    let admin = root.section(reader, "admin", "[admin]");
    let listen_at = if admin.has("listen") { admin.at_key("listen") } else { webhook.at_key("listen") };
    let webhook = listeners::webhook(reader, webhook);
    let admin = listeners::admin(reader, admin);
    listeners::check_apart(reader, &listen_at, webhook.listen, admin.listen);
    let queue = root.section(reader, "queue", "[queue]");
    let azure = root.section(reader, "azure", "[azure]");
    let azure = self::azure(reader, azure);
    let queue = queue::read(reader, queue, azure.credential);
    let targets = root.section(reader, "targets", "[targets.main]");
    let shared = Shared { https_port: azure.https_port, network: &webhook.network };
    let targets = targets::read(reader, targets, &shared);
    let routes_at = root.at_key("routes");
    let routes = root.take("routes");
    let routes = routes::read(reader, routes, &routes_at, &targets.names);
    let alarms = root.section(reader, "alarms", "[alarms]");
    let alarms = alarms::read(reader, alarms);
    let log = root.section(reader, "log", "[log]");
    let log = self::log(reader, log);
    let traces = root.section(reader, "traces", "[traces]");
    let traces = traces::read(reader, traces);
    root.finish(reader);
    Config {
        webhook,
        admin,
        queue,
        azure,
        targets: targets.usable,
        routes,
        alarms,
        log,
        traces,
        given: Given::default(),
    }
}

/// 0 is none.
fn bound(number: i64) -> Option<u64> {
    Some(count(number)).filter(|bound| *bound > 0)
}

fn azure(reader: &mut Reader<'_>, mut section: Section) -> Azure {
    let ca_file = section.text(reader, "ca_file", "ca_file = \"ca.pem\"");
    if let Some(ca_file) = &ca_file {
        listeners::pem(reader, ca_file, "CERTIFICATE", "certificates");
    }
    let mut ports = section.section(reader, "ports", "ports = { https = 443, amqp = 5671 }");
    let https_port = port(ports.number(reader, "https", 1..=65535, 443));
    let amqp_port = port(ports.number(reader, "amqp", 1..=65535, 5671));
    ports.finish(reader);
    let azure = Azure {
        credential: choice(reader, &mut section, "credential", &CREDENTIALS),
        key_vault_refresh: Duration::from_secs(count(section.number(
            reader,
            "key_vault_refresh_seconds",
            10..=86_400,
            300,
        ))),
        ca_file: ca_file.map(|found| reader.path(&found.value)),
        https_port,
        amqp_port,
        registrations_per_minute: registrations_per_minute(reader, &mut section),
        creations_per_minute: per(section.number(reader, "creations_per_minute", 0..=1_000_000, 100)),
        transport: choice(reader, &mut section, "transport", &TRANSPORTS).unwrap_or_default(),
        max_connections: usize::from(port(section.number(reader, "max_connections", 1..=4096, 32))),
        devices_per_connection: devices_per_connection(reader, &mut section),
        max_links: usize::try_from(section.number(reader, "max_links", 1..=1_000_000, 100_000))
            .expect("its bounds fit"),
        attaches_per_second: per(section.number(reader, "attaches_per_second", 0..=100_000, 90)),
        sends_per_second: per(section.number(reader, "sends_per_second", 0..=1_000_000, 0)),
        token_life: Duration::from_secs(count(section.number(reader, "token_life_seconds", 10..=86_400, 3600))),
        max_in_flight: usize::from(port(section.number(reader, "max_in_flight", 1..=65535, 1024))),
    };
    section.finish(reader);
    azure
}

const TRANSPORTS: [(&str, Transport); 3] =
    [("amqp", Transport::Amqp), ("amqp-ws", Transport::AmqpWs), ("https", Transport::Https)];

const CREDENTIALS: [(&str, vault::Kind); 3] = [
    ("managed-identity", vault::Kind::ManagedIdentity),
    ("workload-identity", vault::Kind::WorkloadIdentity),
    ("service-principal", vault::Kind::ServicePrincipal),
];

/// Nothing: as the kind of the target says.
fn registrations_per_minute(reader: &mut Reader<'_>, section: &mut Section) -> Option<u32> {
    let given = section.has("registrations_per_minute");
    let number = section.number(reader, "registrations_per_minute", 0..=1_000_000, i64::from(DPS_PER_MINUTE));
    given.then(|| per(number))
}

/// 0, or nothing: as the transport's own default says.
fn devices_per_connection(reader: &mut Reader<'_>, section: &mut Section) -> Option<usize> {
    usize::try_from(section.number(reader, "devices_per_connection", 0..=995, 0)).ok().filter(|devices| *devices > 0)
}

fn log(reader: &mut Reader<'_>, mut section: Section) -> Log {
    use tracing::Level;
    let levels = [
        ("error", Level::ERROR),
        ("warn", Level::WARN),
        ("info", Level::INFO),
        ("debug", Level::DEBUG),
        ("trace", Level::TRACE),
    ];
    let json = choice(reader, &mut section, "format", &[("text", false), ("json", true)]);
    let level = choice(reader, &mut section, "level", &levels);
    section.finish(reader);
    Log { json: json.unwrap_or(false), level: level.unwrap_or(Level::INFO) }
}

/// One word of several.
fn choice<T: Copy>(
    reader: &mut Reader<'_>,
    section: &mut Section,
    key: &'static str,
    words: &[(&'static str, T)],
) -> Option<T> {
    let found = section.text(reader, key, "kind = \"word\"")?;
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == found.value) {
        return Some(*value);
    }
    let all = words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
    let hint = nearest(&found.value, words.iter().map(|(word, _)| *word));
    let hint = hint.map_or(String::new(), |near| format!("did you mean \"{near}\"? "));
    reader.mistake(
        &found.at,
        format!("`{}` is not one of the words known here", found.value),
        format!("{hint}it is one of {all}"),
    );
    None
}

fn count(number: i64) -> u64 {
    u64::try_from(number).expect("its bounds are not negative")
}

fn per(number: i64) -> u32 {
    u32::try_from(number).expect("its bounds fit")
}

fn port(number: i64) -> u16 {
    u16::try_from(number).expect("its bounds fit")
}
