//! What was seen, as the page's tables: a part for each language.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Cell;
use crate::page::Notes;

/// A table for each class of each SDK, and its notes.
pub(super) fn tables(cells: &[Cell]) -> String {
    let mut text = summary(cells);
    let mut at = cells;
    while let Some(first) = at.first() {
        let len = at.iter().take_while(|cell| cell.sdk == first.sdk && group(cell) == group(first)).count();
        let (part, rest) = at.split_at(len);
        text.push_str(&table(part));
        at = rest;
    }
    text
}

/// The class, as it stands before the dot.
fn group(cell: &Cell) -> &str {
    cell.operation.split(['.', ' ']).next().unwrap_or_default()
}

fn summary(cells: &[Cell]) -> String {
    let mut counts: BTreeMap<(&str, &str), [usize; 3]> = BTreeMap::new();
    for cell in cells {
        let of = counts.entry((&cell.sdk, &cell.version)).or_default();
        match cell.result.as_str() {
            "ok" => of[0] += 1,
            "sdk cannot" => of[1] += 1,
            _ => of[2] += 1,
        }
    }
    let mut text = String::from("| SDK | version | ok | sdk cannot | not offered |\n| --- | --- | --- | --- | --- |\n");
    for ((sdk, version), [ok, cannot, absent]) in counts {
        writeln!(text, "| `{sdk}` | {version} | {ok} | {cannot} | {absent} |").unwrap();
    }
    text
}

fn table(cells: &[Cell]) -> String {
    let mut transports: Vec<&str> = Vec::new();
    let mut rows: Vec<(&str, BTreeMap<&str, &Cell>)> = Vec::new();
    for cell in cells {
        if !transports.contains(&cell.transport.as_str()) {
            transports.push(&cell.transport);
        }
        match rows.last_mut().filter(|(operation, _)| *operation == cell.operation) {
            Some((_, row)) => _ = row.insert(&cell.transport, cell),
            None => rows.push((&cell.operation, BTreeMap::from([(cell.transport.as_str(), cell)]))),
        }
    }
    let mut notes = Notes::default();
    let mut text = format!("\n### {}: {}\n\n| operation |", cells[0].sdk, group(&cells[0]));
    transports.iter().for_each(|transport| write!(text, " {transport} |").unwrap());
    text.push_str("\n| --- |");
    text.push_str(&" --- |".repeat(transports.len()));
    for (operation, row) in &rows {
        write!(text, "\n| `{operation}` |").unwrap();
        for transport in &transports {
            match row.get(transport) {
                Some(cell) => write!(text, " {} ({}) |", cell.result, notes.number(&cell.detail)).unwrap(),
                None => text.push_str(" – |"),
            }
        }
    }
    text.push_str("\n\n");
    text + &notes.list()
}
