//! What is wrong with a configuration, as people read it.
//!
//! Promises that every mistake names its key, its cause and its mend. Knows no rule of the configuration itself.

use std::fmt;

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the file, counted from 1.
    Line(usize),
    /// By this environment variable.
    Variable(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// One thing that is wrong: where, why, and how to mend it. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Dotted key, as in `targets.main.group_key`; empty where the file as a whole is meant.
    pub key: String,
    /// Where it was set, or where it would have to be.
    pub place: Option<Place>,
    /// What is wrong with it.
    pub cause: String,
    /// What to do about it.
    pub mend: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.key.as_str(), &self.place) {
            ("", None) => {}
            ("", Some(place)) => write!(f, "{place}: ")?,
            (key, None) => write!(f, "{key}: ")?,
            (key, Some(place)) => write!(f, "{key} ({place}): ")?,
        }
        write!(f, "{}\n    mend: {}", self.cause, self.mend)
    }
}

/// All mistakes of `file`, numbered, one paragraph for a terminal. Ends without a line feed.
pub fn report(file: &str, mistakes: &[Mistake]) -> String {
    let count = match mistakes.len() {
        1 => "1 mistake".to_owned(),
        n => format!("{n} mistakes"),
    };
    let mut text = format!("{file}: {count}");
    for (at, mistake) in mistakes.iter().enumerate() {
        text.push_str(&format!("\n{:2}. {mistake}", at + 1));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_numbers_mistakes_with_place_and_mend() {
        let mistake = |key: &str, place| Mistake {
            key: key.to_owned(),
            place,
            cause: "is wrong".to_owned(),
            mend: "set it right".to_owned(),
        };
        let mistakes = [
            mistake("log.level", Some(Place::Line(3))),
            mistake("azure", Some(Place::Variable("LONGHAUL__AZURE".to_owned()))),
            mistake("", None),
        ];
        let wanted = "x.toml: 3 mistakes\n 1. log.level (line 3): is wrong\n    mend: set it right\n \
                      2. azure (LONGHAUL__AZURE): is wrong\n    mend: set it right\n \
                      3. is wrong\n    mend: set it right";
        assert_eq!(report("x.toml", &mistakes), wanted);
    }
}
