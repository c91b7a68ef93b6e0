//! Promise: secrets may stand in an Azure Key Vault, are replaced there while the bridge runs, and leak from nowhere.
//!
//! The vault is reached under a name as the real one has it: the bridge gets a file of hosts of its own, in a mount
//! namespace, so that the check of the vault's name against its challenge is the one that production makes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::http;
use crate::processes::{LONGHAUL, run, run_as, until};
use crate::site::Site;
use crate::stand_in::{CLIENT, CLIENT_SECRET, IDENTITY_HEADER, StandIn, TENANT};
use crate::uplinks;

const PATIENCE: Duration = Duration::from_secs(30);
const FIRST: &str = "canary-webhook-key-of-the-vault-1";
const SECOND: &str = "canary-webhook-key-of-the-vault-2";
const THIRD: &str = "canary-webhook-key-of-the-vault-3";
/// 64 bytes, but not the group's.
const WRONG_GROUP_KEY: &str =
    "CANARY+CANARY+CANARY+CANARY+CANARY+CANARY+CANARY+CANARY+CANARY+CANARY+CANARY+CANARY+CA==";

/// A bridge that takes all its secrets from a vault.
struct World {
    site: Site,
    vault: StandIn,
    /// As the bridge knows them.
    hosts: PathBuf,
}

impl World {
    /// The simulator and the vault are there; the bridge is not.
    async fn new(name: &str) -> Self {
        let mut site = Site::empty(name);
        site.start_simulator().await;
        let vault = StandIn::start(&["mine.vault.azure.net", "localhost"]).await;
        vault.set("webhook-key", FIRST);
        vault.set("group-key", &site.group_key());
        vault.set("hub", site.azure["service_connection_string"].as_str().expect("the simulator says it"));

        let hosts = site.dir.join("azure.hosts");
        std::fs::write(&hosts, "127.0.0.1 localhost mine.vault.azure.net\n").expect("it can be written");
        let theirs = std::fs::read_to_string(site.azure["ca_file"].as_str().expect("a file")).expect("it is there");
        let ca_file = site.dir.join("azure.both.pem");
        std::fs::write(&ca_file, format!("{theirs}\n{}", vault.ca_pem)).expect("it can be written");
        site.azure["ca_file"] = ca_file.to_str().expect("a path of ours").into();

        let secret = |name: &str| {
            format!("{{ key_vault = \"https://mine.vault.azure.net:{}\", secret = \"{name}\" }}", vault.port)
        };
        let id_scope = site.azure["id_scope"].as_str().expect("the simulator says it");
        site.settings.keys = vec![secret("webhook-key")];
        site.settings.targets = Some(format!(
            "[targets.main]\nkind = \"dps\"\nendpoint = \"localhost:{}\"\nid_scope = \"{id_scope}\"\ngroup_key = {}\n\
             [targets.hub]\nkind = \"iot-hub\"\nconnection_string = {}\ndevice_id = \"vehicle-{{device_id}}\"\n\
             [[routes]]\ntarget = \"main\"\n[[routes]]\napplication = \"vehicles\"\ntarget = \"hub\"\n\
             [log]\nlevel = \"trace\"\n",
            site.ports.https,
            secret("group-key"),
            secret("hub"),
        ));
        Self { site, vault, hosts }
    }

    fn env(&mut self, pairs: &[(&str, &str)]) {
        self.site.env = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    }

    fn service_principal(&mut self) {
        let authority = format!("https://localhost:{}", self.vault.port);
        self.env(&[
            ("AZURE_TENANT_ID", TENANT),
            ("AZURE_CLIENT_ID", CLIENT),
            ("AZURE_CLIENT_SECRET", CLIENT_SECRET),
            ("AZURE_AUTHORITY_HOST", &authority),
        ]);
    }

    async fn start(&mut self) {
        let mut command = knowing(&self.hosts);
        self.site.start_bridge_by(&mut command).await;
    }

    async fn status(&self, key: &str, application: &str, counter: u32) -> u16 {
        let body = uplinks::tts(application, "dev-1", counter);
        let reply = http::post(self.site.ports.webhook, "/tts", &[("x-api-key", key)], &body).await;
        reply.expect("the door answers").status
    }

    /// Asks the bridge to look, and waits until a line says so.
    async fn hang_up(&mut self, counter: &str) {
        let before = self.counter(counter).await;
        self.site.write_config();
        self.site.bridge().signal("HUP");
        let later = async || Some(self.counter(counter).await).filter(|now| *now > before);
        until(counter, PATIENCE, later).await;
    }

    async fn counter(&self, name: &str) -> u64 {
        let text = self.site.admin("/metrics").await.text();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    async fn arrived(&self, count: usize) {
        self.site.drained(PATIENCE).await;
        assert_eq!(self.site.record().lines().len(), count);
    }
}

/// A command that becomes longhaul with `hosts` in place of the machine's.
fn knowing(hosts: &Path) -> Command {
    // As root that needs nothing else; for others the kernel must allow user namespaces.
    let may =
        |flags: &&str| Command::new("unshare").args([*flags, "true"]).output().is_ok_and(|run| run.status.success());
    let flags = ["-m", "-Urm"].into_iter().find(may);
    let flags = flags.expect("NOT PROVED: the vault's real name needs a mount namespace, and none could be had");
    let mut command = Command::new("unshare");
    command.args([flags, "--", "sh", "-euc"]);
    command.arg(r#"mount --bind "$1" /etc/hosts; shift; exec "$0" "$@""#);
    command.arg(LONGHAUL).arg(hosts);
    command
}

/// Secrets of the vault, client secrets and tokens: each has this in it.
fn without_secrets(place: &str, text: &str) {
    let lines: Vec<_> = text.lines().filter(|line| line.to_ascii_lowercase().contains("canary")).collect();
    assert!(lines.is_empty(), "in {place}: {lines:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_of_a_vault_are_used_replaced_while_running_and_never_shown() {
    let mut world = World::new("vault").await;
    world.service_principal();
    let group_key = world.site.group_key();
    world.vault.set("group-key", WRONG_GROUP_KEY);
    world.start().await;
    assert_eq!((world.status(FIRST, "building", 1).await, world.status(SECOND, "building", 1).await), (202, 401));
    assert_eq!(world.status(FIRST, "vehicles", 2).await, 202);
    let refused = async || Some(()).filter(|()| world.site.bridge().stderr().contains("dps.refused"));
    until("the wrong group key is refused", PATIENCE, refused).await;
    world.vault.set("group-key", &group_key);
    world.hang_up("longhaul_config_reloaded_total").await;
    world.arrived(2).await;
    let mut names: Vec<_> = world.site.record().lines().iter().map(|line| line["device_id"].to_string()).collect();
    names.sort();
    assert_eq!(names, ["\"dev-1\"", "\"vehicle-dev-1\""], "by the group's key, and by the hub's policy");

    // The network still sends the old key, and the hub knows the device by the old group key.
    world.vault.set("webhook-key", SECOND);
    world.vault.set("group-key", WRONG_GROUP_KEY);
    world.hang_up("longhaul_config_reloaded_total").await;
    assert_eq!((world.status(FIRST, "building", 3).await, world.status(SECOND, "building", 4).await), (202, 202));
    world.arrived(4).await;

    world.vault.change(|state| state.away = true);
    world.hang_up("longhaul_key_vault_failed_total").await;
    assert_eq!(world.status(SECOND, "building", 5).await, 202, "what is there stays");
    world.arrived(5).await;
    assert!(world.site.bridge().stderr().contains("config.key_vault_failed"));

    world.vault.change(|state| state.away = false);
    world.vault.set("webhook-key", THIRD);
    world.site.settings.webhook = "key_overlap_seconds = 0\n".to_owned();
    world.hang_up("longhaul_config_reloaded_total").await;
    for (key, status) in [(FIRST, 401), (SECOND, 401), (THIRD, 202)] {
        assert_eq!(world.status(key, "building", 6).await, status, "without an overlap the old ones are over: {key}");
    }
    world.arrived(6).await;
    assert_eq!(world.vault.count("token by secret"), 1, "one token is enough for an hour");

    for path in ["/", "/metrics", "/readyz", "/api/v1/snapshot", "/api/v1/dead-letters"] {
        without_secrets(path, &world.site.admin(path).await.text());
    }
    world.site.bridge().signal("TERM");
    world.site.bridge().exit_within(PATIENCE).await;
    let log = world.site.bridge().stderr();
    assert!(log.contains("DEBUG") && log.contains("config.key_vault_works"), "there is a log to search");
    without_secrets("the log", &log);
    without_secrets("the output", &world.site.bridge().stdout());
    for entry in std::fs::read_dir(world.site.data()).expect("it is there").flatten() {
        let bytes = std::fs::read(entry.path()).unwrap_or_default();
        without_secrets(&entry.path().display().to_string(), &String::from_utf8_lossy(&bytes));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_managed_identity_needs_no_secret_and_what_the_vault_holds_is_followed_by_itself() {
    let mut world = World::new("vault-identity").await;
    let endpoint = format!("http://127.0.0.1:{}/msi/token", world.vault.identity_port);
    world.env(&[("IDENTITY_ENDPOINT", &endpoint), ("IDENTITY_HEADER", IDENTITY_HEADER)]);
    world.site.settings.more.push_str("credential = \"managed-identity\"\nkey_vault_refresh_seconds = 10\n");
    world.start().await;
    assert_eq!(world.status(FIRST, "building", 1).await, 202);
    world.arrived(1).await;
    world.vault.set("webhook-key", SECOND);
    let follows = async || Some(world.status(SECOND, "building", 2).await).filter(|status| *status == 202);
    until("the new key is fetched", PATIENCE, follows).await;
    assert_eq!(world.status(FIRST, "building", 3).await, 202, "and the old one is good as well");
    assert_eq!(world.vault.count("token by app-service"), 1);
    without_secrets("the log", &world.site.bridge().stderr());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_says_what_a_vault_lacks_and_explain_asks_nobody() {
    let mut world = World::new("vault-check").await;
    world.site.settings.more.push_str("credential = \"service-principal\"\n");
    world.site.write_config();
    let dir = world.site.dir.clone();
    std::fs::write(dir.join("message"), uplinks::tts("vehicles", "dev-1", 1)).expect("it can be written");
    let (code, explained, _) = run(&dir, &["explain", "message"], PATIENCE).await;
    assert!(code == 0 && explained.contains("vehicle-dev-1") && explained.contains("secrets/hub"), "{explained}");
    let (code, checked, _) = run(&dir, &["check", "--offline"], PATIENCE).await;
    assert!(code == 0 && checked.matches("is not asked with --offline").count() == 3, "{checked}");
    assert!(world.vault.state().seen.is_empty(), "both without a request");

    let (code, checked, _) = run(&dir, &["check"], PATIENCE).await;
    assert!(
        code == 64 && checked.contains("but not AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET"),
        "{checked}"
    );
    world.service_principal();
    let command = || {
        let mut command = knowing(&world.hosts);
        command.envs(world.site.env.iter().map(|(name, value)| (name, value)));
        command
    };
    let (code, checked, _) = run_as(command(), &dir, &["check"], PATIENCE).await;
    assert!(code == 0 && checked.matches("is there and can be used").count() == 3, "{checked}");
    without_secrets("check", &checked);

    world.vault.change(|state| {
        state.forbidden.insert("hub".to_owned());
        state.secrets.remove("webhook-key");
    });
    for arguments in [["check"], ["run"]] {
        let (code, stdout, stderr) = run_as(command(), &dir, &arguments, PATIENCE).await;
        let told = stdout + &stderr;
        assert!(code == 64 && told.contains("webhook.keys[0]") && told.contains("no such secret"), "{told}");
        assert!(told.contains("targets.hub.connection_string") && told.contains("Key Vault Secrets User"), "{told}");
        assert!(!told.contains("group_key"), "which is there: {told}");
        without_secrets("what is told", &told);
    }
    world.vault.change(|state| state.away = true);
    let (code, _, told) = run_as(command(), &dir, &["run"], PATIENCE).await;
    assert!(code == 1 && told.contains("503"), "it may pass, so the supervisor is to try again: {told}");
}
