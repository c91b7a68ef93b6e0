//! Alarms that matter: what a human must know, raised once, ended once, shown, counted, and told to a receiver of the operator's.
//!
//! Every ten seconds one look: the shell gathers [`facts::Facts`], the [`rules`] claim what is wrong, the `book` makes alarms of
//! what lasts, and `sender` tells them. Only looks: nothing in the flow waits for it, and each lock it takes is held for a
//! fraction of a millisecond. In memory: after a restart an alarm comes again within a look or two where its cause is still to be
//! seen; docs/alarms.md says what is learnt anew.

mod alarm; // what it is called
mod book; // PURE: what stands, without flapping
pub mod facts; // what the rules are told
mod looking; // the shell: where the facts come from
mod report; // what the receiver is told
mod room; // PURE: how long there is room
pub mod rules; // PURE: what is wrong
mod sender; // the shell: who is told, at least once

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use queue::UnixMillis;
use serde::Serialize;

pub use alarm::{Alarm, Claim, Kind, Severity};
pub use book::{Book, Now};
pub use looking::{Place, Watch};
pub use room::Outlook;
pub use sender::{Failure, Receiver};

use facts::Ending;
use report::Report;
use sender::Reports;

/// Between two looks. A minute of lost sleep is not worth a shorter one.
pub const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What is known of alarms, for whoever asks.
#[derive(Debug)]
pub struct Alarms {
    /// What this bridge is called in reports, where the configuration does not say.
    host: String,
    book: Mutex<Book>,
    outlook: Mutex<Option<Outlook>>,
    /// Secrets that have an end, as their key vaults say.
    secrets: Mutex<Vec<Ending>>,
    reports: Reports,
}

/// What the API shows.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Alarms)]
pub struct Picture {
    /// Those that stand, in the order of their names.
    pub active: Vec<Alarm>,
    /// Those that ended last, newest first.
    pub recent: Vec<Alarm>,
    /// Reports that wait for the operator's receiver.
    pub reports_waiting: usize,
    /// Why the last of them was not taken; none while they are taken.
    pub reports_fail: Option<Failure>,
}

impl Alarms {
    /// None yet. `host` is what this machine is called.
    pub fn new(host: impl Into<String>) -> Arc<Self> {
        Arc::new(Self {
            host: host.into(),
            book: Mutex::default(),
            outlook: Mutex::default(),
            secrets: Mutex::default(),
            reports: Reports::default(),
        })
    }

    /// All of them.
    pub fn picture(&self) -> Picture {
        let book = lock(&self.book);
        let (active, recent) = (book.active().cloned().collect(), book.recent().cloned().collect());
        drop(book);
        let (reports_waiting, reports_fail) = self.reports.standing();
        Picture { active, recent, reports_waiting, reports_fail }
    }

    /// How many stand.
    pub fn active(&self) -> usize {
        lock(&self.book).active().count()
    }

    /// How long the queue will have room. None before the first look.
    pub fn outlook(&self) -> Option<Outlook> {
        *lock(&self.outlook)
    }

    /// Which secrets of key vaults run out, and when; all of them.
    pub fn secrets_end(&self, endings: Vec<Ending>) {
        *lock(&self.secrets) = endings;
    }

    /// The receiver has taken a report.
    fn told(&self, report: &Report, at: UnixMillis) {
        lock(&self.book).told(report.alarm(), at);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
