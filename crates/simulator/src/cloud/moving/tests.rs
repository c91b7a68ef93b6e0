//! Moves that come to nothing, by hand.

use std::sync::Arc;

use super::*;
use crate::cloud::tests::{GROUP, cloud_with};
use crate::faults::Faults;
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
