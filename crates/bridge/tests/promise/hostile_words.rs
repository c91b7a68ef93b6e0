//! Promise: what a device or a stranger calls itself is text, in each log line, each listing and each answer: a terminal obeys
//! none of it, no line is read in another order, and no name makes a second line.

use std::time::Duration;

use serde_json::Value;

use crate::http;
use crate::processes::{run, until};
use crate::settings::main_target;
use crate::site::Site;
use crate::uplinks;

const PATIENCE: Duration = Duration::from_secs(30);

/// In JSON: a screen that is cleared, colours, a bell, C1's CSI, a line of its own, text from right to left, isolates.
const WORDS: &str = r"x\u001b[2J\u001b[31m\u0007\u009b1m\r\nERROR faked \u2028\u202a\u202e\u2066\u2069\u200f";
/// The part of it that would stand at the beginning of a line.
const FAKED: &str = "ERROR faked";

fn is_harmful(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn assert_plain(text: &str, whose: &str) {
    let found = text.chars().find(|c| is_harmful(*c) && *c != '\t');
    assert!(found.is_none(), "{whose}: {:?} in {text:?}", found.unwrap_or_default());
    assert!(text.lines().all(|line| !line.starts_with(FAKED)), "{whose}: {text}");
}

async fn hostile_site(name: &str, format: &str) -> Site {
    let mut site = Site::empty(name);
    site.start_simulator().await;
    let id_scope = site.azure["id_scope"].as_str().expect("the simulator says it").to_owned();
    let target = main_target(site.ports.https, &id_scope);
    site.settings.targets = Some(format!("{target}device_id = \"dev-{{dev_eui}}\"\n[[routes]]\ntarget = \"main\"\n"));
    site.env.push(("LONGHAUL__LOG__LEVEL".to_owned(), "debug".to_owned()));
    site.env.push(("LONGHAUL__LOG__FORMAT".to_owned(), format.to_owned()));
    site.start_bridge().await;
    let decoded = format!(r#"{{"{WORDS}":"{WORDS}"}}"#);
    let sent = uplinks::tts_with(WORDS, WORDS, 1, "AQ==", &decoded);
    assert_eq!(site.post("/tts", &sent).await.status, 202);
    // One that is buried, with its words in the cause: it has no DevEUI, and its target wants one.
    let buried = String::from_utf8(uplinks::tts_with(WORDS, "y", 2, "AQ==", &decoded)).expect("text");
    let begin = buried.find(r#""dev_eui""#).expect("it has one");
    let end = begin + buried[begin..].find(r#""join_eui""#).expect("it follows");
    let buried = format!("{}{}", &buried[..begin], &buried[end..]).replace(r#""y""#, &format!(r#""{WORDS}2""#));
    assert_eq!(site.post("/tts", buried.as_bytes()).await.status, 202);
    let stranger = format!(r#"{{"{WORDS}":"{WORDS}"}}"#);
    assert_eq!(site.post("/tts", stranger.as_bytes()).await.status, 202);
    until("both are dead letters", PATIENCE, async || (site.dead_letters().await.len() == 2).then_some(())).await;
    site.drained(PATIENCE).await;
    site
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_listing_and_no_log_line_obeys_a_name() {
    let mut site = hostile_site("hostile-text", "text").await;
    std::fs::write(site.dir.join("hostile.json"), uplinks::tts_with(WORDS, WORDS, 1, "AQ==", "{}")).expect("a disk");
    let mut seen = String::new();
    for arguments in [
        ["devices", "list"].as_slice(),
        &["devices", "list", "--json"],
        &["devices", "show", "nobody\u{1b}[2J"],
        &["dead-letters", "list"],
        &["dead-letters", "list", "--json"],
        &["dead-letters", "show", "2"],
        &["dead-letters", "show", "3"],
        &["queue", "status"],
        &["queue", "status", "--json"],
        &["explain", "hostile.json"],
        &["explain", "hostile.json", "--json"],
    ] {
        let (_, stdout, stderr) = run(&site.dir, arguments, PATIENCE).await;
        assert_plain(&stdout, &format!("{arguments:?}"));
        assert_plain(&stderr, &format!("{arguments:?}, errors"));
        if arguments.last() == Some(&"--json") {
            stdout.lines().for_each(|line| drop(serde_json::from_str::<Value>(line).expect("one JSON value a line")));
        }
        seen += &stdout;
    }
    assert!(seen.matches(FAKED).count() >= 6, "the names are told, though: {seen}");
    let messages = http::get(site.ports.admin, "/api/v1/messages").await.expect("it answers");
    assert!(messages.text().contains(FAKED), "{}", messages.text());
    site.bridge().signal("TERM");
    site.bridge().exit_within(PATIENCE).await;
    let log = site.bridge().stderr();
    assert_plain(&log, "log");
    assert!(log.matches(FAKED).count() >= 3, "{log}");
    assert!(log.lines().all(|line| line.starts_with("20")), "each line begins with its time: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_of_json_is_one_value_a_line_whatever_names_say() {
    let mut site = hostile_site("hostile-json", "json").await;
    site.bridge().signal("TERM");
    site.bridge().exit_within(PATIENCE).await;
    let log = site.bridge().stderr();
    assert_plain(&log, "log");
    let told: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(told.iter().any(|event| event.to_string().contains(FAKED)), "{log}");
}
