//! `longhaul run`: the bridge.

use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum;
use listenfd::ListenFd;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::follow::follow;
use super::{fail, log, vaults};
use crate::app::{App, Listeners, Role};
use crate::world::{Random, SystemClock, World};

/// `longhaul run`
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The configuration
    #[arg(long, default_value = "longhaul.toml")]
    config: PathBuf,
    /// Which part. Any number of each share a queue of `azure-storage`; an embedded one belongs to one process
    #[arg(long, value_enum, default_value_t = Part::All)]
    role: Part,
    /// To find a fault: crashes may leave core files and debuggers may attach. Both show every secret
    #[arg(long)]
    pub(super) allow_core_dumps: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Part {
    /// Only the door
    Webhook,
    /// Only the way to Azure
    Worker,
    /// Both
    All,
}

/// Runs until SIGTERM or SIGINT, then lingers, where that is configured, and drains. A further signal ends the lingering, and
/// one after that, or where there is none, ends it at once.
pub async fn main(arguments: Arguments) -> ExitCode {
    let (read, keeper) = match vaults::read(&arguments.config).await {
        Ok(read) => read,
        Err(code) => return code,
    };
    log::start(&read.config.log);
    for warning in &read.warnings {
        tracing::warn!(key = warning.key, mend = warning.mend, "{}", warning.cause);
    }
    let role = match arguments.role {
        Part::Webhook => Role::Webhook,
        Part::Worker => Role::Worker,
        Part::All => Role::All,
    };
    // Before anybody can see that we are up, and so ask us to end.
    let mut signals = Signals::new();
    let hangup = signal(SignalKind::hangup()).ok();
    let started = tokio::select! {
        started = App::start(read.config, role, world(), handed_over()) => started,
        () = signals.next() => return fail("ended before it was up; what was accepted is kept"),
    };
    let mut app = match started {
        Ok(app) => app,
        Err(e) => return fail(&chain(&e)),
    };
    let (reload, events, alarms) = (app.reload.clone(), app.events.clone(), app.alarms.clone());
    tokio::select! {
        () = follow(arguments.config, keeper, &reload, (&events, &alarms), hangup) => {}
        () = signals.next() => {}
        () = app.died() => return fail("a part of the bridge has ended; what was accepted is on disk"),
    }
    let (hurry, hurried) = oneshot::channel();
    let (mut hurry, mut gone) = (Some(hurry), pin!(app.leave(hurried)));
    loop {
        tokio::select! {
            () = &mut gone => return ExitCode::SUCCESS,
            () = signals.next() => {}
        }
        if hurry.take().is_none_or(|hurry| hurry.send(()).is_err()) {
            return fail("ended without draining; what was accepted is kept");
        }
    }
}

/// The machine's clock, and a random source with a seed of its own.
pub(super) fn world() -> World {
    let mut seed = [0; 8];
    // Without it jitter is the same in every process, which is bad manners and nothing worse.
    let _ = getrandom::fill(&mut seed);
    World::new(Arc::new(SystemClock), Random::from_seed(u64::from_le_bytes(seed)))
}

/// Sockets that a supervisor holds for us (LISTEN_FDS): the first is the webhook's, the second the admin's.
fn handed_over() -> Listeners {
    let mut fds = ListenFd::from_env();
    let mut take = |index| fds.take_tcp_listener(index).ok().flatten();
    Listeners { webhook: take(0), admin: take(1) }
}

/// SIGTERM and SIGINT, from the moment at which this was made: one that comes later ends nothing by itself.
pub(super) struct Signals {
    /// None where the system refuses: then that signal ends the process as ever.
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
}

impl Signals {
    pub(super) fn new() -> Self {
        Self { interrupt: signal(SignalKind::interrupt()).ok(), terminate: signal(SignalKind::terminate()).ok() }
    }

    /// Waits for the next of either.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            () = came(&mut self.interrupt) => {}
            () = came(&mut self.terminate) => {}
        }
    }
}

pub(super) async fn came(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// An error with its causes on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
