//! What is there after a restart.

use super::*;

fn device(id: &str, status: Status) -> Device {
    Device { status, ..Device::new(id, Keys::random(32), 0) }
}

#[test]
fn a_line_cut_in_half_is_dropped_and_the_rest_is_there() {
    let dir = std::env::temp_dir().join(format!("registry-torn-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let mut registry = Registry::open(Some(&dir)).unwrap();
    for id in ["kept", "gone", "off"] {
        registry.put_device(device(id, Status::Enabled)).unwrap();
    }
    registry.put_device(device("off", Status::Disabled)).unwrap();
    registry.delete_device("gone").unwrap();
    let journal = dir.join(JOURNAL_FILE);
    let mut text = std::fs::read_to_string(&journal).unwrap();
    assert_eq!(text.lines().count(), 5);
    text.push_str(r#"{"device":{"id":"torn","#);
    std::fs::write(&journal, text).unwrap();

    let registry = Registry::open(Some(&dir)).unwrap();
    let mut ids: Vec<&str> = registry.devices().map(|device| device.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["kept", "off"]);
    assert_eq!(registry.device("off").map(|device| device.status), Some(Status::Disabled));
    assert_eq!(
        std::fs::read_to_string(&journal).unwrap().lines().count(),
        2,
        "written anew without what was overtaken"
    );
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_generation_counts_ticks_since_the_year_one() {
    assert_eq!(generation(0), "621355968000000000");
    assert_eq!(generation(1), "621355968000010000");
}
