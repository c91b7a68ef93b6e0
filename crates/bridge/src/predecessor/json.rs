//! JSON as .NET's configuration reads it: with comments and trailing commas, and in the order in which it stands.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A value. Holds secrets: it is not printed.
pub(super) enum Json {
    Null,
    /// A number or a truth value as .NET writes it, or a text.
    Text(String),
    List(Vec<Json>),
    /// A name may be there twice.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads a text.
    ///
    /// # Errors
    /// Line and column; nothing of the text.
    pub(super) fn read(text: &str) -> Result<Self, (usize, usize)> {
        serde_json::from_str(&plain(text)).map_err(|e| (e.line(), e.column()))
    }

    /// The first member of this name, without case.
    pub(super) fn member(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// The same without comments and without commas before a closing bracket. Lines and columns stay what they are.
fn plain(text: &str) -> String {
    let mut out: Vec<char> = Vec::with_capacity(text.len());
    let mut comma = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('"', _) => {
                comma = None;
                out.push(c);
                let mut is_escaped = false;
                for c in chars.by_ref() {
                    out.push(c);
                    if c == '"' && !is_escaped {
                        break;
                    }
                    is_escaped = c == '\\' && !is_escaped;
                }
            }
            ('/', Some('/')) => {
                out.push(' ');
                while let Some(c) = chars.next_if(|c| *c != '\n') {
                    out.push(blank(c));
                }
            }
            ('/', Some('*')) => {
                out.push(' ');
                let mut before = ' ';
                for c in chars.by_ref() {
                    out.push(blank(c));
                    if (before, c) == ('*', '/') {
                        break;
                    }
                    before = c;
                }
            }
            (c, _) => {
                match (c, comma) {
                    ('}' | ']', Some(at)) => {
                        let at: usize = at;
                        out[at] = ' ';
                    }
                    (c, _) if c.is_whitespace() => {}
                    _ => comma = (c == ',').then_some(out.len()),
                }
                out.push(c);
            }
        }
    }
    out.into_iter().collect()
}

fn blank(c: char) -> char {
    if c == '\n' { c } else { ' ' }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Text(if value { "True" } else { "False" }.to_owned()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Text(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Text(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Text(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = entries.next_entry()? {
            members.push(member);
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_trailing_commas_are_no_mistake_and_texts_stay_as_they_are() {
        let text = "{ // one\n \"a\": \"http://x//y, }\", /* two\n */ \"b\": [1, true, ],\n}";
        let json = Json::read(text).expect("as .NET reads it");
        assert_eq!(json.member("A").and_then(Json::text), Some("http://x//y, }"));
        let Some(Json::List(items)) = json.member("b") else { panic!("a list") };
        assert_eq!(items.iter().filter_map(Json::text).collect::<Vec<_>>(), ["1", "True"]);
    }

    #[test]
    fn what_is_broken_is_told_by_its_place_alone() {
        assert_eq!(Json::read("{\n \"key\": secret\n}").err(), Some((2, 9)));
    }
}
