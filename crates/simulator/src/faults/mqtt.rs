//! Trouble on MQTT connections: what can be asked for.
//!
//! Promises: faults of a list are looked at in their order and each is counted by itself; the first that hits acts.

use serde::{Deserialize, Serialize};

use super::When;
use super::amqp::AllConnections;
use super::counter::Counter;

/// What can go wrong on MQTT connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MqttFaults {
    /// To all connections that there are now, once; later ones are served.
    pub all: Option<AllConnections>,
    /// Connections that are refused whatever they bring.
    pub connack: Vec<ConnackFault>,
    /// Messages that are recorded and not answered; the connection stays.
    pub no_puback: Vec<NoPuback>,
}

/// A CONNECT is answered with another code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnackFault {
    /// Client ids; empty means all.
    #[serde(default)]
    pub devices: Vec<String>,
    /// Which of their CONNECTs.
    pub when: When,
    /// 1 to 5 mean something.
    pub code: u8,
}

/// A message gets no PUBACK.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoPuback {
    /// Device ids; empty means all.
    #[serde(default)]
    pub devices: Vec<String>,
    /// Which of their messages.
    pub when: When,
}

/// How often each was met.
#[derive(Default)]
pub(super) struct Counters {
    connack: Vec<Counter>,
    no_puback: Vec<Counter>,
}

impl Counters {
    pub(super) fn new(faults: &MqttFaults) -> Self {
        let fresh = |count: usize| (0..count).map(|_| Counter::default()).collect();
        Self { connack: fresh(faults.connack.len()), no_puback: fresh(faults.no_puback.len()) }
    }

    pub(super) fn connack(&mut self, faults: &MqttFaults, client: &str, now_ms: i64) -> Option<u8> {
        let hits = |(fault, counter): (&ConnackFault, &mut Counter)| {
            (is_meant(&fault.devices, client) && counter.hits(fault.when, 1, now_ms)).then_some(fault.code)
        };
        faults.connack.iter().zip(&mut self.connack).find_map(hits)
    }

    pub(super) fn withholds_puback(&mut self, faults: &MqttFaults, device: &str, now_ms: i64) -> bool {
        let mut each = faults.no_puback.iter().zip(&mut self.no_puback);
        each.any(|(fault, counter)| is_meant(&fault.devices, device) && counter.hits(fault.when, 1, now_ms))
    }
}

fn is_meant(devices: &[String], id: &str) -> bool {
    devices.is_empty() || devices.iter().any(|one| one == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_for_whom_they_name_and_as_often_as_they_say() {
        let faults: MqttFaults = serde_json::from_str(
            r#"{"connack":[{"devices":["d1"],"when":{"next":1},"code":3},{"when":{"every":2},"code":5}],
                "no_puback":[{"devices":["d1"],"when":{"next":1}}]}"#,
        )
        .unwrap();
        let mut counters = Counters::new(&faults);
        let codes = ["d1", "d1", "d2", "d2"].map(|id| counters.connack(&faults, id, 0));
        assert_eq!(codes, [Some(3), None, Some(5), None]);
        let withheld = ["d2", "d1", "d1"].map(|id| counters.withholds_puback(&faults, id, 0));
        assert_eq!(withheld, [false, true, false]);
        assert!(serde_json::from_str::<MqttFaults>(r#"{"pubacks":1}"#).is_err());
    }
}
