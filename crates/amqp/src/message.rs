//! The sections of a message (specification, part 3.2).

use bytes::{Bytes, BytesMut};

use crate::codec::DecodeError;
use crate::value::{Fields, Symbol, Value};

mod sections; // bytes and back

/// A message. Sections are written in the specification's order and read in any (Azure's C SDK mixes them).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// How it is to be delivered.
    pub header: Option<Header>,
    /// For the next hop alone.
    pub delivery_annotations: Fields,
    /// For all hops.
    pub message_annotations: Fields,
    /// What every message may have.
    pub properties: Properties,
    /// What the application adds.
    pub application_properties: Vec<(String, Value)>,
    /// The content.
    pub body: Body,
    /// After the content.
    pub footer: Fields,
}

/// How a message is to be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Survives a restart.
    pub durable: bool,
    /// 0 to 9; 4 is usual.
    pub priority: u8,
    /// Time to live, milliseconds.
    pub ttl: Option<u32>,
    /// Nobody had it before.
    pub first_acquirer: bool,
    /// Unsuccessful attempts so far.
    pub delivery_count: u32,
}

impl Default for Header {
    fn default() -> Self {
        Self { durable: false, priority: 4, ttl: None, first_acquirer: false, delivery_count: 0 }
    }
}

/// The content of a message.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Body {
    /// No section at all.
    #[default]
    Empty,
    /// One or more data sections.
    Data(Vec<Bytes>),
    /// One or more sequence sections.
    Sequence(Vec<Vec<Value>>),
    /// One value.
    Value(Value),
}

/// Names a message. The type is part of it: answers carry it as it came.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MessageId {
    /// A number.
    Ulong(u64),
    /// RFC 4122.
    Uuid([u8; 16]),
    /// Bytes.
    Binary(Bytes),
    /// Text.
    String(String),
}

impl From<&str> for MessageId {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

/// What every message may have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Properties {
    /// Names the message.
    pub message_id: Option<MessageId>,
    /// Who made it.
    pub user_id: Option<Bytes>,
    /// Where it goes.
    pub to: Option<String>,
    /// What it is about.
    pub subject: Option<String>,
    /// Where answers go.
    pub reply_to: Option<String>,
    /// What it answers.
    pub correlation_id: Option<MessageId>,
    /// RFC 2046.
    pub content_type: Option<Symbol>,
    /// RFC 2616, 3.5; IoT Hub puts a character set here.
    pub content_encoding: Option<Symbol>,
    /// Milliseconds since 1970.
    pub absolute_expiry_time: Option<i64>,
    /// Milliseconds since 1970.
    pub creation_time: Option<i64>,
    /// Its group.
    pub group_id: Option<String>,
    /// Its place there.
    pub group_sequence: Option<u32>,
    /// The group of answers.
    pub reply_to_group_id: Option<String>,
}

impl Message {
    /// Reads a message. The body shares the input's memory.
    ///
    /// # Errors
    /// It cannot be one.
    pub fn decode(payload: &Bytes) -> Result<Self, DecodeError> {
        sections::read(payload)
    }

    /// Writes a message. Empty sections are left out.
    pub fn encode(&self, out: &mut BytesMut) {
        sections::write(self, out);
    }

    /// Writes a message.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.encode(&mut out);
        out.freeze()
    }
}

/// The data sections of a body, with nothing else decoded: in Azure's batch format (message format 0x80013700) each of
/// them is a whole message.
///
/// # Errors
/// It is no message.
pub fn batch(payload: &Bytes) -> Result<Vec<Bytes>, DecodeError> {
    sections::data(payload)
}

#[cfg(test)]
mod tests;
