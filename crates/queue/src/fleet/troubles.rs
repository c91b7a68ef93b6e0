//! PURE: which failures of the account are told, and when.
//!
//! Promises: the first failure of an operation is told, with each cause that is new; one that goes on is told again once a minute; its
//! end is told if its beginning was. An operation that works hides none that does not.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::names;
use crate::blobs::{Failure, FailureKind};

/// The same cause of the same operation is not told twice within this.
const AGAIN: Duration = Duration::from_secs(60);

/// Causes of one operation that are told apart; the service has no such number of them.
const CAUSES_MAX: usize = 32;

/// What was asked, as far as troubles are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Topic {
    pub(crate) asked: &'static str,
    /// Of which kind of blobs.
    pub(crate) of: &'static str,
    /// The partition that was to be taken: more than a call.
    pub(crate) part: Option<u16>,
}

impl Topic {
    pub(crate) fn of(asked: &'static str, name: &str) -> Self {
        Self { asked, of: names::kind(name), part: None }
    }
}

/// What is to be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It fails, so many times in a row by now.
    Fails {
        failure: Failure,
        times: u64,
        for_s: u64,
    },
    Works {
        times: u64,
        after_s: u64,
    },
}

#[derive(Debug)]
struct State {
    failing: Option<Failing>,
    /// Each cause, and when it was told last.
    told: BTreeMap<(FailureKind, String), Instant>,
}

#[derive(Debug)]
struct Failing {
    since: Instant,
    times: u64,
    is_told: bool,
    last: Failure,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Troubles(BTreeMap<Topic, State>);

impl Troubles {
    /// A call that was begun at `asked` has ended.
    pub(crate) fn heard(
        &mut self,
        topic: Topic,
        asked: Instant,
        now: Instant,
        failure: Option<&Failure>,
    ) -> Option<News> {
        match failure {
            Some(failure) => {
                let state = self.0.entry(topic).or_insert_with(|| State { failing: None, told: BTreeMap::new() });
                state.fails(asked, now, failure)
            }
            None => {
                let state = self.0.get_mut(&topic)?;
                let failing = state.failing.take();
                state.told.retain(|_, at| now.duration_since(*at) < AGAIN);
                if state.told.is_empty() {
                    self.0.remove(&topic);
                }
                let Failing { since, times, .. } = failing.filter(|failing| failing.is_told)?;
                Some(News::Works { times, after_s: now.duration_since(since).as_secs() })
            }
        }
    }

    /// What fails for the longest time, and since when. A partition that could not be taken may be another's by now.
    pub(crate) fn oldest(&self) -> Option<(Instant, &Failure)> {
        let calls = self.0.iter().filter(|(topic, _)| topic.part.is_none());
        let failing = calls.filter_map(|(_, state)| state.failing.as_ref());
        failing.map(|failing| (failing.since, &failing.last)).min_by_key(|(since, _)| *since)
    }
}

impl State {
    fn fails(&mut self, asked: Instant, now: Instant, failure: &Failure) -> Option<News> {
        let fresh = || Failing { since: asked, times: 0, is_told: false, last: failure.clone() };
        let failing = self.failing.get_or_insert_with(fresh);
        failing.times += 1;
        failing.last = failure.clone();
        self.told.retain(|_, at| now.duration_since(*at) < AGAIN);
        let cause = (failure.kind, failure.code.clone());
        if self.told.contains_key(&cause) || self.told.len() >= CAUSES_MAX {
            return None;
        }
        self.told.insert(cause, now);
        failing.is_told = true;
        let (times, for_s) = (failing.times, now.duration_since(failing.since).as_secs());
        Some(News::Fails { failure: failure.clone(), times, for_s })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: &str) -> Failure {
        Failure { kind: FailureKind::Passing, code: code.into(), cause: format!("{code}: why"), retry_after: None }
    }

    fn put() -> Topic {
        Topic::of("put", "door/00000001/000000000001")
    }

    /// What is said of a call that ends so many seconds after the beginning.
    fn at(troubles: &mut Troubles, topic: Topic, begun: Instant, s: u64, code: Option<&str>) -> Option<String> {
        let now = begun + Duration::from_secs(s);
        let failure = code.map(failure);
        troubles.heard(topic, now, now, failure.as_ref()).map(|news| match news {
            News::Fails { failure, times, .. } => format!("{} {times}", failure.code),
            News::Works { times, after_s } => format!("works {times} {after_s}"),
        })
    }

    #[test]
    fn a_failure_that_goes_on_is_told_once_a_minute_and_its_end_once() {
        let (mut troubles, begun) = (Troubles::default(), Instant::now());
        let told: Vec<_> = (0..130).filter_map(|s| at(&mut troubles, put(), begun, s, Some("503"))).collect();
        assert_eq!(told, ["503 1", "503 61", "503 121"]);
        assert_eq!(troubles.oldest().map(|(since, _)| since), Some(begun));
        assert_eq!(at(&mut troubles, put(), begun, 130, None).as_deref(), Some("works 130 130"));
        assert_eq!(at(&mut troubles, put(), begun, 131, None), None);
        assert!(troubles.oldest().is_none());
    }

    #[test]
    fn what_works_hides_nothing_that_does_not() {
        let (mut troubles, begun) = (Troubles::default(), Instant::now());
        let get = Topic::of("get", "door/00000001/000000000001");
        let told: Vec<_> = (0..50)
            .flat_map(|s| [at(&mut troubles, put(), begun, s, Some("403")), at(&mut troubles, get, begun, s, None)])
            .flatten()
            .collect();
        assert_eq!(told, ["403 1"], "neither an end nor a second beginning");
        assert!(troubles.oldest().is_some());
    }

    #[test]
    fn one_that_comes_and_goes_is_told_once_a_minute_and_another_cause_at_once() {
        let (mut troubles, begun) = (Troubles::default(), Instant::now());
        let mut told: Vec<_> =
            (0..60).filter_map(|s| at(&mut troubles, put(), begun, s, Some("503").filter(|_| s % 2 == 0))).collect();
        told.extend(at(&mut troubles, put(), begun, 60, Some("403")));
        assert_eq!(told, ["503 1", "works 1 1", "403 1"]);
    }
}
