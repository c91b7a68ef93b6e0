//! What is posted to the webhook, in the server's own shape.
//!
//! Source: `ApplicationUp` in the API definition. Values that are zero are not written; 64-bit numbers are text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::device::{Device, Queued, Session};
use crate::downlink::Downlink;
use crate::radio::{BANDWIDTH_HZ, DataRate};
use crate::refusal::Refusal;

/// Which event; its word is the body's one event key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the network's words")]
pub enum EventKind {
    UplinkMessage,
    JoinAccept,
    DownlinkQueued,
    DownlinkSent,
    DownlinkAck,
    DownlinkNack,
    DownlinkFailed,
    DownlinkQueueInvalidated,
}

impl EventKind {
    /// The event key.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UplinkMessage => "uplink_message",
            Self::JoinAccept => "join_accept",
            Self::DownlinkQueued => "downlink_queued",
            Self::DownlinkSent => "downlink_sent",
            Self::DownlinkAck => "downlink_ack",
            Self::DownlinkNack => "downlink_nack",
            Self::DownlinkFailed => "downlink_failed",
            Self::DownlinkQueueInvalidated => "downlink_queue_invalidated",
        }
    }
}

/// One post to the webhook.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Which.
    pub kind: EventKind,
    /// Of which device.
    pub device: String,
    /// What is posted.
    pub body: Value,
}

/// When and of whom.
pub(crate) struct Envelope {
    device: String,
    end_device_ids: Value,
    now_ms: i64,
}

/// A downlink as a session has it; without one it is as it was handed in.
#[derive(Clone, Copy)]
pub(crate) struct Placed<'a> {
    pub(crate) session_key_id: &'a str,
    pub(crate) f_cnt: u32,
}

/// What a device sent.
pub(crate) struct Heard<'a> {
    pub(crate) f_port: u32,
    pub(crate) f_cnt: u32,
    pub(crate) payload: &'a [u8],
    pub(crate) confirmed: bool,
    pub(crate) data_rate: DataRate,
}

impl Envelope {
    pub(crate) fn of(application: &str, device: &Device, now_ms: i64) -> Self {
        let mut ids = Map::new();
        ids.insert("device_id".to_owned(), device.id.as_str().into());
        ids.insert("application_ids".to_owned(), json!({"application_id": application}));
        ids.insert("dev_eui".to_owned(), format!("{:016X}", device.dev_eui).into());
        ids.insert("join_eui".to_owned(), format!("{:016X}", device.join_eui).into());
        if let Some(session) = &device.session {
            ids.insert("dev_addr".to_owned(), format!("{:08X}", session.dev_addr).into());
        }
        Self { device: device.id.clone(), end_device_ids: Value::Object(ids), now_ms }
    }

    fn event(&self, kind: EventKind, correlation_ids: &[String], inner: Map<String, Value>) -> Event {
        let mut body = Map::new();
        body.insert("end_device_ids".to_owned(), self.end_device_ids.clone());
        put(&mut body, "correlation_ids", sorted(correlation_ids));
        body.insert("received_at".to_owned(), timestamp(self.now_ms).into());
        body.insert(kind.as_str().to_owned(), Value::Object(inner));
        Event { kind, device: self.device.clone(), body: Value::Object(body) }
    }

    /// Without session and counter: those are given per session, after it.
    pub(crate) fn queued(&self, downlink: &Downlink) -> Event {
        self.event(EventKind::DownlinkQueued, &downlink.correlation_ids, written(downlink, None))
    }

    /// Told by the gateway's acknowledgement, which knows nothing of attempts.
    pub(crate) fn sent(&self, downlink: &Downlink, placed: Placed<'_>) -> Event {
        self.event(EventKind::DownlinkSent, &downlink.correlation_ids, written(&downlink.on_air(), Some(placed)))
    }

    /// `downlink_ack` or `downlink_nack`: the uplink's ids are mixed in on the outside.
    pub(crate) fn answered(&self, kind: EventKind, downlink: &Downlink, placed: Placed<'_>, uplink: &str) -> Event {
        let mut ids = downlink.correlation_ids.clone();
        ids.push(uplink.to_owned());
        self.event(kind, &ids, written(downlink, Some(placed)))
    }

    pub(crate) fn failed(&self, downlink: &Downlink, placed: Option<Placed<'_>>, error: &Refusal) -> Event {
        let mut inner = Map::new();
        inner.insert("downlink".to_owned(), Value::Object(written(downlink, placed)));
        inner.insert("error".to_owned(), Value::Object(error.details()));
        self.event(EventKind::DownlinkFailed, &downlink.correlation_ids, inner)
    }

    /// All that waited, when the caller has to encrypt anew.
    pub(crate) fn invalidated(&self, session: &Session, id: &str) -> Event {
        let mut inner = Map::new();
        let key = session.key_id.as_str();
        let each = |item: &Queued| Value::Object(written(&item.downlink, Some(session.placed(item))));
        inner.insert("downlinks".to_owned(), session.queue.iter().map(each).collect());
        put(&mut inner, "last_f_cnt_down", session.last_f_cnt_down);
        inner.insert("session_key_id".to_owned(), key.into());
        self.event(EventKind::DownlinkQueueInvalidated, &[id.to_owned()], inner)
    }

    pub(crate) fn joined(&self, session_key_id: &str, id: &str) -> Event {
        let mut inner = Map::new();
        inner.insert("session_key_id".to_owned(), session_key_id.into());
        inner.insert("received_at".to_owned(), timestamp(self.now_ms).into());
        self.event(EventKind::JoinAccept, &[id.to_owned()], inner)
    }

    pub(crate) fn uplink(&self, session_key_id: &str, heard: &Heard<'_>, id: &str) -> Event {
        let mut inner = Map::new();
        inner.insert("session_key_id".to_owned(), session_key_id.into());
        put(&mut inner, "f_port", heard.f_port);
        put(&mut inner, "f_cnt", heard.f_cnt);
        put(&mut inner, "frm_payload", STANDARD.encode(heard.payload));
        put(&mut inner, "confirmed", heard.confirmed);
        inner.insert("rx_metadata".to_owned(), self.rx_metadata());
        inner.insert("settings".to_owned(), self.settings(heard.data_rate));
        inner.insert("received_at".to_owned(), timestamp(self.now_ms).into());
        let us = heard.data_rate.airtime_us(heard.payload.len());
        inner.insert("consumed_airtime".to_owned(), format!("{}.{:06}s", us / 1_000_000, us % 1_000_000).into());
        inner.insert("network_ids".to_owned(), network_ids());
        self.event(EventKind::UplinkMessage, &[id.to_owned()], inner)
    }

    fn rx_metadata(&self) -> Value {
        json!([{
            "gateway_ids": {"gateway_id": "tts-sim", "eui": "0000000000000001"},
            "time": timestamp(self.now_ms),
            "timestamp": self.concentrator(),
            "rssi": -37,
            "channel_rssi": -37,
            "snr": 8.5,
            "uplink_token": STANDARD.encode(b"tts-sim"),
            "channel_index": 5,
            "received_at": timestamp(self.now_ms),
        }])
    }

    fn settings(&self, data_rate: DataRate) -> Value {
        let sf = data_rate.spreading_factor();
        json!({
            "data_rate": {"lora": {"bandwidth": BANDWIDTH_HZ, "spreading_factor": sf, "coding_rate": "4/5"}},
            "frequency": "867500000",
            "timestamp": self.concentrator(),
            "time": timestamp(self.now_ms),
        })
    }

    /// A gateway's counter of microseconds, which wraps at 32 bits.
    fn concentrator(&self) -> i64 {
        self.now_ms.wrapping_mul(1000) & 0xFFFF_FFFF
    }
}

fn network_ids() -> Value {
    json!({
        "net_id": "000013",
        "ns_id": "0000000000000001",
        "tenant_id": "ttn",
        "cluster_id": "sim",
        "cluster_address": "localhost",
    })
}

/// `ApplicationDownlink`.
pub(crate) fn written(downlink: &Downlink, placed: Option<Placed<'_>>) -> Map<String, Value> {
    let mut members = Map::new();
    if let Some(placed) = placed {
        members.insert("session_key_id".to_owned(), placed.session_key_id.into());
        put(&mut members, "f_cnt", placed.f_cnt);
    }
    put(&mut members, "f_port", downlink.f_port);
    put(&mut members, "frm_payload", STANDARD.encode(downlink.payload()));
    if let Some(decoded) = &downlink.decoded_payload {
        members.insert("decoded_payload".to_owned(), Value::Object(decoded.clone()));
    }
    put(&mut members, "confirmed", downlink.confirmed);
    if let Some(class_b_c) = &downlink.class_b_c {
        members.insert("class_b_c".to_owned(), Value::Object(class_b_c.clone()));
    }
    if let Some(word) = downlink.priority_word() {
        members.insert("priority".to_owned(), word.into());
    }
    put(&mut members, "correlation_ids", sorted(&downlink.correlation_ids));
    if let Some(retry) = &downlink.confirmed_retry {
        let mut inner = Map::new();
        put(&mut inner, "attempt", retry.attempt);
        if let Some(max) = retry.max_attempts {
            inner.insert("max_attempts".to_owned(), max.into());
        }
        members.insert("confirmed_retry".to_owned(), Value::Object(inner));
    }
    members
}

/// Leaves out what is zero, as proto's JSON does.
fn put(members: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    let value = value.into();
    let is_zero = match &value {
        Value::Bool(yes) => !yes,
        Value::Number(number) => number.as_u64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Null | Value::Object(_) => false,
    };
    if !is_zero {
        members.insert(name.to_owned(), value);
    }
}

/// Each once and in order, as the server merges them.
pub(crate) fn sorted(ids: &[String]) -> Vec<String> {
    let unique: std::collections::BTreeSet<&String> = ids.iter().collect();
    unique.into_iter().cloned().collect()
}

/// RFC 3339 with `Z`; the epoch for a time that no calendar has.
pub(crate) fn timestamp(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}
