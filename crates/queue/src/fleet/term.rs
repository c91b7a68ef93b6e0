//! How long this process may act for a partition.
//!
//! Promises: a term that is not renewed ends by itself, by a clock that runs on while the process is stopped, before anybody else
//! can have the partition: the service counts its 15 s from a time after the one that we count 12 s from. Whoever is about to
//! do something for a partition looks here first.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::{Clock, UnixMillis};

/// What the service gives.
pub(crate) const LEASE: Duration = Duration::from_secs(15);

/// What we take of it, from the *beginning* of the renewal that succeeded. The rest is for what was written before the end and is
/// still on its way, and for clocks that run 1 % apart (0.15 s).
pub(crate) const TERM: Duration = Duration::from_secs(12);

/// Three tries of [`crate::blobs::CALL_MAX`] fit into the term after the first renewal that fails.
pub(crate) const RENEW_EVERY: Duration = Duration::from_secs(3);

/// See the module.
pub(crate) struct Term {
    steady: Clock,
    until: AtomicI64,
    ended: watch::Sender<bool>,
}

impl std::fmt::Debug for Term {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Term").field("until", &self.until).finish_non_exhaustive()
    }
}

impl Term {
    /// Begins with the acquisition that was asked for at `from`, by `steady`: milliseconds, by a clock that nobody sets and that
    /// counts while the process or the machine is stopped.
    pub(crate) fn new(steady: Clock, from: UnixMillis) -> Self {
        let (ended, _) = watch::channel(false);
        Self { steady, until: AtomicI64::new(from + millis(TERM)), ended }
    }

    /// A renewal that was asked for at `from` has succeeded.
    pub(crate) fn extend(&self, from: UnixMillis) {
        self.until.fetch_max(from + millis(TERM), Ordering::Relaxed);
    }

    /// It is over, whatever the time. Never begins again.
    pub(crate) fn end(&self) {
        self.ended.send_replace(true);
    }

    /// Whether we may act now.
    pub(crate) fn holds(&self) -> bool {
        !*self.ended.borrow() && self.left() > Duration::ZERO
    }

    /// When it is over if it is not renewed.
    pub(crate) fn end_at(&self) -> Instant {
        Instant::now() + self.left()
    }

    fn left(&self) -> Duration {
        let left = self.until.load(Ordering::Relaxed) - (self.steady)();
        Duration::from_millis(u64::try_from(left).unwrap_or(0))
    }

    /// Returns when it is over.
    pub(crate) async fn over(&self) {
        let mut ended = self.ended.subscribe();
        while self.holds() {
            tokio::select! {
                biased;
                _ = ended.wait_for(|ended| *ended) => return,
                () = tokio::time::sleep_until(self.end_at()) => {}
            }
        }
    }
}

fn millis(duration: Duration) -> UnixMillis {
    UnixMillis::try_from(duration.as_millis()).unwrap_or(UnixMillis::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fleet::account::tests::clock;

    #[tokio::test(start_paused = true)]
    async fn a_term_that_is_not_renewed_ends_and_one_that_is_goes_on() {
        let (steady, begin) = (clock(), Instant::now());
        let term = Arc::new(Term::new(steady.clone(), steady()));
        let other = term.clone();
        let over = tokio::spawn(async move {
            other.over().await;
            begin.elapsed()
        });
        tokio::time::sleep(Duration::from_secs(11)).await;
        term.extend(steady() - 1_000);
        assert!(term.holds());
        assert_eq!(over.await.unwrap(), Duration::from_secs(22));
        assert!(!term.holds());
        let term = Term::new(steady.clone(), steady());
        term.end();
        term.extend(steady());
        assert!(!term.holds());
        term.over().await;
    }

    /// A process that is stopped does not see its timers go off.
    #[tokio::test(start_paused = true)]
    async fn a_term_is_over_for_who_was_stopped_before_any_timer_says_so() {
        let stopped = Arc::new(AtomicI64::new(0));
        let steady: Clock = {
            let stopped = stopped.clone();
            Arc::new(move || stopped.load(Ordering::Relaxed))
        };
        let term = Term::new(steady, 0);
        assert!(term.holds());
        stopped.store(12_000, Ordering::Relaxed);
        assert!(!term.holds());
    }
}
