//! Collects mistakes while values are taken out of the tree one by one.
//!
//! Promises that what nobody took is reported as unknown, with the nearest name that was asked for. Messages about
//! a value's type name the type and never the value.

use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::former;
use super::nearest::nearest;
use super::tree::{Node, SyntaxError, Value};
use super::vaults::Vaults;
use crate::config::mistake::{Mistake, Place};

/// A key and where it stands.
#[derive(Clone)]
pub(super) struct At {
    /// Dotted.
    pub(super) key: String,
    /// Where it was set.
    pub(super) place: Option<Place>,
}

/// A value that was there, and where.
pub(super) struct Found<T> {
    pub(super) at: At,
    pub(super) value: T,
}

/// Opens a file as text.
pub(super) type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

/// The world outside the file, and what is wrong so far.
pub(super) struct Reader<'a> {
    env: BTreeMap<&'a str, &'a str>,
    base: &'a Path,
    read_file: ReadFile<'a>,
    /// What is known of the key vaults.
    pub(super) vaults: Vaults<'a>,
    /// What was wanted of them so far, and where.
    pub(super) vault_secrets: Vec<(String, vault::Reference)>,
    /// Never shown: there may be a secret in them.
    broken_lines: BTreeMap<usize, String>,
    mistakes: Vec<Mistake>,
    warnings: Vec<Mistake>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        env: &'a [(String, String)],
        base: &'a Path,
        read_file: ReadFile<'a>,
        vaults: Vaults<'a>,
    ) -> Self {
        let env = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Self {
            env,
            base,
            read_file,
            vaults,
            vault_secrets: Vec::new(),
            broken_lines: BTreeMap::new(),
            mistakes: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Something is wrong with what stands there.
    pub(super) fn mistake(&mut self, at: &At, cause: impl Into<String>, mend: impl Into<String>) {
        // A line that could not be read whole says nothing worth a second complaint.
        let broken = matches!(&at.place, Some(Place::Line(line)) if self.broken_lines.contains_key(line));
        if !broken {
            self.mistakes.push(mistake(at, cause, mend));
        }
    }

    /// Something is missing. Not said where a line that could not be read seems to set it; a broken header may take a
    /// whole section with it.
    pub(super) fn missing(&mut self, at: &At, cause: impl Into<String>, mend: impl Into<String>) {
        let (section, name) = at.key.rsplit_once('.').unwrap_or(("", &at.key));
        let hidden = |line: &String| section.is_empty() || line.contains(name);
        if !self.broken_lines.values().any(hidden) {
            self.mistakes.push(mistake(at, cause, mend));
        }
    }

    /// Allowed, but unwise.
    pub(super) fn warn(&mut self, at: &At, cause: impl Into<String>, mend: impl Into<String>) {
        self.warnings.push(mistake(at, cause, mend));
    }

    /// A line that cannot be read, which is listed or only remembered.
    pub(super) fn broken_line(&mut self, error: &SyntaxError, text: &str, listed: bool) {
        let at = At { key: String::new(), place: Some(Place::Line(error.line)) };
        let cause = format!("column {}: {}", error.column, error.message);
        if listed {
            self.mistakes.push(mistake(&at, cause, "correct the TOML: quotes, brackets, one `key = value` a line"));
        }
        let line = text.lines().nth(error.line - 1).unwrap_or_default();
        self.broken_lines.insert(error.line, line.to_owned());
    }

    /// Mistakes so far.
    pub(super) fn count(&self) -> usize {
        self.mistakes.len()
    }

    /// A variable of the environment.
    pub(super) fn variable(&self, name: &str) -> Option<&'a str> {
        self.env.get(name).copied()
    }

    /// A path of the configuration: relative ones count from the configuration's directory.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.base.join(path)
    }

    /// A file's text.
    pub(super) fn file(&self, path: &Path) -> io::Result<String> {
        (self.read_file)(path)
    }

    /// Mistakes and warnings, each in the order of the file; then variables, then what stands nowhere.
    pub(super) fn finish(mut self) -> (Vec<Mistake>, Vec<Mistake>) {
        let order = |m: &Mistake| (m.place.is_none(), m.place.clone());
        self.mistakes.sort_by_key(order);
        self.warnings.sort_by_key(order);
        (self.mistakes, self.warnings)
    }
}

fn mistake(at: &At, cause: impl Into<String>, mend: impl Into<String>) -> Mistake {
    Mistake { key: at.key.clone(), place: at.place.clone(), cause: cause.into(), mend: mend.into() }
}

/// What a value should have been.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    /// As in "a text".
    pub(super) kind: &'static str,
    /// TOML that would do.
    pub(super) example: &'static str,
}

/// A table whose keys are taken one by one.
pub(super) struct Section {
    at: At,
    entries: BTreeMap<String, Node>,
    asked: Vec<&'static str>,
    broken: bool,
}

impl Section {
    /// The whole file.
    pub(super) fn root(entries: BTreeMap<String, Node>) -> Self {
        Self { at: At { key: String::new(), place: None }, entries, asked: Vec::new(), broken: false }
    }

    /// The table itself.
    pub(super) fn at(&self) -> &At {
        &self.at
    }

    /// Was it something else than a table? Reported, and empty since.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Where `key` stands, or would stand.
    pub(super) fn at_key(&self, key: &str) -> At {
        let dotted = if self.at.key.is_empty() { key.to_owned() } else { format!("{}.{key}", self.at.key) };
        let place = self.entries.get(key).map_or(&self.at.place, |node| &node.place);
        At { key: dotted, place: place.clone() }
    }

    /// Is `key` there, of whatever type?
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Forgets keys that are reported already.
    pub(super) fn discard(&mut self, keys: &[&'static str]) {
        for key in keys {
            self.entries.remove(*key);
        }
    }

    /// Takes `key` out.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Found<Node>> {
        self.asked.push(key);
        let at = self.at_key(key);
        self.entries.remove(key).map(|value| Found { at, value })
    }

    /// Takes everything out: the keys are the operator's own names.
    pub(super) fn take_all(&mut self) -> Vec<(String, Found<Node>)> {
        let names: Vec<String> = self.entries.keys().cloned().collect();
        let found = names.iter().map(|name| self.at_key(name)).collect::<Vec<_>>();
        let nodes = std::mem::take(&mut self.entries).into_values();
        names.into_iter().zip(found.into_iter().zip(nodes).map(|(at, value)| Found { at, value })).collect()
    }

    /// A table below, empty if it is not there.
    pub(super) fn section(&mut self, reader: &mut Reader<'_>, key: &'static str, example: &'static str) -> Section {
        let at = self.at_key(key);
        let found = self.take(key);
        let empty = Section { at, entries: BTreeMap::new(), asked: Vec::new(), broken: found.is_some() };
        found.and_then(|found| found.into_section(reader, example)).unwrap_or(empty)
    }

    /// A text.
    pub(super) fn text(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        example: &'static str,
    ) -> Option<Found<String>> {
        self.take(key)?.into_text(reader, Wanted { kind: "a text", example })
    }

    /// `true` or `false`, default `false`.
    pub(super) fn boolean(&mut self, reader: &mut Reader<'_>, key: &'static str) -> bool {
        let Some(found) = self.take(key) else { return false };
        match found.value.value {
            Value::Boolean(boolean) => boolean,
            other => {
                wrong_type(reader, &found.at, &other, Wanted { kind: "true or false", example: "true" });
                false
            }
        }
    }

    /// A number within bounds.
    pub(super) fn number(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        bounds: RangeInclusive<i64>,
        default: i64,
    ) -> i64 {
        let at = self.at_key(key);
        let found = match self.take(key).map(|found| found.value.value) {
            None => return default,
            Some(Value::Integer(number)) => number,
            Some(other) => {
                let mend = format!(
                    "write a number without quotes from {} to {}, such as {default}",
                    bounds.start(),
                    bounds.end()
                );
                reader.mistake(&at, format!("is {}, but a number is wanted", other.kind()), mend);
                return default;
            }
        };
        if !bounds.contains(&found) {
            let mend = format!("write a number from {} to {}; the default is {default}", bounds.start(), bounds.end());
            reader.mistake(&at, format!("{found} is out of bounds"), mend);
            return default;
        }
        found
    }

    /// Reports everything that nobody asked for.
    pub(super) fn finish(self, reader: &mut Reader<'_>) {
        for key in self.entries.keys() {
            let (cause, mend) = match former::name(key) {
                Some(now) => (format!("`{key}` is a setting of the predecessor"), now.to_owned()),
                None => ("is not a key that exists here".to_owned(), self.hint(key)),
            };
            reader.mistake(&self.at_key(key), cause, mend);
        }
    }

    fn hint(&self, key: &str) -> String {
        let known = self.asked.join(", ");
        match nearest(key, self.asked.iter().copied()) {
            Some(near) => format!("did you mean `{near}`? known here: {known}"),
            None => format!("remove it; known here: {known}"),
        }
    }
}

impl Found<Node> {
    /// As a table.
    pub(super) fn into_section(self, reader: &mut Reader<'_>, example: &'static str) -> Option<Section> {
        match self.value.value {
            Value::Table(entries) => Some(Section { at: self.at, entries, asked: Vec::new(), broken: false }),
            other => {
                wrong_type(reader, &self.at, &other, Wanted { kind: "a table", example });
                None
            }
        }
    }

    /// As a text. A variable is one whatever it looks like: `1234` may be meant as a key.
    pub(super) fn into_text(self, reader: &mut Reader<'_>, wanted: Wanted) -> Option<Found<String>> {
        match (self.value.value, self.value.raw) {
            (Value::Text(text), _) => Some(Found { at: self.at, value: text }),
            (Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Time, Some(raw)) => {
                Some(Found { at: self.at, value: raw })
            }
            (other, _) => {
                wrong_type(reader, &self.at, &other, wanted);
                None
            }
        }
    }

    /// As a list; items are called `key[0]`, `key[1]`.
    pub(super) fn into_list(self, reader: &mut Reader<'_>, example: &'static str) -> Vec<Found<Node>> {
        let at = self.at;
        match self.value.value {
            Value::List(items) => {
                let item = |(index, value): (usize, Node)| {
                    let place = value.place.clone().or_else(|| at.place.clone());
                    Found { at: At { key: format!("{}[{index}]", at.key), place }, value }
                };
                items.into_iter().enumerate().map(item).collect()
            }
            other => {
                wrong_type(reader, &at, &other, Wanted { kind: "a list", example });
                Vec::new()
            }
        }
    }
}

/// "is a number, but a text is wanted".
pub(super) fn wrong_type(reader: &mut Reader<'_>, at: &At, found: &Value, wanted: Wanted) {
    let cause = format!("is {}, but {} is wanted", found.kind(), wanted.kind);
    let mend = format!("write it as in `{}`", wanted.example);
    if at.key.contains('.') {
        reader.mistake(at, cause, mend);
    } else {
        // After a broken header the parser takes `[[routes]]` for `[routes]`.
        reader.missing(at, cause, mend);
    }
}

/// Errors below us say "what is wrong; how to mend it" in one text.
pub(super) fn cause_and_mend(text: &str, otherwise: &str) -> (String, String) {
    match text.split_once("; ") {
        Some((cause, mend)) => (cause.to_owned(), mend.to_owned()),
        None => (text.to_owned(), otherwise.to_owned()),
    }
}
