//! What the doors have written for one partition, handed on to its queue in the order in which it was committed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use super::account::WAIT_LONGEST;
use super::format::At;
use super::names::Partition;
use super::reading::Reading;
use super::rounds::{Positions, Rounds};
use super::state::{Arrival, State};
use crate::blobs::{Failure, FailureKind};
use crate::command::Command;

/// After a round that failed, if the service does not ask for more.
const AGAIN: Duration = Duration::from_millis(500);

fn again(failure: &Failure) -> Duration {
    failure.retry_after.unwrap_or(AGAIN).clamp(AGAIN, WAIT_LONGEST)
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Follower {
    reading: Arc<Reading>,
    partition: Partition,
    rounds: Rounds,
    last: Instant,
}

impl Follower {
    pub(crate) fn new(reading: Arc<Reading>, partition: Partition, from: &Positions) -> Self {
        // A beat that is just over will do.
        let last = Instant::now();
        Self { reading, partition, rounds: Rounds::new(from), last }
    }

    /// Reads everything that there is into `state`.
    ///
    /// # Errors
    /// When that cannot be done before `end`.
    pub(crate) async fn catch_up(&mut self, state: &mut State, end: Instant) -> Result<(), Failure> {
        while !self.rounds.is_caught_up() {
            self.reading.hurry();
            let round = timeout_at(end, self.round()).await;
            match round {
                Ok(Ok(())) => {}
                Ok(Err(failure)) if Instant::now() + again(&failure) >= end => return Err(failure),
                Ok(Err(failure)) => sleep(again(&failure)).await,
                Err(_) => {
                    let cause = format!("partition {}: what waits was not read in time", self.partition.0);
                    return Err(Failure::here(FailureKind::Passing, cause));
                }
            }
            self.rounds.ready().iter().for_each(|arrival| state.arrive(arrival));
        }
        state.positions = self.rounds.positions();
        Ok(())
    }

    /// Until the queue is gone.
    pub(crate) async fn run(mut self, to: mpsc::UnboundedSender<Command>) {
        let mut told = self.rounds.positions();
        loop {
            // Told by the account already.
            if let Err(failure) = self.round().await {
                sleep(again(&failure)).await;
                continue;
            }
            let arrivals = self.rounds.ready();
            let positions = self.rounds.positions();
            if self.rounds.is_waiting() {
                self.reading.hurry();
            }
            if arrivals.is_empty() && positions == told {
                if to.is_closed() {
                    return;
                }
                continue;
            }
            told = positions.clone();
            let (done, taken) = oneshot::channel();
            if to.send(Command::Arrived { arrivals, positions, done }).is_err() || taken.await.is_err() {
                return;
            }
        }
    }

    async fn round(&mut self) -> Result<(), Failure> {
        let began = self.reading.beat_after(self.last).await;
        let wanted = self.rounds.wanted();
        let read = join_all(wanted.iter().map(|(log, next)| self.reading.follow(*log, *next, began))).await;
        // Not when the round began: one that is made again finds what was committed long after that.
        let seen_at = Instant::now().max(began);
        for ((log, next), read) in wanted.into_iter().zip(read) {
            let (found, is_all) = read?;
            let is_over = found.last().is_some_and(|read| read.is_end);
            for (number, read) in (next..).zip(found) {
                let rows = (0..).zip(&read.rows).filter(|(_, (partition, _))| *partition == self.partition);
                let arrival = |(index, (_, row)): (u32, &(Partition, _))| Arrival::of(row, At { log, number, index });
                self.rounds.saw(log, seen_at, rows.map(arrival).collect());
            }
            if is_over {
                self.rounds.is_over(log);
            } else if is_all {
                self.rounds.ended(log, began);
            }
        }
        while self.reading.is_opened(self.rounds.next_log(), began).await? {
            self.rounds.opened();
        }
        self.rounds.not_opened(began);
        // Only now: a round that failed half way is made again.
        self.last = began;
        Ok(())
    }
}
