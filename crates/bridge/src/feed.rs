//! The recent past, for the page: last messages and devices. Bounded; nothing in the flow waits for it, and nothing
//! here is promised to anybody.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::device::plan::Way;
use crate::lane::DeviceKey;

/// Last messages shown.
const MESSAGES_MAX: usize = 50;
/// Bytes of a body shown.
const BODY_MAX: usize = 1024;
/// Devices listed: 1 000 × ~300 bytes. Beyond that new ones are counted, not listed.
const DEVICES_MAX: usize = 1000;

/// A message that was delivered.
#[derive(Clone, Debug, Serialize)]
pub struct SeenMessage {
    /// Network, application, device.
    pub from: String,
    /// Target and device id there.
    pub to: String,
    /// Its id in IoT Hub.
    pub message_id: String,
    /// Beginning of the body.
    pub body: String,
    /// Door to acceptance, milliseconds.
    pub waited_ms: u128,
}

/// A device that delivered something since the start.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SeenDevice {
    /// Target and device id there.
    pub to: String,
    /// Messages delivered since the start.
    pub delivered: u64,
    /// Door to acceptance of the last one, milliseconds.
    pub waited_ms: u128,
}

/// What the page shows.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Recent {
    /// Newest first.
    pub messages: VecDeque<SeenMessage>,
    /// By network, application, device.
    pub devices: BTreeMap<String, SeenDevice>,
    /// Messages delivered since the start.
    pub delivered: u64,
}

/// Collects the recent past.
#[derive(Debug, Default)]
pub struct Feed(Mutex<Recent>);

impl Feed {
    /// Notes a delivery.
    pub fn delivered(&self, owner: &DeviceKey, way: &Way, message_id: &str, body: &[u8], waited: Duration) {
        let (from, to) = (owner.to_string(), format!("{}/{}", way.target, way.id));
        let shown = String::from_utf8_lossy(&body[..body.len().min(BODY_MAX)]).into_owned();
        let waited_ms = waited.as_millis();
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.delivered += 1;
        let listed = recent.devices.len() < DEVICES_MAX || recent.devices.contains_key(&from);
        if listed {
            let device = recent.devices.entry(from.clone()).or_default();
            *device = SeenDevice { to: to.clone(), delivered: device.delivered + 1, waited_ms };
        }
        let message = SeenMessage { from, to, message_id: message_id.to_owned(), body: shown, waited_ms };
        recent.messages.push_front(message);
        recent.messages.truncate(MESSAGES_MAX);
    }

    /// A copy for the page.
    pub fn recent(&self) -> Recent {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
