//! Logs: for people by default, one JSON object a line with `log.format = "json"`. To standard error, so that what a
//! command prints stays its own.

use std::io::IsTerminal;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

use crate::config::Log;

/// Starts logging. Only our own crates log below warnings: what libraries say at debug may hold headers.
pub(super) fn start(log: &Log) {
    let ours = LevelFilter::from_level(log.level);
    let filter = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_targets(["bridge", "queue", "azure", "simulator", "lorawan"].map(|name| (name, ours)));
    let colours = std::io::stderr().is_terminal();
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(colours);
    let registry = tracing_subscriber::registry().with(filter);
    // A second start in one process keeps the first.
    let _ = if log.json {
        registry.with(layer.json().flatten_event(true)).try_init()
    } else {
        registry.with(layer).try_init()
    };
}
