//! What a connection tells.

use bytes::Bytes;

use crate::performative::{Attach, Begin, DeliveryState, Error, Open};
use crate::sasl::Init;

/// A session. Never names another one, also after it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// A link. Never names another one, also after it is detached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// A delivery that we send. Never names another one on its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sent {
    pub(crate) link: LinkId,
    pub(crate) number: u64,
}

impl Sent {
    /// The link that it goes over.
    pub fn link(&self) -> LinkId {
        self.link
    }
}

/// A delivery that came in whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// For [`super::Connection::settle`].
    pub id: u32,
    /// As its sender named it.
    pub tag: Bytes,
    /// What the payload is; 0 is a message.
    pub message_format: u32,
    /// No answer is wanted.
    pub settled: bool,
    /// What its sender thinks of it.
    pub state: Option<DeliveryState>,
    /// The message, encoded.
    pub payload: Bytes,
}

/// What became of a delivery that we sent. Each delivery gets exactly one.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// The peer said so. With none it settled without a word.
    Settled(Option<DeliveryState>),
    /// Sent settled, and written out: no answer will come.
    Unanswered,
    /// Its link, session or connection ended first.
    Lost {
        /// A part of it was handed out to be written: it may have arrived.
        written: bool,
    },
    /// Taken back by [`super::Connection::cancel`] before it was written whole.
    Cancelled,
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// The peer closed it, with its words.
    ByPeer(Option<Error>),
    /// We closed it, and the peer answered or was not waited for any longer.
    ByUs,
    /// The peer broke the protocol; we told it so.
    Broken(Error),
    /// The peer said nothing for too long.
    Silent,
    /// It did not get as far as open in time.
    HandshakeTooLong,
    /// The peer took none of our mechanisms, or refused our credentials.
    NotAuthenticated(String),
    /// The transport ended without a close.
    Cut,
}

/// What happened. Events of a link come after its attach and before its end.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// At a server: a client says who it is. Answer with [`super::Connection::authenticate`]; nothing goes on before.
    Authenticating(Init),
    /// The peer's open. At a server ours is written with it.
    Opened(Box<Open>),
    /// A session stands: the answer to ours, or the peer's, which is answered already.
    Begun(SessionId, Box<Begin>),
    /// A session ended; with an error when the peer gave one. All its links ended before.
    SessionEnded(SessionId, Option<Error>),
    /// Our link stands. The peer may still detach it at once: that is how it refuses.
    Attached(LinkId, Box<Attach>),
    /// The peer wants a link: [`super::Connection::accept`] or [`super::Connection::refuse`] it.
    Attaching(SessionId, LinkId, Box<Attach>),
    /// At a sender: so many deliveries may go now, those that wait inside included.
    Credit(LinkId, u32),
    /// At a receiver: a delivery.
    Delivered(LinkId, Delivery),
    /// At a receiver: the sender has nothing more and has used up or given back all credit.
    Drained(LinkId),
    /// What became of a delivery of ours.
    Done(Sent, Fate),
    /// What the peer, which settles second, says of a delivery of ours: say the last word with
    /// [`super::Connection::conclude`]. Only when [`super::Options::agrees_with_second`] is off.
    Asked(Sent, DeliveryState),
    /// A link is detached, for good or not, by the peer or (without an error) after our own detach.
    Detached(LinkId, Detachment),
    /// The end. No more events follow, and nothing more is to be read; what is in the output is to be written.
    Ended(Ended),
}

/// How a link was detached.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detachment {
    /// For good.
    pub closed: bool,
    /// The peer's words.
    pub error: Option<Error>,
    /// We began it.
    pub by_us: bool,
}

/// A message to be sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outgoing {
    /// The message, encoded.
    pub payload: Bytes,
    /// What it is; 0 is a message.
    pub message_format: u32,
    /// No answer is wanted.
    pub settled: bool,
    /// A tag of at most 32 bytes; none: a number is given.
    pub tag: Option<Bytes>,
}

impl Outgoing {
    /// A message that is to be answered.
    pub fn message(payload: Bytes) -> Self {
        Self { payload, ..Self::default() }
    }
}
