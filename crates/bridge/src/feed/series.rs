//! What happened each second, and the recent past in three grains: seconds, tens of seconds, five minutes.
//!
//! [`Second`] is counted by whoever emits a fact, without a lock. [`Series`] is PURE: a clock's reading is handed in with each
//! tick. In memory: 948 points of 17 figures, and three times [`BUCKETS`] counters: 130 KiB in all.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use queue::UnixMillis;
use serde::{Deserialize, Serialize};

/// Classes of waits: four for each doubling, from a millisecond to six days.
pub const BUCKETS: usize = 112;

/// What is counted from one tick to the next.
#[derive(Debug)]
pub struct Second {
    accepted: AtomicU64,
    delivered: AtomicU64,
    refused: AtomicU64,
    buried: AtomicU64,
    duplicates: AtomicU64,
    waits: [AtomicU32; BUCKETS],
}

impl Default for Second {
    fn default() -> Self {
        let [accepted, delivered, refused, buried, duplicates] = std::array::from_fn(|_| AtomicU64::new(0));
        let waits = std::array::from_fn(|_| AtomicU32::new(0));
        Self { accepted, delivered, refused, buried, duplicates, waits }
    }
}

/// What came to an end, or began.
#[derive(Clone, Copy, Debug)]
pub enum Counted {
    /// A message was committed.
    Accepted,
    /// A hub took one; door to acceptance.
    Delivered(Duration),
    /// The door answered something else than 2xx.
    Refused,
    /// One went to the dead letters.
    Buried,
    /// A second copy was recognised.
    Duplicate,
}

impl Second {
    /// One more.
    pub fn count(&self, what: Counted) {
        let counter = match what {
            Counted::Accepted => &self.accepted,
            Counted::Delivered(wait) => {
                self.waits[bucket(wait.as_millis())].fetch_add(1, Ordering::Relaxed);
                &self.delivered
            }
            Counted::Refused => &self.refused,
            Counted::Buried => &self.buried,
            Counted::Duplicate => &self.duplicates,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted since the last time.
    pub fn take(&self) -> (Counts, Waits) {
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
        let counts = Counts {
            accepted: take(&self.accepted),
            delivered: take(&self.delivered),
            refused: take(&self.refused),
            buried: take(&self.buried),
            duplicates: take(&self.duplicates),
        };
        (counts, Waits(std::array::from_fn(|at| self.waits[at].swap(0, Ordering::Relaxed))))
    }
}

/// Messages by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Committed by the door.
    pub accepted: u64,
    /// Taken by a hub.
    pub delivered: u64,
    /// Answered with something else than 2xx.
    pub refused: u64,
    /// To the dead letters.
    pub buried: u64,
    /// Second copies.
    pub duplicates: u64,
}

/// How many waited how long.
#[derive(Clone, Copy, Debug)]
pub struct Waits([u32; BUCKETS]);

impl Default for Waits {
    fn default() -> Self {
        Self([0; BUCKETS])
    }
}

impl Waits {
    fn add(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum = sum.saturating_add(more);
        }
    }

    /// So long or less did this share of them wait, to a tenth of it; 0 of none.
    pub fn at(&self, share: f64) -> u64 {
        let all: u64 = self.0.iter().copied().map(u64::from).sum();
        let mut left = all as f64 * share;
        for (at, count) in self.0.iter().enumerate() {
            left -= f64::from(*count);
            if *count > 0 && left <= 0.0 {
                return middle(at);
            }
        }
        0
    }
}

/// Two bits after the highest one.
fn bucket(millis: u128) -> usize {
    let millis = u64::try_from(millis).unwrap_or(u64::MAX);
    if millis < 4 {
        return usize::try_from(millis).unwrap_or(0);
    }
    let high = millis.ilog2();
    let low = (millis >> (high - 2)) & 3;
    ((high as usize - 1) * 4 + usize::try_from(low).unwrap_or(0)).min(BUCKETS - 1)
}

fn middle(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 4 {
        return bucket;
    }
    let width = 1_u64 << (bucket / 4 - 1);
    (4 + bucket % 4) * width + width / 2
}

/// One second, or a step of several, in figures. What is counted is summed; of what is measured the worst counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Tick {
    /// When it began.
    pub at: UnixMillis,
    /// Messages that the door committed.
    pub accepted: u64,
    /// Messages that a hub took.
    pub delivered: u64,
    /// Answers other than 2xx.
    pub refused: u64,
    /// Messages that went to the dead letters.
    pub buried: u64,
    /// Second copies that were recognised.
    pub duplicates: u64,
    /// Half of what was delivered took no longer than this from the door.
    pub p50_ms: u64,
    /// And all but a hundredth.
    pub p99_ms: u64,
    /// Messages in lanes.
    pub waiting: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// Those of them that are being worked on.
    pub leased: u64,
    /// Age of the oldest.
    pub oldest_age_ms: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// A put can be made durable.
    pub writable: bool,
    /// Hubs that work.
    pub hubs_up: u64,
    /// Hubs that do not.
    pub hubs_down: u64,
    /// Alarms that somebody should look at.
    pub alarms_active: u64,
}

/// The names of a point's figures, in their order.
pub const COLUMNS: [&str; 17] = [
    "at",
    "accepted",
    "delivered",
    "refused",
    "buried",
    "duplicates",
    "p50_ms",
    "p99_ms",
    "waiting",
    "waiting_bytes",
    "leased",
    "oldest_age_ms",
    "dead_letters",
    "writable",
    "hubs_up",
    "hubs_down",
    "alarms_active",
];

impl Tick {
    /// The figures under [`COLUMNS`]; true is 1.
    pub fn figures(&self) -> [i64; 17] {
        let figure = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let rest = [
            self.accepted,
            self.delivered,
            self.refused,
            self.buried,
            self.duplicates,
            self.p50_ms,
            self.p99_ms,
            self.waiting,
            self.waiting_bytes,
            self.leased,
            self.oldest_age_ms,
            self.dead_letters,
            u64::from(self.writable),
            self.hubs_up,
            self.hubs_down,
            self.alarms_active,
        ];
        let mut all = [self.at; 17];
        for (place, number) in all[1..].iter_mut().zip(rest) {
            *place = figure(number);
        }
        all
    }

    /// Together with a later one.
    fn and(self, later: Self) -> Self {
        Self {
            at: self.at,
            accepted: self.accepted + later.accepted,
            delivered: self.delivered + later.delivered,
            refused: self.refused + later.refused,
            buried: self.buried + later.buried,
            duplicates: self.duplicates + later.duplicates,
            p50_ms: 0,
            p99_ms: 0,
            waiting: self.waiting.max(later.waiting),
            waiting_bytes: self.waiting_bytes.max(later.waiting_bytes),
            leased: self.leased.max(later.leased),
            oldest_age_ms: self.oldest_age_ms.max(later.oldest_age_ms),
            dead_letters: self.dead_letters.max(later.dead_letters),
            writable: self.writable && later.writable,
            hubs_up: self.hubs_up.min(later.hubs_up),
            hubs_down: self.hubs_down.max(later.hubs_down),
            alarms_active: self.alarms_active.max(later.alarms_active),
        }
    }
}

/// How far back, and in which steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub enum Span {
    /// 300 points of a second.
    #[serde(rename = "5min")]
    FiveMinutes,
    /// 360 points of ten seconds.
    #[serde(rename = "hour")]
    Hour,
    /// 288 points of five minutes.
    #[serde(rename = "day")]
    Day,
}

impl Span {
    const ALL: [Self; 3] = [Self::FiveMinutes, Self::Hour, Self::Day];

    /// From one point to the next.
    pub fn step_seconds(self) -> u32 {
        match self {
            Self::FiveMinutes => 1,
            Self::Hour => 10,
            Self::Day => 300,
        }
    }

    fn points_max(self) -> usize {
        match self {
            Self::FiveMinutes => 300,
            Self::Hour => 360,
            Self::Day => 288,
        }
    }
}

/// One grain.
#[derive(Debug)]
struct Ring {
    span: Span,
    points: VecDeque<Tick>,
    /// The step that is not over.
    open: Option<(Tick, Waits)>,
}

impl Ring {
    fn note(&mut self, tick: Tick, waits: &Waits) {
        let step = UnixMillis::from(self.span.step_seconds()) * 1000;
        let at = tick.at - tick.at.rem_euclid(step);
        // The clock was set back: what stands at that time or after it would come twice.
        if self.open.is_some_and(|(open, _)| open.at > at) {
            self.open = None;
            self.points.retain(|point| point.at < at);
        }
        match &mut self.open {
            Some((open, sum)) if open.at == at => {
                *open = open.and(tick);
                sum.add(waits);
            }
            _ => {
                self.close();
                self.open = Some((Tick { at, ..tick }, *waits));
            }
        }
    }

    fn close(&mut self) {
        let Some((open, waits)) = self.open.take() else { return };
        if self.points.len() == self.span.points_max() {
            self.points.pop_front();
        }
        self.points.push_back(finished(open, &waits));
    }
}

fn finished(open: Tick, waits: &Waits) -> Tick {
    Tick { p50_ms: waits.at(0.5), p99_ms: waits.at(0.99), ..open }
}

/// The recent past.
#[derive(Debug)]
pub struct Series([Ring; 3]);

impl Default for Series {
    fn default() -> Self {
        Self(Span::ALL.map(|span| Ring { span, points: VecDeque::new(), open: None }))
    }
}

impl Series {
    /// One more second, with how long what was delivered in it had waited. Seconds in which nobody noted anything are not there.
    pub fn note(&mut self, tick: Tick, waits: &Waits) {
        for ring in &mut self.0 {
            ring.note(tick, waits);
        }
    }

    /// Its points, oldest first; the last one is not over.
    pub fn points(&self, span: Span) -> Vec<Tick> {
        let Some(ring) = self.0.iter().find(|ring| ring.span == span) else { return Vec::new() };
        let open = ring.open.as_ref().map(|(open, waits)| finished(*open, waits));
        ring.points.iter().copied().chain(open).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2025-11-23T12:00:00Z
    const NOON: UnixMillis = 1_763_899_200_000;

    fn second(at: i64, delivered: u64, waiting: u64) -> Tick {
        Tick { at: NOON + at * 1000 + 7, delivered, waiting, writable: true, hubs_up: 1, ..Tick::default() }
    }

    #[test]
    fn counts_are_summed_and_of_depths_the_worst_is_shown() {
        let mut series = Series::default();
        for at in 0..25 {
            series.note(second(at, 2, if at == 3 { 900 } else { 1 }), &Waits::default());
        }
        series.note(Tick { writable: false, hubs_up: 0, ..second(25, 0, 0) }, &Waits::default());
        let points = series.points(Span::Hour);
        let shown: Vec<_> = points.iter().map(|p| (p.at - NOON, p.delivered, p.waiting, p.writable)).collect();
        assert_eq!(shown, [(0, 20, 900, true), (10_000, 20, 1, true), (20_000, 10, 1, false)]);
        assert_eq!(series.points(Span::FiveMinutes).len(), 26);
        assert_eq!(series.points(Span::Day).len(), 1);
    }

    #[test]
    fn each_grain_reaches_back_as_far_as_it_says_and_no_further() {
        let mut series = Series::default();
        for at in 0..2 * 86_400 / 10 {
            series.note(second(at * 10, 1, 0), &Waits::default());
        }
        for (span, points) in [(Span::FiveMinutes, 301), (Span::Hour, 361), (Span::Day, 289)] {
            assert_eq!(series.points(span).len(), points, "{span:?}, the open one with them");
        }
        assert_eq!(series.points(Span::Day)[5].delivered, 30);
    }

    #[test]
    fn a_clock_that_is_set_back_or_stands_still_makes_no_point_twice() {
        let mut series = Series::default();
        for at in [0, 1, 2, 1_000, 1_001, 1, 2, 3] {
            series.note(second(at, 1, 0), &Waits::default());
        }
        let at: Vec<_> = series.points(Span::FiveMinutes).iter().map(|point| (point.at - NOON) / 1000).collect();
        assert_eq!(at, [0, 1, 2, 3]);
    }

    #[test]
    fn waits_are_told_to_an_eighth() {
        for millis in (0..4_000).chain([86_400_000, 500_000_000]) {
            let told = middle(bucket(millis)) as f64;
            assert!((told - millis as f64).abs() <= millis as f64 / 8.0, "{millis} as {told}");
        }
        assert_eq!(bucket(u128::MAX), BUCKETS - 1);
        let counted = Second::default();
        for millis in 1..=100 {
            counted.count(Counted::Delivered(Duration::from_millis(millis)));
        }
        counted.count(Counted::Refused);
        let (counts, waits) = counted.take();
        assert_eq!((counts.delivered, counts.refused), (100, 1));
        assert!((45..=56).contains(&waits.at(0.5)) && (90..=112).contains(&waits.at(0.99)), "{waits:?}");
        assert_eq!(counted.take().0, Counts::default(), "counted once");
        assert_eq!(Waits::default().at(0.5), 0);
    }

    #[test]
    fn columns_are_called_as_the_tick_calls_them() {
        let named = serde_json::to_value(Tick::default()).expect("numbers");
        let mut named: Vec<_> = named.as_object().expect("an object").keys().cloned().collect();
        let mut columns = COLUMNS.map(str::to_owned).to_vec();
        named.sort();
        columns.sort();
        assert_eq!(named, columns);
    }
}
