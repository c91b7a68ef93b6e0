//! Which device is meant by what a person types.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::super::admin_api::AdminApi;
use super::super::plain::plain;
use crate::admin::devices::view::{Device, Page};
use crate::lane::DeviceKey;

/// Devices of the same id that are named when it is not clear which is meant.
const NAMED_MAX: usize = 20;

/// The one device that is meant by `device`, `application/device` or `network/application/device`.
///
/// # Errors
/// One sentence: there is none, or there are several.
pub(super) async fn find(bridge: &AdminApi, text: &str) -> Result<Device, String> {
    let parts: Vec<_> = text.split('/').collect();
    let (network, application, device) = match parts[..] {
        [device] => (None, None, device),
        [application, device] => (None, Some(application), device),
        [network, application, device] => (Some(network), Some(application), device),
        _ => return Err("write DEVICE, APPLICATION/DEVICE or NETWORK/APPLICATION/DEVICE".to_owned()),
    };
    let escaped = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut address = format!("/api/v1/devices?limit={NAMED_MAX}&device={}", escaped(device));
    for (name, value) in [("network", network), ("application", application)] {
        address += &value.map_or(String::new(), |value| format!("&{name}={}", escaped(value)));
    }
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let Page { devices, next } = bridge.get(&format!("{address}{after}")).await?;
        found.extend(devices);
        match next {
            Some(next) if found.len() < NAMED_MAX => after = format!("&after={}", escaped(&next)),
            _ => break,
        }
    }
    match &found[..] {
        [] => Err(format!("there is no device `{}`; `longhaul devices list` shows all", plain(text))),
        [one] => bridge.get(&path(&one.key())).await,
        several => {
            let names: Vec<_> = several.iter().map(|device| plain(&device.key().to_string())).collect();
            Err(format!("there are several of this id: {}", names.join(", ")))
        }
    }
}

/// Its address at the admin listener.
pub(super) fn path(device: &DeviceKey) -> String {
    let DeviceKey { network, application, device } = device;
    let parts = [network, application, device].map(|part| utf8_percent_encode(part, NON_ALPHANUMERIC).to_string());
    format!("/api/v1/devices/{}", parts.join("/"))
}
