//! TOML as a tree of values that know where they were set.
//!
//! Promises never to repeat any part of the text in an error: a line that cannot be read may hold a key.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use crate::config::mistake::Place;

/// A value and where it was set. No `Debug`: it may be a secret.
pub(super) struct Node {
    /// The value.
    pub(super) value: Value,
    /// Where.
    pub(super) place: Option<Place>,
    /// The text of an environment variable as it stands: `12345` may be meant as a key.
    pub(super) raw: Option<String>,
}

/// What TOML knows.
pub(super) enum Value {
    Text(String),
    /// Saturated: no key takes a number that long.
    Integer(i64),
    Float,
    Boolean(bool),
    Time,
    List(Vec<Node>),
    Table(BTreeMap<String, Node>),
}

impl Value {
    /// How messages call it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "a number",
            Self::Float => "a number with a decimal point",
            Self::Boolean(_) => "true or false",
            Self::Time => "a time",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// A place that cannot be read.
pub(super) struct SyntaxError {
    /// Counted from 1.
    pub(super) line: usize,
    /// Counted from 1, in characters.
    pub(super) column: usize,
    /// What the parser says; never part of the text.
    pub(super) message: String,
}

/// Reads a file as far as it can be read, and says where it cannot.
pub(super) fn parse(text: &str) -> (BTreeMap<String, Node>, Vec<SyntaxError>) {
    let lines = Lines::of(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    let place = |offset| Some(Place::Line(lines.line(offset)));
    let mut errors: Vec<_> = errors
        .iter()
        .map(|e| {
            let offset = e.span().map_or(text.len(), |span| span.start);
            let (line, column) = (lines.line(offset), lines.column(text, offset));
            SyntaxError { line, column, message: e.message().to_owned() }
        })
        .collect();
    errors.dedup_by_key(|error| error.line);
    (entries(table.into_inner(), &place), errors)
}

/// Reads the value of an environment variable: TOML if it is, else the text itself.
pub(super) fn parse_variable(name: &str, raw: &str) -> Node {
    let place = |_| Some(Place::Variable(name.to_owned()));
    let mut node = match DeValue::parse(raw) {
        Ok(value) => node(value, &place),
        Err(_) => Node { value: Value::Text(raw.to_owned()), place: place(0), raw: None },
    };
    node.raw = Some(raw.to_owned());
    node
}

/// Where each value was set, by its dotted key; items of a list are called `key[0]`. No values: they may be secrets.
pub(super) fn places(entries: &BTreeMap<String, Node>) -> BTreeMap<String, Place> {
    let mut places = BTreeMap::new();
    for (key, node) in entries {
        walk(key, node, &mut places);
    }
    places
}

fn walk(key: &str, node: &Node, places: &mut BTreeMap<String, Place>) {
    match &node.value {
        Value::Table(entries) => entries.iter().for_each(|(name, node)| walk(&format!("{key}.{name}"), node, places)),
        Value::List(items) => {
            items.iter().enumerate().for_each(|(at, node)| walk(&format!("{key}[{at}]"), node, places));
        }
        _ => drop(node.place.clone().map(|place| places.insert(key.to_owned(), place))),
    }
}

type Placing<'a> = &'a dyn Fn(usize) -> Option<Place>;

fn entries(table: DeTable<'_>, place: Placing<'_>) -> BTreeMap<String, Node> {
    let entry = |(key, value): (Spanned<_>, Spanned<_>)| {
        let at = key.span().start;
        let key: std::borrow::Cow<'_, str> = key.into_inner();
        // The key's line, not the value's: that is where one looks.
        (key.into_owned(), Node { place: place(at), ..node(value, place) })
    };
    table.into_iter().map(entry).collect()
}

fn node(value: Spanned<DeValue<'_>>, place: Placing<'_>) -> Node {
    let at = value.span().start;
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => Value::Integer(integer(&number)),
        DeValue::Float(_) => Value::Float,
        DeValue::Boolean(boolean) => Value::Boolean(boolean),
        DeValue::Datetime(_) => Value::Time,
        DeValue::Array(list) => Value::List(list.into_iter().map(|item| node(item, place)).collect()),
        DeValue::Table(table) => Value::Table(entries(table, place)),
    };
    Node { value, place: place(at), raw: None }
}

fn integer(number: &DeInteger<'_>) -> i64 {
    let limit = if number.as_str().starts_with('-') { i64::MIN } else { i64::MAX };
    i64::from_str_radix(number.as_str(), number.radix()).unwrap_or(limit)
}

/// Offsets of line starts.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect())
    }

    fn line(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset)
    }

    fn column(&self, text: &str, offset: usize) -> usize {
        let start = self.0[self.line(offset) - 1];
        text.get(start..offset).map_or(1, |before| before.chars().count() + 1)
    }
}
