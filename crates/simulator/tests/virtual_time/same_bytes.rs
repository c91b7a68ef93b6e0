//! The same seed and the same script give the same bytes: within a process, where each table of the standard library is
//! shuffled otherwise, and in another one, where everything lies elsewhere.

use std::process::Command;

use sha2::{Digest as _, Sha256};

use crate::script::play;
use crate::world::{World, runtime};

const SEED: u64 = 7;
const CHILD: [&str; 4] = ["--exact", "same_bytes::child", "--ignored", "--nocapture"];
const MARK: &str = "said sha256=";

fn digest() -> String {
    Sha256::digest(play(SEED).0).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_same_seed_says_the_same_to_the_byte() {
    let (first, counts) = play(SEED);
    for _ in 0..5 {
        let (again, _) = play(SEED);
        let differs = first.iter().zip(&again).position(|(a, b)| a != b);
        assert_eq!((differs, first.len()), (None, again.len()), "where they part, and how long they are");
    }
    // The script did what it says.
    assert_eq!((counts.thefts.len(), counts.tokens_refused.len()), (1, 1));
    assert!(counts.tokens_run_out.len() >= 3, "{counts:?}");
    assert_eq!(counts.amqp.connections_ever, 3);
    for reason in ["amqp:link:stolen", "amqp:unauthorized-access", "com.microsoft:device-container-throttled"] {
        assert!(counts.amqp.detaches.contains_key(reason), "{reason}: {counts:?}");
    }
}

#[test]
fn no_answer_tells_the_time_of_the_machine() {
    let world = World::new(SEED);
    let [read, unread] = runtime()
        .block_on(async { [world.https("GET", "/nowhere", "", "").await, world.http("no request\r\n\r\n").await] });
    assert!(read.contains("date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"), "{read}");
    assert!(unread.starts_with("HTTP/1.1 400") && !unread.to_lowercase().contains("date:"), "{unread}");
}

#[test]
fn another_seed_says_other_bytes() {
    assert_ne!(play(SEED).0, play(SEED + 1).0);
}

#[test]
fn another_process_says_the_same() {
    let output = Command::new(std::env::current_exe().unwrap()).args(CHILD).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let theirs = said.lines().find_map(|line| line.split_once(MARK)).map(|(_, digest)| digest.trim().to_owned());
    assert_eq!(theirs, Some(digest()), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "the other process of the test above"]
fn child() {
    println!("{MARK}{}", digest());
}
