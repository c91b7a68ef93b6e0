//! Walking over JSON that is known to be valid, byte by byte.
//!
//! Relies on its caller to have had the text checked (a `RawValue` is). On anything else the positions are
//! meaningless, but stay inside the text: nothing here panics or loops.

/// The first byte at or after `at` that is no white space.
pub(crate) fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
        at += 1;
    }
    at
}

/// Behind the string that starts at `at`.
pub(crate) fn string_end(text: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    loop {
        match text.get(end) {
            Some(b'\\') => end += 2,
            Some(b'"') => return end + 1,
            Some(_) => end += 1,
            None => return text.len(),
        }
    }
}

/// Behind the value that starts at `at`. Counts brackets instead of recursing.
pub(crate) fn value_end(text: &[u8], at: usize) -> usize {
    let mut end = at;
    let mut open = 0_usize;
    loop {
        match text.get(end) {
            Some(b'"') => end = string_end(text, end),
            Some(b'{' | b'[') => {
                open += 1;
                end += 1;
                continue;
            }
            Some(b'}' | b']') => {
                open = open.saturating_sub(1);
                end += 1;
            }
            Some(b',' | b':' | b' ' | b'\t' | b'\r' | b'\n') => {
                end += 1;
                continue;
            }
            Some(_) => end = scalar_end(text, end),
            None => return text.len(),
        }
        if open == 0 {
            return end;
        }
    }
}

/// Behind the number or word that starts at `at`.
fn scalar_end(text: &[u8], mut at: usize) -> usize {
    while !matches!(text.get(at), None | Some(b',' | b':' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n')) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_where_it_ends() {
        for value in ["1", "-0.0e+1", "null", r#""a\"]}""#, r#"{"a":[1,{"b":"}"}] }"#, "[]", r#"["\\"]"#, "{}"] {
            for tail in ["", ",1", " ,", "}", "]"] {
                let text = format!("{value}{tail}");
                assert_eq!(value_end(text.as_bytes(), 0), value.len(), "{text}");
            }
        }
    }

    #[test]
    fn nonsense_stays_inside_the_text() {
        for text in ["", "\"", "\"\\", "{", "[[\"", "}"] {
            assert!(value_end(text.as_bytes(), 0) <= text.len());
        }
    }
}
