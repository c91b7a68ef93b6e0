//! A device or module identity: how it is made, changed and shown.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, matching};
use crate::endpoint::Endpoint;
use crate::hub::Refusal;
use crate::hub::twin::{Live, at, connection_state};
use crate::random::Stamp;
use crate::registry::{Device, Status};

const KEY_BYTES: usize = 32;
const ID_CHARS_MAX: usize = 128;
/// As documented.
pub(crate) const MODULES_MAX: usize = 50;
/// As documented; taken for what manages a module as well.
const REASON_CHARS_MAX: usize = 128;

/// What a body may set. Everything else in it is let pass, as it is what a `GET` showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Wish {
    device_id: Option<String>,
    module_id: Option<String>,
    managed_by: Option<String>,
    status: Option<Status>,
    status_reason: Option<String>,
    authentication: Option<Authentication>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Authentication {
    symmetric_key: Option<WishedKeys>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WishedKeys {
    primary_key: Option<String>,
    secondary_key: Option<String>,
}

/// A `PUT` of an identity that is not there yet.
pub(crate) fn created(endpoint: &Endpoint, body: &[u8], stamp: Stamp<'_>) -> Result<Device, Refusal> {
    create(endpoint, Wish::parse(endpoint, body)?, stamp)
}

pub(super) fn create(endpoint: &Endpoint, wish: Wish, stamp: Stamp<'_>) -> Result<Device, Refusal> {
    if !is_id(&endpoint.device) || !endpoint.module.as_deref().is_none_or(is_id) {
        return Err(Refusal::argument("The device id or module id is not valid"));
    }
    let device = Device::new(&endpoint.device, stamp.random.keys(KEY_BYTES), stamp);
    wish.apply(Device { module: endpoint.module.clone(), ..device }, stamp.now_ms)
}

/// A `PUT` of one that is. Without `If-Match` it was to be made, and is there.
pub(crate) fn updated(
    device: &Device,
    endpoint: &Endpoint,
    hub: &str,
    if_match: Option<&str>,
    body: &[u8],
    stamp: Stamp<'_>,
) -> Result<Device, Refusal> {
    if if_match.is_none() {
        return Err(already_there(endpoint, hub));
    }
    matching(if_match, &device.etag)?;
    update(device, Wish::parse(endpoint, body)?, stamp)
}

pub(super) fn update(device: &Device, wish: Wish, stamp: Stamp<'_>) -> Result<Device, Refusal> {
    wish.apply(Device { etag: stamp.random.etag(), ..device.clone() }, stamp.now_ms)
}

/// A `DELETE`.
pub(crate) fn deleted(device: Option<&Device>, endpoint: &Endpoint, if_match: Option<&str>) -> Result<(), Refusal> {
    matching(if_match, &device.ok_or_else(|| Refusal::not_found(endpoint))?.etag)
}

pub(super) fn already_there(endpoint: &Endpoint, hub: &str) -> Refusal {
    let device = &endpoint.device;
    match &endpoint.module {
        None => {
            let text = format!("A device with ID '{device}' is already registered.");
            Refusal::new(409, 409_001, "DeviceAlreadyExists", text)
        }
        Some(module) => {
            let text = format!("Device {device} in IotHub {hub} already contains Module {module}.");
            Refusal::new(409, 409_301, "ModuleAlreadyExistsOnDevice", text)
        }
    }
}

/// ASCII letters, digits and some signs, at most 128; upper and lower case are told apart.
fn is_id(id: &str) -> bool {
    (1..=ID_CHARS_MAX).contains(&id.len())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || "-.+%_#*?!(),:=@$'".contains(c))
}

impl Wish {
    fn parse(endpoint: &Endpoint, body: &[u8]) -> Result<Self, Refusal> {
        let wish: Self = serde_json::from_slice(body).map_err(|_| Refusal::not_json("The body is not an identity"))?;
        let is_other = wish.device_id.as_ref().is_some_and(|named| *named != endpoint.device)
            || wish.module_id.is_some() && wish.module_id != endpoint.module;
        if is_other { Err(Refusal::argument("The body names another device or module")) } else { Ok(wish) }
    }

    /// Keys that are absent or empty are left as they are: for a new device the ones that the hub made.
    fn apply(self, mut device: Device, now_ms: i64) -> Result<Device, Refusal> {
        let authentication = self.authentication.unwrap_or_default();
        if authentication.kind.is_some_and(|kind| !kind.eq_ignore_ascii_case("sas")) {
            return Err(Refusal::argument("The simulator knows devices with symmetric keys only"));
        }
        let is_long = |text: &Option<String>| text.as_ref().is_some_and(|text| text.chars().count() > REASON_CHARS_MAX);
        if is_long(&self.status_reason) || is_long(&self.managed_by) {
            return Err(Refusal::argument("A status reason or manager is longer than 128 characters"));
        }
        let keys = authentication.symmetric_key.unwrap_or_default();
        let given = |key: Option<String>| key.filter(|key| !key.is_empty());
        device.keys.primary = given(keys.primary_key).unwrap_or(device.keys.primary);
        device.keys.secondary = given(keys.secondary_key).unwrap_or(device.keys.secondary);
        device.status_reason = self.status_reason;
        device.managed_by = self.managed_by.filter(|_| device.module.is_some());
        let status = self.status.unwrap_or(device.status);
        Ok(device.switched(status, now_ms))
    }
}

/// An identity as the registry API writes it.
pub(crate) fn shown(device: &Device, live: &Live) -> Answer {
    let mut body = json!({
        "deviceId": device.id,
        "generationId": device.generation,
        "etag": device.etag,
        "connectionState": connection_state(live.is_connected),
        "connectionStateUpdatedTime": at(live.connection_updated_ms),
        "lastActivityTime": at(live.last_activity_ms),
        "cloudToDeviceMessageCount": live.c2d_count,
        "authentication": {
            "symmetricKey": device.keys,
            "x509Thumbprint": {"primaryThumbprint": null, "secondaryThumbprint": null},
            "type": "sas",
        },
    });
    let more = match &device.module {
        Some(module) => json!({"moduleId": module, "managedBy": device.managed_by}),
        None => json!({
            "status": device.status,
            "statusReason": device.status_reason,
            "statusUpdatedTime": at(device.status_updated_ms),
            "capabilities": {"iotEdge": false},
            "deviceScope": "",
            "parentScopes": [],
        }),
    };
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    Answer::tagged(body, &device.etag)
}
