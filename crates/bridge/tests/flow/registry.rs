//! A hub that is reached by a shared access policy: its registry's double, and what the bridge does with it.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::cloud::{Asked, Reply, token_is_good};
use crate::hub::Say;
use crate::site::{Life, MINUTE, Site};

pub(crate) const POLICY_HUB: &str = "hub-p.example";
const POLICY: &str = "bridge";
/// Not a secret, it opens nothing.
const POLICY_KEY: &[u8] = b"the key of a policy, 32 bytes or more";

#[derive(Debug, Default)]
pub(crate) struct Registry {
    pub(crate) devices: BTreeSet<String>,
    /// When each device was asked for, milliseconds.
    pub(crate) asked: Vec<(i64, String)>,
    /// The policy lacks the right to make any.
    pub(crate) is_closed: bool,
}

impl Registry {
    pub(crate) fn answer(&mut self, asked: &Asked) -> Reply {
        let id = asked.path.strip_prefix("/devices/").expect("the path of a device").to_owned();
        self.asked.push((asked.now, id.clone()));
        if self.is_closed || !is_good(asked, POLICY_HUB) {
            return Reply::status(401, r#"{"Message":"ErrorCode:IotHubUnauthorizedAccess;Unauthorized"}"#);
        }
        let body: serde_json::Value = serde_json::from_slice(&asked.body).expect("the device is JSON");
        assert_eq!((&body["deviceId"], &body["status"]), (&id.as_str().into(), &"enabled".into()));
        let is_new = self.devices.insert(id);
        Reply::status(if is_new { 200 } else { 409 }, "{}")
    }

    pub(crate) fn stranger(&self, resource: &str, device: &str, asked: &Asked) -> Option<u16> {
        match (is_good(asked, resource), self.devices.contains(device)) {
            (false, _) => Some(401),
            (true, false) => Some(404),
            (true, true) => None,
        }
    }
}

/// Names the policy, and is signed with its key.
fn is_good(asked: &Asked, resource: &str) -> bool {
    let names_policy = asked.token.split('&').any(|field| field == format!("skn={POLICY}"));
    names_policy && token_is_good(&asked.token, resource, POLICY_KEY, asked.server_now)
}

fn site(azure: &str) -> Site {
    let mut site = Site::new(1);
    let key = STANDARD.encode(POLICY_KEY);
    site.config = format!(
        "[azure]\ntransport = \"https\"\n{azure}\n[targets.hub]\nkind = \"iot-hub\"\n\
         connection_string = \"HostName={POLICY_HUB};SharedAccessKeyName={POLICY};SharedAccessKey={key}\"\n\
         [[routes]]\ntarget = \"hub\"\n"
    );
    site
}

async fn everybody(life: &Life, devices: usize, counter: u64) {
    for i in 0..devices {
        life.uplinks("app", &format!("dev-{i}"), counter..=counter).await;
    }
}

#[test]
fn a_new_device_is_made_once_and_sends_under_the_policy() {
    let mut site = site("");
    site.live(async |life| {
        everybody(life, 50, 1).await;
        life.until_empty(MINUTE).await;
    });
    site.live(async |life| {
        everybody(life, 50, 2).await;
        life.until_empty(MINUTE).await;
    });
    let state = site.cloud.state();
    assert_eq!(state.hub.check_order(), (100, 0));
    assert_eq!(state.hub.registry.asked.len(), 50, "also after a restart");
}

#[test]
fn a_fleet_that_is_there_makes_no_registry_calls() {
    let mut site = site("");
    site.cloud.state().hub.registry.devices.extend((0..500).map(|i| format!("dev-{i}")));
    site.live(async |life| {
        everybody(life, 500, 1).await;
        life.until_empty(MINUTE).await;
        assert_eq!(life.shared.provision.devices_of(POLICY_HUB), 500);
    });
    let state = site.cloud.state();
    assert_eq!((state.hub.check_order(), state.hub.registry.asked.len()), ((500, 0), 0));
}

#[test]
fn new_devices_are_made_at_the_pace_that_the_hub_takes() {
    let mut site = site("creations_per_minute = 60");
    site.live(async |life| {
        everybody(life, 300, 1).await;
        life.until_empty(10 * MINUTE).await;
    });
    let state = site.cloud.state();
    let times: Vec<i64> = state.hub.registry.asked.iter().map(|(at, _)| *at).collect();
    let within = |from: i64| times.iter().filter(|at| (from..from + 60_000).contains(*at)).count();
    // A request travels for 20 ms, so that the ends of a window may mix.
    let most = times.iter().map(|at| within(*at)).max().unwrap_or(0);
    assert!(most <= 61, "{most} within a minute");
    assert_eq!((times.len(), state.hub.check_order()), (300, (300, 0)));
}

#[test]
fn a_policy_that_may_not_make_devices_says_so_and_loses_nothing() {
    let mut site = site("");
    site.cloud.state().hub.registry.is_closed = true;
    site.live(async |life| {
        life.uplinks("app", "dev-0", 1..=2).await;
        life.rest(3600).await;
        let asked = life.cloud.state().hub.registry.asked.len();
        assert!((2..=6).contains(&asked), "{asked} times in an hour");
        assert!(life.dead_letters().await.is_empty(), "it waits for the operator");
        life.cloud.state().hub.registry.devices.insert("dev-0".to_owned());
        life.until_empty(61 * MINUTE).await;
    });
    assert_eq!(site.cloud.state().hub.check_order(), (2, 0));
}

#[test]
fn a_hub_that_refuses_the_policy_makes_no_registry_calls() {
    let mut site = site("");
    site.cloud.state().hub.registry.devices.extend((0..100).map(|i| format!("dev-{i}")));
    site.live(async |life| {
        life.cloud.state().hub.all = Say::Status(401);
        everybody(life, 100, 1).await;
        life.rest(1800).await;
        assert_eq!(life.cloud.state().hub.registry.asked.len(), 0);
        let refuses_many = || life.shared.pool.standing().iter().any(|hub| hub.refuses_many);
        assert!(refuses_many(), "an alarm says so");
        life.cloud.state().hub.all = Say::Yes;
        life.until_empty(5 * MINUTE).await;
        assert!(!refuses_many());
    });
    assert_eq!(site.cloud.state().hub.check_order(), (100, 0));
}

#[test]
fn a_device_that_was_deleted_is_made_again() {
    let mut site = site("");
    site.live(async |life| {
        everybody(life, 3, 1).await;
        life.until_empty(MINUTE).await;
        life.cloud.state().hub.registry.devices.remove("dev-0");
        everybody(life, 3, 2).await;
        let took = life.until_empty(MINUTE).await;
        assert!(took.as_secs() <= 30, "{took:?}");
    });
    let state = site.cloud.state();
    assert_eq!((state.hub.check_order(), state.hub.registry.asked.len()), ((6, 0), 4));
}
