//! The kinds of events, by the words that The Things Stack uses for them.

use std::fmt;

/// What happened. The word is the one body key of a v3 message that says so (`ApplicationUp.up` in the API
/// definition); a V2 body is always an uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A frame from the device.
    UplinkMessage,
    /// One measurement of a frame, in the vendor-neutral schema; sent besides [`Self::UplinkMessage`].
    UplinkNormalized,
    /// The device joined: new session keys, frame counters start again.
    JoinAccept,
    /// The device acknowledged a confirmed downlink.
    DownlinkAck,
    /// A confirmed downlink was not acknowledged; the network tries again by itself.
    DownlinkNack,
    /// A gateway transmitted a downlink.
    DownlinkSent,
    /// A downlink is given up.
    DownlinkFailed,
    /// A downlink is in the network's queue.
    DownlinkQueued,
    /// The queue was thrown away with the session.
    DownlinkQueueInvalidated,
    /// Somebody found out where the device is.
    LocationSolved,
    /// An application package has something to say.
    ServiceData,
}

impl EventKind {
    /// All of them, in the order of the API definition.
    pub const ALL: [Self; 11] = [
        Self::UplinkMessage,
        Self::UplinkNormalized,
        Self::JoinAccept,
        Self::DownlinkAck,
        Self::DownlinkNack,
        Self::DownlinkSent,
        Self::DownlinkFailed,
        Self::DownlinkQueued,
        Self::DownlinkQueueInvalidated,
        Self::LocationSolved,
        Self::ServiceData,
    ];

    /// The body key.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UplinkMessage => "uplink_message",
            Self::UplinkNormalized => "uplink_normalized",
            Self::JoinAccept => "join_accept",
            Self::DownlinkAck => "downlink_ack",
            Self::DownlinkNack => "downlink_nack",
            Self::DownlinkSent => "downlink_sent",
            Self::DownlinkFailed => "downlink_failed",
            Self::DownlinkQueued => "downlink_queued",
            Self::DownlinkQueueInvalidated => "downlink_queue_invalidated",
            Self::LocationSolved => "location_solved",
            Self::ServiceData => "service_data",
        }
    }

    /// The kind with this body key.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::EventKind;

    #[test]
    fn every_kind_is_found_by_its_word() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::from_word(kind.as_str()), Some(kind));
        }
        assert_eq!(EventKind::from_word("uplink"), None);
    }
}
