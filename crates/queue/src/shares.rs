//! How many messages wait, by lane and by group, and whether one more may.
//!
//! A group is what a lane's name has before its last `/`; a lane without one is a group of its own. Keeps a number for each
//! lane and group that holds messages, and nothing where there is no bound. Relies on being told of everything that comes and
//! goes after its commit; so the puts of one commit are not counted for each other, and a bound may be passed by as many as
//! one commit holds. PURE.

use std::collections::HashMap;
use std::sync::Arc;

use crate::Reason;

/// The [`Reason::code`] of what did not go to its lane because too many wait there.
pub const TOO_MANY_WAITING: &str = "too_many_waiting";

/// Bounds and counts.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    lane_max: Option<u64>,
    group_max: Option<u64>,
    // Looked up by name only; their order never decides anything.
    lanes: HashMap<Arc<str>, u64>,
    groups: HashMap<Arc<str>, u64>,
}

impl Shares {
    /// `None` is no bound.
    pub(crate) fn new(lane_max: Option<u64>, group_max: Option<u64>) -> Self {
        Self { lane_max, group_max, ..Self::default() }
    }

    /// Whether anything is to be counted.
    pub(crate) fn are_bounded(&self) -> bool {
        self.lane_max.is_some() || self.group_max.is_some()
    }

    /// Why one more message may not go to this lane.
    pub(crate) fn refuse(&self, lane: &str) -> Option<Reason> {
        let group = group_of(lane);
        let over = |what: &str, name: &str, counts: &HashMap<Arc<str>, u64>, max: Option<u64>| {
            let (waiting, max) = (counts.get(name).copied().unwrap_or_default(), max?);
            (waiting >= max).then(|| format!("{waiting} messages of {what} {name} wait already, and {max} may"))
        };
        let detail = over("the lane", lane, &self.lanes, self.lane_max)
            .or_else(|| over("the group", group, &self.groups, self.group_max))?;
        Some(Reason { code: TOO_MANY_WAITING.to_owned(), detail })
    }

    /// One came.
    pub(crate) fn add(&mut self, lane: &str) {
        let waiting = self.lanes.get(lane).copied().unwrap_or_default();
        self.set(lane, waiting + 1);
    }

    /// One went.
    pub(crate) fn take(&mut self, lane: &str) {
        let waiting = self.lanes.get(lane).copied().unwrap_or_default();
        self.set(lane, waiting.saturating_sub(1));
    }

    /// What the store says.
    pub(crate) fn set(&mut self, lane: &str, waiting: u64) {
        if self.are_bounded() {
            let before = put(&mut self.lanes, lane, waiting);
            let group = group_of(lane);
            let of_others = self.groups.get(group).map_or(0, |all| all.saturating_sub(before));
            put(&mut self.groups, group, of_others + waiting);
        }
    }

    /// Everything is read anew.
    pub(crate) fn clear(&mut self) {
        self.lanes.clear();
        self.groups.clear();
    }
}

/// What was there before. Nothing is kept of what is empty.
fn put(counts: &mut HashMap<Arc<str>, u64>, name: &str, count: u64) -> u64 {
    if count == 0 {
        return counts.remove(name).unwrap_or_default();
    }
    match counts.get_mut(name) {
        Some(known) => std::mem::replace(known, count),
        None => counts.insert(name.into(), count).unwrap_or_default(),
    }
}

fn group_of(lane: &str) -> &str {
    lane.rsplit_once('/').map_or(lane, |(group, _)| group)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(shares: &Shares, lane: &str) -> Option<String> {
        shares.refuse(lane).map(|reason| reason.detail)
    }

    #[test]
    fn a_lane_that_holds_too_many_takes_no_more_and_its_neighbours_do() {
        let mut shares = Shares::new(Some(2), None);
        (0..2).for_each(|_| shares.add("t/app/a"));
        let expected = "2 messages of the lane t/app/a wait already, and 2 may".to_owned();
        assert_eq!((detail(&shares, "t/app/a"), detail(&shares, "t/app/b")), (Some(expected), None));
        shares.take("t/app/a");
        assert_eq!(detail(&shares, "t/app/a"), None);
    }

    #[test]
    fn a_group_is_bounded_as_a_whole() {
        let mut shares = Shares::new(None, Some(3));
        ["t/app/a", "t/app/b", "t/app/b", "alone"].iter().for_each(|lane| shares.add(lane));
        let expected = "3 messages of the group t/app wait already, and 3 may".to_owned();
        assert_eq!((detail(&shares, "t/app/new"), detail(&shares, "t/other/a")), (Some(expected), None));
        shares.set("t/app/b", 1);
        assert_eq!(detail(&shares, "t/app/new"), None);
        shares.set("t/app/a", 5);
        assert!(detail(&shares, "t/app/b").is_some());
    }

    #[test]
    fn nothing_is_kept_of_what_is_empty_or_has_no_bound() {
        let mut shares = Shares::new(Some(1), Some(1));
        shares.add("t/app/a");
        shares.take("t/app/a");
        shares.take("t/app/a");
        assert_eq!((shares.lanes.len(), shares.groups.len()), (0, 0));
        let mut shares = Shares::default();
        shares.add("t/app/a");
        assert_eq!((shares.lanes.len(), detail(&shares, "t/app/a")), (0, None));
    }
}
