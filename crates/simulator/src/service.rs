//! The owner's side of the hub: get, create, change and delete a device identity. Decisions only.
//!
//! Promises: shapes, statuses and errors of the registry API, as far as tests and Microsoft's service SDKs need them
//! for single devices. Lists, queries, twins and bulk calls are not here yet.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::hub::{Names, Refusal};
use crate::identity::{Keys, etag};
use crate::registry::{Device, Status};
use crate::sas::{Resource, Token};

/// What the service says of a time that never was.
const NEVER: &str = "0001-01-01T00:00:00Z";
const KEY_BYTES: usize = 32;
const DEVICE_ID_CHARS_MAX: usize = 128;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Put,
    Delete,
}

/// A call to `/devices/{id}`.
pub(crate) struct Call<'a> {
    pub(crate) verb: Verb,
    pub(crate) device_id: &'a str,
    pub(crate) authorization: Option<&'a str>,
    pub(crate) if_match: Option<&'a str>,
    pub(crate) body: &'a [u8],
}

/// What is to be changed before the answer goes out.
#[derive(Debug, PartialEq)]
pub(crate) enum Change {
    None,
    Put(Device),
    Delete(String),
}

/// Status, body and etag.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Option<Value>,
    pub(crate) etag: Option<String>,
}

/// A change and the answer that is right once it is made.
#[derive(Debug, PartialEq)]
pub(crate) struct Decision {
    pub(crate) change: Change,
    pub(crate) answer: Answer,
}

/// Whether the token is of a policy that may do this.
pub(crate) fn admit(names: &Names<'_>, call: &Call<'_>, now_ms: i64) -> Result<(), Refusal> {
    let policies: &[&str] = match call.verb {
        Verb::Get => &["iothubowner", "registryRead", "registryReadWrite"],
        Verb::Put | Verb::Delete => &["iothubowner", "registryReadWrite"],
    };
    let token = Token::parse(call.authorization).map_err(|_| Refusal::unauthorized())?;
    let policy = token.policy.filter(|policy| policies.contains(policy)).ok_or_else(Refusal::unauthorized)?;
    let keys = names.policies.get(policy).ok_or_else(Refusal::unauthorized)?;
    let path = ["devices", call.device_id];
    token
        .check(&Resource { roots: names.hosts, path: &path, least: 0 }, &keys.both(), now_ms)
        .map_err(|_| Refusal::unauthorized())
}

/// What comes of the call, given the device as it is.
pub(crate) fn decide(device: Option<&Device>, call: &Call<'_>, now_ms: i64) -> Result<Decision, Refusal> {
    match (call.verb, device) {
        (Verb::Put, None) if call.if_match.is_none() => create(call, now_ms),
        (Verb::Put, Some(_)) if call.if_match.is_none() => {
            Err(Refusal::new(409, 409_001, "DeviceAlreadyExists", "A device with this id is already registered"))
        }
        (_, None) => Err(Refusal::device_not_found(call.device_id)),
        (Verb::Get, Some(device)) => Ok(Decision { change: Change::None, answer: shown(device) }),
        (Verb::Put, Some(device)) => matching(device, call).and_then(|()| update(device, call)),
        (Verb::Delete, Some(device)) => matching(device, call).map(|()| Decision {
            change: Change::Delete(device.id.clone()),
            answer: Answer { status: 204, body: None, etag: None },
        }),
    }
}

/// `If-Match` comes quoted; `*` and none match anything.
fn matching(device: &Device, call: &Call<'_>) -> Result<(), Refusal> {
    match call.if_match.map(|wanted| wanted.trim_matches('"')) {
        None | Some("*") => Ok(()),
        Some(wanted) if wanted == device.etag => Ok(()),
        Some(_) => Err(Refusal::new(412, 412_001, "PreconditionFailed", "The device was changed in between")),
    }
}

fn create(call: &Call<'_>, now_ms: i64) -> Result<Decision, Refusal> {
    if !is_device_id(call.device_id) {
        return Err(Refusal::argument("The device id is not valid"));
    }
    let wish = Wish::parse(call)?;
    let mut device = Device::new(call.device_id, Keys::random(KEY_BYTES), now_ms);
    wish.apply(&mut device);
    Ok(put(device))
}

fn update(device: &Device, call: &Call<'_>) -> Result<Decision, Refusal> {
    let mut device = Device { etag: etag(), ..device.clone() };
    Wish::parse(call)?.apply(&mut device);
    Ok(put(device))
}

fn put(device: Device) -> Decision {
    Decision { answer: shown(&device), change: Change::Put(device) }
}

/// ASCII letters, digits and some signs, at most 128; upper and lower case are told apart.
fn is_device_id(id: &str) -> bool {
    (1..=DEVICE_ID_CHARS_MAX).contains(&id.len())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || "-.+%_#*?!(),:=@$'".contains(c))
}

/// What a body may set. Everything else in it is let pass, as it is what a `GET` showed.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Wish {
    device_id: Option<String>,
    status: Option<Status>,
    authentication: Option<Authentication>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Authentication {
    symmetric_key: Option<WishedKeys>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct WishedKeys {
    primary_key: Option<String>,
    secondary_key: Option<String>,
}

impl Wish {
    fn parse(call: &Call<'_>) -> Result<Self, Refusal> {
        let wish: Self =
            serde_json::from_slice(call.body).map_err(|_| Refusal::not_json("The body is not a device identity"))?;
        match &wish.device_id {
            Some(named) if named != call.device_id => Err(Refusal::argument("The body names another device")),
            _ => Ok(wish),
        }
    }

    /// Keys that are absent or empty are left as they are: for a new device the ones that the hub made.
    fn apply(self, device: &mut Device) {
        let keys = self.authentication.and_then(|authentication| authentication.symmetric_key).unwrap_or_default();
        let given = |key: Option<String>| key.filter(|key| !key.is_empty());
        device.keys.primary = given(keys.primary_key).unwrap_or_else(|| device.keys.primary.clone());
        device.keys.secondary = given(keys.secondary_key).unwrap_or_else(|| device.keys.secondary.clone());
        device.status = self.status.unwrap_or(device.status);
    }
}

/// A device identity as the registry API writes it.
fn shown(device: &Device) -> Answer {
    let body = json!({
        "deviceId": device.id,
        "generationId": device.generation,
        "etag": device.etag,
        "connectionState": "Disconnected",
        "status": device.status,
        "statusReason": null,
        "connectionStateUpdatedTime": NEVER,
        "statusUpdatedTime": NEVER,
        "lastActivityTime": NEVER,
        "cloudToDeviceMessageCount": 0,
        "authentication": {
            "symmetricKey": device.keys,
            "x509Thumbprint": {"primaryThumbprint": null, "secondaryThumbprint": null},
            "type": "sas",
        },
        "capabilities": {"iotEdge": false},
        "deviceScope": "",
        "parentScopes": [],
    });
    Answer { status: 200, body: Some(body), etag: Some(format!("\"{}\"", device.etag)) }
}

#[cfg(test)]
mod tests;
