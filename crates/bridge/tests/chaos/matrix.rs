//! Promise: each error that IoT Hub is known to name, at each moment of a link's life, makes the client say and the bridge do
//! what the facts ask for, and nobody else on the connection notices.
//!
//! The simulator is made to say it; what the client tells goes through [`bridge::device::decide`]. The whole matrix stands
//! in `docs/wire/amqp-conditions.md`, which this test compares with what it saw; with `LONGHAUL_BLESS` set it writes the
//! file anew, to be read line by line in the change.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::site::Site;

mod cell; // one error, once
mod rows; // all of them, and what is to follow

use rows::{COLUMNS, NOTES, Row};

/// Simulators beside each other: most of the time somebody waits for a handshake.
const WORKERS: usize = 4;
const BEGIN: &str = "<!-- The test writes from here… -->\n";
const END: &str = "<!-- …to here. -->\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_condition_in_each_state_ends_as_the_facts_ask() {
    let rows = rows::all();
    let work = async |worker: usize| {
        let site = Site::start(2).await;
        let mut seen = Vec::new();
        for (number, row) in rows.iter().enumerate().skip(worker).step_by(WORKERS) {
            seen.push((number, cell::all(&site, row).await));
        }
        seen
    };
    let (a, b, c, d) = tokio::join!(work(0), work(1), work(2), work(3));
    let mut seen = [a, b, c, d].concat();
    seen.sort_unstable_by_key(|(number, _)| *number);
    let seen: Vec<Cells> = seen.into_iter().map(|(_, cells)| cells).collect();

    let page = page(&rows, &seen);
    println!("{page}");
    for (row, seen) in rows.iter().zip(&seen).filter(|(row, seen)| row.expected() != **seen) {
        println!("{}:\n  expected {:?}\n  but saw  {seen:?}", row.title(), row.expected());
    }
    let wrong = rows.iter().zip(&seen).filter(|(row, seen)| row.expected() != **seen).count();
    assert_eq!(wrong, 0, "rows are not as the facts ask");
    keep(&page);
}

/// What came of a row: a cell for each column, none where there is nothing to be done.
type Cells = [Option<String>; COLUMNS.len()];

/// As it stands in the file.
fn page(rows: &[Row], seen: &[Cells]) -> String {
    let mut page = String::new();
    let line = |page: &mut String, cells: &[&str]| writeln!(page, "| {} |", cells.join(" | ")).expect("text grows");
    line(&mut page, &[&["condition", "how", "retry?"], &COLUMNS[..], &["as expected"]].concat());
    line(&mut page, &["---"; COLUMNS.len() + 4]);
    for (row, seen) in rows.iter().zip(seen) {
        let (title, ok) = (row.title(), if row.expected() == *seen { "yes" } else { "NO" });
        let cells = seen.each_ref().map(|cell| cell.as_deref().unwrap_or("–"));
        line(&mut page, &[&[&title, row.how.words(), row.facts], &cells[..], &[ok]].concat());
    }
    page.push('\n');
    for (number, (_, text)) in NOTES.iter().enumerate() {
        writeln!(page, "{}. {text}", number + 1).expect("text grows");
    }
    page
}

fn keep(page: &str) {
    let path = file();
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (head, rest) = text.split_once(BEGIN).expect("the file says where the matrix begins");
    let (stands, tail) = rest.split_once(END).expect("the file says where the matrix ends");
    if std::env::var_os("LONGHAUL_BLESS").is_some() {
        let text = [head, BEGIN, "\n", page, "\n", END, tail].concat();
        return std::fs::write(&path, text).expect("the file can be written");
    }
    assert!(stands.trim() == page.trim(), "{} is not what was seen; LONGHAUL_BLESS=1 writes it", path.display());
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/wire/amqp-conditions.md")
}
