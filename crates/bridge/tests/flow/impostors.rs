//! No uplink ever goes out under another device's name, whatever devices are called and whatever happens meanwhile.
//!
//! Two hundred devices of two networks and three applications, with ids that collide under several templates, send on
//! several ports by several routes to four targets; hubs and DPS refuse, throttle, move devices and lose answers; the
//! process is killed and its configuration replaced. The judge computes by itself how each device may be called.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::cloud::{GROUP_KEY, HUB, OTHER_HUB, hmac};
use crate::dps::{OTHER_SCOPE, SCOPE, Verdict};
use crate::hub::Say;
use crate::site::{Life, MINUTE, Site, configuration, uplink_of};

const NETWORKS: [&str; 2] = ["ttn", "private"];
const APPLICATIONS: [&str; 3] = ["building", "vehicles", "garden"];
const PORTS: [u8; 4] = [1, 10, 11, 15];
const DEVICES: usize = 200;
/// Lives of the process, each killed before it is done but the last.
const LIVES: usize = 4;

/// Who measured something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Device {
    network: &'static str,
    application: &'static str,
    id: String,
}

/// A device's name, and where it is given: a scope of DPS, or a connection string.
type Name = (&'static str, String);

/// What one device sent, by its payload.
#[derive(Clone, Debug)]
struct Sent {
    device: Device,
    port: u8,
    counter: u64,
}

/// Ids that come out the same under one template or another.
fn any_id(random: &mut fastrand::Rng) -> String {
    let nth = random.u8(0..40);
    match random.u8(0..8) {
        0 => format!("building--dev-{nth}"),
        1 => format!("ttn-garden--dev-{nth}"),
        2 => format!("dev-{nth}-10"),
        3 => "shared".to_owned(),
        _ => format!("dev-{nth}"),
    }
}

fn devices(random: &mut fastrand::Rng) -> Vec<Device> {
    let mut devices = BTreeSet::new();
    while devices.len() < DEVICES {
        let (network, application) = (NETWORKS[random.usize(0..2)], APPLICATIONS[random.usize(0..3)]);
        devices.insert(Device { network, application, id: any_id(random) });
    }
    devices.into_iter().collect()
}

/// Two configurations that name some devices otherwise.
fn config(is_other: bool) -> String {
    let (key, of_one) = (STANDARD.encode(GROUP_KEY), STANDARD.encode(hmac(GROUP_KEY, "shared")));
    let template = if is_other { "{application_id}--{device_id}" } else { "{device_id}" };
    let base = configuration("registrations_per_minute = 0");
    let targets = format!(
        "[targets.ten]\nkind = \"dps\"\nendpoint = \"dps.example\"\nid_scope = \"{OTHER_SCOPE}\"\ngroup_key = \"{key}\"\n\
         device_id = \"{template}\"\n\
         [targets.full]\nkind = \"dps\"\nendpoint = \"dps.example\"\nid_scope = \"{SCOPE}\"\ngroup_key = \"{key}\"\n\
         device_id = \"{{network}}-{{application_id}}--{{device_id}}\"\n\
         [targets.one]\nkind = \"iot-hub\"\n\
         connection_string = \"HostName={HUB};DeviceId=shared;SharedAccessKey={of_one}\"\n\
         [[routes]]\napplication = \"garden\"\ntarget = \"full\"\n\
         [[routes]]\napplication = \"vehicles\"\nport = 10\ntarget = \"ten\"\n\
         [[routes]]\napplication = \"vehicles\"\nport = 15\ntarget = \"one\"\n"
    );
    format!("{base}{targets}")
}

/// How a message's device may be called under either configuration.
fn names(sent: &Sent) -> BTreeSet<Name> {
    let Device { network, application, id } = &sent.device;
    let names = match (*application, sent.port) {
        ("vehicles", 10) => vec![(OTHER_SCOPE, id.clone()), (OTHER_SCOPE, format!("vehicles--{id}"))],
        ("vehicles", 15) => vec![("one", "shared".to_owned())],
        ("garden", _) => vec![(SCOPE, format!("{network}-garden--{id}"))],
        _ => vec![(SCOPE, id.clone())],
    };
    names.into_iter().collect()
}

/// Where the devices of a scope may live. All ways lead to the first hub, and there a name is one device.
fn is_at(name: &Name, hub: &str, device: &str) -> bool {
    name.1 == device && (hub == HUB || hub == OTHER_HUB && name.0 == SCOPE)
}

/// Puts a few messages of random devices, with a payload that no other has.
async fn send(life: &Life, world: &mut World, messages: usize) {
    for _ in 0..messages {
        let device = world.devices[world.random.usize(0..DEVICES)].clone();
        let port = PORTS[world.random.usize(0..PORTS.len())];
        let counter = world.counters.entry(device.clone()).or_default();
        *counter += 1;
        let sent = Sent { device, port, counter: *counter };
        let Device { network, application, id } = &sent.device;
        let payload = STANDARD.encode(format!("{}", world.sent.len()));
        life.put(uplink_of(network, application, id, port, sent.counter, &payload), life.now()).await;
        world.sent.insert(payload, sent);
    }
}

/// Everything that Azure can do to a device, to some of those that are about.
fn trouble(life: &Life, random: &mut fastrand::Rng) {
    let mut state = life.cloud.state();
    let says =
        [Say::Cut, Say::YesUnheard, Say::Status(401), Say::Status(404), Say::Status(500), Say::StatusAfter(429, 1)];
    for _ in 0..10 {
        let (name, say) = (any_id(random), says[random.usize(0..says.len())]);
        state.hub.next.entry(name).or_default().push_back(say);
    }
    state.dps.devices.clear();
    for verdict in [Verdict::Status(401), Verdict::Status(500), Verdict::StatusAfter(429, 2)] {
        state.dps.devices.insert(any_id(random), verdict);
    }
    // Who registers from now on, lives there; some are refused where they lived.
    state.dps.hub = if random.bool() { HUB } else { OTHER_HUB };
    state.hub.at.clear();
    for _ in 0..3 {
        let elsewhere = if state.dps.hub == HUB { OTHER_HUB } else { HUB };
        state.hub.at.insert((elsewhere.to_owned(), any_id(random)), Say::Status(404));
    }
}

fn peace(life: &Life) {
    let mut state = life.cloud.state();
    (state.hub.at, state.hub.next, state.dps.devices) = Default::default();
}

struct World {
    random: fastrand::Rng,
    devices: Vec<Device>,
    counters: BTreeMap<Device, u64>,
    /// By payload.
    sent: BTreeMap<String, Sent>,
}

/// Plays one world to its end, and judges.
fn play(seed: u64) -> (usize, usize) {
    let mut site = Site::new(seed);
    let mut random = fastrand::Rng::with_seed(seed);
    let devices = devices(&mut random);
    let mut world = World { random, devices, counters: BTreeMap::new(), sent: BTreeMap::new() };
    let mut buried = Vec::new();
    for nth in 0..LIVES {
        site.config = config(world.random.bool());
        site.live(async |life| {
            for _ in 0..4 {
                trouble(life, &mut world.random);
                send(life, &mut world, 50).await;
                life.rest(world.random.u64(0..4)).await;
                if world.random.bool() {
                    life.reload(&config(world.random.bool()));
                }
            }
            if nth + 1 == LIVES {
                peace(life);
                life.until_empty(120 * MINUTE).await;
                buried = life.dead_letters().await;
            }
        });
    }
    judge(&site, &world, &buried)
}

/// Returns how many were delivered and how many buried.
fn judge(site: &Site, world: &World, buried: &[queue::DeadLetter]) -> (usize, usize) {
    let state = site.cloud.state();
    let mut owners: BTreeMap<(&str, String), Device> = BTreeMap::new();
    let mut order: BTreeMap<&Device, u64> = BTreeMap::new();
    let mut delivered: BTreeMap<&str, &str> = BTreeMap::new();
    for attempt in state.hub.attempts.iter().filter(|attempt| attempt.taken) {
        let sent = world.sent.get(&attempt.payload).unwrap_or_else(|| panic!("nobody sent {attempt:?}"));
        let said = (attempt.application.as_str(), attempt.sender.as_str(), attempt.counter);
        assert_eq!(said, (sent.device.application, sent.device.id.as_str(), sent.counter), "the body is whole");
        let name = names(sent).into_iter().find(|name| is_at(name, &attempt.hub, &attempt.device));
        let name = name.unwrap_or_else(|| panic!("{attempt:?} under a name that is not of {sent:?}"));
        for name in [name, (&attempt.hub, attempt.device.clone())] {
            let owner = owners.entry(name).or_insert_with(|| sent.device.clone());
            assert_eq!(*owner, sent.device, "two under one name: {attempt:?}");
        }
        match delivered.insert(&attempt.payload, &attempt.message_id) {
            Some(before) => assert_eq!(before, attempt.message_id, "a repeat has its name"),
            None => {
                let before = order.insert(&sent.device, sent.counter);
                assert!(before < Some(sent.counter), "{attempt:?} after {before:?}");
            }
        }
    }
    let mut wanted: BTreeMap<String, BTreeSet<Device>> = BTreeMap::new();
    for sent in world.sent.values() {
        for (_, id) in names(sent) {
            wanted.entry(id).or_default().insert(sent.device.clone());
        }
    }
    let mut gone: BTreeSet<String> = delivered.keys().map(|payload| (*payload).to_owned()).collect();
    let heard: BTreeSet<&str> = state.hub.attempts.iter().filter(|a| a.heard).map(|a| a.payload.as_str()).collect();
    for letter in buried {
        assert_eq!(letter.reason.code, "identity_conflict", "{:?}", letter.reason);
        let body: Value = serde_json::from_slice(&letter.message.body).unwrap();
        let payload = body["uplink_message"]["frm_payload"].as_str().unwrap_or_default();
        let sent = &world.sent[payload];
        // Whoever has it may have claimed it, been killed, and be called otherwise since then.
        let rivals = names(sent).into_iter().flat_map(|(_, id)| wanted[&id].clone());
        assert!(rivals.into_iter().any(|rival| rival != sent.device), "nobody else has a name of {sent:?}");
        // One whose answer was lost may have moved to a hub where its name is another's.
        assert!(!heard.contains(payload), "{sent:?} was delivered and buried");
        gone.insert(payload.to_owned());
    }
    assert_eq!(gone.len(), world.sent.len(), "nothing else is lost");
    (delivered.len(), buried.len())
}

#[test]
fn each_uplink_arrives_under_its_own_name_or_is_buried_as_a_conflict() {
    let (mut delivered, mut buried) = (0, 0);
    for seed in 1..=20 {
        let of_this = play(seed);
        delivered += of_this.0;
        buried += of_this.1;
    }
    eprintln!("{delivered} delivered, {buried} buried");
    assert!(delivered > 5_000 && buried > 1_000, "{delivered} delivered, {buried} buried: both are to be seen");
}
