//! What IoT Hub takes as a device id (IoT Hub documentation, "identity registry"). Case matters there.

/// Most characters that the hub takes.
pub const CHARS_MAX: usize = 128;

/// Letters and digits aside.
const SPECIAL: &str = "-.+%_#*?!(),:=@$'";

/// Why a name cannot be a device id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// Nothing there.
    #[error("the device id is empty")]
    Empty,
    /// Over [`CHARS_MAX`].
    #[error("the device id has {0} characters and at most 128 are taken")]
    TooLong(usize),
    /// Not taken.
    #[error("the device id contains {0:?}; taken are ASCII letters, digits and - . + % _ # * ? ! ( ) , : = @ $ '")]
    Character(char),
}

/// Would IoT Hub take this name?
pub fn check(id: &str) -> Result<(), Why> {
    let length = id.chars().count();
    if length == 0 {
        return Err(Why::Empty);
    }
    if length > CHARS_MAX {
        return Err(Why::TooLong(length));
    }
    match id.chars().find(|c| !c.is_ascii_alphanumeric() && !SPECIAL.contains(*c)) {
        Some(c) => Err(Why::Character(c)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_hub_keep_their_case_and_special_characters() {
        for id in ["eui-70b3d57ed0051234", "Dev.1", "a+b%_#*?!(),:=@$'", &"x".repeat(128)] {
            assert_eq!(check(id), Ok(()), "{id}");
        }
    }

    #[test]
    fn names_that_the_hub_refuses_each_by_cause() {
        assert_eq!(check(""), Err(Why::Empty));
        assert_eq!(check(&"x".repeat(129)), Err(Why::TooLong(129)));
        for (id, c) in [("a b", ' '), ("a/b", '/'), ("a\r\nb", '\r'), ("é", 'é'), ("a;b", ';')] {
            assert_eq!(check(id), Err(Why::Character(c)), "{id:?}");
        }
    }
}
