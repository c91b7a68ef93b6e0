//! PURE: the storage service's clock, from the dates of its answers.
//!
//! Replicas have clocks of their own, and one of them is wrong some day. All of them hear the service's, though only in whole
//! seconds: an answer that was asked for at `a`, came at `b` and says `d` means that at some time between `a` and `b` it was
//! between `d` and the end of that second there. A few dozen of them narrow it to about the time that an answer takes.

use crate::UnixMillis;

/// How far the service's clock is ahead of ours, and how sure that is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Skew(Option<Between>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Between {
    least: UnixMillis,
    most: UnixMillis,
}

impl Skew {
    /// An answer. `asked` and `answered` are by a clock that nobody sets, in milliseconds.
    pub(crate) fn heard(&mut self, asked: UnixMillis, answered: UnixMillis, date: UnixMillis) {
        let new = Between { least: date - answered, most: date + 999 - asked };
        let both = match self.0 {
            Some(old) => Between { least: old.least.max(new.least), most: old.most.min(new.most) },
            None => new,
        };
        // Nothing fits both: one of the clocks was set, or ran away slowly. What was heard last counts.
        self.0 = Some(if both.least <= both.most { both } else { new });
    }

    /// How far it is ahead, by what was heard and by `ours`, which is what our own clock would have it be: that is believed as far
    /// as it can be true, for most clocks are right, and the others are at least made to fit.
    pub(crate) fn ahead(&self, ours: UnixMillis) -> UnixMillis {
        self.0.map_or(ours, |between| ours.clamp(between.least, between.most))
    }

    /// So much ours is wrong at least.
    pub(crate) fn wrong_by(&self, ours: UnixMillis) -> UnixMillis {
        (ours - self.ahead(ours)).abs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The service is `ahead`; answers take 20 ms, 8 of them before it looks at its clock.
    fn heard(skew: &mut Skew, ahead: UnixMillis, asked: impl Iterator<Item = UnixMillis>) {
        asked.for_each(|at| skew.heard(at, at + 20, (at + 8 + ahead) / 1_000 * 1_000));
    }

    #[test]
    fn whole_seconds_narrow_to_the_time_of_an_answer() {
        let mut skew = Skew::default();
        assert_eq!(skew.ahead(7), 7, "ours, as long as nothing was heard");
        heard(&mut skew, 123_456_789, [1_000].into_iter());
        assert!(skew.ahead(200_000_000) - skew.ahead(0) >= 900, "{skew:?}");
        heard(&mut skew, 123_456_789, (0..400).map(|n| 1_000 + n * 37));
        for wrong in [0, 200_000_000] {
            assert!((skew.ahead(wrong) - 123_456_789).abs() <= 50, "{skew:?}");
        }
        assert_eq!(skew.ahead(123_456_789), 123_456_789, "a clock that is right is believed to the millisecond");
    }

    #[test]
    fn a_clock_that_was_set_is_believed_at_once() {
        let mut skew = Skew::default();
        heard(&mut skew, 50_000, (0..400).map(|n| n * 37));
        heard(&mut skew, 20_000, (400..800).map(|n| n * 37));
        assert!((skew.ahead(50_000) - 20_000).abs() <= 50, "{skew:?}");
    }
}
