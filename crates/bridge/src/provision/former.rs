//! PURE: with which key a registered device signs, when the keys of its group may have been replaced since.
//!
//! A hub holds the keys that a device got when it registered, and goes on taking them until it registers again, whatever
//! becomes of the group. So a device keeps the key that it registered with, for as long as we know it.

use sha2::{Digest, Sha256};

use crate::config::{DpsTarget, Secret};

/// Keys remembered. Two of each target are replaced in a change; whoever replaces more has devices register again, at
/// the pace of their service.
const KEYS_MAX: usize = 64;

/// Names a group key without telling it. A key has 128 bits at the least, of which these 64 of a digest say nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Of this key.
    pub fn of(key: &[u8]) -> Self {
        let digest = Sha256::new().chain_update(b"group key").chain_update(key).finalize();
        Self(digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

/// Keys that were configured before, the oldest first. In memory only: after a restart those devices register again.
#[derive(Debug, Default)]
pub struct Former(Vec<Secret<Vec<u8>>>);

impl Former {
    /// These may be configured no longer from now on.
    pub fn keep<'t>(&mut self, targets: impl Iterator<Item = &'t DpsTarget>) {
        for key in targets.flat_map(keys) {
            self.0.retain(|known| known != key);
            self.0.push(key.clone());
        }
        let over = self.0.len().saturating_sub(KEYS_MAX);
        self.0.drain(..over);
    }

    /// The key that a device of this target registered with.
    pub fn key_of<'k>(&'k self, target: &'k DpsTarget, registered_with: Fingerprint) -> Option<&'k [u8]> {
        let all = keys(target).chain(self.0.iter().rev());
        all.map(|key| key.expose().as_slice()).find(|key| Fingerprint::of(key) == registered_with)
    }
}

/// Is it one of the keys that the group has now?
pub fn is_configured(target: &DpsTarget, key: Fingerprint) -> bool {
    keys(target).any(|known| Fingerprint::of(known.expose()) == key)
}

fn keys(target: &DpsTarget) -> impl Iterator<Item = &Secret<Vec<u8>>> {
    std::iter::once(&target.group_key).chain(&target.secondary_group_key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(primary: &str, secondary: Option<&str>) -> DpsTarget {
        let secret = |text: &str| Secret::new(text.as_bytes().to_vec());
        DpsTarget {
            endpoint: azure::net::Endpoint { host: "dps".to_owned(), port: 443 },
            id_scope: "0ne00ABCDEF".to_owned(),
            group_key: secret(primary),
            secondary_group_key: secondary.map(secret),
            model_id: None,
            central: false,
        }
    }

    #[test]
    fn a_device_keeps_the_key_that_it_registered_with() {
        let mut former = Former::default();
        let with = |former: &Former, target: &DpsTarget, key: &str| {
            former.key_of(target, Fingerprint::of(key.as_bytes())).map(<[u8]>::to_vec)
        };
        assert_eq!(with(&former, &target("1", Some("2")), "2"), Some(b"2".to_vec()));
        assert_eq!(with(&former, &target("2", Some("3")), "2"), Some(b"2".to_vec()), "also in the other place");
        assert_eq!(with(&former, &target("3", None), "1"), None, "nobody knows it any more");
        former.keep([target("1", Some("2"))].iter());
        former.keep([target("2", None)].iter());
        assert_eq!(with(&former, &target("3", None), "1"), Some(b"1".to_vec()));
        assert_eq!(with(&former, &target("3", None), "4"), None);
        assert!(is_configured(&target("3", Some("1")), Fingerprint::of(b"1")));
        assert!(!is_configured(&target("3", Some("2")), Fingerprint::of(b"1")));
        let many: Vec<_> = (0..1000).map(|nth| target(&format!("key {nth}"), None)).collect();
        former.keep(many.iter());
        assert_eq!(former.0.len(), KEYS_MAX);
        assert_eq!(with(&former, &target("3", None), "key 999"), Some(b"key 999".to_vec()), "the latest stay");
    }
}
