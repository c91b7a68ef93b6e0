//! Messages to devices: what the hub takes for one, and the queue of each.
//!
//! Promises: a queue keeps its order and at most 50 messages; each message ends once (completed, rejected, expired,
//! abandoned too often, purged), and who asked for feedback on that end gets one record of it. Time and locks are handed
//! in. Does not know who is connected.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::feedback::{Record, Status};
use super::line::{End, Ended, Line, Lock};
use super::rules::Rules;
use super::{Refusal, check_words};
use crate::registry::Device;

pub(crate) mod headers; // as HTTPS carries messages

/// With its properties.
pub(crate) const MESSAGE_BYTES_MAX: usize = 65_536;
/// As a real hub holds for a device.
pub(super) const PENDING_MAX: usize = 50;
/// The longest that a hub can be set to. What asks for more gets this.
const TTL_MAX_MS: i64 = 2 * 24 * 3_600_000;

/// On which ends the sender wants feedback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ack {
    #[default]
    None,
    Positive,
    Negative,
    Full,
}

impl Ack {
    /// The property that asks for it.
    pub(crate) const PROPERTY: &'static str = "iothub-ack";

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::None, Self::Positive, Self::Negative, Self::Full]
            .into_iter()
            .find(|ack| ack.word().eq_ignore_ascii_case(word))
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Positive => "positive",
            Self::Negative => "negative",
            Self::Full => "full",
        }
    }

    fn wants(self, status: Status) -> bool {
        match self {
            Self::None => false,
            Self::Positive => status == Status::Success,
            Self::Negative => status != Status::Success,
            Self::Full => true,
        }
    }
}

/// A message to a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Message {
    pub(crate) message_id: Option<String>,
    pub(crate) correlation_id: Option<String>,
    #[serde(with = "in_base64::optional")]
    pub(crate) user_id: Option<Bytes>,
    pub(crate) content_type: Option<String>,
    pub(crate) content_encoding: Option<String>,
    /// Milliseconds since 1970, as the sender wishes it.
    pub(crate) expiry_ms: Option<i64>,
    pub(crate) ack: Ack,
    /// The sender's own.
    pub(crate) properties: BTreeMap<String, String>,
    #[serde(with = "in_base64")]
    pub(crate) body: Bytes,
}

impl Message {
    /// This, if the hub takes it. `iothub-ack` among the properties becomes what it says.
    pub(crate) fn checked(mut self) -> Result<Self, Refusal> {
        if let Some(word) = self.properties.remove(Ack::PROPERTY) {
            self.ack = Ack::parse(&word).ok_or_else(|| {
                Refusal::argument("The property iothub-ack is none of none, positive, negative and full")
            })?;
        }
        self.check().map(|()| self)
    }

    fn check(&self) -> Result<(), Refusal> {
        check_words([&self.message_id, &self.correlation_id], &self.properties)?;
        if self.size() > MESSAGE_BYTES_MAX { Err(too_large()) } else { Ok(()) }
    }

    /// Body, and names and values of all properties, in bytes.
    pub(crate) fn size(&self) -> usize {
        let system = [&self.message_id, &self.correlation_id, &self.content_type, &self.content_encoding];
        let system: usize = system.into_iter().flatten().map(String::len).sum();
        let user = self.user_id.as_ref().map_or(0, Bytes::len);
        let application: usize = self.properties.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.body.len() + system + user + application
    }

    /// When it expires that is taken now, where one that says nothing is kept so long.
    pub(super) fn expires_ms(&self, now_ms: i64, ttl_ms: i64) -> i64 {
        let wished = self.expiry_ms.unwrap_or_else(|| now_ms.saturating_add(ttl_ms));
        wished.min(now_ms.saturating_add(TTL_MAX_MS))
    }
}

fn too_large() -> Refusal {
    Refusal::new(413, 413_001, "MessageTooLarge", format!("The message is larger than {MESSAGE_BYTES_MAX} bytes"))
}

pub(super) fn queue_full(id: &str) -> Refusal {
    let text = format!("The queue of device {id} holds {PENDING_MAX} messages, which is the most there may be");
    Refusal::new(403, 403_004, "DeviceMaximumQueueDepthExceeded", text)
}

/// An answer to a message that its device does not hold, or not any more.
pub(crate) fn lock_lost() -> Refusal {
    Refusal::new(
        412,
        412_002,
        "DeviceMessageLockLost",
        "The lock of the message is lost; it was in no queue or expired",
    )
}

/// A message as it is handed to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub(crate) lock: Lock,
    pub(crate) sequence: u64,
    pub(crate) enqueued_ms: i64,
    pub(crate) expiry_ms: i64,
    /// How often it was abandoned before.
    pub(crate) delivery_count: u8,
    pub(crate) message: Arc<Message>,
}

/// Whose queue it is; of which device of that name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) device: String,
    pub(crate) generation: String,
}

impl From<&Device> for Owner {
    fn from(device: &Device) -> Self {
        Self { device: device.id.clone(), generation: device.generation.clone() }
    }
}

/// The queue of a device.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    pub(super) owner: Owner,
    pub(super) line: Line<Message>,
    /// Under which time it is listed as due.
    pub(super) listed_ms: Option<i64>,
}

impl Queue {
    pub(super) fn new(owner: Owner, rules: Rules) -> Self {
        Self { owner, line: Line::new(rules), listed_ms: None }
    }

    pub(super) fn lock_next(&mut self, now_ms: i64, lock: Lock) -> Option<Delivery> {
        let entry = self.line.lock_next(now_ms, lock)?;
        Some(Delivery {
            lock,
            sequence: entry.sequence,
            enqueued_ms: entry.enqueued_ms,
            expiry_ms: entry.expiry_ms,
            delivery_count: entry.abandoned,
            message: Arc::clone(&entry.content),
        })
    }

    /// What the sender of a message is told of its end, if it wants to know.
    pub(super) fn record(&self, ended: &Ended<Message>, at_ms: i64) -> Option<Record> {
        let status = match ended.end {
            End::Completed => Status::Success,
            End::Rejected => Status::Rejected,
            End::Exceeded => Status::DeliveryCountExceeded,
            End::Expired => Status::Expired,
            End::Purged => Status::Purged,
        };
        ended.content.ack.wants(status).then(|| Record {
            original_message_id: ended.content.message_id.clone(),
            at_ms,
            status,
            device_id: self.owner.device.clone(),
            generation_id: self.owner.generation.clone(),
        })
    }
}

/// Bytes as text, for the journal.
mod in_base64 {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map(Bytes::from).map_err(D::Error::custom)
    }

    pub(super) mod optional {
        use super::*;

        pub(in super::super) fn serialize<S: Serializer>(bytes: &Option<Bytes>, to: S) -> Result<S::Ok, S::Error> {
            match bytes {
                Some(bytes) => super::serialize(bytes, to),
                None => to.serialize_none(),
            }
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Bytes>, D::Error> {
            let text = Option::<String>::deserialize(from)?;
            text.map(|text| STANDARD.decode(text).map(Bytes::from).map_err(D::Error::custom)).transpose()
        }
    }
}

#[cfg(test)]
mod tests;
