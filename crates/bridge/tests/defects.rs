//! The pages that say where something is proved name tests that are there.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::path::{Path, PathBuf};

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn page(name: &str) -> String {
    std::fs::read_to_string(crates().parent().unwrap().join(name)).unwrap()
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The file that a page means.
fn file(path: &str) -> Option<PathBuf> {
    ["", "bridge/tests", "bridge"].iter().map(|below| crates().join(below).join(path)).find(|file| file.is_file())
}

/// Is there a test of this name in this text? In a `proptest!` block `#[test]` stands above it as well.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let is_it = |line: &&str| line.trim_start_matches("async ").starts_with(&format!("fn {name}("));
    lines.iter().position(is_it).is_some_and(|at| {
        let above = lines[..at].iter().rev().take_while(|line| line.starts_with('#') || line.starts_with("//"));
        above.into_iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    })
}

#[test]
fn each_defect_of_the_predecessor_has_the_test_that_the_page_names() {
    let page = page("docs/predecessor-defects.md");
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| defect")).collect();
    let rows: Vec<_> = rows.into_iter().filter(|row| !row.starts_with("| | defect")).collect();
    let numbers = rows.iter().filter_map(|row| row.split('|').nth(1)?.trim().parse::<usize>().ok());
    assert!(numbers.eq(1..=18), "each of the eighteen once, in order");
    assert!(rows.len() >= 33, "{} rows", rows.len());
    let mut missing = Vec::new();
    for row in rows {
        let tests: Vec<_> = quoted(row).filter_map(|word| word.split_once(".rs::")).collect();
        assert!(!tests.is_empty(), "no test for {row}");
        for (path, name) in tests {
            let text = file(&format!("{path}.rs")).map(|file| std::fs::read_to_string(file).unwrap());
            if !text.is_some_and(|text| has_test(&text, name)) {
                missing.push(format!("{path}.rs::{name}"));
            }
        }
    }
    assert!(missing.is_empty(), "named on the page and not in the tree: {missing:#?}");
}

#[test]
fn each_file_that_the_readme_names_as_a_proof_is_there() {
    let readme = page("README.md");
    let named: Vec<_> = quoted(&readme).filter(|word| word.ends_with(".rs") && !word.contains(' ')).collect();
    assert!(named.len() > 5, "{named:?}");
    let missing: Vec<_> = named.into_iter().filter(|path| file(path).is_none()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn a_function_that_is_no_test_is_not_taken_for_one() {
    let text = "#[test]\nfn one() {}\n\nfn two() {}\n    #[tokio::test(flavor = \"x\")]\n    async fn three() {}\n";
    assert_eq!(["one", "two", "three", "four"].map(|name| has_test(text, name)), [true, false, true, false]);
}
