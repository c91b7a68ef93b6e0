//! A changed configuration, taken while running: whole or not at all.
//!
//! Targets, routes and keys change; each message and each request sees one configuration from beginning to end. Everything
//! else is bound to sockets, files and connections that are open: a change of it is refused by name, and nothing of
//! that configuration is taken.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use crate::config::{Admin, Azure, Config, Log, Mistake, QueueConfig, StorageQueue, Webhook, WebhookKey};
use crate::provision::Provision;
use crate::swap::Swap;
use crate::webhook::keys::Keys;
use crate::webhook::overlap::Overlap;
use crate::world::{Point, World};

/// Where the parts look for what may change.
#[derive(Clone, Debug)]
pub struct Reload {
    /// Targets and routes.
    pub config: Arc<Swap<Config>>,
    /// The webhook's.
    pub webhook_keys: Arc<Swap<Keys>>,
    /// Those of them that were replaced and are still taken.
    pub overlap: Arc<Mutex<Overlap>>,
    /// The admin's.
    pub admin_token: Arc<Swap<Keys>>,
    /// When what is in force was taken.
    pub loaded_at: Arc<AtomicI64>,
    /// None while the process only takes messages.
    pub provision: Option<Arc<Provision>>,
    /// Points of failure.
    pub world: World,
}

/// What came of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is the one in use.
    Same,
    /// It is in use from now on; the sections that differ.
    Taken(Vec<&'static str>),
    /// The one before stays.
    Refused(Vec<Mistake>),
}

impl Reload {
    /// Takes it, if it can be taken.
    pub async fn take(&self, new: Config) -> Outcome {
        self.world.point(Point::ReloadBefore).await;
        let outcome = self.exchange(new);
        if matches!(outcome, Outcome::Taken(_)) {
            self.world.point(Point::ReloadTaken).await;
        }
        outcome
    }

    /// In one piece, without a wait.
    fn exchange(&self, new: Config) -> Outcome {
        let old = self.config.get();
        if *old == new {
            return Outcome::Same;
        }
        let fixed = fixed(&old, &new);
        if !fixed.is_empty() {
            return Outcome::Refused(fixed);
        }
        let changed = changed(&old, &new);
        let mut overlap = self.overlap.lock().unwrap_or_else(PoisonError::into_inner);
        overlap.replace(&old.webhook.keys, &new.webhook.keys, new.webhook.key_overlap, Instant::now());
        self.webhook_keys.set(Keys::new(&overlap.with(&new.webhook.keys), &new.webhook.network));
        drop(overlap);
        self.admin_token.set(admin_keys(&new.admin));
        if let Some(provision) = &self.provision {
            provision.keep_keys(&old.targets);
        }
        self.config.set(new);
        self.loaded_at.store(self.world.now(), Ordering::Relaxed);
        if let Some(provision) = &self.provision {
            // What was refused may have been mended.
            provision.ask_again();
        }
        Outcome::Taken(changed)
    }

    /// To be called every now and then: replaced keys are taken no longer once their time is over.
    pub fn tick(&self) {
        let webhook = &self.config.get().webhook;
        let mut overlap = self.overlap.lock().unwrap_or_else(PoisonError::into_inner);
        if overlap.expire(Instant::now()) {
            self.webhook_keys.set(Keys::new(&overlap.with(&webhook.keys), &webhook.network));
        }
    }
}

/// The admin's token as the one key of its listener.
pub fn admin_keys(admin: &Admin) -> Keys {
    let keys: Vec<_> = admin.token.iter().cloned().map(WebhookKey::plain).collect();
    Keys::new(&keys, "")
}

/// PURE: the sections that differ.
fn changed(old: &Config, new: &Config) -> Vec<&'static str> {
    let parts = [
        ("webhook.keys", old.webhook.keys != new.webhook.keys),
        ("webhook.key_overlap_seconds", old.webhook.key_overlap != new.webhook.key_overlap),
        ("admin.token", old.admin.token != new.admin.token),
        ("targets", old.targets != new.targets),
        ("routes", old.routes != new.routes),
    ];
    parts.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

/// PURE: what differs although it cannot while the process runs. Taken apart in full, so that a new key is put on one side
/// or the other by the compiler's leave.
fn fixed(old: &Config, new: &Config) -> Vec<Mistake> {
    let Config { webhook, admin, queue, azure, targets: _, routes: _, log, given: _ } = new;
    let Webhook {
        listen,
        keys: _,
        key_overlap: _,
        network,
        tls,
        behind_proxy,
        max_connections,
        max_waiting,
        max_waiting_bytes,
        linger,
    } = webhook;
    let Admin { listen: admin_listen, token: _ } = admin;
    let mut keys = vec![
        ("webhook.listen", *listen != old.webhook.listen),
        ("webhook.network", *network != old.webhook.network),
        ("webhook.cert_file, webhook.key_file", *tls != old.webhook.tls),
        ("webhook.behind_proxy", *behind_proxy != old.webhook.behind_proxy),
        ("webhook.max_connections", *max_connections != old.webhook.max_connections),
        ("webhook.max_waiting", *max_waiting != old.webhook.max_waiting),
        ("webhook.max_waiting_bytes", *max_waiting_bytes != old.webhook.max_waiting_bytes),
        ("webhook.linger_seconds", *linger != old.webhook.linger),
        ("admin.listen", *admin_listen != old.admin.listen),
    ];
    keys.extend(fixed_of_queue(&old.queue, queue));
    keys.extend(fixed_of_azure(&old.azure, azure));
    keys.extend(fixed_of_log(&old.log, log));
    let mistake = |(key, _): (&str, bool)| Mistake {
        key: key.to_owned(),
        place: None,
        cause: "cannot change while the process runs, and nothing of the new configuration is in use".to_owned(),
        mend: "restart, which loses nothing; or put the old value back".to_owned(),
    };
    keys.into_iter().filter(|(_, differs)| *differs).map(mistake).collect()
}

fn fixed_of_queue(old: &QueueConfig, new: &QueueConfig) -> [(&'static str, bool); 10] {
    let QueueConfig {
        kind,
        dir,
        max_bytes,
        dead_letters_max,
        kept_max,
        max_waiting_per_device,
        max_waiting_per_application,
    } = new;
    let storage = old.kind.storage().zip(kind.storage());
    let differs = |part: fn(&StorageQueue, &StorageQueue) -> bool| storage.is_some_and(|(old, new)| part(old, new));
    [
        ("queue.kind", kind.storage().is_some() != old.kind.storage().is_some()),
        ("queue.connection_string, queue.account_url", differs(|old, new| old.account != new.account)),
        ("queue.container", differs(|old, new| old.container != new.container)),
        ("queue.partitions", differs(|old, new| old.partitions != new.partitions)),
        ("queue.dir", *dir != old.dir),
        ("queue.max_bytes", *max_bytes != old.max_bytes),
        ("queue.dead_letters_max", *dead_letters_max != old.dead_letters_max),
        ("queue.kept_max", *kept_max != old.kept_max),
        ("queue.max_waiting_per_device", *max_waiting_per_device != old.max_waiting_per_device),
        ("queue.max_waiting_per_application", *max_waiting_per_application != old.max_waiting_per_application),
    ]
}

fn fixed_of_azure(old: &Azure, new: &Azure) -> [(&'static str, bool); 15] {
    let Azure {
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
    } = new;
    [
        ("azure.credential", *credential != old.credential),
        ("azure.key_vault_refresh_seconds", *key_vault_refresh != old.key_vault_refresh),
        ("azure.ca_file", *ca_file != old.ca_file),
        ("azure.ports.https", *https_port != old.https_port),
        ("azure.ports.amqp", *amqp_port != old.amqp_port),
        ("azure.registrations_per_minute", *registrations_per_minute != old.registrations_per_minute),
        ("azure.creations_per_minute", *creations_per_minute != old.creations_per_minute),
        ("azure.transport", *transport != old.transport),
        ("azure.max_connections", *max_connections != old.max_connections),
        ("azure.devices_per_connection", *devices_per_connection != old.devices_per_connection),
        ("azure.max_links", *max_links != old.max_links),
        ("azure.attaches_per_second", *attaches_per_second != old.attaches_per_second),
        ("azure.sends_per_second", *sends_per_second != old.sends_per_second),
        ("azure.token_life_seconds", *token_life != old.token_life),
        ("azure.max_in_flight", *max_in_flight != old.max_in_flight),
    ]
}

fn fixed_of_log(old: &Log, new: &Log) -> [(&'static str, bool); 2] {
    let Log { json, level } = new;
    [("log.format", *json != old.json), ("log.level", *level != old.level)]
}

#[cfg(test)]
mod tests;
