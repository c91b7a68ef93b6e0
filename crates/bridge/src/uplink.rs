//! From an uplink to the message that IoT Hub gets.
//!
//! Promises: the same uplink gives the same body, id and properties every time; whatever the network's payload formatter
//! made is in the body byte for byte (line ends become spaces), under its own name or, when that is taken, under one beside it; nothing in an
//! uplink makes this fail. Relies on `lorawan` for values that are valid JSON. Deliberately knows nothing of routes,
//! devices in Azure, or sizes: whether a body is too large is the sender's question.

use std::borrow::Cow;
use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use lorawan::envelope::Format;
use lorawan::fingerprint;
use lorawan::ordered::{Members, append_on_one_line};
use lorawan::uplink::Uplink;
use queue::UnixMillis;

mod geopoint;
mod names;

/// What is sent, and how it is known again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// What IoT Hub gets: one flat JSON object, its properties, and a message id that is the same for every copy of the
    /// same message.
    pub message: azure::hub::Telemetry,
    /// The same as the message id, for the list of what was seen.
    pub fingerprint: [u8; 16],
}

/// What the target wants in particular.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// IoT Central: positions also as `lat`, `lon`, `alt`, which is what its geopoints are called.
    pub central: bool,
}

/// The names of our own members. All are taken in every message, also where the member is left out, so that a
/// reader never mistakes a decoded `Encrypted` for ours.
const OWN: [&str; 10] = [
    "DeviceEUI",
    "DeviceID",
    "ApplicationID",
    "Port",
    "Counter",
    "PayloadRaw",
    "ReceivedAtUTC",
    "Retry",
    "Simulated",
    "Encrypted",
];

/// Where a decoded value goes that is no object, or cannot be spread.
const WHOLE: &str = "decoded_payload";

/// IoT Hub takes more; an id of either network has at most 36 characters, an EUI 16.
const PROPERTY_BYTES_MAX: usize = 256;

/// Digits after the second in stamps of our own.
const ARRIVAL_DIGITS: u8 = 3;

/// Whether an uplink says anything: a port, a payload or decoded fields. Frames that carry MAC commands alone, which the
/// network forwards as well, do not.
pub fn is_of_use(uplink: &Uplink<'_>) -> bool {
    port(uplink).is_some() || uplink.payload_raw.is_some() || says_something(uplink)
}

/// Port 0 belongs to the network: as good as none.
fn port(uplink: &Uplink<'_>) -> Option<u64> {
    uplink.f_port.filter(|port| *port > 0)
}

/// The telemetry message for an uplink.
///
/// `network` is the sender's name in our configuration; `arrival` stands in for the time that the network left out.
pub fn telemetry(uplink: &Uplink<'_>, network: &str, arrival: UnixMillis, style: Style) -> Telemetry {
    let port = port(uplink);
    let arrival = Timestamp::from_millisecond(arrival).unwrap_or(Timestamp::UNIX_EPOCH);
    let at = uplink.received_at.as_ref().map_or(arrival, |received| received.at);
    let fingerprint = fingerprint::of(network, uplink);
    let message = azure::hub::Telemetry {
        body: body(uplink, port, arrival, style).into(),
        message_id: fingerprint.to_string(),
        correlation_id: None,
        content_type: Some("application/json".to_owned()),
        content_encoding: Some("utf-8".to_owned()),
        creation_time: Some(at),
        properties: properties(uplink, port),
    };
    Telemetry { message, fingerprint: fingerprint.0 }
}

/// An empty object is what a formatter returns that had nothing to decode.
fn says_something(uplink: &Uplink<'_>) -> bool {
    uplink.decoded.is_some_and(|decoded| Members::of(decoded).is_none_or(|members| !members.is_empty()))
}

/// RFC 3339, UTC. Cuts, does not round.
fn utc(at: Timestamp, digits: u8) -> String {
    DateTimePrinter::new().precision(Some(digits)).timestamp_to_string(&at)
}

fn body(uplink: &Uplink<'_>, port: Option<u64>, arrival: Timestamp, style: Style) -> Vec<u8> {
    let mut object = Object::default();
    own_members(&mut object, uplink, port, arrival);
    if let Some(decoded) = uplink.decoded {
        match Members::of(decoded).and_then(|members| names::given(&members).map(|names| (members, names))) {
            Some((members, names)) => decoded_members(&mut object, &members, &names, style),
            None => object.put(&quoted(WHOLE), decoded.get()),
        }
    }
    object.close()
}

fn own_members(object: &mut Object, uplink: &Uplink<'_>, port: Option<u64>, arrival: Timestamp) {
    let mut text = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            object.put(&quoted(name), &quoted(value));
        }
    };
    text("DeviceEUI", uplink.ids.dev_eui.as_deref());
    text("DeviceID", uplink.ids.device.as_deref());
    text("ApplicationID", uplink.ids.application.as_deref());
    let mut number = |name: &str, value: Option<u64>| {
        if let Some(value) = value {
            object.put(&quoted(name), &value.to_string());
        }
    };
    number("Port", port);
    number("Counter", uplink.f_cnt);
    if let Some(payload) = &uplink.payload_raw {
        object.put(&quoted("PayloadRaw"), &quoted(payload));
    }
    object.put(&quoted("ReceivedAtUTC"), &quoted(&received(uplink, arrival)));
    // V2 always says it, as its only hint at a resend; the others are exceptions and only there when true.
    if uplink.format == Format::TtnV2 {
        object.put(&quoted("Retry"), if uplink.is_retry { "true" } else { "false" });
    }
    if uplink.simulated {
        object.put(&quoted("Simulated"), "true");
    }
    if uplink.encrypted {
        object.put(&quoted("Encrypted"), "true");
    }
}

/// As the network wrote it; the name says UTC, so another offset is converted.
fn received(uplink: &Uplink<'_>, arrival: Timestamp) -> String {
    match &uplink.received_at {
        Some(received) if received.text.ends_with('Z') => received.text.clone().into_owned(),
        Some(received) => received.at.to_string(),
        None => utc(arrival, ARRIVAL_DIGITS),
    }
}

fn decoded_members(object: &mut Object, members: &Members<'_>, names: &[Cow<'_, str>], style: Style) {
    for (member, name) in members.iter().zip(names) {
        match style.central.then(|| geopoint::of(member.value)).flatten() {
            Some(point) => object.put(name, &geopoint::appended(member.value.get(), &point)),
            None => object.put(name, member.value.get()),
        }
    }
    if style.central
        && let Some(point) = geopoint::among(members)
    {
        for (name, value) in point.members() {
            object.put(&quoted(name), value);
        }
    }
}

fn properties(uplink: &Uplink<'_>, port: Option<u64>) -> Vec<(String, String)> {
    let port = port.map(|port| port.to_string());
    let simulated = uplink.simulated.then_some("true");
    [
        ("ApplicationId", uplink.ids.application.as_deref()),
        ("DeviceEUI", uplink.ids.dev_eui.as_deref()),
        ("DeviceId", uplink.ids.device.as_deref()),
        ("Port", port.as_deref()),
        ("Simulated", simulated),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), token(value?)?)))
    .collect()
}

/// A property's value travels in a header over HTTPS, where only ASCII tokens may stand. Ids of the networks are such;
/// anything else in an id is percent-encoded (UTF-8), reversibly. The body has it as it is. What is longer than any
/// id is left out.
fn token(value: &str) -> Option<String> {
    let mut token = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => token.push(char::from(byte)),
            _ => write!(token, "%{byte:02X}").expect("a String takes everything"),
        }
        if token.len() > PROPERTY_BYTES_MAX {
            return None;
        }
    }
    Some(token)
}

/// A JSON string.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("every str has a JSON form")
}

/// A JSON object that is being written.
#[derive(Debug, Default)]
struct Object(Vec<u8>);

impl Object {
    /// Adds a member; both are JSON already. The body stays on one line.
    fn put(&mut self, key: &str, value: &str) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        self.0.extend_from_slice(key.as_bytes());
        self.0.push(b':');
        append_on_one_line(&mut self.0, value);
    }

    fn close(mut self) -> Vec<u8> {
        if self.0.is_empty() {
            self.0.push(b'{');
        }
        self.0.push(b'}');
        self.0
    }
}
