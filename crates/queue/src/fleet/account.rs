//! The storage account as a shared queue uses it: calls that are tried until they are decided, and the time that it tells.
//!
//! Promises: a put whose answer was lost is made again with the same bytes under the same name, until it is known whose the
//! name is; waits between tries double from 50 ms to 2 s, or are what the service asks for. How long to go on is the
//! caller's to say.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout_at};

use super::skew::Skew;
use crate::blobs::{Blobs, Failure, FailureKind, New, Reply};
use crate::{Clock, UnixMillis};

const WAIT_LEAST: Duration = Duration::from_millis(50);
/// A service that is back is found within this.
const WAIT_MOST: Duration = Duration::from_secs(2);

/// Whose a name is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Ours,
    /// With what is there.
    Theirs(Bytes),
}

#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) blobs: Arc<dyn Blobs>,
    skew: Mutex<Skew>,
    began: Instant,
    /// The machine's own.
    clock: ByClock,
    trouble: Mutex<Option<Trouble>>,
}

struct ByClock(Clock);

impl std::fmt::Debug for ByClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[clock]")
    }
}

/// What the account does not do at the moment, for who looks.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) since: Instant,
    pub(crate) failure: Failure,
}

impl Account {
    pub(crate) fn new(blobs: Arc<dyn Blobs>, clock: Clock) -> Self {
        Self { blobs, skew: Mutex::default(), began: Instant::now(), clock: ByClock(clock), trouble: Mutex::default() }
    }

    /// By the service's clock, as well as it is known.
    pub(crate) fn now(&self) -> UnixMillis {
        let steady = self.steady(Instant::now());
        steady + lock(&self.skew).ahead((self.clock.0)() - steady)
    }

    /// So many milliseconds our own clock is wrong at least.
    pub(crate) fn clock_is_wrong_by(&self) -> UnixMillis {
        lock(&self.skew).wrong_by((self.clock.0)() - self.steady(Instant::now()))
    }

    /// Why calls fail, while they do.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        lock(&self.trouble).clone()
    }

    fn steady(&self, at: Instant) -> UnixMillis {
        UnixMillis::try_from(at.duration_since(self.began).as_millis()).unwrap_or(UnixMillis::MAX)
    }

    /// One try.
    pub(crate) async fn once<T>(&self, call: impl Future<Output = Reply<T>>) -> Result<T, Failure> {
        let asked = Instant::now();
        let Reply { date, result } = call.await;
        if let Some(date) = date {
            lock(&self.skew).heard(self.steady(asked), self.steady(Instant::now()), date);
        }
        self.note(asked, result.as_ref().err());
        result
    }

    fn note(&self, asked: Instant, failure: Option<&Failure>) {
        let mut trouble = lock(&self.trouble);
        match failure {
            None => {
                if let Some(Trouble { since, .. }) = trouble.take() {
                    tracing::info!(after_s = since.elapsed().as_secs(), "the storage account answers again");
                }
            }
            Some(failure) => {
                let since = match &*trouble {
                    // Of another kind than before is news.
                    Some(last) if last.failure.kind == failure.kind => last.since,
                    _ => {
                        tell(failure);
                        asked
                    }
                };
                *trouble = Some(Trouble { since, failure: failure.clone() });
            }
        }
    }

    /// Tries until there is an answer.
    ///
    /// # Errors
    /// The last failure, when the time is over before.
    pub(crate) async fn until<T, F>(&self, end: Option<Instant>, call: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Reply<T>>,
    {
        let mut wait = WAIT_LEAST;
        loop {
            let tried = match end {
                Some(end) => timeout_at(end, self.once(call())).await.unwrap_or_else(|_| Err(out_of_time())),
                None => self.once(call()).await,
            };
            let failure = match tried {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let pause = failure.retry_after.map_or(wait, |asked| asked.min(WAIT_LONGEST).max(wait));
            if end.is_some_and(|end| Instant::now() + pause >= end) {
                return Err(failure);
            }
            sleep(pause).await;
            wait = (wait * 2).min(WAIT_MOST);
        }
    }

    /// Puts a blob that nobody else puts the same, until it is decided whose the name is.
    ///
    /// # Errors
    /// As [`Account::until`]; then it may be there or not, now or later.
    pub(crate) async fn settle(&self, end: Option<Instant>, name: &str, body: &Bytes) -> Result<Whose, Failure> {
        loop {
            match self.until(end, || self.blobs.put_new(name, body.clone())).await? {
                New::Put => return Ok(Whose::Ours),
                New::Taken => {}
            }
            match self.until(end, || self.blobs.get(name)).await? {
                Some(there) if there == *body => return Ok(Whose::Ours),
                Some(there) => return Ok(Whose::Theirs(there)),
                // Removed between the two. Names of which that can be do not come here, so somebody meddles.
                None => {
                    tracing::error!(name, "a blob was taken and is gone; somebody removes blobs of this container");
                    sleep(WAIT_MOST).await;
                }
            }
        }
    }
}

/// Longer than this nobody waits for what the service asks for: it may be free again before.
const WAIT_LONGEST: Duration = Duration::from_secs(30);

fn out_of_time() -> Failure {
    Failure { kind: FailureKind::Passing, cause: "no answer in time".into(), retry_after: None }
}

fn tell(failure: &Failure) {
    let Failure { kind, cause, .. } = failure;
    match kind {
        FailureKind::Passing => tracing::warn!(%cause, "the storage account does not answer; tried again"),
        FailureKind::Denied => tracing::error!(
            %cause,
            "the storage account refuses us; it needs the role Storage Blob Data Contributor, or a key that is valid"
        ),
        FailureKind::NoPlace => tracing::error!(%cause, "the storage account or its container is not there"),
        FailureKind::Odd => tracing::error!(%cause, "an answer of the storage account that longhaul does not know"),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing here can be left half changed by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::blobs::double::{self, Client, Fault};

    /// By virtual time.
    pub(in crate::fleet) fn clock() -> Clock {
        let began = Instant::now();
        Arc::new(move || 1_780_000_000_000 + UnixMillis::try_from(began.elapsed().as_millis()).unwrap())
    }

    fn account() -> (double::Account, Client, Account) {
        let there = double::Account::new(clock());
        let client = there.client();
        let account = Account::new(Arc::new(client.clone()), Arc::new(|| 0));
        (there, client, account)
    }

    #[tokio::test(start_paused = true)]
    async fn a_put_whose_answer_was_lost_is_found_to_be_ours() {
        let (there, client, account) = account();
        client.order("a", Fault::AnswerLost);
        assert_eq!(account.settle(None, "a", &Bytes::from_static(b"one")).await, Ok(Whose::Ours));
        assert_eq!(there.body("a"), Some(Bytes::from_static(b"one")));
        let theirs = account.settle(None, "a", &Bytes::from_static(b"two")).await;
        assert_eq!(theirs, Ok(Whose::Theirs(Bytes::from_static(b"one"))));
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_that_is_away_is_asked_until_it_is_back_or_time_is_over() {
        let (there, client, account) = account();
        client.cut(true);
        let end = Instant::now() + Duration::from_secs(60);
        let failed = account.settle(Some(end), "a", &Bytes::new()).await.unwrap_err();
        assert!(failed.kind == FailureKind::Passing && Instant::now() <= end, "{failed:?}");
        assert!(account.trouble().is_some());
        let back = async {
            sleep(Duration::from_secs(30)).await;
            client.cut(false);
        };
        let body = Bytes::from_static(b"one");
        let (whose, ()) = tokio::join!(account.settle(None, "a", &body), back);
        assert_eq!((whose, account.trouble().is_none()), (Ok(Whose::Ours), true));
        assert_eq!(there.names(""), ["a"]);
    }

    #[tokio::test(start_paused = true)]
    async fn time_is_the_services() {
        let (_, client, account) = account();
        client.set_latency(|| Duration::from_millis(10));
        assert_eq!(account.now(), 0, "ours, as long as nothing was heard");
        for _ in 0..200 {
            let _ = account.once(account.blobs.get("a")).await;
            sleep(Duration::from_millis(37)).await;
        }
        let there = clock()() + account.steady(Instant::now());
        assert!((account.now() - there).abs() < 50 && account.clock_is_wrong_by() > 1_000_000, "{account:?}");
    }
}
