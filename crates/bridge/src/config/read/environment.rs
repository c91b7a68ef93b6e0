//! `LONGHAUL__SECTION__KEY` put over what the file says.
//!
//! Relies on the sections to refuse what they do not know: a variable can say nothing that a file could not.

use std::collections::BTreeMap;

use super::reader::{At, Reader};
use super::tree::{Node, Value, parse_variable};
use crate::config::mistake::Place;

/// What our variables begin with.
const PREFIX: &str = "LONGHAUL__";

/// Sets every variable that is ours, in the order of their names.
pub(super) fn put_over(root: &mut BTreeMap<String, Node>, env: &[(String, String)], reader: &mut Reader<'_>) {
    let mut ours: Vec<_> = env.iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    ours.sort();
    for (name, raw) in ours {
        let path: Vec<&str> = name[PREFIX.len()..].split("__").collect();
        if let Err((cause, mend)) = put(root, &path, parse_variable(name, raw)) {
            let at = At { key: path.join(".").to_lowercase(), place: Some(Place::Variable(name.clone())) };
            reader.mistake(&at, cause, mend);
        }
    }
}

fn put(table: &mut BTreeMap<String, Node>, path: &[&str], node: Node) -> Result<(), (&'static str, &'static str)> {
    let (segment, rest) = path.split_first().expect("splitting a text gives at least one piece");
    if segment.is_empty() {
        return Err((
            "the variable's name has an empty part",
            "write LONGHAUL__SECTION__KEY, such as LONGHAUL__WEBHOOK__LISTEN",
        ));
    }
    let key = same_key(table, segment);
    if rest.is_empty() {
        table.insert(key, node);
        return Ok(());
    }
    let place = node.place.clone();
    let new = || Node { value: Value::Table(BTreeMap::new()), place, raw: None };
    match &mut table.entry(key).or_insert_with(new).value {
        Value::Table(inner) => put(inner, rest, node),
        _ => Err(("nothing can be set below a key that is no table", "set the key itself, as a TOML value")),
    }
}

/// The key as the file spells it: shells want upper case and know no `-`.
fn same_key(table: &BTreeMap<String, Node>, segment: &str) -> String {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let wanted = plain(segment);
    table.keys().find(|key| plain(key) == wanted).cloned().unwrap_or_else(|| segment.to_lowercase())
}
