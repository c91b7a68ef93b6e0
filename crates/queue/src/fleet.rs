//! A queue that many processes share, kept in a storage account.
//!
//! Each process that takes messages writes a log of its own ([`door`]); each device belongs to a partition, each partition has one
//! owner at a time ([`tenure`], [`term`]), who reads all doors ([`reading`], [`follow`], [`rounds`]), hands out what waits as the
//! embedded queue does ([`owned`], a store under the same driver), and writes what became of it ([`progress`]). Nothing is
//! overwritten that matters: a log is a row of blobs with numbers, each put once, and the number that a new owner takes is the
//! fence against the old one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

mod account; // calls until they are decided, and the service's time
mod balance; // PURE: who is to have which partitions
mod door; // what one process accepts
mod follow; // what the doors have written for one partition
mod format; // PURE: what blobs hold
mod janitor; // what nobody needs any more
mod letters; // dead letters, from any process
mod names; // PURE: what blobs are called
mod owned; // a partition as its owner's queue sees it
mod pace; // PURE: when a commit may begin
mod picture; // an owner's knowledge, written down
mod progress; // what an owner commits, and the fence
mod reading; // what the doors have written, read once
mod rounds; // PURE: in which order it is handed on
mod skew; // PURE: the service's clock
mod state; // PURE: what an owner knows
mod tenure; // from a free partition to a running queue, and back
mod term; // how long it may act
mod troubles; // PURE: which failures are told

pub(crate) use rounds::Positions;
pub(crate) use state::{Arrival, Kind};

use account::{Account, Whose};
use door::{Asked, Door};
use format::{Claim, Owner, Store, Worker, seal, unseal};
use names::{Log, Partition, owner_from, worker_from};
use reading::Reading;
use tenure::{Common, Tenure};
use term::{LEASE, Term};
use troubles::Topic;

use crate::blobs::{Blobs, Failure};
use crate::board::Board;
use crate::command::{Command, PutReply, Room};
use crate::{Clock, LeaseError, Message, Options, Put, PutError, Stats};

/// How often a worker looks who lives and what is free. With the lease's 15 s and the reading it makes a take-over of under 26 s.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// Longest that a partition that is to be given away waits for what is out; what is not back by then comes twice.
const SETTLED_MAX: Duration = Duration::from_secs(4);

/// Between two looks at that.
const SETTLED_LOOK: Duration = Duration::from_millis(100);

/// After a partition has been given away, before anybody else can have it: whoever acts for it looks each second whether it still may,
/// and has links to let go, which are stolen from him otherwise.
const LET_GO: Duration = Duration::from_millis(1_500);

/// Longest that a claim waits for the account; then it is tried again with its message.
const CLAIM_MAX: Duration = Duration::from_secs(10);

/// A clock that is this wrong is worth a word; the queue goes by the account's.
const CLOCK_WRONG_S: i64 = 2;

/// Longest that opening waits for the account.
const OPEN_MAX: Duration = Duration::from_secs(30);

/// How a process takes part in a shared queue.
#[derive(Clone)]
pub struct Shared {
    /// The account.
    pub blobs: Arc<dyn Blobs>,
    /// Into how many parts the devices are divided, when the queue is made: the most workers that can share it. Later ones keep what
    /// the first one said.
    pub partitions: u16,
    /// This life of this process; nobody else's, ever.
    pub process: String,
    /// Where its pages are, for the others to tell.
    pub address: String,
    /// It takes messages, or moves dead letters.
    pub has_door: bool,
    /// It hands out messages.
    pub works: bool,
    /// Milliseconds by a clock that nobody sets and that counts while the process or the machine is stopped.
    pub steady: Clock,
    /// Between two commits of a door, on the average; as many as fit into a second may come at once.
    pub put_every: Duration,
    /// The same of a partition's owner.
    pub settle_every: Duration,
    /// Between two looks at what the doors have written.
    pub read_every: Duration,
    /// Between two more looks, for which a message waits that was seen, on the average; as many as fit into a second may come at
    /// once.
    pub hurry_every: Duration,
}

impl Shared {
    /// With the paces of an account that is paid by the call: four commits a second and door, two a second and partition, four looks
    /// a second.
    pub fn new(blobs: Arc<dyn Blobs>, process: String, steady: Clock) -> Self {
        Self {
            blobs,
            partitions: 4,
            process,
            address: String::new(),
            has_door: true,
            works: true,
            steady,
            put_every: Duration::from_millis(250),
            settle_every: Duration::from_millis(500),
            read_every: Duration::from_millis(250),
            hurry_every: Duration::from_millis(250),
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("process", &self.process).finish_non_exhaustive()
    }
}

/// Under which right this process hands out the messages of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tenancy {
    /// The part that the lane belongs to.
    pub partition: u16,
    /// Rises with every new owner of it, also when that is this process again: what was known of its notes is out of date then.
    pub epoch: u64,
}

/// Why a process cannot take part.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The account does not answer, or refuses.
    #[error("the storage account cannot be used: {0}")]
    Account(Failure),
    /// What is there is not ours, or of a newer version.
    #[error("the container holds something else: {0}; name another one")]
    Other(String),
}

/// One process's part in a shared queue.
pub(crate) struct Fleet {
    common: Arc<Common>,
    door: Option<mpsc::UnboundedSender<Asked>>,
    door_board: Arc<Board>,
    parts: Arc<Parts>,
    /// Aborted when the last handle is gone.
    _tasks: JoinSet<()>,
    leave: Mutex<Option<oneshot::Sender<oneshot::Sender<()>>>>,
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet").field("process", &self.common.process).finish_non_exhaustive()
    }
}

/// The partitions that are ours now, and who gets what they hand out.
#[derive(Debug, Default)]
struct Parts(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    tenures: BTreeMap<Partition, Tenure>,
    stream: Option<(usize, mpsc::UnboundedSender<Message>)>,
}

impl Parts {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing here can be left half changed by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mine(&self) -> BTreeSet<Partition> {
        self.lock().tenures.keys().copied().collect()
    }

    /// Hands out no more of a partition that is to be given away, until what is out has come back.
    async fn settled(&self, partition: Partition) {
        let end = Instant::now() + SETTLED_MAX;
        let board = {
            let inner = self.lock();
            let Some(tenure) = inner.tenures.get(&partition) else { return };
            if let Some((_, to)) = &inner.stream {
                // One that is gone has nothing out.
                let _ = tenure.line.send(Command::Lease { max: 0, to: to.clone() });
            }
            tenure.board.clone()
        };
        // The first look is after what was handed out until then is on the board.
        while Instant::now() < end {
            tokio::time::sleep(SETTLED_LOOK).await;
            if board.stats().leased == 0 {
                return;
            }
        }
    }

    /// One came or went: the others may have more or less out.
    fn changed(&self) {
        let inner = self.lock();
        let Some((max, to)) = &inner.stream else { return };
        let each = max.div_ceil(inner.tenures.len().max(1));
        for tenure in inner.tenures.values() {
            // One that is gone is found by who looks after them.
            let _ = tenure.line.send(Command::Lease { max: each, to: to.clone() });
        }
    }
}

impl Fleet {
    /// Begins. Puts are taken from then on; partitions come as they are free.
    ///
    /// # Errors
    /// See [`JoinError`].
    pub(crate) async fn join(shared: Shared, options: Options) -> Result<Self, JoinError> {
        let end = Instant::now() + OPEN_MAX;
        let account = Arc::new(Account::new(shared.blobs, options.clock.clone()));
        let partitions = found(&account, shared.partitions, end).await?;
        let reading = Arc::new(Reading::new(account.clone(), partitions));
        let process: Arc<str> = shared.process.into();
        let mut tasks = JoinSet::new();
        tasks.spawn(reading.clone().beats(shared.read_every, shared.hurry_every));
        let (board, mut door) = (Arc::new(Board::default()), None);
        if shared.has_door {
            let hint = last_log(&account, end).await.map_err(JoinError::Account)?;
            let parts = (account.clone(), reading.clone(), board.clone());
            let opened = Door::open(parts, process.clone(), shared.put_every, hint, end).await;
            let (running, to) = opened.map_err(JoinError::Account)?;
            tasks.spawn(running.run());
            door = Some(to);
        }
        let common = Arc::new(Common {
            account,
            reading,
            process,
            address: shared.address.into(),
            steady: shared.steady,
            partitions,
            commit_every: shared.settle_every,
            options,
        });
        let (parts, mut leave) = (Arc::<Parts>::default(), None);
        if shared.works {
            let (to, leaves) = oneshot::channel();
            tasks.spawn(work(common.clone(), parts.clone(), leaves));
            tasks.spawn(janitor::run(common.clone(), parts.clone()));
            leave = Some(to);
        }
        Ok(Self { common, door, door_board: board, parts, _tasks: tasks, leave: Mutex::new(leave) })
    }

    pub(crate) fn partition_of(&self, lane: &str) -> Partition {
        names::partition_of(lane, self.common.partitions)
    }

    /// The way to the queue of a lane, where it is ours.
    pub(crate) fn line_of(&self, lane: &str) -> Option<(mpsc::UnboundedSender<Command>, Arc<Board>)> {
        let partition = self.partition_of(lane);
        self.parts.lock().tenures.get(&partition).map(|tenure| (tenure.line.clone(), tenure.board.clone()))
    }

    /// The ways to all that are ours.
    pub(crate) fn lines(&self) -> Vec<(mpsc::UnboundedSender<Command>, Arc<Board>)> {
        let inner = self.parts.lock();
        inner.tenures.values().map(|tenure| (tenure.line.clone(), tenure.board.clone())).collect()
    }

    /// Whether a message of this lane may be acted on now. By the clock, not by what has been heard.
    pub(crate) fn holds(&self, lane: &str) -> bool {
        let partition = self.partition_of(lane);
        self.parts.lock().tenures.get(&partition).is_some_and(|tenure| tenure.term.holds())
    }

    pub(crate) fn tenancy(&self, lane: &str) -> Option<Tenancy> {
        let partition = self.partition_of(lane);
        let epoch = self.parts.lock().tenures.get(&partition)?.epoch;
        Some(Tenancy { partition: partition.0, epoch })
    }

    /// What the first one has said, if that is something else.
    pub(crate) async fn claim(&self, space: &str, key: &str, value: &[u8]) -> Result<Option<Vec<u8>>, LeaseError> {
        let (name, ours) = (names::claim(space, key), Claim { value: value.to_vec() });
        let end = Some(Instant::now() + CLAIM_MAX);
        let failed = |cause: &dyn fmt::Display| LeaseError::Failed(format!("{name}: {cause}"));
        match self.common.account.settle(end, &name, &seal(&ours)).await.map_err(|failure| failed(&failure))? {
            Whose::Ours => Ok(None),
            Whose::Theirs(body) => {
                let theirs: Claim = unseal(&body).map_err(|cause| failed(&cause))?;
                Ok((theirs != ours).then_some(theirs.value))
            }
        }
    }

    pub(crate) fn stream(&self, max: usize, to: mpsc::UnboundedSender<Message>) {
        self.parts.lock().stream = Some((max, to));
        self.parts.changed();
    }

    pub(crate) fn put(&self, put: Put, reply: PutReply, room: Room) -> Result<(), PutError> {
        let door = self.door.as_ref().ok_or(PutError::Closed)?;
        door.send(Asked::Put { put, reply, room }).map_err(|_| PutError::Closed)
    }

    pub(crate) async fn dead_letters(
        &self,
        after: Option<crate::Seq>,
        limit: usize,
    ) -> Result<Vec<crate::DeadLetter>, LeaseError> {
        letters::after(&self.common.account, after, limit).await
    }

    pub(crate) async fn dead_letter(&self, seq: crate::Seq) -> Result<Option<crate::DeadLetter>, LeaseError> {
        letters::one(&self.common.account, self.common.partitions, seq).await
    }

    pub(crate) async fn move_letters(
        &self,
        seqs: &[crate::Seq],
        comes_back: bool,
    ) -> Result<Vec<crate::Moved>, LeaseError> {
        let door = self.door.as_ref().ok_or(LeaseError::Closed)?;
        letters::ask(&self.common.account, self.common.partitions, door, seqs, comes_back).await
    }

    /// Of the door and of all partitions that are ours.
    pub(crate) fn stats(&self) -> Stats {
        let mut all = Stats { loaded: true, ..self.door_board.stats() };
        all.writable = self.door.is_some() && self.door_board.is_open();
        for (_, board) in self.lines() {
            let part = board.stats();
            all.waiting += part.waiting;
            all.waiting_bytes += part.waiting_bytes;
            all.leased += part.leased;
            all.lanes += part.lanes;
            all.oldest_accepted_at = all.oldest_accepted_at.into_iter().chain(part.oldest_accepted_at).min();
            all.dead_letters += part.dead_letters;
            all.dead_letters_bytes += part.dead_letters_bytes;
            all.dead_letters_gone += part.dead_letters_gone;
            all.kept += part.kept;
            all.kept_bytes += part.kept_bytes;
            all.kept_gone += part.kept_gone;
            all.loaded &= part.loaded;
            all.dropped_leases += part.dropped_leases;
            all.trouble = all.trouble.or(part.trouble);
        }
        if let Some(trouble) = self.common.account.trouble() {
            let since = trouble.since.elapsed().as_secs();
            all.trouble =
                Some(format!("the storage account does not do what is asked for {since} s: {}", trouble.failure));
        }
        let wrong_s = self.common.account.clock_is_wrong_by() / 1_000;
        if wrong_s >= CLOCK_WRONG_S {
            all.trouble.get_or_insert_with(|| format!("this machine's clock is {wrong_s} s off the storage account's"));
        }
        let damaged = self.common.reading.damaged();
        if damaged > 0 {
            all.trouble.get_or_insert_with(|| format!("{damaged} commits of doors could not be read; see the log"));
        }
        all
    }

    /// Gives all partitions away. Bounded by what each of them takes.
    pub(crate) async fn leave(&self) {
        let leave = self.leave.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (reply, left) = oneshot::channel();
        if leave.is_some_and(|leave| leave.send(reply).is_ok()) {
            let _ = left.await;
        }
    }

    /// Gives all partitions away and ends the door's log. Bounded by what each of them takes.
    pub(crate) async fn close(&self) {
        self.leave().await;
        let (reply, closed) = oneshot::channel();
        if self.door.as_ref().is_some_and(|door| door.send(Asked::Close { reply }).is_ok()) {
            let _ = closed.await;
        }
    }
}

/// What the first one said.
async fn found(account: &Account, partitions: u16, end: Instant) -> Result<u16, JoinError> {
    let wanted = Store { partitions: partitions.clamp(1, 999) };
    let whose = account.settle(Some(end), names::STORE, &seal(&wanted)).await.map_err(JoinError::Account)?;
    match whose {
        Whose::Ours => Ok(wanted.partitions),
        Whose::Theirs(body) => {
            let store: Store = unseal(&body).map_err(|cause| JoinError::Other(cause.to_string()))?;
            Ok(store.partitions.max(1))
        }
    }
}

/// The one after the last that was opened.
async fn last_log(account: &Account, end: Instant) -> Result<Log, Failure> {
    let (mut from, mut last) = (None, None);
    loop {
        let list = || account.blobs.list(names::OPENINGS, from.as_deref());
        let page = account.until(Some(end), list).await?;
        last = page.blobs.last().and_then(|blob| names::log_from(&blob.name)).or(last);
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(last.map_or(Log(0), |Log(last)| Log(last + 1))),
        }
    }
}

/// Looks who lives and what is free, takes and gives, until it is to leave.
async fn work(common: Arc<Common>, parts: Arc<Parts>, mut leaves: oneshot::Receiver<oneshot::Sender<()>>) {
    let mut alive = Alive::default();
    let mut next = Instant::now();
    let reply = loop {
        tokio::select! {
            biased;
            reply = &mut leaves => break reply.ok(),
            () = lost(&parts) => {}
            () = sleep_until(next) => {
                next = Instant::now() + LOOK_EVERY;
                alive.stay(&common).await;
                // Told by the account already; looked again in a while.
                let _ = look(&common, &parts).await;
            }
        }
    };
    let tenures = std::mem::take(&mut parts.lock().tenures);
    let given = tenures.into_iter().map(|(partition, tenure)| tenure.give(&common, partition, Duration::ZERO));
    futures_util::future::join_all(given).await;
    alive.leave(&common).await;
    if let Some(reply) = reply {
        let _ = reply.send(());
    }
}

/// Returns when a partition is not ours any more, with that taken out.
async fn lost(parts: &Parts) {
    loop {
        let terms: Vec<(Partition, Arc<Term>)> =
            parts.lock().tenures.iter().map(|(partition, tenure)| (*partition, tenure.term.clone())).collect();
        if terms.is_empty() {
            return std::future::pending().await;
        }
        let over = terms.iter().map(|(partition, term)| {
            Box::pin(async {
                term.over().await;
                *partition
            })
        });
        let (partition, ..) = futures_util::future::select_all(over).await;
        let tenure = parts.lock().tenures.remove(&partition);
        if let Some(tenure) = tenure {
            tracing::warn!(partition = partition.0, "a partition is not ours any more");
            drop(tenure);
            return parts.changed();
        }
    }
}

/// That this worker lives.
#[derive(Default)]
struct Alive(Option<(crate::blobs::LeaseId, Arc<Term>)>);

impl Alive {
    /// So that the others leave it its share.
    async fn stay(&mut self, common: &Common) {
        let (account, name) = (&common.account, names::worker(&common.process));
        let from = (common.steady)();
        if let Some((lease, term)) = &self.0
            && term.holds()
        {
            match account.once(account.blobs.renew(&name, lease)).await {
                Ok(true) => return term.extend(from),
                // It is ours all the same until its term ends; whoever asks for another meanwhile gets none.
                Err(_) => return,
                Ok(false) => {}
            }
        }
        let worker = seal(&Worker { process: common.process.to_string(), address: common.address.to_string() });
        let _ = account.once(account.blobs.put_new(&name, worker)).await;
        let lease = account.once(account.blobs.acquire(&name, LEASE)).await;
        self.0 = lease.ok().flatten().map(|lease| (lease, Arc::new(Term::new(common.steady.clone(), from))));
    }

    async fn leave(&mut self, common: &Common) {
        let (account, name) = (&common.account, names::worker(&common.process));
        if let Some((lease, _)) = self.0.take() {
            let _ = account.once(account.blobs.release(&name, &lease)).await;
            let _ = account.once(account.blobs.delete(&name)).await;
        }
    }
}

async fn look(common: &Arc<Common>, parts: &Arc<Parts>) -> Result<(), Failure> {
    let account = &common.account;
    let (mut workers, mut leased) = (BTreeSet::new(), BTreeSet::new());
    let mut known = BTreeSet::new();
    let mut from = None;
    loop {
        let page = account.once(account.blobs.list(names::LIVE, from.as_deref())).await?;
        for blob in &page.blobs {
            if let Some(worker) = worker_from(&blob.name).filter(|_| blob.is_leased) {
                workers.insert(worker.to_owned());
            }
            if let Some(partition) = owner_from(&blob.name) {
                known.insert(partition);
                if blob.is_leased {
                    leased.insert(partition);
                }
            }
        }
        match page.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    for partition in (0..common.partitions).map(Partition).filter(|partition| !known.contains(partition)) {
        account.once(account.blobs.put_new(&names::owner(partition), seal(&Owner::default()))).await?;
    }
    let free = (0..common.partitions).map(Partition).filter(|partition| !leased.contains(partition)).collect();
    let decision = balance::decide(&common.process, &workers, common.partitions, &free, &parts.mine());
    if let Some(partition) = decision.give {
        parts.settled(partition).await;
        let tenure = parts.lock().tenures.remove(&partition);
        if let Some(tenure) = tenure {
            tenure.give(common, partition, LET_GO).await;
            parts.changed();
        }
    }
    let taken = decision.take.iter().map(|partition| async {
        let tenure = tenure::take(common, *partition).await;
        (*partition, tenure)
    });
    for (partition, tenure) in futures_util::future::join_all(taken).await {
        let topic = Topic { part: Some(partition.0), ..Topic::of("take a partition", names::LIVE) };
        match tenure {
            Ok(Some(tenure)) => {
                account.note(topic, None);
                parts.lock().tenures.insert(partition, tenure);
            }
            // Another has it, or what we had of it has not run out yet.
            Ok(None) => {}
            Err(failure) => account.note(topic, Some(&failure)),
        }
    }
    parts.changed();
    Ok(())
}
