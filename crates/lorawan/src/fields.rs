//! Single values out of an object, with errors that name the field.
//!
//! `null` counts as absent everywhere: proto3 JSON reads it so, and Go writes it for an empty slice.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::envelope::Unreadable;
use crate::ordered::{Members, Shape, unescape};

/// The values of `names`, in their order. A name that is there twice is an error: which one counts depends on the
/// reader, and so two readers could see two devices in one message.
pub(crate) fn pick<'a, const N: usize>(
    path: &str,
    members: &Members<'a>,
    names: [&str; N],
) -> Result<[Option<&'a RawValue>; N], Unreadable> {
    let mut found = [None; N];
    let mut seen = [false; N];
    for member in members.iter() {
        let Some(at) = names.iter().position(|name| member.is(name)) else { continue };
        if std::mem::replace(&mut seen[at], true) {
            return Err(Unreadable::not_understood(format!("`{path}{}` is there twice", names[at])));
        }
        found[at] = Some(member.value).filter(|value| Shape::of(value) != Shape::Null);
    }
    Ok(found)
}

/// The members of an object.
pub(crate) fn object<'a>(field: &str, value: Option<&'a RawValue>) -> Result<Option<Members<'a>>, Unreadable> {
    value.map(|value| Members::of(value).ok_or_else(|| wrong(field, value, Shape::Object))).transpose()
}

/// A string that says something; the empty one counts as absent.
pub(crate) fn text<'a>(field: &str, value: Option<&'a RawValue>) -> Result<Option<Cow<'a, str>>, Unreadable> {
    let Some(value) = value else { return Ok(None) };
    if Shape::of(value) != Shape::String {
        return Err(wrong(field, value, Shape::String));
    }
    let text = unescape(value.get())
        .ok_or_else(|| Unreadable::not_understood(format!("`{field}` holds half of a surrogate pair")))?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// A whole number from 0 to `most`, written as number or as string: proto3 JSON writes 64-bit numbers as strings.
pub(crate) fn count(field: &str, value: Option<&RawValue>, most: u64) -> Result<Option<u64>, Unreadable> {
    let Some(value) = value else { return Ok(None) };
    let written = match Shape::of(value) {
        Shape::Number => value.get(),
        Shape::String => value.get().trim_matches('"'),
        _ => return Err(wrong(field, value, Shape::Number)),
    };
    match whole(written) {
        Some(number) if number <= most => Ok(Some(number)),
        _ => Err(Unreadable::not_understood(format!("`{field}` is no whole number from 0 to {most}"))),
    }
}

fn whole(written: &str) -> Option<u64> {
    if let Ok(number) = written.parse() {
        return Some(number);
    }
    // `10.0` and `1e1` are whole numbers too. Below 2^53, so that the conversion is exact.
    let number: f64 = written.parse().ok()?;
    let exact = number.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&number);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked in the line above")]
    exact.then_some(number as u64)
}

/// `true` or `false`.
pub(crate) fn flag(field: &str, value: Option<&RawValue>) -> Result<Option<bool>, Unreadable> {
    match value.map(RawValue::get) {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(_) => Err(wrong(field, value.expect("is some in this arm"), Shape::Boolean)),
    }
}

fn wrong(field: &str, value: &RawValue, wanted: Shape) -> Unreadable {
    Unreadable::not_understood(format!("`{field}` is {}, not {wanted}", Shape::of(value)))
}

/// A list of strings; the absent one is empty.
pub(crate) fn list<'a>(field: &str, value: Option<&'a RawValue>) -> Result<Vec<Cow<'a, str>>, Unreadable> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let items: Vec<&'a RawValue> = serde_json::from_str(value.get())
        .map_err(|_| Unreadable::not_understood(format!("`{field}` is not a list")))?;
    items.into_iter().filter_map(|item| text(field, Some(item)).transpose()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_may_be_strings_but_must_be_whole_and_small() {
        for (written, is) in [
            ("15", Some(15)),
            (r#""15""#, Some(15)),
            ("15.0", Some(15)),
            ("1e1", Some(10)),
            ("256", None),
            ("-1", None),
            ("1.5", None),
            ("1e400", None),
            (r#""NaN""#, None),
            (r#""""#, None),
            ("true", None),
            ("[1]", None),
        ] {
            let raw: &RawValue = serde_json::from_str(written).expect("JSON");
            assert_eq!(count("f_port", Some(raw), 255).ok().flatten(), is, "{written}");
        }
    }
}
