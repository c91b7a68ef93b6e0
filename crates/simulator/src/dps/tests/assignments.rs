//! Which hub a device is given, first and again.

use super::*;
use crate::random::tests::stamp;

const PAYLOAD_BYTES_MAX: usize = 4096;

fn admitted_to(group: Group) -> Admitted {
    let keys = group.device_keys("d1");
    Admitted { scope: "0ne1".to_owned(), group: Arc::new(group), keys }
}

fn with(allocation: Allocation, reprovision: Reprovision) -> Admitted {
    admitted_to(Group { allocation, reprovision, ..group("g", GROUP, GROUP, &hubs(3)) })
}

fn fixed(hub: &str) -> Allocation {
    Allocation::Static(hub.to_owned())
}

fn at(admitted: &Admitted, before: Option<&Registration>) -> Assignment {
    assign(admitted, before, "d1", None, stamp(2_000))
}

#[test]
fn hashed_devices_are_spread_evenly_and_stay_where_they_are() {
    let hub_of = |id: &str, hubs: &[String]| {
        let admitted = admitted_to(group("g", GROUP, GROUP, hubs));
        assign(&admitted, None, id, None, stamp(0)).registration.hub
    };
    let (three, four) = (hubs(3), hubs(4));
    let mut counts = std::collections::BTreeMap::new();
    let mut moved = 0;
    for number in 0..3000 {
        let id = format!("eui-{number}");
        let hub = hub_of(&id, &three);
        assert_eq!(hub, hub_of(&id.to_uppercase(), &three), "the same id");
        let later = hub_of(&id, &four);
        assert!(later == hub || later == four[3], "{id} moved from {hub} to {later}, which was there before");
        moved += u32::from(later != hub);
        *counts.entry(hub).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 3);
    assert!(counts.values().all(|count| (900..1100).contains(count)), "{counts:?}");
    assert!((600..900).contains(&moved), "{moved} of 3000 go to the fourth hub");
}

#[test]
fn a_static_group_has_one_hub() {
    let admitted = with(fixed("HUB3.azure-devices.net"), Reprovision::Migrate);
    let given = assign(&admitted, None, "anything", None, stamp(0)).registration;
    assert_eq!((given.hub.as_str(), given.substatus), ("hub3.azure-devices.net", Substatus::InitialAssignment));
}

#[test]
fn registering_again_keeps_name_first_date_hub_and_substatus() {
    let admitted = with(Allocation::Hashed, Reprovision::Migrate);
    let first = assign(&admitted, None, "d1", None, stamp(1_000)).registration;
    let again = assign(&admitted, Some(&first), "D1", None, stamp(2_000));
    assert_eq!(again.data, Data::Stays);
    let again = again.registration;
    assert_eq!((again.device_id.as_str(), &again.hub, again.substatus), ("d1", &first.hub, first.substatus));
    assert_eq!((again.created_ms, again.updated_ms), (1_000, 2_000));
    assert_ne!(again.etag, first.etag);
}

#[test]
fn another_hub_is_told_as_the_policy_moves_the_device() {
    let (hub1, hub2) = ("hub1.azure-devices.net", "hub2.azure-devices.net");
    for (policy, hub, substatus, data) in [
        (Reprovision::Migrate, hub2, Substatus::DeviceDataMigrated, Data::Moves { from: hub1.to_owned() }),
        (Reprovision::Reset, hub2, Substatus::DeviceDataReset, Data::Ends { from: hub1.to_owned() }),
        (Reprovision::Never, hub1, Substatus::InitialAssignment, Data::Stays),
    ] {
        let first = at(&with(fixed(hub1), policy), None).registration;
        let second = at(&with(fixed(hub2), policy), Some(&first));
        let said = (second.registration.hub.as_str(), second.registration.substatus, second.data);
        assert_eq!(said, (hub, substatus, data), "{policy:?}");
        let third = at(&with(fixed(hub2), policy), Some(&second.registration));
        assert_eq!((third.registration.substatus, third.data), (substatus, Data::Stays), "{policy:?}, again");
    }
}

#[test]
fn back_at_its_first_hub_it_is_told_so() {
    let to = |hub| with(fixed(hub), Reprovision::Migrate);
    let first = at(&to("hub1.azure-devices.net"), None).registration;
    let second = at(&to("hub2.azure-devices.net"), Some(&first)).registration;
    let third = at(&to("hub1.azure-devices.net"), Some(&second)).registration;
    assert_eq!(third.substatus, Substatus::ReprovisionedToInitialAssignment);
}

#[test]
fn a_hub_that_is_no_longer_linked_is_left_whatever_the_policy() {
    let first = at(&with(fixed("hub1.azure-devices.net"), Reprovision::Never), None).registration;
    let left = admitted_to(Group { reprovision: Reprovision::Never, ..group("g", GROUP, GROUP, &hubs(3)[1..]) });
    assert_ne!(at(&left, Some(&first)).registration.hub, first.hub);
}

#[test]
fn a_device_that_is_sent_elsewhere_gets_that_hub_with_its_next_registration_and_keeps_it() {
    let admitted = with(fixed("hub1.azure-devices.net"), Reprovision::Migrate);
    let first = at(&admitted, None).registration;
    let sent = send_to(&admitted.group, &first, "HUB2.azure-devices.net").unwrap();
    assert_eq!(sent.data, Data::Moves { from: first.hub.clone() });
    assert_eq!(sent.registration.hub, first.hub, "nobody registered yet");
    let next = at(&admitted, Some(&sent.registration));
    assert_eq!(next.registration.hub, "hub2.azure-devices.net");
    assert_eq!(next.registration.substatus, Substatus::DeviceDataMigrated);
    let again = at(&admitted, Some(&next.registration));
    assert_eq!((again.registration.hub.as_str(), again.data), ("hub2.azure-devices.net", Data::Stays));
}

#[test]
fn a_device_that_is_sent_back_before_it_registered_has_never_been_away() {
    let admitted = with(fixed("hub1.azure-devices.net"), Reprovision::Migrate);
    let first = at(&admitted, None).registration;
    let away = send_to(&admitted.group, &first, "hub2.azure-devices.net").unwrap().registration;
    let back = send_to(&admitted.group, &away, "hub1.azure-devices.net").unwrap();
    assert_eq!(back.data, Data::Moves { from: "hub2.azure-devices.net".to_owned() });
    let next = at(&admitted, Some(&back.registration));
    assert_eq!((next.registration.substatus, next.data), (Substatus::InitialAssignment, Data::Stays));
}

#[test]
fn a_device_cannot_be_sent_where_its_group_does_not_go() {
    let admitted = with(Allocation::Hashed, Reprovision::Migrate);
    let first = at(&admitted, None).registration;
    let said = send_to(&admitted.group, &first, "hub9").unwrap_err().to_string();
    assert!(said.contains("hub9") && said.contains("hub3.azure-devices.net"), "{said}");
    let never = with(Allocation::Hashed, Reprovision::Never);
    let refused = send_to(&never.group, &first, "hub2.azure-devices.net");
    assert!(matches!(refused, Err(Unmovable::Never(_))), "{refused:?}");
}

#[test]
fn a_payload_is_remembered_unless_it_is_long_and_the_groups_is_answered() {
    let admitted = with(Allocation::Hashed, Reprovision::Migrate);
    let kept = |payload: Option<Value>| assign(&admitted, None, "d1", payload, stamp(0)).registration.payload;
    let model = read_register_body("d1", br#"{"registrationId":"d1","payload":{"modelId":"dtmi:a;1"}}"#).unwrap();
    assert_eq!(kept(model), Some(json!({"modelId": "dtmi:a;1"})));
    let long = "a".repeat(PAYLOAD_BYTES_MAX - 2);
    assert_eq!(kept(Some(json!(long))), Some(json!(long)));
    assert_eq!([kept(Some(json!(long + "a"))), kept(Some(Value::Null)), kept(None)], [None, None, None]);

    let registration = assign(&admitted, None, "d1", Some(json!({"sent": 1})), stamp(0)).registration;
    let state = |payload| Outcome::Assigned(Box::new(registration.clone()), payload).state();
    assert_eq!(state(None).get("payload"), None, "what a device sent is not returned");
    assert_eq!(state(Some(Arc::new(json!({"a": [1]}))))["payload"], json!({"a": [1]}));
}
