//! The queue against a model of a few lines, over random histories with crashes, restarts and faults. Whoever has an engine includes
//! this file.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use queue::blobs::Blobs;
use queue::memory::{Disk, Fault, Tail};
use queue::{
    Burial, Clock, Engine, Lease, LeaseError, Leases, Moved, Note, Options, Place, Put, PutError, Queue, Reason, Retry,
    Seen, Seq, Settle, Shared,
};
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub(crate) const START: i64 = 1_780_000_000_000;
const LANES: u8 = 4;

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Put(u8),
    PutDead,
    Lease,
    Settle(usize),
    Keep(usize),
    Bury(usize),
    Retry(usize, u16),
    Release(usize, u16),
    Drop(usize),
    Wake(u8),
    Pass(u16),
    Note(u8),
    /// Dead letters by their place in the list, some of which are not there.
    Replay(usize, usize),
    Discard(usize),
    Import,
    /// Sets the clock forward or back, by milliseconds.
    Clock(i64),
    /// Only on the store whose faults can be ordered.
    Fault(Fault),
    Full(bool),
    /// The writer is gone in the middle of things, then opened again.
    Crash,
    /// The same in the middle of a commit, of which this is left. Only on the store that can be ordered to.
    CrashWithin(Within, Tail),
    Restart,
}

/// What is being committed.
#[derive(Clone, Debug)]
pub(crate) enum Within {
    Put(u8),
    Note(u8),
    /// An outcome of what is held; a put where nothing is.
    Outcome(Box<Step>),
    /// Of letters from this place on; a put where there are none.
    Replay(usize),
}

fn within() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        (0..8_usize).prop_map(Step::Settle),
        (0..8_usize).prop_map(Step::Keep),
        (0..8_usize).prop_map(Step::Bury),
        (0..8_usize, 0..5_000_u16).prop_map(|(which, ms)| Step::Retry(which, ms)),
    ];
    let within = prop_oneof![
        1 => (0..LANES).prop_map(Within::Put),
        1 => (0..3_u8).prop_map(Within::Note),
        1 => (0..6_usize).prop_map(Within::Replay),
        3 => outcome.prop_map(|step| Within::Outcome(Box::new(step))),
    ];
    let tail = prop_oneof![Just(Tail::Absent), Just(Tail::Whole), (0..4_usize).prop_map(|rows| Tail::Torn { rows })];
    (within, tail).prop_map(|(within, tail)| Step::CrashWithin(within, tail))
}

fn step() -> impl Strategy<Value = Step> {
    let fault = prop_oneof![Just(Fault::Full), Just(Fault::Failed), Just(Fault::FailedButThere)];
    prop_oneof![
        8 => (0..LANES).prop_map(Step::Put),
        1 => Just(Step::PutDead),
        8 => Just(Step::Lease),
        4 => (0..8_usize).prop_map(Step::Settle),
        1 => (0..8_usize).prop_map(Step::Keep),
        1 => (0..8_usize).prop_map(Step::Bury),
        3 => (0..8_usize, 0..5_000_u16).prop_map(|(which, ms)| Step::Retry(which, ms)),
        2 => (0..8_usize, 0..5_000_u16).prop_map(|(which, ms)| Step::Release(which, ms)),
        1 => (0..8_usize).prop_map(Step::Drop),
        2 => (0..LANES).prop_map(Step::Wake),
        3 => (0..6_000_u16).prop_map(Step::Pass),
        1 => (0..3_u8).prop_map(Step::Note),
        2 => (0..6_usize, 1..4_usize).prop_map(|(which, many)| Step::Replay(which, many)),
        1 => (0..6_usize).prop_map(Step::Discard),
        1 => Just(Step::Import),
        1 => prop_oneof![-1_500..1_500_i64, -4_000_000..4_000_000_i64].prop_map(Step::Clock),
        2 => fault.prop_map(Step::Fault),
        1 => any::<bool>().prop_map(Step::Full),
        1 => Just(Step::Crash),
        2 => within(),
        1 => Just(Step::Restart),
    ]
}

/// A message as the model sees it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Row {
    body: u64,
    attempts: u32,
    frozen: Option<u32>,
    replays: u32,
    /// Durable: when the last wait began, and its end, by the clock of then.
    waits: Option<(i64, i64)>,
    /// In memory: the end of that wait, and of a release. 0 when it was over once.
    not_before: i64,
    released_until: i64,
    leased: bool,
    woken: bool,
}

impl Row {
    fn new(body: u64, replays: u32) -> Self {
        Self { body, replays, ..Self::default() }
    }

    /// Read from the store: of what was held in memory nothing is known, and a wait that began in times to come begins anew.
    fn reread(&mut self, now: i64) {
        (self.released_until, self.woken) = (0, false);
        let (begun, end) = self.waits.unwrap_or((0, 0));
        let end = if begun - now > 1_000 { now + (end - begun) } else { end };
        self.not_before = if (1..=3_600_000).contains(&(end - now)) { end } else { 0 };
    }
}

/// What is set aside, oldest position first.
#[derive(Debug, Default)]
struct Shelf {
    rows: BTreeMap<u64, Aside>,
    gone: u64,
}

#[derive(Clone, Copy, Debug)]
struct Aside {
    bytes: u64,
    at: i64,
    lane: u8,
    replays: u32,
}

impl Shelf {
    fn bytes(&self) -> u64 {
        self.rows.values().map(|aside| aside.bytes).sum()
    }

    fn trim(&mut self, (count_max, bytes_max, age_ms_max): (usize, u64, i64), now: i64) {
        while let Some(oldest) = self.rows.first_entry() {
            let is_old = now - oldest.get().at > age_ms_max;
            let is_much = self.rows.len() > count_max || (self.bytes() > bytes_max && self.rows.len() > 1);
            if !is_old && !is_much {
                break;
            }
            self.rows.pop_first();
            self.gone += 1;
        }
    }
}

/// Count, bytes and age of each, so small that every one of them comes to bear.
const DEAD_MAX: (usize, u64, i64) = (5, 4_000, 40_000);
const KEPT_MAX: (usize, u64, i64) = (4, 3_000, 20_000);

#[derive(Debug, Default)]
struct Model {
    lanes: BTreeMap<u8, VecDeque<Row>>,
    /// Lanes of which a message is out, and into which others have come back meanwhile.
    overtaken: BTreeSet<u8>,
    dead: Shelf,
    kept: Shelf,
    notes: BTreeMap<String, Vec<u8>>,
    seen: BTreeMap<u8, Vec<u64>>,
    next_body: u64,
}

impl Model {
    fn front(&mut self, lane: u8) -> Option<&mut Row> {
        self.lanes.get_mut(&lane)?.front_mut()
    }

    fn leased(&mut self, lane: u8) -> Option<&mut Row> {
        self.lanes.get_mut(&lane)?.iter_mut().find(|row| row.leased)
    }

    fn is_due(&self, lane: u8, now: i64) -> bool {
        let Some(rows) = self.lanes.get(&lane) else { return false };
        let is_due = |head: &Row| head.not_before <= now && head.released_until <= now;
        rows.iter().all(|row| !row.leased) && rows.front().is_some_and(is_due)
    }

    /// The store was read again after a failure. What is due was handed out before.
    fn reopened(&mut self, now: i64) {
        let due: Vec<u8> = self.lanes.keys().copied().filter(|lane| self.is_due(*lane, now)).collect();
        self.reread(now);
        for lane in due {
            self.front(lane).unwrap().not_before = 0;
        }
    }

    /// The store was read by a process that has just begun.
    fn reread(&mut self, now: i64) {
        for (lane, rows) in &mut self.lanes {
            rows.iter_mut().for_each(|row| row.reread(now));
            rows.iter_mut().filter(|row| row.leased).for_each(|row| row.not_before = 0);
            self.overtaken.remove(lane);
            if rows.iter().skip(1).any(|row| row.leased) {
                self.overtaken.insert(*lane);
            }
        }
    }

    /// What was out is back, or gone.
    fn is_back(&mut self, lane: u8, now: i64) {
        if let Some(row) = self.leased(lane) {
            (row.leased, row.woken) = (false, false);
        }
        if self.overtaken.remove(&lane) {
            self.front(lane).unwrap().reread(now);
        }
    }

    fn leave(&mut self, lane: u8, now: i64) -> Row {
        let rows = self.lanes.get_mut(&lane).unwrap();
        let at = rows.iter().position(|row| row.leased).unwrap();
        let row = rows.remove(at).unwrap();
        self.overtaken.remove(&lane);
        if let Some(next) = self.front(lane) {
            next.reread(now);
        }
        row
    }

    fn put(&mut self, lane: u8) {
        let row = Row::new(self.next_body, 0);
        self.lanes.entry(lane).or_default().push_back(row);
    }

    fn note(&mut self, key: String, value: Vec<u8>, now: i64) {
        self.notes.insert(key, value);
        self.committed(now);
    }

    fn replay(&mut self, bodies: &[u64], now: i64) {
        for body in bodies {
            let Aside { lane, replays, .. } = self.dead.rows.remove(body).unwrap();
            let rows = self.lanes.entry(lane).or_default();
            let at = rows.partition_point(|row| row.body < *body);
            rows.insert(at, Row::new(*body, replays + 1));
            if self.leased(lane).is_some() {
                self.overtaken.insert(lane);
            } else {
                self.front(lane).unwrap().reread(now);
            }
        }
        self.committed(now);
    }

    /// Somebody sets the clock: what was to come in a minute still comes in a minute.
    fn clock(&mut self, by: i64, now: i64) {
        let moved = |at: i64| if at <= now { 0 } else { at + if by < -1_000 { by } else { 0 } };
        for row in self.lanes.values_mut().filter_map(VecDeque::front_mut) {
            (row.not_before, row.released_until) = (moved(row.not_before), moved(row.released_until));
        }
    }

    /// The outcome of what is out is committed.
    fn ended(&mut self, step: &Step, lane: u8, now: i64) {
        let leased = self.leased(lane).unwrap();
        let body = leased.body;
        if let Step::Retry(_, ms) = *step {
            let end = now + i64::from(ms);
            leased.attempts += 1;
            (leased.waits, leased.not_before) = (Some((now, end)), end);
            leased.frozen = leased.frozen.or(Some(ms.into()));
            self.is_back(lane, now);
        } else {
            let replays = self.leave(lane, now).replays;
            let aside = Aside { bytes: bytes_set_aside(body), at: now, lane, replays };
            match step {
                Step::Keep(_) => drop(self.kept.rows.insert(body, aside)),
                Step::Bury(_) => drop(self.dead.rows.insert(body, aside)),
                _ => {}
            }
        }
        if matches!(step, Step::Settle(_) | Step::Bury(_)) {
            let seen = self.seen.entry(lane).or_default();
            seen.retain(|old| *old != body);
            seen.push(body);
        }
        self.committed(now);
    }

    /// A commit has happened.
    fn committed(&mut self, now: i64) {
        self.dead.trim(DEAD_MAX, now);
        self.kept.trim(KEPT_MAX, now);
    }

    fn waiting(&self) -> usize {
        self.lanes.values().map(VecDeque::len).sum()
    }
}

/// Its first byte is the lane; its length varies.
fn head(body: u64, lane: u8) -> Vec<u8> {
    vec![lane; 1 + body as usize % 5 * 200]
}

/// Head and body, and what is counted beside them.
fn bytes_set_aside(body: u64) -> u64 {
    head(body, 0).len() as u64 + 8 + 512
}

async fn outcome(step: Step, lease: Lease, body: u64, now: i64) -> Result<(), LeaseError> {
    let settle = Settle { seen: Some(Seen { key: u128::from(body).to_le_bytes(), at: now }), notes: vec![] };
    let reason = Reason { code: "refused".into(), detail: "no".into() };
    match step {
        Step::Settle(_) => lease.settle(settle).await,
        Step::Keep(_) => lease.keep().await,
        Step::Bury(_) => lease.bury(reason, settle).await,
        Step::Retry(_, ms) => {
            let freeze = Some(u32::from(ms).to_le_bytes().to_vec());
            lease.retry(Retry { wait: Duration::from_millis(ms.into()), cause: "busy".into(), freeze }).await
        }
        _ => unreachable!("only outcomes come here"),
    }
}

struct Run {
    model: Model,
    options: Options,
    disk: Option<Disk>,
    /// Where it is shared with others.
    account: Option<Arc<dyn Blobs>>,
    lives: u32,
    begin: Instant,
    /// What the clock is ahead of the time that has passed, in milliseconds.
    ahead: Arc<AtomicI64>,
    queue: Queue,
    driver: JoinHandle<()>,
    leases: Leases,
    held: Vec<(u8, Lease)>,
    /// Ordered and still to come, as far as is known.
    fault: Option<Fault>,
    full: bool,
    /// Until when puts may still be refused after the room came back, in time that has passed.
    full_until: i64,
}

/// Where the messages are kept.
pub(crate) enum On {
    Engine(Engine),
    /// Shared with others, in an account by this clock.
    Account(Box<dyn FnOnce(Clock) -> Arc<dyn Blobs>>),
}

async fn start(
    options: &Options,
    account: Option<&Arc<dyn Blobs>>,
    lives: &mut u32,
) -> (Queue, JoinHandle<()>, Leases) {
    let (queue, driver) = match account {
        None => {
            let (queue, driver) = Queue::open_here(options.clone()).unwrap();
            (queue, tokio::spawn(driver))
        }
        Some(account) => {
            *lives += 1;
            // Whoever was there before is gone, and nobody waits for a lease to run out.
            for lease in ["live/owner-000".to_owned(), format!("live/worker-life-{}", *lives - 1)] {
                // An error says that there is no such blob yet.
                drop(account.break_lease(&lease).await);
            }
            let began = Instant::now();
            let steady = Arc::new(move || i64::try_from(began.elapsed().as_millis()).unwrap());
            let shared = Shared::new(account.clone(), format!("life-{lives}"), steady);
            let (put_every, settle_every) = (Duration::ZERO, Duration::ZERO);
            let (read_every, hurry_every) = (Duration::from_secs(100), Duration::ZERO);
            let shared = Shared { partitions: 1, put_every, settle_every, read_every, hurry_every, ..shared };
            let queue = Queue::join(shared, options.clone()).await.unwrap();
            while !queue.holds("a") {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            (queue, tokio::spawn(async {}))
        }
    };
    let leases = queue.leases(100);
    (queue, driver, leases)
}

impl Run {
    async fn new(on: On) -> Self {
        let (begin, ahead) = (Instant::now(), Arc::new(AtomicI64::new(START)));
        let clocks = ahead.clone();
        let clock: Clock =
            Arc::new(move || clocks.load(Ordering::Relaxed) + i64::try_from(begin.elapsed().as_millis()).unwrap());
        let (engine, account) = match on {
            On::Engine(engine) => (engine, None),
            On::Account(account) => (Engine::Memory(Disk::new()), Some(account(clock.clone()))),
        };
        let disk = match &engine {
            Engine::Memory(disk) if account.is_none() => Some(disk.clone()),
            Engine::Memory(_) | Engine::Directory(_) => None,
        };
        let options = Options {
            engine,
            dead_letters_max: DEAD_MAX.0 as u64,
            dead_letters_bytes_max: Some(DEAD_MAX.1),
            dead_letters_age_ms_max: DEAD_MAX.2,
            kept_max: KEPT_MAX.0 as u64,
            kept_bytes_max: Some(KEPT_MAX.1),
            kept_age_ms_max: KEPT_MAX.2,
            ..Options::in_memory(&Disk::new(), clock)
        };
        let mut lives = 0;
        let (queue, driver, leases) = start(&options, account.as_ref(), &mut lives).await;
        let (model, held) = (Model::default(), Vec::new());
        let (fault, full, full_until) = (None, false, 0);
        Self {
            model,
            options,
            disk,
            account,
            lives,
            begin,
            ahead,
            queue,
            driver,
            leases,
            held,
            fault,
            full,
            full_until,
        }
    }

    /// What was put elsewhere has come.
    async fn rest(&self) {
        if self.account.is_some() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn passed(&self) -> i64 {
        i64::try_from(self.begin.elapsed().as_millis()).unwrap()
    }

    fn now(&self) -> i64 {
        self.ahead.load(Ordering::Relaxed) + self.passed()
    }

    async fn step(&mut self, step: &Step) {
        match *step {
            Step::Put(lane) => self.put(lane).await,
            Step::PutDead => self.put_dead().await,
            Step::Lease => drop(self.lease().await),
            Step::Settle(which) | Step::Keep(which) | Step::Bury(which) | Step::Retry(which, _) => {
                if !self.held.is_empty() {
                    let (lane, lease) = self.held.remove(which % self.held.len());
                    self.end(step, lane, lease).await;
                }
            }
            Step::Release(which, ms) => self.release(which, ms).await,
            Step::Drop(which) => {
                if !self.held.is_empty() {
                    let (lane, lease) = self.held.remove(which % self.held.len());
                    drop(lease);
                    self.model.is_back(lane, self.now());
                    self.look().await;
                }
            }
            Step::Wake(lane) => self.wake(lane).await,
            Step::Pass(ms) => {
                tokio::time::sleep(Duration::from_millis(ms.into())).await;
                self.look().await;
            }
            Step::Note(key) => self.note(key).await,
            Step::Replay(which, many) => self.replay(which, many).await,
            Step::Discard(which) => self.discard(which).await,
            Step::Import => self.import().await,
            // That of a shared queue is the account's.
            Step::Clock(by) if self.account.is_none() => self.set_clock(by).await,
            Step::Clock(_) => {}
            Step::Fault(fault) => {
                if let (Some(disk), None) = (&self.disk, self.fault) {
                    disk.fail_next_commit(fault);
                    self.fault = Some(fault);
                }
            }
            Step::Full(full) => {
                if let Some(disk) = &self.disk {
                    disk.set_full(full);
                    self.full = full;
                    self.full_until = self.passed() + 1_000;
                }
            }
            Step::Crash => self.crash(false).await,
            Step::CrashWithin(ref within, tail) => self.crash_within(within, tail).await,
            Step::Restart => self.crash(true).await,
        }
    }

    /// The ordered fault, if what was done last has met it.
    fn met(&mut self) -> Option<Fault> {
        let met = self.fault.filter(|_| self.disk.as_ref().is_some_and(|disk| disk.faults() == 0));
        if let Some(fault) = met {
            self.fault = None;
            match fault {
                Fault::Full => self.full_until = self.passed() + 1_000,
                Fault::Failed | Fault::FailedButThere => self.model.reopened(self.now()),
            }
        }
        met
    }

    /// As [`Run::met`], for a commit without a put, for which there is always room.
    fn failed(&mut self) -> Option<Fault> {
        self.met().filter(|fault| *fault != Fault::Full)
    }

    fn message(&mut self, lane: u8, place: Place) -> Put {
        self.model.next_body += 1;
        let body = self.model.next_body.to_le_bytes().to_vec();
        let (lane, kind, head) =
            (format!("lane-{lane}"), "uplink_message".to_owned(), head(self.model.next_body, lane));
        Put { lane, kind, head, body, accepted_at: self.now(), place }
    }

    async fn put(&mut self, lane: u8) {
        let put = self.message(lane, Place::Lane);
        if self.put_is_there(put).await {
            self.model.put(lane);
            self.put_is_committed();
        }
    }

    /// A door's commit is none of the partition's.
    fn put_is_committed(&mut self) {
        if self.account.is_none() {
            self.model.committed(self.now());
        }
    }

    async fn put_dead(&mut self) {
        let reason = Reason { code: "no_identity".into(), detail: String::new() };
        let put = self.message(0, Place::DeadLetters(reason));
        let (body, now) = (self.model.next_body, self.now());
        if self.put_is_there(put).await {
            self.model.dead.rows.insert(body, Aside { bytes: bytes_set_aside(body), at: now, lane: 0, replays: 0 });
            self.model.committed(now);
            self.rest().await;
        }
    }

    async fn import(&mut self) {
        let at = self.now() - 5_000;
        let reason = Reason { code: "refused".into(), detail: "elsewhere".into() };
        let burial = Burial { attempts: 3, replays: 2, ..Burial::at_once(reason, at) };
        let put = self.message(1, Place::Import(Box::new(burial)));
        let body = self.model.next_body;
        if self.put_is_there(put).await {
            self.model.dead.rows.insert(body, Aside { bytes: bytes_set_aside(body), at, lane: 1, replays: 2 });
            self.model.committed(self.now());
            self.rest().await;
        }
    }

    /// The dead letters as they are listed, which is as the model has them.
    async fn letters(&mut self) -> Vec<(Seq, u64)> {
        let letters = self.queue.dead_letters(None, 1_000).await.unwrap();
        let body = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
        let found = letters.iter().map(|letter| (body(&letter.message.body), letter.message.replays, letter.buried_at));
        let expected = self.model.dead.rows.iter().map(|(body, aside)| (*body, aside.replays, aside.at));
        assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        letters.iter().map(|letter| (letter.message.seq, body(&letter.message.body))).collect()
    }

    async fn replay(&mut self, which: usize, many: usize) {
        self.take_all().await;
        let letters: Vec<_> = self.letters().await.into_iter().skip(which).take(many).collect();
        let bodies: Vec<_> = letters.iter().map(|(_, body)| *body).collect();
        let seqs: Vec<_> = letters.iter().map(|(seq, _)| *seq).chain(letters.first().map(|(seq, _)| *seq)).collect();
        let mut expected = vec![Moved::Done; letters.len()];
        expected.resize(seqs.len(), Moved::Missing);
        let answer = self.queue.replay(seqs).await;
        let fault = self.failed();
        match fault {
            None => assert_eq!(answer.unwrap(), expected, "twice is once"),
            Some(_) => assert!(answer.is_err()),
        }
        // Of none there is nothing to commit in a shared queue, so nothing is pushed out then.
        let is_commit = self.account.is_none() || !bodies.is_empty();
        if fault != Some(Fault::Failed) && is_commit {
            self.model.replay(&bodies, self.now());
        }
        if fault.is_some() {
            self.model.reopened(self.now());
        }
        self.rest().await;
    }

    async fn discard(&mut self, which: usize) {
        let letter = self.letters().await.into_iter().nth(which);
        let missing = Seq(u64::MAX / 2);
        let answer = self.queue.discard(letter.iter().map(|(seq, _)| *seq).chain([missing]).collect()).await;
        let fault = self.failed();
        assert_eq!(answer.is_err(), fault.is_some());
        let is_commit = self.account.is_none() || letter.is_some();
        if let (Some((_, body)), true) = (letter, fault != Some(Fault::Failed)) {
            self.model.dead.rows.remove(&body);
        }
        if fault != Some(Fault::Failed) && is_commit {
            self.model.committed(self.now());
        }
        self.rest().await;
    }

    /// The queue looks at the clock before and after: how long ago it has looked is what it cannot know of.
    async fn set_clock(&mut self, by: i64) {
        self.look().await;
        self.model.clock(by, self.now());
        self.ahead.fetch_add(by, Ordering::Relaxed);
        self.look().await;
    }

    /// The queue knows what time it is, and has handed out what is due.
    async fn look(&self) {
        let _ = self.queue.head("of nobody").await;
    }

    /// Puts, checks the answer, and tells whether the message is in the store now.
    async fn put_is_there(&mut self, put: Put) -> bool {
        let may_be_full = self.full || self.passed() < self.full_until;
        let answer = self.queue.put(put).await;
        let met = self.met();
        match (&answer, met) {
            (Ok(_), None) => assert!(!self.full, "not refused, and is full"),
            (Err(PutError::Full(_)), Some(Fault::Full)) => {}
            (Err(PutError::Full(_)), None) => assert!(may_be_full, "refused as full, and is not"),
            (Err(PutError::Failed(_)), Some(Fault::Failed | Fault::FailedButThere)) => {}
            other => panic!("{other:?}"),
        }
        answer.is_ok() || met == Some(Fault::FailedButThere)
    }

    async fn lease(&mut self) -> bool {
        let now = self.now();
        let any_due = (0..LANES).any(|lane| self.model.is_due(lane, now));
        let next = tokio::time::timeout(Duration::from_millis(1), self.leases.next()).await;
        let Ok(lease) = next else {
            assert!(!any_due, "something is due and does not come");
            self.look().await;
            return false;
        };
        let lease = lease.unwrap();
        let message = lease.message();
        let lane = message.head[0];
        assert!(
            self.model.is_due(lane, self.now()),
            "lane {lane} is not due at {}: {:?}",
            self.now(),
            self.model.lanes.get(&lane)
        );
        let head = self.model.front(lane).unwrap();
        let frozen = message.frozen.as_deref().map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap()));
        let body = u64::from_le_bytes(message.body.as_slice().try_into().unwrap());
        let found = (body, message.attempts, frozen, message.replays);
        assert_eq!(found, (head.body, head.attempts, head.frozen, head.replays), "the oldest, as it was left");
        (head.leased, head.not_before, head.released_until) = (true, 0, 0);
        self.held.push((lane, lease));
        true
    }

    async fn end(&mut self, step: &Step, lane: u8, lease: Lease) {
        let now = self.now();
        let body = self.model.leased(lane).unwrap().body;
        let answer = outcome(step.clone(), lease, body, now).await;
        let fault = self.failed();
        assert_eq!(answer.is_err(), fault.is_some(), "{answer:?} for {fault:?}");
        if fault != Some(Fault::Failed) {
            self.model.ended(step, lane, now);
        }
        self.model.is_back(lane, now);
        // Read again, and out of nobody's hands since.
        if let (Some(_), Some(front)) = (fault, self.model.front(lane)) {
            front.reread(now);
        }
    }

    /// Begins something, and is gone while the disk is at it.
    async fn crash_within(&mut self, within: &Within, tail: Tail) {
        let Some(disk) = self.disk.clone() else { return };
        disk.clear_faults();
        disk.set_full(false);
        (self.fault, self.full) = (None, false);
        // Until it was found to have room.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let letters = self.letters().await;
        disk.set_latency(|| Duration::from_millis(5));
        let (now, queue) = (self.now(), self.queue.clone());
        let is_whole = tail == Tail::Whole;
        let asking = match within {
            Within::Outcome(step) if !self.held.is_empty() => {
                let (lane, lease) = self.held.remove(0);
                let asking =
                    tokio::spawn(outcome(Step::clone(step), lease, self.model.leased(lane).unwrap().body, now));
                if is_whole {
                    self.model.ended(step, lane, now);
                }
                tokio::spawn(async move { drop(asking.await) })
            }
            Within::Note(key) => {
                let (key, value) = (format!("key-{key}"), now.to_le_bytes().to_vec());
                let note = Note { space: "notes".into(), key: key.clone(), value: Some(value.clone()) };
                if is_whole {
                    self.model.note(key, value, now);
                }
                tokio::spawn(async move { drop(queue.write_notes("a", vec![note]).await) })
            }
            Within::Replay(which) if *which < letters.len() => {
                let (seqs, bodies): (Vec<_>, Vec<_>) = letters.into_iter().skip(*which).unzip();
                if is_whole {
                    self.model.replay(&bodies, now);
                }
                tokio::spawn(async move { drop(queue.replay(seqs).await) })
            }
            Within::Put(_) | Within::Outcome(_) | Within::Replay(_) => {
                let lane = if let Within::Put(lane) = within { *lane } else { 0 };
                let put = self.message(lane, Place::Lane);
                if is_whole {
                    self.model.put(lane);
                    self.model.committed(now);
                }
                tokio::spawn(async move { drop(queue.put(put).await) })
            }
        };
        tokio::time::sleep(Duration::from_millis(2)).await;
        let rows = disk.under_way().expect("the disk is at it");
        let tail = if let Tail::Torn { rows: some } = tail { Tail::Torn { rows: some.min(rows) } } else { tail };
        assert!(!asking.is_finished(), "nobody is told while the disk is at it");
        let next = disk.crash(tail);
        next.set_latency(|| Duration::ZERO);
        self.options.engine = Engine::Memory(next.clone());
        self.disk = Some(next);
        self.crash(false).await;
    }

    async fn release(&mut self, which: usize, ms: u16) {
        if self.held.is_empty() {
            return;
        }
        let (lane, lease) = self.held.remove(which % self.held.len());
        let until = self.now() + i64::from(ms);
        lease.release_for(Duration::from_millis(ms.into()));
        let row = self.model.leased(lane).unwrap();
        row.released_until = if row.woken { 0 } else { until };
        self.model.is_back(lane, self.now());
        self.look().await;
    }

    /// What waits in the stream already is leased to the queue; lets it be so to the model. Each look takes a millisecond, in which
    /// the next may become due.
    async fn take_all(&mut self) {
        while self.lease().await || (0..LANES).any(|lane| self.model.is_due(lane, self.now())) {}
    }

    async fn wake(&mut self, lane: u8) {
        self.take_all().await;
        self.queue.wake(&format!("lane-{lane}"));
        if let Some(row) = self.model.leased(lane) {
            row.woken = true;
        } else if let Some(head) = self.model.front(lane) {
            head.released_until = 0;
        }
        self.look().await;
    }

    async fn note(&mut self, key: u8) {
        let (key, value) = (format!("key-{key}"), self.now().to_le_bytes().to_vec());
        let note = Note { space: "notes".into(), key: key.clone(), value: Some(value.clone()) };
        let answer = self.queue.write_notes("a", vec![note]).await;
        let fault = self.failed();
        assert_eq!(answer.is_err(), fault.is_some());
        if fault != Some(Fault::Failed) {
            self.model.note(key, value, self.now());
        }
    }

    async fn crash(&mut self, orderly: bool) {
        if orderly {
            self.queue.close().await;
        }
        self.driver.abort();
        let _ = (&mut self.driver).await;
        self.held.clear();
        for row in self.model.lanes.values_mut().flatten() {
            row.leased = false;
        }
        self.model.reread(self.now());
        // Nothing of the old one is left when the new one begins.
        let (nothing, _) =
            Queue::open_here(Options { engine: Engine::Memory(Disk::new()), ..self.options.clone() }).unwrap();
        self.leases = nothing.leases(0);
        self.queue = nothing;
        // The new one has not heard of it.
        (self.queue, self.driver, self.leases) = start(&self.options, self.account.as_ref(), &mut self.lives).await;
        if !self.full {
            self.full_until = 0;
        }
    }

    /// Everything that is left comes out in order, and the collections are as they should be.
    async fn end_of_history(mut self) {
        self.held.clear();
        if let Some(disk) = &self.disk {
            disk.set_full(false);
            disk.clear_faults();
        }
        self.fault = None;
        self.crash(true).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        // What another came before waits anew, five seconds at the most.
        for _ in 0..=self.model.waiting() {
            while self.lease().await {
                let (lane, lease) = self.held.pop().unwrap();
                lease.settle(Settle::default()).await.unwrap();
                let now = self.now();
                self.model.leave(lane, now);
                self.model.committed(now);
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        assert_eq!(self.model.waiting(), 0);
        let stats = self.queue.stats();
        assert_eq!((stats.waiting, stats.waiting_bytes, stats.leased, stats.lanes), (0, 0, 0, 0));
        let (dead, kept) = (&self.model.dead, &self.model.kept);
        let found = (stats.dead_letters, stats.dead_letters_bytes, stats.dead_letters_gone);
        assert_eq!(found, (dead.rows.len() as u64, dead.bytes(), dead.gone));
        let found = (stats.kept, stats.kept_bytes, stats.kept_gone);
        assert_eq!(found, (kept.rows.len() as u64, kept.bytes(), kept.gone));
        self.letters().await;
        assert_eq!(self.queue.notes("notes").await.unwrap(), self.model.notes.into_iter().collect::<Vec<_>>());
        for (lane, bodies) in self.model.seen {
            let seen = self.queue.seen(&format!("lane-{lane}")).await.unwrap();
            let keys: Vec<_> = seen.iter().map(|seen| u128::from_le_bytes(seen.key) as u64).collect();
            assert_eq!(keys, bodies);
        }
        self.queue.close().await;
    }
}

/// Whether the queue does in this history as the model does.
///
/// # Panics
/// When it does not.
pub(crate) fn holds(on: On, steps: &[Step]) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut run = Run::new(on).await;
        for step in steps {
            run.step(step).await;
        }
        run.end_of_history().await;
    });
}

pub(crate) fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    TestRunner::new(config)
}

/// Histories of so many steps at the most; a million of them in the long run.
pub(crate) fn histories(steps: usize) -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(step(), 1..=steps)
}
