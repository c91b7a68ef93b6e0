//! What DPS and IoT Central take as a registration id (DPS documentation, "concepts: service").
//!
//! In a group enrolment the registration id becomes the device id at the hub. DPS compares it without regard to
//! case and the hub with: so upper case is refused here, before two spellings become two devices.

/// Most characters that DPS takes.
pub const CHARS_MAX: usize = 128;

/// Why a name cannot be a registration id. The texts say how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// Nothing there.
    #[error("the registration id is empty; the template device_id must give a name for every device")]
    Empty,
    /// Over [`CHARS_MAX`].
    #[error("the registration id has {0} characters and at most 128 are taken; choose a shorter template device_id")]
    TooLong(usize),
    /// DPS ignores case, the hub does not.
    #[error(
        "the registration id has upper case letters, which DPS ignores and IoT Hub tells apart; \
         choose a template device_id that gives lower case, such as \"{{dev_eui}}\""
    )]
    UpperCase,
    /// Not taken at all.
    #[error("the registration id contains {0:?}; taken are letters, digits, '-', '.', '_' and ':'")]
    Character(char),
    /// Not taken by IoT Central.
    #[error("the registration id contains {0:?}; IoT Central takes letters, digits and '-'")]
    CentralCharacter(char),
    /// Begins with something else than a letter or digit.
    #[error("the registration id begins with {0:?}; it must begin with a letter or a digit")]
    First(char),
    /// Ends with something else than a letter, digit or '-'.
    #[error("the registration id ends with {0:?}; it must end with a letter, a digit or '-'")]
    Last(char),
}

/// Would DPS take this name?
pub fn check(id: &str) -> Result<(), Why> {
    check_characters(id, |c| matches!(c, '-' | '.' | '_' | ':'), Why::Character)
}

/// Would IoT Central take this name? A subset of what [`check`] takes.
pub fn check_central(id: &str) -> Result<(), Why> {
    check_characters(id, |c| c == '-', Why::CentralCharacter)
}

fn check_characters(id: &str, special: fn(char) -> bool, refuse: fn(char) -> Why) -> Result<(), Why> {
    let (first, last) = (id.chars().next().ok_or(Why::Empty)?, id.chars().next_back().ok_or(Why::Empty)?);
    let length = id.chars().count();
    if length > CHARS_MAX {
        return Err(Why::TooLong(length));
    }
    if let Some(c) = id.chars().find(|c| !c.is_ascii_alphanumeric() && !special(*c)) {
        return Err(refuse(c));
    }
    if id.contains(|c: char| c.is_ascii_uppercase()) {
        return Err(Why::UpperCase);
    }
    if !first.is_ascii_alphanumeric() {
        return Err(Why::First(first));
    }
    if !last.is_ascii_alphanumeric() && last != '-' {
        return Err(Why::Last(last));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_dps_takes() {
        for id in ["eui-70b3d57ed0051234", "a", "0", "a-", "sn:1.2_3", &"a".repeat(128)] {
            assert_eq!(check(id), Ok(()), "{id}");
        }
        assert_eq!(check_central("eui-70b3d57ed0051234"), Ok(()));
    }

    #[test]
    fn names_that_dps_refuses_each_by_cause() {
        let cases = [
            ("", Why::Empty),
            ("Eui-1", Why::UpperCase),
            ("a b", Why::Character(' ')),
            ("a/b", Why::Character('/')),
            ("ä", Why::Character('ä')),
            ("-a", Why::First('-')),
            ("a.", Why::Last('.')),
        ];
        for (id, why) in cases {
            assert_eq!(check(id), Err(why), "{id:?}");
        }
        assert_eq!(check(&"a".repeat(129)), Err(Why::TooLong(129)));
        assert_eq!(check_central("a_b"), Err(Why::CentralCharacter('_')));
    }

    #[test]
    fn upper_case_is_mended_by_naming_the_template() {
        assert!(Why::UpperCase.to_string().contains("\"{dev_eui}\""), "{}", Why::UpperCase);
    }
}
