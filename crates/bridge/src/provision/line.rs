//! PURE: who is next to register in a scope. Devices with messages in the queue come before those that nobody waits for.

use std::collections::{HashMap, VecDeque};

use crate::provision::Applicant;

/// Devices that wait in one scope to be provisioned ahead of their first uplink: 300 bytes each, 3 MB. Who brings more
/// waits for room ([`Joined::Full`]). Devices with messages have no bound of their own: the queue bounds its lanes.
const AHEAD_MAX: usize = 10_000;

/// One per scope. A device stands in it once, until its registration has ended.
#[derive(Clone, Debug, Default)]
pub struct Line {
    urgent: VecDeque<Applicant>,
    ahead: VecDeque<Applicant>,
    /// By the device's id in this scope.
    places: HashMap<String, Place>,
    /// Of `ahead`, those that have gone over to `urgent` since.
    promoted: usize,
    done: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Urgent,
    Ahead,
    UnderWay,
}

/// Why a device is to be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// A message of it waits in the queue.
    MessageWaits,
    /// Somebody wants it to be there before its first message.
    Asked,
}

/// What came of joining.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// It stands in the line, or is being registered.
    InLine,
    /// No room for devices that nobody waits for: again later.
    Full,
}

/// How long a line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Length {
    /// With messages in the queue.
    pub urgent: usize,
    /// Without.
    pub ahead: usize,
    /// Being registered just now.
    pub under_way: usize,
    /// Ended, well or not, since the line was empty last.
    pub done: usize,
}

impl Line {
    /// Takes its place, once however often it is asked for.
    pub fn join(&mut self, applicant: Applicant, because: Because) -> Joined {
        if self.places.is_empty() {
            self.done = 0;
        }
        let place = self.places.get(&applicant.name.id).copied();
        match (place, because) {
            (None | Some(Place::Ahead), Because::MessageWaits) => {
                self.promoted += usize::from(place.is_some());
                self.places.insert(applicant.name.id.clone(), Place::Urgent);
                self.urgent.push_back(applicant);
            }
            (None, Because::Asked) if self.length().ahead >= AHEAD_MAX => return Joined::Full,
            (None, Because::Asked) => {
                self.places.insert(applicant.name.id.clone(), Place::Ahead);
                self.ahead.push_back(applicant);
            }
            (Some(Place::Urgent | Place::UnderWay), _) | (Some(Place::Ahead), Because::Asked) => {}
        }
        Joined::InLine
    }

    /// The next one begins; it is under way until [`Line::ended`].
    pub fn begin(&mut self) -> Option<Applicant> {
        let next = self.urgent.pop_front().or_else(|| self.next_ahead())?;
        self.places.insert(next.name.id.clone(), Place::UnderWay);
        Some(next)
    }

    /// One that stands in no line begins at once: it is under way until [`Line::ended`] or [`Line::leave`]. False when it
    /// stands here already.
    pub fn begin_at_once(&mut self, id: &str) -> bool {
        let is_new = !self.places.contains_key(id);
        if is_new {
            self.places.insert(id.to_owned(), Place::UnderWay);
        }
        is_new
    }

    /// It is not under way any more, and has not ended.
    pub fn leave(&mut self, id: &str) {
        self.places.remove(id);
    }

    fn next_ahead(&mut self) -> Option<Applicant> {
        while let Some(next) = self.ahead.pop_front() {
            if self.places.get(&next.name.id) == Some(&Place::Ahead) {
                return Some(next);
            }
            self.promoted = self.promoted.saturating_sub(1);
        }
        None
    }

    /// Its registration has ended, well or not.
    pub fn ended(&mut self, id: &str) {
        if self.places.remove(id).is_some() {
            self.done += 1;
        }
    }

    /// Whether nobody waits. Some may be under way.
    pub fn is_empty(&self) -> bool {
        let Length { urgent, ahead, .. } = self.length();
        urgent + ahead == 0
    }

    /// Whether this device stands in it or is being registered.
    pub fn holds(&self, id: &str) -> bool {
        self.places.contains_key(id)
    }

    /// How many stand where.
    pub fn length(&self) -> Length {
        let urgent = self.urgent.len();
        let ahead = self.ahead.len().saturating_sub(self.promoted);
        let under_way = self.places.len().saturating_sub(urgent + ahead);
        Length { urgent, ahead, under_way, done: self.done }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::identity::Name;

    fn applicant(id: &str) -> Applicant {
        let name = Name { scope: "dps".to_owned(), id: id.to_owned() };
        Applicant { name, target: crate::provision::tests::target(), lane: format!("t/ttn/app/{id}") }
    }

    fn next(line: &mut Line) -> Option<String> {
        line.begin().map(|applicant| applicant.name.id)
    }

    #[test]
    fn who_has_messages_comes_before_who_was_only_asked_for() {
        let mut line = Line::default();
        for id in ["a", "b", "c"] {
            assert_eq!(line.join(applicant(id), Because::Asked), Joined::InLine);
        }
        line.join(applicant("x"), Because::MessageWaits);
        line.join(applicant("b"), Because::MessageWaits);
        assert_eq!(line.length(), Length { urgent: 2, ahead: 2, under_way: 0, done: 0 });
        let order: Vec<_> = std::iter::from_fn(|| next(&mut line)).collect();
        assert_eq!(order, ["x", "b", "a", "c"]);
        assert_eq!(line.length(), Length { urgent: 0, ahead: 0, under_way: 4, done: 0 });
    }

    #[test]
    fn a_line_that_is_full_takes_those_with_messages_all_the_same() {
        let mut line = Line::default();
        for i in 0..AHEAD_MAX {
            assert_eq!(line.join(applicant(&i.to_string()), Because::Asked), Joined::InLine);
        }
        assert_eq!(line.join(applicant("one-more"), Because::Asked), Joined::Full);
        assert_eq!(line.join(applicant("7"), Because::Asked), Joined::InLine, "it stands there already");
        assert_eq!(line.join(applicant("one-more"), Because::MessageWaits), Joined::InLine);
        assert_eq!(next(&mut line).as_deref(), Some("one-more"));
    }

    proptest! {
        /// Whatever is asked in whatever order: nobody registers twice at once, nobody is forgotten, and the lengths are true.
        #[test]
        fn everybody_is_served_once(steps in prop::collection::vec((0..4_u8, 0..6_u8), 0..200)) {
            let mut line = Line::default();
            let mut under_way = std::collections::BTreeSet::new();
            let mut waiting = std::collections::BTreeMap::new();
            for (step, device) in steps {
                let id = device.to_string();
                match step {
                    0 | 1 => {
                        let because = if step == 0 { Because::MessageWaits } else { Because::Asked };
                        line.join(applicant(&id), because);
                        if !under_way.contains(&id) {
                            let urgent = waiting.entry(id).or_insert(false);
                            *urgent |= step == 0;
                        }
                    }
                    2 => match next(&mut line) {
                        Some(next) => {
                            let urgent = waiting.remove(&next);
                            prop_assert!(urgent.is_some(), "{next} was not in line");
                            prop_assert!(urgent == Some(true) || !waiting.values().any(|urgent| *urgent));
                            prop_assert!(under_way.insert(next));
                        }
                        None => prop_assert!(waiting.is_empty()),
                    },
                    _ => if under_way.remove(&id) {
                        line.ended(&id);
                    },
                }
                let length = line.length();
                let urgent = waiting.values().filter(|urgent| **urgent).count();
                prop_assert_eq!((length.urgent, length.ahead), (urgent, waiting.len() - urgent));
                prop_assert_eq!(length.under_way, under_way.len());
                prop_assert_eq!(line.is_empty(), waiting.is_empty());
            }
        }
    }
}
