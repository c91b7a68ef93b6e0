//! What was wrong, from when to when, and what that excuses.

/// Whom it concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Everybody,
    /// One device, in the plan's list.
    Device(usize),
}

/// What a trouble may do to those it concerns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effect {
    /// Messages may have to wait, and so much longer after it is over (milliseconds); none: they may not.
    pub(crate) delays: Option<i64>,
    /// A hub may take a message without the bridge hearing of it, or the bridge forget that it heard: it may come again.
    pub(crate) repeats: bool,
    /// Commits may fail, or not be there after all.
    pub(crate) forgets: bool,
    /// The process ends and begins anew; nothing around it is wrong.
    pub(crate) restarts: bool,
    /// The door may say 503.
    pub(crate) closes_the_disk: bool,
    /// The door may not answer at all.
    pub(crate) silences_the_door: bool,
    /// Messages may be buried for one of these reasons.
    pub(crate) buries: &'static [&'static str],
    /// Links may be let go because a token ran out.
    pub(crate) ends_tokens: bool,
}

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trouble {
    pub(crate) name: &'static str,
    pub(crate) from: i64,
    /// The end of the story when it never ended.
    pub(crate) to: i64,
    pub(crate) scope: Scope,
    pub(crate) effect: Effect,
}

impl Trouble {
    pub(crate) fn concerns(&self, device: usize) -> bool {
        match self.scope {
            Scope::Everybody => true,
            Scope::Device(one) => one == device,
        }
    }

    /// Was it there at any time between the two?
    pub(crate) fn touches(&self, from: i64, to: i64) -> bool {
        self.from <= to && from <= self.to
    }
}

/// How much of the time from `from` to `to` none of these intervals covers. They need not be sorted.
pub(crate) fn uncovered(from: i64, to: i64, intervals: impl Iterator<Item = (i64, i64)>) -> i64 {
    let mut intervals: Vec<_> = intervals.filter(|(begin, end)| *begin < to && *end > from).collect();
    intervals.sort_unstable();
    let (mut clear, mut at) = (0, from);
    for (begin, end) in intervals {
        clear += (begin - at).max(0);
        at = at.max(end);
    }
    clear + (to - at).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_time_without_trouble_counts() {
        assert_eq!(uncovered(0, 100, std::iter::empty()), 100);
        assert_eq!(uncovered(0, 100, [(10, 20), (15, 30), (90, 200)].into_iter()), 70);
        assert_eq!(uncovered(50, 100, [(0, 60), (200, 300), (95, 100)].into_iter()), 35);
        assert_eq!(uncovered(0, 10, [(-5, 50)].into_iter()), 0);
    }
}
