//! Where The Things Stack v3 keeps what we ask for.
//!
//! Source of the names: `ApplicationUp` in the API definition (`messages.proto`) and its JSON as webhooks send it.
//! proto3 JSON leaves out zeros, so an absent counter is 0; unknown members are none of our business, and any may be
//! cut off by the webhook's field mask.

use crate::envelope::{Format, Unreadable};
use crate::event::EventKind;
use crate::fields::{count, flag, object, pick, text};
use crate::heard;
use crate::ids::Ids;
use crate::ordered::{Members, Shape};
use crate::uplink::{F_CNT_MAX, F_PORT_MAX, ReceivedAt, Uplink};

/// The one event of the message; `None` when it has none of the keys.
pub(crate) fn kind(members: &Members<'_>) -> Result<Option<EventKind>, Unreadable> {
    let mut found: Option<EventKind> = None;
    for member in members.iter().filter(|member| Shape::of(member.value) != Shape::Null) {
        let Some(kind) = member.key().and_then(|key| EventKind::from_word(&key)) else { continue };
        if let Some(first) = found {
            return Err(Unreadable::not_understood(two_events(first, kind)));
        }
        if Shape::of(member.value) != Shape::Object {
            return Err(Unreadable::not_understood(format!("`{kind}` is {}, not an object", Shape::of(member.value))));
        }
        found = Some(kind);
    }
    Ok(found)
}

fn two_events(first: EventKind, second: EventKind) -> String {
    if first == second {
        return format!("`{first}` is there twice");
    }
    format!("the message holds two events, `{first}` and `{second}`")
}

/// Who it is about.
pub(crate) fn ids<'a>(members: &Members<'a>) -> Result<Ids<'a>, Unreadable> {
    let [ids] = pick("", members, ["end_device_ids"])?;
    let Some(ids) = object("end_device_ids", ids)? else { return Ok(Ids::default()) };
    let [device, applications, dev_eui] = pick("end_device_ids.", &ids, ["device_id", "application_ids", "dev_eui"])?;
    let application = match object("end_device_ids.application_ids", applications)? {
        Some(ids) => pick("end_device_ids.application_ids.", &ids, ["application_id"])?[0],
        None => None,
    };
    Ok(Ids {
        application: text("end_device_ids.application_ids.application_id", application)?,
        device: text("end_device_ids.device_id", device)?,
        dev_eui: text("end_device_ids.dev_eui", dev_eui)?,
    })
}

/// The uplink of a message that has one.
pub(crate) fn uplink<'a>(members: &Members<'a>) -> Result<Uplink<'a>, Unreadable> {
    let [message, simulated] = pick("", members, ["uplink_message", "simulated"])?;
    let correlation_ids = members.get("correlation_ids").filter(|ids| Shape::of(ids) == Shape::Array);
    let Some(message) = object("uplink_message", message)? else {
        return Err(Unreadable::not_understood("there is no `uplink_message`"));
    };
    let [port, counter, payload, decoded, received_at, session, key] = pick(
        "uplink_message.",
        &message,
        ["f_port", "f_cnt", "frm_payload", "decoded_payload", "received_at", "session_key_id", "app_s_key"],
    )?;
    Ok(Uplink {
        format: Format::TtsV3,
        ids: ids(members)?,
        f_port: count("uplink_message.f_port", port, F_PORT_MAX)?,
        f_cnt: Some(count("uplink_message.f_cnt", counter, F_CNT_MAX)?.unwrap_or(0)),
        payload_raw: text("uplink_message.frm_payload", payload)?,
        decoded,
        received_at: ReceivedAt::of(received_at),
        session_key_id: text("uplink_message.session_key_id", session)?,
        is_retry: false,
        simulated: flag("simulated", simulated)?.unwrap_or(false),
        // The key comes along exactly when the network was told not to decrypt. Its value is gone by now
        // (`secrets::strip`), that it was there is not.
        encrypted: key.is_some(),
        heard: heard::tts_v3(message.get("rx_metadata"), message.get("settings"), message.get("locations")),
        correlation_ids,
    })
}
