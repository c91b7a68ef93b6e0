//! Trouble on AMQP connections: what can be asked for, at which moment of a link's life.
//!
//! Promises: faults are looked at in their order and each is counted by itself; the first that hits acts. A fault that
//! an earlier one kept from being looked at is not counted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::When;
use super::counter::Counter;

/// What can go wrong on AMQP connections of the hub.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AmqpFaults {
    /// In order; the first that hits acts.
    pub faults: Vec<AmqpFault>,
    /// To all connections that there are now, once; later ones are served.
    pub all: Option<AllConnections>,
    /// Tokens that one connection may hold; 1000 when absent.
    pub cbs_tokens_max: Option<u32>,
    /// Messages that a telemetry link may have on their way; 1000 when absent.
    pub link_credit: Option<u32>,
    /// Between recording a message and saying that it is accepted, milliseconds, at most ten minutes.
    pub accept_delay_ms: u64,
    /// Transfers that a session takes before it says more, for connections that begin later; 5000 when absent. With 1 a
    /// message of several frames stops after the first until that was read.
    pub session_window: Option<u32>,
    /// Largest frame, bytes, at least 512, for connections that begin later; 65536 when absent.
    pub frame_bytes_max: Option<u32>,
    /// How links of a device that is switched off go.
    pub gateway: Gateway,
}

/// What happens to all connections at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllConnections {
    /// The sockets are reset.
    Drop,
    /// Nothing is read and nothing written any more; the sockets stay open.
    HalfOpen,
}

/// Generations of the hub's gateways differ in how they tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gateway {
    /// Newer ones detach without closing and without a word.
    #[default]
    Gwv2,
    /// Older ones close the link.
    Gwv1,
}

/// One kind of trouble.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AmqpFault {
    /// Device ids (registration ids for provisioning); empty means all.
    #[serde(default)]
    pub devices: Vec<String>,
    /// The moment.
    pub state: LinkState,
    /// Which of those moments.
    pub when: When,
    /// What happens.
    pub action: AmqpAction,
}

/// A moment in the life of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// A telemetry link has nothing on its way: at once when the fault is set, after its attach, after each answer.
    Idle,
    /// The first frame of a message came, and not the last; a message of one frame counts before it is recorded.
    MidTransfer,
    /// A message is recorded, and its sender has not been told.
    Unsettled,
    /// A token was put and is not answered yet.
    Cbs,
    /// A link of a device was asked for and is not answered yet.
    Attach,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AmqpAction {
    /// The link is detached; without a condition without an error.
    Detach {
        /// Such as `amqp:link:detach-forced`.
        #[serde(default)]
        condition: Option<String>,
        /// Instead of the JSON that the hub writes.
        #[serde(default)]
        description: Option<String>,
        /// For good, as is usual.
        #[serde(default = "yes")]
        closed: bool,
        /// Goes with the error: text, numbers, truth values.
        #[serde(default)]
        info: BTreeMap<String, serde_json::Value>,
    },
    /// The message is refused.
    Reject {
        /// Such as `amqp:internal-error`.
        condition: String,
        /// Instead of the JSON that the hub writes.
        #[serde(default)]
        description: Option<String>,
        /// Goes with the error: text, numbers, truth values.
        #[serde(default)]
        info: BTreeMap<String, serde_json::Value>,
    },
    /// The message is given back.
    Release,
    /// The message is given back as one that failed.
    Modify,
    /// The session ends.
    End {
        /// Such as `amqp:session:window-violation`.
        #[serde(default)]
        condition: Option<String>,
        /// Instead of the JSON that the hub writes.
        #[serde(default)]
        description: Option<String>,
    },
    /// The connection is closed, in words.
    Close {
        /// Such as `amqp:connection:forced`.
        #[serde(default)]
        condition: Option<String>,
        /// Instead of the JSON that the hub writes.
        #[serde(default)]
        description: Option<String>,
    },
    /// The socket is reset.
    Drop,
    /// The connection goes silent and stays open.
    HalfOpen,
    /// The device's links are detached as if another connection had taken it.
    Steal,
    /// The device's token ends now.
    ExpireToken,
    /// The token is answered so.
    Cbs {
        /// As in HTTP.
        status: i32,
        /// For people.
        #[serde(default)]
        description: Option<String>,
    },
    /// No answer is given: to the message, the token or the attach.
    NoDisposition,
    /// The answer comes later; in the middle of a message nothing is read for so long.
    Delay {
        /// Milliseconds, at most ten minutes.
        ms: u64,
    },
}

fn yes() -> bool {
    true
}

impl AmqpAction {
    /// As the configuration spells it; counted under this name.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Detach { .. } => "detach",
            Self::Reject { .. } => "reject",
            Self::Release => "release",
            Self::Modify => "modify",
            Self::End { .. } => "end",
            Self::Close { .. } => "close",
            Self::Drop => "drop",
            Self::HalfOpen => "half_open",
            Self::Steal => "steal",
            Self::ExpireToken => "expire_token",
            Self::Cbs { .. } => "cbs",
            Self::NoDisposition => "no_disposition",
            Self::Delay { .. } => "delay",
        }
    }
}

/// Counters beside the faults, one each.
#[derive(Default)]
pub(super) struct Counters(Vec<Counter>);

impl Counters {
    pub(super) fn new(faults: &AmqpFaults) -> Self {
        Self(faults.faults.iter().map(|_| Counter::default()).collect())
    }

    /// What happens at this moment, if anything.
    pub(super) fn action(
        &mut self,
        faults: &AmqpFaults,
        (state, device): (LinkState, Option<&str>),
        now_ms: i64,
    ) -> Option<AmqpAction> {
        let named = |ids: &[String]| ids.is_empty() || device.is_some_and(|device| ids.iter().any(|id| id == device));
        let mut meant =
            faults.faults.iter().zip(&mut self.0).filter(|(one, _)| one.state == state && named(&one.devices));
        meant.find_map(|(fault, counter)| counter.hits(fault.when, 1, now_ms).then(|| fault.action.clone()))
    }
}
