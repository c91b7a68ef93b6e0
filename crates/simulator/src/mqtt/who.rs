//! Who a client says it is: its user name, which also tells hub and provisioning apart.
//!
//! ```text
//! {host}/{device}/?api-version=2021-04-12&DeviceClientType=…      the hub's; old clients leave the `?` out
//! {host}/{device}/{module}/?api-version=…
//! {scope}/registrations/{id}/api-version=2019-03-31&ClientVersion=…
//! ```
//!
//! Promises: believes nothing; signatures are looked at elsewhere. Ids stand as they are, unencoded, as all SDKs write them;
//! values behind the `?` come out decoded, because SDKs differ in whether they encode them.

use percent_encoding::percent_decode_str;

/// Whom a user name names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who<'n> {
    Device { host: &'n str, device: &'n str, module: Option<&'n str>, model_id: Option<String> },
    Registration { scope: &'n str, id: &'n str, api_version: Option<String> },
}

/// What starts with the name of a hub is the hub's, whatever its device is called. None: neither.
pub(super) fn read(user_name: &str, is_hub: impl FnOnce(&str) -> bool) -> Option<Who<'_>> {
    let (first, rest) = user_name.split_once('/')?;
    if is_hub(first) { device(first, rest) } else { registration(first, rest) }
}

/// One that does not name its version of the API is not let in, as Edge Hub does.
fn device<'n>(host: &'n str, rest: &'n str) -> Option<Who<'n>> {
    let (device, rest) = rest.split_once('/')?;
    let (module, query) = match query(rest) {
        Some(query) => (None, query),
        None => {
            let (module, rest) = rest.split_once('/')?;
            (Some(module), query(rest)?)
        }
    };
    let is_named = !device.is_empty() && module.is_none_or(|module| !module.is_empty());
    is_named.then(|| Who::Device { host, device, module, model_id: value(query, "model-id") })
}

fn registration<'n>(scope: &'n str, rest: &'n str) -> Option<Who<'n>> {
    let (id, rest) = rest.strip_prefix("registrations/")?.split_once('/')?;
    let api_version = value(query(rest)?, "api-version");
    (!id.is_empty()).then_some(Who::Registration { scope, id, api_version })
}

/// What is behind the ids, if this is it.
fn query(text: &str) -> Option<&str> {
    let query = text.strip_prefix('?').unwrap_or(text);
    value(query, "api-version").is_some_and(|version| !version.is_empty()).then_some(query)
}

fn value(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_hub(name: &str) -> bool {
        name == "hub1.azure-devices.net"
    }

    fn device_of(user_name: &str) -> Option<(String, Option<String>, Option<String>)> {
        match read(user_name, is_hub)? {
            Who::Device { host, device, module, model_id } if is_hub(host) => {
                Some((device.to_owned(), module.map(str::to_owned), model_id))
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn devices_and_modules_are_named_as_the_sdks_do() {
        let node = "hub1.azure-devices.net/Dev 1/?api-version=2021-04-12&model-id=dtmi:com:example:T;1\
                    &DeviceClientType=azure-iot-device%2F1.18.4%20(node%20v20.20.2%3B%20Debian%2012%3B%20x64)";
        let model = Some("dtmi:com:example:T;1".to_owned());
        assert_eq!(device_of(node), Some(("Dev 1".to_owned(), None, model.clone())));
        let python = "hub1.azure-devices.net/Dev1/?api-version=2020-09-30\
                      &DeviceClientType=azure-iot-device-iothub-py%2F2.14.0&model-id=dtmi%3Acom%3Aexample%3AT%3B1";
        assert_eq!(device_of(python), Some(("Dev1".to_owned(), None, model)));
        let old = "hub1.azure-devices.net/d/api-version=2016-11-14&DeviceClientType=x/y";
        assert_eq!(device_of(old), Some(("d".to_owned(), None, None)));
        let module = "hub1.azure-devices.net/d/m/?api-version=2021-04-12";
        assert_eq!(device_of(module), Some(("d".to_owned(), Some("m".to_owned()), None)));
        let odd = "hub1.azure-devices.net/registrations/m/?api-version=2021-04-12";
        assert_eq!(device_of(odd), Some(("registrations".to_owned(), Some("m".to_owned()), None)));
    }

    #[test]
    fn a_registration_names_scope_and_id() {
        let node = "0ne00AAAA/registrations/my-Dev-1/api-version=2019-03-31&ClientVersion=azure-iot%2F1.9.1";
        let api_version = Some("2019-03-31".to_owned());
        assert_eq!(read(node, is_hub), Some(Who::Registration { scope: "0ne00AAAA", id: "my-Dev-1", api_version }));
    }

    #[test]
    fn anything_else_is_nobody() {
        for name in [
            "",
            "hub1.azure-devices.net",
            "hub1.azure-devices.net/d",
            "hub1.azure-devices.net/d/",
            "hub1.azure-devices.net//?api-version=2021-04-12",
            "hub1.azure-devices.net/d/?DeviceClientType=x",
            "hub1.azure-devices.net/d//?api-version=2021-04-12",
            "hub1.azure-devices.net/d/m/x/?api-version=2021-04-12",
            "hub2.azure-devices.net/d/?api-version=2021-04-12",
            "0ne00AAAA/registrations/d",
            "0ne00AAAA/registrations//api-version=2019-03-31",
            "0ne00AAAA/registrations/d/ClientVersion=x",
        ] {
            assert_eq!(read(name, is_hub), None, "{name}");
        }
    }
}
