//! PURE: what devices and strangers made up, fit for a terminal.

/// The same, with everything escaped that a terminal would obey or that would change the order in which a line is read.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || turns_text(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
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
    }
}
