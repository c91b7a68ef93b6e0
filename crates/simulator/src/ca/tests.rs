//! What is kept over restarts and what is made anew.

use super::*;

const NOW_MS: i64 = 1_767_225_600_000;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn scratch(name: &str) -> std::path::PathBuf {
    let dir = std::env::temp_dir().join(format!("ca-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

#[test]
fn a_kept_authority_and_leaf_are_used_again() {
    let dir = scratch("kept");
    let local = names(&["localhost"]);
    let first = Authority::open(Some(&dir), NOW_MS).unwrap();
    let leaf = first.leaf(Some(&dir), &local, NOW_MS).unwrap().certificate_pem;
    let later_ms = NOW_MS + 100 * DAY_MS;
    let second = Authority::open(Some(&dir), later_ms).unwrap();
    assert_eq!(second.pem, first.pem);
    assert_eq!(second.leaf(Some(&dir), &local, later_ms).unwrap().certificate_pem, leaf);
    second.server_config(Some(&dir), &local, later_ms).unwrap();

    let more = names(&["localhost", "hub1.azure-devices.net"]);
    let renamed = second.leaf(Some(&dir), &more, later_ms).unwrap().certificate_pem;
    assert_ne!(renamed, leaf, "the names changed");
    let near_end_ms = later_ms + (LEAF_DAYS - LEAF_DAYS_LEFT_MIN) * DAY_MS;
    assert_eq!(second.leaf(Some(&dir), &more, near_end_ms - DAY_MS).unwrap().certificate_pem, renamed);
    assert_ne!(second.leaf(Some(&dir), &more, near_end_ms).unwrap().certificate_pem, renamed, "its end is near");
    std::fs::remove_dir_all(dir).unwrap();
}

#[cfg(unix)]
#[test]
fn keys_are_for_the_owners_eyes() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = scratch("mode");
    let authority = Authority::open(Some(&dir), NOW_MS).unwrap();
    authority.leaf(Some(&dir), &names(&["localhost"]), NOW_MS).unwrap();
    let others = |file| std::fs::metadata(dir.join(file)).unwrap().permissions().mode() & 0o044;
    assert_eq!([CA_KEY_FILE, LEAF_FILE].map(others), [0, 0]);
    assert_eq!(others(CA_FILE), 0o044, "clients have to read it");
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_broken_leaf_file_is_replaced() {
    let dir = scratch("broken");
    std::fs::write(dir.join(LEAF_FILE), "{").unwrap();
    let authority = Authority::open(Some(&dir), NOW_MS).unwrap();
    authority.server_config(Some(&dir), &names(&["localhost"]), NOW_MS).unwrap();
    std::fs::remove_dir_all(dir).unwrap();
}
