//! Lines that a stranger could cause by the thousand: one in a while, with the number of those left out.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Between two lines of the same word. Counters count every one.
const GAP: Duration = Duration::from_secs(10);

/// When each word was logged last. As many entries as there are fixed words.
#[derive(Debug, Default)]
pub(super) struct Seldom(Mutex<BTreeMap<&'static str, Last>>);

#[derive(Clone, Copy, Debug)]
struct Last {
    at: Instant,
    left_out: u64,
}

impl Seldom {
    /// `Some` when it is time for a line, with how many were left out since the last.
    pub(super) fn turn(&self, word: &'static str) -> Option<u64> {
        let now = Instant::now();
        let mut words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match words.get_mut(word) {
            Some(last) if now < last.at + GAP => {
                last.left_out += 1;
                None
            }
            Some(last) => Some(std::mem::replace(last, Last { at: now, left_out: 0 }).left_out),
            None => {
                words.insert(word, Last { at: now, left_out: 0 });
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_one_line_and_a_number() {
        let seldom = Seldom::default();
        assert_eq!(seldom.turn("a"), Some(0));
        for _ in 0..1_000 {
            assert_eq!(seldom.turn("a"), None);
        }
        assert_eq!(seldom.turn("b"), Some(0));
        tokio::time::advance(GAP).await;
        assert_eq!(seldom.turn("a"), Some(1_000));
        assert_eq!(seldom.turn("a"), None);
    }
}
