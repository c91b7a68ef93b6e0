//! PURE: what can be known here of the network's webhook: what our door refused, and frames that the network numbered and that
//! never came.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::super::alarm::{Claim, Kind, Severity};
use super::super::book::Now;
use super::super::facts::Door;
use super::devices::{GAPS_FOR, Group, Tally};
use super::words;

/// Answers of so long are looked at.
const WINDOW: Duration = Duration::from_secs(300);
/// One look every ten seconds.
const LOOKS_MAX: usize = 31;
/// So many refused, and so large a share of all in percent: a stranger who tries a key now and then is none of it.
const REFUSED_MIN: u64 = 5;
const REFUSED_PERCENT: u64 = 10;
/// From this share on it is most of what comes.
const MOST_PERCENT: u64 = 50;
/// Devices with gaps, and the share of their application's frames that is missing, in percent. What the radio loses is less.
const GAPPED_MIN: u64 = 5;
const MISSING_PERCENT: u64 = 33;
const SUBJECT: &str = "door";

/// What the network makes of refusals.
const COUNTS: &str = "The Things Stack counts every answer that is not 2xx as a failure of its webhook, tries each message once, and may switch the webhook off after a number of failures in a row";

/// What has to be remembered from look to look.
#[derive(Debug, Default)]
pub(super) struct Network {
    looks: VecDeque<(Duration, Door)>,
}

impl Network {
    /// What our door answered.
    pub(super) fn refused(&mut self, door: Option<Door>, now: Now) -> Option<Claim> {
        let door = door?;
        self.looks.push_back((now.passed, door));
        while self.looks.len() > LOOKS_MAX || self.looks.front().is_some_and(|(at, _)| now.passed > *at + WINDOW) {
            self.looks.pop_front();
        }
        let before = self.looks.front().map_or(door, |(_, door)| *door);
        let since = |of: fn(&Door) -> u64| of(&door).saturating_sub(of(&before));
        let answers = [
            (
                401,
                "no key or a wrong one",
                "compare the webhook's key in the network's console with webhook.keys",
                since(|door| door.unauthorized),
            ),
            (
                403,
                "a key that is not for this application",
                "add the application to its entry of webhook.keys, or give it the right key",
                since(|door| door.forbidden),
            ),
            (413, "too large", "see what posts bodies over 1 MiB", since(|door| door.too_large)),
            (
                503,
                "it could not be kept in time",
                "look at the queue's disk: longhaul queue status",
                since(|door| door.unavailable),
            ),
        ];
        let refused: u64 = answers.iter().map(|(.., count)| count).sum();
        let all = refused + since(|door| door.accepted);
        if refused < REFUSED_MIN || refused * 100 < all * REFUSED_PERCENT {
            return None;
        }
        let (status, why, mend, _) = answers.into_iter().max_by_key(|(.., count)| *count)?;
        let severity = if refused * 100 >= all * MOST_PERCENT { Severity::Page } else { Severity::Warn };
        let text = format!(
            "the door refused {refused} of {all} posts of the last {}, most of them with {status} ({why}). {COUNTS}",
            words::lasting(WINDOW)
        );
        Some(Claim::new(Kind::WebhookFailing, SUBJECT, severity, [text, mend.to_owned()]))
    }
}

/// Frames that never came, although their devices were heard again.
pub(super) fn missing(groups: &BTreeMap<Group, Tally>) -> impl Iterator<Item = Claim> {
    groups.iter().filter(|(_, tally)| {
        tally.gapped >= GAPPED_MIN && tally.missing * 100 >= (tally.missing + tally.frames) * MISSING_PERCENT
    }).map(|(group, tally)| {
        let text = format!(
            "in the last {} {} devices of {group} were heard again after frames that never came: {} are missing by their counters, beside about {} that came. {COUNTS}",
            words::lasting(GAPS_FOR),
            tally.gapped,
            tally.missing,
            tally.frames
        );
        let mend = "look at the webhook in the network's console: is it failing, paused or rate limited; and between it and us, at proxies and balancers. If the frames are missing there as well, it is the radio: a gateway was away";
        Claim::new(Kind::WebhookFailing, group.to_string(), Severity::Warn, [text, mend.to_owned()])
    })
}
