//! What may stand in a section of a twin: keys, values, depth and size as they are documented.
//!
//! The real hub's words are known for few of these refusals; all begin like the ones that are.

use serde_json::{Map, Value};

use super::super::Refusal;

pub(super) const TAGS_BYTES_MAX: usize = 8 << 10;
pub(super) const DESIRED_BYTES_MAX: usize = 32 << 10;
pub(super) const REPORTED_BYTES_MAX: usize = 32 << 10;
const KEY_BYTES_MAX: usize = 1 << 10;
const STRING_BYTES_MAX: usize = 4 << 10;
/// Objects in objects below a section. The documentation's own example has ten and a property in the last.
const DEPTH_MAX: usize = 10;
/// Integers have 53 bits.
const INTEGERS: std::ops::RangeInclusive<i64> = -4_503_599_627_370_496..=4_503_599_627_370_495;
/// What numbers and truth values count for.
const NUMBER_BYTES: usize = 8;
const BOOLEAN_BYTES: usize = 4;

/// A refusal as the service words it.
pub(super) fn invalid(why: &str) -> Refusal {
    Refusal::argument(&format!("Provided json is not a valid 'tags' or 'properties' object: {why}."))
}

/// Whether keys and values may stand in a section; of a patch, in which null stands for "away with it".
pub(super) fn check(members: &Map<String, Value>) -> Result<(), Refusal> {
    check_members(members, 0)
}

fn check_members(members: &Map<String, Value>, depth: usize) -> Result<(), Refusal> {
    for (key, value) in members {
        check_key(key)?;
        match value {
            Value::Null => {}
            value => check_value(value, depth)?,
        }
    }
    Ok(())
}

fn check_key(key: &str) -> Result<(), Refusal> {
    if key.is_empty() {
        return Err(invalid("a property name is empty"));
    }
    if key.len() > KEY_BYTES_MAX {
        return Err(invalid("a property name should be maximum 1024 bytes"));
    }
    if key.chars().any(|c| c.is_control() || matches!(c, '.' | '$' | ' ')) {
        return Err(invalid("a property name may not have '.', '$', spaces or control characters"));
    }
    Ok(())
}

fn check_value(value: &Value, depth: usize) -> Result<(), Refusal> {
    match value {
        Value::Object(_) | Value::Array(_) if depth >= DEPTH_MAX => Err(invalid("it is deeper than 10 levels")),
        Value::Object(members) => check_members(members, depth + 1),
        Value::Array(items) => items.iter().try_for_each(|item| check_value(item, depth + 1)),
        Value::String(text) if text.len() > STRING_BYTES_MAX => {
            Err(Refusal::argument("Property or Tag value should be maximum 4096 bytes."))
        }
        Value::Number(number) if is_too_large(number) => Err(invalid("an integer is out of range")),
        // Whether the real hub takes it is not known; the documented types do not name it.
        Value::Null => Err(invalid("null is not supported in arrays")),
        _ => Ok(()),
    }
}

fn is_too_large(number: &serde_json::Number) -> bool {
    match number.as_i64() {
        Some(integer) => !INTEGERS.contains(&integer),
        None => number.is_u64(),
    }
}

/// Whether a section is not too large as a whole.
pub(super) fn check_size(members: &Map<String, Value>, bytes_max: usize) -> Result<(), Refusal> {
    if size_of_members(members) > bytes_max {
        return Err(invalid(&format!("it is larger than {bytes_max} bytes")));
    }
    Ok(())
}

/// Keys and values, as the documentation counts them.
pub(super) fn size_of_members(members: &Map<String, Value>) -> usize {
    members.iter().map(|(key, value)| size_of_text(key) + size_of(value)).sum()
}

fn size_of(value: &Value) -> usize {
    match value {
        Value::Null => 0,
        Value::Bool(_) => BOOLEAN_BYTES,
        Value::Number(_) => NUMBER_BYTES,
        Value::String(text) => size_of_text(text),
        Value::Array(items) => items.iter().map(size_of).sum(),
        Value::Object(members) => size_of_members(members),
    }
}

/// Control characters are not counted.
fn size_of_text(text: &str) -> usize {
    text.chars().filter(|c| !c.is_control()).map(char::len_utf8).sum()
}
