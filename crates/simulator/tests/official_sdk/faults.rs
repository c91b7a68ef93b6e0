//! Promise: each fault that can be asked for is seen by Microsoft's SDKs as the error that the service's documents say.
//!
//! `faults/list.json` says for each fault how it is switched on and what the wire tells then; the scripts beside it what each
//! SDK makes of that, as a pattern. What they saw stands in `docs/wire/sdk-faults.md`, which the test compares; with
//! `LONGHAUL_BLESS` set it writes the file anew, to be read line by line in the change.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use simulator::Options;

use crate::namespace::alone;
use crate::page::keep;
use crate::sdk::{Language, cells, simulator_as, told, usual};

mod tables; // of the page

const HUB: &str = "hub1.azure-devices.net";
const OTHER_HUB: &str = "hub2.azure-devices.net";
const DPS: &str = "global.azure-devices-provisioning.net";
const PAGE: &str = "sdk-faults.md";

/// A line of the list.
#[derive(Debug, Deserialize)]
struct Fault {
    /// Who meets it: `device`, `provisioning`, `service` or `events`.
    of: String,
    fault: String,
    /// The body of `POST /api/faults` before a client begins.
    set: Option<Value>,
    /// The same when it is connected.
    then: Option<Value>,
    /// What is done to the device when it is connected: `disable` or `delete`.
    then_device: Option<String>,
    /// By how much the simulator's clock is put forward when it is connected.
    forward_s: Option<u64>,
    https: Option<String>,
    amqp: Option<String>,
    mqtt: Option<String>,
    /// Why no SDK for Node shows it as what it is; else one has to.
    unseen_by_node: Option<String>,
}

/// What a script says of one fault, met by one SDK over one transport.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    of: String,
    fault: String,
    sdk: String,
    version: String,
    transport: String,
    /// `ok`: the SDK says what the list says. `hidden`: it was told, and shows something else. Anything else has failed.
    result: String,
    detail: String,
}

impl Seen {
    fn line(&self) -> String {
        let Self { of, fault, sdk, transport, result, detail, .. } = self;
        format!("{of}: {fault} | {sdk} | {transport} | {result} | {detail}")
    }
}

#[test]
fn each_fault_is_seen_by_the_sdks_for_node_as_the_page_says() {
    alone("faults::each_fault_is_seen_by_the_sdks_for_node_as_the_page_says", each_fault(Language::Node));
}

#[test]
fn each_fault_is_seen_by_the_sdks_for_python_as_the_page_says() {
    alone("faults::each_fault_is_seen_by_the_sdks_for_python_as_the_page_says", each_fault(Language::Python));
}

async fn each_fault(language: Language) {
    let dir = std::env::temp_dir().join(format!("sdk-faults-{}", std::process::id()));
    let names = |names: &[&str]| names.iter().copied().map(str::to_owned).collect();
    let (hosts, more_hubs) = (names(&[HUB, DPS]), names(&[OTHER_HUB]));
    // Told 0 s, Node's SDK for AMQP takes it for nothing told, and waits 2 s.
    let options = Options { hosts, more_hubs, dir: Some(dir.clone()), retry_after_s: 1, ..usual() };
    let simulator = simulator_as(options).await;
    let mut told = told(&simulator, DPS, 0);
    told["policies"] = policies(&dir);
    let lines = cells("faults", language, &simulator, &told, None).await;
    std::fs::remove_dir_all(&dir).unwrap();
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let seen: Vec<Seen> = lines.lines().map(parse).collect();
    seen.iter().for_each(|one| println!("{}", one.line()));
    let wrong: Vec<_> =
        seen.iter().filter(|one| !matches!(one.result.as_str(), "ok" | "hidden")).map(Seen::line).collect();
    assert!(
        wrong.is_empty(),
        "of {} cells {} are not as they should be:\n{}",
        seen.len(),
        wrong.len(),
        wrong.join("\n")
    );
    let list = list();
    let is_listed = |one: &&Seen| list.iter().any(|fault| fault.of == one.of && fault.fault == one.fault);
    assert!(seen.iter().all(|one| is_listed(&one)), "a script names a fault that the list does not have");
    if language == Language::Node {
        // Python has no AMQP and no HTTPS for devices: the other one sees all of it.
        let is_wrong = |fault: &&Fault| fault.is_seen(&seen) == fault.unseen_by_node.is_some();
        let wrong: Vec<_> = list.iter().filter(is_wrong).map(|fault| &fault.fault).collect();
        assert!(wrong.is_empty(), "the list says otherwise whether an SDK sees {wrong:?} as what it is");
        keep(PAGE, "The list", &tables::list(&list));
    }
    keep(PAGE, &format!("{language:?}"), &tables::seen(&list, &seen));
}

/// The keys of the hub's policies by name. The owner's is told, those that may less stand in the directory alone.
fn policies(dir: &Path) -> Value {
    let identity: Value = serde_json::from_slice(&std::fs::read(dir.join("identity.json")).unwrap()).unwrap();
    let policies = identity["policies"].as_object().unwrap();
    policies.iter().map(|(name, keys)| (name.clone(), keys["primaryKey"].clone())).collect()
}

impl Fault {
    /// At least once as what it is, not hidden.
    fn is_seen(&self, seen: &[Seen]) -> bool {
        seen.iter().any(|one| one.of == self.of && one.fault == self.fault && one.result == "ok")
    }
}

fn list() -> Vec<Fault> {
    serde_json::from_str(include_str!("faults/list.json")).unwrap()
}
