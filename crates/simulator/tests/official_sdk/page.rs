//! A page of `docs/wire` that says what was seen, in parts: each is compared with what is seen now, or written anew.

use std::fs::File;
use std::path::Path;

/// Compares the part with what stands in the file, or writes it when `LONGHAUL_BLESS` is set.
pub(crate) fn keep(file: &str, part: &str, seen: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/wire").join(file);
    // Another test writes its part as well.
    let lock = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    lock.lock().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = marks(part);
    let (head, rest) = text.split_once(&begin).expect("the page says where the part begins");
    let (stands, tail) = rest.split_once(&end).expect("the page says where the part ends");
    if std::env::var_os("LONGHAUL_BLESS").is_some() {
        let text = [head, &begin, "\n", seen, "\n", &end, tail].concat();
        return std::fs::write(&path, text).expect("the page can be written");
    }
    let new: Vec<&str> = seen.lines().filter(|line| !stands.contains(line)).collect();
    let is_kept = stands.trim() == seen.trim();
    assert!(is_kept, "{} is not what was seen; LONGHAUL_BLESS=1 writes it. New:\n{}", path.display(), new.join("\n"));
}

fn marks(part: &str) -> (String, String) {
    (format!("<!-- {part}: the test writes from here… -->\n"), format!("<!-- …{part} to here. -->\n"))
}

/// What is said below a table, once.
#[derive(Default)]
pub(crate) struct Notes<'a>(Vec<&'a str>);

impl<'a> Notes<'a> {
    /// The number under which it is said.
    pub(crate) fn number(&mut self, said: &'a str) -> usize {
        let at = self.0.iter().position(|note| *note == said);
        at.unwrap_or_else(|| {
            self.0.push(said);
            self.0.len() - 1
        }) + 1
    }

    /// All of them, a line each.
    pub(crate) fn list(&self) -> String {
        let line = |(nth, note): (usize, &&str)| format!("{}. {}\n", nth + 1, note.replace(['<', '>'], "'"));
        self.0.iter().enumerate().map(line).collect()
    }
}
