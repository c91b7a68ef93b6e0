//! PURE: what devices and strangers made up, fit for a terminal and for whoever reads a log line by line.

use std::borrow::Cow;

/// The same, with everything escaped that a terminal would obey or that would change the order in which a line is read.
pub(super) fn plain(text: &str) -> String {
    escaped(text, Spelling::Text, |_| false).into_owned()
}

/// How what is harmful is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// `\u{202e}`
    Text,
    /// `\u202e`, which leaves JSON what it was.
    Json,
}

/// Several lines, each of which is ours: line ends stay, and so do tabs. For whatever nobody made plain piece by piece.
pub(super) fn plain_lines(text: &str) -> Cow<'_, str> {
    let spelling = if text.starts_with(['{', '[']) { Spelling::Json } else { Spelling::Text };
    escaped(text, spelling, |c| matches!(c, '\n' | '\t'))
}

/// All but what `stays`.
pub(super) fn escaped(text: &str, spelling: Spelling, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_harmful = |c: char| (c.is_control() || turns_text(c)) && !stays(c);
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match spelling {
            _ if !is_harmful(c) => out.push(c),
            Spelling::Text => out.extend(c.escape_unicode()),
            // All of them are below U+10000.
            Spelling::Json => out.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
    }
    Cow::Owned(out)
}

/// Bidirectional controls and marks (Unicode Standard Annex 9), and separators of lines.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_told_nothing_by_a_name() {
        assert_eq!(plain("room-é-室"), "room-é-室");
        assert_eq!(plain("a\u{1b}[2Jb\r\n\u{202e}c"), r"a\u{1b}[2Jb\u{d}\u{a}\u{202e}c");
        assert_eq!(plain_lines("a\n\tb\u{9b}c\n"), "a\n\tb\\u{9b}c\n");
    }

    #[test]
    fn json_stays_the_json_that_it_was() {
        let before = "{\"id\":\"a\u{202e}b\u{7f}\"}";
        let told = plain_lines(before);
        assert_eq!(told, r#"{"id":"a\u202eb\u007f"}"#);
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        assert_eq!(read(&told), read(before));
    }
}
