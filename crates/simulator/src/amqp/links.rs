//! What a connection's links are for, and what is known of each.

use amqp::connection::{LinkId, SessionId};

use super::address::Node;
use super::handed::Handed;
use super::pairs::Half;
use super::peer::Peer;
use super::readers::Reader;
use crate::cloud::Sender;
use crate::directory::Claim;
use crate::endpoint::Endpoint;
use crate::faults::AmqpAction;

/// A link that was granted.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) session: SessionId,
    pub(super) kind: Kind,
}

/// What it is for.
#[derive(Debug)]
pub(super) enum Kind {
    /// Requests come in.
    Requests(Service),
    /// Answers to them go out.
    Answers(Answers),
    /// A device sends.
    Telemetry(Box<Telemetry>),
    /// A device listens.
    DeviceBound(Box<DeviceBound>),
    /// The service side sends to devices. So many messages wait for our word.
    Commands { unanswered: u32 },
    /// The service side waits for feedback.
    Feedback(Box<Handed>),
    /// The service side waits for files, of which there are never any.
    FileNotifications,
    /// A device is asked and answers, on two of them.
    Half(Box<Half>),
    /// Somebody reads events.
    Reader(Box<Reading>),
}

/// A device that listens.
#[derive(Debug)]
pub(super) struct DeviceBound {
    pub(super) endpoint: Endpoint,
    pub(super) claim: Claim,
    pub(super) handed: Handed,
}

/// Who answers requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Cbs,
    Registration,
    Management,
}

/// Where answers go out.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) service: Service,
    /// What requests call it (`reply-to`).
    pub(super) address: Option<String>,
    pub(super) settled: bool,
}

/// A device that sends.
#[derive(Debug)]
pub(super) struct Telemetry {
    pub(super) endpoint: Endpoint,
    pub(super) claim: Claim,
    pub(super) sender: Sender,
    /// Messages that wait for our word.
    pub(super) unanswered: u32,
    /// The message that is under way was held against the faults already…
    pub(super) is_tried: bool,
    /// …and this is to happen when it is here.
    pub(super) planned: Option<AmqpAction>,
}

/// Somebody who reads events.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) reader: Reader,
    /// Words of the path that a token has to open.
    pub(super) path: Vec<String>,
    pub(super) settled: bool,
    /// There was credit.
    pub(super) is_open: bool,
}

impl Service {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Cbs => "cbs",
            Self::Registration => "registration",
            Self::Management => "management",
        }
    }
}

impl Kind {
    /// Counted under this name.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Requests(service) | Self::Answers(Answers { service, .. }) => service.word(),
            Self::Telemetry(_) => "telemetry",
            Self::DeviceBound(_) => "devicebound",
            Self::Commands { .. } => "commands",
            Self::Feedback(_) => "feedback",
            Self::FileNotifications => "file_notifications",
            Self::Half(half) => half.purpose.word(),
            Self::Reader(_) => "reader",
        }
    }

    /// Whom it belongs to, and since when.
    pub(super) fn owner(&self) -> Option<(&Endpoint, Claim)> {
        match self {
            Self::Telemetry(its) => Some((&its.endpoint, its.claim)),
            Self::Half(half) => Some((&half.endpoint, half.claim)),
            Self::DeviceBound(its) => Some((&its.endpoint, its.claim)),
            _ => None,
        }
    }

    /// It is for the service side: the words of the path that a token has to open.
    pub(super) fn service_path(&self) -> Option<&'static [&'static str]> {
        match self {
            Self::Commands { .. } => Node::Commands.service_path(),
            Self::Feedback(_) => Node::Feedback.service_path(),
            Self::FileNotifications => Node::FileNotifications.service_path(),
            _ => None,
        }
    }
}

/// Looking links up. A connection has a few thousand at most, and what looks at all of them is rare.
impl Peer {
    pub(super) fn telemetry(&mut self, link: LinkId) -> Option<&mut Telemetry> {
        match &mut self.links.get_mut(&link)?.kind {
            Kind::Telemetry(its) => Some(its),
            _ => None,
        }
    }

    pub(super) fn telemetry_links(&self) -> Vec<LinkId> {
        let is_one = |link: &Link| matches!(link.kind, Kind::Telemetry(_));
        self.links.iter().filter(|(_, link)| is_one(link)).map(|(id, _)| *id).collect()
    }

    /// The links of an endpoint that are older than a claim; all of them without one.
    pub(super) fn links_of(&self, endpoint: &Endpoint, before: Option<Claim>) -> Vec<LinkId> {
        let is_its = |kind: &Kind| {
            kind.owner().is_some_and(|(owner, claim)| owner == endpoint && before.is_none_or(|before| claim < before))
        };
        self.links.iter().filter(|(_, link)| is_its(&link.kind)).map(|(id, _)| *id).collect()
    }

    /// Where the answers of a service go; by name where requests name it.
    pub(super) fn answers(&self, service: Service, reply_to: Option<&str>) -> Option<(LinkId, bool)> {
        let all = self.links.iter().filter_map(|(id, link)| match &link.kind {
            Kind::Answers(its) if its.service == service => Some((*id, its)),
            _ => None,
        });
        let named = |its: &Answers| reply_to.is_some() && its.address.as_deref() == reply_to;
        let (id, its) = all.max_by_key(|(id, its)| (named(its), *id))?;
        Some((id, its.settled))
    }

    pub(super) fn requests(&self, service: Service) -> Option<LinkId> {
        let is_its = |link: &Link| matches!(link.kind, Kind::Requests(its) if its == service);
        self.links.iter().find(|(_, link)| is_its(link)).map(|(id, _)| *id)
    }
}
