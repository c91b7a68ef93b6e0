//! What each hub counts against its daily allowance: messages in units of 4 KiB, a day of UTC at a time, and where that leads to.
//!
//! PURE: the time is handed in. A hub of the free tier counts units of half a KiB, and only 8 000 of them; whoever has one says so
//! by a lower allowance.

use std::collections::{BTreeMap, BTreeSet};

use queue::UnixMillis;
use serde::{Deserialize, Serialize};

/// A message is counted as so many of these, rounded up.
const UNIT_BYTES: u64 = 4096;
/// Hubs that are counted. They come from a provisioning service; the pool itself has one entry for each.
const HUBS_MAX: usize = 1_000;
const DAY_MS: UnixMillis = 86_400_000;
/// The pace is told from the last hour, in steps of five minutes.
const STEP_MS: UnixMillis = 300_000;
const STEPS: usize = 12;
/// And from no less than this: a burst is no pace.
const PACE_MIN_MS: UnixMillis = 300_000;

/// One hub's day. It is kept as a note beside the messages, so that a restart forgets a minute at the most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Day {
    /// Days since 1970-01-01, UTC.
    pub day: i64,
    /// Units of it.
    pub used: u64,
    /// Since when they are counted: its first moment, or later.
    pub counted_since: UnixMillis,
    /// Units of the last steps of five minutes, the newest last.
    #[serde(skip)]
    steps: Vec<(UnixMillis, u64)>,
}

/// Where a day leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// Units that will have been used when it ends, at the pace of the last hour.
    pub end_of_day: u64,
    /// When the allowance will be used up, if that is before the day ends; in the past where it is.
    pub runs_out_at: Option<UnixMillis>,
}

impl Day {
    fn new(now: UnixMillis, counted_since: UnixMillis) -> Self {
        Self { day: now.div_euclid(DAY_MS), used: 0, counted_since, steps: Vec::new() }
    }

    fn add(&mut self, now: UnixMillis, units: u64) {
        if self.day != now.div_euclid(DAY_MS) {
            // Also when the clock is set back. What is known of the pace stays.
            let steps = std::mem::take(&mut self.steps);
            let begins = now - now.rem_euclid(DAY_MS);
            *self = Self { steps, ..Self::new(now, begins) };
        }
        self.used = self.used.saturating_add(units);
        let step = now - now.rem_euclid(STEP_MS);
        match self.steps.last_mut() {
            Some((at, sum)) if *at == step => *sum = sum.saturating_add(units),
            _ => {
                self.steps.retain(|(at, _)| *at < step && *at > step - STEP_MS * STEPS as UnixMillis);
                self.steps.push((step, units));
            }
        }
    }

    /// Where this day leads to. `since` is when the process began to count.
    pub fn forecast(&self, now: UnixMillis, since: UnixMillis, allowance: Option<u64>) -> Forecast {
        let hour = STEP_MS * STEPS as UnixMillis;
        let from = (now - hour).max(since);
        let sum: u64 = self.steps.iter().filter(|(at, _)| at + STEP_MS > from).map(|(_, units)| units).sum();
        let measured = (now - from).max(PACE_MIN_MS);
        let per_ms = sum as f64 / measured as f64;
        let ends = (now.div_euclid(DAY_MS) + 1) * DAY_MS;
        let end_of_day = self.used.saturating_add(whole(per_ms * (ends - now) as f64));
        let runs_out_at = allowance.and_then(|allowance| {
            let left = allowance.saturating_sub(self.used);
            let at = now.saturating_add(if left == 0 {
                0
            } else {
                whole(left as f64 / per_ms).try_into().unwrap_or(i64::MAX)
            });
            (at < ends).then_some(at)
        });
        Forecast { end_of_day, runs_out_at }
    }
}

fn whole(number: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and nothing is negative")]
    let whole = number.round() as u64;
    whole
}

/// How a hub counts a message of so many bytes.
pub fn units(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(UNIT_BYTES).max(1)
}

/// All hubs.
#[derive(Debug, Default)]
pub struct Units {
    /// By host name.
    hubs: BTreeMap<String, Day>,
    /// Targets of the configuration whose messages went there.
    targets: BTreeMap<String, BTreeSet<String>>,
}

impl Units {
    /// A hub took a message.
    pub fn took(&mut self, hub: &str, target: &str, bytes: usize, now: UnixMillis) {
        self.lead(hub, target);
        if let Some(day) = self.hubs.get_mut(hub) {
            return day.add(now, units(bytes));
        }
        if self.hubs.len() < HUBS_MAX {
            let mut day = Day::new(now, now);
            day.add(now, units(bytes));
            self.hubs.insert(hub.to_owned(), day);
        }
    }

    /// Bounded by hubs and by what the configuration names.
    fn lead(&mut self, hub: &str, target: &str) {
        let is_known = self.targets.get(hub).is_some_and(|targets| targets.contains(target));
        if !is_known && self.targets.len() < HUBS_MAX {
            self.targets.entry(hub.to_owned()).or_default().insert(target.to_owned());
        }
    }

    /// Targets of the configuration whose messages this hub took since the start.
    pub fn targets_of(&self, hub: &str) -> Vec<String> {
        self.targets.get(hub).into_iter().flatten().cloned().collect()
    }

    /// What an earlier process counted goes before what this one has: it began earlier. A day that is over says nothing.
    pub fn take_in(&mut self, hub: &str, kept: Day, now: UnixMillis) {
        if kept.day != now.div_euclid(DAY_MS) || (self.hubs.len() >= HUBS_MAX && !self.hubs.contains_key(hub)) {
            return;
        }
        let ours = self.hubs.entry(hub.to_owned()).or_insert_with(|| Day::new(now, now));
        ours.used = ours.used.saturating_add(kept.used);
        ours.counted_since = ours.counted_since.min(kept.counted_since);
    }

    /// A hub's day as it stands now; none where it took nothing today.
    pub fn of(&self, hub: &str, now: UnixMillis) -> Option<Day> {
        self.hubs.get(hub).filter(|day| day.day == now.div_euclid(DAY_MS)).cloned()
    }

    /// All of today, to be kept.
    pub fn today(&self, now: UnixMillis) -> Vec<(String, Day)> {
        let today = now.div_euclid(DAY_MS);
        self.hubs.iter().filter(|(_, day)| day.day == today).map(|(hub, day)| (hub.clone(), day.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDNIGHT: UnixMillis = 1_763_856_000_000; // 2025-11-23T00:00:00Z
    const HOUR: UnixMillis = 3_600_000;

    #[test]
    fn a_message_counts_as_the_hub_counts_it() {
        for (bytes, is) in [(0, 1), (1, 1), (4096, 1), (4097, 2), (262_144, 64)] {
            assert_eq!(units(bytes), is, "{bytes}");
        }
    }

    fn steady(hours: std::ops::Range<i64>) -> Units {
        let mut units = Units::default();
        for minute in hours.start * 60..hours.end * 60 {
            units.took("hub", "main", 100, MIDNIGHT + minute * 60_000);
        }
        units
    }

    #[test]
    fn a_steady_pace_leads_where_it_seems_to_lead() {
        let units = steady(0..6);
        let now = MIDNIGHT + 6 * HOUR;
        let day = units.of("hub", now).expect("it took some");
        assert_eq!(day.used, 360);
        let forecast = day.forecast(now, MIDNIGHT, Some(720));
        assert!((1_400..=1_480).contains(&forecast.end_of_day), "{forecast:?}");
        let hours = (forecast.runs_out_at.expect("720 are less than 1 440") - MIDNIGHT) as f64 / HOUR as f64;
        assert!((11.5..=12.5).contains(&hours), "{hours}");
        assert_eq!(day.forecast(now, MIDNIGHT, Some(2_000)).runs_out_at, None);
        assert_eq!(day.forecast(now, MIDNIGHT, Some(360)).runs_out_at, Some(now), "it is used up");
    }

    #[test]
    fn midnight_begins_anew_and_knows_the_pace() {
        let mut units = steady(22..24);
        let now = MIDNIGHT + 24 * HOUR + 1;
        assert_eq!(units.of("hub", now), None, "yesterday's");
        units.took("hub", "main", 100, now);
        let day = units.of("hub", now).expect("today's");
        assert_eq!((day.used, day.counted_since), (1, MIDNIGHT + 24 * HOUR));
        let forecast = day.forecast(now, MIDNIGHT, None).end_of_day;
        assert!((1_300..=1_500).contains(&forecast), "{forecast}");
    }

    #[test]
    fn a_burst_in_the_first_minute_is_no_pace() {
        let mut units = Units::default();
        for _ in 0..100 {
            units.took("hub", "main", 100, MIDNIGHT + 12 * HOUR);
        }
        let now = MIDNIGHT + 12 * HOUR + 1_000;
        let forecast = units.of("hub", now).expect("it took some").forecast(now, MIDNIGHT + 12 * HOUR, None);
        assert!(forecast.end_of_day < 100 * 12 * 12 + 200, "100 in five minutes: {forecast:?}");
    }

    #[test]
    fn what_was_kept_counts_on_and_what_is_over_does_not() {
        let now = MIDNIGHT + 12 * HOUR;
        let kept = steady(0..6).today(MIDNIGHT + 6 * HOUR);
        let mut units = Units::default();
        units.took("hub", "main", 100, now);
        for (hub, day) in kept.clone() {
            let written = serde_json::to_vec(&day).expect("numbers");
            units.take_in(&hub, serde_json::from_slice(&written).expect("our own"), now);
        }
        let day = units.of("hub", now).expect("it took some");
        assert_eq!((day.used, day.counted_since), (361, MIDNIGHT));
        let mut tomorrow = Units::default();
        tomorrow.take_in("hub", kept[0].1.clone(), now + 24 * HOUR);
        assert_eq!(tomorrow.of("hub", now + 24 * HOUR), None);
    }
}
