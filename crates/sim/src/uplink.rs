//! What does a device say, and how does the network server pass it on? The judge's own words for it: nothing here comes
//! from the product.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Which message: drawn by the plan, carried in its payload, found again at the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct UplinkId(pub(crate) u32);

impl std::fmt::Display for UplinkId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "uplink {}", self.0)
    }
}

/// A device, as the network calls it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Device {
    pub(crate) application: String,
    pub(crate) device: String,
    /// Sixteen hexadecimal digits.
    pub(crate) dev_eui: String,
    /// What Azure is to call it.
    pub(crate) registration_id: String,
}

/// What kind of message it is, and so what must become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Telemetry.
    Ordinary,
    /// With this many bytes of decoded payload: more than IoT Hub takes.
    TooLarge,
    /// Neither port nor payload: of no use to anybody.
    MacOnly,
    /// An event that is kept and not sent.
    Event(&'static str),
    /// JSON of another kind.
    NotUnderstood,
    /// Names no device.
    NoIdentity,
}

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Uplink {
    pub(crate) id: UplinkId,
    /// In the plan's list.
    pub(crate) device: usize,
    pub(crate) kind: Kind,
    pub(crate) port: u8,
    pub(crate) counter: u32,
    /// Of the session: a device that joined anew begins at 0 under another key.
    pub(crate) session: u32,
}

/// More than the 256 KiB of a message to IoT Hub, less than the door's 1 MiB.
const TOO_LARGE_CHARS: usize = 300_000;

impl Uplink {
    /// The payload as the network writes it; it names the message.
    pub(crate) fn payload(&self) -> String {
        STANDARD.encode(self.id.0.to_be_bytes())
    }

    /// Which message a payload names.
    pub(crate) fn named_by(payload: &str) -> Option<UplinkId> {
        let bytes = STANDARD.decode(payload).ok()?;
        Some(UplinkId(u32::from_be_bytes(bytes.try_into().ok()?)))
    }

    /// Which message a body names that was posted.
    pub(crate) fn named_in(body: &[u8]) -> Option<UplinkId> {
        let body: Value = serde_json::from_slice(body).ok()?;
        if let [id] = body.as_array().map(Vec::as_slice).unwrap_or_default() {
            return id.as_u64().and_then(|id| u32::try_from(id).ok()).map(UplinkId);
        }
        Self::named_by(body["uplink_message"]["frm_payload"].as_str()?)
    }

    /// As The Things Stack posts it.
    pub(crate) fn body(&self, device: &Device, received_ms: i64) -> Vec<u8> {
        let received = jiff::Timestamp::from_millisecond(received_ms).expect("a time of this century").to_string();
        let mut body = json!({
            "end_device_ids": {
                "device_id": device.device,
                "application_ids": { "application_id": device.application },
                "dev_eui": device.dev_eui,
            },
            "correlation_ids": [format!("gs:uplink:{:08}", self.id.0)],
            "received_at": received,
        });
        match self.kind {
            Kind::Event(name) => body[name] = json!({ "correlation_ids": [format!("as:{:08}", self.id.0)] }),
            Kind::NotUnderstood => return format!("[{}]", self.id.0).into_bytes(),
            Kind::NoIdentity => {
                body["end_device_ids"] = json!({ "dev_eui": device.dev_eui });
                body["uplink_message"] = self.message(&received);
            }
            _ => body["uplink_message"] = self.message(&received),
        }
        serde_json::to_vec(&body).expect("it is JSON")
    }

    fn message(&self, received: &str) -> Value {
        let mut message = json!({
            "session_key_id": format!("AX{:06}", self.session),
            "f_cnt": self.counter,
            "received_at": received,
            "settings": { "data_rate": { "lora": { "bandwidth": 125_000, "spreading_factor": 7 } } },
        });
        if self.kind == Kind::MacOnly {
            return message;
        }
        message["f_port"] = self.port.into();
        message["frm_payload"] = self.payload().into();
        message["decoded_payload"] = json!({ "id": self.id.0, "temperature": f64::from(self.id.0 % 400) / 10.0 });
        if self.kind == Kind::TooLarge {
            message["decoded_payload"]["much"] = "x".repeat(TOO_LARGE_CHARS).into();
        }
        message
    }
}

/// What a hub has, as far as the judge reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Telemetry {
    pub(crate) id: UplinkId,
    pub(crate) application: String,
    pub(crate) device: String,
    pub(crate) port: u64,
    pub(crate) counter: u64,
}

impl Telemetry {
    /// # Errors
    /// What is missing, in words.
    pub(crate) fn read(body: &[u8]) -> Result<Self, String> {
        let body: Value = serde_json::from_slice(body).map_err(|e| format!("telemetry that is not JSON: {e}"))?;
        let text = |name: &str| body[name].as_str().map(str::to_owned).ok_or_else(|| format!("no {name} in {body}"));
        let number = |name: &str| body[name].as_u64().ok_or_else(|| format!("no {name} in {body}"));
        let id = Uplink::named_by(&text("PayloadRaw")?).ok_or_else(|| format!("a payload of nobody's in {body}"))?;
        if body["id"].as_u64() != Some(id.0.into()) {
            return Err(format!("the decoded payload is not that of {id}: {body}"));
        }
        Ok(Self {
            id,
            application: text("ApplicationID")?,
            device: text("DeviceID")?,
            port: number("Port")?,
            counter: number("Counter")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_names_its_message() {
        let uplink = Uplink { id: UplinkId(77), device: 0, kind: Kind::Ordinary, port: 1, counter: 2, session: 0 };
        assert_eq!(Uplink::named_by(&uplink.payload()), Some(UplinkId(77)));
        assert_eq!(Uplink::named_by("AQAI"), None);
        let body = br#"{"PayloadRaw":"AAAATQ==","id":77,"ApplicationID":"a","DeviceID":"d","Port":1,"Counter":2}"#;
        assert_eq!(Telemetry::read(body).unwrap().id, UplinkId(77));
        assert!(Telemetry::read(&body[..20]).is_err());
    }
}
