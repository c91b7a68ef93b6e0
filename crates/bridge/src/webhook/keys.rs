//! The keys that open the door.
//!
//! Promises: a key is compared by its SHA-256, in constant time, against all keys that are configured, whether or not
//! one fitted already; a request without a key takes the same way. Holds digests only. Does not know bodies.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::config::WebhookKey;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const X_FUNCTIONS_KEY: HeaderName = HeaderName::from_static("x-functions-key");

/// The configured keys.
#[derive(Clone)]
pub struct Keys {
    entries: Vec<Entry>,
    network: String,
}

#[derive(Clone)]
struct Entry {
    digest: [u8; 32],
    admission: Admission,
}

/// What a valid key allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// The network that uses the key.
    pub network: String,
    /// Only these applications; `None`: all.
    pub applications: Option<BTreeSet<String>>,
}

impl Admission {
    /// Whether messages of `application` may come in. What names no application belongs to nobody else's either.
    pub fn allows(&self, application: Option<&str>) -> bool {
        match (&self.applications, application) {
            (Some(allowed), Some(application)) => allowed.contains(application),
            _ => true,
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys", self.entries.len())
    }
}

impl Keys {
    /// Takes them from the configuration. Without any, the door is open; the configuration allows that on loopback
    /// only.
    ///
    /// `network` is the name of the network whose keys name none.
    pub fn new(keys: &[WebhookKey], network: &str) -> Self {
        let entries = keys.iter().map(|key| Entry {
            digest: Sha256::digest(key.secret.expose().as_bytes()).into(),
            admission: Admission {
                network: key.network.clone().unwrap_or_else(|| network.to_owned()),
                applications: key.applications.clone(),
            },
        });
        Self { entries: entries.collect(), network: network.to_owned() }
    }

    /// Nobody needs a key.
    pub fn is_open(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a request with these headers may come in, and for whom. `query` is given only where a key may stand
    /// in it.
    pub fn admit(&self, headers: &HeaderMap, query: Option<&str>) -> Option<Admission> {
        if self.entries.is_empty() {
            return Some(Admission { network: self.network.clone(), applications: None });
        }
        // A form that is not there is compared as well: its answer must not come sooner than that to a wrong key.
        let found = offered(headers, query).iter().fold(0, |found, key| {
            let number = self.find(key.as_deref().unwrap_or_default());
            u64::conditional_select(&found, &number, number.ct_ne(&0))
        });
        let index = usize::try_from(found).ok()?.checked_sub(1)?;
        self.entries.get(index).map(|entry| entry.admission.clone())
    }

    /// One more than the index of the key, 0 when there is none.
    fn find(&self, key: &[u8]) -> u64 {
        let digest: [u8; 32] = Sha256::digest(key).into();
        self.entries
            .iter()
            .zip(1..)
            .fold(0, |found, (entry, number)| u64::conditional_select(&found, &number, entry.digest.ct_eq(&digest)))
    }
}

/// Every key that a request shows, by the form it shows it in.
fn offered(headers: &HeaderMap, query: Option<&str>) -> [Option<Vec<u8>>; 4] {
    let plain = |name: &HeaderName| only(headers, name).map(|value| value.as_bytes().to_vec());
    [
        only(headers, &header::AUTHORIZATION).and_then(authorization),
        plain(&X_API_KEY),
        plain(&X_FUNCTIONS_KEY),
        query.and_then(code),
    ]
}

/// A header that comes twice is taken for none: which of the two was meant is not ours to guess.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// `Bearer KEY`, or the password of `Basic base64(user:KEY)`.
fn authorization(value: &HeaderValue) -> Option<Vec<u8>> {
    let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
    let rest = rest.trim_start_matches(' ');
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.as_bytes().to_vec());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = BASE64.decode(rest).ok()?;
    let colon = pair.iter().position(|&byte| byte == b':')?;
    Some(pair[colon + 1..].to_vec())
}

/// `code=KEY`, percent-decoded. A `+` stays one: Azure's keys are base64 and are pasted as they are.
fn code(query: &str) -> Option<Vec<u8>> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("code="))?;
    Some(percent_encoding::percent_decode_str(value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn keys() -> Keys {
        let key = |secret: &str, network: Option<&str>| WebhookKey {
            network: network.map(str::to_owned),
            ..WebhookKey::plain(Secret::new(secret.to_owned()))
        };
        Keys::new(&[key("first key", None), key("zweiter/Schlüssel+==", Some("ttn"))], "home")
    }

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name: HeaderName = name.parse().expect("a header name");
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a header value"));
        }
        headers
    }

    fn network(pairs: &[(&str, &str)], query: Option<&str>) -> Option<String> {
        keys().admit(&headers(pairs), query).map(|admission| admission.network)
    }

    #[test]
    fn every_form_of_a_key_opens() {
        let basic = format!("Basic {}", BASE64.encode("any:first key"));
        for pair in [
            ("authorization", "Bearer first key"),
            ("authorization", "bearer  first key"),
            ("authorization", basic.as_str()),
            ("x-api-key", "first key"),
            ("x-functions-key", "first key"),
        ] {
            assert_eq!(network(&[pair], None).as_deref(), Some("home"), "{pair:?}");
        }
        assert_eq!(network(&[], Some("a=1&code=first%20key")).as_deref(), Some("home"));
        assert_eq!(network(&[], Some("code=zweiter/Schl%C3%BCssel+==")).as_deref(), Some("ttn"));
        assert_eq!(network(&[("x-api-key", "zweiter/Schlüssel+==")], None).as_deref(), Some("ttn"));
    }

    #[test]
    fn one_right_key_among_several_opens() {
        assert!(network(&[("authorization", "Bearer of the proxy"), ("x-functions-key", "first key")], None).is_some());
    }

    #[test]
    fn nothing_else_opens() {
        for pairs in [
            &[][..],
            &[("authorization", "Bearer ")],
            &[("authorization", "Bearer first ke")],
            &[("authorization", "Bearer first keys")],
            &[("authorization", "Bearer First Key")],
            &[("authorization", "first key")],
            &[("authorization", "Digest first key")],
            &[("authorization", "Basic first key")],
            &[("authorization", "Bearer first key"), ("authorization", "Bearer first key")],
            &[("x-api-key", "")],
            &[("x-other", "first key")],
        ] {
            assert_eq!(network(pairs, Some("code=&key=first%20key")), None, "{pairs:?}");
        }
    }

    #[test]
    fn a_debug_print_shows_no_key() {
        assert_eq!(format!("{:?}", keys()), "2 keys");
    }
}
