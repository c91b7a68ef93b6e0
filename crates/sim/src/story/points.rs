//! Who waits at a point of failure for the process to come by, and what happens to it there.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bridge::world::{Point, Points};
use tokio::sync::Notify;

use super::World;
use crate::fault::{Fault, ProcessFault};
use crate::log::Moment;
use crate::plan::AMBUSH_PASSES;

/// How long the process is held up at the most. Over the four seconds within which the door answers, and over the twenty
/// in which a hub does; below the hundred after which a probe is forgotten.
const HELD_UP_MS_MAX: u32 = 60_000;

/// Points that are reached without time going on: a dozen devices, each a few messages that end at once, come to fewer.
const CIRCLES_MAX: u32 = 5_000;

/// Those who wait, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Armed(Vec<Ambush>);

#[derive(Debug)]
struct Ambush {
    event: usize,
    fault: ProcessFault,
    /// So many times it is let pass.
    passes: u32,
    amount: u32,
}

impl Armed {
    pub(super) fn add(&mut self, event: usize, fault: ProcessFault, amount: u32) {
        self.0.push(Ambush { event, fault, passes: amount % AMBUSH_PASSES, amount });
    }

    pub(super) fn remove(&mut self, event: usize) {
        self.0.retain(|ambush| ambush.event != event);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Whose turn it is when the process comes to a point.
    fn reached(&mut self, point: Point) -> Option<Ambush> {
        let index = self.0.iter().position(|ambush| ambush.fault.point() == Some(point))?;
        if self.0[index].passes > 0 {
            self.0[index].passes -= 1;
            return None;
        }
        Some(self.0.remove(index))
    }
}

/// The ears of one life.
pub(super) struct Ears {
    pub(super) world: Arc<World>,
    pub(super) alive: Arc<AtomicBool>,
    /// The process was killed.
    pub(super) killed: Arc<Notify>,
    /// How often it came to points at this time.
    pub(super) instant: Mutex<(i64, u32)>,
}

impl std::fmt::Debug for Ears {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ears")
    }
}

impl Ears {
    /// Does the process run in circles without time going on? Then it never ends by itself, and is killed.
    fn runs_in_circles(&self, point: Point) -> bool {
        let now = self.world.log.elapsed_ms();
        let times = {
            let (at, times) = &mut *self.instant.lock().unwrap_or_else(PoisonError::into_inner);
            *times = if *at == now { *times + 1 } else { 1 };
            *at = now;
            *times
        };
        if times == CIRCLES_MAX {
            let what = format!("at {} it comes to points again and again, now to {point}", Moment(now));
            self.world.evidence().scandals.push(what);
        }
        times >= CIRCLES_MAX
    }
}

impl Points for Ears {
    fn reached(&self, point: Point) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        if self.alive.load(Ordering::Relaxed) && self.runs_in_circles(point) {
            self.world.dies(&self.alive, Fault::Process(ProcessFault::Killed), 0);
            self.killed.notify_one();
        }
        let ambush = self.alive.load(Ordering::Relaxed).then(|| self.world.armed().reached(point));
        let Some(ambush) = ambush else { return Box::pin(std::future::pending()) };
        let Some(ambush) = ambush else { return Box::pin(std::future::ready(())) };
        let fault = Fault::Process(ambush.fault);
        self.world.happens(fault);
        self.world.log.line(format_args!("{}", fault.name()));
        if let ProcessFault::HeldUpAt(_) = ambush.fault {
            let (world, alive) = (self.world.clone(), self.alive.clone());
            return Box::pin(async move {
                let trouble = world.begins(fault, None);
                tokio::time::sleep(Duration::from_millis((ambush.amount % HELD_UP_MS_MAX).into())).await;
                if !alive.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
                world.is_over(trouble);
            });
        }
        self.world.dies(&self.alive, fault, ambush.amount);
        self.killed.notify_one();
        Box::pin(std::future::pending())
    }
}
