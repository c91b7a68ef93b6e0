//! What a connection's driver is told, in order. Filled under the fleet's lock and emptied all at once.
//!
//! Bounded by what the fleet lets through: messages by number and bytes, one cancellation a message, one order to forget
//! for each device that was seated.

use std::sync::{Mutex, MutexGuard, PoisonError};

use std::sync::Arc;

use tokio::sync::{Notify, oneshot};

use super::fleet::LineId;
use super::line::{Post, Ticket};
use crate::hub::{Delivered, SendError};

/// Where an outcome goes, and what the fleet counts back then.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) to: oneshot::Sender<Result<Delivered, SendError>>,
    pub(super) name: Arc<str>,
    pub(super) epoch: u64,
    pub(super) bytes: usize,
}

#[derive(Debug)]
pub(super) enum Command {
    Post(Post, Reply),
    Cancel(Ticket),
    Forget(Arc<str>),
}

#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) line: LineId,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    commands: Vec<Command>,
    is_closing: bool,
}

impl Inbox {
    pub(super) fn new(line: LineId) -> Self {
        Self { line, state: Mutex::default(), wake: Notify::new() }
    }

    pub(super) fn push(&self, command: Command) {
        self.state().commands.push(command);
        self.wake.notify_one();
    }

    /// Everything, in order.
    pub(super) fn take(&self) -> Vec<Command> {
        std::mem::take(&mut self.state().commands)
    }

    /// The messages of one placement of a device; the rest stays.
    pub(super) fn take_posts_of(&self, name: &str, epoch: u64) -> Vec<(Post, Reply)> {
        let mut taken = Vec::new();
        let mut state = self.state();
        for command in std::mem::take(&mut state.commands) {
            match command {
                Command::Post(post, reply) if *post.name == *name && post.epoch == epoch => taken.push((post, reply)),
                other => state.commands.push(other),
            }
        }
        taken
    }

    /// The connection is to close.
    pub(super) fn close(&self) {
        self.state().is_closing = true;
        self.wake.notify_one();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.state().is_closing
    }

    /// Resolves when something was told since the last time.
    pub(super) async fn told(&self) {
        self.wake.notified().await;
    }

    /// Resolves when the connection is to close. Only while nothing else is listened to.
    pub(super) async fn closing(&self) {
        while !self.is_closing() {
            self.told().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
