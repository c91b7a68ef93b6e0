//! Trouble on request: what can be switched on, as users write it.
//!
//! Promises: nothing is on unless asked for. Decides nothing: that is `armed`.

use serde::{Deserialize, Serialize};

mod amqp; // moments of a link's life, and what happens then
mod armed; // what is left of those that count, and what they say
mod counter; // when it is a call's turn
mod mqtt; // answers of MQTT that fail to come, or come otherwise

pub use amqp::{AllConnections, AmqpAction, AmqpFault, AmqpFaults, Gateway, LinkState};
pub use mqtt::{ConnackFault, MqttFaults, NoPuback};

pub(crate) use armed::{Armed, Weather, delay};

/// Everything that can be made to go wrong. The default is: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Of the provisioning service.
    pub dps: DpsFaults,
    /// Of the hub.
    pub hub: HubFaults,
    /// Of AMQP connections.
    pub amqp: AmqpFaults,
    /// Of MQTT connections.
    pub mqtt: MqttFaults,
}

/// What can go wrong at the provisioning service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DpsFaults {
    /// 429 on `register`.
    pub throttle: Option<Throttle>,
    /// 429 on polls and status look-ups; the real service counts them apart from registrations.
    pub throttle_polls: Option<Throttle>,
    /// 429 on polls of a device that comes too often; the real service counts each device by itself.
    pub device_polls: Option<DevicePolls>,
    /// Refusals of some or all devices. The first that matches counts.
    pub refuse: Vec<DpsRefuse>,
    /// Before every answer, milliseconds, at most ten minutes.
    pub delay_ms: u64,
    /// No service at all.
    pub outage: Option<Outage>,
}

/// What can go wrong at the hub.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HubFaults {
    /// 429 on telemetry.
    pub throttle: Option<Throttle>,
    /// Refusals of some or all devices. The first that matches counts.
    pub refuse: Vec<HubRefuse>,
    /// Before every answer, milliseconds, at most ten minutes.
    pub delay_ms: u64,
    /// No service at all.
    pub outage: Option<Outage>,
    /// The message is taken and recorded, then the connection is closed without an answer.
    pub lose_answer: Option<When>,
}

/// Which calls are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Every call.
    Always,
    /// The next so many, then none.
    Next(u64),
    /// Each so-manieth: `3` means the third, the sixth, and so on.
    Every(u64),
    /// What goes beyond so many in a minute (token bucket; a full minute's worth may come at once).
    AbovePerMinute(u32),
    /// What goes beyond so many in a second (token bucket; a full second's worth may come at once).
    AbovePerSecond(u32),
}

/// 429 for some calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Throttle {
    /// Which calls.
    pub when: When,
    /// The `Retry-After` that goes with it, seconds; none when absent, as the hub does.
    #[serde(default)]
    pub retry_after_s: Option<u64>,
}

/// 429 for polls of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevicePolls {
    /// Beyond so many in ten seconds (token bucket; all of them may come at once). The real service allows 5.
    pub above_per_10_s: u32,
    /// The `Retry-After` that goes with it, seconds; none when absent.
    #[serde(default)]
    pub retry_after_s: Option<u64>,
}

/// How a service is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outage {
    /// 503 on every call.
    Unavailable,
    /// The connection is closed instead of an answer.
    Close,
    /// The connection stays open and silent.
    Hang,
}

/// Devices that provisioning refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DpsRefuse {
    /// Registration ids; empty means all.
    #[serde(default)]
    pub ids: Vec<String>,
    /// What they are told.
    pub answer: DpsRefusal,
}

/// How provisioning refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DpsRefusal {
    /// 401, code 401002: credentials that are not good.
    Unauthorized,
    /// 401, code 401000: no enrolment for this id and key, or not approved yet.
    NotEnrolled,
    /// 404, code 404201.
    NotFound,
    /// 200 with status `disabled`.
    Disabled,
    /// 200 with status `failed`.
    Failed {
        /// For instance 400209.
        error_code: u32,
        /// For people.
        message: String,
    },
    /// Any other status and code.
    Status {
        /// HTTP status, 400 to 599.
        status: u16,
        /// The number in the body.
        error_code: u32,
    },
}

/// Devices that the hub refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubRefuse {
    /// Device ids; empty means all.
    #[serde(default)]
    pub ids: Vec<String>,
    /// What they are told.
    pub answer: HubRefusal,
}

/// How the hub refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HubRefusal {
    /// 401, code 401003.
    Unauthorized,
    /// 404, code 404001.
    NotFound,
    /// 403, code 403012.
    Disabled,
    /// 403, code 403002: the day's messages are used up.
    Quota,
    /// 429, code 429001.
    Throttled,
    /// 429, code 429002: more than can be held back; the device is let go besides.
    BacklogFull,
    /// 503, code 503001.
    Unavailable,
    /// Any other.
    Status {
        /// HTTP status, 400 to 599.
        status: u16,
        /// The number of the code.
        error_code: u32,
        /// The word of the code, as it stands in the body.
        name: String,
    },
}

#[cfg(test)]
mod tests;
