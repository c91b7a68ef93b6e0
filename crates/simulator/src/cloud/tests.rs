//! A cloud for tests: one hub in memory, and a clock that is moved by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::dps::Scope;
use crate::identity::{Keys, Policies};

pub(crate) const NOW_MS: i64 = 1_767_225_600_000;
/// Primary and secondary key of the enrolment group, and of every policy.
pub(crate) const GROUP: &str =
    "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw==";

/// With these devices, as if each had registered.
pub(crate) fn cloud_with(devices: &[&str], faults: Faults) -> (Arc<Cloud>, Arc<AtomicI64>) {
    cloud_telling(devices, faults, &[])
}

/// The same, and these of the hub's own events.
pub(crate) fn cloud_telling(devices: &[&str], faults: Faults, events: &[EventSource]) -> (Arc<Cloud>, Arc<AtomicI64>) {
    let now_ms = Arc::new(AtomicI64::new(NOW_MS));
    let clock = Arc::clone(&now_ms);
    let group = Keys { primary: GROUP.to_owned(), secondary: GROUP.to_owned() };
    let policies: Policies = ["iothubowner", "service", "device"].map(|name| (name.to_owned(), group.clone())).into();
    let hubs = ["hub1", "hub2"].map(|name| (Hub::new(vec![name.to_owned()], policies.clone()), HubState::default()));
    let hub1 = vec!["hub1".to_owned()];
    let group = crate::dps::tests::group("simulated-group", GROUP, GROUP, &hub1);
    let scopes = Scopes(vec![Scope { id: "0ne1".to_owned(), groups: vec![Arc::new(group)] }]);
    let cloud = Cloud::new(Parts {
        clock: Arc::new(move || clock.load(Ordering::Relaxed)),
        random: Random::default(),
        hubs: hubs.into(),
        scopes,
        switches: crate::dps::Switches::default(),
        pace: Pace { assigning_polls: 1, retry_after_s: 3 },
        registrations: Registrations::default(),
        record: Record::open(None, None).unwrap(),
        faults,
        amqp_port: 5671,
        events: events.to_vec(),
    });
    cloud.enrol(&devices.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>()).unwrap();
    (Arc::new(cloud), now_ms)
}
