//! PURE: what the queue's depths say.

use std::time::Duration;

use queue::UnixMillis;

use super::super::alarm::{Claim, Kind, Severity};
use super::super::book::Now;
use super::super::facts::Facts;
use super::super::room;
use super::words;

/// One subject: there is one queue.
const SUBJECT: &str = "queue";
/// Fewer devices than this that wait for long are these devices' trouble…
const MANY_MIN: u64 = 10;
/// …and so are fewer than this share of all, in percent.
const MANY_PERCENT: u64 = 1;
/// For so long after the last dead letters went the alarm stands: a day's work may be lost in bursts.
const GONE_FOR: Duration = Duration::from_secs(3_600);

/// What has to be remembered from look to look.
#[derive(Debug, Default)]
pub(super) struct QueueRules {
    /// Dead letters gone at the first look and at the last one, and when it last became more.
    letters: Option<Letters>,
    room: room::Steps,
}

#[derive(Clone, Copy, Debug)]
struct Letters {
    gone: u64,
    /// Gone since the alarm began, and when the last of them went.
    lately: Option<(u64, Duration)>,
}

impl QueueRules {
    pub(super) fn look(&mut self, facts: &Facts, queue_old: Duration, now: Now) -> Vec<Claim> {
        let claims = [shut(facts), self.filling(facts), old(facts, queue_old, now), self.gone(facts, now)];
        claims.into_iter().flatten().collect()
    }

    fn filling(&mut self, facts: &Facts) -> Option<Claim> {
        let outlook = facts.outlook?;
        let step = self.room.look(outlook)?;
        let left = Duration::from_secs(outlook.seconds_left.unwrap_or(0));
        let severity = if left <= Duration::from_secs(4 * 3_600) { Severity::Page } else { Severity::Warn };
        let text = format!(
            "at the pace of the last five minutes there is room for {} more: {} MB; when it is full, the network's posts are answered 503 and lost",
            words::lasting(left),
            outlook.bytes_left / 1_000_000
        );
        let mend = "make room on the disk of queue.dir, or raise queue.max_bytes; look whether a hub is down, or dead letters and kept events take the room: longhaul queue status";
        Some(Claim::new(Kind::DiskFilling, SUBJECT, severity, [text, mend.to_owned()]).at_step(step))
    }

    fn gone(&mut self, facts: &Facts, now: Now) -> Option<Claim> {
        let gone = facts.queue.dead_letters_gone;
        let letters = self.letters.get_or_insert(Letters { gone, lately: None });
        let more = gone.saturating_sub(std::mem::replace(&mut letters.gone, gone));
        letters.lately = letters.lately.filter(|(_, at)| now.passed < *at + GONE_FOR);
        if more > 0 {
            letters.lately = Some((letters.lately.map_or(0, |(count, _)| count) + more, now.passed));
        }
        let (count, _) = letters.lately?;
        let text =
            format!("{count} dead letters were pushed out by newer ones or by age, before anybody dealt with them");
        let mend = "replay or export what is left (longhaul dead-letters list), mend the commonest reason, or raise queue.dead_letters_max";
        Some(Claim::new(Kind::DeadLettersGone, "dead letters", Severity::Warn, [text, mend.to_owned()]))
    }
}

fn shut(facts: &Facts) -> Option<Claim> {
    if facts.queue.writable {
        return None;
    }
    let why = facts.queue.trouble.as_deref().unwrap_or("the queue does not say why");
    let text = format!("no message can be kept, and the network's posts are answered 503: {why}");
    let mend = "make room on the disk of queue.dir, or mend it: the network posts once, and what is refused now is lost unless the network's own retry queue is on";
    Some(Claim::new(Kind::QueueShut, SUBJECT, Severity::Page, [text, mend.to_owned()]))
}

/// One stuck device is not a page: it is in the list of devices, with its cause. Nor is what a hub that is down explains, which
/// has an alarm of its own.
fn old(facts: &Facts, queue_old: Duration, now: Now) -> Option<Claim> {
    let oldest = facts.queue.oldest_accepted_at?;
    let waited = words::between(oldest, now.wall);
    if waited < queue_old || facts.old_lanes == 0 {
        return None;
    }
    let devices = facts.old_lanes;
    let is_many = devices >= MANY_MIN.max(facts.devices_assigned as u64 * MANY_PERCENT / 100);
    let down: Vec<_> = facts.services.iter().filter(|service| !service.works).map(|service| &*service.name).collect();
    let severity = if is_many && down.is_empty() { Severity::Page } else { Severity::Warn };
    let who = match devices {
        1 => "one device waits".to_owned(),
        many => format!("{many} devices wait"),
    };
    let because = if down.is_empty() { String::new() } else { format!("; down: {}", down.join(", ")) };
    let text = format!(
        "{who} for longer than {}, the oldest message for {}; {} messages wait in all{because}",
        words::lasting(queue_old),
        words::lasting(waited),
        facts.queue.waiting
    );
    let mend = if is_many {
        "see which hub or provisioning service does not take them: longhaul devices list --state held, and the page, show each with its cause"
    } else {
        "longhaul devices list shows who waits and why; longhaul devices retry tries again at once what was mended"
    };
    Some(
        Claim::new(Kind::QueueOld, SUBJECT, severity, [text, mend.to_owned()])
            .since(oldest.saturating_add(millis(queue_old))),
    )
}

fn millis(duration: Duration) -> UnixMillis {
    UnixMillis::try_from(duration.as_millis()).unwrap_or(UnixMillis::MAX)
}
