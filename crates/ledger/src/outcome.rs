//! How a command ended, in the words of logs, metrics and page.

use serde::{Deserialize, Serialize};

/// Why the network or we did not take a command, or gave it up. A short sentence of whoever said so, which Azure gets to see.
pub type Why = String;

/// An end. None of them is taken back but by one that knows more ([`Outcome::knows`]).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome", content = "why")]
pub enum Outcome {
    /// The device said that it has it.
    Acknowledged,
    /// A gateway transmitted it, and nobody asked for more.
    Sent,
    /// We, or the network, did not take it.
    Refused(Why),
    /// The network had it and gave it up.
    Failed(Why),
    /// A newer one took its place before it was sent, as somebody wished.
    Superseded,
    /// Somebody took it back in time.
    Cancelled,
    /// Its time ran out. What was known by then is in the text.
    Expired(Why),
    /// Nobody can tell whether the network ever had it.
    Unknown,
}

impl Outcome {
    /// The word in logs, metrics and properties.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::Sent => "sent",
            Self::Refused(_) => "refused",
            Self::Failed(_) => "failed",
            Self::Superseded => "superseded",
            Self::Cancelled => "cancelled",
            Self::Expired(_) => "expired",
            Self::Unknown => "unknown",
        }
    }

    /// The number that stands for it where Azure wants one: the status of a method's answer, `ac` of a property. In the
    /// 400s the command was at fault, in the 500s the way to the device.
    pub fn status(&self) -> u16 {
        match self {
            Self::Acknowledged | Self::Sent => 200,
            Self::Refused(_) => 400,
            Self::Superseded => 409,
            Self::Cancelled => 410,
            Self::Failed(_) => 502,
            Self::Unknown => 500,
            Self::Expired(_) => 504,
        }
    }

    /// Did it reach the air for certain?
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Acknowledged | Self::Sent)
    }

    /// The sentence that goes with it.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Refused(why) | Self::Failed(why) | Self::Expired(why) => Some(why),
            _ => None,
        }
    }

    /// How much it tells: an outcome gives way to one that tells more, and to no other. The device's own word is the last one; what was seen on
    /// the air beats what a program concluded, and a conclusion that names a cause beats one from silence.
    pub fn knows(&self) -> u8 {
        match self {
            Self::Acknowledged => 7,
            Self::Sent => 6,
            Self::Refused(_) => 5,
            Self::Failed(_) => 4,
            Self::Cancelled => 3,
            Self::Superseded => 2,
            Self::Expired(_) | Self::Unknown => 1,
        }
    }
}
