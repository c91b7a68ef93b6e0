//! The members of a JSON object in their order, keys and values as they were written.
//!
//! Promises: nothing is re-encoded, duplicates are kept, and reading takes no stack however deep a value is, because
//! values are skipped, not built. What is skipped has been checked to be JSON.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// One member.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// The key as written, quotes and escapes included.
    pub key_text: &'a str,
    /// The value as written.
    pub value: &'a RawValue,
}

impl<'a> Member<'a> {
    /// The key with its escapes undone; `None` when it is no Unicode text (half of a surrogate pair).
    pub fn key(&self) -> Option<Cow<'a, str>> {
        unescape(self.key_text)
    }

    /// Whether the key says `word`, however it is escaped.
    pub fn is(&self, word: &str) -> bool {
        self.key().is_some_and(|key| key == word)
    }
}

/// All members of one object.
#[derive(Clone, Debug)]
pub struct Members<'a>(Vec<Member<'a>>);

impl<'a> Members<'a> {
    /// The members of `value`, or `None` when it is no object.
    pub fn of(value: &'a RawValue) -> Option<Self> {
        serde_json::from_str(value.get()).ok()
    }

    /// In the order of the text.
    pub fn iter(&self) -> std::slice::Iter<'_, Member<'a>> {
        self.0.iter()
    }

    /// How many, duplicates included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it is `{}`.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first member with this key.
    pub fn get(&self, word: &str) -> Option<&'a RawValue> {
        self.iter().find(|member| member.is(word)).map(|member| member.value)
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                // An uplink has about ten members at any level.
                let mut members = Vec::with_capacity(12);
                while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                    members.push(Member { key_text: key.get(), value });
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

/// What kind of JSON value a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    String,
    /// `1`
    Number,
    /// `true` or `false`
    Boolean,
    /// `null`
    Null,
}

impl Shape {
    /// The shape of a value.
    pub fn of(value: &RawValue) -> Self {
        match value.get().as_bytes().first() {
            Some(b'{') => Self::Object,
            Some(b'[') => Self::Array,
            Some(b'"') => Self::String,
            Some(b't' | b'f') => Self::Boolean,
            Some(b'n') => Self::Null,
            _ => Self::Number,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::String => "a string",
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::Null => "null",
        })
    }
}

/// A JSON string literal without quotes and escapes. `None` when `literal` is no string, or no Unicode text.
pub fn unescape(literal: &str) -> Option<Cow<'_, str>> {
    let inner = literal.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str(literal).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// Appends JSON byte for byte, except that line ends become spaces, so that it stays on one line. In valid JSON, as a
/// `RawValue` is, line ends stand between tokens only. The networks send none; files that people wrote have them.
pub fn append_on_one_line(out: &mut Vec<u8>, value: &str) {
    out.extend(value.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> Members<'_> {
        serde_json::from_str(text).expect("an object")
    }

    #[test]
    fn order_duplicates_and_spelling_are_kept() {
        let text = r#"{ "b": 1e-07, "a\u0062": -0.0 ,"b":[ 1,2 ], "": {"x" : null} }"#;
        let seen: Vec<_> = members(text).iter().map(|m| (m.key_text, m.value.get())).collect();
        assert_eq!(
            seen,
            [(r#""b""#, "1e-07"), (r#""a\u0062""#, "-0.0"), (r#""b""#, "[ 1,2 ]"), (r#""""#, r#"{"x" : null}"#)]
        );
    }

    #[test]
    fn keys_are_compared_without_their_escapes() {
        assert_eq!(members(r#"{"app\u005fid":"x"}"#).get("app_id").map(RawValue::get), Some(r#""x""#));
    }

    #[test]
    fn half_a_surrogate_pair_is_no_key_and_no_panic() {
        let text = r#"{"\ud800":1}"#;
        assert!(members(text).iter().all(|m| m.key().is_none()));
    }

    #[test]
    fn depth_takes_no_stack() {
        let text = format!(r#"{{"a":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(members(&text).len(), 1);
    }

    #[test]
    fn line_ends_become_spaces_and_nothing_else_changes() {
        let mut out = Vec::new();
        append_on_one_line(&mut out, "{\n  \"a\\nb\" :\t[ 1.0,\r\n-0.0 ] }");
        assert_eq!(out, b"{   \"a\\nb\" :\t[ 1.0,  -0.0 ] }");
    }
}
