//! The nine performatives (specification, part 2) and what they carry.
//!
//! Fields that nobody here uses (locales, unsettled maps of resumed links) are read over and written as null. All lists
//! are written whole, with nulls at their end: some peers read by position without looking at the length.

use bytes::Bytes;

use crate::value::{Fields, Symbol, Value};

/// What a frame says.
#[derive(Clone, Debug, PartialEq)]
pub enum Performative {
    /// The connection's parameters.
    Open(Open),
    /// A session begins.
    Begin(Begin),
    /// A link is attached.
    Attach(Box<Attach>),
    /// Windows and credit.
    Flow(Flow),
    /// A delivery, or a part of one.
    Transfer(Transfer),
    /// The state of deliveries.
    Disposition(Disposition),
    /// A link is detached.
    Detach(Detach),
    /// A session ends.
    End(End),
    /// The connection ends.
    Close(Close),
}

/// Opens a connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Open {
    /// Names the peer.
    pub container_id: String,
    /// The virtual host that is meant.
    pub hostname: Option<String>,
    /// Largest frame that the sender of this takes, bytes; at least 512.
    pub max_frame_size: u32,
    /// Highest channel number.
    pub channel_max: u16,
    /// The sender of this closes when it hears nothing for about this long, milliseconds.
    pub idle_time_out: Option<u32>,
    /// What it can do besides.
    pub offered_capabilities: Vec<Symbol>,
    /// What it would like.
    pub desired_capabilities: Vec<Symbol>,
    /// Anything else.
    pub properties: Fields,
}

impl Default for Open {
    /// The specification's defaults.
    fn default() -> Self {
        Self {
            container_id: String::new(),
            hostname: None,
            max_frame_size: u32::MAX,
            channel_max: u16::MAX,
            idle_time_out: None,
            offered_capabilities: Vec::new(),
            desired_capabilities: Vec::new(),
            properties: Fields::default(),
        }
    }
}

/// Begins a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Begin {
    /// In an answer: the channel of the peer's begin.
    pub remote_channel: Option<u16>,
    /// Id of the sender's first transfer.
    pub next_outgoing_id: u32,
    /// Transfers that it takes before it says more.
    pub incoming_window: u32,
    /// Transfers that it may have unsettled.
    pub outgoing_window: u32,
    /// Highest handle.
    pub handle_max: u32,
    /// What it can do besides.
    pub offered_capabilities: Vec<Symbol>,
    /// What it would like.
    pub desired_capabilities: Vec<Symbol>,
    /// Anything else.
    pub properties: Fields,
}

impl Default for Begin {
    fn default() -> Self {
        Self {
            remote_channel: None,
            next_outgoing_id: 0,
            incoming_window: 0,
            outgoing_window: 0,
            handle_max: u32::MAX,
            offered_capabilities: Vec::new(),
            desired_capabilities: Vec::new(),
            properties: Fields::default(),
        }
    }
}

/// Which end of a link its sender is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It sends deliveries.
    Sender,
    /// It takes them.
    Receiver,
}

impl Role {
    /// The other end.
    pub fn opposite(self) -> Self {
        match self {
            Self::Sender => Self::Receiver,
            Self::Receiver => Self::Sender,
        }
    }
}

/// Whether a sender settles before it sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SenderSettles {
    /// Never before (0).
    Unsettled,
    /// Always before (1).
    Settled,
    /// As each transfer says (2).
    #[default]
    Mixed,
}

/// Whether a receiver settles at once, or after the sender did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReceiverSettles {
    /// At once (0).
    #[default]
    First,
    /// After the sender (1).
    Second,
}

/// Attaches a link.
#[derive(Clone, Debug, PartialEq)]
pub struct Attach {
    /// Unique among the links of one direction between two containers.
    pub name: String,
    /// The sender's number for the link.
    pub handle: u32,
    /// Which end it is.
    pub role: Role,
    /// How deliveries are settled by their sender.
    pub snd_settle_mode: SenderSettles,
    /// How deliveries are settled by their receiver.
    pub rcv_settle_mode: ReceiverSettles,
    /// Where deliveries come from.
    pub source: Option<Source>,
    /// Where they go.
    pub target: Option<Target>,
    /// Of a sender: its first delivery count. Must be there when the role is sender.
    pub initial_delivery_count: Option<u32>,
    /// Largest message that its sender takes, bytes; none or zero: no bound.
    pub max_message_size: Option<u64>,
    /// What it can do besides.
    pub offered_capabilities: Vec<Symbol>,
    /// What it would like.
    pub desired_capabilities: Vec<Symbol>,
    /// Anything else.
    pub properties: Fields,
}

/// Where deliveries come from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    /// A path or URL.
    pub address: Option<String>,
    /// 0 none, 1 configuration, 2 with unsettled state.
    pub durable: u32,
    /// When it expires.
    pub expiry_policy: Option<Symbol>,
    /// Seconds after that.
    pub timeout: u32,
    /// Made for this link, with an address that the peer chooses.
    pub dynamic: bool,
    /// `move` or `copy`.
    pub distribution_mode: Option<Symbol>,
    /// Which deliveries are wanted: name to described value.
    pub filter: Fields,
    /// For deliveries that were not settled.
    pub default_outcome: Option<Box<DeliveryState>>,
    /// Outcomes that can be chosen.
    pub outcomes: Vec<Symbol>,
    /// What it can do.
    pub capabilities: Vec<Symbol>,
}

/// Where deliveries go.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Target {
    /// A path or URL.
    pub address: Option<String>,
    /// 0 none, 1 configuration, 2 with unsettled state.
    pub durable: u32,
    /// When it expires.
    pub expiry_policy: Option<Symbol>,
    /// Seconds after that.
    pub timeout: u32,
    /// Made for this link, with an address that the peer chooses.
    pub dynamic: bool,
    /// What it can do.
    pub capabilities: Vec<Symbol>,
}

impl Source {
    /// With this address and nothing else.
    pub fn at(address: impl Into<String>) -> Self {
        Self { address: Some(address.into()), ..Self::default() }
    }
}

impl Target {
    /// With this address and nothing else.
    pub fn at(address: impl Into<String>) -> Self {
        Self { address: Some(address.into()), ..Self::default() }
    }
}

/// The state of a session's windows and, with a handle, of a link's credit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flow {
    /// Id of the next transfer that the sender of this expects.
    pub next_incoming_id: Option<u32>,
    /// Transfers that it takes from there on.
    pub incoming_window: u32,
    /// Id of its own next transfer.
    pub next_outgoing_id: u32,
    /// Transfers that it may have unsettled.
    pub outgoing_window: u32,
    /// The link that is meant; none: the session alone.
    pub handle: Option<u32>,
    /// Deliveries that the link's sender has begun, as far as known.
    pub delivery_count: Option<u32>,
    /// Deliveries that the receiver takes from that count on.
    pub link_credit: Option<u32>,
    /// Deliveries that wait at the sender.
    pub available: Option<u32>,
    /// The sender is to use up its credit or give it back.
    pub drain: bool,
    /// An answer is wanted.
    pub echo: bool,
    /// Anything else.
    pub properties: Fields,
}

/// A delivery or a part of one; its payload follows in the frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transfer {
    /// The link.
    pub handle: u32,
    /// In the first frame of a delivery.
    pub delivery_id: Option<u32>,
    /// In the first frame of a delivery; at most 32 bytes.
    pub delivery_tag: Option<Bytes>,
    /// What the payload is; 0 is a message.
    pub message_format: Option<u32>,
    /// No disposition is wanted.
    pub settled: Option<bool>,
    /// More frames of this delivery follow.
    pub more: bool,
    /// Another way to settle than the link's.
    pub rcv_settle_mode: Option<ReceiverSettles>,
    /// What its sender thinks of it.
    pub state: Option<DeliveryState>,
    /// It was sent before.
    pub resume: bool,
    /// What came of this delivery is to be thrown away.
    pub aborted: bool,
    /// The answer need not hurry.
    pub batchable: bool,
}

/// The state of a range of deliveries.
#[derive(Clone, Debug, PartialEq)]
pub struct Disposition {
    /// Which end its sender is, of the links that are meant.
    pub role: Role,
    /// First delivery id.
    pub first: u32,
    /// Last delivery id; none: the first alone.
    pub last: Option<u32>,
    /// Nothing more is said of them.
    pub settled: bool,
    /// What became of them.
    pub state: Option<DeliveryState>,
    /// The answer need not hurry.
    pub batchable: bool,
}

/// Detaches a link.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detach {
    /// The link.
    pub handle: u32,
    /// For good.
    pub closed: bool,
    /// Why.
    pub error: Option<Error>,
}

/// Ends a session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct End {
    /// Why.
    pub error: Option<Error>,
}

/// Ends a connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Close {
    /// Why.
    pub error: Option<Error>,
}

/// What went wrong, as peers tell each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    /// A fixed word, such as `amqp:not-found`.
    pub condition: Symbol,
    /// For people, mostly.
    pub description: Option<String>,
    /// For programs.
    pub info: Fields,
}

impl Error {
    /// With a description.
    pub fn new(condition: impl Into<Symbol>, description: impl Into<String>) -> Self {
        Self { condition: condition.into(), description: Some(description.into()), info: Fields::default() }
    }
}

/// What became of a delivery (specification, part 3.4).
#[derive(Clone, Debug, PartialEq)]
pub enum DeliveryState {
    /// So much of it has arrived. Not an outcome.
    Received {
        /// Section.
        section_number: u32,
        /// Bytes of it.
        section_offset: u64,
    },
    /// Taken.
    Accepted,
    /// Refused: invalid.
    Rejected(Option<Error>),
    /// Not looked at; another receiver may have it.
    Released,
    /// Not looked at, and changed.
    Modified {
        /// Counts as a failed attempt.
        delivery_failed: bool,
        /// Not here again.
        undeliverable_here: bool,
        /// To be merged into the message.
        message_annotations: Fields,
    },
    /// Of a transaction, or unknown.
    Other(Value),
}
