//! A message from a device, as every transport sends it.

use bytes::Bytes;

/// Most bytes of a message, body and properties together (IoT Hub quotas: 256 KB).
pub const MESSAGE_BYTES_MAX: usize = 262_144;
/// Most characters of message and correlation id.
const ID_CHARS_MAX: usize = 128;

/// One telemetry message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Telemetry {
    /// The body, as it is.
    pub body: Bytes,
    /// 1 to 128 ASCII letters, digits and `-.+%_#*?!(),:;=@$'`. The hub does not look for duplicates; readers can by this.
    pub message_id: String,
    /// Likewise.
    pub correlation_id: Option<String>,
    /// `application/json` lets the hub route by what is in the body.
    pub content_type: Option<String>,
    /// `utf-8`, likewise.
    pub content_encoding: Option<String>,
    /// When the device's message was received. Sent with microseconds: the hub's clock has seven digits.
    pub creation_time: Option<jiff::Timestamp>,
    /// Application properties, in this order. Names keep their case.
    pub properties: Vec<(String, String)>,
}

/// Why no hub would take a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// Over [`MESSAGE_BYTES_MAX`].
    #[error("the message has {0} bytes with its properties and the hub takes {MESSAGE_BYTES_MAX}")]
    TooLarge(usize),
    /// A name that cannot be a property's.
    #[error("{0:?} cannot be the name of an application property; letters, digits and !#$%&'*+-.^_`|~ can")]
    PropertyName(String),
    /// A property or system property with something else than printable ASCII.
    #[error("the value of {0} holds something else than printable ASCII")]
    Value(String),
    /// A message or correlation id with a character that the hub does not take.
    #[error("{0} holds a character that is not taken; letters, digits and -.+%_#*?!(),:;=@$' are")]
    Id(&'static str),
    /// Over 128 characters, or empty.
    #[error("{0} must have 1 to 128 characters")]
    IdLength(&'static str),
}

impl Telemetry {
    /// Would a hub take this? Rules of the documentation, "construct messages".
    pub fn check(&self) -> Result<(), Unsendable> {
        check_id("message_id", &self.message_id)?;
        self.correlation_id.as_deref().map_or(Ok(()), |id| check_id("correlation_id", id))?;
        self.content_type.as_deref().map_or(Ok(()), |v| check_value("content_type", v))?;
        self.content_encoding.as_deref().map_or(Ok(()), |v| check_value("content_encoding", v))?;
        for (name, value) in &self.properties {
            check_name(name)?;
            check_value(name, value)?;
        }
        match self.bytes() {
            bytes if bytes > MESSAGE_BYTES_MAX => Err(Unsendable::TooLarge(bytes)),
            _ => Ok(()),
        }
    }

    /// Body, names and values together, as the hub counts them.
    pub fn bytes(&self) -> usize {
        let system = [&self.correlation_id, &self.content_type, &self.content_encoding];
        let system: usize = system.into_iter().flatten().map(String::len).sum();
        let properties: usize = self.properties.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.body.len() + self.message_id.len() + system + properties
    }

    /// `iothub-creation-time-utc`, RFC 3339 with `Z`.
    pub(crate) fn creation_time_text(&self) -> Option<String> {
        self.creation_time.map(|time| format!("{time:.6}"))
    }
}

/// The characters of a device id, and `:` and `;`.
fn check_id(what: &'static str, id: &str) -> Result<(), Unsendable> {
    let taken = |b: u8| b.is_ascii_alphanumeric() || b"-.+%_#*?!(),:;=@$'".contains(&b);
    if !(1..=ID_CHARS_MAX).contains(&id.len()) {
        return Err(Unsendable::IdLength(what));
    }
    if id.bytes().all(taken) { Ok(()) } else { Err(Unsendable::Id(what)) }
}

fn check_name(name: &str) -> Result<(), Unsendable> {
    let taken = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !name.is_empty() && name.bytes().all(taken) { Ok(()) } else { Err(Unsendable::PropertyName(name.to_owned())) }
}

fn check_value(what: &str, value: &str) -> Result<(), Unsendable> {
    if value.bytes().all(|b| (0x20..0x7f).contains(&b)) { Ok(()) } else { Err(Unsendable::Value(what.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn telemetry() -> Telemetry {
        Telemetry { message_id: "m1".into(), ..Telemetry::default() }
    }

    #[test]
    fn message_of_exactly_the_bound_is_taken_and_one_byte_more_is_not() {
        let properties = vec![("Port".to_owned(), "10".to_owned())];
        let room = MESSAGE_BYTES_MAX - 2 - 6;
        let fits = Telemetry { body: vec![b'x'; room].into(), properties, ..telemetry() };
        assert_eq!(fits.check(), Ok(()));
        let over = Telemetry { body: vec![b'x'; room + 1].into(), ..fits };
        assert_eq!(over.check(), Err(Unsendable::TooLarge(MESSAGE_BYTES_MAX + 1)));
    }

    #[test]
    fn names_and_values_that_could_break_out_are_refused() {
        let with = |name: &str, value: &str| Telemetry { properties: vec![(name.into(), value.into())], ..telemetry() };
        for name in ["", "a b", "a:b", "a\r\nb", "ä", "a\"b"] {
            assert_eq!(with(name, "v").check(), Err(Unsendable::PropertyName(name.into())), "{name:?}");
        }
        for value in ["a\r\nX-Evil: 1", "\0", "ä", "\u{7f}"] {
            assert_eq!(with("Name", value).check(), Err(Unsendable::Value("Name".into())), "{value:?}");
        }
        assert_eq!(with("Name", "with space: and 100%").check(), Ok(()));
        let long = Telemetry { message_id: "x".repeat(129), ..telemetry() };
        assert_eq!(long.check(), Err(Unsendable::IdLength("message_id")));
        assert_eq!(Telemetry::default().check(), Err(Unsendable::IdLength("message_id")));
        let split = Telemetry { message_id: "a\nb".into(), ..telemetry() };
        assert_eq!(split.check(), Err(Unsendable::Id("message_id")));
    }

    #[test]
    fn creation_time_is_utc_with_microseconds() {
        let time = Some("2026-11-23T10:00:00.123456789+01:00".parse().unwrap());
        assert_eq!(
            Telemetry { creation_time: time, ..telemetry() }.creation_time_text().unwrap(),
            "2026-11-23T09:00:00.123456Z"
        );
    }
}
