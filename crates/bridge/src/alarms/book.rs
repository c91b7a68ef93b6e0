//! PURE: what stands. Raised once, ended once: what comes and goes within its patience is told to nobody, and what comes back
//! soon after its end takes longer to be taken for over each time.
//!
//! Knows no rule: claims go in at each look, news come out. Counts its patience by time that has passed, which nobody can set;
//! what it shows is by the wall clock.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use queue::UnixMillis;

use super::alarm::{Alarm, Claim, Kind};

/// Alarms that stand at once: the rules make far fewer (100 devices, and one for each application, hub and secret). 1 kB each.
const STANDING_MAX: usize = 1_000;
/// Ended alarms that are shown.
const RECENT_MAX: usize = 100;
/// Who comes back within this was never really gone.
const COMES_BACK_WITHIN: Duration = Duration::from_secs(3_600);
/// Longest time that one has to be away for its end.
const AWAY_MAX: Duration = Duration::from_secs(1_800);

/// When a look is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Unix milliseconds, for people; may jump.
    pub wall: UnixMillis,
    /// Since the watch began; never goes back, and stands still while the machine sleeps.
    pub passed: Duration,
}

/// Of an alarm, for whoever must hear of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// As it is now; it was raised, or has come a step further, unless it has ended.
    pub alarm: Alarm,
    /// It stood before, and has come a step further.
    pub is_further: bool,
}

impl News {
    /// The word in reports.
    pub fn state(&self) -> &'static str {
        if self.alarm.ended_at.is_some() { "ended" } else { "raised" }
    }
}

/// How long a thing must last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Before it is raised.
    pub raise_after: Duration,
    /// Away before it has ended.
    pub end_after: Duration,
}

#[derive(Debug)]
struct Entry {
    alarm: Alarm,
    state: State,
    /// How often it came back soon after its end.
    returns: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not told yet, since then.
    Doubted(Duration),
    Standing,
    /// Told, and not seen since then.
    Away(Duration),
    /// Ended then; kept to know it again.
    Over(Duration),
}

/// All alarms.
#[derive(Debug, Default)]
pub struct Book {
    entries: BTreeMap<(Kind, String), Entry>,
    /// Newest first.
    recent: VecDeque<Alarm>,
}

impl Book {
    /// What is claimed at this look, all of it. Returns what somebody must hear of.
    pub fn look(&mut self, claims: Vec<Claim>, patience: impl Fn(Kind) -> Patience, now: Now) -> Vec<News> {
        let mut unseen: Vec<_> = self.entries.keys().cloned().collect();
        let mut news = Vec::new();
        for claim in claims {
            let key = (claim.alarm, claim.subject.clone());
            if let Ok(at) = unseen.binary_search(&key) {
                unseen.remove(at);
            }
            let raise_after = patience(claim.alarm).raise_after;
            news.extend(self.seen(key, claim, raise_after, now));
        }
        for key in unseen {
            let end_after = patience(key.0).end_after;
            news.extend(self.not_seen(&key, end_after, now));
        }
        news
    }

    fn seen(&mut self, key: (Kind, String), claim: Claim, raise_after: Duration, now: Now) -> Option<News> {
        if self.entries.len() >= STANDING_MAX && !self.entries.contains_key(&key) {
            return None;
        }
        let entry = self.entries.entry(key).or_insert_with(|| Entry {
            alarm: alarm(&claim, now),
            state: State::Doubted(now.passed),
            returns: 0,
        });
        if let State::Over(_) = entry.state {
            (entry.alarm, entry.state) = (alarm(&claim, now), State::Doubted(now.passed));
            entry.returns += 1;
        }
        let is_further = claim.step > entry.alarm.step;
        entry.alarm.take(claim);
        match entry.state {
            State::Doubted(since) if now.passed < since + raise_after => return None,
            State::Doubted(_) => {
                entry.state = State::Standing;
                return Some(News { alarm: entry.alarm.clone(), is_further: false });
            }
            State::Standing | State::Away(_) | State::Over(_) => entry.state = State::Standing,
        }
        is_further.then(|| News { alarm: entry.alarm.clone(), is_further: true })
    }

    fn not_seen(&mut self, key: &(Kind, String), end_after: Duration, now: Now) -> Option<News> {
        let entry = self.entries.get_mut(key)?;
        let end_after = end_after.saturating_mul(1 << entry.returns.min(10)).min(AWAY_MAX.max(end_after));
        let away_since = match entry.state {
            State::Doubted(since) if entry.returns > 0 => {
                // Nobody heard of it this time.
                (entry.state, entry.returns) = (State::Over(since), entry.returns - 1);
                return None;
            }
            State::Over(at) if now.passed <= at + COMES_BACK_WITHIN => return None,
            State::Doubted(_) | State::Over(_) => {
                self.entries.remove(key);
                return None;
            }
            State::Standing => now.passed,
            State::Away(since) => since,
        };
        if now.passed < away_since + end_after {
            entry.state = State::Away(away_since);
            return None;
        }
        entry.state = State::Over(now.passed);
        entry.alarm.ended_at = Some(now.wall.max(entry.alarm.since));
        self.recent.push_front(entry.alarm.clone());
        self.recent.truncate(RECENT_MAX);
        Some(News { alarm: entry.alarm.clone(), is_further: false })
    }

    /// Whether it stands, by what was told.
    pub fn stands(&self, alarm: Kind, subject: &str) -> bool {
        self.entries.get(&(alarm, subject.to_owned())).is_some_and(Entry::is_active)
    }

    /// Those that stand, in the order of their names.
    pub fn active(&self) -> impl Iterator<Item = &Alarm> {
        self.entries.values().filter(|entry| entry.is_active()).map(|entry| &entry.alarm)
    }

    /// Those that ended last, newest first.
    pub fn recent(&self) -> impl Iterator<Item = &Alarm> {
        self.recent.iter()
    }

    /// The operator's receiver has taken a report of it.
    pub fn told(&mut self, told: &Alarm, at: UnixMillis) {
        let is_same =
            |alarm: &Alarm| (alarm.alarm, &alarm.subject, alarm.since) == (told.alarm, &told.subject, told.since);
        let standing = self.entries.get_mut(&(told.alarm, told.subject.clone())).map(|entry| &mut entry.alarm);
        for alarm in standing.into_iter().chain(&mut self.recent).filter(|alarm| is_same(alarm)) {
            alarm.told_at = Some(at);
        }
    }
}

impl Entry {
    fn is_active(&self) -> bool {
        matches!(self.state, State::Standing | State::Away(_))
    }
}

fn alarm(claim: &Claim, now: Now) -> Alarm {
    Alarm {
        alarm: claim.alarm,
        subject: claim.subject.clone(),
        severity: claim.severity,
        text: claim.text.clone(),
        mend: claim.mend.clone(),
        since: claim.since.unwrap_or(now.wall),
        ended_at: None,
        told_at: None,
        step: claim.step,
    }
}

impl Alarm {
    /// What is seen of it now. It gets no better before it ends: who was woken must not find that it was for less.
    fn take(&mut self, claim: Claim) {
        self.severity = self.severity.max(claim.severity);
        self.step = self.step.max(claim.step);
        (self.text, self.mend) = (claim.text, claim.mend);
    }
}

#[cfg(test)]
mod tests;
