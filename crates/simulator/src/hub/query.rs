//! The hub's query language, as far as it asks for twins.
//!
//! ```text
//! SELECT [TOP n] * | items  FROM devices | devices.modules | devices.jobs  [WHERE condition]  [GROUP BY paths]
//! item: path [AS name] | COUNT() | SUM(path) | AVG(path) | MIN(path) | MAX(path)
//! ```
//!
//! Promises: the same question gives the same rows in the same order; pages hold each row once, also when twins come and
//! go between them. A question takes bounded time to read and, for each twin, bounded time to answer. Relies on the caller
//! for twins in the order of their ids. Knows no twins but what is handed in as JSON.

mod condition; // words to a condition
mod expression; // a condition, and what it says of a twin
mod parser; // words to a query
mod rows; // what is shown of the twins that were found
mod words; // text to words

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::expression::Expression;
use self::rows::Selection;
use super::Refusal;

/// A question of a page or two; how long the real hub lets them be is not known.
const QUERY_BYTES_MAX: usize = 8 << 10;
/// What a page holds when nobody says how much. Assumed.
const PAGE_ROWS: usize = 100;
/// The documented end of it.
const PAGE_ROWS_MAX: usize = 1000;
/// Twins that are looked at for one page: it is the time for which everybody else waits. A page may so have fewer rows
/// than were asked for, or none, and still not be the last.
const PAGE_TWINS_MAX: usize = 10_000;

/// What is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Collection {
    Devices,
    Modules,
    /// There are none here.
    Jobs,
}

/// A question.
#[derive(Debug, PartialEq)]
pub(crate) struct Query {
    pub(crate) collection: Collection,
    selection: Selection,
    top: Option<usize>,
    condition: Option<Expression>,
}

/// Where a page begins: what a continuation says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// The last twin that was looked at, device and module.
    after: Option<(String, String)>,
    /// Rows that earlier pages had.
    rows: usize,
}

/// A page of rows.
#[derive(Debug, PartialEq)]
pub(crate) struct Page {
    pub(crate) rows: Vec<Value>,
    pub(crate) continuation: Option<String>,
    /// What the rows are, for `x-ms-item-type`.
    pub(crate) item_type: &'static str,
}

/// What is wrong with a question. The service says no more than the first word.
fn bad_query(why: &str) -> Refusal {
    Refusal::argument(&format!("BadRequest: {why}"))
}

impl Cursor {
    /// The place that a continuation stands for; the beginning when there is none.
    pub(crate) fn parse(continuation: Option<&str>) -> Result<Self, Refusal> {
        let Some(text) = continuation else { return Ok(Self::default()) };
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        bytes
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or_else(|| bad_query("the continuation token is not valid"))
    }

    /// The device and module after which twins are wanted.
    pub(crate) fn after(&self) -> Option<(&str, &str)> {
        self.after.as_ref().map(|(device, module)| (device.as_str(), module.as_str()))
    }

    fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }
}

/// How many rows a page has, from what a client asked for.
pub(crate) fn page_rows(asked: Option<&str>) -> Result<usize, Refusal> {
    let Some(asked) = asked else { return Ok(PAGE_ROWS) };
    let count = asked.trim().parse().ok().filter(|count| (1..=PAGE_ROWS_MAX).contains(count));
    count.ok_or_else(|| Refusal::argument("The number of items in a page must be between 1 and 1000"))
}

impl Query {
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        if text.len() > QUERY_BYTES_MAX {
            return Err(bad_query("the query is too long"));
        }
        parser::parse(text).map_err(|why| bad_query(&why))
    }

    /// One page. `twins` are those after the cursor, ordered by device and module.
    pub(crate) fn page(
        &self,
        twins: impl Iterator<Item = Value>,
        cursor: &Cursor,
        rows_max: usize,
    ) -> Result<Page, Refusal> {
        let rows_max = self.top.map_or(rows_max, |top| rows_max.min(top.saturating_sub(cursor.rows)));
        let (rows, next) = if self.selection.is_aggregate() {
            self.aggregate(twins, cursor, rows_max)?
        } else {
            self.plain(twins, cursor, rows_max)
        };
        let is_done = self.top.is_some_and(|top| cursor.rows + rows.len() >= top);
        let continuation = next.filter(|_| !is_done).map(|next| next.text());
        Ok(Page { rows, continuation, item_type: self.item_type() })
    }

    fn plain(
        &self,
        twins: impl Iterator<Item = Value>,
        cursor: &Cursor,
        rows_max: usize,
    ) -> (Vec<Value>, Option<Cursor>) {
        let (mut rows, mut after) = (Vec::new(), cursor.after.clone());
        for (seen, twin) in twins.enumerate() {
            let is_hit = self.matches(&twin);
            if seen >= PAGE_TWINS_MAX || (is_hit && rows.len() >= rows_max) {
                let next = Cursor { after, rows: cursor.rows + rows.len() };
                return (rows, Some(next));
            }
            after = Some(name(&twin));
            if is_hit {
                rows.push(self.selection.row(twin));
            }
        }
        (rows, None)
    }

    /// Groups need all twins: they are counted anew for each page, of which there is mostly one.
    fn aggregate(
        &self,
        twins: impl Iterator<Item = Value>,
        cursor: &Cursor,
        rows_max: usize,
    ) -> Result<(Vec<Value>, Option<Cursor>), Refusal> {
        let all = self.selection.aggregated(twins.filter(|twin| self.matches(twin)));
        let all = all.ok_or_else(|| bad_query("there are more than 10000 groups"))?;
        let end = cursor.rows.saturating_add(rows_max);
        let next = (all.len() > end).then_some(Cursor { after: None, rows: end });
        Ok((all.into_iter().skip(cursor.rows).take(rows_max).collect(), next))
    }

    fn matches(&self, twin: &Value) -> bool {
        self.condition.as_ref().is_none_or(|condition| condition.is_true_of(twin))
    }

    fn item_type(&self) -> &'static str {
        match (&self.selection, self.collection) {
            (Selection::All, Collection::Devices | Collection::Modules) => "Twin",
            (Selection::All, Collection::Jobs) => "DeviceJob",
            _ => "Raw",
        }
    }
}

fn name(twin: &Value) -> (String, String) {
    let text = |key: &str| twin.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    (text("deviceId"), text("moduleId"))
}

#[cfg(test)]
mod tests;
