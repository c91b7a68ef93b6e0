//! An uplink, in the words of neither format.
//!
//! Promises: fields that nobody asks for may hold anything; a field that is needed and has the wrong type is an error
//! that names it. Values are borrowed from the body and not re-encoded. Read after the lease, from the body as it was
//! stored (that is, after [`crate::secrets::strip`]).

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::value::RawValue;

use crate::envelope::{Format, Unreadable, open};
use crate::heard::Heard;
use crate::ids::Ids;
use crate::ordered::{Shape, unescape};
use crate::{ttn_v2, tts_v3};

/// `FPort` is one byte on the air.
pub(crate) const F_PORT_MAX: u64 = 255;
/// The network extends the 16 bits on the air to 32.
pub(crate) const F_CNT_MAX: u64 = u32::MAX as u64;

/// A frame from a device.
#[derive(Clone, Debug)]
pub struct Uplink<'a> {
    /// Whose words it used.
    pub format: Format,
    /// Who sent it.
    pub ids: Ids<'a>,
    /// The port; `None` or 0 is a frame for the network alone, or a port cut off by a field mask.
    pub f_port: Option<u64>,
    /// The frame counter: v3 leaves out 0, so there it is always known.
    pub f_cnt: Option<u64>,
    /// The payload in base64 as written, never empty.
    pub payload_raw: Option<Cow<'a, str>>,
    /// What the network's payload formatter made of it: normally an object, as written.
    pub decoded: Option<&'a RawValue>,
    /// When the network received it.
    pub received_at: Option<ReceivedAt<'a>>,
    /// Changes with every join; base64. Absent in V2, and for some ABP devices.
    pub session_key_id: Option<Cow<'a, str>>,
    /// V2: the device sent this frame before.
    pub is_retry: bool,
    /// Made in the Console, not by a device.
    pub simulated: bool,
    /// The payload is still encrypted with the session key of the application.
    pub encrypted: bool,
    /// How it came through the air.
    pub heard: Heard,
    /// The network's names for its own work on this message, as written; v3 only.
    pub correlation_ids: Option<&'a RawValue>,
}

impl Uplink<'_> {
    /// [`Uplink::correlation_ids`] one by one; those that are no text are left out.
    pub fn each_correlation_id(&self, mut each: impl FnMut(&str)) {
        let Some(list) = self.correlation_ids else { return };
        let ids: Vec<&RawValue> = serde_json::from_str(list.get()).unwrap_or_default();
        ids.iter().filter_map(|id| unescape(id.get())).for_each(|id| each(&id));
    }
}

/// A time that the network wrote, which is valid and not Go's zero time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedAt<'a> {
    /// As written.
    pub text: Cow<'a, str>,
    /// The same.
    pub at: Timestamp,
}

/// Go writes this for "no time".
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

impl<'a> ReceivedAt<'a> {
    /// Whatever is no time counts as none: a message is not lost because its clock is.
    pub(crate) fn of(value: Option<&'a RawValue>) -> Option<Self> {
        let text = unescape(value.filter(|value| Shape::of(value) == Shape::String)?.get())?;
        if text == ZERO_TIME || !is_rfc3339(text.as_bytes()) {
            return None;
        }
        let at = text.parse().ok()?;
        Some(Self { text, at })
    }
}

/// `2020-02-12T15:15:45[.789]Z`, or an offset such as `+02:00` for the `Z`. The parser takes more than that; those
/// who read the text after us may not.
fn is_rfc3339(text: &[u8]) -> bool {
    let shape = |byte: &u8| if byte.is_ascii_digit() { b'0' } else { *byte };
    let shapes: Vec<u8> = text.iter().map(shape).collect();
    let Some(rest) = shapes.strip_prefix(b"0000-00-00T00:00:00") else { return false };
    let zone = match rest.strip_prefix(b".") {
        Some(rest) => {
            let digits = rest.iter().take_while(|byte| **byte == b'0').count();
            if !(1..=9).contains(&digits) {
                return false;
            }
            &rest[digits..]
        }
        None => rest,
    };
    matches!(zone, b"Z" | b"+00:00" | b"-00:00") // digits are zeros here, so this is any offset
}

/// Reads an uplink.
///
/// # Errors
/// [`Unreadable`] as for [`crate::envelope::read`]; also when the body is another event, and when a needed field has
/// the wrong type.
pub fn read(format: Format, body: &[u8]) -> Result<Uplink<'_>, Unreadable> {
    let members = open(body)?;
    match format {
        Format::TtsV3 => tts_v3::uplink(&members),
        Format::TtnV2 => ttn_v2::uplink(&members),
    }
}
