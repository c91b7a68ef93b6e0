//! The door of one process: what it accepts goes into a log of its own, one blob a commit.
//!
//! Promises: a receipt is sent only after the service has said that the blob with the row is there; rows of one door have rising
//! positions, by the service's time; a log that somebody else has ended is left, and what was not committed goes into a new one.
//! One commit is under way at a time, and a put that is not decided yet is made again until it is. Knows no partitions.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::account::{Account, Whose};
use super::format::{Commit, Opening, Row, Wish, seal};
use super::names::{self, Log};
use super::pace::Pace;
use super::reading::Reading;
use crate::blobs::Failure;
use crate::board::Board;
use crate::command::{PutReply, Room};
use crate::{Put, Receipt, Seq, UnixMillis};

/// Bytes of heads and bodies in one commit: 4 MiB go in 10 s over the slowest line that is any use.
const COMMIT_BYTES_MAX: usize = 4 << 20;

/// Wishes in one commit; as many as the embedded queue's.
const COMMIT_ROWS_MAX: usize = 512;

/// The lease by which a door says that it lives: the longest there is, for nothing waits for its end but the closing of its log.
const STAY: Duration = Duration::from_secs(60);

/// 2020-01-01: positions begin there.
const EPOCH: UnixMillis = 1_577_836_800_000;

/// What a door is asked.
#[derive(Debug)]
pub(crate) enum Asked {
    Put {
        put: Put,
        reply: PutReply,
        room: Room,
    },
    /// Dead letters, with the position that they have.
    Letters {
        wishes: Vec<(Seq, Wish)>,
        reply: oneshot::Sender<()>,
    },
    Close {
        reply: oneshot::Sender<()>,
    },
}

#[derive(Debug)]
enum Waiter {
    Put(PutReply, Room),
    Letters(Option<oneshot::Sender<()>>),
}

/// A wish that has no place yet.
#[derive(Debug)]
struct Waiting {
    /// None for what gets its position with its commit.
    seq: Option<Seq>,
    wish: Wish,
    waiter: Waiter,
}

impl Waiting {
    fn bytes(&self) -> usize {
        match &self.wish {
            Wish::Put(put) => put.head.len() + put.body.len(),
            Wish::Replay(message) => message.head.len() + message.body.len(),
            Wish::Discard { .. } => 0,
        }
    }
}

/// Positions: milliseconds since 2020, ten bits of the log, twelve to count within a millisecond. Two logs that are open at once
/// are never 1 024 apart, for a thousand processes would have to have begun meanwhile.
#[derive(Debug)]
struct Positions {
    log: Log,
    last: u64,
}

impl Positions {
    fn next(&mut self, now: UnixMillis) -> Seq {
        let (least, millis) = (self.last >> 22, u64::try_from(now - EPOCH).unwrap_or_default());
        let log = u64::from(self.log.0 % 1_024) << 12;
        let fresh = millis.max(least) << 22 | log;
        let is_used_up = self.last & 0xfff == 0xfff;
        self.last = match (fresh > self.last, is_used_up) {
            (true, _) => fresh,
            (false, false) => self.last + 1,
            (false, true) => (least + 1) << 22 | log,
        };
        Seq(self.last)
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Door {
    account: Arc<Account>,
    reading: Arc<Reading>,
    board: Arc<Board>,
    process: Arc<str>,
    pace: Pace,
    positions: Positions,
    next: u64,
    asked: mpsc::UnboundedReceiver<Asked>,
    waiting: Vec<Waiting>,
    closing: Option<oneshot::Sender<()>>,
}

/// Opens a log: the first number from `hint` on that nobody has.
///
/// # Errors
/// When the account gives no answer before `end`.
async fn open_log(account: &Account, process: &str, hint: Log, end: Option<Instant>) -> Result<Log, Failure> {
    let mut log = hint;
    loop {
        let opening = Opening { process: process.to_owned(), at: account.now() };
        match account.settle(end, &names::opening(log), &seal(&opening)).await? {
            Whose::Ours => return Ok(log),
            Whose::Theirs(_) => log = Log(log.0 + 1),
        }
    }
}

impl Door {
    /// Opens a log.
    ///
    /// # Errors
    /// When the account gives no answer before `end`.
    pub(crate) async fn open(
        (account, reading, board): (Arc<Account>, Arc<Reading>, Arc<Board>),
        process: Arc<str>,
        every: Duration,
        hint: Log,
        end: Instant,
    ) -> Result<(Self, mpsc::UnboundedSender<Asked>), Failure> {
        let log = open_log(&account, &process, hint, Some(end)).await?;
        let (to, asked) = mpsc::unbounded_channel();
        let door = Self {
            account,
            reading,
            board,
            process,
            pace: Pace::new(every, Instant::now()),
            positions: Positions { log, last: 0 },
            next: 1,
            asked,
            waiting: Vec::new(),
            closing: None,
        };
        Ok((door, to))
    }

    /// Runs until closed, or until the last handle is gone.
    pub(crate) async fn run(self) {
        let account = self.account.clone();
        let (log, logs) = watch::channel(self.positions.log);
        tokio::select! {
            biased;
            () = self.serve(log) => {}
            () = stay(account, logs) => {}
        }
    }

    async fn serve(mut self, log: watch::Sender<Log>) {
        while self.gather().await {
            self.commit().await;
            log.send_if_modified(|log| std::mem::replace(log, self.positions.log) != self.positions.log);
            if self.waiting.is_empty()
                && let Some(reply) = self.closing.take()
            {
                self.end().await;
                self.board.closed();
                let _ = reply.send(());
                return;
            }
        }
        self.board.closed();
    }

    /// Until there is a commit to make and its time has come. False when all handles are gone.
    async fn gather(&mut self) -> bool {
        loop {
            let now = Instant::now();
            let begin = self.pace.next(now).max(now);
            let is_full = self.commit_size() < self.waiting.len() || self.waiting.len() >= COMMIT_ROWS_MAX;
            let is_due = begin <= now || self.closing.is_some();
            if (is_full || is_due) && (!self.waiting.is_empty() || self.closing.is_some()) {
                // What has come meanwhile goes with it.
                while let Ok(asked) = self.asked.try_recv() {
                    self.take(asked);
                }
                return true;
            }
            tokio::select! {
                biased;
                asked = self.asked.recv() => match asked {
                    Some(asked) => self.take(asked),
                    None if self.waiting.is_empty() => return false,
                    None => { sleep_until(begin).await; return true; }
                },
                () = sleep_until(begin), if !self.waiting.is_empty() => {}
            }
        }
    }

    fn take(&mut self, asked: Asked) {
        match asked {
            Asked::Put { put, reply, room } => {
                let (wish, waiter) = (Wish::Put(Box::new(put)), Waiter::Put(reply, room));
                self.waiting.push(Waiting { seq: None, wish, waiter });
            }
            Asked::Letters { wishes, reply } => {
                let mut reply = Some(reply);
                let count = wishes.len();
                for (at, (seq, wish)) in wishes.into_iter().enumerate() {
                    // The last one answers for all.
                    let waiter = Waiter::Letters(if at + 1 == count { reply.take() } else { None });
                    self.waiting.push(Waiting { seq: Some(seq), wish, waiter });
                }
                if let Some(reply) = reply {
                    let _ = reply.send(());
                }
            }
            Asked::Close { reply } => self.closing = Some(reply),
        }
    }

    /// How many of those that wait go with the next commit.
    fn commit_size(&self) -> usize {
        let mut bytes = 0;
        let fits = |waiting: &&Waiting| {
            bytes += waiting.bytes();
            bytes <= COMMIT_BYTES_MAX
        };
        let count = self.waiting.iter().take(COMMIT_ROWS_MAX).take_while(fits).count();
        // One that is larger than a commit goes alone.
        count.max(1).min(self.waiting.len())
    }

    async fn commit(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let batch: Vec<Waiting> = self.waiting.drain(..self.commit_size()).collect();
        self.pace.begin(Instant::now());
        self.board.commit_begins();
        let seqs = self.keep(&batch).await;
        self.board.commit_ends();
        for (waiting, seq) in batch.into_iter().zip(seqs) {
            match waiting.waiter {
                Waiter::Put(reply, _room) => drop(reply.send(Ok(Receipt { seq, is_over_share: false }))),
                Waiter::Letters(Some(reply)) => drop(reply.send(())),
                Waiter::Letters(None) => {}
            }
        }
    }

    /// Until it is kept, whatever that takes. Whoever waits has an end of their own.
    async fn keep(&mut self, batch: &[Waiting]) -> Vec<Seq> {
        loop {
            let now = self.account.now();
            let seqs: Vec<Seq> = batch.iter().map(|w| w.seq.unwrap_or_else(|| self.positions.next(now))).collect();
            let row = |(waiting, seq): (&Waiting, &Seq)| Row { seq: *seq, wish: waiting.wish.clone() };
            let rows = batch.iter().zip(&seqs).map(row).collect();
            let commit = Commit::Rows { process: self.process.to_string(), rows };
            if self.put(&seal(&commit)).await {
                self.reading.came(self.positions.log, self.next - 1, commit);
                return seqs;
            }
            self.open_another().await;
        }
    }

    /// False when the log was ended by somebody else.
    async fn put(&mut self, body: &Bytes) -> bool {
        loop {
            let name = names::commit_of(self.positions.log, self.next);
            match self.account.settle(None, &name, body).await {
                Ok(Whose::Ours) => {
                    self.next += 1;
                    return true;
                }
                Ok(Whose::Theirs(_)) => return false,
                // Without an end it goes on until there is an answer.
                Err(_) => {}
            }
        }
    }

    /// The log was ended as one that nobody writes to any more: we were silent, or stopped, for long.
    async fn open_another(&mut self) {
        let hint = Log(self.positions.log.0 + 1);
        loop {
            if let Ok(log) = open_log(&self.account, &self.process, hint, None).await {
                tracing::info!(log = log.0, "the door's log was ended as silent; it goes on in another");
                (self.positions.log, self.next) = (log, 1);
                return;
            }
        }
    }

    /// Nobody has to look here any more. Not worth waiting for: somebody else ends it after a while.
    async fn end(&mut self) {
        let body = seal(&Commit::End { process: self.process.to_string() });
        let end = Instant::now() + Duration::from_secs(2);
        let name = names::commit_of(self.positions.log, self.next);
        if self.account.settle(Some(end), &name, &body).await.is_ok() {
            self.reading.came(self.positions.log, self.next, Commit::End { process: self.process.to_string() });
        }
    }
}

/// So that nobody takes the log for one of a door that died. What that needs does not matter to what is kept: never ends.
async fn stay(account: Arc<Account>, mut logs: watch::Receiver<Log>) {
    loop {
        let log = *logs.borrow_and_update();
        let name = names::door(log);
        // What fails has been told, and is tried again.
        let _ = account.once(account.blobs.put_new(&name, Bytes::new())).await;
        let lease = account.once(account.blobs.acquire(&name, STAY)).await;
        let renewed = async {
            while let Ok(Some(lease)) = &lease {
                sleep(STAY / 3).await;
                if let Ok(false) = account.once(account.blobs.renew(&name, lease)).await {
                    return;
                }
            }
            sleep(STAY / 3).await;
        };
        tokio::select! {
            biased;
            _ = logs.wait_for(|now| *now != log) => {}
            () = renewed => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_rise_also_when_the_clock_does_not_and_differ_between_doors() {
        let (mut one, mut other) = (Positions { log: Log(1), last: 0 }, Positions { log: Log(2), last: 0 });
        let now = EPOCH + 200_000_000_000;
        let mut seqs: Vec<u64> = (0..10_000).map(|n| one.next(now - n).0).collect();
        assert!(seqs.is_sorted() && seqs.iter().all(|seq| seq >> 12 & 0x3ff == 1));
        seqs.extend((0..10_000).map(|_| other.next(now).0));
        seqs.sort_unstable();
        seqs.dedup();
        assert_eq!(seqs.len(), 20_000);
        assert!(one.next(now + 100).0 > seqs[19_999]);
        assert_eq!(Positions { log: Log(0), last: 0 }.next(EPOCH + 1).0, 1 << 22);
    }
}
