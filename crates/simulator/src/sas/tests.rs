//! Published and recomputed vectors, and every form that an SDK sends.

use super::*;

const GROUP_KEY: &str = "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw==";
const DEVICE_KEY: &str = "Eim8Foxpct+rCEqghXxfMr8FcW/OBrEnhX9Oip2nJwo=";
const POLICY_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const ID: &str = "eui-70b3d57ed0051234";
const EXPIRY_S: i64 = 1_767_225_600;
const BEFORE_MS: i64 = (EXPIRY_S - 60) * 1000;

const DPS: &str = "SharedAccessSignature sr=0ne00AAAA01%2Fregistrations%2Feui-70b3d57ed0051234&sig=yy%2BqHbveEuVRpmj2TJsvlqkDE1pX3UkCS%2B3c8c78p54%3D&se=1767225600&skn=registration";
const DEVICE: &str = "SharedAccessSignature sr=hub1.azure-devices.net%2Fdevices%2Feui-70b3d57ed0051234&sig=4B%2FeemnGnMa6addnfxVfd0uOb1eNZxSHijtsjNKpThg%3D&se=1767225600";
const POLICY: &str = "SharedAccessSignature sr=hub1.azure-devices.net&sig=zTQqXgsoDkMASDlzHXRyag7xuKVcRSBpikCs0KU%2FFrM%3D&se=1767225600&skn=iothubowner";

fn check(token: &str, root: &str, path: &[&str], least: usize, key: &str, now_ms: i64) -> Result<(), Denied> {
    let roots = [root.to_owned()];
    Token::parse(Some(token))?.check(&Resource { roots: &roots, path, least }, &[key], now_ms)
}

fn check_device(token: &str) -> Result<(), Denied> {
    check(token, "hub1.azure-devices.net", &["devices", ID], 2, DEVICE_KEY, BEFORE_MS)
}

/// A token as a client would make it, over the resource as given.
fn signed(resource: &str, key: &str) -> String {
    signed_until(resource, key, EXPIRY_S)
}

pub(crate) fn signed_until(resource: &str, key: &str, expiry_s: i64) -> String {
    let raw = hmac(&STANDARD.decode(key).unwrap(), format!("{resource}\n{expiry_s}").as_bytes());
    let sig = STANDARD.encode(raw).replace('+', "%2b").replace('/', "%2f").replace('=', "%3d");
    format!("{SCHEME}sr={resource}&sig={sig}&se={expiry_s}")
}

#[test]
fn group_keys_derive_as_published() {
    let published = derive_key(GROUP_KEY, "sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6");
    assert_eq!(published.as_deref(), Some("Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc="));
    assert_eq!(derive_key(GROUP_KEY, ID).as_deref(), Some(DEVICE_KEY));
    assert_eq!(derive_key("no base64!", ID), None);
}

#[test]
fn known_tokens_are_accepted() {
    assert_eq!(check(DPS, "0ne00AAAA01", &["registrations", ID], 2, DEVICE_KEY, BEFORE_MS), Ok(()));
    assert_eq!(check_device(DEVICE), Ok(()));
    assert_eq!(check(POLICY, "hub1.azure-devices.net", &["devices", ID], 0, POLICY_KEY, BEFORE_MS), Ok(()));
}

/// As azure-eventhub 5.15.1 makes it.
const EVENTS: &str = "SharedAccessSignature sr=sb%3A%2F%2Fhub1.azure-devices.net%2Fhub1%2Fconsumergroups%2F%24Default&sig=6B0zlvPlgGMH%2FdxvCMo%2BsqeYhay%2BXioc5fpQyGVLFYs%3D&se=1767225600&skn=iothubowner";

#[test]
fn for_events_the_secret_is_the_text_of_the_key() {
    let check = |token: &str, key: &str| Token::parse(Some(token))?.check_itself(&[key], BEFORE_MS);
    assert_eq!(check(EVENTS, POLICY_KEY), Ok(()));
    assert_eq!(check(EVENTS, DEVICE_KEY), Err(Denied::WrongSignature));
    assert_eq!(check(&signed("sb://hub1.azure-devices.net/hub1", POLICY_KEY), POLICY_KEY), Err(Denied::WrongSignature));
    assert_eq!(check(&signed("hub1.azure-devices.net", POLICY_KEY), POLICY_KEY), Ok(()));
}

#[test]
fn every_form_of_an_sdk_is_accepted() {
    for resource in [
        "hub1.azure-devices.net/devices/eui-70b3d57ed0051234",
        "hub1.azure-devices.net%2Fdevices%2Feui-70b3d57ed0051234",
        "hub1.azure-devices.net%2fdevices%2feui-70b3d57ed0051234",
        "HUB1.Azure-Devices.net/Devices/eui-70b3d57ed0051234",
    ] {
        assert_eq!(check_device(&signed(resource, DEVICE_KEY)), Ok(()), "{resource}");
    }
    let token = signed("hub1.azure-devices.net%2Fdevices%2Feui-70b3d57ed0051234", DEVICE_KEY);
    let mut fields: Vec<&str> = token[SCHEME.len()..].split('&').collect();
    fields.reverse();
    assert_eq!(check_device(&format!("{SCHEME}{}&x=1", fields.join("&"))), Ok(()));
}

#[test]
fn a_scope_ends_at_a_segment_and_ids_are_exact() {
    for resource in [
        "hub1.azure-devices.net/devices/eui-70b3d57ed005123",
        "hub1.azure-devices.net/devices/EUI-70b3d57ed0051234",
        "hub1.azure-devices.net/devices/eui-70b3d57ed0051234/x",
        "hub1.azure-devices.net/devices",
        "hub1.azure-devices.net",
        "hub2.azure-devices.net/devices/eui-70b3d57ed0051234",
    ] {
        assert_eq!(check_device(&signed(resource, DEVICE_KEY)), Err(Denied::OutOfScope), "{resource}");
    }
}

#[test]
fn a_changed_signature_key_or_time_is_refused() {
    assert_eq!(check_device(&DEVICE.replace("4B%2F", "4C%2F")), Err(Denied::WrongSignature));
    assert_eq!(check_device(&DEVICE.replace("se=1767225600", "se=1767225601")), Err(Denied::WrongSignature));
    assert_eq!(
        check_device(&signed("hub1.azure-devices.net/devices/eui-70b3d57ed0051234", POLICY_KEY)),
        Err(Denied::WrongSignature)
    );
    let path = ["devices", ID];
    let at = |now_ms| check(DEVICE, "hub1.azure-devices.net", &path, 2, DEVICE_KEY, now_ms);
    assert_eq!(at(EXPIRY_S * 1000 - 1), Ok(()));
    assert_eq!(at(EXPIRY_S * 1000), Err(Denied::Expired));
}

#[test]
fn nonsense_is_refused_without_a_panic() {
    for text in ["", "Bearer x", SCHEME, "SharedAccessSignature sr=a", "SharedAccessSignature sr=a&sig=%&se=1"] {
        assert_eq!(Token::parse(Some(text)).err(), Some(Denied::Malformed), "{text}");
    }
    assert_eq!(Token::parse(None).err(), Some(Denied::Missing));
    assert_eq!(check_device(&DEVICE.replace("se=1767225600", "se=soon")), Err(Denied::Malformed));
}
