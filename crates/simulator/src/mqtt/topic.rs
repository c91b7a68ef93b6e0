//! Where clients publish to: topics of hub and provisioning, and the topics of their answers.
//!
//! Promises: a topic that is none of a client's is none at all; the connection ends with it. The id of a request comes back
//! as it stands, and first, which Python's and C#'s SDKs rely on.

use percent_encoding::percent_decode_str;

/// Clients take a number or a uuid; topics of answers stay short.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// What a device publishes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ToHub<'t> {
    Telemetry { bag: &'t str },
    MethodAnswer { status: i32, request_id: &'t str },
    TwinGet { request_id: &'t str },
    TwinPatch { request_id: &'t str },
}

/// What a registration publishes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ToDps<'t> {
    Register { request_id: &'t str },
    Poll { request_id: &'t str, operation_id: &'t str },
}

/// A device's topic; of a module when it is one.
pub(super) fn to_hub<'t>(topic: &'t str, device: &str, module: Option<&str>) -> Option<ToHub<'t>> {
    if let Some(rest) = topic.strip_prefix("$iothub/") {
        return to_services(rest);
    }
    let bag = telemetry_bag(topic, device, module)?;
    // C# closes the bag with a slash.
    let bag = bag.strip_suffix('/').unwrap_or(bag);
    (!bag.contains('/')).then_some(ToHub::Telemetry { bag })
}

fn telemetry_bag<'t>(topic: &'t str, device: &str, module: Option<&str>) -> Option<&'t str> {
    let rest = own(topic.strip_prefix("devices/")?, device)?;
    let rest = match module {
        Some(module) => own(rest.strip_prefix("modules/")?, module)?,
        None => rest,
    };
    rest.strip_prefix("messages/events/")
}

/// What follows the client's own id, which may be encoded.
fn own<'t>(text: &'t str, id: &str) -> Option<&'t str> {
    let (named, rest) = text.split_once('/')?;
    (named == id || percent_decode_str(named).eq(id.bytes())).then_some(rest)
}

fn to_services(rest: &str) -> Option<ToHub<'_>> {
    if let Some(rest) = rest.strip_prefix("methods/res/") {
        let (status, query) = rest.split_once("/?")?;
        return Some(ToHub::MethodAnswer { status: status.parse().ok()?, request_id: request_id(query)? });
    }
    if let Some(query) = rest.strip_prefix("twin/GET/?") {
        return Some(ToHub::TwinGet { request_id: request_id(query)? });
    }
    let query = rest.strip_prefix("twin/PATCH/properties/reported/?")?;
    Some(ToHub::TwinPatch { request_id: request_id(query)? })
}

/// A registration's topic.
pub(super) fn to_dps(topic: &str) -> Option<ToDps<'_>> {
    let rest = topic.strip_prefix("$dps/registrations/")?;
    if let Some(query) = rest.strip_prefix("PUT/iotdps-register/?") {
        return Some(ToDps::Register { request_id: request_id(query)? });
    }
    let query = rest.strip_prefix("GET/iotdps-get-operationstatus/?")?;
    Some(ToDps::Poll { request_id: request_id(query)?, operation_id: value(query, "operationId")? })
}

fn request_id(query: &str) -> Option<&str> {
    value(query, "$rid").filter(|id| !id.is_empty() && id.len() <= REQUEST_ID_BYTES_MAX && !id.contains(['/', '$']))
}

fn value<'t>(query: &'t str, name: &str) -> Option<&'t str> {
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// Where twin requests are answered; a change of reported properties with the version that came of it.
pub(super) fn twin_answer(status: u16, request_id: &str, version: Option<u64>) -> String {
    let version = version.map(|version| format!("&$version={version}")).unwrap_or_default();
    format!("$iothub/twin/res/{status}/?$rid={request_id}{version}")
}

/// Where a device hears of changed desired properties.
pub(super) fn desired(version: u64) -> String {
    format!("$iothub/twin/PATCH/properties/desired/?$version={version}")
}

/// Where a device is called. Python's SDK wants no `$` but those in front of `iothub` and `rid`.
pub(super) fn method(name: &str, request_id: &str) -> String {
    format!("$iothub/methods/POST/{name}/?$rid={request_id}")
}

/// Where a device hears of messages to it.
pub(super) fn c2d(device: &str, bag: &str) -> String {
    format!("devices/{device}/messages/devicebound/{bag}")
}

/// Where provisioning answers; with the seconds to wait where there are some.
pub(super) fn dps_answer(status: u16, request_id: &str, retry_after_s: Option<u64>) -> String {
    let wait = retry_after_s.map(|seconds| format!("&retry-after={seconds}")).unwrap_or_default();
    format!("$dps/registrations/res/{status}/?$rid={request_id}{wait}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bag<'t>(topic: &'t str, device: &str, module: Option<&str>) -> Option<&'t str> {
        match to_hub(topic, device, module)? {
            ToHub::Telemetry { bag } => Some(bag),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn telemetry_goes_to_ones_own_topic_with_or_without_a_bag() {
        assert_eq!(bag("devices/Dev1/messages/events/", "Dev1", None), Some(""));
        assert_eq!(bag("devices/Dev1/messages/events/%24.mid=1&a=b", "Dev1", None), Some("%24.mid=1&a=b"));
        assert_eq!(bag("devices/Dev1/messages/events/a=b/", "Dev1", None), Some("a=b"));
        assert_eq!(bag("devices/Dev 1/messages/events/", "Dev 1", None), Some(""));
        assert_eq!(bag("devices/Dev%201/messages/events/", "Dev 1", None), Some(""));
        assert_eq!(bag("devices/d/modules/m/messages/events/a=b", "d", Some("m")), Some("a=b"));
    }

    #[test]
    fn another_ones_topic_is_none() {
        for topic in [
            "devices/dev1/messages/events/",
            "devices/Dev1/messages/events",
            "devices/Dev1/messages/events/a=b/c=d",
            "devices/Dev1/messages/devicebound/",
            "devices/Dev1/modules/m/messages/events/",
            "$iothub/twin/GET/",
            "$iothub/twin/GET/?rid=1",
            "$iothub/twin/GET/?$rid=",
            "$iothub/twin/PATCH/properties/desired/?$rid=1",
            "$iothub/methods/res/ok/?$rid=1",
            "$iothub/methods/res/99999999999/?$rid=1",
            "$dps/registrations/PUT/iotdps-register/?$rid=1",
            "test",
        ] {
            assert_eq!(to_hub(topic, "Dev1", None), None, "{topic}");
        }
        assert_eq!(to_hub("devices/d/messages/events/", "d", Some("m")), None);
        let long = format!("$iothub/twin/GET/?$rid={}", "1".repeat(129));
        assert_eq!(to_hub(&long, "Dev1", None), None);
    }

    #[test]
    fn requests_name_themselves() {
        assert_eq!(to_hub("$iothub/twin/GET/?$rid=7", "d", None), Some(ToHub::TwinGet { request_id: "7" }));
        let patch = "$iothub/twin/PATCH/properties/reported/?$rid=a-b&$version=3";
        assert_eq!(to_hub(patch, "d", None), Some(ToHub::TwinPatch { request_id: "a-b" }));
        let answer = "$iothub/methods/res/-1/?$rid=0f";
        assert_eq!(to_hub(answer, "d", None), Some(ToHub::MethodAnswer { status: -1, request_id: "0f" }));
    }

    #[test]
    fn registrations_are_asked_for_and_asked_after() {
        let topic = "$dps/registrations/PUT/iotdps-register/?$rid=u1";
        assert_eq!(to_dps(topic), Some(ToDps::Register { request_id: "u1" }));
        let topic = "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=u2&operationId=5.3.b";
        assert_eq!(to_dps(topic), Some(ToDps::Poll { request_id: "u2", operation_id: "5.3.b" }));
        for topic in [
            "$dps/registrations/PUT/iotdps-register/",
            "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=1",
            "devices/d/messages/events/",
        ] {
            assert_eq!(to_dps(topic), None, "{topic}");
        }
    }

    #[test]
    fn answers_have_the_shape_that_every_sdk_reads() {
        assert_eq!(twin_answer(200, "7", None), "$iothub/twin/res/200/?$rid=7");
        assert_eq!(twin_answer(204, "7", Some(3)), "$iothub/twin/res/204/?$rid=7&$version=3");
        assert_eq!(desired(4), "$iothub/twin/PATCH/properties/desired/?$version=4");
        assert_eq!(method("reboot", "0f"), "$iothub/methods/POST/reboot/?$rid=0f");
        assert_eq!(dps_answer(202, "u", Some(3)), "$dps/registrations/res/202/?$rid=u&retry-after=3");
        assert_eq!(dps_answer(200, "u", None), "$dps/registrations/res/200/?$rid=u");
        assert_eq!(c2d("d", "a=b"), "devices/d/messages/devicebound/a=b");
    }
}
