//! Logs: for people by default, one JSON object a line with `log.format = "json"`. To standard error, so that what a
//! command prints stays its own.

use std::io::IsTerminal;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

use crate::config::Log;

const OURS: [&str; 5] = ["bridge", "queue", "azure", "simulator", "lorawan"];
/// Microsoft's, whose names begin as one of ours does.
const OTHERS: [&str; 4] = ["azure_core", "azure_identity", "azure_security_keyvault_secrets", "azure_storage"];

/// Only our own crates log below warnings: what libraries say at debug may hold headers.
fn filter(level: tracing::Level) -> Targets {
    Targets::new()
        .with_default(LevelFilter::WARN)
        .with_targets(OURS.map(|name| (name, LevelFilter::from_level(level))))
        .with_targets(OTHERS.map(|name| (name, LevelFilter::WARN)))
}

/// Starts logging.
pub(super) fn start(log: &Log) {
    let filter = filter(log.level);
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

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn libraries_tell_nothing_below_warnings_whatever_their_name_begins_with() {
        let filter = filter(Level::TRACE);
        for ours in ["bridge::cli", "azure::hub::amqp"] {
            assert!(filter.would_enable(ours, &Level::TRACE), "{ours}");
        }
        for other in
            ["azure_core::http", "azure_identity", "azure_security_keyvault_secrets", "azure_storage_blob", "hyper"]
        {
            assert!(!filter.would_enable(other, &Level::INFO), "{other}");
            assert!(filter.would_enable(other, &Level::WARN), "{other}");
        }
    }
}
