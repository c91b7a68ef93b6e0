//! From a partition that is free to a queue that hands out its messages, and back.
//!
//! Promises: who takes a partition has read everything that was accepted and committed for it before it hands out the first message;
//! a partition whose lease is not renewed ends here before anybody else can have it; one that is given away is settled first.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::account::Account;
use super::follow::Follower;
use super::format::{Owner, seal, unseal};
use super::names::{self, Partition};
use super::owned::{Owned, Title};
use super::picture;
use super::progress::begin;
use super::reading::Reading;
use super::state::State;
use super::term::{LEASE, RENEW_EVERY, Term};
use crate::blobs::{Failure, FailureKind, LeaseId, Over};
use crate::board::Board;
use crate::command::Command;
use crate::driver::Driver;
use crate::options::Options;
use crate::{Clock, Seq};

/// Longest that giving away a partition takes: a commit, its state, and a lease that is given up.
const GIVE_MAX: Duration = Duration::from_secs(8);

/// What all partitions of a process have in common.
pub(crate) struct Common {
    pub(crate) account: Arc<Account>,
    pub(crate) reading: Arc<Reading>,
    pub(crate) process: Arc<str>,
    pub(crate) address: Arc<str>,
    /// Counts also while the process is stopped.
    pub(crate) steady: Clock,
    pub(crate) partitions: u16,
    /// Between two commits of a partition.
    pub(crate) commit_every: Duration,
    pub(crate) options: Options,
}

/// A task that ends with whoever holds this: one that renewed a lease for nobody would keep the partition from all others.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Task {
    fn begin(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A partition of ours.
#[derive(Debug)]
pub(crate) struct Tenure {
    pub(crate) line: mpsc::UnboundedSender<Command>,
    pub(crate) board: Arc<Board>,
    pub(crate) term: Arc<Term>,
    pub(crate) epoch: u64,
    lease: LeaseId,
    _queue: Task,
    _follower: Task,
    renewing: Task,
}

impl Drop for Tenure {
    fn drop(&mut self) {
        self.term.end();
    }
}

/// Takes a partition: `None` while another has it.
///
/// # Errors
/// When the account does not answer in time, or what is there cannot be read: then a person has to look.
pub(crate) async fn take(common: &Arc<Common>, partition: Partition) -> Result<Option<Tenure>, Failure> {
    let account = &common.account;
    let name = names::owner(partition);
    let from = (common.steady)();
    let Some(lease) = account.once(account.blobs.acquire(&name, LEASE)).await? else { return Ok(None) };
    let term = Arc::new(Term::new(common.steady.clone(), from));
    let renewing = Task::begin(renew(common.clone(), name.clone(), lease.clone(), term.clone()));
    let taken = take_over(common, partition, &lease, &term).await;
    match taken {
        Ok(Running { line, board, epoch, queue, follower }) => {
            Ok(Some(Tenure { line, board, term, epoch, lease, _queue: queue, _follower: follower, renewing }))
        }
        Err(failure) => {
            term.end();
            drop(renewing);
            // Whether it is given up or runs out: the next try finds it.
            let _ = account.once(account.blobs.release(&name, &lease)).await;
            Err(failure)
        }
    }
}

struct Running {
    line: mpsc::UnboundedSender<Command>,
    board: Arc<Board>,
    epoch: u64,
    queue: Task,
    follower: Task,
}

async fn take_over(
    common: &Arc<Common>,
    partition: Partition,
    lease: &LeaseId,
    term: &Arc<Term>,
) -> Result<Running, Failure> {
    let (account, began) = (&common.account, Instant::now());
    let name = names::owner(partition);
    // As long as it is renewed there is time: a backlog may take longer to read than a term is.
    let before: Owner = read(common, &name).await?;
    let mut state = picture::read(account, partition, &before.state).await?;
    let from = before.state.number.max(1);
    let (past, progress) = begin(account, partition, &common.process, term, from).await?;
    let mut follower = Follower::new(common.reading.clone(), partition, &state.positions);
    let mut end = term.end_at();
    while let Err(failure) = follower.catch_up(&mut state, end).await {
        if !term.holds() {
            return Err(failure);
        }
        end = term.end_at();
    }
    let bounds = common.options.bounds();
    for commit in past.commits {
        // As its owner did: what was only a beginning pushed out nothing.
        if !commit.changes.is_empty() {
            state.apply(commit.changes);
            let _ = state.trim(bounds, commit.at);
        }
    }
    remove_orphans(account, partition, &state, term).await?;
    picture::remove_others(account, partition, &before.state, term).await?;
    let (process, address, epoch) = (common.process.to_string(), common.address.to_string(), progress.epoch());
    let owner = seal(&Owner { epoch, process, address, ..before });
    match account.until(Some(term.end_at()), || account.blobs.put_over(&name, owner.clone(), Some(lease))).await? {
        Over::Put => {}
        Over::NotOurs => return Err(passing(format!("partition {}: somebody has taken its lease", partition.0))),
    }
    let waiting = state.totals().waiting;
    let title = Title {
        partition,
        process: common.process.clone(),
        address: common.address.clone(),
        lease: lease.clone(),
        term: term.clone(),
    };
    let parts = (account.clone(), common.reading.clone());
    let store = Owned::new(
        parts,
        title,
        (progress, state),
        (past.next, past.begins, before.state),
        (bounds, common.commit_every),
    );
    let (board, (to, commands)) = (Arc::new(Board::default()), mpsc::unbounded_channel());
    let clock: Clock = {
        let account = account.clone();
        Arc::new(move || account.now())
    };
    let driver = Driver::new(Box::new(store), common.options.shares(), clock, board.clone(), commands);
    let (took_ms, partition) = (began.elapsed().as_millis(), partition.0);
    tracing::info!(partition, epoch, waiting, took_ms, "a partition is ours");
    let ends = term.clone();
    let queue = Task::begin(async move {
        driver.run().await;
        ends.end();
    });
    let follower = Task::begin(follower.run(to.clone()));
    Ok(Running { line: to, board, epoch, queue, follower })
}

/// Letters whose burial was never committed, or whose leaving could not be carried out: what waits is not dead.
async fn remove_orphans(account: &Account, partition: Partition, state: &State, term: &Term) -> Result<(), Failure> {
    let mut from = None;
    loop {
        let list = || account.blobs.list(names::DEAD, from.as_deref());
        let page = account.until(Some(term.end_at()), list).await?;
        let ours = page.blobs.iter().filter_map(|blob| names::dead_from(&blob.name));
        let seqs: Vec<Seq> = ours.filter(|(of, _)| *of == partition).map(|(_, seq)| seq).collect();
        for seq in seqs.into_iter().filter(|seq| state.letter(*seq).is_none()) {
            let name = names::dead(partition, seq);
            account.until(Some(term.end_at()), || account.blobs.delete(&name)).await?;
        }
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(()),
        }
    }
}

async fn read<T: serde::de::DeserializeOwned>(common: &Common, name: &str) -> Result<T, Failure> {
    let account = &common.account;
    let body = account.once(account.blobs.get(name)).await?;
    let body = body.ok_or_else(|| odd(format!("{name} is not there; somebody removes blobs of this container")))?;
    unseal(&body).map_err(|cause| odd(format!("{name}: {cause}")))
}

pub(super) fn odd(cause: String) -> Failure {
    Failure::here(FailureKind::Odd, cause)
}

fn passing(cause: String) -> Failure {
    Failure::here(FailureKind::Passing, cause)
}

/// Until it is lost, or its term is over.
pub(crate) async fn renew(common: Arc<Common>, name: String, lease: LeaseId, term: Arc<Term>) {
    let account = &common.account;
    while term.holds() {
        sleep(RENEW_EVERY).await;
        let from = (common.steady)();
        // One that is not there any more when it is asked for was not ours in the meantime.
        if !term.holds() {
            break;
        }
        match account.once(account.blobs.renew(&name, &lease)).await {
            Ok(true) => term.extend(from),
            Ok(false) => {
                tracing::warn!(name, "a lease is not ours any more; what it is for is given up");
                term.end();
            }
            // Tried again in its time; the term goes on running.
            Err(_) => {}
        }
    }
    tracing::debug!(name, "a term is over");
    term.end();
}

impl Tenure {
    /// Commits what is decided, writes the state down and gives the lease up, `let_go` after this at the earliest. Nothing is leased
    /// out by then, or comes again.
    pub(crate) async fn give(mut self, common: &Common, partition: Partition, let_go: Duration) {
        let at = Instant::now() + let_go;
        let given = timeout(GIVE_MAX, async {
            let (reply, closed) = oneshot::channel();
            if self.line.send(Command::Close { reply }).is_ok() {
                let _ = closed.await;
            }
            sleep_until(at).await;
            let (account, name) = (&common.account, names::owner(partition));
            self.renewing.0.abort();
            let _ = (&mut self.renewing.0).await;
            account.once(account.blobs.release(&name, &self.lease)).await
        });
        match given.await {
            Ok(Ok(_)) => tracing::info!(partition = partition.0, "a partition is given away"),
            Ok(Err(cause)) => {
                tracing::warn!(partition = partition.0, %cause, "a partition could not be given away; its lease runs out");
            }
            Err(_) => {
                let within_s = GIVE_MAX.as_secs();
                tracing::warn!(
                    partition = partition.0,
                    within_s,
                    "a partition could not be given away; its lease runs out"
                );
            }
        }
    }
}
