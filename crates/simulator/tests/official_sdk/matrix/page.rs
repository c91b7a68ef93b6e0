//! The page that says what was seen: `docs/wire/sdk-matrix.md`, with a part for each language.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::Cell;
use crate::sdk::Language;

/// Compares with the page that stands in the project, or writes it.
pub(super) fn keep(language: Language, cells: &[Cell]) {
    let path = file();
    // The test of the other language writes as well.
    let lock = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    lock.lock().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = marks(language);
    let (head, rest) = text.split_once(&begin).expect("the page says where the part begins");
    let (stands, tail) = rest.split_once(&end).expect("the page says where the part ends");
    let seen = tables(cells);
    if std::env::var_os("LONGHAUL_BLESS").is_some() {
        let text = [head, &begin, "\n", &seen, "\n", &end, tail].concat();
        return std::fs::write(&path, text).expect("the page can be written");
    }
    let new: Vec<&str> = seen.lines().filter(|line| !stands.contains(line)).collect();
    let is_kept = stands.trim() == seen.trim();
    assert!(is_kept, "{} is not what was seen; LONGHAUL_BLESS=1 writes it. New:\n{}", path.display(), new.join("\n"));
}

fn marks(language: Language) -> (String, String) {
    (format!("<!-- {language:?}: the test writes from here… -->\n"), format!("<!-- …{language:?} to here. -->\n"))
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/wire/sdk-matrix.md")
}

/// A table for each SDK, and its notes: the same detail is said once.
fn tables(cells: &[Cell]) -> String {
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
    let mut notes: Vec<&str> = Vec::new();
    let mut text = format!("\n### {}: {}\n\n| operation |", cells[0].sdk, group(&cells[0]));
    transports.iter().for_each(|transport| write!(text, " {transport} |").unwrap());
    text.push_str("\n| --- |");
    text.push_str(&" --- |".repeat(transports.len()));
    for (operation, row) in &rows {
        write!(text, "\n| `{operation}` |").unwrap();
        for transport in &transports {
            match row.get(transport) {
                Some(cell) => write!(text, " {} ({}) |", cell.result, note(&mut notes, &cell.detail)).unwrap(),
                None => text.push_str(" – |"),
            }
        }
    }
    text.push_str("\n\n");
    for (nth, note) in notes.iter().enumerate() {
        writeln!(text, "{}. {}", nth + 1, note.replace(['<', '>'], "'")).unwrap();
    }
    text
}

/// The number of a note.
fn note<'a>(notes: &mut Vec<&'a str>, detail: &'a str) -> usize {
    let at = notes.iter().position(|note| *note == detail);
    at.unwrap_or_else(|| {
        notes.push(detail);
        notes.len() - 1
    }) + 1
}
