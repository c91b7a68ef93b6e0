//! What was promised, and was it kept? Outside the code under test: it hears what the network server was answered and what
//! the hubs took, and reads what is left in the end. It asks the product nothing.
//!
//! `trouble` says what may be excused; `verdict` weighs.

use std::collections::BTreeMap;

mod trouble; // what was wrong, from when to when, and what that excuses
mod verdict; // PURE: findings

pub(crate) use trouble::{Effect, Scope, Trouble};
pub(crate) use verdict::verdict;

use crate::uplink::{Device, Telemetry, Uplink, UplinkId};

/// A message at the door, as the network server saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Post {
    pub(crate) what: Posted,
    /// Milliseconds of true time, as all times here: when the first byte was sent.
    pub(crate) sent: i64,
    /// When the last byte was sent; none while it was not.
    pub(crate) whole: Option<i64>,
    pub(crate) end: Option<(i64, End)>,
}

/// What was posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Posted {
    Uplink(UplinkId),
    /// Something that no door should take: the status it must get.
    Refusable(&'static str, u16),
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Status(u16),
    /// No answer: the connection failed, or the network server waited no longer.
    Nothing,
    /// The network server did not want one.
    HungUp,
}

/// A message that a hub took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) at: i64,
    pub(crate) hub: String,
    pub(crate) device_id: String,
    pub(crate) message_id: Option<String>,
    pub(crate) telemetry: Result<Telemetry, String>,
}

/// A dead letter in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Buried {
    pub(crate) reason: String,
    pub(crate) detail: String,
    /// None when nothing in it names a message.
    pub(crate) id: Option<UplinkId>,
}

/// What one host was asked for in one minute. Refusals and thefts are counted of all hubs together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) connections: u32,
    pub(crate) bytes: u64,
    pub(crate) refused: u64,
    /// Devices that somebody else took over.
    pub(crate) stolen: u64,
}

impl Asked {
    fn add(&mut self, more: &Self) {
        let Self { connections, bytes, refused, stolen } = more;
        self.connections += connections;
        self.bytes += bytes;
        self.refused += refused;
        self.stolen += stolen;
    }

    /// With so many messages that came through meanwhile, each of which may have been tried twice.
    fn beside(&self, messages: u64) -> Self {
        const MESSAGE_BYTES: u64 = 4 << 10;
        Self {
            connections: self.connections + u32::try_from(messages).unwrap_or(u32::MAX),
            bytes: self.bytes + MESSAGE_BYTES * messages,
            refused: self.refused + messages,
            stolen: self.stolen,
        }
    }

    fn exceeds(&self, most: &Self) -> bool {
        let Self { connections, bytes, refused, stolen } = *self;
        connections > most.connections || bytes > most.bytes || refused > most.refused || stolen > most.stolen
    }
}

/// Registrations, as the bridge was told to make them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pace {
    /// In any minute, at the most; 0: as many as it likes.
    pub(crate) per_minute: usize,
    /// The provisioning service assigns at once: no polls.
    pub(crate) is_at_once: bool,
}

/// All that is known of a story when it is over.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) devices: Vec<Device>,
    pub(crate) uplinks: BTreeMap<UplinkId, Uplink>,
    pub(crate) posts: Vec<Post>,
    pub(crate) taken: Vec<Taken>,
    pub(crate) troubles: Vec<Trouble>,
    /// From a start of the process to its end.
    pub(crate) lives: Vec<(i64, i64)>,
    pub(crate) buried: Vec<Buried>,
    /// By host and minute since the beginning.
    pub(crate) asked: BTreeMap<(String, i64), Asked>,
    /// Panics and other things that must not happen at all, seen on the way.
    pub(crate) scandals: Vec<String>,
    /// Links that the hub let go because their token had run out, with the time and the device.
    pub(crate) ran_out: Vec<(i64, String)>,
    /// Registrations that the provisioning service was asked for with good credentials, with the time and the device.
    pub(crate) registered: Vec<(i64, String)>,
    /// Changes of the configuration, each to its next edition: from when it stood there to when it was surely in use.
    pub(crate) editions: Vec<(i64, Option<i64>)>,
    /// What the bridge was told to keep to.
    pub(crate) pace: Pace,
    /// Messages that were still waiting when the last patience was over; the lanes they stood in.
    pub(crate) stuck: Vec<String>,
    /// When it was over.
    pub(crate) over: i64,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// `lost`, `twice`, `order`, `identity`, `invented`, `altered`, `starved`, `stuck`, `buried`, `door`, `hammered`,
    /// `registered`, `routed`, `token`, `scandal`.
    pub(crate) kind: &'static str,
    pub(crate) what: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.kind, self.what)
    }
}
