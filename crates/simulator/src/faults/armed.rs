//! The faults as they stand: what is to happen, call by call.
//!
//! Promises: a change takes effect with the next call. Pure: `now` comes in, a verdict goes out; waiting, closing and
//! hanging are done by whoever holds the socket.

use std::collections::HashMap;
use std::time::Duration;

use super::counter::Counter;
use super::{AmqpAction, DevicePolls, DpsRefusal, Faults, HubRefusal, LinkState, Outage, Throttle, amqp, mqtt};

/// The longest delay that is taken, so that a slip of the keyboard does not hold connections for ever.
const DELAY_MAX: Duration = Duration::from_secs(600);
/// Devices whose polls are counted one by one, as many as operations are remembered; of more, all are counted anew. 20 000
/// entries of about 200 bytes are 4 MB.
const POLLING_DEVICES_MAX: usize = 20_000;

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
