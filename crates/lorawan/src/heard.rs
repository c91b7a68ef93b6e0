//! How well the network heard a frame, and where its device is said to be.
//!
//! Promises: hints only. Whatever is not understood is absent, and is never a reason to refuse a message; takes no stack,
//! however deep a value is, and builds nothing but what it returns.

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::ordered::unescape;

/// What the network says of a frame's way through the air.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Heard {
    /// Strength at the gateway that heard it best, dBm.
    pub rssi_dbm: Option<f32>,
    /// Signal to noise at the same gateway, dB. Absent where the modulation has none.
    pub snr_db: Option<f32>,
    /// LoRa's, 5 to 12.
    pub spreading_factor: Option<u8>,
    /// Receptions that the network tells of: a gateway with several antennas has one for each.
    pub gateways: u32,
    /// Where the device is.
    pub location: Option<Location>,
}

/// A place on the earth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Location {
    /// Degrees, -90 to 90.
    pub latitude: f64,
    /// Degrees, -180 to 180.
    pub longitude: f64,
    /// Metres above the sea.
    pub altitude: Option<f64>,
}

/// The three members of a v3 `uplink_message` that tell of it.
pub(crate) fn tts_v3(
    rx_metadata: Option<&RawValue>,
    settings: Option<&RawValue>,
    locations: Option<&RawValue>,
) -> Heard {
    let best = read::<Receptions>(rx_metadata).unwrap_or_default();
    let lora = read::<Settings>(settings).and_then(|settings| settings.data_rate?.lora);
    let spreading_factor = lora.and_then(|lora| factor(lora.spreading_factor?.0?));
    // proto3 JSON leaves out zeros, and LoRa always has a ratio.
    let zero = best.rssi.and(spreading_factor).map(|_| 0.0);
    let places = read::<Places>(locations).unwrap_or_default();
    // What the device itself found out is newer than what somebody entered.
    let location = places.frm_payload.and_then(Place::get).or_else(|| places.user.and_then(Place::get));
    Heard { snr_db: best.snr.or(zero), rssi_dbm: best.rssi, spreading_factor, gateways: best.count, location }
}

/// The members of a V2 `metadata` that tell of it.
pub(crate) fn ttn_v2(
    gateways: Option<&RawValue>,
    data_rate: Option<&RawValue>,
    place: [Option<&RawValue>; 3],
) -> Heard {
    let best = read::<Receptions>(gateways).unwrap_or_default();
    let written = data_rate.and_then(|value| unescape(value.get()));
    let factor_of = |text: &str| text.strip_prefix("SF")?.split_once("BW")?.0.parse::<u8>().ok();
    let spreading_factor = written.and_then(|text| factor_of(&text)).and_then(|found| factor(f64::from(found)));
    let [latitude, longitude, altitude] = place.map(read::<Number>);
    let location = Place { latitude, longitude, altitude }.get();
    Heard { snr_db: best.snr, rssi_dbm: best.rssi, spreading_factor, gateways: best.count, location }
}

fn read<'a, T: Deserialize<'a>>(value: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(value?.get()).ok()
}

fn factor(number: f64) -> Option<u8> {
    (5_u8..=12).find(|factor| f64::from(*factor) == number)
}

#[derive(serde::Deserialize)]
struct Settings {
    data_rate: Option<DataRate>,
}

#[derive(serde::Deserialize)]
struct DataRate {
    lora: Option<Lora>,
}

#[derive(serde::Deserialize)]
struct Lora {
    spreading_factor: Option<Number>,
}

#[derive(Default, serde::Deserialize)]
struct Places {
    user: Option<Place>,
    #[serde(rename = "frm-payload")]
    frm_payload: Option<Place>,
}

#[derive(Clone, Copy, serde::Deserialize)]
struct Place {
    latitude: Option<Number>,
    longitude: Option<Number>,
    altitude: Option<Number>,
}

impl Place {
    /// Zero, zero is what trackers say that see no satellite. One zero alone may have been left out.
    fn get(self) -> Option<Location> {
        let degrees = |number: Option<Number>| number.map_or(Some(0.0), |Number(number)| number);
        let (latitude, longitude) = (degrees(self.latitude)?, degrees(self.longitude)?);
        let is_place = latitude.abs() <= 90.0 && longitude.abs() <= 180.0 && (latitude, longitude) != (0.0, 0.0);
        let altitude = self.altitude.and_then(|Number(number)| number);
        is_place.then_some(Location { latitude, longitude, altitude })
    }
}

#[derive(Clone, Copy, serde::Deserialize)]
struct Gateway {
    rssi: Option<Number>,
    snr: Option<Number>,
}

/// How many there are, and the loudest of them.
#[derive(Default)]
struct Receptions {
    count: u32,
    rssi: Option<f32>,
    snr: Option<f32>,
}

impl Receptions {
    fn note(&mut self, gateway: Gateway) {
        self.count = self.count.saturating_add(1);
        let Some(rssi) = gateway.rssi.and_then(Number::small) else { return };
        if self.rssi.is_none_or(|best| rssi > best) {
            (self.rssi, self.snr) = (Some(rssi), gateway.snr.and_then(Number::small));
        }
    }
}

impl<'de> Deserialize<'de> for Receptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;

        impl<'de> Visitor<'de> for Each {
            type Value = Receptions;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of gateways")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut gateways: A) -> Result<Self::Value, A::Error> {
                let mut receptions = Receptions::default();
                while let Some(gateway) = gateways.next_element()? {
                    receptions.note(gateway);
                }
                Ok(receptions)
            }
        }

        deserializer.deserialize_seq(Each)
    }
}

/// A number; whatever else stands there, such as the `"NaN"` of old versions, is none.
#[derive(Clone, Copy)]
struct Number(Option<f64>);

impl Number {
    /// dBm and dB: no more of it is shown.
    fn small(self) -> Option<f32> {
        #[expect(clippy::cast_possible_truncation, reason = "within a thousand, to a part of a dB")]
        self.0.filter(|number| number.abs() < 1_000.0).map(|number| number as f32)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Number;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("anything")
            }

            fn visit_f64<E>(self, number: f64) -> Result<Number, E> {
                Ok(Number(Some(number)))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Number, E> {
                Ok(Number(Some(number as f64)))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Number, E> {
                Ok(Number(Some(number as f64)))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Number, E> {
                Ok(Number(None))
            }

            fn visit_str<E>(self, _: &str) -> Result<Number, E> {
                Ok(Number(None))
            }

            fn visit_unit<E>(self) -> Result<Number, E> {
                Ok(Number(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Number, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Number(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Number, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Number(None))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Format;

    fn heard(format: Format, sample: &str) -> Heard {
        let body = std::fs::read(format!("{}/samples/{sample}", env!("CARGO_MANIFEST_DIR"))).expect("a sample");
        crate::uplink::read(format, &body).expect("an uplink").heard
    }

    #[test]
    fn samples_say_how_they_were_heard() {
        let docs = heard(Format::TtsV3, "025-v3-uplink_message-docs-full.json");
        assert_eq!((docs.rssi_dbm, docs.snr_db, docs.spreading_factor), (Some(-35.0), Some(5.0), Some(7)));
        assert_eq!(docs.gateways, 1);
        let place = docs.location.expect("its user entered one");
        assert_eq!((place.latitude, place.altitude), (37.971_555_567_314_36, Some(10.0)));
        let four = heard(Format::TtsV3, "050-v3-uplink_message-traccar-dragino-1.json");
        assert_eq!(four.rssi_dbm, Some(-35.0), "of the loudest");
        assert!(four.gateways >= 4, "{four:?}");
        let fsk = heard(Format::TtsV3, "082-v3-uplink_message-schema-fsk.json");
        assert_eq!((fsk.rssi_dbm, fsk.snr_db, fsk.spreading_factor), (Some(-35.5), Some(5.2), None));
        let v2 = heard(Format::TtnV2, "017-v2-uplink-docs-all-fields.json");
        assert_eq!((v2.rssi_dbm, v2.snr_db, v2.spreading_factor), (Some(-25.0), Some(5.0), Some(7)));
        assert_eq!(v2.location.map(|place| (place.latitude, place.longitude)), Some((52.2345, 6.2345)));
    }

    fn v3(message: &str) -> Heard {
        let body = format!(r#"{{"end_device_ids":{{}},"uplink_message":{message}}}"#);
        crate::uplink::read(Format::TtsV3, body.as_bytes()).expect("still an uplink").heard
    }

    #[test]
    fn nonsense_in_a_hint_is_no_hint_and_no_mistake() {
        let deep = format!(r#"{{"rx_metadata":[{{"rssi":{}1{}}}]}}"#, "[".repeat(50_000), "]".repeat(50_000));
        for message in [
            "{}",
            r#"{"rx_metadata":7,"settings":[],"locations":"x"}"#,
            r#"{"rx_metadata":[{"rssi":"NaN","snr":{}}],"settings":{"data_rate":{"lora":{"spreading_factor":13}}}}"#,
            r#"{"rx_metadata":[{"rssi":1e300}],"locations":{"user":{"latitude":91,"longitude":1}}}"#,
            r#"{"rx_metadata":[null,{}],"locations":{"user":{"latitude":0,"longitude":0.0}}}"#,
            &deep,
        ] {
            let found = Heard { gateways: 0, ..v3(message) };
            assert_eq!(found, Heard::default(), "{message:.80}");
        }
    }

    #[test]
    fn a_ratio_of_zero_is_left_out_and_what_the_device_found_comes_first() {
        let found = v3(
            r#"{"rx_metadata":[{"rssi":-90},{"rssi":-120,"snr":3}],"settings":{"data_rate":{"lora":{"spreading_factor":9}}},
              "locations":{"user":{"latitude":1,"longitude":2},"frm-payload":{"latitude":3.5}}}"#,
        );
        assert_eq!((found.rssi_dbm, found.snr_db, found.gateways), (Some(-90.0), Some(0.0), 2));
        assert_eq!(found.location, Some(Location { latitude: 3.5, longitude: 0.0, altitude: None }));
    }
}
