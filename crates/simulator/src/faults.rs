//! Trouble on request: what can be switched on, and the state that decides call by call.
//!
//! Promises: nothing is on unless asked for; a change takes effect with the next call. Pure: `now` comes in, a verdict
//! goes out; waiting, closing and hanging are done by whoever holds the socket.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

mod amqp; // moments of a link's life, and what happens then
mod counter; // when it is a call's turn
mod mqtt; // answers of MQTT that fail to come, or come otherwise

pub use amqp::{AllConnections, AmqpAction, AmqpFault, AmqpFaults, Gateway, LinkState};
pub use mqtt::{ConnackFault, MqttFaults, NoPuback};

use counter::Counter;

/// The longest delay that is taken, so that a slip of the keyboard does not hold connections for ever.
const DELAY_MAX: Duration = Duration::from_secs(600);
/// Devices whose polls are counted one by one, as many as operations are remembered; of more, all are counted anew. 20 000
/// entries of about 200 bytes are 4 MB.
const POLLING_DEVICES_MAX: usize = 20_000;

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

/// What happens to a call before its content is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weather {
    pub(crate) delay: Duration,
    pub(crate) outage: Option<Outage>,
}

/// The faults as they stand, with what is left of those that count.
#[derive(Default)]
pub(crate) struct Armed {
    faults: Faults,
    dps_throttle: Counter,
    dps_poll_throttle: Counter,
    /// By registration id, in lower case.
    device_polls: HashMap<String, Counter>,
    hub_throttle: Counter,
    lost_answers: Counter,
    amqp: amqp::Counters,
    mqtt: mqtt::Counters,
}

impl Armed {
    /// All counting starts anew.
    pub(crate) fn new(faults: Faults) -> Self {
        let (amqp, mqtt) = (amqp::Counters::new(&faults.amqp), mqtt::Counters::new(&faults.mqtt));
        Self { amqp, mqtt, faults, ..Self::default() }
    }

    pub(crate) fn faults(&self) -> &Faults {
        &self.faults
    }

    pub(crate) fn dps_weather(&self) -> Weather {
        Weather { delay: delay(self.faults.dps.delay_ms), outage: self.faults.dps.outage }
    }

    pub(crate) fn hub_weather(&self) -> Weather {
        Weather { delay: delay(self.faults.hub.delay_ms), outage: self.faults.hub.outage }
    }

    /// `Some` when this registration is to be throttled.
    pub(crate) fn throttles_register(&mut self, now_ms: i64) -> Option<Throttle> {
        self.faults.dps.throttle.filter(|throttle| self.dps_throttle.hits(throttle.when, 1, now_ms))
    }

    /// `Some` when this poll or look-up is to be throttled.
    pub(crate) fn throttles_poll(&mut self, now_ms: i64) -> Option<Throttle> {
        self.faults.dps.throttle_polls.filter(|throttle| self.dps_poll_throttle.hits(throttle.when, 1, now_ms))
    }

    /// `Some` with the seconds to wait, if any are to be told, when this device polls too often.
    pub(crate) fn throttles_device_poll(&mut self, id: &str, now_ms: i64) -> Option<Option<u64>> {
        let DevicePolls { above_per_10_s, retry_after_s } = self.faults.dps.device_polls?;
        if self.device_polls.len() >= POLLING_DEVICES_MAX {
            self.device_polls.clear();
        }
        let counter = self.device_polls.entry(id.to_ascii_lowercase()).or_default();
        (!counter.takes(f64::from(above_per_10_s), 10_000.0, 1.0, now_ms)).then_some(retry_after_s)
    }

    /// `Some` when this request with so many messages is to be throttled.
    pub(crate) fn throttles_telemetry(&mut self, messages: u32, now_ms: i64) -> Option<Throttle> {
        self.faults.hub.throttle.filter(|throttle| self.hub_throttle.hits(throttle.when, messages, now_ms))
    }

    pub(crate) fn loses_answer(&mut self, now_ms: i64) -> bool {
        self.faults.hub.lose_answer.is_some_and(|when| self.lost_answers.hits(when, 1, now_ms))
    }

    /// What is to happen at a moment of a link's life.
    pub(crate) fn amqp_action(&mut self, state: LinkState, device: Option<&str>, now_ms: i64) -> Option<AmqpAction> {
        self.amqp.action(&self.faults.amqp, (state, device), now_ms)
    }

    /// The code that a CONNECT is to be answered with.
    pub(crate) fn connack(&mut self, client: &str, now_ms: i64) -> Option<u8> {
        self.mqtt.connack(&self.faults.mqtt, client, now_ms)
    }

    /// Whether a message is to have no PUBACK.
    pub(crate) fn withholds_puback(&mut self, device: &str, now_ms: i64) -> bool {
        self.mqtt.withholds_puback(&self.faults.mqtt, device, now_ms)
    }

    pub(crate) fn accept_delay(&self) -> Duration {
        delay(self.faults.amqp.accept_delay_ms)
    }

    pub(crate) fn dps_refusal(&self, id: &str) -> Option<&DpsRefusal> {
        let named = |ids: &[String]| ids.is_empty() || ids.iter().any(|one| one.eq_ignore_ascii_case(id));
        self.faults.dps.refuse.iter().find(|refuse| named(&refuse.ids)).map(|refuse| &refuse.answer)
    }

    pub(crate) fn hub_refusal(&self, id: &str) -> Option<&HubRefusal> {
        let named = |ids: &[String]| ids.is_empty() || ids.iter().any(|one| one == id);
        self.faults.hub.refuse.iter().find(|refuse| named(&refuse.ids)).map(|refuse| &refuse.answer)
    }
}

/// A delay as asked for, within bounds.
pub(crate) fn delay(ms: u64) -> Duration {
    Duration::from_millis(ms).min(DELAY_MAX)
}

#[cfg(test)]
mod tests;
