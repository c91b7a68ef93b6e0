//! The storage account as a shared queue uses it: calls that are tried until they are decided, and the time that it tells.
//!
//! Promises: a put whose answer was lost is made again with the same bytes under the same name, until it is known whose the
//! name is; waits between tries double from 50 ms to 2 s, or are what the service asks for. How long to go on is the
//! caller's to say. What fails is told, by what was asked ([`Troubles`]), so that callers need not.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout_at};

use super::format::is_sealed;
use super::skew::Skew;
use super::troubles::{News, Topic, Troubles};
use crate::blobs::{Asked, Blobs, Failure, FailureKind, LeaseId, New, Over, Page, Reply};
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
    /// What is asked here is heard.
    pub(crate) blobs: Arc<dyn Blobs>,
    heard: Arc<Heard>,
    /// The machine's own.
    clock: ByClock,
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
        let heard = Arc::new(Heard { skew: Mutex::default(), began: Instant::now(), troubles: Mutex::default() });
        let blobs = Arc::new(Listened { blobs, heard: heard.clone() });
        Self { blobs, heard, clock: ByClock(clock) }
    }

    /// By the service's clock, as well as it is known.
    pub(crate) fn now(&self) -> UnixMillis {
        let steady = self.steady(Instant::now());
        steady + lock(&self.heard.skew).ahead((self.clock.0)() - steady)
    }

    /// So many milliseconds our own clock is wrong at least.
    pub(crate) fn clock_is_wrong_by(&self) -> UnixMillis {
        lock(&self.heard.skew).wrong_by((self.clock.0)() - self.steady(Instant::now()))
    }

    /// Why calls fail, while they do.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        let troubles = lock(&self.heard.troubles);
        troubles.oldest().map(|(since, failure)| Trouble { since, failure: failure.clone() })
    }

    /// What came of something that is more than a call, for the log: told as a call is.
    pub(crate) fn note(&self, topic: Topic, failure: Option<&Failure>) {
        self.heard.note(topic, Instant::now(), failure);
    }

    fn steady(&self, at: Instant) -> UnixMillis {
        self.heard.steady(at)
    }

    /// One try.
    pub(crate) async fn once<T>(&self, call: impl Future<Output = Reply<T>>) -> Result<T, Failure> {
        call.await.result
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
        let mut is_again = false;
        loop {
            match self.until(end, || self.blobs.put_new(name, body.clone())).await? {
                New::Put => return Ok(Whose::Ours),
                New::Taken => {}
            }
            match self.until(end, || self.blobs.get(name)).await? {
                Some(there) if there == *body => return Ok(Whose::Ours),
                // Ours, perhaps, and something else on the way.
                Some(there) if !is_again && !is_sealed(&there) => {
                    tracing::warn!(
                        name,
                        "a blob came otherwise than it was written: its checksum is wrong; read again"
                    );
                    is_again = true;
                }
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
pub(crate) const WAIT_LONGEST: Duration = Duration::from_secs(30);

fn out_of_time() -> Failure {
    Failure::here(FailureKind::Passing, "no answer in time".into())
}

/// What all answers tell.
#[derive(Debug)]
struct Heard {
    skew: Mutex<Skew>,
    began: Instant,
    troubles: Mutex<Troubles>,
}

impl Heard {
    fn steady(&self, at: Instant) -> UnixMillis {
        UnixMillis::try_from(at.duration_since(self.began).as_millis()).unwrap_or(UnixMillis::MAX)
    }

    async fn of<T>(&self, topic: Topic, call: Asked<'_, T>) -> Reply<T> {
        let asked = Instant::now();
        let reply = call.await;
        if let Some(date) = reply.date {
            lock(&self.skew).heard(self.steady(asked), self.steady(Instant::now()), date);
        }
        if let Some(said) = &reply.otherwise
            && matches!(topic.asked, "put over" | "renew" | "release")
        {
            // Rare, and the end of something; that a name is taken, or not there, is what is found all day.
            let Topic { asked, of, .. } = topic;
            tracing::warn!(asked, of, said, "the storage account says that a lease is not ours any more");
        }
        self.note(topic, asked, reply.result.as_ref().err());
        reply
    }

    fn note(&self, topic: Topic, asked: Instant, failure: Option<&Failure>) {
        let news = lock(&self.troubles).heard(topic, asked, Instant::now(), failure);
        if let Some(news) = news {
            tell(topic, news);
        }
    }
}

/// An account whose answers are heard.
#[derive(Debug)]
struct Listened {
    blobs: Arc<dyn Blobs>,
    heard: Arc<Heard>,
}

impl Listened {
    fn to<'a, T: Send + 'a>(&'a self, asked: &'static str, name: &str, call: Asked<'a, T>) -> Asked<'a, T> {
        let topic = Topic::of(asked, name);
        Box::pin(self.heard.of(topic, call))
    }
}

impl Blobs for Listened {
    fn put_new<'a>(&'a self, name: &'a str, body: Bytes) -> Asked<'a, New> {
        self.to("put", name, self.blobs.put_new(name, body))
    }

    fn put_over<'a>(&'a self, name: &'a str, body: Bytes, lease: Option<&'a LeaseId>) -> Asked<'a, Over> {
        self.to("put over", name, self.blobs.put_over(name, body, lease))
    }

    fn get<'a>(&'a self, name: &'a str) -> Asked<'a, Option<Bytes>> {
        self.to("get", name, self.blobs.get(name))
    }

    fn list<'a>(&'a self, prefix: &'a str, from: Option<&'a str>) -> Asked<'a, Page> {
        self.to("list", prefix, self.blobs.list(prefix, from))
    }

    fn delete<'a>(&'a self, name: &'a str) -> Asked<'a, bool> {
        self.to("delete", name, self.blobs.delete(name))
    }

    fn acquire<'a>(&'a self, name: &'a str, length: Duration) -> Asked<'a, Option<LeaseId>> {
        self.to("acquire", name, self.blobs.acquire(name, length))
    }

    fn renew<'a>(&'a self, name: &'a str, lease: &'a LeaseId) -> Asked<'a, bool> {
        self.to("renew", name, self.blobs.renew(name, lease))
    }

    fn release<'a>(&'a self, name: &'a str, lease: &'a LeaseId) -> Asked<'a, bool> {
        self.to("release", name, self.blobs.release(name, lease))
    }

    fn break_lease<'a>(&'a self, name: &'a str) -> Asked<'a, ()> {
        self.to("break", name, self.blobs.break_lease(name))
    }
}

fn tell(topic: Topic, news: News) {
    let Topic { asked, of, part } = topic;
    let (Failure { kind, cause, .. }, times, for_s) = match (news, part) {
        (News::Works { times, after_s }, None) => {
            return tracing::info!(asked, of, times, after_s, "the storage account does it again");
        }
        (News::Works { times, after_s }, Some(partition)) => {
            return tracing::info!(partition, times, after_s, "a partition could be taken again");
        }
        (News::Fails { failure, times, for_s }, None) => (failure, times, for_s),
        (News::Fails { failure, times, for_s }, Some(partition)) => {
            let cause = failure.cause;
            return tracing::error!(partition, times, for_s, %cause, "a partition cannot be taken now; tried again");
        }
    };
    match kind {
        FailureKind::Passing => {
            tracing::warn!(asked, of, times, for_s, %cause, "the storage account does not do it now; tried again");
        }
        FailureKind::Denied => {
            tracing::error!(asked, of, times, for_s, %cause, "the storage account refuses it; tried again");
        }
        FailureKind::NoPlace => {
            tracing::error!(asked, of, times, for_s, %cause, "the account or its container is not there; tried again");
        }
        FailureKind::Odd => {
            tracing::error!(asked, of, times, for_s, %cause, "an answer that longhaul does not know; tried again");
        }
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
