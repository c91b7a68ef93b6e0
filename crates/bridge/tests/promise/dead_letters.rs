//! Promise: a person can see what could not be sent, and why, mend the cause, and send it all the same; or take it elsewhere.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::http;
use crate::oracle::Obligations;
use crate::processes::{run, until};
use crate::settings::{Settings, main_target};
use crate::site::Site;
use crate::uplinks;

const PATIENCE: Duration = Duration::from_secs(30);

async fn done(site: &Site, arguments: &[&str]) -> String {
    let arguments = [&["dead-letters"], arguments].concat();
    let (code, stdout, stderr) = run(&site.dir, &arguments, PATIENCE).await;
    assert_eq!(code, 0, "{arguments:?}: {stdout}{stderr}");
    stdout
}

/// A site whose routes take the application `building` only.
async fn start(name: &str) -> Site {
    let mut site = Site::empty(name);
    site.start_simulator().await;
    site.settings = narrow(&site);
    site.start_bridge().await;
    site
}

fn narrow(site: &Site) -> Settings {
    let scope = site.azure["id_scope"].as_str().expect("the simulator says it");
    let route = "[[routes]]\napplication = \"building\"\ntarget = \"main\"\n";
    Settings { targets: Some(main_target(site.ports.https, scope) + route), ..Settings::default() }
}

async fn post(site: &Site, obligations: &Obligations, application: &str, device: &str, counter: u32) {
    obligations.posted(device, counter);
    assert_eq!(site.post("/tts", &uplinks::tts(application, device, counter)).await.status, 202);
    obligations.owed(device, counter);
}

async fn buried(site: &Site, count: usize) -> Vec<Value> {
    until("they are buried", PATIENCE, async || Some(site.dead_letters().await).filter(|l| l.len() == count)).await
}

async fn mend(site: &mut Site) {
    let narrow = site.settings.targets.take().expect("start() sets them");
    site.settings.targets = Some(narrow + "[[routes]]\ntarget = \"main\"\n");
    site.write_config();
    site.bridge().signal("HUP");
    until("the configuration is taken", PATIENCE, async || {
        let metrics = site.admin("/metrics").await.text();
        metrics.contains("longhaul_config_reloaded_total 1").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_of_a_missing_route_arrive_in_order_once_it_is_there() {
    let (mut site, obligations) = (start("letters").await, Obligations::default());
    for counter in 1..=20 {
        post(&site, &obligations, "vehicles", "van", counter).await;
    }
    post(&site, &obligations, "building", "door", 1).await;
    assert_eq!(site.post("/tts", b"[1]").await.status, 202);
    let letters = buried(&site, 21).await;

    let list = done(&site, &["list"]).await;
    assert!(list.contains("ttn/vehicles/van") && !list.contains("ttn/building"), "{list}");
    assert!(list.contains("\nno_route, 20: add a route") && list.contains("\nnot_understood, 1: "), "{list}");
    assert_eq!(done(&site, &["list", "--reason", "no_route", "--json"]).await.lines().count(), 20);
    assert_eq!(done(&site, &["list", "--class", "message", "--json"]).await.lines().count(), 1);
    assert_eq!(done(&site, &["list", "--device", "door"]).await, "none\n");
    assert_eq!(done(&site, &["list", "--older-than", "1h"]).await, "none\n");
    assert_eq!(done(&site, &["list", "--newer-than", "1h", "--limit", "3", "--json"]).await.lines().count(), 3);
    let first = letters[0]["seq"].to_string();
    let shown = done(&site, &["show", &first]).await;
    for part in ["no_route (configuration)", "van", "mend", "\"f_port\""] {
        assert!(shown.contains(part), "no {part}: {shown}");
    }

    mend(&mut site).await;
    let would = done(&site, &["replay", "--application", "vehicles", "--dry-run"]).await;
    assert!(would.starts_with("would be replayed: 20\n"), "{would}");
    assert_eq!(site.dead_letters().await.len(), 21, "nothing was done");
    assert_eq!(done(&site, &["replay", "--application", "vehicles"]).await, "replayed: 20\n");
    let verdict = site.settled(&obligations, PATIENCE).await;
    println!("{verdict}");
    verdict.holds(0);

    let queue = async |arguments: &[&str]| {
        let arguments = [&["queue"], arguments].concat();
        run(&site.dir, &arguments, PATIENCE).await
    };
    let (code, stdout, _) = queue(&["verify"]).await;
    assert_eq!((code, stdout.as_str()), (0, "1 messages looked at, 0 damaged\n"));
    let (code, stdout, _) = queue(&["status"]).await;
    assert!(code == 0 && stdout.starts_with("takes messages  yes\nwaiting         0 of 0 devices"), "{stdout}");
    assert!(stdout.contains("dead letters    1, 0 gone\n"), "{stdout}");
    let (code, _, stderr) = queue(&["backup", "--dir", "data", "copy"]).await;
    assert!(code == 1 && stderr.contains("another process has this queue open"), "{stderr}");
    let (code, stdout, stderr) = queue(&["backup", "before"]).await;
    assert!(
        code == 0 && stdout.ends_with("data/backups/before\n1 of 1 messages looked at, 0 damaged\n"),
        "{stdout}{stderr}"
    );
    let (code, stdout, _) = queue(&["verify", "--dir", "data/backups/before"]).await;
    assert_eq!((code, stdout.as_str()), (0, "1 of 1 messages looked at, 0 damaged\n"));
    let (code, _, stderr) = queue(&["backup", "../out"]).await;
    assert!(code == 1 && stderr.contains("a backup's name has 1 to 64 letters"), "{stderr}");

    // What cannot be helped comes back as it was.
    let unsorted = site.dead_letters().await[0]["seq"].to_string();
    assert_eq!(done(&site, &["replay", &unsorted, "99"]).await, "replayed: 1\nnot there: 99\n");
    let again = until("it is buried again", PATIENCE, async || site.dead_letters().await.pop()).await;
    assert_eq!((&again["reason"], &again["replays"]), (&Value::from("not_understood"), &Value::from(1)));
    assert_eq!(again["seq"].to_string(), unsorted);
    assert_eq!(done(&site, &["drop", "--all", "--dry-run"]).await, format!("would be dropped: 1\n  {unsorted}\n"));
    assert_eq!(done(&site, &["drop", "--all"]).await, "dropped: 1\n");
    assert_eq!(done(&site, &["list"]).await, "none\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_travel_to_another_bridge_in_a_file() {
    let (site, obligations) = (start("letters-out").await, Obligations::default());
    for counter in 1..=5 {
        post(&site, &obligations, "vehicles", "van", counter).await;
    }
    assert_eq!(site.post("/tts", b"[\"\xE2\x82\xAC\"]").await.status, 202);
    let before = buried(&site, 6).await;
    let lines = done(&site, &["export"]).await;
    let file = site.dir.join("letters.jsonl");
    std::fs::write(&file, &lines).expect("it can be written");

    let mut other = Site::start("letters-in").await;
    let file = file.to_str().expect("it is text");
    assert_eq!(done(&other, &["import", file]).await, "imported: 6\n");
    let strip = |letter: &Value| {
        let mut letter = letter.clone();
        letter["seq"] = Value::Null;
        letter
    };
    let after: Vec<_> = other.dead_letters().await.iter().map(strip).collect();
    assert_eq!(after, before.iter().map(strip).collect::<Vec<_>>(), "with everything that befell them");
    // They are dead letters like any others, also after a kill; and so they are in a copy.
    other.bridge().kill();
    let copy = run(&other.dir, &["queue", "backup", "--dir", "data", "copy"], PATIENCE).await;
    assert!(copy.0 == 0 && copy.1.ends_with("6 of 6 messages looked at, 0 damaged\n"), "{copy:?}");
    other.start_bridge().await;
    assert_eq!(done(&other, &["replay", "--reason", "no_route"]).await, "replayed: 5\n");
    let verdict = other.settled(&obligations, PATIENCE).await;
    println!("{verdict}");
    verdict.holds(0);

    let kept = lines.lines().next().expect("there are six").to_owned();
    let bad = kept.replace("\"lane\":\"t/", "\"lane\":\"?/");
    for (text, says, count) in [
        (format!("{kept}\n\nno json\n{kept}\n"), "line 3: ", 1),
        (format!("{kept}\n{bad}\n"), "letters[1]: lane: `?/ttn/vehicles/van` is none", 0),
        (kept.replacen('{', "{\"more\":1,", 1), "line 1: unknown field `more`", 0),
    ] {
        std::fs::write(Path::new(file), text).expect("it can be written");
        let (code, stdout, stderr) = run(&other.dir, &["dead-letters", "import", file], PATIENCE).await;
        assert_eq!((code, stdout), (1, format!("imported: {count}\n")), "{stderr}");
        assert!(stderr.contains(says), "{stderr}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_means_nothing_says_so() {
    let site = start("letters-usage").await;
    for (arguments, code, says) in [
        (["dead-letters", "replay"].as_slice(), 2, "--all"),
        (&["dead-letters", "drop", "1", "--reason", "no_route"], 2, "not both"),
        (&["dead-letters", "drop", "--all", "--reason", "no_route"], 2, "not both"),
        (&["dead-letters", "list", "--class", "odd"], 2, "configuration"),
        (&["dead-letters", "list", "--older-than", "yesterday"], 2, "duration"),
        (&["dead-letters", "show", "7"], 1, "there is no dead letter 7"),
        (&["dead-letters", "import", "nothing.jsonl"], 1, "nothing.jsonl"),
        (&["dead-letters", "list", "--admin", "localhost:1"], 1, "no bridge answers at localhost:1"),
    ] {
        let (found, stdout, stderr) = run(&site.dir, arguments, PATIENCE).await;
        assert_eq!(found, code, "{arguments:?}: {stdout}{stderr}");
        assert!(stderr.contains(says), "{arguments:?}: {stderr}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_floods_takes_no_more_room_than_its_own_also_after_a_restart() {
    let (mut site, obligations) = (Site::empty("share"), Obligations::default());
    site.start_simulator().await;
    site.env.push(("LONGHAUL__QUEUE__MAX_WAITING_PER_DEVICE".to_owned(), "3".to_owned()));
    let faults = async |site: &Site, faults: &str| {
        let reply = http::post(site.ports.page, "/api/faults", &[], faults.as_bytes()).await.expect("the page answers");
        assert_eq!(reply.status, 200, "{}", reply.text());
    };
    faults(&site, r#"{"hub":{"outage":"unavailable"}}"#).await;
    site.start_bridge().await;
    for counter in 1..=4 {
        post(&site, &obligations, "building", "flood", counter).await;
    }
    buried(&site, 1).await;
    site.bridge().kill();
    site.start_bridge().await;
    until("the lane is read again", PATIENCE, async || {
        let snapshot = site.admin("/api/v1/snapshot").await.json();
        (snapshot["queue"]["lanes"] == 1).then_some(())
    })
    .await;
    post(&site, &obligations, "building", "flood", 5).await;
    post(&site, &obligations, "building", "calm", 1).await;
    for letter in buried(&site, 2).await {
        assert_eq!((&letter["reason"], &letter["device"]), (&"too_many_waiting".into(), &"flood".into()), "{letter}");
    }
    faults(&site, "{}").await;
    until("those that wait go", PATIENCE, async || site.record().lines().len().checked_sub(4)).await;
    done(&site, &["replay", "--reason", "too_many_waiting"]).await;
    site.settled(&obligations, PATIENCE).await.holds(0);
}
