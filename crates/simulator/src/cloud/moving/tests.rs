//! Moves that come to nothing, by hand.

use std::sync::Arc;

use super::*;
use crate::cloud::DpsCall;
use crate::cloud::tests::{GROUP, NOW_MS, cloud_with};
use crate::faults::Faults;
use crate::sas::derive_key;
use crate::sas::tests::signed_until;
use crate::setup::{Allocation, Reprovision};

const HUB1: HubId = HubId(0);
const HUB2: HubId = HubId(1);

/// A cloud with `d1` at its first hub and a second one that holds so many.
fn with_small_hub(reprovision: Reprovision, most: usize) -> Arc<Cloud> {
    let (cloud, _) = cloud_with(&["d1"], Faults::default());
    cloud.state().hubs[1].registry.hold_at_most(most);
    allocate(&cloud, "hub1", reprovision);
    cloud
}

fn allocate(cloud: &Cloud, hub: &str, reprovision: Reprovision) {
    let hubs = ["hub1", "hub2"].map(str::to_owned);
    let group = crate::dps::tests::group("simulated-group", GROUP, GROUP, &hubs);
    let group = Group { allocation: Allocation::Static(hub.to_owned()), reprovision, ..group };
    cloud.state().scopes.0[0].groups = vec![Arc::new(group)];
}

fn at(cloud: &Cloud, hub: HubId) -> Option<Device> {
    cloud.state().hubs[hub.0].registry.device("d1").cloned()
}

#[test]
fn a_move_to_a_full_hub_is_refused_and_nothing_is_lost() {
    for policy in [Reprovision::Migrate, Reprovision::Reset] {
        let cloud = with_small_hub(policy, 0);
        let before = (cloud.registration("d1"), at(&cloud, HUB1));
        let refused = cloud.move_to(None, "d1", "hub2").unwrap_err();
        assert_eq!(refused, Unmovable::Full("hub2".to_owned()));
        assert!(refused.to_string().contains("hub2 is full, the device stays"), "{refused}");
        assert_eq!((cloud.registration("d1"), at(&cloud, HUB1)), before, "{policy:?}");
        assert!(before.1.is_some() && at(&cloud, HUB2).is_none());
    }
}

#[test]
fn who_would_be_given_a_full_hub_when_it_registers_again_stays_as_it_was() {
    for policy in [Reprovision::Migrate, Reprovision::Reset] {
        let cloud = with_small_hub(policy, 0);
        let before = (cloud.registration("d1"), at(&cloud, HUB1));
        allocate(&cloud, "hub2", policy);
        let refused = cloud.enrol(&["d1".to_owned()]).unwrap_err();
        assert_eq!((refused.status, refused.message.as_str()), (500, "The hub is full"));
        assert_eq!((cloud.registration("d1"), at(&cloud, HUB1)), before, "{policy:?}");
        assert!(before.1.is_some() && at(&cloud, HUB2).is_none());
    }
}

#[test]
fn a_hub_with_room_or_with_the_device_itself_takes_it() {
    let cloud = with_small_hub(Reprovision::Migrate, 1);
    cloud.move_to(None, "d1", "hub2").unwrap();
    assert!(at(&cloud, HUB1).is_none() && at(&cloud, HUB2).is_some());
    cloud.enrol(&["d1".to_owned()]).unwrap();
    assert_eq!(cloud.registration("d1").unwrap().hub, "hub2", "it is full now, but of this one");
}

const NEW: &str = "MDEyMzQ1Njc4OWFiY2RlZg==";

/// Whether a device can register with the key that it has under this group key.
fn registers(cloud: &Cloud, group_key: &str) -> bool {
    let token = signed_until("0ne1/registrations/d1", &derive_key(group_key, "d1").unwrap(), NOW_MS / 1000 + 60);
    let authorization = Some(token.as_str());
    let call = DpsCall { api_version: Some("2019-03-31"), scope: "0ne1", registration_id: "d1", authorization };
    cloud.register(&call, b"").is_ok()
}

#[test]
fn a_device_keeps_its_keys_at_the_hub_until_it_registers_with_the_new_ones() {
    let (cloud, _) = cloud_with(&["d1"], Faults::default());
    let before = at(&cloud, HUB1).unwrap().keys;
    assert_eq!(cloud.replace_group_key(None, "Simulated-Group", GroupKey::Primary, NEW), Ok(1));
    assert_eq!(at(&cloud, HUB1).unwrap().keys, before);
    assert!(registers(&cloud, GROUP), "the secondary key is what it was");
    let keys = at(&cloud, HUB1).unwrap().keys;
    assert_eq!((Some(keys.primary), keys.secondary), (derive_key(NEW, "d1"), before.secondary));
    assert_eq!(cloud.replace_group_key(Some("0ne1"), "simulated-group", GroupKey::Secondary, NEW), Ok(1));
    assert!(!registers(&cloud, GROUP) && registers(&cloud, NEW));
    assert_eq!(cloud.counts().tokens_refused, [("d1".to_owned(), 1)].into());
}

#[test]
fn what_is_no_key_or_of_no_group_replaces_nothing() {
    let (cloud, _) = cloud_with(&["d1"], Faults::default());
    let replace = |scope, name, key| cloud.replace_group_key(scope, name, GroupKey::Primary, key);
    assert_eq!(replace(None, "simulated-group", "c2hvcnQ="), Err(NoKey));
    assert_eq!(replace(None, "other", NEW), Ok(0));
    assert_eq!(replace(Some("0ne2"), "simulated-group", NEW), Ok(0));
    assert!(registers(&cloud, GROUP) && !registers(&cloud, NEW));
}
