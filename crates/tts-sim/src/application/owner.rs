//! Devices: made, joined, their queues thrown away.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::application::{Application, DEVICES_MAX};
use crate::device::{Device, DeviceSetup, Session};
use crate::downlink::bytes;
use crate::event::Event;
use crate::refusal::Refusal;

/// Characters of an id, by the API definition.
const ID_CHARS: std::ops::RangeInclusive<usize> = 3..=36;
/// Of all simulated devices; made up.
const JOIN_EUI: u64 = 0x7000_0000_0000_0000;

/// Letters and digits with single hyphens between them.
pub(crate) fn is_id(text: &str) -> bool {
    let parts =
        text.split('-').all(|part| !part.is_empty() && part.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9')));
    ID_CHARS.contains(&text.len()) && parts
}

impl Application {
    pub(super) fn add(&mut self, setup: DeviceSetup) -> Result<(), Refusal> {
        let refused = |code, name, text: &str| Err(Refusal::new(code, "tts-sim", name, text));
        if !is_id(&setup.device_id) {
            return refused(3, "device_id", "device_id: must be 3 to 36 of a-z, 0-9, and - between them");
        }
        if self.devices.contains_key(&setup.device_id) {
            return refused(6, "device_id", "device_id: there is such a device");
        }
        if self.devices.len() >= DEVICES_MAX {
            return refused(8, "devices", "devices: there are 10 000, remove some first");
        }
        let encoded = setup.formatter.as_ref();
        let formatter = encoded.map(|it| bytes(&it.frm_payload).map(|bytes| (it.f_port, bytes))).transpose()?;
        let session = setup.joined.then(|| self.session());
        let device = Device {
            dev_eui: 0x70B3_D57E_D000_0000 + self.devices.len() as u64,
            join_eui: JOIN_EUI,
            class: setup.class,
            rx2_data_rate: setup.rx2_data_rate,
            acknowledges: setup.acknowledges,
            formatter,
            session,
            id: setup.device_id,
        };
        self.devices.insert(device.id.clone(), device);
        Ok(())
    }

    fn session(&mut self) -> Session {
        let key_id = STANDARD.encode(self.ids.session_key());
        Session::new(key_id, self.ids.address())
    }

    /// What waited moves to the new session with new counters; what waited for an acknowledgement is forgotten.
    pub(super) fn join(&mut self, name: &str, fresh: &mut Vec<Event>) -> Result<(), Refusal> {
        self.device(name)?;
        let mut session = self.session();
        let id = self.ids.correlation("gs:uplink:", self.now_ms);
        let device = self.device(name)?;
        for item in device.session.take().map(|old| old.queue).unwrap_or_default() {
            session.append(item.downlink);
        }
        let key_id = session.key_id.clone();
        device.session = Some(session);
        fresh.push(self.envelope(name)?.joined(&key_id, &id));
        self.class_c(fresh);
        Ok(())
    }

    pub(super) fn invalidate(&mut self, name: &str, fresh: &mut Vec<Event>) -> Result<(), Refusal> {
        let id = self.ids.correlation("gs:uplink:", self.now_ms);
        let envelope = self.envelope(name)?;
        let Some(session) = &mut self.device(name)?.session else { return Err(Refusal::no_device_session()) };
        fresh.push(envelope.invalidated(session, &id));
        session.queue.clear();
        Ok(())
    }
}
