//! Where TTN V2 keeps what we ask for.
//!
//! Source of the names: the V2 HTTP integration (`core/types/uplink_message.go`). The network is closed; its format
//! lives on in replayed archives, test tools and stacks that copied it. There is one kind of event, the uplink.

use crate::envelope::{Format, Unreadable};
use crate::fields::{count, flag, object, pick, text};
use crate::heard;
use crate::ids::Ids;
use crate::ordered::Members;
use crate::uplink::{F_CNT_MAX, F_PORT_MAX, ReceivedAt, Uplink};

/// Whether this is an uplink. A V2 body has no key that says what it is, so this goes by what only uplinks have
/// together: a name, and a counter or metadata. A downlink has a `dev_id`, a port and a payload, but neither.
pub(crate) fn is_uplink(members: &Members<'_>) -> bool {
    let has = |word| members.get(word).is_some();
    let frame = || has("port") || has("payload_raw") || has("payload_fields");
    (has("app_id") && (frame() || has("counter") || has("metadata")))
        || ((has("dev_id") || has("hardware_serial")) && (has("counter") || has("metadata")))
}

/// Who it is about.
pub(crate) fn ids<'a>(members: &Members<'a>) -> Result<Ids<'a>, Unreadable> {
    let [application, device, dev_eui] = pick("", members, ["app_id", "dev_id", "hardware_serial"])?;
    Ok(Ids {
        application: text("app_id", application)?,
        device: text("dev_id", device)?,
        dev_eui: text("hardware_serial", dev_eui)?,
    })
}

/// The uplink.
pub(crate) fn uplink<'a>(members: &Members<'a>) -> Result<Uplink<'a>, Unreadable> {
    let [port, counter, retry, payload, decoded, metadata] =
        pick("", members, ["port", "counter", "is_retry", "payload_raw", "payload_fields", "metadata"])?;
    let metadata = object("metadata", metadata)?;
    let time = match &metadata {
        Some(metadata) => pick("metadata.", metadata, ["time"])?[0],
        None => None,
    };
    let hint = |name| metadata.as_ref().and_then(|metadata| metadata.get(name));
    Ok(Uplink {
        format: Format::TtnV2,
        ids: ids(members)?,
        f_port: count("port", port, F_PORT_MAX)?,
        f_cnt: count("counter", counter, F_CNT_MAX)?,
        payload_raw: text("payload_raw", payload)?,
        decoded,
        received_at: ReceivedAt::of(time),
        session_key_id: None,
        is_retry: flag("is_retry", retry)?.unwrap_or(false),
        simulated: false,
        encrypted: false,
        heard: heard::ttn_v2(
            hint("gateways"),
            hint("data_rate"),
            [hint("latitude"), hint("longitude"), hint("altitude")],
        ),
        correlation_ids: None,
    })
}
