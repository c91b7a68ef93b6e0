//! Logs: for people by default, one JSON object a line with `log.format = "json"`. To standard error, so that what a
//! command prints stays its own.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;

use super::plain::{Spelling, escaped};
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
    let lines =
        Lines { spelling: if log.json { Spelling::Json } else { Spelling::Text }, colours: colours && !log.json };
    let layer = tracing_subscriber::fmt::layer().with_writer(lines).with_target(false).with_ansi(colours);
    let registry = tracing_subscriber::registry().with(filter);
    // A second start in one process keeps the first.
    let _ = if log.json {
        registry.with(layer.json().flatten_event(true)).try_init()
    } else {
        registry.with(layer).try_init()
    };
}

/// One event, one line: names and causes come from strangers, and neither a terminal nor whoever reads line by line is to
/// take them for more than text. Relies on the subscriber to write each event at once.
#[derive(Clone, Copy, Debug)]
struct Lines {
    spelling: Spelling,
    /// The subscriber's own colours are let through; it escapes those of strangers.
    colours: bool,
}

impl Lines {
    /// PURE: what is written for one event.
    fn line<'t>(&self, event: &'t str) -> std::borrow::Cow<'t, str> {
        let text = event.strip_suffix('\n').unwrap_or(event);
        escaped(text, self.spelling, |c| c == '\u{1b}' && self.colours)
    }
}

impl<'w> MakeWriter<'w> for Lines {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        *self
    }
}

impl io::Write for Lines {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let mut line = self.line(&text).into_owned();
        line.push('\n');
        io::stderr().lock().write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_stands_in_it() {
        let text = Lines { spelling: Spelling::Text, colours: false };
        assert_eq!(text.line("a\nb\u{1b}[31m\u{202e}\n"), r"a\u{a}b\u{1b}[31m\u{202e}");
        let coloured = Lines { spelling: Spelling::Text, colours: true };
        assert_eq!(coloured.line("\u{1b}[2ma\u{9b}\n"), "\u{1b}[2ma\\u{9b}");
        let json = Lines { spelling: Spelling::Json, colours: false };
        assert_eq!(json.line("{\"a\":\"\u{2066}\"}\n"), r#"{"a":"\u2066"}"#);
    }

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
