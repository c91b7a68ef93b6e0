//! PURE: keys whose value was replaced where it stands, and that are still taken for a while.
//!
//! The network goes on sending the old one until somebody changes it there. What was taken out of the configuration, or
//! stands somewhere else now, is taken no longer: that is how a key is revoked.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::{Source, WebhookKey};

/// Old values of one key. Whoever replaces it more often within the overlap means the oldest to be gone.
const VALUES_MAX: usize = 8;

/// Values that are over, but still taken.
#[derive(Debug, Default)]
pub struct Overlap(Vec<Old>);

#[derive(Debug)]
struct Old {
    key: WebhookKey,
    until: Instant,
}

impl Overlap {
    /// The keys were `old` and are `new` from `now` on. A shorter overlap than before counts for those before as well.
    pub fn replace(&mut self, old: &[WebhookKey], new: &[WebhookKey], overlap: Duration, now: Instant) {
        self.0.iter_mut().for_each(|old| old.until = old.until.min(now + overlap));
        let replaced = |old: &&WebhookKey| beside(new, old).is_some_and(|new| new.secret != old.secret);
        self.0.extend(old.iter().filter(replaced).map(|key| Old { key: key.clone(), until: now + overlap }));
        self.0.retain(|old| beside(new, &old.key).is_some());
        for key in new {
            let of = |old: &Old| old.key.source == key.source;
            while self.0.iter().filter(|old| of(old)).count() > VALUES_MAX {
                if let Some(oldest) = self.0.iter().position(of) {
                    self.0.remove(oldest);
                }
            }
        }
        self.expire(now);
    }

    /// Forgets what is over. True if there was something.
    pub fn expire(&mut self, now: Instant) -> bool {
        let before = self.0.len();
        self.0.retain(|old| now < old.until);
        self.0.len() < before
    }

    /// All that opens the door: old values for what their keys may now. A current value goes before the same old one.
    pub fn with(&self, keys: &[WebhookKey]) -> Vec<WebhookKey> {
        let old = self.0.iter().filter_map(|old| {
            let key = beside(keys, &old.key)?;
            Some(WebhookKey { secret: old.key.secret.clone(), ..key.clone() })
        });
        old.chain(keys.iter().cloned()).collect()
    }
}

/// The key that stands where `key` stood. What stands in the configuration itself has no place that could be the same.
fn beside<'k>(keys: &'k [WebhookKey], key: &WebhookKey) -> Option<&'k WebhookKey> {
    let stays = matches!(key.source, Source::File(_) | Source::KeyVault(_));
    keys.iter().find(|other| stays && other.source == key.source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    const HOUR: Duration = Duration::from_secs(3600);

    fn key(file: &str, secret: &str) -> WebhookKey {
        WebhookKey { source: Source::File(file.into()), ..WebhookKey::plain(Secret::new(secret.to_owned())) }
    }

    fn secrets(overlap: &Overlap, keys: &[WebhookKey]) -> Vec<String> {
        overlap.with(keys).iter().map(|key| key.secret.expose().clone()).collect()
    }

    #[test]
    fn a_replaced_value_is_taken_for_the_overlap_and_for_what_its_key_may_now() {
        let (mut overlap, now) = (Overlap::default(), Instant::now());
        let limited = WebhookKey { applications: Some(["hall".to_owned()].into()), ..key("a", "2") };
        let new = [limited.clone()];
        overlap.replace(&[key("a", "1")], &new, HOUR, now);
        assert_eq!(secrets(&overlap, &new), ["1", "2"]);
        assert_eq!(overlap.with(&new)[0].applications, limited.applications);
        assert!(!overlap.expire(now + HOUR - Duration::from_millis(1)));
        assert!(overlap.expire(now + HOUR));
        assert_eq!(secrets(&overlap, &new), ["2"]);
    }

    #[test]
    fn replaced_again_each_old_value_has_its_own_time() {
        let (mut overlap, now) = (Overlap::default(), Instant::now());
        overlap.replace(&[key("a", "1")], &[key("a", "2")], HOUR, now);
        overlap.replace(&[key("a", "2")], &[key("a", "3")], HOUR, now + HOUR / 2);
        assert_eq!(secrets(&overlap, &[key("a", "3")]), ["1", "2", "3"]);
        overlap.expire(now + HOUR);
        assert_eq!(secrets(&overlap, &[key("a", "3")]), ["2", "3"]);
        for nth in 3..100 {
            let [old, new] = [nth, nth + 1].map(|nth: u32| [key("a", &nth.to_string())]);
            overlap.replace(&old, &new, HOUR, now + HOUR);
        }
        assert_eq!(secrets(&overlap, &[key("a", "100")]).len(), VALUES_MAX + 1);
    }

    #[test]
    fn what_is_removed_moved_or_plain_is_over_at_once() {
        let now = Instant::now();
        let after = |old: &[WebhookKey], new: &[WebhookKey], time| {
            let mut overlap = Overlap::default();
            overlap.replace(&[key("a", "0")], old, HOUR, now);
            overlap.replace(old, new, time, now);
            secrets(&overlap, new)
        };
        assert_eq!(after(&[key("a", "1")], &[], HOUR), [""; 0], "removed, and the value before it as well");
        assert_eq!(after(&[key("a", "1")], &[key("b", "2")], HOUR), ["2"], "elsewhere");
        let plain = |secret: &str| WebhookKey::plain(Secret::new(secret.to_owned()));
        assert_eq!(after(&[plain("1")], &[plain("2")], HOUR), ["2"], "plain");
        assert_eq!(after(&[key("a", "1")], &[key("a", "2")], Duration::ZERO), ["2"], "no overlap is wanted");
        assert_eq!(after(&[key("a", "1")], &[key("a", "1")], HOUR), ["0", "1"], "nothing changed since");
    }
}
