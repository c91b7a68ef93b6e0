//! PURE: how long the queue will have room, by how it filled lately; and what of that a person is told.

use std::collections::VecDeque;

use queue::Stats;
use serde::Serialize;

use super::LOOK_EVERY;

/// How fast it fills is told from so many looks back: five minutes, over which a burst is none.
const LOOKS: usize = 30;
/// And not from fewer: a minute.
const LOOKS_MIN: usize = 7;
/// A person is told when no more than this is left, once each.
const LEFT: [u64; 4] = [24 * 3600, 4 * 3600, 3600, 900];
/// What a stored byte takes on the disk, in percent: pages are not full, and lanes have names.
const TAKES: u64 = 130;

/// How long there will be room, by how it filled lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Outlook {
    /// Bytes of messages that still fit, on the disk and below `queue.max_bytes`.
    pub bytes_left: u64,
    /// Until then, at the pace of the last five minutes; none while it does not fill.
    pub seconds_left: Option<u64>,
}

/// What was stored at the last looks.
#[derive(Debug, Default)]
pub(super) struct Filling(VecDeque<u64>);

impl Filling {
    /// One more look.
    pub(super) fn look(&mut self, stats: &Stats) {
        self.0.push_back(stored(stats));
        if self.0.len() > LOOKS {
            self.0.pop_front();
        }
    }

    /// With room for so many bytes of the queue's file.
    pub(super) fn outlook(&self, room: u64) -> Outlook {
        outlook(&self.0, room)
    }
}

fn stored(stats: &Stats) -> u64 {
    stats.waiting_bytes + stats.dead_letters_bytes + stats.kept_bytes
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

/// Which of [`LEFT`] have passed: over when there is twice as much again.
#[derive(Debug, Default)]
pub(super) struct Steps(usize);

impl Steps {
    /// The step that it stands at, if any.
    pub(super) fn look(&mut self, outlook: Outlook) -> Option<u8> {
        let left = outlook.seconds_left.unwrap_or(u64::MAX);
        let passed = LEFT.iter().filter(|limit| left <= **limit).count();
        let is_over = self.0 > 0 && left / 2 > LEFT[self.0 - 1];
        if passed > self.0 || is_over {
            self.0 = passed;
        }
        self.0.checked_sub(1).and_then(|step| u8::try_from(step).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn each_step_passes_once_until_it_has_drained() {
        let mut steps = Steps::default();
        let mut step = |left| steps.look(Outlook { bytes_left: 1, seconds_left: left });
        assert_eq!([step(None), step(Some(90_000))], [None, None]);
        assert_eq!([step(Some(80_000)), step(Some(90_000)), step(Some(80_000))], [Some(0); 3], "no flapping");
        assert_eq!([step(Some(1_000)), step(Some(3_000))], [Some(2); 2], "several steps at once are one");
        assert_eq!([step(Some(800)), step(Some(0))], [Some(3); 2]);
        assert_eq!([step(None), step(Some(800))], [None, Some(3)], "it had drained");
    }
}
