//! Symmetric keys: of enrolment groups, of devices, of policies.
//!
//! Promises that a key never shows in `Debug` and that no error repeats any part of what was given.

use std::fmt;

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD};

/// Fewest bytes of a key that Azure takes (IoT Hub and DPS documentation: 16 to 64 bytes).
pub const BYTES_MIN: usize = 16;
/// Most bytes of a key that Azure takes.
pub const BYTES_MAX: usize = 64;

/// As tolerant as .NET's decoder, which is what the portal's own keys have been through: a missing `=` or stray
/// bits in the last character do not make a key that works elsewhere fail here.
const TOLERANT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Why a text is not a key. Says nothing of the text itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nothing there.
    #[error("the key is empty; copy the primary key from the portal")]
    Empty,
    /// Not base64.
    #[error("the key is not base64; copy the primary key from the portal as it is, with the = at its end")]
    NotBase64,
    /// Decodes to fewer or more bytes than Azure makes.
    #[error("the key has {0} bytes, but 16 to 64 are right; it was probably cut off while copying")]
    Length(usize),
}

/// Decodes a key as the portal shows it. White space around it is ignored.
pub fn decode(text: &str) -> Result<Vec<u8>, KeyError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(KeyError::Empty);
    }
    let bytes = TOLERANT.decode(text).map_err(|_| KeyError::NotBase64)?;
    if (BYTES_MIN..=BYTES_MAX).contains(&bytes.len()) { Ok(bytes) } else { Err(KeyError::Length(bytes.len())) }
}

/// The key of one device, derived from its group's or given by the operator, or of a policy. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceKey(Vec<u8>);

impl DeviceKey {
    /// Takes decoded bytes.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes, for signing.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text that other tools take. A secret: only for the person who asked for it.
    pub fn reveal_base64(&self) -> String {
        STANDARD.encode(&self.0)
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceKey([secret])")
    }
}

/// What signs the tokens that a device shows its hub. `Debug` hides the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signer {
    /// The device's own key.
    Device(DeviceKey),
    /// A shared access policy of the hub with the right `DeviceConnect`, which signs for any of its devices.
    Policy {
        /// Its name, such as `iothubowner`.
        policy: String,
        /// Its key.
        key: DeviceKey,
    },
}

impl Signer {
    /// A device's own key, decoded.
    pub fn device(key: impl Into<Vec<u8>>) -> Self {
        Self::Device(DeviceKey::from_bytes(key))
    }

    /// The bytes that sign.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Device(key) | Self::Policy { key, .. } => key.as_bytes(),
        }
    }

    /// The policy, to be named in the token.
    pub(crate) fn policy(&self) -> Option<&str> {
        match self {
            Self::Device(_) => None,
            Self::Policy { policy, .. } => Some(policy),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_of_right_length_is_taken_however_it_was_copied() {
        let key = STANDARD.encode([7; 32]);
        assert_eq!(decode(&key).unwrap(), [7; 32]);
        assert_eq!(decode(&format!("  {key}\n")).unwrap(), [7; 32]);
        assert_eq!(decode(key.trim_end_matches('=')).unwrap(), [7; 32]);
    }

    #[test]
    fn wrong_keys_are_refused_by_cause() {
        assert_eq!(decode(" "), Err(KeyError::Empty));
        assert_eq!(decode("not a key!"), Err(KeyError::NotBase64));
        assert_eq!(decode(&STANDARD.encode([1; 15])), Err(KeyError::Length(15)));
        assert_eq!(decode(&STANDARD.encode([1; 65])), Err(KeyError::Length(65)));
        assert!(decode(&STANDARD.encode([1; 16])).is_ok() && decode(&STANDARD.encode([1; 64])).is_ok());
    }

    #[test]
    fn debug_of_a_key_shows_nothing() {
        assert_eq!(format!("{:?}", DeviceKey::from_bytes([65; 32])), "DeviceKey([secret])");
    }
}
