//! Looks at the queue now and then and says what a human must know: that it cannot keep messages, that it will soon be full, and
//! that dead letters were pushed out before anybody dealt with them.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use queue::{Queue, Stats};
use serde::Serialize;

use crate::events::{Event, Events};

/// Between two looks. A minute of lost sleep is not worth a shorter one.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How fast it fills is told from so many looks back: five minutes, over which a burst is none.
const LOOKS: usize = 30;
/// And not from fewer: a minute.
const LOOKS_MIN: usize = 7;
/// A person is told when no more than this is left, once each.
const LEFT: [u64; 4] = [24 * 3600, 4 * 3600, 3600, 900];
/// What a stored byte takes on the disk, in percent: pages are not full, and lanes have names.
const TAKES: u64 = 130;

/// Where the queue is, and how large it may become.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its directory.
    pub dir: PathBuf,
    /// `queue.max_bytes`
    pub max_bytes: u64,
}

/// How long there will be room, by how it filled lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Outlook {
    /// Bytes of messages that still fit, on the disk and below `queue.max_bytes`.
    pub bytes_left: u64,
    /// Until then, at the pace of the last five minutes; none while it does not fill.
    pub seconds_left: Option<u64>,
}

/// What was seen last, for whoever asks.
#[derive(Debug, Default)]
pub struct Seen(Mutex<Option<Outlook>>);

impl Seen {
    /// None before the first look.
    pub fn outlook(&self) -> Option<Outlook> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks until it is dropped.
pub async fn watch(queue: Queue, events: Events, place: Option<Place>, seen: Arc<Seen>) {
    let mut before = queue.stats();
    let mut looks = VecDeque::from([stored(&before)]);
    let mut told = LEFT.len();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = queue.stats();
        for event in news(&before, &now) {
            events.emit(event);
        }
        before = now;
        looks.push_back(stored(&before));
        if looks.len() > LOOKS {
            looks.pop_front();
        }
        if let Some(room) = place.as_ref().and_then(room) {
            let outlook = outlook(&looks, room);
            *seen.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(outlook);
            if let Some(event) = warning(outlook, &mut told) {
                events.emit(event);
            }
        }
    }
}

/// PURE: what changed between two looks that somebody must hear of.
fn news<'a>(before: &Stats, now: &'a Stats) -> Vec<Event<'a>> {
    let mut news = Vec::new();
    if now.dead_letters_gone > before.dead_letters_gone {
        news.push(Event::DeadLettersGone { count: now.dead_letters_gone - before.dead_letters_gone });
    }
    match (before.writable, now.writable) {
        (true, false) => news.push(Event::QueueShut { trouble: now.trouble.as_deref().unwrap_or("unknown") }),
        (false, true) => news.push(Event::QueueOpen),
        _ => {}
    }
    news
}

fn stored(stats: &Stats) -> u64 {
    stats.waiting_bytes + stats.dead_letters_bytes + stats.kept_bytes
}

/// Bytes that the queue's file can have, with those that it has. None where the disk does not tell.
fn room(place: &Place) -> Option<u64> {
    let disk = rustix::fs::statvfs(&place.dir).ok()?;
    let file = std::fs::metadata(place.dir.join("queue.db")).ok()?.len();
    Some(place.max_bytes.min(file.saturating_add(disk.f_bavail.saturating_mul(disk.f_frsize))))
}

/// PURE: what is stored at each look, the last one now, and what the file can have at the most.
fn outlook(looks: &VecDeque<u64>, room: u64) -> Outlook {
    let now = looks.back().copied().unwrap_or(0);
    let bytes_left = (room / TAKES * 100).saturating_sub(now);
    let first = looks.front().copied().filter(|_| looks.len() >= LOOKS_MIN).unwrap_or(now);
    let grown = now.saturating_sub(first);
    let seconds = LOOK_EVERY.as_secs() * looks.len().saturating_sub(1) as u64;
    let seconds_left =
        (grown > 0).then(|| u64::try_from(u128::from(bytes_left) * u128::from(seconds) / u128::from(grown)));
    Outlook { bytes_left, seconds_left: seconds_left.map(|left| left.unwrap_or(u64::MAX)) }
}

/// PURE: each of [`LEFT`] is told once; again when there was twice as much meanwhile. `told` counts those that are still to come.
fn warning(outlook: Outlook, told: &mut usize) -> Option<Event<'static>> {
    let left = outlook.seconds_left.unwrap_or(u64::MAX);
    let passed = LEFT.iter().filter(|limit| left <= **limit).count();
    let is_new = passed > LEFT.len() - *told;
    let is_over = *told < LEFT.len() && left / 2 > LEFT[LEFT.len() - *told - 1];
    if is_new || is_over {
        *told = LEFT.len() - passed;
    }
    is_new.then_some(Event::QueueFills { seconds_left: left, bytes_left: outlook.bytes_left })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_news() {
        let fine = Stats { writable: true, dead_letters_gone: 3, ..Stats::default() };
        assert!(news(&fine, &fine).is_empty());
        let full = Stats { writable: false, trouble: Some("full".to_owned()), dead_letters_gone: 5, ..fine.clone() };
        let told = news(&fine, &full);
        assert!(
            matches!(told[..], [Event::DeadLettersGone { count: 2 }, Event::QueueShut { trouble: "full" }]),
            "{told:?}"
        );
        assert!(news(&full, &full).is_empty(), "once");
        assert!(matches!(news(&full, &fine)[..], [Event::QueueOpen]));
    }

    #[test]
    fn the_time_left_goes_by_the_last_minutes() {
        let looks = |looks: &[u64]| looks.iter().copied().collect::<VecDeque<_>>();
        assert_eq!(outlook(&looks(&[5]), 1_300), Outlook { bytes_left: 995, seconds_left: None });
        // 3 000 bytes in 60 s, and 10 000 left.
        let fills = outlook(&looks(&[0, 400, 400, 400, 400, 400, 3_000]), 16_900);
        assert_eq!(fills, Outlook { bytes_left: 10_000, seconds_left: Some(200) });
        assert_eq!(outlook(&looks(&[0, 3_000]), 16_900).seconds_left, None, "a burst tells nothing");
        assert_eq!(outlook(&looks(&[9, 9, 9, 9, 9, 9, 0]), 1_300).seconds_left, None, "it drains");
        let full = outlook(&looks(&[0, 0, 0, 0, 0, 0, 2_000]), 1_300);
        assert_eq!(full, Outlook { bytes_left: 0, seconds_left: Some(0) });
    }

    #[test]
    fn a_person_is_told_once_at_each_step() {
        let mut told = LEFT.len();
        let mut warned = |left| warning(Outlook { bytes_left: 1, seconds_left: left }, &mut told).is_some();
        assert!(!warned(None) && !warned(Some(90_000)));
        assert!(warned(Some(80_000)) && !warned(Some(90_000)) && !warned(Some(80_000)), "no flapping");
        assert!(warned(Some(1_000)), "several steps at once are one");
        assert!(!warned(Some(3_000)) && warned(Some(800)) && !warned(Some(0)));
        assert!(!warned(None) && warned(Some(800)), "it had drained");
    }
}
