//! Trouble on request, each a given number of times, for one device or for all. What was armed first strikes first.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::event::EventKind;

/// Faults that are armed at once; a test arms some, a judge some dozens.
pub const FAULTS_MAX: usize = 256;
/// An event is not held back for longer; a day is more than any queue of the Stack waits.
pub const DELAY_MS_MAX: i64 = 24 * 3_600_000;

/// One trouble.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// None: whichever device comes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// How often it strikes.
    #[serde(default = "once")]
    pub times: u32,
    /// What happens.
    pub trouble: Trouble,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Trouble {
    /// A push or replace is answered with this status.
    Answer {
        /// 300 to 599.
        status: u16,
        /// For `Retry-After` and `x-rate-limit-retry`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_s: Option<u32>,
        /// It was carried out all the same: the answer was lost between.
        #[serde(default)]
        taken: bool,
    },
    /// An event takes another way than the straight one.
    Event {
        /// None: whichever comes first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kind: Option<EventKind>,
        /// How it fares.
        fate: Fate,
    },
    /// What is next to be transmitted fails instead: `downlink_failed`. It is gone, but for a confirmed one that a
    /// gateway had taken (`transmission`): the server still waits for its acknowledgement, misses it, and sends it
    /// again.
    Fail(Failure),
    /// The device's acknowledgement does not arrive; its uplink does.
    Nack,
}

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Never posted.
    Lost,
    /// Posted twice.
    Doubled,
    /// Posted so many milliseconds later.
    Delayed(i64),
}

/// An error of a transmission; by default what a gateway that was asked too late says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Failure {
    /// What to decide by.
    pub name: String,
    /// The package.
    pub namespace: String,
    /// The sentence.
    pub message_format: String,
    /// What goes into it.
    pub attributes: Map<String, Value>,
    /// gRPC's.
    pub code: u16,
}

impl Default for Failure {
    fn default() -> Self {
        let mut attributes = Map::new();
        attributes.insert("result".to_owned(), "TOO_LATE".into());
        Self {
            name: TRANSMISSION.to_owned(),
            namespace: "pkg/networkserver".to_owned(),
            message_format: "downlink transmission failed with result `{result}`".to_owned(),
            attributes,
            code: 2,
        }
    }
}

/// The one failure that comes after a gateway took it.
const TRANSMISSION: &str = "transmission";

impl Failure {
    /// A gateway had taken it: the server counts it as under way.
    pub(crate) fn is_after_scheduling(&self) -> bool {
        self.name == TRANSMISSION
    }
}

/// Why a fault was not armed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unarmed {
    /// There are [`FAULTS_MAX`].
    #[error("faults: {FAULTS_MAX} are armed, clear some first")]
    TooMany,
    /// A value that means nothing.
    #[error("{0}")]
    Value(&'static str),
}

const fn once() -> u32 {
    1
}

/// Those that have not struck yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Armed(Vec<Fault>);

impl Armed {
    pub(crate) fn arm(&mut self, fault: Fault) -> Result<(), Unarmed> {
        match fault.trouble {
            _ if self.0.len() >= FAULTS_MAX => return Err(Unarmed::TooMany),
            _ if fault.times == 0 => return Err(Unarmed::Value("times: must be at least 1")),
            Trouble::Answer { status, .. } if !(300..=599).contains(&status) => {
                return Err(Unarmed::Value("trouble.answer.status: must be 300 to 599"));
            }
            Trouble::Event { fate: Fate::Delayed(ms), .. } if !(1..=DELAY_MS_MAX).contains(&ms) => {
                return Err(Unarmed::Value("trouble.event.fate.delayed: must be 1 ms to a day"));
            }
            _ => self.0.push(fault),
        }
        Ok(())
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn list(&self) -> &[Fault] {
        &self.0
    }

    /// Takes one strike of the first fault that `picks` something for this device.
    pub(crate) fn strike<T>(&mut self, device: &str, picks: impl Fn(&Trouble) -> Option<T>) -> Option<T> {
        let (at, found) = self.0.iter().enumerate().find_map(|(at, fault)| {
            let is_meant = fault.device.as_deref().is_none_or(|meant| meant == device);
            is_meant.then(|| picks(&fault.trouble)).flatten().map(|found| (at, found))
        })?;
        self.0[at].times -= 1;
        if self.0[at].times == 0 {
            self.0.remove(at);
        }
        Some(found)
    }
}
