//! What is shown of the twins that a query found: whole, some of it, or counted.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::{Map, Number, Value, json};

use super::expression::{Path, order};

/// Groups of one query, each with a few values of at most 4 KiB.
const GROUPS_MAX: usize = 10_000;

/// What stands behind SELECT, with what stands behind GROUP BY.
#[derive(Debug, PartialEq)]
pub(super) enum Selection {
    All,
    Items { items: Vec<Item>, groups: Vec<Path> },
}

/// A member of a row.
#[derive(Debug, PartialEq)]
pub(super) struct Item {
    pub(super) name: String,
    pub(super) what: What,
}

#[derive(Debug, PartialEq)]
pub(super) enum What {
    Path(Path),
    Count,
    Aggregate(Aggregate, Path),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aggregate {
    Sum,
    Average,
    Least,
    Greatest,
}

impl Selection {
    pub(super) fn is_aggregate(&self) -> bool {
        match self {
            Self::All => false,
            Self::Items { items, groups } => {
                !groups.is_empty() || items.iter().any(|item| !matches!(item.what, What::Path(_)))
            }
        }
    }

    /// The row of one twin; what is not there is left out.
    pub(super) fn row(&self, twin: Value) -> Value {
        let Self::Items { items, .. } = self else { return twin };
        items.iter().filter_map(|item| item.of(&twin)).collect::<Map<_, _>>().into()
    }

    /// A row for each group. Without groups there is one row, also of no twins. `None` when there are too many groups.
    pub(super) fn aggregated(&self, twins: impl Iterator<Item = Value>) -> Option<Vec<Value>> {
        let Self::Items { items, groups } = self else { return Some(twins.collect()) };
        let mut grouped: BTreeMap<String, Vec<Tally>> = BTreeMap::new();
        let empty = || items.iter().map(|_| Tally::default()).collect::<Vec<_>>();
        if groups.is_empty() {
            grouped.insert(key(groups, &Value::Null), empty());
        }
        for twin in twins {
            let key = key(groups, &twin);
            if grouped.len() >= GROUPS_MAX && !grouped.contains_key(&key) {
                return None;
            }
            for (item, tally) in items.iter().zip(grouped.entry(key).or_insert_with(empty)) {
                tally.take(item, &twin);
            }
        }
        let row = |tallies: Vec<Tally>| {
            let members = items.iter().zip(tallies).filter_map(|(item, tally)| tally.member(item));
            Value::Object(members.collect())
        };
        Some(grouped.into_values().map(row).collect())
    }
}

fn key(groups: &[Path], twin: &Value) -> String {
    json!(groups.iter().map(|path| path.of(twin)).collect::<Vec<_>>()).to_string()
}

impl Item {
    fn of(&self, twin: &Value) -> Option<(String, Value)> {
        let mut tally = Tally::default();
        tally.take(self, twin);
        tally.member(self)
    }
}

/// What was counted of the twins of a group for one item.
#[derive(Debug, Default)]
struct Tally {
    twins: u64,
    numbers: u64,
    sum: f64,
    /// The first, the least or the greatest, as the item wants it.
    picked: Option<Value>,
}

impl Tally {
    fn take(&mut self, item: &Item, twin: &Value) {
        self.twins += 1;
        let (wanted, path) = match &item.what {
            What::Count => return,
            What::Path(path) => (None, path),
            What::Aggregate(Aggregate::Least, path) => (Some(Ordering::Less), path),
            What::Aggregate(Aggregate::Greatest, path) => (Some(Ordering::Greater), path),
            What::Aggregate(Aggregate::Sum | Aggregate::Average, path) => {
                let number = path.of(twin).and_then(Value::as_f64);
                self.sum += number.unwrap_or_default();
                self.numbers += u64::from(number.is_some());
                return;
            }
        };
        // Only what can be compared with the first counts.
        let Some(value) = path.of(twin) else { return };
        let is_better = self.picked.as_ref().is_none_or(|picked| wanted.is_some() && order(value, picked) == wanted);
        if is_better {
            self.picked = Some(value.clone());
        }
    }

    fn member(self, item: &Item) -> Option<(String, Value)> {
        let number = |value| Number::from_f64(value).map(Value::Number);
        let value = match &item.what {
            What::Count => Some(self.twins.into()),
            What::Aggregate(Aggregate::Sum, _) => number(self.sum),
            What::Aggregate(Aggregate::Average, _) => number(self.sum / self.numbers as f64),
            _ => self.picked,
        };
        Some((item.name.clone(), value?))
    }
}
