//! Shared access signatures as the services check them.
//!
//! Promises: accepts what every Microsoft SDK is known to send (fields in any order, resource encoded or not, hex in
//! either case) and nothing that a real service would refuse. Comparison takes the same time wherever it fails.
//! Does not know which keys exist: callers bring the resource and the keys that may sign for it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use percent_encoding::percent_decode_str;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// What every token starts with.
const SCHEME: &str = "SharedAccessSignature ";
/// How often a resource is decoded at most: as it is, once (all SDKs but Node's), twice (clients that encode an encoded one).
const DECODE_MAX: usize = 2;
/// The longest header that is looked at, in bytes. Real ones stay below 400: host 255, id 128, signature 50.
const TOKEN_BYTES_MAX: usize = 4096;

/// A token's fields, not yet believed.
pub(crate) struct Token<'a> {
    resource: &'a str,
    signature: Vec<u8>,
    expiry: &'a str,
    /// The policy that claims to have signed, `None` for a device's own key.
    pub(crate) policy: Option<&'a str>,
}

/// Why a token is refused. Both services answer all of them with 401; the text is for the person at the simulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error("the authorization header is missing")]
    Missing,
    #[error("the token cannot be read")]
    Malformed,
    #[error("the token is for another resource")]
    OutOfScope,
    #[error("the signature is wrong")]
    WrongSignature,
    #[error("the token has expired")]
    Expired,
}

impl<'a> Token<'a> {
    /// Takes a token apart. Unknown fields are let pass.
    pub(crate) fn parse(header: Option<&'a str>) -> Result<Self, Denied> {
        let header = header.ok_or(Denied::Missing)?;
        let fields =
            header.strip_prefix(SCHEME).filter(|rest| rest.len() <= TOKEN_BYTES_MAX).ok_or(Denied::Malformed)?;
        let field = |name: &str| {
            fields
                .split('&')
                .find_map(|pair| pair.trim().split_once('=').filter(|(key, _)| *key == name))
                .map(|(_, v)| v)
        };
        let signature = decoded(field("sig").ok_or(Denied::Malformed)?);
        Ok(Self {
            resource: field("sr").ok_or(Denied::Malformed)?,
            signature: STANDARD.decode(signature).map_err(|_| Denied::Malformed)?,
            expiry: field("se").ok_or(Denied::Malformed)?,
            policy: field("skn").filter(|name| !name.is_empty()),
        })
    }

    /// Whether this token opens `resource` at `now_ms`, signed with one of `keys` (base64).
    pub(crate) fn check(&self, resource: &Resource<'_>, keys: &[&str], now_ms: i64) -> Result<(), Denied> {
        if self.covers(resource) { self.check_itself(keys, now_ms) } else { Err(Denied::OutOfScope) }
    }

    /// Whether this token is good at `now_ms`, whatever it is for.
    pub(crate) fn check_itself(&self, keys: &[&str], now_ms: i64) -> Result<(), Denied> {
        let expires_ms = self.expires_ms()?;
        let signed = keys.iter().map(|key| self.is_signed_with(key)).fold(false, |any, one| any | one);
        match () {
            () if !signed => Err(Denied::WrongSignature),
            () if expires_ms <= now_ms => Err(Denied::Expired),
            () => Ok(()),
        }
    }

    /// Milliseconds since 1970.
    pub(crate) fn expires_ms(&self) -> Result<i64, Denied> {
        self.expiry.parse().map(|seconds: i64| seconds.saturating_mul(1000)).map_err(|_| Denied::Malformed)
    }

    /// What it says it is for, decoded once less to once more than clients do, without scheme and port: host and
    /// segments. The form in which it stands in the token comes first.
    pub(crate) fn resources(&self) -> Vec<Vec<String>> {
        let mut forms: Vec<Vec<String>> = Vec::new();
        let mut text = self.resource.to_owned();
        for _ in 0..=DECODE_MAX {
            let form = segments(&text);
            if !forms.contains(&form) {
                forms.push(form);
            }
            text = decoded(&text);
        }
        forms
    }

    /// The signature is over the resource exactly as it stands in the token, encoded or not. IoT Hub signs with what the key
    /// means, the Event-Hubs-compatible endpoint with the key as it is written (@azure/core-auth, azure-eventhub).
    fn is_signed_with(&self, key: &str) -> bool {
        let Ok(bytes) = STANDARD.decode(key) else { return false };
        let bytes = if self.is_for_events() { key.as_bytes() } else { &bytes };
        let expected = hmac(bytes, format!("{}\n{}", self.resource, self.expiry).as_bytes());
        expected.ct_eq(&self.signature).into()
    }

    fn is_for_events(&self) -> bool {
        decoded(&decoded(self.resource)).starts_with("sb://")
    }

    fn covers(&self, resource: &Resource<'_>) -> bool {
        let mut text = self.resource.to_owned();
        for _ in 0..DECODE_MAX {
            if resource.is_covered_by(&text) {
                return true;
            }
            text = decoded(&text);
        }
        resource.is_covered_by(&text)
    }
}

/// What a token has to cover.
pub(crate) struct Resource<'a> {
    /// Names that count as the first segment, compared without regard to case: host names, or the id scope.
    pub(crate) roots: &'a [String],
    /// The segments after it; words compare without regard to case, the last one (an id) exactly.
    pub(crate) path: &'a [&'a str],
    /// How many segments of `path` the token must name at least. A device's own key opens only that device.
    pub(crate) least: usize,
}

impl Resource<'_> {
    /// By whole segments: `a/b` covers `a/b/c` but not `a/bc`.
    fn is_covered_by(&self, text: &str) -> bool {
        let mut segments = text.trim_end_matches('/').split('/');
        let root = segments.next().unwrap_or_default();
        let rest: Vec<&str> = segments.collect();
        self.roots.iter().any(|name| name.eq_ignore_ascii_case(root))
            && (self.least..=self.path.len()).contains(&rest.len())
            && rest.iter().zip(self.path).enumerate().all(|(at, (named, wanted))| self.matches(at, named, wanted))
    }

    fn matches(&self, at: usize, named: &str, wanted: &str) -> bool {
        let is_id = at + 1 == self.path.len();
        if is_id { named == wanted } else { named.eq_ignore_ascii_case(wanted) }
    }
}

/// The key of one device in a group: HMAC of the registration id under the group's key, all base64.
/// `None` when the group key is not base64.
pub(crate) fn derive_key(group_key: &str, registration_id: &str) -> Option<String> {
    let key = STANDARD.decode(group_key).ok()?;
    Some(STANDARD.encode(hmac(&key, registration_id.as_bytes())))
}

/// Whether this can be the key of an enrolment group: base64 of 16 to 64 bytes.
pub(crate) fn is_key(text: &str) -> bool {
    STANDARD.decode(text).is_ok_and(|key| (16..=64).contains(&key.len()))
}

/// `sb://localhost:5671/a/b/` is `localhost`, `a`, `b`.
fn segments(text: &str) -> Vec<String> {
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let mut segments: Vec<String> = text.trim_end_matches('/').split('/').map(str::to_owned).collect();
    if let Some(host) = segments.first_mut()
        && let Some((name, port)) = host.rsplit_once(':')
        && port.parse::<u16>().is_ok()
    {
        *host = name.to_owned();
    }
    segments
}

fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text);
    mac.finalize().into_bytes().into()
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
pub(crate) mod tests;
