//! A query's text cut into words.

/// One word.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word {
    /// A keyword, a function or a part of a path; which of them it is its place says.
    Name(String),
    /// A part of a path that is none of the others: written `[[name]]`.
    Quoted(String),
    Number(f64),
    Integer(i64),
    Text(String),
    /// `( ) [ ] , . * = != <> < <= > >= + - / %`; `<>` is told as `!=`.
    Sign(&'static str),
}

/// The longest first: each begins with none of those before it.
const SIGNS: [(&str, &str); 19] = [
    ("<>", "!="),
    ("!=", "!="),
    ("<=", "<="),
    (">=", ">="),
    ("<", "<"),
    (">", ">"),
    ("=", "="),
    ("(", "("),
    (")", ")"),
    ("[", "["),
    ("]", "]"),
    (",", ","),
    (".", "."),
    ("*", "*"),
    ("+", "+"),
    ("-", "-"),
    ("/", "/"),
    ("%", "%"),
    (";", ";"),
];

/// All words of a text.
pub(super) fn words(text: &str) -> Result<Vec<Word>, String> {
    let mut rest = text.trim_start();
    let mut words = Vec::new();
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '\'' | '"' => quoted(rest, first)?,
            '0'..='9' => number(rest)?,
            c if is_of_name(c) => name(rest),
            _ if rest.starts_with("[[") => bracketed(rest)?,
            _ => sign(rest)?,
        };
        words.push(word);
        rest = after.trim_start();
    }
    Ok(words)
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$')
}

fn name(text: &str) -> (Word, &str) {
    let (name, rest) = text.split_at(text.find(|c| !is_of_name(c)).unwrap_or(text.len()));
    (Word::Name(name.to_owned()), rest)
}

fn bracketed(text: &str) -> Result<(Word, &str), String> {
    let inner = text.strip_prefix("[[").unwrap_or(text);
    let (name, rest) = inner.split_once("]]").ok_or("a '[[' is not closed")?;
    Ok((Word::Quoted(name.to_owned()), rest))
}

fn sign(text: &str) -> Result<(Word, &str), String> {
    let found = SIGNS.iter().find_map(|(spelled, sign)| Some((Word::Sign(sign), text.strip_prefix(spelled)?)));
    found.ok_or_else(|| format!("'{}' is not expected", text.chars().next().unwrap_or_default()))
}

/// Decimal, maybe with an exponent, or hexadecimal after `0x`.
fn number(text: &str) -> Result<(Word, &str), String> {
    let mut before = ' ';
    let is_end = |c: char| {
        let is_part = c.is_ascii_alphanumeric() || c == '.';
        let is_sign_of_exponent = matches!(c, '+' | '-') && matches!(before, 'e' | 'E') && !text.starts_with("0x");
        before = c;
        !is_part && !is_sign_of_exponent
    };
    let (spelled, rest) = text.split_at(text.find(is_end).unwrap_or(text.len()));
    let hexadecimal = spelled.strip_prefix("0x").and_then(|digits| i64::from_str_radix(digits, 16).ok());
    let integer = hexadecimal.or_else(|| spelled.parse().ok()).map(Word::Integer);
    let float = || spelled.parse().ok().filter(|number: &f64| number.is_finite()).map(Word::Number);
    let word = integer.or_else(float).ok_or_else(|| format!("'{spelled}' is not a number"))?;
    Ok((word, rest))
}

/// In single or double quotes, with `\'`, `\"`, `\\` and `\uXXXX`.
fn quoted(text: &str, quote: char) -> Result<(Word, &str), String> {
    const OPEN: &str = "a string is not closed";
    let mut value = String::new();
    let mut rest = text.chars();
    rest.next();
    loop {
        match rest.next().ok_or(OPEN)? {
            c if c == quote => return Ok((Word::Text(value), rest.as_str())),
            '\\' => value.push(match rest.next().ok_or(OPEN)? {
                c @ ('\'' | '"' | '\\') => c,
                'u' => {
                    let digits: String = rest.by_ref().take(4).collect();
                    let code = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4);
                    code.and_then(char::from_u32).ok_or("a string has a wrong \\u escape")?
                }
                _ => return Err("a string has an unknown escape".to_owned()),
            }),
            c => value.push(c),
        }
    }
}
