//! PURE: what runs out: certificates and secrets.

use std::time::Duration;

use super::super::alarm::{Claim, Kind, Severity};
use super::super::book::Now;
use super::super::facts::{Ending, Facts, Runs};
use super::words;

/// Somebody is told when so much is left, once each.
const LEFT: [Duration; 3] = [days(21), days(7), days(1)];

const fn days(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}

pub(super) fn look(facts: &Facts, now: Now) -> Vec<Claim> {
    facts.ends.iter().filter_map(|ending| ends(ending, now)).collect()
}

fn ends(ending: &Ending, now: Now) -> Option<Claim> {
    let Ending { what, name, at } = ending;
    let left = words::between(now.wall, *at);
    let passed = LEFT.iter().filter(|limit| left <= **limit).count();
    let step = u8::try_from(passed.checked_sub(1)?).expect("there are three");
    let is_over = left.is_zero();
    let when = words::moment(*at);
    let when = if is_over {
        format!("has run out, at {when}")
    } else {
        format!("runs out in {}, at {when}", words::lasting(left))
    };
    let (alarm, text, mend) = match what {
        Runs::Certificate => (
            Kind::CertificateEnding,
            format!(
                "the door's certificate {name} {when}; from then on the network refuses to post, and its messages are lost"
            ),
            "renew it and put the new files in the same place: they are taken within five seconds, without a restart",
        ),
        Runs::VaultSecret => (
            Kind::SecretEnding,
            format!("the secret {name} {when}, by the date that its key vault has for it"),
            "put a new version of it into the key vault: it is fetched by itself within azure.key_vault_refresh_seconds",
        ),
        Runs::Signature => (
            Kind::SecretEnding,
            format!(
                "the shared access signature of {name} {when}; from then on the storage account refuses us, and the door answers 503"
            ),
            "make a new one, put it where the old one stands, and restart",
        ),
    };
    let severity = if step == 2 { Severity::Page } else { Severity::Warn };
    Some(Claim::new(alarm, name, severity, [text, mend.to_owned()]).at_step(step))
}
