//! A thousand stories, in which nothing may be found; and the same seed tells the same story, to the byte.

use std::process::Command;
use std::time::Duration;

use sim::campaign::{Campaign, Story};
use sim::mutants::Mutant;

const HOUR: Duration = Duration::from_secs(3600);

/// `./test --long` tells a hundred times as many, in which each kind of trouble must have come a thousand times.
#[test]
fn in_a_thousand_hours_of_trouble_every_promise_is_kept() {
    let outcome = Campaign { seeds: 1..1_001, length: HOUR, jobs: 2, until_found: false }.run(|_| ());
    eprintln!("{} seeds, {:?}, logs {:016x}", outcome.told, outcome.lasted, outcome.fingerprint);
    for failure in &outcome.failures {
        eprintln!("cargo run --release -p sim -- {} --minimise\n  {:?}", failure.seed, failure.findings);
    }
    assert_eq!(outcome.failed, 0, "seeds with findings");
    assert_eq!(outcome.seldom(1), Vec::<&str>::new(), "kinds of trouble that did not happen");
}

/// Seeds that have found a mistake, or find it when it is made again (`mutants.toml`): it stays mended.
#[test]
fn what_a_seed_has_found_stays_mended() {
    let named: Vec<_> =
        Mutant::all().unwrap().into_iter().filter_map(|mutant| Some((mutant.seed?, mutant.name))).collect();
    assert!(named.len() >= 4, "{named:?}");
    for (seed, name) in named {
        let story = Story { seed, length: HOUR, events: None, without: Vec::new() };
        assert_eq!(story.read().findings, Vec::<String>::new(), "seed {seed}: {name}");
    }
}

/// Another process has other addresses and other hash keys.
#[test]
fn a_seed_tells_the_same_story_in_another_process() {
    for seed in ["3", "20", "77"] {
        let told = || Command::new(env!("CARGO_BIN_EXE_sim")).arg(seed).output().unwrap();
        let (first, second) = (told(), told());
        assert!(!first.stdout.is_empty());
        assert_eq!(first.stdout, second.stdout, "seed {seed}");
    }
}

#[test]
fn a_story_is_told_the_same_alone_and_among_others() {
    let outcome = Campaign { seeds: 40..48, length: HOUR, jobs: 2, until_found: false }.run(|_| ());
    let again = Campaign { seeds: 40..48, length: HOUR, jobs: 1, until_found: false }.run(|_| ());
    assert_eq!(outcome.fingerprint, again.fingerprint);
    let story = Story { seed: 40, length: HOUR, events: None, without: Vec::new() };
    assert_eq!(story.read().log, story.read().log);
}
