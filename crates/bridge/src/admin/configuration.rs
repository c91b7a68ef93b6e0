//! `GET /api/v1/configuration`: what is in force, and where it stands. Secrets are never among it.
//!
//! The sections are taken apart in full, so that a new key is told, or left out on purpose, by the compiler's leave.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use queue::UnixMillis;
use serde::Serialize;
use serde_json::{Value, json};

use super::Admin;
use crate::config::{self, Config, Place, QueueKind, Route, Target, TargetKind, Transport, WebhookKey};

/// What stands for a secret.
const HIDDEN: &str = "(hidden)";

/// All keys.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Configuration {
    /// Where it was read; none where it was handed over.
    file: Option<String>,
    /// When what is in force was taken. Milliseconds since 1970.
    loaded_at: UnixMillis,
    /// In the order of `longhaul init`.
    keys: Vec<Key>,
}

/// One key.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Key {
    /// Dotted; items of a list as `routes[0]`.
    key: String,
    /// What is in force, or `(hidden)`; null: nothing.
    value: Value,
    /// `file`, `environment` or `default`.
    from: &'static str,
    /// The value is never told.
    secret: bool,
}

/// What is in force, and where it stands.
#[utoipa::path(get, path = "/api/v1/configuration", tag = "overview", responses((status = 200, body = Configuration)))]
pub(super) async fn show(State(admin): State<Arc<Admin>>) -> Json<Configuration> {
    let config = admin.config.get();
    Json(Configuration {
        file: config.given.file.as_ref().map(|file| file.display().to_string()),
        loaded_at: admin.loaded_at.load(Ordering::Relaxed),
        keys: keys(&config),
    })
}

/// PURE: all of them.
fn keys(config: &Config) -> Vec<Key> {
    let Config { webhook, admin, queue, azure, targets, routes, log, given: _ } = config;
    let mut told = Told { config, keys: Vec::new() };
    told.webhook(webhook);
    told.admin(admin);
    told.queue(queue);
    told.azure(azure);
    targets.iter().for_each(|(name, target)| told.target(name, target));
    routes.iter().enumerate().for_each(|(at, route)| told.route(at, route));
    let config::Log { json, level } = log;
    told.value("log.format", if *json { "json" } else { "text" });
    told.value("log.level", level.as_str().to_lowercase());
    told.keys
}

/// What was told so far.
struct Told<'c> {
    config: &'c Config,
    keys: Vec<Key>,
}

impl Told<'_> {
    fn value(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        self.add(key.into(), value.into(), false);
    }

    fn secret(&mut self, key: impl Into<String>, is_there: bool) {
        self.add(key.into(), if is_there { HIDDEN.into() } else { Value::Null }, true);
    }

    fn add(&mut self, key: String, value: Value, secret: bool) {
        let from = match self.config.given.of(&key) {
            Some(Place::Line(_)) => "file",
            Some(Place::Variable(_)) => "environment",
            None => "default",
        };
        self.keys.push(Key { key, value, from, secret });
    }

    fn webhook(&mut self, webhook: &config::Webhook) {
        let config::Webhook {
            listen,
            keys,
            key_overlap,
            network,
            tls,
            behind_proxy,
            max_connections,
            max_waiting,
            max_waiting_bytes,
            linger: _,
        } = webhook;
        self.value("webhook.listen", listen.to_string());
        keys.iter().enumerate().for_each(|(at, key)| self.webhook_key(at, key));
        self.value("webhook.key_overlap_seconds", seconds(*key_overlap));
        self.value("webhook.network", network.clone());
        let path = |path: &std::path::Path| path.display().to_string();
        self.value("webhook.cert_file", tls.as_ref().map(|tls| path(&tls.cert_file)));
        self.value("webhook.key_file", tls.as_ref().map(|tls| path(&tls.key_file)));
        self.value("webhook.behind_proxy", *behind_proxy);
        self.value("webhook.max_connections", *max_connections);
        self.value("webhook.max_waiting", *max_waiting);
        self.value("webhook.max_waiting_bytes", *max_waiting_bytes);
        self.value("webhook.linger_seconds", seconds(self.config.linger()));
    }

    /// Where the key stands is none of a reader's business either: the file says it to whoever may see it.
    fn webhook_key(&mut self, at: usize, key: &WebhookKey) {
        let WebhookKey { secret: _, source: _, applications, network } = key;
        self.secret(format!("webhook.keys[{at}]"), true);
        if let Some(applications) = applications {
            self.value(format!("webhook.keys[{at}].applications"), json!(applications));
        }
        if let Some(network) = network {
            self.value(format!("webhook.keys[{at}].network"), network.clone());
        }
    }

    fn admin(&mut self, admin: &config::Admin) {
        let config::Admin { listen, token } = admin;
        self.value("admin.listen", listen.to_string());
        self.secret("admin.token", token.is_some());
    }

    fn queue(&mut self, queue: &config::QueueConfig) {
        let config::QueueConfig {
            kind,
            dir,
            max_bytes,
            dead_letters_max,
            kept_max,
            max_waiting_per_device,
            max_waiting_per_application,
        } = queue;
        match kind {
            QueueKind::Embedded => self.value("queue.kind", "embedded"),
            QueueKind::Storage(storage) => {
                let config::StorageQueue { account: _, container, partitions } = &**storage;
                self.value("queue.kind", "azure-storage");
                // The account's address may carry a signature.
                for key in ["queue.connection_string", "queue.account_url"] {
                    if self.config.given.of(key).is_some() {
                        self.secret(key, true);
                    }
                }
                self.value("queue.container", container.clone());
                self.value("queue.partitions", *partitions);
            }
        }
        self.value("queue.dir", dir.display().to_string());
        self.value("queue.max_bytes", *max_bytes);
        self.value("queue.dead_letters_max", *dead_letters_max);
        self.value("queue.kept_max", *kept_max);
        self.value("queue.max_waiting_per_device", max_waiting_per_device.unwrap_or(0));
        self.value("queue.max_waiting_per_application", max_waiting_per_application.unwrap_or(0));
    }

    fn azure(&mut self, azure: &config::Azure) {
        let config::Azure {
            credential,
            key_vault_refresh,
            ca_file,
            https_port,
            amqp_port,
            registrations_per_minute,
            creations_per_minute,
            transport,
            max_connections,
            devices_per_connection,
            max_links,
            attaches_per_second,
            sends_per_second,
            token_life,
            max_in_flight,
        } = azure;
        let credential = credential.map(|kind| match kind {
            vault::Kind::ManagedIdentity => "managed-identity",
            vault::Kind::WorkloadIdentity => "workload-identity",
            vault::Kind::ServicePrincipal => "service-principal",
        });
        let transport = match transport {
            Transport::Amqp => "amqp",
            Transport::AmqpWs => "amqp-ws",
            Transport::Https => "https",
        };
        self.value("azure.ca_file", ca_file.as_ref().map(|file| file.display().to_string()));
        self.value("azure.credential", credential);
        self.value("azure.key_vault_refresh_seconds", seconds(*key_vault_refresh));
        self.value("azure.ports.https", *https_port);
        self.value("azure.ports.amqp", *amqp_port);
        self.value("azure.registrations_per_minute", *registrations_per_minute);
        self.value("azure.creations_per_minute", *creations_per_minute);
        self.value("azure.transport", transport);
        self.value("azure.devices_per_connection", devices_per_connection.unwrap_or(0));
        self.value("azure.max_links", *max_links);
        self.value("azure.attaches_per_second", *attaches_per_second);
        self.value("azure.sends_per_second", *sends_per_second);
        self.value("azure.token_life_seconds", seconds(*token_life));
        self.value("azure.max_connections", *max_connections);
        self.value("azure.max_in_flight", *max_in_flight);
    }

    fn target(&mut self, name: &str, target: &Target) {
        let Target { kind, device_id, daily_units } = target;
        let key = |key: &str| format!("targets.{name}.{key}");
        match kind {
            TargetKind::Dps(dps) => {
                let config::DpsTarget { endpoint, id_scope, group_key: _, secondary_group_key, model_id, central } =
                    dps;
                self.value(key("kind"), if *central { "iot-central" } else { "dps" });
                self.value(key("endpoint"), endpoint.to_string());
                self.value(key("id_scope"), id_scope.clone());
                self.secret(key("group_key"), true);
                self.secret(key("secondary_group_key"), secondary_group_key.is_some());
                self.value(key("model_id"), model_id.clone());
            }
            TargetKind::Device(_) | TargetKind::Policy(_) => {
                self.value(key("kind"), "iot-hub");
                self.secret(key("connection_string"), true);
            }
        }
        if !matches!(kind, TargetKind::Device(_)) {
            self.value(key("device_id"), device_id.to_string());
        }
        self.value(key("daily_units"), daily_units.unwrap_or(0));
    }

    fn route(&mut self, at: usize, route: &Route) {
        let Route { application, port, destination } = route;
        if let Some(application) = application {
            self.value(format!("routes[{at}].application"), application.clone());
        }
        if let Some(port) = port {
            self.value(format!("routes[{at}].port"), *port);
        }
        match destination {
            config::Destination::Target(target) => self.value(format!("routes[{at}].target"), target.clone()),
            config::Destination::Drop => self.value(format!("routes[{at}].drop"), true),
        }
    }
}

fn seconds(duration: Duration) -> u64 {
    duration.as_secs()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const CANARY: &str = "c4n4ryc4n4ryc4n4ryc4n4ryc4n4ryc4n4ryc4n4ryQ=";

    fn read(text: &str, env: &[(String, String)]) -> Config {
        let file = |path: &Path| match path.extension().is_some_and(|end| end == "key") {
            true => Ok(format!("{CANARY}\n")),
            false => Err(std::io::ErrorKind::NotFound.into()),
        };
        config::read(text, env, Path::new("/etc/longhaul"), &file)
            .map_err(|m| config::report("test", &m))
            .expect("usable")
            .config
    }

    fn everything() -> Config {
        let text = format!(
            r#"
            [webhook]
            keys = ["{CANARY}-1", {{ env = "KEY" }}, {{ file = "a.key", applications = ["hall"], network = "own" }}]
            [admin]
            token = {{ env = "KEY" }}
            [queue]
            kind = "azure-storage"
            connection_string = "DefaultEndpointsProtocol=https;AccountName=acme;AccountKey={CANARY};EndpointSuffix=core.windows.net"
            [targets.dps]
            kind = "dps"
            id_scope = "0ne00AAAAAA"
            group_key = "{CANARY}"
            secondary_group_key = {{ file = "b.key" }}
            daily_units = 400000
            [targets.policy]
            kind = "iot-hub"
            connection_string = "HostName=hub.azure-devices.net;SharedAccessKeyName=device;SharedAccessKey={CANARY}"
            [targets.one]
            kind = "iot-hub"
            connection_string = "HostName=hub.azure-devices.net;DeviceId=d;SharedAccessKey={CANARY}"
            [[routes]]
            target = "dps"
            "#
        );
        let env = [("KEY", "c4n4ry-of-a-variable-0001"), ("LONGHAUL__AZURE__MAX_LINKS", "7")];
        read(&text, &env.map(|(name, value)| (name.to_owned(), value.to_owned())))
    }

    #[test]
    fn no_secret_is_told_in_whatever_way_it_was_given() {
        let config = everything();
        let told = serde_json::to_string(&keys(&config)).expect("it is JSON");
        assert!(!told.contains("c4n4ry") && !told.contains("AccountKey") && !told.contains("SharedAccess"), "{told}");
        let secrets = keys(&config).into_iter().filter(|key| key.secret && key.value == HIDDEN).count();
        assert_eq!(secrets, 3 + 1 + 1 + 2 + 2, "each of them is there, though");
    }

    #[test]
    fn each_key_says_who_gave_it() {
        let config = everything();
        let from = |wanted: &str| {
            let keys = keys(&config);
            let key = keys.iter().find(|key| key.key == wanted).unwrap_or_else(|| panic!("{wanted}"));
            (key.value.clone(), key.from)
        };
        assert_eq!(from("azure.max_links"), (7.into(), "environment"));
        assert_eq!(from("targets.dps.daily_units"), (400_000.into(), "file"));
        assert_eq!(from("targets.dps.group_key"), (HIDDEN.into(), "file"));
        assert_eq!(from("webhook.keys[1]"), (HIDDEN.into(), "file"));
        assert_eq!(from("webhook.listen"), ("127.0.0.1:8080".into(), "default"));
        assert_eq!(from("routes[0].target"), ("dps".into(), "file"));
    }

    #[test]
    fn every_key_of_the_commented_configuration_is_told() {
        let config = everything();
        let told: Vec<_> = keys(&config).into_iter().map(|key| key.key).collect();
        let lines =
            config::COMMENTED.lines().filter_map(|line| line.strip_prefix('#').unwrap_or(line).split_once(" = "));
        for (key, _) in lines.filter(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_')) {
            let is_told = |told: &String| told.split(['.', '[']).any(|part| part == key);
            let is_elsewhere = ["account_url", "port", "drop", "application"].contains(&key);
            assert!(is_elsewhere || told.iter().any(is_told), "{key}");
        }
    }
}
