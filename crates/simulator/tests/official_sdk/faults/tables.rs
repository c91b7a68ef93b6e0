//! The list and what was seen, as the tables of the page.

use std::fmt::Write as _;

use super::{Fault, Seen};
use crate::page::Notes;

/// What is switched on, and what the wire says then.
pub(super) fn list(list: &[Fault]) -> String {
    let mut text = String::new();
    for area in areas(list) {
        writeln!(text, "\n### {area}\n\n| fault | switched on with | HTTPS | AMQP | MQTT |").unwrap();
        text.push_str("| --- | --- | --- | --- | --- |\n");
        for fault in list.iter().filter(|fault| fault.of == area) {
            let wire = [&fault.https, &fault.amqp, &fault.mqtt].map(|says| says.as_deref().unwrap_or("–"));
            writeln!(text, "| {} | {} | {} |", fault.fault, switch(fault), wire.join(" | ")).unwrap();
        }
    }
    text
}

/// The order in which the list has them.
fn areas(list: &[Fault]) -> Vec<&str> {
    let mut areas: Vec<&str> = list.iter().map(|fault| fault.of.as_str()).collect();
    areas.dedup();
    areas
}

/// How a reader does it by hand.
fn switch(fault: &Fault) -> String {
    let Fault { set, then, then_device, forward_s, .. } = fault;
    match (set, then, then_device, forward_s) {
        (Some(set), ..) => format!("`{set}`"),
        (_, Some(then), Some(what), _) => format!("connected: `{then}`, then `/api/devices/ID/{what}`"),
        (_, Some(then), ..) => format!("connected: `{then}`"),
        (_, _, Some(what), _) => format!("connected: `/api/devices/ID/{what}`"),
        (_, _, _, Some(seconds)) => format!("connected: `/api/clock` `{{\"forward_s\":{seconds}}}`"),
        _ => "what the client does".to_owned(),
    }
}

/// What each SDK saw over each transport, a table for each of them.
pub(super) fn seen(list: &[Fault], seen: &[Seen]) -> String {
    let mut text = String::new();
    for area in areas(list) {
        let mut sdks: Vec<(&str, &str)> =
            seen.iter().filter(|one| one.of == area).map(|one| (one.sdk.as_str(), one.version.as_str())).collect();
        sdks.sort_unstable();
        sdks.dedup();
        for (sdk, version) in sdks {
            writeln!(text, "\n### {area}: {sdk} {version}").unwrap();
            let of_sdk = |one: &&Seen| one.of == area && one.sdk == sdk;
            text.push_str(&table(list, &seen.iter().filter(of_sdk).collect::<Vec<_>>()));
        }
    }
    text
}

fn table(list: &[Fault], seen: &[&Seen]) -> String {
    let mut transports: Vec<&str> = seen.iter().map(|one| one.transport.as_str()).collect();
    transports.sort_unstable();
    transports.dedup();
    let mut notes = Notes::default();
    let mut text = format!("\n| fault | {} |\n| --- |{}\n", transports.join(" | "), " --- |".repeat(transports.len()));
    for fault in list {
        let row: Vec<_> = seen.iter().filter(|one| one.of == fault.of && one.fault == fault.fault).collect();
        if row.is_empty() {
            continue;
        }
        write!(text, "| {} |", fault.fault).unwrap();
        for transport in &transports {
            match row.iter().find(|one| one.transport == *transport) {
                Some(one) => write!(text, " {} ({}) |", short(one), notes.number(&one.detail)).unwrap(),
                None => text.push_str(" – |"),
            }
        }
        text.push('\n');
    }
    text + "\n" + &notes.list()
}

/// The class of the error, and whether the SDK hides what it was told.
fn short(one: &Seen) -> String {
    let class = one.detail.split([':', ' ', ';']).next().unwrap_or_default();
    if one.result == "ok" { class.to_owned() } else { format!("{class}, {}", one.result) }
}
