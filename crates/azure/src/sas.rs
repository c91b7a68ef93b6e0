//! Shared access signatures: who may do what until when, signed with a symmetric key.
//!
//! ```text
//! SharedAccessSignature sr={resource}&sig={signature}&se={expiry, Unix seconds}[&skn={policy}]
//! signature = base64(HMAC-SHA256(key, sr + "\n" + se)), percent-encoded; sr is signed as it stands in the token
//! ```
//!
//! Relies on the caller for the time: a token says when it runs out, never when it was made.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::Sha256;

use crate::UnixSeconds;
use crate::key::{DeviceKey, Signer};

/// Everything but RFC 3986's unreserved characters is encoded, as all of Microsoft's SDKs but one do.
pub(crate) const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A signed token. `Debug` hides it, and so does the header's.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    header: HeaderValue,
    expires_at: UnixSeconds,
}

impl Token {
    fn sign(resource: &str, key: &[u8], expires_at: UnixSeconds, policy: Option<&str>) -> Self {
        let sr = encode(resource);
        let signature = STANDARD.encode(hmac(key, format!("{sr}\n{expires_at}").as_bytes()));
        let mut text = format!("SharedAccessSignature sr={sr}&sig={}&se={expires_at}", encode(&signature));
        if let Some(policy) = policy {
            text.push_str("&skn=");
            text.push_str(&encode(policy));
        }
        let mut header = HeaderValue::try_from(text).expect("percent-encoded text is visible ASCII");
        header.set_sensitive(true);
        Self { header, expires_at }
    }

    /// The value of `Authorization`, marked as sensitive.
    pub fn as_header(&self) -> &HeaderValue {
        &self.header
    }

    /// The whole text, as AMQP and MQTT send it. A secret.
    pub fn reveal(&self) -> &str {
        self.header.to_str().expect("percent-encoded text is visible ASCII")
    }

    /// When it runs out, Unix seconds.
    pub fn expires_at(&self) -> UnixSeconds {
        self.expires_at
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token([secret], expires_at: {})", self.expires_at)
    }
}

/// The key of a device in a group enrolment: HMAC-SHA256 of the registration id with the group's (decoded) key.
/// It signs at DPS, and after the assignment at the hub as well.
pub fn derive_device_key(group_key: &[u8], registration_id: &str) -> DeviceKey {
    DeviceKey::from_bytes(hmac(group_key, registration_id.as_bytes()))
}

/// What a device's token is for, as it stands in the token: `{host}/devices/{id}`, percent-encoded.
pub(crate) fn device_audience(hub_host: &str, device_id: &str) -> String {
    encode(&format!("{hub_host}/devices/{device_id}"))
}

/// Lets a device talk to its hub. `hub_host` without port; `expiry` in Unix seconds.
pub fn device_token(hub_host: &str, device_id: &str, signer: &Signer, expiry: UnixSeconds) -> Token {
    Token::sign(&format!("{hub_host}/devices/{device_id}"), signer.as_bytes(), expiry, signer.policy())
}

/// Lets a device register at DPS. `expiry` in Unix seconds.
pub fn registration_token(scope: &str, registration_id: &str, key: &[u8], expiry: UnixSeconds) -> Token {
    Token::sign(&format!("{scope}/registrations/{registration_id}"), key, expiry, Some("registration"))
}

/// Lets the holder of a shared access policy talk to the hub. `hub_host` without port; `expiry` in Unix seconds.
pub fn policy_token(hub_host: &str, policy: &str, key: &[u8], expiry: UnixSeconds) -> Token {
    Token::sign(hub_host, key, expiry, Some(policy))
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The group key of Microsoft's documentation on symmetric key attestation.
    const GROUP: &str = "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw==";
    const EUI: &str = "eui-70b3d57ed0051234";
    /// 2026-01-01T00:00:00Z.
    const EXPIRY: UnixSeconds = 1_767_225_600;

    fn derived(registration_id: &str) -> DeviceKey {
        derive_device_key(&crate::key::decode(GROUP).unwrap(), registration_id)
    }

    #[test]
    fn derived_keys_are_those_of_the_documentation() {
        let documented = derived("sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6");
        assert_eq!(documented.reveal_base64(), "Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc=");
        assert_eq!(derived(EUI).reveal_base64(), "Eim8Foxpct+rCEqghXxfMr8FcW/OBrEnhX9Oip2nJwo=");
    }

    #[test]
    fn registration_token_is_the_known_one() {
        let token = registration_token("0ne00AAAA01", EUI, derived(EUI).as_bytes(), EXPIRY);
        assert_eq!(
            token.reveal(),
            "SharedAccessSignature sr=0ne00AAAA01%2Fregistrations%2Feui-70b3d57ed0051234\
             &sig=yy%2BqHbveEuVRpmj2TJsvlqkDE1pX3UkCS%2B3c8c78p54%3D&se=1767225600&skn=registration"
        );
    }

    #[test]
    fn device_token_is_the_known_one() {
        let token = device_token("hub1.azure-devices.net", EUI, &Signer::Device(derived(EUI)), EXPIRY);
        assert_eq!(
            token.as_header().to_str().unwrap(),
            "SharedAccessSignature sr=hub1.azure-devices.net%2Fdevices%2Feui-70b3d57ed0051234\
             &sig=4B%2FeemnGnMa6addnfxVfd0uOb1eNZxSHijtsjNKpThg%3D&se=1767225600"
        );
        assert_eq!(token.expires_at(), EXPIRY);
    }

    #[test]
    fn policy_token_is_the_known_one() {
        let key = crate::key::decode("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=").unwrap();
        assert_eq!(
            policy_token("hub1.azure-devices.net", "iothubowner", &key, EXPIRY).reveal(),
            "SharedAccessSignature sr=hub1.azure-devices.net\
             &sig=zTQqXgsoDkMASDlzHXRyag7xuKVcRSBpikCs0KU%2FFrM%3D&se=1767225600&skn=iothubowner"
        );
    }

    #[test]
    fn debug_shows_no_part_of_a_token() {
        let token = device_token("hub1", EUI, &Signer::device([1; 32]), EXPIRY);
        let shown = format!("{token:?} {:?}", token.as_header());
        assert!(!shown.contains("sig") && !shown.contains("hub1"), "{shown}");
    }

    proptest! {
        #[test]
        fn any_name_and_key_can_be_signed(name in "\\PC{0,64}", key in prop::collection::vec(any::<u8>(), 0..200), expiry: i64) {
            let token = device_token("hub1", &name, &Signer::device(key.clone()), expiry);
            prop_assert!(token.reveal().bytes().all(|b| (0x20..0x7f).contains(&b)));
            prop_assert_eq!(token.reveal().matches('&').count(), 2);
        }
    }
}
