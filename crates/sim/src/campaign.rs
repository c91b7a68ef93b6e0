//! Many seeds, on as many threads as are wanted, and what they had in them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::fault::Fault;
use crate::plan::Plan;
use crate::story::{Told, lock, tell};

/// Failures that are kept whole; beyond them a campaign only counts.
const FAILURES_MAX: usize = 100;

/// What is to be told.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// Which.
    pub seeds: Range<u64>,
    /// Simulated, without the quiet in the end.
    pub length: Duration,
    /// Threads; each tells one story at a time.
    pub jobs: usize,
    /// Stops at the first failure.
    pub until_found: bool,
}

/// A seed with findings.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which.
    pub seed: u64,
    /// In words, the first of each kind first.
    pub findings: Vec<String>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Seeds that were told.
    pub told: u64,
    /// Those with findings, in order; at most a hundred.
    pub failures: Vec<Failure>,
    /// How many have findings.
    pub failed: u64,
    /// How often each kind of trouble happened; all kinds are there.
    pub happened: BTreeMap<String, u64>,
    /// Messages that hubs took.
    pub taken: u64,
    /// Starts of the process.
    pub lives: u64,
    /// Simulated.
    pub lasted: Duration,
    /// Of all logs, whatever the order in which they were told.
    pub fingerprint: u64,
}

impl Campaign {
    /// Tells them all. `heard` is called after each, with the number told so far.
    pub fn run(&self, heard: impl Fn(u64) + Sync) -> Outcome {
        let happened = Fault::all().into_iter().map(|fault| (fault.name(), 0)).collect();
        let outcome = Mutex::new(Outcome { happened, ..Outcome::default() });
        let (next, found) = (AtomicU64::new(self.seeds.start), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(|| {
                    while !(self.until_found && found.load(Ordering::Relaxed)) {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= self.seeds.end {
                            return;
                        }
                        let told = tell(Plan::new(seed, self.length), false);
                        if !told.findings.is_empty() {
                            found.store(true, Ordering::Relaxed);
                        }
                        let mut outcome = lock(&outcome);
                        outcome.add(seed, &told);
                        heard(outcome.told);
                    }
                });
            }
        });
        let mut outcome = outcome.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        outcome.failures.sort_by_key(|failure| failure.seed);
        outcome
    }
}

impl Outcome {
    fn add(&mut self, seed: u64, told: &Told) {
        self.told += 1;
        self.taken += told.taken as u64;
        self.lives += told.lives as u64;
        self.lasted += told.lasted;
        // A sum does not mind the order; the seed in it keeps two logs that change places from looking the same.
        let one = told.fingerprint.rotate_left(u32::try_from(seed % 63).unwrap_or(0));
        self.fingerprint = self.fingerprint.wrapping_add(one);
        for (fault, times) in &told.happened {
            *self.happened.entry(fault.name()).or_default() += times;
        }
        if told.findings.is_empty() {
            return;
        }
        self.failed += 1;
        if self.failures.len() < FAILURES_MAX {
            let findings = told.findings.iter().map(ToString::to_string).collect();
            self.failures.push(Failure { seed, findings });
        }
    }

    /// What had not happened `times` times.
    pub fn seldom(&self, times: u64) -> Vec<&str> {
        let seldom = self.happened.iter().filter(|(_, count)| **count < times);
        seldom.map(|(name, _)| name.as_str()).collect()
    }
}

/// One seed's story, to be read.
#[derive(Clone, Debug)]
pub struct Story {
    /// Which.
    pub seed: u64,
    /// Simulated, without the quiet in the end.
    pub length: Duration,
    /// Only so many of its events; none: all.
    pub events: Option<usize>,
    /// And of those not these, counted from 0.
    pub without: Vec<usize>,
}

/// A story that was told.
#[derive(Clone, Debug)]
pub struct Read {
    /// Every line, each with its time.
    pub log: String,
    /// In words.
    pub findings: Vec<String>,
    /// Of the log.
    pub fingerprint: u64,
}

impl Story {
    /// Tells it, with its log.
    pub fn read(&self) -> Read {
        let told = tell(self.plan(), true);
        let findings = told.findings.iter().map(ToString::to_string).collect();
        Read { log: told.log.unwrap_or_default(), findings, fingerprint: told.fingerprint }
    }

    pub(crate) fn plan(&self) -> Plan {
        let plan = Plan::new(self.seed, self.length);
        plan.cut(self.events.unwrap_or(usize::MAX), &self.without)
    }
}
