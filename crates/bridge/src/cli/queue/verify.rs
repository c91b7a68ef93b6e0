//! `longhaul queue verify`

use std::path::{Path, PathBuf};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use queue::Queue;

use super::super::admin_api::{AdminApi, BridgeArguments};
use super::super::plain::plain;
use super::super::say;
use crate::admin::verify::Piece;

/// `longhaul queue verify`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The directory of a queue that nobody has open; also its structure is looked at. Without it a running bridge is asked
    #[arg(long)]
    pub(super) dir: Option<PathBuf>,
    #[command(flatten)]
    pub(super) bridge: BridgeArguments,
}

/// While it is at work.
///
/// # Errors
/// What the bridge says, or that something is damaged.
pub(super) async fn running(bridge: &AdminApi) -> Result<(), String> {
    let (mut checked, mut damaged, mut query) = (0, Vec::new(), String::new());
    loop {
        let piece: Piece = bridge.get(&format!("/api/v1/queue/verify{query}")).await?;
        checked += piece.checked;
        damaged.extend(piece.damaged);
        let Some(next) = piece.next else { break };
        let lane = utf8_percent_encode(&next.lane, NON_ALPHANUMERIC);
        query = format!("?part={}&lane={lane}&seq={}", next.part, next.seq);
    }
    say(&format!("{checked} messages looked at, {} damaged", damaged.len()));
    told(&damaged)
}

/// All of the files.
///
/// # Errors
/// Why they cannot be read, or that something is damaged.
pub(super) fn files(dir: &Path) -> Result<(), String> {
    let report = Queue::verify_files(dir).map_err(|e| e.to_string())?;
    let damaged: Vec<u64> = report.damaged.iter().map(|seq| seq.0).collect();
    looked_through(report.checked, report.counted, &damaged, &report.structure)
}

/// # Errors
/// That something is damaged.
pub(super) fn looked_through(checked: u64, counted: u64, damaged: &[u64], structure: &[String]) -> Result<(), String> {
    say(&format!("{checked} of {counted} messages looked at, {} damaged", damaged.len()));
    structure.iter().for_each(|line| say(&format!("  {}", plain(line))));
    told(damaged)?;
    match structure.is_empty() && checked == counted {
        true => Ok(()),
        false => {
            Err("the file is damaged; messages may be hidden in it: keep a copy, and ask whoever has to know"
                .to_owned())
        }
    }
}

fn told(damaged: &[u64]) -> Result<(), String> {
    if damaged.is_empty() {
        return Ok(());
    }
    let positions = damaged.iter().take(20).map(u64::to_string).collect::<Vec<_>>().join(" ");
    Err(format!(
        "not what was written, and never sent: {positions}; each becomes a dead letter, `damaged`, when its turn comes"
    ))
}
