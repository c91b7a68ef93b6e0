//! A storage account in memory whose faults can be ordered, in virtual time.
//!
//! Promises what [`Blobs`] asks for, in the plainest way; `tests/blobs/conformance.rs` judges it as it judges the real one. The
//! account outlives its clients: each process of a test holds a [`Client`], whose line to it can be cut, slow or
//! treacherous without the others noticing.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::{Asked, Blobs, CALL_MAX, Failure, FailureKind, LIST_MAX, LeaseId, Listed, New, Over, Page, Reply};
use crate::{Clock, UnixMillis};

const LENGTH_LEAST: Duration = Duration::from_secs(15);
const LENGTH_MOST: Duration = Duration::from_secs(60);

/// What a client's next call meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Refused; nothing happens.
    Refused(FailureKind),
    /// It happens, and the answer is lost.
    AnswerLost,
    /// The answer is lost at once, and it happens so much later, whatever has happened meanwhile.
    Late(Duration),
}

/// An account with one container.
#[derive(Clone)]
pub struct Account {
    shared: Arc<Mutex<State>>,
    clock: Clock,
}

#[derive(Debug, Default)]
struct State {
    blobs: BTreeMap<String, Blob>,
    leases: u64,
    calls: u64,
}

#[derive(Debug)]
struct Blob {
    body: Bytes,
    put_at: UnixMillis,
    /// Until when by itself.
    lease: Option<(LeaseId, Instant, Duration)>,
}

impl Blob {
    fn is_leased(&self) -> bool {
        self.lease.as_ref().is_some_and(|(_, until, _)| Instant::now() < *until)
    }

    fn is_leased_by(&self, lease: &LeaseId) -> bool {
        self.is_leased() && self.lease.as_ref().is_some_and(|(id, ..)| id == lease)
    }

    /// A lease that ran out can be renewed as long as nobody has taken it since.
    fn was_leased_by(&self, lease: &LeaseId) -> bool {
        self.lease.as_ref().is_some_and(|(id, ..)| id == lease)
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("blobs", &self.state().blobs.len()).finish_non_exhaustive()
    }
}

impl Account {
    /// An empty container. The clock is the service's.
    pub fn new(clock: Clock) -> Self {
        Self { shared: Arc::default(), clock }
    }

    /// Another line to it.
    pub fn client(&self) -> Client {
        Client(Arc::new(Line { account: self.clone(), way: Mutex::default() }))
    }

    /// The names that are there and begin so.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        self.state().blobs.keys().filter(|name| name.starts_with(prefix)).cloned().collect()
    }

    /// What is in a blob.
    pub fn body(&self, name: &str) -> Option<Bytes> {
        self.state().blobs.get(name).map(|blob| blob.body.clone())
    }

    /// Puts or removes a blob past all rules, as a person might.
    pub fn meddle(&self, name: &str, body: Option<Bytes>) {
        let put_at = (self.clock)();
        let mut state = self.state();
        match body {
            Some(body) => drop(state.blobs.insert(name.to_owned(), Blob { body, put_at, lease: None })),
            None => drop(state.blobs.remove(name)),
        }
    }

    /// Calls that were carried out so far.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked elsewhere must not hide what this one found.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One process's line to an [`Account`]. Clones are the same line.
#[derive(Clone)]
pub struct Client(Arc<Line>);

struct Line {
    account: Account,
    way: Mutex<Way>,
}

#[derive(Default)]
struct Way {
    is_cut: bool,
    latency: Option<Arc<dyn Fn() -> Duration + Send + Sync>>,
    faults: VecDeque<(String, Fault)>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

/// What a call does once it arrives.
type Work<T> = Box<dyn FnOnce(&mut State, UnixMillis) -> Result<T, Failure> + Send>;

impl Client {
    /// While it is cut, nothing arrives, and no answer comes within a call's bound.
    pub fn cut(&self, is_cut: bool) {
        self.way().is_cut = is_cut;
    }

    /// How long each call takes to arrive, asked for each; its answer takes no time.
    pub fn set_latency(&self, latency: impl Fn() -> Duration + Send + Sync + 'static) {
        self.way().latency = Some(Arc::new(latency));
    }

    /// The next call to a blob whose name begins so meets this; several are met one after another.
    pub fn order(&self, prefix: &str, fault: Fault) {
        self.way().faults.push_back((prefix.to_owned(), fault));
    }

    /// Takes back the faults that are still to come.
    pub fn clear_faults(&self) {
        self.way().faults.clear();
    }

    fn way(&self) -> MutexGuard<'_, Way> {
        self.0.way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self, name: &str) -> Option<Fault> {
        let faults = &mut self.way().faults;
        let at = faults.iter().position(|(prefix, _)| name.starts_with(prefix))?;
        faults.remove(at).map(|(_, fault)| fault)
    }

    fn call<'a, T: Send + 'static>(&'a self, name: &'a str, work: Work<T>) -> Asked<'a, T> {
        Box::pin(async move {
            let latency = self.way().latency.clone();
            if let Some(latency) = latency {
                sleep(latency()).await;
            }
            if self.way().is_cut {
                sleep(CALL_MAX).await;
                return lost();
            }
            match self.fault(name) {
                None => self.arrive(work),
                Some(Fault::Refused(kind)) => {
                    let failure = Failure::here(kind, format!("ordered: {kind:?}"));
                    Reply { date: Some(self.date()), otherwise: None, result: Err(failure) }
                }
                Some(Fault::AnswerLost) => {
                    drop(self.arrive(work));
                    sleep(CALL_MAX).await;
                    lost()
                }
                Some(Fault::Late(by)) => {
                    let late = self.clone();
                    tokio::spawn(async move {
                        sleep(by).await;
                        drop(late.arrive(work));
                    });
                    lost()
                }
            }
        })
    }

    fn arrive<T>(&self, work: Work<T>) -> Reply<T> {
        let now = (self.0.account.clock)();
        let mut state = self.0.account.state();
        state.calls += 1;
        Reply { date: Some(self.date()), otherwise: None, result: work(&mut state, now) }
    }

    fn date(&self) -> UnixMillis {
        (self.0.account.clock)() / 1_000 * 1_000
    }
}

fn lost<T>() -> Reply<T> {
    let failure = Failure::here(FailureKind::Passing, "ordered: no answer".into());
    Reply { date: None, otherwise: None, result: Err(failure) }
}

fn odd<T>(cause: &str) -> Result<T, Failure> {
    Err(Failure::here(FailureKind::Odd, cause.to_owned()))
}

impl Blobs for Client {
    fn put_new<'a>(&'a self, name: &'a str, body: Bytes) -> Asked<'a, New> {
        let key = name.to_owned();
        self.call(
            name,
            Box::new(move |state, put_at| {
                if state.blobs.contains_key(&key) {
                    return Ok(New::Taken);
                }
                state.blobs.insert(key, Blob { body, put_at, lease: None });
                Ok(New::Put)
            }),
        )
    }

    fn put_over<'a>(&'a self, name: &'a str, body: Bytes, lease: Option<&'a LeaseId>) -> Asked<'a, Over> {
        let (key, lease) = (name.to_owned(), lease.cloned());
        self.call(
            name,
            Box::new(move |state, put_at| match (state.blobs.get_mut(&key), lease) {
                (Some(blob), None) if blob.is_leased() => Ok(Over::NotOurs),
                (Some(blob), Some(lease)) if !blob.is_leased_by(&lease) => Ok(Over::NotOurs),
                (None, Some(_)) => Ok(Over::NotOurs),
                (Some(blob), _) => {
                    (blob.body, blob.put_at) = (body, put_at);
                    Ok(Over::Put)
                }
                (None, None) => {
                    state.blobs.insert(key, Blob { body, put_at, lease: None });
                    Ok(Over::Put)
                }
            }),
        )
    }

    fn get<'a>(&'a self, name: &'a str) -> Asked<'a, Option<Bytes>> {
        let key = name.to_owned();
        self.call(name, Box::new(move |state, _| Ok(state.blobs.get(&key).map(|blob| blob.body.clone()))))
    }

    fn list<'a>(&'a self, prefix: &'a str, from: Option<&'a str>) -> Asked<'a, Page> {
        let (start, from) = (prefix.to_owned(), from.map(str::to_owned));
        let work = move |state: &mut State, _| {
            let after = from.as_deref().unwrap_or(&start).to_owned();
            let mut blobs: Vec<Listed> = state
                .blobs
                .range(after..)
                .take_while(|(name, _)| name.starts_with(&start))
                .take(LIST_MAX + 1)
                .map(|(name, blob)| Listed {
                    name: name.clone(),
                    bytes: blob.body.len() as u64,
                    is_leased: blob.is_leased(),
                    put_at: blob.put_at / 1_000 * 1_000,
                })
                .collect();
            let next = if blobs.len() > LIST_MAX { blobs.pop().map(|blob| blob.name) } else { None };
            Ok(Page { blobs, next })
        };
        self.call(prefix, Box::new(work))
    }

    fn delete<'a>(&'a self, name: &'a str) -> Asked<'a, bool> {
        let key = name.to_owned();
        self.call(
            name,
            Box::new(move |state, _| match state.blobs.get(&key) {
                Some(blob) if blob.is_leased() => odd("a lease is on it"),
                _ => Ok(state.blobs.remove(&key).is_some()),
            }),
        )
    }

    fn acquire<'a>(&'a self, name: &'a str, length: Duration) -> Asked<'a, Option<LeaseId>> {
        let key = name.to_owned();
        self.call(
            name,
            Box::new(move |state, _| {
                if !(LENGTH_LEAST..=LENGTH_MOST).contains(&length) {
                    return odd("no lease is so long");
                }
                let id = LeaseId(format!("lease-{}", state.leases + 1));
                match state.blobs.get_mut(&key) {
                    Some(blob) if !blob.is_leased() => {
                        blob.lease = Some((id.clone(), Instant::now() + length, length));
                        state.leases += 1;
                        Ok(Some(id))
                    }
                    _ => Ok(None),
                }
            }),
        )
    }

    fn renew<'a>(&'a self, name: &'a str, lease: &'a LeaseId) -> Asked<'a, bool> {
        let (key, lease) = (name.to_owned(), lease.clone());
        self.call(
            name,
            Box::new(move |state, _| match state.blobs.get_mut(&key) {
                Some(blob) if blob.was_leased_by(&lease) => {
                    if let Some((_, until, length)) = &mut blob.lease {
                        *until = Instant::now() + *length;
                    }
                    Ok(true)
                }
                _ => Ok(false),
            }),
        )
    }

    fn release<'a>(&'a self, name: &'a str, lease: &'a LeaseId) -> Asked<'a, bool> {
        let (key, lease) = (name.to_owned(), lease.clone());
        self.call(
            name,
            Box::new(move |state, _| match state.blobs.get_mut(&key) {
                Some(blob) if blob.was_leased_by(&lease) => {
                    blob.lease = None;
                    Ok(true)
                }
                _ => Ok(false),
            }),
        )
    }

    fn break_lease<'a>(&'a self, name: &'a str) -> Asked<'a, ()> {
        let key = name.to_owned();
        self.call(
            name,
            Box::new(move |state, _| match state.blobs.get_mut(&key) {
                Some(blob) => {
                    blob.lease = None;
                    Ok(())
                }
                None => odd("no blob is there"),
            }),
        )
    }
}
