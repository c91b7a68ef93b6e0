//! Made-up uplinks that look like real ones. Pure: the same device, counter and time give the same bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use queue::UnixMillis;
use serde_json::json;
use sha2::{Digest, Sha256};

/// Whose words are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// The Things Stack.
    TtsV3,
    /// The Things Network V2.
    TtnV2,
}

impl Style {
    /// `tts` or `ttn-v2`.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "tts" => Some(Self::TtsV3),
            "ttn-v2" => Some(Self::TtnV2),
            _ => None,
        }
    }

    /// Where a webhook takes such bodies.
    pub fn path(self) -> &'static str {
        match self {
            Self::TtsV3 => "/tts",
            Self::TtnV2 => "/ttn/v2",
        }
    }
}

/// A maker of uplinks.
#[derive(Clone, Debug)]
pub struct Uplinks {
    /// Whose words are used.
    pub style: Style,
    /// The application of all of them.
    pub application: String,
}

/// The name of a device, counted from 0: `dev-0001`.
pub fn device_id(index: u32) -> String {
    format!("dev-{:04}", index + 1)
}

/// A reading of a small weather sensor, in the order and scale of its payload.
struct Reading {
    temperature: i16,
    humidity: u8,
    battery: u16,
}

impl Reading {
    fn of(device: &str, counter: u32) -> Self {
        let [a, b, ..] = digest(&[device]);
        let wave = i16::try_from(counter % 96).unwrap_or_default();
        Self {
            temperature: 1_500 + i16::from(a) * 3 + (48 - (wave - 48).abs()) * 12,
            humidity: 30 + b % 40,
            battery: 3_650 - u16::try_from(counter / 64 % 400).unwrap_or_default(),
        }
    }

    fn payload(&self) -> String {
        let [t1, t2] = self.temperature.to_be_bytes();
        let [b1, b2] = self.battery.to_be_bytes();
        BASE64.encode([0x01, t1, t2, self.humidity, b1, b2])
    }

    fn decoded(&self) -> serde_json::Value {
        json!({
            "temperature": f64::from(self.temperature) / 100.0,
            "humidity": self.humidity,
            "battery": f64::from(self.battery) / 1000.0,
        })
    }
}

impl Uplinks {
    /// The body of `device`'s uplink number `counter`, received at `at`.
    pub fn body(&self, device: &str, counter: u32, at: UnixMillis) -> Vec<u8> {
        let body = match self.style {
            Style::TtsV3 => self.v3(device, counter, at),
            Style::TtnV2 => self.v2(device, counter, at),
        };
        body.to_string().into_bytes()
    }

    /// The EUI is made from application and device: two applications never share one.
    fn dev_eui(&self, device: &str) -> String {
        let [a, b, c, ..] = digest(&[&self.application, device]);
        format!("70B3D57ED0{a:02X}{b:02X}{c:02X}")
    }

    fn v3(&self, device: &str, counter: u32, at: UnixMillis) -> serde_json::Value {
        let reading = Reading::of(device, counter);
        let session = digest(&[&self.application, device, "session"]);
        let message = hex(&digest(&[&self.application, device, &counter.to_string()])[..13]).to_uppercase();
        let heard = |gateway: &str, rssi: i32, snr: f64| {
            json!({
                "gateway_ids": { "gateway_id": gateway, "eui": "B827EBFFFE000000" },
                "time": moment(at - 63),
                "timestamp": counter.wrapping_mul(60_000_000),
                "rssi": rssi, "channel_rssi": rssi, "snr": snr,
                "location": { "latitude": 52.3731, "longitude": 4.8926, "altitude": 12, "source": "SOURCE_REGISTRY" },
                "uplink_token": BASE64.encode(message.as_bytes()),
                "received_at": moment(at - 60),
            })
        };
        json!({
            "end_device_ids": {
                "device_id": device,
                "application_ids": { "application_id": self.application },
                "dev_eui": self.dev_eui(device),
                "join_eui": "70B3D57ED0000000",
                "dev_addr": format!("260B{}", hex(&session[..2]).to_uppercase()),
            },
            "correlation_ids": [format!("as:up:{message}"), format!("gs:uplink:{message}")],
            "received_at": moment(at),
            "uplink_message": {
                "session_key_id": BASE64.encode(&session[..16]),
                "f_port": 2,
                "f_cnt": counter,
                "frm_payload": reading.payload(),
                "decoded_payload": reading.decoded(),
                "rx_metadata": [heard("gateway-roof", -71, 9.2), heard("gateway-canal", -108, -2.5)],
                "settings": {
                    "data_rate": { "lora": { "bandwidth": 125_000, "spreading_factor": 7, "coding_rate": "4/5" } },
                    "frequency": "868100000",
                    "timestamp": counter.wrapping_mul(60_000_000),
                    "time": moment(at - 63),
                },
                "received_at": moment(at - 40),
                "consumed_airtime": "0.051456s",
                "network_ids": { "net_id": "000013", "tenant_id": "demo", "cluster_id": "eu1" },
            },
        })
    }

    fn v2(&self, device: &str, counter: u32, at: UnixMillis) -> serde_json::Value {
        let reading = Reading::of(device, counter);
        json!({
            "app_id": self.application,
            "dev_id": device,
            "hardware_serial": self.dev_eui(device),
            "port": 2,
            "counter": counter,
            "payload_raw": reading.payload(),
            "payload_fields": reading.decoded(),
            "metadata": {
                "time": moment(at - 40),
                "frequency": 868.1,
                "modulation": "LORA",
                "data_rate": "SF7BW125",
                "coding_rate": "4/5",
                "gateways": [{
                    "gtw_id": "eui-b827ebfffe000000", "timestamp": counter.wrapping_mul(60_000_000),
                    "time": moment(at - 63), "channel": 0, "rssi": -71, "snr": 9.2, "rf_chain": 0,
                    "latitude": 52.3731, "longitude": 4.8926, "altitude": 12,
                }],
            },
        })
    }
}

fn digest(parts: &[&str]) -> [u8; 32] {
    Sha256::digest(parts.join("\n")).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 3339 with the nine digits that the network writes.
fn moment(at: UnixMillis) -> String {
    let at = jiff::Timestamp::from_millisecond(at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{at:.9}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: UnixMillis = 1_790_000_000_123;

    fn uplinks(style: Style) -> Uplinks {
        Uplinks { style, application: "demo".to_owned() }
    }

    #[test]
    fn the_door_reads_what_is_made() {
        for (style, format) in [(Style::TtsV3, "tts-v3"), (Style::TtnV2, "ttn-v2")] {
            let body = uplinks(style).body("dev-0007", 3, AT);
            let envelope = lorawan::envelope::read(&body).expect("our own message");
            assert_eq!(envelope.format.as_str(), format);
            assert_eq!(envelope.application.as_deref(), Some("demo"));
            assert_eq!(envelope.device.as_deref(), Some("dev-0007"));
            assert_eq!(envelope.kind.as_str(), "uplink_message");
        }
    }

    #[test]
    fn times_are_written_as_the_network_writes_them() {
        assert_eq!(moment(AT), "2026-09-21T14:13:20.123000000Z");
    }

    #[test]
    fn devices_differ_and_repeat_themselves() {
        let uplinks = uplinks(Style::TtsV3);
        assert_eq!(uplinks.body("dev-0001", 1, AT), uplinks.body("dev-0001", 1, AT));
        assert_ne!(uplinks.dev_eui("dev-0001"), uplinks.dev_eui("dev-0002"));
        assert_eq!(device_id(0), "dev-0001");
        assert_eq!(device_id(99_999), "dev-100000");
    }
}
