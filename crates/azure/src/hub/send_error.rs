//! Why a message was not delivered, and what follows from it, the same for all transports.

use std::fmt;
use std::time::Duration;

use crate::UnixSeconds;
use crate::service_error::ServiceError;

/// A send that did not end with the hub's word that it has the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendError {
    /// What happened.
    pub why: Why,
    /// What the hub said, or our own words where it said nothing.
    pub error: ServiceError,
    /// The hub's clock, if it answered: a 401 may come from a wrong clock here.
    pub server_time: Option<UnixSeconds>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The token is not valid: run out, signed with another key, or by a wrong clock.
    Unauthorized,
    /// The hub does not know the device.
    NotFound,
    /// The device is switched off here; in IoT Central this means that it has moved to another hub.
    Disabled,
    /// An operator blocked the device in IoT Central.
    Blocked,
    /// The day's messages are used up, until 00:00 UTC.
    Quota,
    /// Too fast, all devices of the hub together.
    Throttled {
        /// As the hub says; `None`: back off.
        retry_after: Option<Duration>,
    },
    /// The message is too large.
    TooLarge,
    /// The hub does not take this message, now or later.
    Rejected,
    /// The hub is suspended: the subscription's trouble.
    Suspended,
    /// The hub has trouble of its own.
    Unavailable {
        /// As the hub says; `None`: back off.
        retry_after: Option<Duration>,
    },
    /// No connection. Nothing was sent.
    Unreachable,
    /// The connection died after the message was handed to it: it may have arrived.
    Lost,
    /// No answer in time: it may have arrived.
    TimedOut,
    /// The client was closed, or the device let go. Nothing was sent.
    Closed,
    /// Somebody else sends as this device: each attach of theirs takes our link away. AMQP only.
    Stolen {
        /// How long this device keeps still, so that one of the two wins.
        retry_after: Option<Duration>,
    },
    /// Not this device's turn: our own pace, or no place on our connections. Nothing was sent; the hub knows nothing of
    /// it. AMQP only.
    NotYet {
        /// Until its turn.
        retry_after: Duration,
    },
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The same message again, at least this much later.
    Retry {
        /// `None`: as the backoff says.
        after: Option<Duration>,
    },
    /// A fresh token first, then provisioning again.
    FreshToken,
    /// Provisioning again.
    Provision,
    /// Wait until 00:00 UTC.
    NextDay,
    /// Only an operator can help; try again now and then.
    Operator,
    /// This message never goes.
    Bury,
}

impl Why {
    /// A fixed word, to count and to remember by.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not_found",
            Self::Disabled => "disabled",
            Self::Blocked => "blocked",
            Self::Quota => "quota",
            Self::Throttled { .. } => "throttled",
            Self::TooLarge => "too_large",
            Self::Rejected => "rejected",
            Self::Suspended => "suspended",
            Self::Unavailable { .. } => "unavailable",
            Self::Unreachable => "unreachable",
            Self::Lost => "lost",
            Self::TimedOut => "timed_out",
            Self::Closed => "closed",
            Self::Stolen { .. } => "stolen",
            Self::NotYet { .. } => "not_yet",
        }
    }

    /// What follows.
    pub fn remedy(self) -> Remedy {
        match self {
            Self::Throttled { retry_after: after }
            | Self::Unavailable { retry_after: after }
            | Self::Stolen { retry_after: after } => Remedy::Retry { after },
            Self::NotYet { retry_after } => Remedy::Retry { after: Some(retry_after) },
            Self::Unreachable | Self::Lost | Self::TimedOut | Self::Closed => Remedy::Retry { after: None },
            Self::Unauthorized => Remedy::FreshToken,
            Self::NotFound | Self::Disabled => Remedy::Provision,
            Self::Quota => Remedy::NextDay,
            Self::Blocked | Self::Suspended => Remedy::Operator,
            Self::TooLarge | Self::Rejected => Remedy::Bury,
        }
    }

    /// The same would have happened to any device of this hub.
    pub fn concerns_whole_hub(self) -> bool {
        match self {
            Self::Quota | Self::Throttled { .. } | Self::Suspended | Self::Unavailable { .. } | Self::Unreachable => {
                true
            }
            // One answer that is late says little about the others; many of them show as such.
            Self::Lost | Self::TimedOut | Self::Closed => false,
            Self::Stolen { .. } | Self::NotYet { .. } => false,
            Self::Unauthorized | Self::NotFound | Self::Disabled | Self::Blocked | Self::TooLarge | Self::Rejected => {
                false
            }
        }
    }

    /// The hub may have the message all the same, so that a resend may be a duplicate.
    pub fn may_have_arrived(self) -> bool {
        matches!(self, Self::Lost | Self::TimedOut)
    }
}

impl SendError {
    /// Without an answer of the hub.
    pub(crate) fn unanswered(why: Why, words: impl Into<String>) -> Self {
        Self { why, error: ServiceError::of(words), server_time: None }
    }

    /// What follows.
    pub fn remedy(&self) -> Remedy {
        self.why.remedy()
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not delivered ({}): {}", self.why.word(), self.error)
    }
}

impl std::error::Error for SendError {}
