//! PURE: turns that are noted on disk before they are taken, so that a process that starts in the middle of a minute knows
//! what the one before it may have used up.
//!
//! Noted a tenth of a minute's pace at a time: at most ten small commits a minute, and a crash wastes at most a tenth.

use std::collections::VecDeque;

use queue::UnixMillis;
use serde::{Deserialize, Serialize};

/// A minute's pace is noted in so many pieces.
const PIECES: u32 = 10;
/// What was noted longer ago than this is noted again before it is used: times on disk are so far off at most.
const FRESH: UnixMillis = 5_000;
/// What is older does not count any more.
const MINUTE: UnixMillis = 60_000;

/// One per scope.
#[derive(Clone, Debug)]
pub struct Reserve {
    piece: usize,
    left: usize,
    /// Of the last minute.
    noted: VecDeque<Noted>,
}

/// So many turns may have been taken within [`FRESH`] of this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    at: UnixMillis,
    turns: usize,
}

impl Reserve {
    /// `per_minute` 0 means unpaced: nothing is noted. `noted` is what the process before left.
    pub fn new(per_minute: u32, noted: Vec<Noted>) -> Self {
        let piece = if per_minute == 0 { 0 } else { per_minute.div_ceil(PIECES) as usize };
        Self { piece, left: 0, noted: noted.into() }
    }

    /// Whether the next turn may be taken without another note.
    pub fn covers_one(&self, now: UnixMillis) -> bool {
        let is_fresh = |noted: &Noted| (0..FRESH).contains(&(now - noted.at));
        self.piece == 0 || (self.left > 0 && self.noted.back().is_some_and(is_fresh))
    }

    /// What is to be on disk before the next turns are taken.
    pub fn note(&mut self, now: UnixMillis) -> Vec<Noted> {
        self.noted.retain(|noted| is_recent(noted, now));
        self.noted.push_back(Noted { at: now, turns: self.piece });
        self.left = self.piece;
        self.noted.iter().copied().collect()
    }

    /// A turn was taken.
    pub fn take(&mut self) {
        self.left = self.left.saturating_sub(1);
    }
}

/// When each turn of the process before may have been taken, at the latest.
pub fn past(noted: &[Noted], now: UnixMillis) -> impl Iterator<Item = UnixMillis> {
    let recent = noted.iter().filter(move |noted| is_recent(noted, now));
    recent.flat_map(move |noted| std::iter::repeat_n(noted.at.saturating_add(FRESH).min(now), noted.turns))
}

fn is_recent(noted: &Noted, now: UnixMillis) -> bool {
    (0..MINUTE + FRESH).contains(&(now - noted.at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minutes_pace_takes_ten_notes() {
        let mut reserve = Reserve::new(1000, Vec::new());
        let mut notes = 0;
        for turn in 0..1000 {
            if !reserve.covers_one(turn) {
                notes += 1;
                reserve.note(turn);
            }
            assert!(reserve.covers_one(turn));
            reserve.take();
        }
        assert_eq!(notes, 10);
        assert!(Reserve::new(0, Vec::new()).covers_one(0), "unpaced");
    }

    #[test]
    fn what_was_noted_is_no_later_than_what_was_taken() {
        let mut reserve = Reserve::new(10, Vec::new());
        reserve.note(0);
        assert!(reserve.covers_one(FRESH - 1));
        assert!(!reserve.covers_one(FRESH), "the time on disk would be wrong");
        let noted = reserve.note(FRESH);
        assert_eq!(past(&noted, 7_000).collect::<Vec<_>>(), [5_000, 7_000], "a turn at 4 999 and one just now");
        assert_eq!(past(&noted, MINUTE + FRESH).count(), 1);
        assert_eq!(past(&noted, -1).count(), 0, "a clock that was put back");
    }
}
