//! What is shown of the twins that a query found: whole, some of it, or counted.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use super::expression::{Path, order};

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
        items.iter().filter_map(|item| item.of([&twin])).collect::<Map<_, _>>().into()
    }

    /// A row for each group. Without groups there is one row, also of no twins.
    pub(super) fn aggregated(&self, twins: impl Iterator<Item = Value>) -> Vec<Value> {
        let Self::Items { items, groups } = self else { return twins.collect() };
        let mut grouped: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        if groups.is_empty() {
            grouped.insert(String::new(), Vec::new());
        }
        for twin in twins {
            let key: Vec<Option<&Value>> = groups.iter().map(|path| path.of(&twin)).collect();
            let key = if groups.is_empty() { String::new() } else { serde_json::json!(key).to_string() };
            grouped.entry(key).or_default().push(twin);
        }
        let row = |twins: &Vec<Value>| items.iter().filter_map(|item| item.of(twins)).collect::<Map<_, _>>().into();
        grouped.values().map(row).collect()
    }
}

impl Item {
    fn of<'v>(&self, twins: impl IntoIterator<Item = &'v Value>) -> Option<(String, Value)> {
        let mut twins = twins.into_iter();
        let value = match &self.what {
            What::Count => Some(Value::from(twins.count())),
            What::Path(path) => twins.next().and_then(|twin| path.of(twin)).cloned(),
            What::Aggregate(how, path) => how.of(twins.filter_map(|twin| path.of(twin))),
        };
        Some((self.name.clone(), value?))
    }
}

impl Aggregate {
    /// Sum and average are of numbers; least and greatest of values that can be compared with the first.
    fn of<'v>(self, values: impl Iterator<Item = &'v Value>) -> Option<Value> {
        let pick = |wanted: Ordering| move |a: &'v Value, b: &'v Value| if order(b, a) == Some(wanted) { b } else { a };
        match self {
            Self::Least => values.reduce(pick(Ordering::Less)).cloned(),
            Self::Greatest => values.reduce(pick(Ordering::Greater)).cloned(),
            Self::Sum | Self::Average => {
                let numbers: Vec<f64> = values.filter_map(Value::as_f64).collect();
                let sum: f64 = numbers.iter().sum();
                let count = if self == Self::Sum { 1.0 } else { numbers.len() as f64 };
                Number::from_f64(sum / count).map(Value::Number)
            }
        }
    }
}
