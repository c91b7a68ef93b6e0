//! What a connection is to be, and its bounds.

use std::time::Duration;

use crate::performative::{Attach, Error, ReceiverSettles, Role, SenderSettles, Source, Target};
use crate::value::{Fields, Symbol};

/// What a connection is to be, the same for both sides.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names us.
    pub container_id: String,
    /// The host that is meant; clients say it.
    pub hostname: Option<String>,
    /// Largest frame that we take, bytes. 64 KiB is what IoT Hub announces.
    pub max_frame_size: u32,
    /// Highest channel: one less than the sessions that the peer may begin.
    pub channel_max: u16,
    /// Highest handle: one less than the links of a session.
    pub handle_max: u32,
    /// Links of all sessions together; one more is refused.
    pub links_max: usize,
    /// Transfers that a session takes before it says more.
    pub incoming_window: u32,
    /// Bytes of deliveries that have begun and not ended, all links together. Beyond it the connection is closed.
    pub partial_bytes_max: usize,
    /// When nothing is heard for this long the connection is given up. Half of it is announced, as the specification asks,
    /// so that a peer that keeps to it is never late.
    pub silence_max: Option<Duration>,
    /// From the first byte to the peer's open, and from our close to the peer's.
    pub handshake_max: Duration,
    /// Receivers that settle second get their own word back at once. Else the caller decides: [`super::Event::Asked`].
    pub agrees_with_second: bool,
    /// What we can do besides.
    pub offered_capabilities: Vec<Symbol>,
    /// Anything else that open says.
    pub properties: Fields,
}

impl Options {
    /// Sessions and links for `devices` with one session and a few links each, 28 s of silence.
    pub fn new(container_id: impl Into<String>) -> Self {
        Self {
            container_id: container_id.into(),
            hostname: None,
            max_frame_size: 65_536,
            channel_max: 8191,
            handle_max: 262_143,
            links_max: 32_768,
            incoming_window: 5_000,
            partial_bytes_max: 32 << 20,
            silence_max: Some(Duration::from_secs(28)),
            handshake_max: Duration::from_secs(20),
            agrees_with_second: true,
            offered_capabilities: Vec::new(),
            properties: Fields::default(),
        }
    }
}

/// A link, as one of its ends sees it. What an [`Attach`] says without the parts that the connection keeps itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// Unique in its session, for each role.
    pub name: String,
    /// Our end.
    pub role: Role,
    /// How deliveries are settled by their sender.
    pub snd_settle_mode: SenderSettles,
    /// How deliveries are settled by their receiver.
    pub rcv_settle_mode: ReceiverSettles,
    /// Where deliveries come from.
    pub source: Option<Source>,
    /// Where they go.
    pub target: Option<Target>,
    /// Largest message that we take, bytes. Counts for receivers; senders may say it all the same.
    pub max_message_size: Option<u64>,
    /// What we can do besides.
    pub offered_capabilities: Vec<Symbol>,
    /// What we would like.
    pub desired_capabilities: Vec<Symbol>,
    /// Anything else.
    pub properties: Fields,
}

impl Terms {
    /// A link that sends to an address.
    pub fn sender(name: impl Into<String>, target: Target) -> Self {
        Self::of(name.into(), Role::Sender, Source::default(), target)
    }

    /// A link that receives from an address.
    pub fn receiver(name: impl Into<String>, source: Source) -> Self {
        Self::of(name.into(), Role::Receiver, source, Target::default())
    }

    fn of(name: String, role: Role, source: Source, target: Target) -> Self {
        Self {
            name,
            role,
            snd_settle_mode: SenderSettles::default(),
            rcv_settle_mode: ReceiverSettles::default(),
            source: Some(source),
            target: Some(target),
            max_message_size: None,
            offered_capabilities: Vec::new(),
            desired_capabilities: Vec::new(),
            properties: Fields::default(),
        }
    }

    /// The answer to a peer's attach that grants what it asks for: the same name and ends, seen from the other side.
    pub fn answer(attach: &Attach) -> Self {
        Self {
            name: attach.name.clone(),
            role: attach.role.opposite(),
            snd_settle_mode: attach.snd_settle_mode,
            rcv_settle_mode: attach.rcv_settle_mode,
            source: attach.source.clone(),
            target: attach.target.clone(),
            max_message_size: None,
            offered_capabilities: Vec::new(),
            desired_capabilities: Vec::new(),
            properties: Fields::default(),
        }
    }
}

/// Why something cannot be begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The peer takes no more sessions, or we do not.
    #[error("no more sessions fit on the connection")]
    Sessions,
    /// The peer takes no more links, or we do not.
    #[error("no more links fit on the connection")]
    Links,
    /// The session, or the connection, has ended or is about to.
    #[error("has ended")]
    Ended,
    /// The session has a link of this name and role.
    #[error("a link of this name is there already")]
    Name,
}

/// An error with one of the specification's conditions.
pub(crate) fn error(condition: &'static str, description: &str) -> Error {
    Error::new(condition, description)
}
