//! The file that `init` writes tells the truth.

use super::*;
use crate::config::COMMENTED;

/// Its lines; settings that are commented out without the `#`.
fn settings(wanted: impl Fn(&str) -> bool) -> String {
    let setting = |line: &str| {
        line.strip_prefix('#')
            .filter(|l| l.starts_with(['[']) || l.starts_with(|c: char| c.is_ascii_lowercase()))
            .map(str::to_owned)
    };
    let line = |line: &str| match setting(line) {
        Some(uncommented) if wanted(line) => uncommented,
        _ => line.to_owned(),
    };
    COMMENTED.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn is_example(line: &str) -> bool {
    line.ends_with("  # example")
}

#[test]
fn the_commented_file_works_once_the_key_is_there() {
    let warned: Vec<_> = usable(COMMENTED).warnings.into_iter().map(|w| w.key).collect();
    assert_eq!(warned, ["targets.main.id_scope"], "which is still the example's");
    assert!(COMMENTED.lines().all(|line| line.chars().count() <= 120));
}

/// The example's scope is no default.
fn with_scope(text: &str) -> String {
    text.replace("0ne00000000", "0ne00ABCDEF")
}

#[test]
fn its_defaults_are_those_of_the_code() {
    let least = format!("{:#?}", usable(LEAST).config);
    assert_eq!(format!("{:#?}", usable(&with_scope(COMMENTED)).config), least);
    let defaults = settings(|line| !is_example(line));
    assert_ne!(defaults, COMMENTED);
    assert_eq!(format!("{:#?}", usable(&with_scope(&defaults)).config), least);
}

/// Of `kind = "azure-storage"` alone.
fn is_of_shared_queue(line: &str) -> bool {
    let keys = ["#connection_string = { env = \"STORAGE", "#account_url = ", "#container = ", "#partitions = "];
    keys.iter().any(|key| line.starts_with(key))
}

#[test]
fn what_it_says_of_a_shared_queue_is_true() {
    let config = |without: &str| {
        let text = settings(|line| is_of_shared_queue(line) && !line.starts_with(without));
        usable(&text.replace("#kind = \"embedded\"", "kind = \"azure-storage\"")).config
    };
    let shared = |without: &str| config(without).queue.kind.storage().cloned().expect("it is shared");
    let (by_key, by_identity) = (shared("#account_url"), shared("#connection_string"));
    assert_ne!(by_key.account, by_identity.account);
    assert_eq!((by_key.container.as_str(), by_key.partitions), ("longhaul", 4), "the defaults");
    let lingers = [config("#account_url").linger(), usable(LEAST).config.linger()].map(|linger| linger.as_secs());
    assert_eq!(lingers, [5, 0]);
}

#[test]
fn every_key_in_it_is_known() {
    let read = usable(&settings(|line| !is_of_shared_queue(line)));
    assert_eq!((read.config.targets.len(), read.config.routes.len()), (2, 3));
}

#[test]
fn every_known_key_stands_in_it() {
    let whole = settings(|_| true);
    let lines: Vec<&str> = whole.lines().collect();
    let mut count = 0;
    for at in (0..lines.len()).filter(|at| lines[*at].starts_with('[')) {
        // An unknown key is answered with all that are known in its section.
        let text = [&lines[..=at], &["zzzzzzzzzzzz = 1"], &lines[at + 1..]].concat().join("\n");
        let mistakes = World::new().read(&text).unwrap_err();
        let known = mistakes.iter().find_map(|m| Some(m.mend.split_once("known here: ")?.1)).expect(lines[at]);
        for key in known.split(", ") {
            let stands = lines.iter().any(|line| line.starts_with(&format!("{key} = ")));
            assert!(stands, "{}: {key} is not in the commented file", lines[at]);
            count += 1;
        }
    }
    assert!(count > 30, "{count}");
}
