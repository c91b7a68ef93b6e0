//! Which name each decoded member gets.
//!
//! Promises: no two are the same, none is one of ours, and a member keeps its own name whenever it can. The names depend
//! on the set of members, not on their order, except between members that are called the same.

use std::borrow::Cow;
use std::collections::HashSet;

use lorawan::ordered::{Member, Members};

use super::OWN;

/// Appended to a name that is taken, until it is free.
const SUFFIX: &str = "_decoded";
/// At most so often for one member: an object with more members of the same name was made to cost us memory (names
/// grow with every one), and is kept whole instead.
const SUFFIXES_MAX: usize = 8;

/// The name of each member, as JSON, in their order. `None`: too many are called the same.
pub(super) fn given<'a>(members: &Members<'a>) -> Option<Vec<Cow<'a, str>>> {
    let keys: Vec<Cow<'a, str>> = members.iter().map(key).collect();
    let mut taken: HashSet<Cow<'_, str>> = OWN.into_iter().map(Cow::Borrowed).collect();
    let mut names: Vec<Cow<'a, str>> = members.iter().map(|member| Cow::Borrowed(member.key_text)).collect();
    // First everybody who can keep the own name, so that it does not matter who comes first.
    let mut without: Vec<usize> = (0..keys.len()).filter(|at| !taken.insert(keys[*at].clone())).collect();
    without.sort_by(|a, b| keys[*a].cmp(&keys[*b]));
    for at in without {
        let times = (1..=SUFFIXES_MAX).find(|times| taken.insert(Cow::Owned(suffixed(&keys[at], *times))))?;
        names[at] = Cow::Owned(spelled(&names[at], times));
    }
    Some(names)
}

/// Keys that are no Unicode text (half of a surrogate pair) are told apart by their spelling.
fn key<'a>(member: &Member<'a>) -> Cow<'a, str> {
    member.key().unwrap_or(Cow::Borrowed(member.key_text))
}

fn suffixed(name: &str, times: usize) -> String {
    format!("{name}{}", SUFFIX.repeat(times))
}

/// The same behind the spelling of a key, inside its quotes.
fn spelled(key_text: &str, times: usize) -> String {
    format!("{}{}\"", key_text.strip_suffix('"').unwrap_or(key_text), SUFFIX.repeat(times))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(object: &str) -> Option<Vec<String>> {
        let members: Members<'_> = serde_json::from_str(object).expect("an object");
        given(&members).map(|names| names.into_iter().map(Cow::into_owned).collect())
    }

    #[test]
    fn own_names_are_taken_and_case_counts() {
        assert_eq!(names(r#"{"Port":1,"port":2}"#).expect("few"), [r#""Port_decoded""#, r#""port""#]);
        assert_eq!(names(r#"{"P\u006frt":1}"#).expect("few"), [r#""P\u006frt_decoded""#]);
    }

    #[test]
    fn a_literal_name_goes_before_a_made_one_in_any_order() {
        assert_eq!(
            names(r#"{"Port":1,"Port_decoded":2}"#).expect("few"),
            [r#""Port_decoded_decoded""#, r#""Port_decoded""#]
        );
        assert_eq!(
            names(r#"{"Port_decoded":2,"Port":1}"#).expect("few"),
            [r#""Port_decoded""#, r#""Port_decoded_decoded""#]
        );
    }

    #[test]
    fn made_names_do_not_depend_on_who_comes_first() {
        let (port, twice) = (r#""Port":3"#, r#""Port_decoded":1,"Port_decoded":2"#);
        for object in [format!("{{{port},{twice}}}"), format!("{{{twice},{port}}}")] {
            let mut names = names(&object).expect("few");
            names.rotate_left(usize::from(object.starts_with("{\"Port\"")));
            let of_port = r#""Port_decoded_decoded""#;
            assert_eq!(names, [r#""Port_decoded""#, r#""Port_decoded_decoded_decoded""#, of_port], "{object}");
        }
    }

    #[test]
    fn duplicates_are_all_kept_until_there_are_absurdly_many() {
        assert_eq!(
            names(r#"{"a":1,"a":2,"a":3}"#).expect("few"),
            [r#""a""#, r#""a_decoded""#, r#""a_decoded_decoded""#]
        );
        let many = |count: usize| format!("{{{}}}", vec![r#""a":1"#; count].join(","));
        assert!(names(&many(SUFFIXES_MAX + 1)).is_some());
        assert!(names(&many(SUFFIXES_MAX + 2)).is_none());
        assert!(names(&many(100_000)).is_none());
    }
}
