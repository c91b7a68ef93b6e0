//! What is there after a restart.

use super::*;
use crate::random::Random;
use crate::random::tests::stamp;

fn device(id: &str, status: Status) -> Device {
    Device { status, ..Device::new(id, Random::default().keys(32), stamp(0)) }
}

fn module(id: &str, module: &str) -> Device {
    Device { module: Some(module.to_owned()), ..device(id, Status::Enabled) }
}

fn ids<'a>(devices: impl Iterator<Item = &'a Device>) -> Vec<String> {
    devices.map(Device::key).collect()
}

#[test]
fn a_line_cut_in_half_is_dropped_and_the_rest_is_there() {
    let dir = std::env::temp_dir().join(format!("registry-torn-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let mut registry = Registry::open(Some(&dir), "hub1").unwrap();
    for id in ["kept", "gone", "off"] {
        registry.put_device(device(id, Status::Enabled)).unwrap();
    }
    registry.put_device(device("off", Status::Disabled)).unwrap();
    registry.delete_device("gone").unwrap();
    let journal = dir.join("devices-hub1.jsonl");
    let mut text = std::fs::read_to_string(&journal).unwrap();
    assert_eq!(text.lines().count(), 5);
    text.push_str(r#"{"device":{"id":"torn","#);
    std::fs::write(&journal, text).unwrap();

    let registry = Registry::open(Some(&dir), "hub1").unwrap();
    assert_eq!(ids(registry.devices()), ["kept", "off"]);
    assert_eq!(registry.device("off").map(|device| device.status), Some(Status::Disabled));
    let lines = std::fs::read_to_string(&journal).unwrap().lines().count();
    assert_eq!(lines, 2, "written anew without what was overtaken");
    assert_eq!(Registry::open(Some(&dir), "hub2").unwrap().devices().count(), 0, "another hub");
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn modules_are_no_devices_and_go_with_theirs() {
    let mut registry = Registry::default();
    for id in ["d", "d-1", "d0"] {
        registry.put_device(device(id, Status::Enabled)).unwrap();
    }
    for (id, name) in [("d", "m1"), ("d", "m2"), ("d-1", "m1")] {
        registry.put_device(module(id, name)).unwrap();
    }
    assert_eq!(ids(registry.devices()), ["d", "d-1", "d0"]);
    assert_eq!(ids(registry.modules_of("d")), ["d/m1", "d/m2"]);
    registry.delete_device("d").unwrap();
    assert_eq!(ids(registry.devices.values()), ["d-1", "d-1/m1", "d0"]);
    registry.delete_device("d-1/m1").unwrap();
    assert_eq!(ids(registry.devices.values()), ["d-1", "d0"]);
}

#[test]
fn a_generation_counts_ticks_since_the_year_one() {
    assert_eq!(generation(0), "621355968000000000");
    assert_eq!(generation(1), "621355968000010000");
}

#[test]
fn twins_and_modules_are_there_after_a_restart_and_gone_with_their_device() {
    let dir = std::env::temp_dir().join(format!("registry-twins-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let desired = |value: u64| serde_json::json!({"properties": {"desired": {"a": value}}});
    let mut registry = Registry::open(Some(&dir), "hub1").unwrap();
    let all = [device("d", Status::Enabled), module("d", "m"), device("gone", Status::Enabled)];
    for (value, device) in (1..).zip(&all) {
        registry.put_device(device.clone()).unwrap();
        let mut twin = registry.twin(device).into_owned();
        twin.patch(&desired(value), 0).unwrap();
        registry.put_twin(device, twin).unwrap();
    }
    registry.delete_device("gone").unwrap();
    registry.put_device(all[2].clone()).unwrap();
    assert_eq!(*registry.twin(&all[2]), Twin::new(0), "one of the same name begins anew");

    let again = Registry::open(Some(&dir), "hub1").unwrap();
    assert_eq!(ids(again.after(None)), ["d", "d/m", "gone"]);
    for (version, device) in [2, 2, 1].into_iter().zip(&all) {
        assert_eq!(again.twin(device), registry.twin(device));
        assert_eq!(again.twin(device).for_device()["desired"]["$version"], version);
    }
    std::fs::remove_dir_all(dir).unwrap();
}
