//! A device: how it listens, its session, and what waits in the session's queue.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::downlink::Downlink;
use crate::event::Placed;
use crate::radio::{Class, DataRate};

/// A device as it is set up.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceSetup {
    /// Unique in the application: 2 to 36 of `a-z`, `0-9`, `-`.
    pub device_id: String,
    /// When it listens.
    #[serde(default)]
    pub class: Class,
    /// It has a session from the start.
    #[serde(default = "yes")]
    pub joined: bool,
    /// Of its second window, and of all that a class C device gets unasked. The Things Network has DR3 in EU868,
    /// LoRaWAN DR0.
    #[serde(default = "rx2")]
    pub rx2_data_rate: DataRate,
    /// Its next uplink acknowledges what asks for it.
    #[serde(default = "yes")]
    pub acknowledges: bool,
    /// What its formatter makes of any object; none: it has no formatter, and an object becomes no bytes.
    #[serde(default)]
    pub formatter: Option<Encoded>,
}

/// What a formatter makes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encoded {
    /// Where the caller chose none.
    pub f_port: u32,
    /// Base64.
    pub frm_payload: String,
}

const fn yes() -> bool {
    true
}

const fn rx2() -> DataRate {
    DataRate::DR3
}

impl DeviceSetup {
    /// Class A with a session, acknowledging.
    pub fn new(device_id: &str) -> Self {
        Self {
            device_id: device_id.to_owned(),
            class: Class::A,
            joined: true,
            rx2_data_rate: rx2(),
            acknowledges: true,
            formatter: None,
        }
    }
}

/// A device as it stands.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) dev_eui: u64,
    pub(crate) join_eui: u64,
    pub(crate) class: Class,
    pub(crate) rx2_data_rate: DataRate,
    pub(crate) acknowledges: bool,
    /// Port and bytes.
    pub(crate) formatter: Option<(u32, Vec<u8>)>,
    pub(crate) session: Option<Session>,
}

/// What lasts from one join to the next.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) key_id: String,
    pub(crate) dev_addr: u32,
    /// Given to what was queued last; the first gets 1.
    pub(crate) last_f_cnt_down: u32,
    /// None: no uplink yet.
    pub(crate) last_f_cnt_up: Option<u32>,
    /// In the order in which they go.
    pub(crate) queue: VecDeque<Queued>,
    /// A confirmed one that was transmitted and that the next uplink answers for.
    pub(crate) unanswered: Option<Queued>,
    /// The device can have heard that one.
    pub(crate) was_radioed: bool,
    /// When, if no uplink came since.
    pub(crate) last_confirmed_ms: Option<i64>,
}

/// A downlink that waits.
#[derive(Clone, Debug)]
pub(crate) struct Queued {
    pub(crate) downlink: Downlink,
    pub(crate) f_cnt: u32,
}

impl Session {
    pub(crate) fn new(key_id: String, dev_addr: u32) -> Self {
        Self {
            key_id,
            dev_addr,
            last_f_cnt_down: 0,
            last_f_cnt_up: None,
            queue: VecDeque::new(),
            unanswered: None,
            was_radioed: false,
            last_confirmed_ms: None,
        }
    }

    /// At the end, with the next counter.
    pub(crate) fn append(&mut self, downlink: Downlink) {
        self.last_f_cnt_down = self.last_f_cnt_down.saturating_add(1);
        self.queue.push_back(Queued { downlink, f_cnt: self.last_f_cnt_down });
    }

    pub(crate) fn placed(&self, item: &Queued) -> Placed<'_> {
        Placed { session_key_id: &self.key_id, f_cnt: item.f_cnt }
    }
}

/// A device for those who look on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeviceView {
    /// Its name.
    pub device_id: String,
    /// When it listens.
    pub class: Class,
    /// None: it has no session.
    pub session_key_id: Option<String>,
    /// Given last.
    pub last_f_cnt_down: u32,
    /// Heard last.
    pub last_f_cnt_up: Option<u32>,
    /// A confirmed downlink went out and no uplink came since.
    pub awaits_ack: bool,
    /// As the server writes them.
    pub queue: Vec<serde_json::Value>,
}
